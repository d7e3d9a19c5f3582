"""The runs and registered models of an MLflow store, read by MLflow's own client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from ciplug.capture.mlflow.marks import TAG
from ciplug.capture.mlflow.run import seconds
from ciplug.console import warning
from ciplug.errors import CiplugError, UsageError, listed
from ciplug.git.credentials import redact
from ciplug.interop.import_runs import Candidate, Choice, Imported, Importer, Taken
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
from ciplug.steps.record import objects_of
from ciplug.steps.session import Session

_PAGE = 1_000


def import_mlflow(
    session: Session, source: str, choice: Choice, tell: Callable[[int], None], experiments: Sequence[str] = ()
) -> tuple[Imported, ImportedModels]:
    """Copy the runs and registered models of an MLflow store into this one.

    Args:
        source: as MLflow writes the address of a store.
        tell: is called with numbers of runs that were dealt with.
        experiments: names; only these, and no registered models. Empty: all.

    Raises UsageError for an address without a store or an experiment that is not there, and StoreError where one of the
    two stores cannot be reached: what was written until then stays.
    """
    importer = Importer(session, choice, tell)
    store = _MlflowSource(importer, source, tuple(experiments))
    done = importer.run(store)
    if experiments:
        return done, ImportedModels()
    # Another session, since this one has seen the store before its runs came.
    made = RegistryView(Place(place_uri(session))).registration
    models = RegistryImport(
        session.refreshed(), store.client, redact(source), importer.known, made, tell, copied=choice.artifacts
    )
    return done, models.run()


class _MlflowSource:
    def __init__(self, importer: Importer, source: str, experiments: tuple[str, ...]) -> None:
        self._importer, self._session, self._choice = importer, importer.session, importer.choice
        self._names, self._source = experiments, redact(source)
        self.client = open_client(source, self._session.cwd, for_reading=True)
        self._artifacts = Artifacts(importer.files, self.client, source, self._session.cwd)

    def runs(self) -> Iterator[Candidate]:
        experiments = self._experiments()
        self._describe(experiments)
        for experiment in experiments:
            for run in self._runs_in(experiment):
                info = run.info
                yield Candidate(
                    id=info.run_id,
                    name=f"run {info.run_id}",
                    read=partial(self._read, run, experiment.name),
                    other_id=run.data.tags.get(TAG),
                    is_unfinished=info.status in UNFINISHED,
                )

    # Reading

    def _experiments(self) -> list[Any]:
        from mlflow.entities import ViewType

        found = list(self._pages(lambda token: self.client.search_experiments(ViewType.ALL, _PAGE, page_token=token)))
        names = {one.name for one in found}
        if missing := [name for name in self._names if name not in names]:
            raise UsageError(
                f"{self._source} has no experiment '{missing[0]}'", hint=f"it has: {listed(sorted(names), most=20)}"
            )
        wanted = self._names or names
        return sorted((one for one in found if one.name in wanted), key=lambda one: str(one.experiment_id))

    def _runs_in(self, experiment: Any) -> Iterator[Any]:
        from mlflow.entities import ViewType

        ids = [experiment.experiment_id]
        return self._pages(
            lambda token: self.client.search_runs(
                ids, run_view_type=ViewType.ALL, max_results=_PAGE, order_by=["start_time ASC"], page_token=token
            )
        )

    def _pages(self, ask: Callable[[str | None], Any]) -> Iterator[Any]:
        def answered(token: str | None) -> Any:
            with translated(self._source):
                return ask(token)

        return pages(answered)

    # One run

    def _read(self, run: Any, experiment: str) -> Taken:
        info, tags = run.info, run.data.tags
        objects, commit = self._record(run, experiment), commit_of(tags)
        is_deleted = info.lifecycle_stage == "deleted"
        if is_deleted:
            user = tags.get(state.OWN_USER) or info.user_id
            ended = seconds(info.end_time) or seconds(info.start_time) or 0.0
            name, objects[name] = deletion_of(RunKey(commit, info.run_id), self._model(experiment), ended, user)
        return Taken(objects, has_commit=commit is not None, is_deleted=is_deleted)

    def _record(self, run: Any, experiment: str) -> dict[str, bytes]:
        run_id, outputs = run.info.run_id, run.outputs
        with translated(self._source):
            histories = {name: self.client.get_metric_history(run_id, name) for name in run.data.metrics}
            ids = [one.model_id for one in (outputs.model_outputs if outputs else ())]
            models = {one: self.client.get_logged_model(one) for one in ids}
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
        record = self._importer.masks.run(record)
        objects = objects_of(record, logged.series, problems, texts=logged.texts)
        own = (one for one in models.values() if one.source_run_id == run_id)
        objects.update(logged_model_of(one, experiment, copied=self._choice.artifacts) for one in own)
        for words in (*refused, *(problem.message for problem in problems)):
            self._session.tell(warning(f"MLflow run {run_id[:12]}: {words}"))
        return objects

    def _model(self, experiment: str) -> str:
        return self._importer.model_of(experiment if experiment != state.DEFAULT_EXPERIMENT else None)

    def _describe(self, experiments: Sequence[Any]) -> None:
        """Keep the tags, times and deletion of each experiment that the store knows nothing of but its name."""
        described = dict(map(experiment_of, experiments))
        known = self._session.store.keys(*(key.amendments for key in described)) if described else []
        self._importer.put(
            {
                name: data
                for key, (name, data) in described.items()
                if not any(one.startswith(key.amendments) for one in known)
            }
        )
