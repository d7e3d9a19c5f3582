"""An MLflow server, by its REST API (2.0), which MLflow 2 and 3 share."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ciplug.capture.logged import Point
from ciplug.capture.mlflow.marks import TAG
from ciplug.capture.mlflow.run import (
    PARENT,
    Dataset,
    MlflowRun,
    StoreUnreadable,
    away,
    model_output,
    point,
    seconds,
    text,
)
from ciplug.git.credentials import redact
from ciplug.records.inputs import ModelOutput
from ciplug.records.left_out import LeftOut

_SECONDS = 10.0
"""The patience with one request."""
_ALL_SECONDS = 120.0
"""The patience with a server: a training has ended, and its job waits."""
_PAGE = 1000
_POINTS = 25_000
_TRIES = 3
_WAIT = 2.0
"""Seconds before a server that is busy is asked again."""
_AGAIN = {429, 500, 502, 503, 504}


class RestStore:
    """The runs of a server."""

    def __init__(self, uri: str, env: Mapping[str, str]) -> None:
        self.name = redact(uri)
        try:
            parts = urllib.parse.urlsplit(uri)
            self._tls = _tls(env) if parts.scheme == "https" else None
        except (ValueError, OSError) as problem:
            raise StoreUnreadable(f"{self.name}: {problem}") from None
        self._base = urllib.parse.urlunsplit(
            (parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", "")
        )
        self._headers = {"Accept": "application/json", **authorization(parts, env)}
        self._until = 0.0

    def runs(self, marked: str | None) -> list[MlflowRun]:
        try:
            return self._runs(marked)
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise StoreUnreadable(f"{self.name}: not an answer of MLflow's: {problem!r:.120}") from None

    def _runs(self, marked: str | None) -> list[MlflowRun]:
        self._until = time.monotonic() + _ALL_SECONDS
        names = {one["experiment_id"]: one.get("name") for one in self._pages("experiments/search", "experiments")}
        wanted: dict[str, dict[str, Any]] = {}
        new = self._search([*names], None if marked is None else f"tags.`{TAG}` = '{marked}'")
        while new:
            wanted |= new
            # With the tag come the runs of `start_run`; those that a client creates have none.
            below = {} if marked is None else self._below([*names], [*new])
            new = {run: facts for run, facts in below.items() if run not in wanted}
        deleted = {run for run, facts in wanted.items() if facts["info"].get("lifecycle_stage", "active") != "active"}
        runs = (self._run(facts, names, deleted) for run, facts in wanted.items() if run not in deleted)
        return sorted(runs, key=lambda run: (run.started or 0, run.id))

    def _search(self, experiments: list[str], condition: str | None) -> dict[str, dict[str, Any]]:
        if not experiments:
            return {}
        # A deleted run may have child runs that are not.
        about = {"experiment_ids": experiments, "run_view_type": "ALL", **({"filter": condition} if condition else {})}
        return {one["info"]["run_id"]: one for one in self._pages("runs/search", "runs", about)}

    def _below(self, experiments: list[str], parents: list[str]) -> dict[str, dict[str, Any]]:
        children: dict[str, dict[str, Any]] = {}
        for parent in parents:
            children |= self._search(experiments, f"tags.`{PARENT}` = '{parent}'")
        return children

    def _run(self, facts: dict[str, Any], experiments: Mapping[str, str | None], deleted: Collection[str]) -> MlflowRun:
        info, data = facts["info"], facts.get("data") or {}
        run = str(info["run_id"])
        tags = _texts(data.get("tags"))
        metrics: dict[str, list[Point]] = {}
        left_out: list[LeftOut] = []
        for latest in data.get("metrics") or []:
            name = str(latest["key"])
            metrics[name], bad = self._history(run, name)
            left_out += bad
        inputs = facts.get("inputs") or {}
        outputs = tuple(map(self._output, (facts.get("outputs") or {}).get("model_outputs") or []))
        uri = info.get("artifact_uri") or None
        return MlflowRun(
            id=run,
            name=tags.get("mlflow.runName") or info.get("run_name") or None,
            experiment=experiments.get(info.get("experiment_id")),
            status=info.get("status") or "RUNNING",
            started=seconds(info.get("start_time")),
            ended=seconds(info.get("end_time")),
            metrics={name: points for name, points in metrics.items() if points},
            params=_texts(data.get("params")),
            tags=tags,
            datasets=tuple(
                Dataset(facts=one["dataset"], tags=_texts(one.get("tags")))
                for one in inputs.get("dataset_inputs") or []
                if isinstance(one.get("dataset"), dict)
            ),
            model_inputs=tuple(str(one["model_id"]) for one in inputs.get("model_inputs") or []),
            outputs=outputs,
            artifact_uri=uri,
            elsewhere={**away(outputs), **{name: f"{uri}/{name}" for name in self._artifacts(run)}},
            left_out=tuple(left_out),
            parent_is_deleted=tags.get(PARENT) in deleted,
        )

    def _output(self, made: dict[str, Any]) -> ModelOutput:
        """A logged model, with what the server tells of it."""
        model = str(made["model_id"])
        about = (
            self._ask_or_nothing("GET", f"logged-models/{urllib.parse.quote(model, safe='')}", {}).get("model") or {}
        )
        info = about.get("info") or {}
        return model_output(
            model,
            int(made.get("step") or 0),
            info.get("name"),
            params=_texts((about.get("data") or {}).get("params")),
            tags=_texts(info.get("tags")),
            location=text(info.get("artifact_uri")) or None,
        )

    def _artifacts(self, run: str) -> list[str]:
        """The names of a run's artifacts at the top."""
        return [
            str(one["path"])
            for one in self._ask_or_nothing("GET", "artifacts/list", {"run_id": run}).get("files") or []
        ]

    def _ask_or_nothing(self, method: str, path: str, about: Mapping[str, Any]) -> dict[str, Any]:
        """What the server tells; nothing where it refuses: a run is read without it."""
        try:
            return self._ask(method, path, about)
        except StoreUnreadable:
            return {}

    def _history(self, run: str, name: str) -> tuple[list[Point], list[LeftOut]]:
        points, left_out = [], []
        about = {"run_id": run, "metric_key": name, "max_results": _POINTS}
        for one in self._pages("metrics/get-history", "metrics", about, method="GET"):
            try:
                points.append(point(one.get("step") or 0, one["timestamp"], one["value"]))
            except (KeyError, TypeError, ValueError, OverflowError):
                value = text(one.get("value"))[:40]
                left_out.append(LeftOut(name=name, why="text", file=f"MLflow run {run[:8]}", found=value))
        return points, left_out

    def _pages(
        self, path: str, key: str, about: Mapping[str, Any] | None = None, *, method: str = "POST"
    ) -> Iterator[dict[str, Any]]:
        request = {"max_results": _PAGE, **(about or {})}
        while True:
            answer = self._ask(method, path, request)
            yield from answer.get(key) or []
            if not (token := answer.get("next_page_token")):
                return
            request = {**request, "page_token": token}

    def _ask(self, method: str, path: str, about: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self._base}/api/2.0/mlflow/{path}"
        body = None
        if method == "GET":
            url += "?" + urllib.parse.urlencode(about)
        else:
            body = json.dumps(about).encode()
        headers = {**self._headers, **({"Content-Type": "application/json"} if body else {})}
        for number in itertools.count(1):
            left = self._until - time.monotonic()
            if left <= 0:
                raise StoreUnreadable(f"{self.name}: its answers took more than {_ALL_SECONDS:.0f} s")
            request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 (http and https alone)
            try:
                with urllib.request.urlopen(request, timeout=min(_SECONDS, left), context=self._tls) as answer:  # noqa: S310
                    data = json.loads(answer.read())
                if not isinstance(data, dict):
                    raise TypeError(data)
                return data
            except urllib.error.HTTPError as refusal:
                if refusal.code not in _AGAIN or number == _TRIES:
                    raise StoreUnreadable(
                        f"{self.name}: HTTP {refusal.code} {refusal.reason}: {_reason(refusal)}"
                    ) from None
                time.sleep(_WAIT)
            except (OSError, http.client.HTTPException) as problem:
                reason = getattr(problem, "reason", problem)
                if isinstance(reason, ConnectionError) and reason.strerror:
                    reason = reason.strerror
                hint = "is the server running, and can this machine reach it?"
                raise StoreUnreadable(f"{self.name}: {reason}", hint=hint) from None
        raise AssertionError


def _reason(refusal: urllib.error.HTTPError) -> str:
    """MLflow's own words for a refusal; of a proxy's page, nothing."""
    try:
        return str(json.loads(refusal.read(10_000))["message"])[:200]
    except (OSError, ValueError, KeyError, TypeError):
        return "no reason given"


def _texts(pairs: Any) -> dict[str, str]:
    return {str(one["key"]): str(one.get("value", "")) for one in pairs or []}


def authorization(parts: urllib.parse.SplitResult, env: Mapping[str, str]) -> dict[str, str]:
    """The header that MLflow's client sends: of the address, else of the variables for a user, else for a token.

    Raises StoreUnreadable for a token that cannot be sent: the library would print it.
    """
    user, password = env.get("MLFLOW_TRACKING_USERNAME"), env.get("MLFLOW_TRACKING_PASSWORD")
    if parts.username:
        user, password = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
    if user and password is not None:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    token = env.get("MLFLOW_TRACKING_TOKEN", "").strip()
    if not token.isascii() or (token and not token.isprintable()):
        raise StoreUnreadable("MLFLOW_TRACKING_TOKEN holds no token: it has line ends or special characters")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _tls(env: Mapping[str, str]) -> ssl.SSLContext:
    """The checks of a server's certificate, as MLflow's client makes them. Raises OSError for a missing file."""
    context = ssl.create_default_context(cafile=env.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None)
    if env.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate := env.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        context.load_cert_chain(certificate)
    return context
