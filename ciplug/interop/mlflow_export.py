"""Export the runs of this store to a server with MLflow's REST API: each once.

The server gives each run a new id; the tag `ciplug.run` has the one that it has here. It is written last: a copy
without it was cut off, and the next export removes it and copies the run again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ciplug.capture.mlflow.events import ARTIFACTS, EXPERIMENT, RUN_ID
from ciplug.capture.mlflow.run import PARENT, TAG
from ciplug.errors import CiplugError, StoreError, UsageError, listed
from ciplug.interop.mlflow_record import SOURCE
from ciplug.interop.mlflow_server import Interrupted, MlflowServer, Refused, Unusable
from ciplug.interop.mlflow_source import ExportSource, tags_of
from ciplug.interop.mlflow_uploads import Uploads, pairs
from ciplug.mlflow.state import Experiment, RunState
from ciplug.records.run import Run

COPYING = "ciplug.copying"
LOGGED_MODEL = "ciplug.logged_model"
"""Tag of a logged model: the id that it has here."""
_OF_THE_COPY = {RUN_ID, EXPERIMENT, ARTIFACTS, SOURCE, TAG, PARENT}
"""Tags that say where a run is from, or name another id there."""
_ATTEMPTS = 3
_BACKOFF = 0.5
T = TypeVar("T")


@dataclass
class Exported:
    """What an export has done."""

    new: int = 0
    known: int = 0
    deleted: int = 0
    """Runs that are deleted here, and were not copied: there, what is deleted is gone."""
    failed: list[str] = field(default_factory=list)
    """Runs that could not be written, with the reason."""
    left_out: Counter[str] = field(default_factory=Counter)
    """What the server does not take → how often it was left out."""
    versions: int = 0
    """New ones of registered models."""
    known_versions: int = 0


class RunExport:
    """Runs on their way to a server."""

    def __init__(self, source: ExportSource, server: MlflowServer, tell: Callable[[int], None], done: Exported) -> None:
        self._source, self._server, self._tell, self._done = source, server, tell, done
        self.copies: dict[str, str] = {}
        """Our id of a run → theirs."""
        self.models: dict[str, str] = {}
        """Our id of a logged model → the address that its copy has there."""

    def copy_experiments(self, names: Sequence[str]) -> None:
        """Copy experiments with their runs; without names, all. Raises UsageError for one that is not there."""
        every = self._source.experiments
        if missing := [name for name in names if name not in every]:
            raise UsageError(
                f"there is no experiment '{missing[0]}'", hint=f"there is: {listed(sorted(every), most=20)}"
            )
        for name in names or sorted(every):
            experiment = every[name]
            if experiment.deleted and not self._server.dialect.keeps_deleted:
                self._done.deleted += len(self._source.run_ids(experiment.id))
                continue
            target = _Target(self._server, experiment)
            self.copies |= target.known()
            for run, record in self._source.runs(self._source.run_ids(experiment.id)):
                self._take(run, record, target)
                self._tell(1)
            target.close()

    def copy_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Copy one run.

        Args:
            tags: more of them, that it gets there.

        Raises UsageError for a run that is not there.
        """
        found = self._source.run(run_id)
        if found is None:
            raise UsageError(f"there is no run {run_id}", hint="list them: ciplug runs list")
        run, record = found
        experiment = self._source.experiments.get(run.experiment_name)
        target = _Target(self._server, experiment or Experiment(id=run.experiment, name=run.experiment_name))
        self.copies |= target.known(run.id)
        self._take(run, record, target, tags)
        self._tell(1)

    def _take(self, run: RunState, record: Run | None, target: _Target, tags: Mapping[str, str] | None = None) -> None:
        if run.id in self.copies:
            self._done.known += 1
            return
        if run.deleted and not self._server.dialect.keeps_deleted:
            self._done.deleted += 1
            return
        try:
            if target.is_deleted:
                raise StoreError(f"the experiment '{target.name}' is deleted there")
            self.copies[run.id] = self._copy(run, {**tags_of(run, record), **(tags or {})}, target)
            self._done.new += 1
        except Refused as refused:
            if refused.status in (401, 403):
                raise
            self._done.failed.append(f"run {run.id}: {refused.message}")
        except Interrupted as cut:
            self._done.failed.append(f"run {run.id}: {cut.message}, {_ATTEMPTS} times")
        except Unusable:
            raise
        except CiplugError as problem:
            self._done.failed.append(f"run {run.id}: {problem.message}")

    def _copy(self, run: RunState, tags: Mapping[str, str], target: _Target) -> str:
        """Copy a run; where an answer did not come, what may be there of it is removed, and it is copied again."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._copy_once(run, tags, target)
            except Interrupted:
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(_BACKOFF * 2**attempt)
                target.remove_begun(run.id)
        raise AssertionError

    def _copy_once(self, run: RunState, tags: Mapping[str, str], target: _Target) -> str:
        server = self._server
        own = {name: value for name, value in tags.items() if name not in _OF_THE_COPY}
        if parent := run.tags.get(PARENT):
            own[PARENT] = self.copies.get(parent, parent)
        about = {
            "experiment_id": target.id,
            "start_time": run.start or 0,
            "run_name": run.name,
            "user_id": run.user,
            "tags": pairs({COPYING: run.id, **{name: own.pop(name) for name in [*own] if name.startswith("gitlab.")}}),
        }
        info = server.post("runs/create", about, repeats=False)["run"]["info"]
        copy = str(info["run_id"])
        self._log_values(run, copy, own)
        self._log_inputs(run, copy)
        uploads = Uploads(server, lambda name, why: self._left_out("file", why))
        address = str(info.get("artifact_uri") or "")
        uploads.send(self._source.files_of_run(run.id), address)
        self._log_models(run, copy, target.id, address, uploads)
        ended = {"end_time": run.end} if run.end is not None else {}
        server.post("runs/update", {"run_id": copy, "status": run.status, **ended})
        target.finish(copy, run.id)
        if run.deleted:
            server.post("runs/delete", {"run_id": copy})
        return copy

    # Values

    def _log_values(self, run: RunState, copy: str, tags: Mapping[str, str]) -> None:
        dialect = self._server.dialect
        for kind, values, most in (
            ("params", self._named("parameter", run.params), dialect.params_most),
            ("tags", tags, dialect.tags_most),
        ):
            items = pairs(values)
            for some in _batches(items, most):
                self._log(copy, kind, [[item] for item in some])
        metrics = [self._points(run, name) for name in self._named("metric", run.metrics)]
        for group in _groups(metrics, dialect.points_most):
            self._log(copy, "metrics", group)

    def _points(self, run: RunState, name: str) -> list[dict[str, Any]]:
        points = self._source.points(run.id, name)
        if not self._server.dialect.only_finite:
            return points
        finite = [point for point in points if not isinstance(point["value"], str)]
        if len(finite) < len(points):
            self._left_out("metric value", "it is NaN or infinite", len(points) - len(finite))
        return finite

    def _log(self, copy: str, kind: str, parts: Sequence[Sequence[dict[str, Any]]]) -> None:
        """Log values; of those that the server refuses together, each part alone.

        Args:
            parts: what can be logged, or left out, apart from the rest.
        """
        items = [item for part in parts for item in part]
        if not items:
            return
        try:
            self._server.post(
                "runs/log-batch", {"run_id": copy, kind: items}, repeats=self._server.dialect.filters_by_tag
            )
        except Refused as refused:
            if not refused.is_about_value:
                raise
            if len(parts) == 1:
                self._left_out({"params": "parameter", "tags": "tag"}.get(kind, "metric"), _why(refused))
                return
            for part in parts:
                self._log(copy, kind, [part])

    def _named(self, kind: str, values: Mapping[str, T]) -> dict[str, T]:
        """The values under names that the server takes."""
        taken = {name: value for name, value in values.items() if self._server.dialect.name.fullmatch(name)}
        for name in values.keys() - taken.keys():
            self._left_out(kind, f"its name is not one of the server's: {name}")
        return taken

    def _left_out(self, kind: str, why: str, count: int = 1) -> None:
        self._done.left_out[f"{kind}: {why}"] += count

    # What a run read and made

    def _log_inputs(self, run: RunState, copy: str) -> None:
        if not run.inputs:
            return
        about = {"run_id": copy, "datasets": self._source.inputs(run)}
        if self._server.supports("inputs", self._server.post, "runs/log-inputs", about) is None:
            self._left_out("dataset", "the server keeps none", len(run.inputs))

    def _log_models(self, run: RunState, copy: str, experiment: str, address: str, uploads: Uploads) -> None:
        for output in run.outputs:
            model = self._source.logged_model(output.id)
            files = self._source.files_of_model(output.id)
            if model is None:
                continue
            about = {
                "experiment_id": experiment,
                "name": model.name,
                "model_type": model.model_type or "",
                "source_run_id": copy,
                "params": pairs(model.params),
                "tags": pairs({**model.tags, LOGGED_MODEL: model.id}),
            }
            create = self._server.supports("logged models", self._server.post, "logged-models", about, repeats=False)
            if create is None:
                # Before MLflow 3, the files of a model were among the artifacts of its run.
                self._left_out("logged model", "the server keeps none, so its files are among those of its run")
                uploads.send(files, address, model.name)
                self.models[model.id] = f"runs:/{copy}/{model.name}"
                continue
            info = create["model"]["info"]
            exported = str(info["model_id"])
            uploads.send(files, str(info.get("artifact_uri") or ""))
            status = {"READY": "LOGGED_MODEL_READY", "FAILED": "LOGGED_MODEL_UPLOAD_FAILED"}.get(model.status)
            if status:
                self._server.post(f"logged-models/{exported}", {"model_id": exported, "status": status}, method="PATCH")
            self._server.post("runs/outputs", {"run_id": copy, "models": [{"model_id": exported, "step": output.step}]})
            self.models[model.id] = f"models:/{exported}"


class _Target:
    """An experiment there, which is made where there is none."""

    def __init__(self, server: MlflowServer, experiment: Experiment) -> None:
        self._server, self._experiment = server, experiment
        self.name = server.dialect.experiment_name(experiment.name)
        copy = self._find()
        self._is_new = copy is None
        if copy is None:
            try:
                copy = {"experiment_id": server.post("experiments/create", {"name": self.name})["experiment_id"]}
            except Refused as refused:
                # Another export was first, or our own request, of which the answer was lost.
                copy = self._find()
                if copy is None:
                    raise refused from None
        self.id = str(copy["experiment_id"])
        self.is_deleted = copy.get("lifecycle_stage", "active") != "active"
        if not self.is_deleted:
            known = {tag["key"] for tag in copy.get("tags") or ()}
            for key, value in experiment.tags.items():
                if key not in known:
                    about = {"experiment_id": self.id, "key": key, "value": value}
                    server.supports("experiment tags", server.post, "experiments/set-experiment-tag", about)

    def _find(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._server.get("experiments/get-by-name", experiment_name=self.name)["experiment"]
        except Refused as refused:
            if refused.is_unknown_thing:
                return None
            raise
        return found

    def known(self, run_id: str | None = None) -> dict[str, str]:
        """Return our id → theirs of the runs that are there, and remove those that were cut off.

        Args:
            run_id: only this one is asked for, where the server can.
        """
        copies: dict[str, str] = {}
        begun: list[str] = []
        for info, tags in self._search(run_id, TAG, COPYING):
            if TAG in tags:
                copies[tags[TAG]] = info["run_id"]
            elif COPYING in tags and info.get("lifecycle_stage", "active") == "active":
                begun.append(info["run_id"])
            copies.setdefault(info["run_id"], info["run_id"])
        for id_ in begun:
            self._server.post("runs/delete", {"run_id": id_})
            copies.pop(id_, None)
        return copies

    def remove_begun(self, run_id: str) -> None:
        """Remove the copies of a run that are not complete."""
        for info, tags in self._search(run_id, COPYING):
            is_active = info.get("lifecycle_stage", "active") == "active"
            if tags.get(COPYING) == run_id and TAG not in tags and is_active:
                self._server.post("runs/delete", {"run_id": info["run_id"]})

    def _search(self, run_id: str | None, *keys: str) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
        about: dict[str, Any] = {"experiment_ids": [self.id], "run_view_type": "ALL"}
        filters: list[dict[str, Any]] = [{}]
        if run_id is not None and self._server.dialect.filters_by_tag:
            filters = [{"filter": f"tags.`{key}` = '{run_id}'"} for key in keys]
        for one in filters:
            for run in self._server.pages("runs/search", "runs", {**about, **one}):
                tags = (run.get("data") or {}).get("tags") or ()
                yield run["info"], {str(tag["key"]): str(tag.get("value", "")) for tag in tags}

    def finish(self, copy: str, run_id: str) -> None:
        """Mark a copy as complete."""
        server = self._server
        try:
            server.post("runs/set-tag", {"run_id": copy, "key": TAG, "value": run_id})
        except Refused as refused:
            # GitLab takes a tag once: the answer to the first request may have been lost.
            run = server.get("runs/get", run_id=copy)["run"]
            tags = (run.get("data") or {}).get("tags") or ()
            if not any(tag["key"] == TAG for tag in tags):
                raise refused from None
        server.supports("deleting tags", server.post, "runs/delete-tag", {"run_id": copy, "key": COPYING})

    def close(self) -> None:
        """Delete an experiment that is deleted here."""
        if self._experiment.deleted and self._is_new:
            self._server.post("experiments/delete", {"experiment_id": self.id})


def _why(refused: Refused) -> str:
    """The server's words, without the values in them: equal refusals are counted together."""
    return refused.message.partition(": ")[2].partition(": ")[2] or refused.message


def _batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (values[at : at + size] for at in range(0, len(values), size))


def _groups(parts: Sequence[Sequence[T]], most: int) -> Iterator[list[Sequence[T]]]:
    """Put lists together until there are `most` items; a longer one is cut."""
    group: list[Sequence[T]] = []
    for part in (some for one in parts for some in _batches(one, most)):
        if sum(map(len, group)) + len(part) > most:
            yield group
            group = []
        group.append(part)
    if group:
        yield group
