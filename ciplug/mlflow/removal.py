"""What `mlflow gc` does: runs, experiments and logged models that were deleted are removed from the store for good.

The registry never changes, so what one of its events names is kept, and the reason is said.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST

from ciplug.console import Note, warning
from ciplug.errors import StoreError
from ciplug.mlflow import files, state
from ciplug.mlflow.errors import translated
from ciplug.mlflow.search import Table
from ciplug.records.keys import RunKey
from ciplug.records.run import File
from ciplug.steps.amend import RequestedChange, Target, amend

if TYPE_CHECKING:
    from ciplug.mlflow.journals import Local
    from ciplug.mlflow.place import Place

_TOLD_MOST = 20


class Removal:
    """The part of the tracking store that `mlflow gc` calls. None of these names is public in MLflow."""

    place: Place

    @translated
    def _get_deleted_runs(self, older_than: int = 0) -> list[str]:
        """Return the ids of the runs that were deleted so many milliseconds ago, without those that are kept."""
        place = self.place
        with place.lock:
            local = place.look(0.0)
            experiments = place.experiments(local)
            every = Table(place.base, local).search(experiments, (), {"deleted"}, (), (), 0, None)
            found = [run.id for run in every.runs if self._deleted_at(run.id, local) <= _now() - older_than]
            return self._without_kept(found, ())

    def _deleted_at(self, run_id: str, local: Mapping[str, Local]) -> int:
        """Unix milliseconds of a deletion; now, for one that is not sealed yet."""
        own = local.get(run_id)
        key = self.place.base.run_key(run_id, own)
        deletion = self.place.base.changes(key, own).deletion if key else None
        return state.milliseconds(deletion.created) if deletion else _now()

    @translated
    def _get_deleted_logged_models(self, older_than: int = 0) -> list[str]:
        """The same for logged models."""
        until = _now() - older_than
        with self.place.lock:
            every = self.place.base.logged_models(self.place.look(0.0))
            found = [one.id for one in every.values() if one.deleted and one.updated <= until]
            return self._without_kept([], found)

    def _without_kept(self, runs: Sequence[str], models: Sequence[str]) -> list[str]:
        """Leave out what the registry names; whoever asks is told why."""
        from ciplug.steps.erase import names_in_registry  # a training removes nothing

        names = set(runs), set(models)
        held = {one.id: one for one in names_in_registry(self.place.session, *names)} if runs or models else {}
        for one in list(held.values())[:_TOLD_MOST]:
            self.place.session.tell(warning(one.words))
        if len(held) > _TOLD_MOST:
            self.place.session.tell(Note(f"and {len(held) - _TOLD_MOST} more are kept"))
        return [one for one in (*runs, *models) if one not in held]

    @translated
    def _hard_delete_run(self, run_id: str) -> None:
        from ciplug.steps.erase import check_unregistered

        place = self.place
        with place.lock:
            if place.sessions.open_run(run_id) is not None:
                place.sessions.end(run_id, "killed", None)
                place.sessions.send()
            place.sessions.seal(run_id)
            local = place.look()
            key = place.base.run_key(run_id, local.get(run_id))
            if key is None:
                raise MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)
            check_unregistered(place.session.refreshed(), [key])
            self._keep_models_of(run_id, local)
            self._remove([key])

    def _keep_models_of(self, run_id: str, local: Mapping[str, Local]) -> None:
        """Have the logged models that stay name their files themselves, which only the record of their run named."""
        place = self.place
        for model in place.base.logged_models(local).values():
            if model.source_run != run_id or model.deleted:
                continue
            key = state.model_key(model.id)
            listed = files.listed(place, files.Subject(key.id, model.id, ""))
            artifacts = tuple(
                File(path=name, size=kept.size, digest=kept.digest, store=kept.store)
                for name, kept in sorted(listed.items())
                if kept.digest is not None
            )
            if len(artifacts) < len(listed):
                raise StoreError(
                    f"files of the logged model {model.id} wait on this machine",
                    hint=f"send them first: {place.session.send_command}",
                )
            if artifacts != model.artifacts:
                target = Target(key, state.DESCRIBED, None, {}, {}, place.base.changes(key, local.get(key.id)))
                amend(place.session.refreshed(), [target], RequestedChange(artifacts=artifacts))

    @translated
    def _hard_delete_logged_model(self, model_id: str) -> None:
        """Remove what describes a logged model. Its files stay while its run names them."""
        place, key = self.place, state.model_key(model_id)
        with place.lock:
            place.sessions.seal(key.id)
            if place.logged_model(model_id) is None:
                raise MlflowException(f"Logged model with ID '{model_id}' not found.", RESOURCE_DOES_NOT_EXIST)
            self._remove([key], model_id)

    @translated
    def _hard_delete_experiment(self, experiment_id: str) -> None:
        """Remove an experiment with the runs and the logged models that are left in it."""
        place = self.place
        with place.lock:
            found = place.experiment(str(experiment_id))
            if found is None:
                raise MlflowException(f"No Experiment with id={experiment_id} exists", RESOURCE_DOES_NOT_EXIST)
            if not found.deleted:
                raise MlflowException(f"The experiment {experiment_id} is not deleted", INVALID_PARAMETER_VALUE)
            key = state.experiment_key(found.id)
            place.sessions.seal(key.id)
            local = place.look()
            both = {"active", "deleted"}
            runs = Table(place.base, local).search([found.id], (), both, (), (), 0, None).runs
            models = [one.id for one in place.base.logged_models(local).values() if one.experiment == found.id]
            for run in runs:
                place.sessions.seal(run.id)
            of_runs = [place.base.run_key(run.id, local.get(run.id)) for run in runs]
            self._remove([key, *filter(None, of_runs), *map(state.model_key, models)], *models)

    def _remove(self, keys: Sequence[RunKey], *models: str) -> None:
        from ciplug.steps.erase import remove_deleted

        place = self.place
        session = place.session.refreshed()
        remove_deleted(session, keys, models)
        place.forget({key.id for key in keys})


def _now() -> int:
    return int(time.time() * 1000)
