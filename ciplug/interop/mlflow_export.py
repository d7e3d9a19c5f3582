"""Export the runs of this store to MLflow, by its client: each once. Both sides are MLflow's client, so that what is
written there is what MLflow shows of this store.

MLflow gives each run a new id; the tag `ciplug.run` has the one that it has here. It is written last: a copy without it
was cut off, and the next export removes it and copies the run again.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciplug.capture.mlflow.events import ARTIFACTS, EXPERIMENT, RUN_ID
from ciplug.capture.mlflow.run import PARENT, TAG
from ciplug.errors import CiplugError, StoreError, UsageError, listed
from ciplug.git.credentials import redact
from ciplug.interop.mlflow_client import download, open_client, pages, place_uri, translated
from ciplug.interop.mlflow_export_registry import LOGGED_MODEL, RegistryExport
from ciplug.interop.mlflow_record import SOURCE, UNFINISHED
from ciplug.steps.session import Session

_COPYING = "ciplug.copying"
_OF_THE_COPY = {RUN_ID, EXPERIMENT, ARTIFACTS, SOURCE, TAG, PARENT}
"""Tags that say where a run is from, or name another id there."""
_NAME = re.compile(r"[/\w.\- :]{1,250}")
"""The names of metrics and parameters that every store of MLflow takes."""
_METRICS_MOST, _PARAMS_MOST = 1_000, 100
"""Of one request."""


@dataclass
class Exported:
    """What an export has done."""

    new: int = 0
    known: int = 0
    failed: list[str] = field(default_factory=list)
    """Runs that could not be written, with the reason."""
    left_out: list[str] = field(default_factory=list)
    """Metrics and parameters whose names MLflow does not take."""
    versions: int = 0
    """New ones of registered models."""
    known_versions: int = 0


def export_runs(session: Session, uri: str, experiments: Sequence[str], tell: Callable[[int], None]) -> Exported:
    """Copy the runs of a store into MLflow.

    Args:
        uri: of MLflow: a server, SQLite, or a folder.
        experiments: names; empty: all.
        tell: is called with numbers of runs that were dealt with.

    Raises UsageError for an experiment that is not there, StoreError where one of the two cannot be reached.
    """
    theirs = open_client(uri, session.cwd, for_reading=False)
    from mlflow import MlflowClient

    address = place_uri(session)
    ours = MlflowClient(tracking_uri=address)
    done = Exported()
    every = {one.name: one for one in _experiments(ours)}
    if missing := [name for name in experiments if name not in every]:
        raise UsageError(f"there is no experiment '{missing[0]}'", hint=f"there is: {listed(sorted(every), most=20)}")
    copies: dict[str, str] = {}
    for name in experiments or sorted(every):
        runs = list(_runs(ours, every[name].experiment_id))
        if runs or every[name].tags:
            with translated(redact(uri)):
                copies.update(_Experiment(ours, address, theirs, every[name], done).copy(runs, tell))
    if not experiments:
        with translated(redact(uri)):
            RegistryExport(ours, theirs, copies, tell, done).run()
    return done


def _experiments(client: Any) -> Iterator[Any]:
    from mlflow.entities import ViewType

    return pages(lambda token: client.search_experiments(ViewType.ALL, 1_000, page_token=token))


def _runs(client: Any, experiment: str) -> Iterator[Any]:
    from mlflow.entities import ViewType

    order = ["start_time ASC"]
    return pages(lambda token: client.search_runs([experiment], "", ViewType.ALL, 1_000, order, token))


class _Experiment:
    """One experiment on its way."""

    def __init__(self, ours: Any, address: str, theirs: Any, experiment: Any, done: Exported) -> None:
        self._address = address
        self._ours, self._theirs, self._experiment, self._done = ours, theirs, experiment, done
        self._copies: dict[str, str] = {}
        """Our id → theirs."""

    def copy(self, runs: Sequence[Any], tell: Callable[[int], None]) -> Mapping[str, str]:
        """Copy the runs that are not there yet; returns our id → theirs."""
        there = self._theirs.get_experiment_by_name(self._experiment.name)
        id_ = there.experiment_id if there else self._theirs.create_experiment(self._experiment.name)
        is_active = there is None or there.lifecycle_stage == "active"
        for run in _runs(self._theirs, id_):
            if TAG in run.data.tags:
                self._copies[run.data.tags[TAG]] = run.info.run_id
            elif _COPYING in run.data.tags and run.info.lifecycle_stage == "active":
                self._theirs.delete_run(run.info.run_id)
            self._copies.setdefault(run.info.run_id, run.info.run_id)
        if is_active:
            for tag, value in self._experiment.tags.items():
                if there is None or tag not in there.tags:
                    self._theirs.set_experiment_tag(id_, tag, value)
        for run in parents_first(runs):
            self._take(run, id_, is_active=is_active)
            tell(1)
        if self._experiment.lifecycle_stage == "deleted" and is_active and there is None:
            self._theirs.delete_experiment(id_)
        return self._copies

    def _take(self, run: Any, experiment: str, *, is_active: bool) -> None:
        from mlflow.exceptions import MlflowException

        run_id = run.info.run_id
        if run_id in self._copies:
            self._done.known += 1
            return
        try:
            if not is_active:
                raise StoreError(f"the experiment '{self._experiment.name}' is deleted there")
            self._copies[run_id] = self._copy(run, experiment)
            self._done.new += 1
        except (MlflowException, CiplugError) as problem:
            self._done.failed.append(f"run {run_id}: {str(problem.message).splitlines()[0]}")

    def _copy(self, run: Any, experiment: str) -> str:
        info, theirs = run.info, self._theirs
        tags = {name: value for name, value in run.data.tags.items() if name not in _OF_THE_COPY}
        parent = run.data.tags.get(PARENT)
        if parent:
            tags[PARENT] = self._copies.get(parent, parent)
        tags[_COPYING] = info.run_id
        made = theirs.create_run(experiment, info.start_time, tags, info.run_name)
        copy = str(made.info.run_id)
        self._log_values(run, copy)
        if run.inputs and run.inputs.dataset_inputs:
            theirs.log_inputs(copy, run.inputs.dataset_inputs)
        self._log_models(run, copy, experiment)
        if self._ours.list_artifacts(info.run_id):
            with tempfile.TemporaryDirectory(prefix="ciplug-export-") as folder:
                theirs.log_artifacts(copy, self._ours.download_artifacts(info.run_id, "", folder))
        if info.status not in UNFINISHED:
            theirs.set_terminated(copy, info.status, info.end_time)
        theirs.delete_tag(copy, _COPYING)
        theirs.set_tag(copy, TAG, info.run_id)
        if info.lifecycle_stage == "deleted":
            theirs.delete_run(copy)
        return copy

    def _log_values(self, run: Any, copy: str) -> None:
        from mlflow.entities import Param

        params = [Param(name, value) for name, value in self._named(run, run.data.params).items()]
        for some in _batches(params, _PARAMS_MOST):
            self._theirs.log_batch(copy, params=some)
        names = self._named(run, run.data.metrics)
        points = [one for name in names for one in self._ours.get_metric_history(run.info.run_id, name)]
        for some in _batches(points, _METRICS_MOST):
            self._theirs.log_batch(copy, metrics=some)

    def _named(self, run: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values under names that MLflow takes."""
        bad = [name for name in values if not _NAME.fullmatch(name)]
        self._done.left_out += [f"{name} of run {run.info.run_id[:12]}" for name in bad]
        return {name: value for name, value in values.items() if name not in bad}

    def _log_models(self, run: Any, copy: str, experiment: str) -> None:
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        for output in run.outputs.model_outputs if run.outputs else ():
            model = self._ours.get_logged_model(output.model_id)
            tags = {**model.tags, LOGGED_MODEL: model.model_id}
            made = self._theirs.create_logged_model(
                experiment, model.name, copy, tags, dict(model.params), model.model_type
            )
            with tempfile.TemporaryDirectory(prefix="ciplug-export-") as folder:
                if download(model.artifact_location, self._address, Path(folder)):
                    self._theirs.log_model_artifacts(made.model_id, folder)
            self._theirs.finalize_logged_model(made.model_id, LoggedModelStatus(str(model.status)))
            self._theirs.log_outputs(copy, [LoggedModelOutput(made.model_id, output.step)])


def parents_first(runs: Sequence[Any]) -> list[Any]:
    """The runs in their order, but each after the one that it is a child of."""
    by_id = {run.info.run_id: run for run in runs}
    placed: dict[str, Any] = {}
    for run in runs:
        line: dict[str, Any] = {}
        one: Any = run
        while one is not None and one.info.run_id not in placed and one.info.run_id not in line:
            line[one.info.run_id] = one
            one = by_id.get(one.data.tags.get(PARENT))
        placed.update(reversed(line.items()))
    return list(placed.values())


def _batches(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (values[at : at + size] for at in range(0, len(values), size))
