"""A small MLflow server: it answers for the runs of tests/data/mlflow/rest-3.17.json, which a real one has answered."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.loopback import Answer, Call, JsonApi, route

ANSWERS = Path(__file__).parent.parent / "data" / "mlflow" / "rest-3.17.json"
_CONDITION = re.compile(r"tags\.`(?P<key>[^`]+)` = '(?P<value>[^']*)'")


class MlflowApi(JsonApi):
    """The runs are those of `answers`; `most` is how many items a page has."""

    def __init__(self, *, most: int = 1000, latency: float = 0.0) -> None:
        super().__init__(prefix="/api/2.0/mlflow", latency=latency)
        self.answers: dict[str, Any] = json.loads(ANSWERS.read_text(encoding="utf-8"))
        self.most = most
        self.authorization: str | None = None
        """The header that every request must have."""
        self.marked_for_all = False
        """Whether the marked runs are those of whoever asks for the tag."""

    def token_of(self, headers: Any) -> str:
        return str(headers.get("Authorization") or "")

    def not_found(self) -> Answer:
        return Answer(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "no such endpoint"})

    def check(self, call: Call) -> None:
        if self.authorization is not None and call.token != self.authorization:
            raise Answer(401, {"error_code": "UNAUTHENTICATED", "message": "You are not authenticated."})

    @route("POST", "/experiments/search")
    def experiments(self, call: Call) -> Answer:
        return self._page("experiments", self.answers["experiments"], call.body)

    @route("POST", "/runs/search")
    def runs(self, call: Call) -> Answer:
        runs = [one for one in self.answers["runs"] if one["info"]["experiment_id"] in call.body["experiment_ids"]]
        if condition := call.body.get("filter"):
            found = _CONDITION.fullmatch(condition)
            if found is None:
                raise Answer(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": f"Invalid clause: {condition}"})
            tag = {"key": found["key"], "value": found["value"]}
            if self.marked_for_all and tag["key"] == "ciplug.run":
                for mark in (one for run in runs for one in run["data"]["tags"] if one["key"] == tag["key"]):
                    mark["value"] = tag["value"]
            runs = [one for one in runs if tag in one["data"]["tags"]]
        return self._page("runs", runs, call.body)

    @route("GET", "/metrics/get-history")
    def history(self, call: Call) -> Answer:
        points = self.answers["histories"][f"{call.query['run_id']}/{call.query['metric_key']}"]
        return self._page("metrics", points, call.query)

    @route("GET", r"/logged-models/([^/]+)")
    def logged_model(self, call: Call, model: str) -> Answer:
        return Answer(200, self.answers["models"][model]) if model in self.answers["models"] else self.not_found()

    @route("GET", "/artifacts/list")
    def artifacts(self, call: Call) -> Answer:
        found = self.answers["artifacts"].get(call.query["run_id"])
        return self.not_found() if found is None else Answer(200, found)

    def _page(self, key: str, items: Sequence[Any], asked: Any) -> Answer:
        start = int(asked.get("page_token") or 0)
        end = start + min(self.most, int(asked["max_results"]))
        more = {"next_page_token": str(end)} if end < len(items) else {}
        return Answer(200, {key: items[start:end], **more})
