"""Export the registered models of this store to GitLab's model registry: version 3 is 3.0.0 there.

GitLab keeps each version as a run of its own, with metrics, parameters and files. The tag `ciplug.version` of that run
is written last, so a version that was cut off is completed by the next export. Stages and aliases do not exist there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ciplug.capture.mlflow.marks import TAG
from ciplug.errors import CiplugError, StoreError
from ciplug.interop.mlflow_copies import WRITER, mark_of, may_go_on, set_tag
from ciplug.interop.mlflow_export import Exported, RunExport
from ciplug.interop.mlflow_export_registry import VERSION
from ciplug.interop.mlflow_server import Interrupted, MlflowServer, Refused
from ciplug.interop.mlflow_source import COMMIT_TAG, ExportSource
from ciplug.interop.mlflow_uploads import Uploads, pairs
from ciplug.registry.ladder import NO_STAGE
from ciplug.registry.model import Model, Version

_NAME = re.compile(r"[\w.+-]{1,255}", re.ASCII)
_STAGE = "ciplug.stage"


class GitlabRegistryExport:
    """Registered models on their way to GitLab."""

    def __init__(
        self,
        source: ExportSource,
        server: MlflowServer,
        runs: RunExport,
        tell: Callable[[int], None],
        done: Exported,
    ) -> None:
        self._source, self._server, self._runs, self._tell, self._done = source, server, runs, tell, done

    def run(self) -> None:
        for model in self._source.models():
            try:
                if not _NAME.fullmatch(model.name):
                    words = "GitLab takes letters, digits, '.', '_', '+' and '-' in the name of a model"
                    self._done.failed.append(f"model '{model.name}': {words}")
                    continue
                self._copy(model)
            except Refused as refused:
                if refused.status in (401, 403):
                    raise
                self._done.failed.append(f"model '{model.name}': {refused.message}")
            except (Interrupted, CiplugError) as problem:
                self._done.failed.append(f"model '{model.name}': {problem.message}")

    def _copy(self, model: Model) -> None:
        server = self._server
        try:
            server.get("registered-models/get", name=model.name)
        except Refused as missing:
            if not missing.is_unknown_thing:
                raise
            about = {
                "name": model.name,
                "description": model.description or "",
                "tags": pairs(self._runs.own_tags(model.tags)),
            }
            server.post("registered-models/create", about)
        if self._source.aliases(model):
            self._done.left_out["alias: GitLab keeps none"] += 1
        for version in model.versions:
            self._take(model, version)
            self._tell(1)

    def _take(self, model: Model, version: Version) -> None:
        server, number = self._server, f"{version.number}.0.0"
        made = self._find(model, number)
        if made is None:
            mark = {VERSION: str(version.number), WRITER: mark_of(self._runs.writer)}
            tags = {**self._runs.own_tags(version.tags), "gitlab.version": number, **mark}
            if version.stage != NO_STAGE:
                tags[_STAGE] = version.stage
            about = {"name": model.name, "description": version.description or "", "tags": pairs(tags)}
            try:
                made = server.post("model-versions/create", about)["model_version"]
            except Refused as refused:
                # Another export was first, or our own request, of which the answer was lost.
                made = self._find(model, number)
                if made is None:
                    raise refused from None
        marks = {tag["key"]: str(tag.get("value", "")) for tag in made.get("tags") or ()}
        if marks.get(VERSION) != str(version.number):
            raise StoreError(f"version {number} there is not of this export")
        run = server.get("runs/get", run_id=str(made["run_id"]))["run"]
        data = run.get("data") or {}
        if any(tag["key"] == VERSION for tag in data.get("tags") or ()):
            self._done.known_versions += 1
            return
        if not may_go_on(marks.get(WRITER, ""), self._runs.writer):
            raise StoreError(f"another export is writing version {number} there; export again when it has ended")
        self._complete(run, version, has_metrics=bool(data.get("metrics")))
        if version.stage != NO_STAGE:
            self._done.left_out[f"stage: GitLab keeps none; it is in the tag {_STAGE} of the version"] += 1
        self._done.versions += 1

    def _find(self, model: Model, number: str) -> dict[str, Any] | None:
        """A version there, of which the alias is its number as SemVer."""
        try:
            found: dict[str, Any] = self._server.get("registered-models/alias", name=model.name, alias=number)
        except Refused as missing:
            if not missing.is_unknown_thing:
                raise
            return None
        made: dict[str, Any] = found["model_version"]
        return made

    def _complete(self, run: dict[str, Any], version: Version, *, has_metrics: bool) -> None:
        """Give the run of a version its files, metrics and tags. The last of them says that it has all."""
        server, id_ = self._server, str(run["info"]["run_id"])
        if version.run:
            uploads = Uploads(server, lambda name, why: self._lost(why))
            files = self._source.files_of_run(version.run, version.files or None)
            uploads.send(files, str(run["info"].get("artifact_uri") or ""))
        metrics = [
            {"key": name, "value": value, "timestamp": int(run["info"].get("start_time") or 0), "step": 0}
            for name, value in version.metrics.items()
            if value - value == 0
        ]
        if metrics and not has_metrics:
            server.post("runs/log-batch", {"run_id": id_, "metrics": metrics}, repeats=False)
        tags = {TAG: version.run, COMMIT_TAG: version.commit}
        own = {tag["key"] for tag in (run.get("data") or {}).get("tags") or ()}
        for key, value in [*tags.items(), (VERSION, str(version.number))]:
            if value and key not in own:
                set_tag(server, id_, key, value)

    def _lost(self, why: str) -> None:
        self._done.left_out[f"file: {why}"] += 1
