"""Export the runs of this store to a server with MLflow's REST API: each once.

The server gives each run a new id; the tag `ciplug.run` has the one that it has here, and `ciplug.trust` says whose it
is. Of the tags that a training has set, none reaches the copy by which a server or an export is told what to do.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from ciplug.capture.mlflow.events import ARTIFACTS, EXPERIMENT, RUN_ID
from ciplug.capture.mlflow.marks import TAG
from ciplug.capture.mlflow.run import PARENT
from ciplug.errors import CiplugError, StoreError, UsageError, listed
from ciplug.interop.mlflow_copies import Busy, Copies
from ciplug.interop.mlflow_record import SOURCE
from ciplug.interop.mlflow_server import Interrupted, MlflowServer, Refused, Unusable
from ciplug.interop.mlflow_source import ExportSource, tags_of
from ciplug.interop.mlflow_uploads import FilesElsewhere, Uploads, pairs
from ciplug.interop.mlflow_values import RunValues
from ciplug.mlflow.state import KIND, Experiment, RunState
from ciplug.records.run import Run

TRUST = "ciplug.trust"
LOGGED_MODEL = "ciplug.logged_model"
"""Tag of a logged model: the id that it has here."""
_PARENT_HERE = "ciplug.parent"
"""Tag of a run: the id that its parent has here, where that has no copy there."""
_OF_THE_COPY = {RUN_ID, EXPERIMENT, ARTIFACTS, SOURCE, TAG, PARENT, KIND}
"""Tags that say where a run is from, or name another id there."""
_NAME_MOST = 250
_ATTEMPTS = 3
_BACKOFF = 0.5


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
        self.failed: set[str] = set()
        """Runs that are not there yet, though they should be."""

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
                self._fail_all(experiment, words)
                continue
            if experiment.deleted and not self._server.dialect.keeps_deleted:
                self._done.deleted += len(self._source.run_ids(experiment.id))
                continue
            try:
                target = self._target(experiment)
            except Refused as refused:
                if not refused.is_about_value:
                    raise
                self._fail_all(experiment, refused.message)
                continue
            self.copies |= target.known()
            for run, record in self._source.runs(self._source.run_ids(experiment.id)):
                if run is None:
                    self._left_out("run", "its record cannot be read; `ciplug fsck` names it")
                else:
                    self._take(run, record, target)
                self._tell(1)
            target.close()

    def _target(self, experiment: Experiment) -> Copies:
        target = Copies(self._server, experiment, self.writer)
        for why in target.describe(self.own_tags(experiment.tags)):
            self._left_out("tag of an experiment", why)
        return target

    def _of_same_name(self, experiment: Experiment) -> str | None:
        """Another experiment here that would be the same one there."""
        alike = self._names.get(self._server.dialect.experiment_name(experiment.name), ())
        return next((name for name in alike if name != experiment.name), None)

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """The name of an experiment there → the names of those that get it."""
        names: dict[str, list[str]] = {}
        for one in self._source.experiments.values():
            if self._server.dialect.keeps_deleted or not one.deleted:
                names.setdefault(self._server.dialect.experiment_name(one.name), []).append(one.name)
        return names

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
            if (parent := run.tags.get(PARENT)) in self.failed:
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
        self.failed.add(run.id)
        self._done.failed.append(f"run {run.id}: {why}")

    def _fail_all(self, experiment: Experiment, why: str) -> None:
        self.failed.update(self._source.run_ids(experiment.id))
        self._done.failed.append(f"experiment '{experiment.name}': {why}")

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
        if len(run.name) > _NAME_MOST:
            self._left_out("name of a run", f"what is beyond {_NAME_MOST} characters")
        name, user = run.name[:_NAME_MOST], run.user[:_NAME_MOST]
        about = {"start_time": run.start or 0, "run_name": name, "user_id": user}
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

    def _log_values(self, run: RunState, copy: str, tags: Mapping[str, str]) -> None:
        values = RunValues(self._server, copy, self._left_out)
        values.log_texts("params", run.params)
        values.log_texts("tags", tags)
        values.log_metrics({name: self._source.points(run.id, name) for name in run.metrics})

    def _left_out(self, kind: str, why: str, count: int = 1) -> None:
        self._done.left_out[f"{kind}: {why}"] += count

    # What a run read and made

    def _log_inputs(self, run: RunState, copy: str) -> None:
        if not run.inputs:
            return
        server = self._server
        for one in self._source.inputs(run):
            try:
                about = {"run_id": copy, "datasets": [one]}
                if server.supports("inputs", server.post, "runs/log-inputs", about) is None:
                    self._left_out("dataset", "the server keeps none")
            except Refused as refused:
                if not refused.is_about_value:
                    raise
                self._left_out("dataset", refused.reason)

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
            why = "the server keeps none"
            try:
                create = self._server.supports(
                    "logged models", self._server.post, "logged-models", about, repeats=False
                )
            except Refused as refused:
                if not refused.is_about_value:
                    raise
                create, why = None, refused.reason
            if create is None:
                # Before MLflow 3, the files of a model were among the artifacts of its run.
                self._left_out("logged model", f"{why}, so its files are among those of its run")
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
