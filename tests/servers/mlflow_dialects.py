"""A stateful MLflow server in memory, as MLflow itself, GitLab, Azure ML and SageMaker are: with what each refuses.

The refusals are those of the platforms' documents, of GitLab's source, and of reports of their users.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from tests.servers.loopback import Answer, Call, JsonApi, route

_TAG = re.compile(r"tags\.`([^`]+)` = '([^']*)'")
_FILE = re.compile(r"[A-Za-z0-9._+ -]+")
_SEMVER = re.compile(r"\d+\.\d+\.\d+")


def _missing() -> Answer:
    return Answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"})


def _invalid(words: str) -> Answer:
    return Answer(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": words})


class TrackerApi(JsonApi):
    """Experiments, runs and registered models. `runs` are as the API shows them, by id; `files` are by address."""

    title = "MLflow"
    path = ""

    def __init__(self) -> None:
        super().__init__(prefix=self.path)
        self.url = self.origin + self.path
        self.authorization: str | None = None
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.points: dict[str, list[dict[str, Any]]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.versions: dict[tuple[str, str], dict[str, Any]] = {}
        self.deleted: list[dict[str, Any]] = []
        """Versions."""
        self.files: dict[str, bytes] = {}

    def parse(self, method: str, body: bytes) -> Any:
        return body if method == "PUT" else super().parse(method, body)

    def token_of(self, headers: Any) -> str:
        return str(headers.get("Authorization") or "")

    def not_found(self) -> Answer:
        return Answer(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "no such endpoint"})

    def check(self, call: Call) -> None:
        if self.authorization is not None and call.token != self.authorization:
            raise Answer(401, {"message": "401 Unauthorized"})

    @route("PUT", r"/api/2.0/mlflow-artifacts/artifacts/(.+)")
    def put_artifact(self, call: Call, name: str) -> Answer:
        self.files[unquote(name)] = call.body
        return Answer(200, {})

    # What tests ask

    def copies(self, tag: str = "ciplug.run") -> list[str]:
        """The values of a tag of all runs that are there, sorted."""
        found = (one["key"] == tag and one["value"] for run in self.runs.values() for one in run["data"]["tags"])
        return sorted(value for value in found if value)

    def run_named(self, name: str) -> dict[str, Any]:
        (run,) = (run for run in self.runs.values() if run["info"]["run_name"] == name)
        return run

    # Experiments

    @route("GET", "/api/2.0/mlflow/experiments/get-by-name")
    def by_name(self, call: Call) -> Answer:
        for one in self.experiments.values():
            if one["name"] == call.query["experiment_name"]:
                return Answer(200, {"experiment": one})
        return _missing()

    @route("POST", "/api/2.0/mlflow/experiments/create")
    def create_experiment(self, call: Call) -> Answer:
        name = call.body["name"]
        if any(one["name"] == name for one in self.experiments.values()):
            return Answer(400, {"error_code": "RESOURCE_ALREADY_EXISTS"})
        self.check_experiment(name)
        id_ = str(self.new_id())
        self.experiments[id_] = {"experiment_id": id_, "name": name, "lifecycle_stage": "active", "tags": []}
        return Answer(200, {"experiment_id": id_})

    def check_experiment(self, name: str) -> None:
        """Raise the refusal of a name."""

    # Runs

    @route("POST", "/api/2.0/mlflow/runs/create")
    def create_run(self, call: Call) -> Answer:
        number = self.new_id()
        id_ = f"{number:032x}"
        tags = {one["key"]: one["value"] for one in call.body.get("tags") or ()}
        info = {
            "run_id": id_,
            "experiment_id": str(call.body["experiment_id"]),
            "run_name": call.body["run_name"],
            "status": "RUNNING",
            "start_time": call.body["start_time"],
            "lifecycle_stage": "active",
            "artifact_uri": self.artifacts_of(number, id_),
        }
        data = {"params": [], "metrics": [], "tags": [{"key": key, "value": value} for key, value in tags.items()]}
        self.runs[id_] = {"info": info, "data": data}
        self.points[id_] = []
        return Answer(200, {"run": self.runs[id_]})

    def artifacts_of(self, number: int, id_: str) -> str:
        return f"mlflow-artifacts:/{id_}/artifacts"

    @route("GET", "/api/2.0/mlflow/runs/get")
    def get_run(self, call: Call) -> Answer:
        return Answer(200, {"run": self._run(call.query["run_id"])})

    def _run(self, id_: str) -> dict[str, Any]:
        if id_ not in self.runs:
            raise _missing()
        return self.runs[id_]

    @route("POST", "/api/2.0/mlflow/runs/search")
    def search(self, call: Call) -> Answer:
        found = [run for run in self.runs.values() if run["info"]["experiment_id"] == call.body["experiment_ids"][0]]
        if filter_ := self.filter_of(call.body):
            key, value = _TAG.fullmatch(filter_).groups()  # type: ignore[union-attr]
            found = [run for run in found if {"key": key, "value": value} in run["data"]["tags"]]
        if call.body.get("order_by") == "created_at DESC":
            found.reverse()
        start = int(call.body.get("page_token") or 0)
        more = {"next_page_token": str(start + 2)} if start + 2 < len(found) else {}
        return Answer(200, {"runs": found[start : start + 2], **more})

    def filter_of(self, body: Mapping[str, Any]) -> str | None:
        return body.get("filter")

    @route("POST", "/api/2.0/mlflow/runs/log-batch")
    def log_batch(self, call: Call) -> Answer:
        run, body = self._run(call.body["run_id"]), call.body
        if len(body.get("metrics") or ()) > 1_000 or len(body.get("params") or ()) > 100:
            raise _invalid("too many values in one request")
        self.check_batch(run, body)
        self.points[run["info"]["run_id"]] += body.get("metrics") or []
        latest = {one["key"]: one for one in [*run["data"]["metrics"], *(body.get("metrics") or [])]}
        run["data"]["metrics"] = list(latest.values())
        run["data"]["params"] += body.get("params") or []
        run["data"]["tags"] += body.get("tags") or []
        return Answer(200, {})

    def check_batch(self, run: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        """Raise the refusal of a batch."""

    @route("GET", "/api/2.0/mlflow/metrics/get-history")
    def history(self, call: Call) -> Answer:
        found = [one for one in self.points[call.query["run_id"]] if one["key"] == call.query["metric_key"]]
        if not found:
            return _missing()
        start = int(call.query.get("page_token") or 0)
        more = {"next_page_token": str(start + 500)} if start + 500 < len(found) else {}
        return Answer(200, {"metrics": found[start : start + 500], **more})

    @route("POST", "/api/2.0/mlflow/runs/set-tag")
    def set_tag(self, call: Call) -> Answer:
        tags = self._run(call.body["run_id"])["data"]["tags"]
        tags[:] = [one for one in tags if one["key"] != call.body["key"]]
        tags.append({"key": call.body["key"], "value": call.body["value"]})
        return Answer(200, {})

    @route("POST", "/api/2.0/mlflow/runs/delete-tag")
    def delete_tag(self, call: Call) -> Answer:
        tags = self._run(call.body["run_id"])["data"]["tags"]
        if not any(one["key"] == call.body["key"] for one in tags):
            return _missing()
        tags[:] = [one for one in tags if one["key"] != call.body["key"]]
        return Answer(200, {})

    @route("POST", "/api/2.0/mlflow/runs/update")
    def update(self, call: Call) -> Answer:
        about = {key: value for key, value in call.body.items() if key in ("status", "end_time")}
        self._run(call.body["run_id"])["info"].update(about)
        return Answer(200, {})

    @route("POST", "/api/2.0/mlflow/runs/delete")
    def delete(self, call: Call) -> Answer:
        del self.runs[self._run(call.body["run_id"])["info"]["run_id"]]
        return Answer(200, {})

    # Registered models

    @route("GET", "/api/2.0/mlflow/registered-models/get")
    def get_model(self, call: Call) -> Answer:
        if call.query["name"] not in self.models:
            return _missing()
        return Answer(200, {"registered_model": self.models[call.query["name"]]})

    @route("POST", "/api/2.0/mlflow/registered-models/create")
    def create_model(self, call: Call) -> Answer:
        about = {"name": call.body["name"], "tags": list(call.body.get("tags") or ())}
        self.models[call.body["name"]] = about
        return Answer(200, {"registered_model": about})

    @route("POST", "/api/2.0/mlflow/model-versions/create")
    def create_version(self, call: Call) -> Answer:
        name = call.body["name"]
        if name not in self.models:
            return _missing()
        # A number is not used again.
        taken = [*self.versions.values(), *self.deleted]
        number = str(1 + sum(1 for one in taken if one["name"] == name))
        self.versions[name, number] = {**call.body, "version": number, "aliases": []}
        return Answer(200, {"model_version": self.versions[name, number]})

    @route("GET", "/api/2.0/mlflow/model-versions/search")
    def search_versions(self, call: Call) -> Answer:
        return Answer(200, {"model_versions": list(self.versions.values())})

    @route("DELETE", "/api/2.0/mlflow/model-versions/delete")
    def delete_version(self, call: Call) -> Answer:
        if (call.body["name"], call.body["version"]) not in self.versions:
            return _missing()
        self.deleted.append(self.versions.pop((call.body["name"], call.body["version"])))
        return Answer(200, {})

    @route("POST", "/api/2.0/mlflow/registered-models/set-tag")
    def set_model_tag(self, call: Call) -> Answer:
        tags = self.models[call.body["name"]]["tags"]
        tags[:] = [one for one in tags if one["key"] != call.body["key"]]
        tags.append({"key": call.body["key"], "value": call.body["value"]})
        return Answer(200, {})


class GitlabTracker(TrackerApi):
    """GitLab's model experiments and model registry of the project acme/demo, number 7.

    There is no filter, no deleting of tags, no datasets, no logged model, no stage and no alias of one's own. A tag
    is given once, a deleted run is gone, and numbers of versions are semantic.
    """

    title = "GitLab"
    path = "/api/v4"
    keeps_folders = False
    jobs = frozenset({"42"})

    def __init__(self) -> None:
        super().__init__()
        self.experiment_tags: list[str] = []

    def _dispatch(self, call: Call) -> Answer:
        # The API of the project is below its number or its path.
        if not unquote(call.path).startswith(("/api/v4/projects/acme/demo/", "/api/v4/projects/7/")):
            raise Answer(404, {"message": "404 Project Not Found"})
        own = re.sub(r"^/api/v4/projects/[^/]+(?:/ml/mlflow)?", "/api/v4", call.path)
        return super()._dispatch(replace(call, path=own))

    def artifacts_of(self, number: int, id_: str) -> str:
        return f"{self.origin}/api/v4/projects/7/packages/ml_models/candidate:{number}/files/"

    def filter_of(self, body: Mapping[str, Any]) -> str | None:
        return None

    @route("POST", "/api/2.0/mlflow/runs/create")
    def create_run(self, call: Call) -> Answer:
        tags = {one["key"]: one["value"] for one in call.body.get("tags") or ()}
        if tags.get("gitlab.CI_JOB_ID", "42") not in self.jobs:
            return Answer(500, {"message": "500 Internal Server Error"})
        return super().create_run(call)

    @route("POST", "/api/2.0/mlflow/runs/set-tag")
    def set_tag(self, call: Call) -> Answer:
        tags = self._run(call.body["run_id"])["data"]["tags"]
        if any(one["key"] == call.body["key"] for one in tags):
            return _invalid(f"Validation failed: Name '{call.body['key']}' already taken")
        tags.append({"key": call.body["key"], "value": call.body["value"]})
        return Answer(200, {})

    @route("GET", "/api/2.0/mlflow/metrics/get-history")
    def history(self, call: Call) -> Answer:
        return self.not_found()

    @route("POST", "/api/2.0/mlflow/runs/delete-tag")
    def delete_tag(self, call: Call) -> Answer:
        return self.not_found()

    @route("POST", "/api/2.0/mlflow/experiments/set-experiment-tag")
    def set_experiment_tag(self, call: Call) -> Answer:
        self.experiment_tags.append(call.body["key"])
        return Answer(200, {})

    @route("POST", "/api/2.0/mlflow/registered-models/set-tag")
    def set_model_tag(self, call: Call) -> Answer:
        return self.not_found()

    def check_batch(self, run: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        if any(not isinstance(one["value"], (int, float)) for one in body.get("metrics") or ()):
            raise Answer(400, {"error": "metrics[0][value] is invalid"})
        if any(len(one["value"]) > 250 for one in body.get("params") or ()):
            raise _invalid("PG::StringDataRightTruncation: value too long for type character varying(250)")

    @route("PUT", r"/packages/ml_models/(candidate:\d+)/files/(.+)")
    def put_file(self, call: Call, owner: str, name: str) -> Answer:
        if "/" in unquote(name) and not self.keeps_folders:
            return Answer(404, {"error": "404 Not Found"})
        if not _FILE.fullmatch(unquote(name).rpartition("/")[2]):
            return Answer(400, {"error": "file_name is invalid"})
        self.files[f"{owner}/{unquote(name)}"] = call.body
        return Answer(201, {"message": "201 Created"})

    @route("POST", "/api/2.0/mlflow/model-versions/create")
    def create_version(self, call: Call) -> Answer:
        name = call.body["name"]
        tags = {one["key"]: one["value"] for one in call.body.get("tags") or ()}
        version = tags.get("gitlab.version") or "1.0.0"
        if not _SEMVER.fullmatch(version):
            return _invalid("Version must be semantic version")
        if any(model == name and made["aliases"] == [version] for (model, _), made in self.versions.items()):
            return _invalid("Version has already been taken")
        run = self.create_run(
            Call("POST", "", {}, {"experiment_id": "0", "run_name": version, "start_time": 0}, "", {})
        ).body["run"]
        number = str(self.new_id())
        made = {
            "name": name,
            "version": number,
            "aliases": [version],
            "current_stage": "development",
            "run_id": run["info"]["run_id"],
            "tags": call.body.get("tags") or [],
        }
        self.versions[name, number] = made
        return Answer(200, {"model_version": made})

    @route("GET", "/api/2.0/mlflow/registered-models/alias")
    def by_alias(self, call: Call) -> Answer:
        for (model, _), made in self.versions.items():
            if model == call.query["name"] and call.query["alias"] in made["aliases"]:
                return Answer(200, {"model_version": made})
        return _missing()


class AzureTracker(TrackerApi):
    """A workspace of Azure ML: no logged models, 200 parameters a run, 250 values of metrics a request, own files."""

    title = "Azure ML"
    path = "/mlflow/v2.0/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"

    def artifacts_of(self, number: int, id_: str) -> str:
        return f"azureml://experiments/e/runs/{id_}/artifacts"

    def check_experiment(self, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise _invalid("Experiment name is not valid")

    def check_batch(self, run: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        if len(body.get("metrics") or ()) > 250:
            raise _invalid("A field of the entity is over the size limit. FieldName=MetricV2Dto.Value/Count, Limit=250")
        if len(run["data"]["params"]) + len(body.get("params") or ()) > 200:
            raise _invalid("A field of the entity is over the size limit. FieldName=Parameters, Limit=200")


class SagemakerTracker(TrackerApi):
    """Managed MLflow on SageMaker: requests with Amazon's signature and the ARN of the server, files in S3."""

    title = "SageMaker"
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/team"
    bucket = "s3://artifacts"

    def check(self, call: Call) -> None:
        signed = r"AWS4-HMAC-SHA256 Credential=\w+/\d{8}/eu-west-1/sagemaker-mlflow/aws4_request, SignedHeaders=.+"
        if not re.fullmatch(signed, call.token):
            raise Answer(403, {"message": "Missing Authentication Token"})
        if call.headers.get("x-mlflow-sm-tracking-server-arn") != self.arn:
            raise Answer(500, {"message": "Internal Server Error"})

    def artifacts_of(self, number: int, id_: str) -> str:
        return f"{self.bucket}/{id_}/artifacts"


def value_of(point: Mapping[str, Any]) -> float:
    """The value of a metric as a number."""
    return math.nan if point["value"] == "NaN" else float(point["value"])
