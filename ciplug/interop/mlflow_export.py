"""Export the runs of this store to a server with MLflow's REST API: each once.

The server gives each run a new id; the tag `ciplug.run` has the one that it has here, and `ciplug.trust` says whose it
is. Of the tags that a training has set, none reaches the copy by which a server or an export is told what to do.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ciplug.capture.mlflow.events import ARTIFACTS, EXPERIMENT, RUN_ID
from ciplug.capture.mlflow.run import PARENT, TAG
from ciplug.errors import CiplugError, StoreError, UsageError, listed
from ciplug.interop.mlflow_copies import Busy, Copies
from ciplug.interop.mlflow_record import SOURCE
from ciplug.interop.mlflow_server import Interrupted, MlflowServer, Refused, Unusable
from ciplug.interop.mlflow_source import ExportSource, tags_of
from ciplug.interop.mlflow_uploads import FilesElsewhere, Uploads, pairs
from ciplug.mlflow.state import KIND, Experiment, RunState
from ciplug.records.run import Run

TRUST = "ciplug.trust"
LOGGED_MODEL = "ciplug.logged_model"
"""Tag of a logged model: the id that it has here."""
_PARENT_HERE = "ciplug.parent"
"""Tag of a run: the id that its parent has here, where that has no copy there."""
_OF_THE_COPY = {RUN_ID, EXPERIMENT, ARTIFACTS, SOURCE, TAG, PARENT, KIND}
"""Tags that say where a run is from, or name another id there."""
_ATTEMPTS, _RESENT_MOST = 3, 5
_BACKOFF = 0.5
_HISTORY = 25_000
"""Points of one answer."""
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

    def __init__(
        self, source: ExportSource, server: MlflowServer, tell: Callable[[int], None], done: Exported, writer: str
    ) -> None:
        self._source, self._server, self._tell, self._done = source, server, tell, done
        self.writer = writer
        """The id of this export."""
        self.copies: dict[str, str] = {}
        """Our id of a run → theirs."""
        self.models: dict[str, str] = {}
        """Our id of a logged model → the address that its copy has there."""
        self._failed: set[str] = set()

    def copy_experiments(self, names: Sequence[str]) -> None:
        """Copy experiments with their runs; without names, all. Raises UsageError for one that is not there."""
        every = self._source.experiments
        if missing := [name for name in names if name not in every]:
            raise UsageError(
                f"there is no experiment '{missing[0]}'", hint=f"there is: {listed(sorted(every), most=20)}"
            )
        for name in names or sorted(every):
            experiment = every[name]
            if alike := self._of_same_name(experiment):
                words = f"here, '{alike}' has the same name for {self._server.dialect.title}: rename one of the two"
                self._done.failed.append(f"experiment '{name}': {words}")
                continue
            if experiment.deleted and not self._server.dialect.keeps_deleted:
                self._done.deleted += len(self._source.run_ids(experiment.id))
                continue
            target = self._target(experiment)
            self.copies |= target.known()
            for run, record in self._source.runs(self._source.run_ids(experiment.id)):
                self._take(run, record, target)
                self._tell(1)
            target.close()

    def _target(self, experiment: Experiment) -> Copies:
        return Copies(self._server, experiment, self.own_tags(experiment.tags), self.writer)

    def _of_same_name(self, experiment: Experiment) -> str | None:
        """Another experiment here that would be the same one there."""
        name = self._server.dialect.experiment_name
        kept = (
            one for one in self._source.experiments.values() if self._server.dialect.keeps_deleted or not one.deleted
        )
        return next(
            (one.name for one in kept if one.name != experiment.name and name(one.name) == name(experiment.name)), None
        )

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
        experiment = experiment or Experiment(id=run.experiment, name=run.experiment_name)
        if alike := self._of_same_name(experiment):
            title = self._server.dialect.title
            raise UsageError(
                f"the experiments '{experiment.name}' and '{alike}' have the same name for {title}",
                hint="rename one of the two",
            )
        target = self._target(experiment)
        self.copies |= target.known(run.id)
        if (parent := run.tags.get(PARENT)) and self._server.dialect.filters_by_tag:
            self.copies |= target.known(parent)
        self._take(run, record, target, tags)
        self._tell(1)

    def own_tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """The tags of a training, without those that only an export sets."""
        reserved = self._server.dialect.reserved
        for name in tags:
            if name.startswith(reserved):
                self._left_out("tag", f"'{name}' is a name that a training cannot use there")
        return {name: value for name, value in tags.items() if not name.startswith(reserved)}

    def _take(self, run: RunState, record: Run | None, target: Copies, tags: Mapping[str, str] | None = None) -> None:
        if run.id in self.copies:
            self._done.known += 1
            return
        if run.deleted and not self._server.dialect.keeps_deleted:
            self._done.deleted += 1
            return
        try:
            if target.is_deleted:
                raise StoreError(f"the experiment '{target.name}' is deleted there")
            if (parent := run.tags.get(PARENT)) in self._failed:
                raise StoreError(f"the run above it, {parent}, is not there yet")
            facts = {**tags_of(run, record), TRUST: self._source.trust_of(record)}
            self.copies[run.id] = self._copy(run, facts, tags or {}, target)
            self._done.new += 1
        except Busy as busy:
            if busy.copy.is_complete:
                self.copies[run.id] = busy.copy.id
                self._done.known += 1
            else:
                self._fail(run, busy.message)
        except Interrupted as cut:
            self._fail(run, f"{cut.message}, {_ATTEMPTS} times")
        except Unusable:
            raise
        except CiplugError as problem:
            if isinstance(problem, Refused) and problem.status in (401, 403):
                raise
            self._fail(run, problem.message)

    def _fail(self, run: RunState, why: str) -> None:
        self._failed.add(run.id)
        self._done.failed.append(f"run {run.id}: {why}")

    def _copy(self, run: RunState, facts: Mapping[str, str], orders: Mapping[str, str], target: Copies) -> str:
        """Copy a run; where an answer did not come, what may be there of it is removed, and it is copied again."""
        left_out = self._done.left_out.copy()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._copy_once(run, facts, orders, target)
            except CiplugError as problem:
                self._done.left_out = left_out.copy()
                if isinstance(problem, FilesElsewhere) or not isinstance(problem, Unusable):
                    # Nobody waits for a copy that this export does not complete.
                    with suppress(StoreError):
                        target.remove_own(run.id)
                if not isinstance(problem, Interrupted) or attempt == _ATTEMPTS:
                    raise
                time.sleep(_BACKOFF * 2**attempt)
        raise AssertionError

    def _copy_once(self, run: RunState, facts: Mapping[str, str], orders: Mapping[str, str], target: Copies) -> str:
        """Args:
        facts: tags that this export adds.
        orders: tags that tell the server what to do.
        """
        server = self._server
        tags = {**self.own_tags({name: run.tags[name] for name in run.tags if name not in _OF_THE_COPY}), **facts}
        if parent := run.tags.get(PARENT):
            known = self.copies.get(parent)
            tags |= {PARENT: known} if known else {_PARENT_HERE: parent}
        about = {"start_time": run.start or 0, "run_name": run.name, "user_id": run.user}
        info = target.begin(run.id, about, orders)
        copy = str(info["run_id"])
        uploads = Uploads(server, lambda name, why: self._left_out("file", why))
        address = str(info.get("artifact_uri") or "")
        files = self._source.files_of_run(run.id)
        uploads.check(files, address)
        self._log_values(run, copy, tags)
        self._log_inputs(run, copy)
        uploads.send(files, address)
        self._log_models(run, copy, target.id, address, uploads)
        ended = {"end_time": run.end} if run.end is not None else {}
        server.post("runs/update", {"run_id": copy, "status": run.status, **ended})
        target.finish(copy, run.id)
        if run.deleted:
            target.remove(copy)
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
            self._send_once(copy, kind, items)
        except Refused as refused:
            if not refused.is_about_value:
                raise
            if len(parts) == 1:
                self._left_out({"params": "parameter", "tags": "tag"}.get(kind, "metric"), _why(refused))
                return
            for part in parts:
                self._log(copy, kind, [part])

    def _send_once(self, copy: str, kind: str, items: Sequence[dict[str, Any]]) -> None:
        """Log values, each once: a server may keep a point twice that it gets twice, or refuse a name that it has."""
        for attempt in range(1, _RESENT_MOST + 1):
            try:
                self._server.post("runs/log-batch", {"run_id": copy, kind: items}, repeats=False)
                return
            except Interrupted:
                if attempt == _RESENT_MOST:
                    raise
                time.sleep(_BACKOFF * attempt)
                if kind == "metrics":
                    there = {key: self._history(copy, key) for key in dict.fromkeys(one["key"] for one in items)}
                    if None in there.values():
                        raise
                    items = [one for one in items if _facts(one) not in (there[one["key"]] or ())]
                else:
                    found = (self._server.get("runs/get", run_id=copy)["run"].get("data") or {}).get(kind) or ()
                    known = {one["key"] for one in found}
                    items = [one for one in items if one["key"] not in known]
                if not items:
                    return

    def _history(self, copy: str, key: str) -> set[tuple[int, int, str]] | None:
        """The points of a metric that the server has; None where it does not tell."""
        about = {"run_id": copy, "metric_key": key, "max_results": _HISTORY}

        def read() -> dict[str, Any]:
            pages = self._server.pages("metrics/get-history", "metrics", about, method="GET")
            return {"found": set(map(_facts, pages))}

        found = self._server.supports("history of metrics", read)
        return None if found is None else found["found"]

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
                "tags": pairs({**self.own_tags(model.tags), LOGGED_MODEL: model.id}),
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


def _facts(point: Mapping[str, Any]) -> tuple[int, int, str]:
    """What a point is, however a server writes its numbers."""
    return int(point.get("step") or 0), int(point["timestamp"]), repr(float(point["value"]))


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
