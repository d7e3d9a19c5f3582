"""Import the runs of an MLflow store: each once, by its id, in writes of up to a thousand.

What is in the store already is left as it is, so that an import that was cut off goes on where it was, and a second one
adds nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciplug.capture.masking import Masks
from ciplug.capture.mlflow.run import TAG, seconds
from ciplug.config import DEFAULT_MODEL
from ciplug.console import warning
from ciplug.errors import CiplugError, UsageError, listed
from ciplug.git.credentials import redact
from ciplug.interop.mlflow_artifacts import Artifacts
from ciplug.interop.mlflow_client import open_client, pages, place_uri, translated
from ciplug.interop.mlflow_record import (
    UNFINISHED,
    commit_of,
    deletion_of,
    experiment_of,
    logged_model_of,
    mlflow_run,
    record_of,
)
from ciplug.interop.mlflow_registry import ImportedModels, RegistryImport
from ciplug.mlflow import state
from ciplug.mlflow.place import Place
from ciplug.mlflow.registry_view import RegistryView
from ciplug.records.keys import RunKey
from ciplug.records.run import is_model_name
from ciplug.steps.record import masked_notes, objects_of
from ciplug.steps.session import Session
from ciplug.steps.sign import signed
from ciplug.steps.trust import need_trusted
from ciplug.tracking.query import RUN_ID

_PAGE = 1_000
_RUNS_MOST, _BYTES_MOST, _FETCHED_MOST = 1_000, 64 * 1024 * 1024, 1024 * 1024 * 1024
"""The limits of one write: runs, bytes of their records, and bytes of artifacts that were fetched for them."""


@dataclass
class Imported:
    """What an import has done."""

    new: int = 0
    known: int = 0
    """Runs that the store had."""
    unfinished: list[str] = field(default_factory=list)
    """Runs that go on in MLflow, and were not taken."""
    failed: list[str] = field(default_factory=list)
    """Runs that could not be read, with the reason: the next import tries them again."""
    deleted: int = 0
    """Of the new ones."""
    files: int = 0
    """That were sent with them."""
    models: ImportedModels = field(default_factory=ImportedModels)


@dataclass(frozen=True)
class Choice:
    """What is imported, and how."""

    experiments: tuple[str, ...] = ()
    """Names; empty: all."""
    model: str | None = None
    """The model of every run."""
    artifacts: bool = True
    unfinished: bool = False
    """Take runs that go on, as they are now."""


def import_runs(session: Session, source: str, choice: Choice, tell: Callable[[int], None]) -> Imported:
    """Copy the runs of an MLflow store into this one.

    Args:
        source: as MLflow writes the address of a store.
        tell: is called with numbers of runs that were dealt with.

    Raises UsageError for an address without a store or an experiment that is not there, and StoreError where one of the
    two stores cannot be reached: what was written until then stays.
    """
    need_trusted(session, hint="import in the pipeline of a trusted branch, or on your machine")
    return _Import(session, source, choice, tell).run()


class _Import:
    def __init__(self, session: Session, source: str, choice: Choice, tell: Callable[[int], None]) -> None:
        self._session, self._choice, self._tell = session, choice, tell
        self._address, self._source = source, redact(source)
        self._client = open_client(source, session.cwd, for_reading=True)
        self._done = Imported()
        self._masks = Masks.of(session.env, session.config.redact)
        self._objects: dict[str, bytes] = {}
        """What is to be written."""
        self._runs = self._bytes = 0

    def run(self) -> Imported:
        self._known = {str(one) for one in self._session.runs().catalog.column(RUN_ID).values}
        experiments = self._experiments()
        self._describe(experiments)
        with tempfile.TemporaryDirectory(prefix="ciplug-import-") as folder:
            self._artifacts = Artifacts(self._session, self._client, self._address, Path(folder))
            for experiment in experiments:
                for run in self._runs_in(experiment):
                    self._take(run, experiment.name)
                    self._tell(1)
            self._write()
        self._session.tell(*masked_notes(self._masks))
        if not self._choice.experiments:
            self._done.models = self._registry()
        return self._done

    def _registry(self) -> ImportedModels:
        """Import the registered models, whose versions name the runs that are here by now."""
        place = Place(place_uri(self._session))
        # Another session, since this one has seen the store before its runs came.
        session = self._session.refreshed()
        copied = self._choice.artifacts
        made = RegistryView(place).registration
        return RegistryImport(session, self._client, self._source, self._known, made, self._tell, copied=copied).run()

    # Reading

    def _experiments(self) -> list[Any]:
        from mlflow.entities import ViewType

        found = list(self._pages(lambda token: self._client.search_experiments(ViewType.ALL, _PAGE, page_token=token)))
        names = {one.name for one in found}
        if missing := [name for name in self._choice.experiments if name not in names]:
            raise UsageError(
                f"{self._source} has no experiment '{missing[0]}'", hint=f"it has: {listed(sorted(names), most=20)}"
            )
        wanted = self._choice.experiments or names
        return sorted((one for one in found if one.name in wanted), key=lambda one: str(one.experiment_id))

    def _runs_in(self, experiment: Any) -> Iterator[Any]:
        from mlflow.entities import ViewType

        ids = [experiment.experiment_id]
        return self._pages(
            lambda token: self._client.search_runs(
                ids, run_view_type=ViewType.ALL, max_results=_PAGE, order_by=["start_time ASC"], page_token=token
            )
        )

    def _pages(self, ask: Callable[[str | None], Any]) -> Iterator[Any]:
        def answered(token: str | None) -> Any:
            with translated(self._source):
                return ask(token)

        return pages(answered)

    # One run

    def _take(self, run: Any, experiment: str) -> None:
        info, tags = run.info, run.data.tags
        if info.run_id in self._known or tags.get(TAG) in self._known:
            self._done.known += 1
            return
        if info.status in UNFINISHED and not self._choice.unfinished:
            self._done.unfinished.append(info.run_id)
            return
        try:
            objects = self._record(run, experiment)
        except (CiplugError, ValueError, TypeError, OverflowError) as problem:
            words = problem.message if isinstance(problem, CiplugError) else str(problem)
            self._done.failed.append(f"run {info.run_id}: {words}")
            return
        if info.lifecycle_stage == "deleted":
            user = tags.get(state.OWN_USER) or info.user_id
            ended = seconds(info.end_time) or seconds(info.start_time) or 0.0
            key = RunKey(commit_of(tags), info.run_id)
            name, objects[name] = deletion_of(key, self._model(experiment), ended, user)
            self._done.deleted += 1
        self._known.add(info.run_id)
        self._add(objects)

    def _record(self, run: Any, experiment: str) -> dict[str, bytes]:
        run_id, outputs = run.info.run_id, run.outputs
        with translated(self._source):
            histories = {name: self._client.get_metric_history(run_id, name) for name in run.data.metrics}
            ids = [one.model_id for one in (outputs.model_outputs if outputs else ())]
            models = {one: self._client.get_logged_model(one) for one in ids}
        if self._choice.artifacts:
            with translated(self._source):
                files, lost = self._artifacts.take(run, models)
        else:
            files, lost = (), ()
        address = None if self._choice.artifacts else run.info.artifact_uri
        found = mlflow_run(run, experiment, histories, models, address)
        refused: list[str] = []
        record, logged = record_of(
            found,
            model=self._model(experiment),
            source=self._source,
            user=run.info.user_id or "",
            artifacts=files,
            lost=lost,
            refused=refused,
        )
        problems: list[CiplugError] = []
        record = self._masks.run(record)
        objects = objects_of(record, logged.series, problems, texts=logged.texts)
        own = (one for one in models.values() if one.source_run_id == run_id)
        objects.update(logged_model_of(one, experiment, copied=self._choice.artifacts) for one in own)
        for words in (*refused, *(problem.message for problem in problems)):
            self._session.tell(warning(f"MLflow run {run_id[:12]}: {words}"))
        return objects

    def _model(self, experiment: str) -> str:
        configured = self._choice.model or self._session.config.of(None).model
        if configured:
            return configured
        is_usable = experiment != state.DEFAULT_EXPERIMENT and is_model_name(experiment)
        return experiment if is_usable else DEFAULT_MODEL

    # Writing

    def _describe(self, experiments: Sequence[Any]) -> None:
        """Keep the tags, times and deletion of each experiment that the store knows nothing of but its name."""
        described = dict(map(experiment_of, experiments))
        known = self._session.store.keys(*(key.amendments for key in described)) if described else []
        for key, (name, data) in described.items():
            if not any(one.startswith(key.amendments) for one in known):
                self._objects[name] = data

    def _add(self, objects: Mapping[str, bytes]) -> None:
        self._objects.update(objects)
        self._runs += 1
        self._bytes += sum(map(len, objects.values()))
        if self._runs >= _RUNS_MOST or self._bytes > _BYTES_MOST or self._artifacts.fetched > _FETCHED_MOST:
            self._write()

    def _write(self) -> None:
        """Write what waits: the files first, so that no record names bytes that are not there."""
        if self._objects:
            self._done.files += self._artifacts.send()
            session = self._session
            trusted = session.context.trusted
            session.store.add(signed(session.env, self._objects, trusted=trusted, repository=session.repository))
        self._done.new += self._runs
        self._objects, self._runs, self._bytes = {}, 0, 0
