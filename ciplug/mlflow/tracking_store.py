"""MLflow's tracking store on a `ciplug:` place: experiments, runs, what they log, and the search over them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.entities import LifecycleStage, Metric, RunStatus, ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    INVALID_STATE,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
)
from mlflow.store.entities.paged_list import PagedList
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_MODELS

from ciplug.capture import events
from ciplug.capture.events import Event
from ciplug.mlflow import entities, mlflow_names, state
from ciplug.mlflow.errors import check_tags, translated
from ciplug.mlflow.logged_models import LoggedModels
from ciplug.mlflow.metric_history import MetricHistory
from ciplug.mlflow.place import place_of
from ciplug.mlflow.removal import Removal
from ciplug.mlflow.search import Table
from ciplug.mlflow.search_filter import conditions_of, orders_of
from ciplug.mlflow.unsupported import Unsupported

_DATASETS_MOST = 1_000
_PAGE_MOST = 50_000


class TrackingStore(Unsupported, MetricHistory, LoggedModels, Removal, mlflow_names.AbstractTrackingStore):
    """The store of a checkout. Nothing is opened, or fetched, before it is used."""

    DEFAULT_EXPERIMENT_ID = state.DEFAULT_ID

    @translated
    def __init__(self, store_uri: str, artifact_uri: str | None = None) -> None:
        """
        Args:
            artifact_uri: where artifacts go: a server names it, and a client does not.
        """
        super().__init__()
        self._uri = store_uri
        self._root = artifact_uri or "ciplug-artifacts:/"
        self.place = place_of(store_uri, is_server=artifact_uri is not None, is_tracking=True)
        self._missed: set[str] = set()
        """Names of experiments that this program has asked for, and that were not there."""

    # Experiments

    def _location(self, one: state.Experiment) -> str:
        return one.location or str(mlflow_names.append_to_uri_path(self._root, one.id))

    def _experiment(self, experiment_id: str | int | None) -> state.Experiment:
        wanted = str(mlflow_names.parse_experiment_id(experiment_id or state.DEFAULT_ID))
        found = self.place.experiment(wanted)
        if found is None:
            raise MlflowException(f"No Experiment with id={wanted} exists", RESOURCE_DOES_NOT_EXIST)
        return found

    def _active_experiment(self, experiment_id: str) -> state.Experiment:
        found = self._experiment(experiment_id)
        if found.deleted:
            raise MlflowException(
                f"The experiment {found.id} must be in the 'active' state. Current state is deleted.",
                INVALID_PARAMETER_VALUE,
            )
        return found

    @translated
    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> str:
        mlflow_names.validate_experiment_name(name)
        if artifact_location:
            artifact_location = mlflow_names.resolve_uri_if_local(artifact_location)
            mlflow_names.validate_location_length(artifact_location)
        for tag in tags or ():
            mlflow_names.validate_experiment_tag(tag.key, tag.value)
        check_tags(tag.key for tag in tags or ())
        with self.place.lock:
            known = self.place.experiments()
            other = next((one for one in known.values() if one.name == name), None)
            if other is not None and self._was_just_made(other):
                return other.id
            if other is not None:
                raise MlflowException(f"Experiment(name={name}) already exists.", RESOURCE_ALREADY_EXISTS)
            turn = 0
            while (id_ := state.experiment_id(name, turn)) in known:
                turn += 1
            begun: list[Event] = [{"name": name}, events.tag(state.CREATED, _now())]
            if artifact_location:
                begun.append(events.tag(state.LOCATION, artifact_location))
            begun += [events.tag(tag.key, tag.value) for tag in tags or ()]
            self.place.sessions.change(state.experiment_key(id_), *begun)
            self._missed.discard(name)
            return id_

    def _was_just_made(self, one: state.Experiment) -> bool:
        """Whether another process has made an experiment since this program asked for it.

        Two machines that make one at once make the same one, and so do two programs. `mlflow.set_experiment` takes the
        error that it is there for an answer, and then logs to the default experiment.
        """
        was_missed = one.name in self._missed and not self.place.is_server
        self._missed.discard(one.name)
        return was_missed and not one.deleted

    @translated
    def get_experiment(self, experiment_id: str) -> Any:
        found = self._experiment(experiment_id)
        return entities.experiment(found, self._location(found))

    @translated
    def get_experiment_by_name(self, experiment_name: str) -> Any:
        found = next((one for one in self.place.experiments().values() if one.name == experiment_name), None)
        if found is None:
            self._missed.add(experiment_name)
        else:
            self._missed.discard(experiment_name)
        return None if found is None else entities.experiment(found, self._location(found))

    @translated
    def delete_experiment(self, experiment_id: str) -> None:
        found = self._experiment(experiment_id)
        if found.deleted:
            raise MlflowException(f"No Experiment with id={found.id} exists", RESOURCE_DOES_NOT_EXIST)
        self._change_experiment(found, {"lifecycle": "deleted"})

    @translated
    def restore_experiment(self, experiment_id: str) -> None:
        found = self._experiment(experiment_id)
        if not found.deleted:
            raise MlflowException(f"No Experiment with id={found.id} exists", RESOURCE_DOES_NOT_EXIST)
        self._change_experiment(found, {"lifecycle": "active"})

    @translated
    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        mlflow_names.validate_experiment_name(new_name)
        found = self._experiment(experiment_id)
        if found.deleted:
            raise MlflowException("Cannot rename a non-active experiment.", INVALID_STATE)
        if any(one.name == new_name and one.id != found.id for one in self.place.experiments().values()):
            raise MlflowException(f"Experiment(name={new_name}) already exists.", RESOURCE_ALREADY_EXISTS)
        self._change_experiment(found, {"name": new_name})

    @translated
    def set_experiment_tag(self, experiment_id: str, tag: Any) -> None:
        mlflow_names.validate_experiment_tag(tag.key, tag.value)
        check_tags([tag.key])
        self._change_experiment(self._active_experiment(experiment_id), events.tag(tag.key, tag.value))

    @translated
    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        found = self._active_experiment(experiment_id)
        if key not in found.tags:
            words = f"No tag with name: {key} in experiment with id {experiment_id}"
            raise MlflowException(words, RESOURCE_DOES_NOT_EXIST)
        self._change_experiment(found, events.untag(key))

    def _change_experiment(self, one: state.Experiment, *changes: Event) -> None:
        updated = events.tag(state.UPDATED, _now())
        self.place.sessions.change(state.experiment_key(one.id), *changes, updated)
        self.place.sessions.reset_active()

    @translated
    def search_experiments(
        self,
        view_type: int = ViewType.ACTIVE_ONLY,
        max_results: int = 1000,
        filter_string: str | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> Any:
        _check_page(max_results)
        utils = mlflow_names.SearchExperimentsUtils
        stages = set(LifecycleStage.view_type_to_stages(view_type))
        found = [entities.experiment(one, self._location(one)) for one in self.place.experiments().values()]
        found = [one for one in found if one.lifecycle_stage in stages]
        found = utils.filter(found, filter_string)
        # Of experiments that nobody created, and of the default one, the time is not known: they are the oldest.
        found.sort(key=lambda one: int(one.experiment_id), reverse=True)
        found.sort(key=lambda one: one.creation_time or 0, reverse=True)
        if order_by:
            found = _sorted_experiments(found, order_by)
        page, token = mlflow_names.SearchUtils.paginate(found, page_token, max_results)
        return PagedList(page, token)

    # Runs

    def _run(self, run_id: str) -> state.RunState:
        found = self.place.run(run_id)
        if found is None:
            raise MlflowException(f"Run with id={run_id} not found", RESOURCE_DOES_NOT_EXIST)
        return found

    def _check_active(self, run_id: str) -> state.RunState | None:
        """Raise for a run that takes no values; returns it where it had to be looked up."""
        if self.place.sessions.is_active(run_id):
            return None
        found = self._run(run_id)
        if self._is_deleted(found, self._known_experiments(found)):
            raise MlflowException(
                f"The run {run_id} must be in the 'active' state. Current state is deleted.", INVALID_PARAMETER_VALUE
            )
        self.place.sessions.found_active(run_id)
        return found

    def _known_experiments(self, run: state.RunState) -> Mapping[str, state.Experiment]:
        """Return what is known of the experiments, that of this run among them."""
        with self.place.lock:
            if run.experiment == state.DEFAULT_ID and (default := self.place.plain_default()):
                return {default.id: default}
            return self.place.experiments(self.place.look(float("inf")))

    @staticmethod
    def _is_deleted(run: state.RunState, experiments: Mapping[str, state.Experiment]) -> bool:
        return run.deleted or (run.experiment in experiments and experiments[run.experiment].deleted)

    def _entity(self, one: state.RunState, experiments: Mapping[str, state.Experiment]) -> Any:
        location = self._run_location(one.experiment, one.id, experiments)
        deleted = self._is_deleted(one, experiments)
        return entities.run(one, location, lambda: self.place.texts(one.id), deleted=deleted)

    def _run_location(self, experiment: str, run_id: str, experiments: Mapping[str, state.Experiment]) -> str:
        known = experiments.get(experiment)
        top = self._location(known) if known else mlflow_names.append_to_uri_path(self._root, experiment)
        return str(mlflow_names.append_to_uri_path(top, run_id, "artifacts"))

    @translated
    def create_run(self, experiment_id: str, user_id: str, start_time: int, tags: Any, run_name: str) -> Any:
        is_default = str(experiment_id or state.DEFAULT_ID) == state.DEFAULT_ID
        experiment = (self.place.plain_default() if is_default else None) or self._active_experiment(experiment_id)
        given = {tag.key: str(tag.value) for tag in tags or ()}
        check_tags(given)
        stated = given.get(state.RUN_NAME)
        if run_name and stated and run_name != stated:
            raise MlflowException(
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
                f"(run_name='{run_name}', mlflow.runName='{stated}').",
                INVALID_PARAMETER_VALUE,
            )
        name = run_name or stated or mlflow_names.random_name()
        run_id = self.place.sessions.create(experiment, user_id or "", start_time, given, name)
        return self.get_run(run_id)

    @translated
    def get_run(self, run_id: str) -> Any:
        found = self._run(run_id)
        return self._entity(found, self._known_experiments(found))

    @translated
    def update_run_info(self, run_id: str, run_status: Any, end_time: int | None, run_name: str | None) -> Any:
        self._check_active(run_id)
        sessions = self.place.sessions
        if run_name:
            sessions.log(run_id, *_renaming(run_name))
        if run_status is not None:
            sessions.end(run_id, state.OF_MLFLOW[RunStatus.to_string(run_status)], end_time)
        elif end_time is not None:
            sessions.log(run_id, {"ended": end_time / 1000})
        return self.get_run(run_id).info

    @translated
    def delete_run(self, run_id: str) -> None:
        self._run(run_id)
        self.place.sessions.log(run_id, {"lifecycle": "deleted"})
        self.place.sessions.reset_active()

    @translated
    def restore_run(self, run_id: str) -> None:
        run = self._run(run_id)
        experiment = self._known_experiments(run).get(run.experiment)
        if experiment is not None and experiment.deleted:
            words = f"The run {run_id} is deleted with its experiment: restore the experiment {experiment.id}"
            raise MlflowException(words, INVALID_STATE)
        self.place.sessions.log(run_id, {"lifecycle": "active"})
        self.place.sessions.reset_active()

    # Logging

    def log_metric(self, run_id: str, metric: Metric) -> None:
        mlflow_names.validate_metric(metric.key, metric.value, metric.timestamp, metric.step)
        self._log(run_id, [metric], (), ())

    def log_param(self, run_id: str, param: Any) -> None:
        checked = mlflow_names.validate_param(param.key, param.value)
        self._log(run_id, (), [checked], ())

    def set_tag(self, run_id: str, tag: Any) -> None:
        checked = mlflow_names.validate_tag(tag.key, tag.value)
        self._log(run_id, (), (), [checked])

    def log_batch(self, run_id: str, metrics: Any, params: Any, tags: Any) -> None:
        mlflow_names.validate_run_id(run_id)
        metrics, params, tags = mlflow_names.validate_batch_data(metrics, params, tags)
        mlflow_names.validate_batch_limits(metrics, params, tags)
        mlflow_names.validate_param_keys_unique(params)
        self._log(run_id, metrics, params, tags)

    @translated
    def _log(self, run_id: str, metrics: Sequence[Any], params: Sequence[Any], tags: Sequence[Any]) -> None:
        check_tags(tag.key for tag in tags)
        found = self._check_active(run_id)
        new = self._new_params(run_id, params, found) if params else []
        logged: list[Event] = [events.param(param.key, param.value) for param in new]
        for one in metrics:
            logged.append(_metric_event(one))
            if one.model_id is not None:
                self._log_model_metric(run_id, one)
        for tag in tags:
            if tag.key == state.RUN_NAME:
                logged += _renaming(str(tag.value))
            else:
                logged.append(events.tag(tag.key, tag.value))
        self.place.sessions.log(run_id, *logged)

    def _new_params(self, run_id: str, params: Sequence[Any], found: state.RunState | None) -> list[Any]:
        """Return the parameters that the run does not have. Raises for another value of one that it has."""
        known = (found or self._run(run_id)).params
        for param in params:
            if param.key in known and known[param.key] != str(param.value):
                raise MlflowException(
                    f"Changing param values is not allowed. Param with key='{param.key}' was already logged with "
                    f"value='{known[param.key]}' for run ID='{run_id}'. Attempted logging new value '{param.value}'.",
                    INVALID_PARAMETER_VALUE,
                )
        return [param for param in params if param.key not in known]

    @translated
    def delete_tag(self, run_id: str, key: str) -> None:
        self._check_active(run_id)
        if key not in self._run(run_id).tags:
            raise MlflowException(f"No tag with name: {key} in run with id {run_id}", RESOURCE_DOES_NOT_EXIST)
        if key == state.RUN_NAME:
            self.place.sessions.log(run_id, events.tag(state.UNNAMED, "true"))
        else:
            self.place.sessions.log(run_id, events.untag(key))

    def record_logged_model(self, run_id: str, mlflow_model: Any) -> None:
        from mlflow.models import Model

        if not isinstance(mlflow_model, Model):
            raise TypeError(f"Argument 'mlflow_model' should be mlflow.models.Model, got '{type(mlflow_model)}'")
        self._check_active(run_id)
        before = self._run(run_id).tags.get(MLFLOW_LOGGED_MODELS)
        value = json.dumps([*(json.loads(before) if before else []), mlflow_model.get_tags_dict()])
        checked = mlflow_names.validate_tag(MLFLOW_LOGGED_MODELS, value)
        self._log(run_id, (), (), [checked])

    @translated
    def log_inputs(self, run_id: str, datasets: Any = None, models: Any = None) -> None:
        mlflow_names.validate_run_id(run_id)
        if datasets is not None:
            if not isinstance(datasets, list):
                raise TypeError(f"Argument 'datasets' should be a list, got '{type(datasets)}'")
            mlflow_names.validate_dataset_inputs(datasets)
        self._check_active(run_id)
        logged: list[Event] = []
        known = {(one.name, one.digest) for one in self._run(run_id).inputs}
        for one in datasets or ():
            if one.dataset is None:
                raise MlflowException("Dataset input must have a dataset associated with it.", INTERNAL_ERROR)
            if (one.dataset.name, one.dataset.digest) in known:
                continue
            known.add((one.dataset.name, one.dataset.digest))
            tags = {tag.key: tag.value for tag in one.tags}
            facts = {
                name: getattr(one.dataset, name)
                for name in ("name", "digest", "source_type", "source", "schema", "profile")
            }
            logged.append(events.dataset_input(facts, tags.get(state.CONTEXT), tags))
        logged += [events.model_input(model.model_id) for model in models or ()]
        self.place.sessions.log(run_id, *logged)

    @translated
    def log_outputs(self, run_id: str, models: Any) -> None:
        self._check_active(run_id)
        self.place.sessions.log(run_id, *(events.output(model.model_id, model.step) for model in models))

    # Search

    @translated
    def _search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str | None,
        run_view_type: int,
        max_results: int | None,
        order_by: Sequence[str] | None,
        page_token: str | None,
    ) -> tuple[list[Any], str | None]:
        _check_page(max_results, allow_none=True)
        conditions, orders = conditions_of(filter_string), orders_of(order_by or ())
        offset = mlflow_names.SearchUtils.parse_start_offset_from_page_token(page_token)
        stages = set(LifecycleStage.view_type_to_stages(run_view_type))
        wanted = [str(mlflow_names.parse_experiment_id(one)) for one in experiment_ids]
        with self.place.lock:
            local = self.place.look()
            experiments = self.place.experiments(local)
            gone = {one.id for one in experiments.values() if one.deleted}
            table = Table(self.place.base, local, lambda one, run: self._run_location(one, run, experiments))
            page = table.search(wanted, gone, stages, conditions, orders, offset, max_results)
            runs = [self._entity(run, experiments) for run in page.runs]
        token = mlflow_names.SearchUtils.create_page_token(offset + len(runs)) if page.has_more else None
        return runs, token

    @translated
    def _search_datasets(self, experiment_ids: Sequence[str]) -> list[Any]:
        from mlflow.entities import _DatasetSummary

        with self.place.lock:
            local = self.place.look()
            page = Table(self.place.base, local).search(
                [str(one) for one in experiment_ids], (), {"active", "deleted"}, (), (), 0, None
            )
        found = {(run.experiment, one.name, one.digest, one.context) for run in page.runs for one in run.inputs}
        rows = sorted(found, key=lambda row: [part or "" for part in row])[:_DATASETS_MOST]
        return [
            _DatasetSummary(experiment_id=experiment, name=name, digest=digest, context=context)
            for experiment, name, digest, context in rows
        ]


def _renaming(name: str) -> list[Event]:
    """MLflow keeps the name of a run as a tag, too: both are set at once."""
    return [{"name": name}, events.untag(state.UNNAMED)]


def _metric_event(one: Any) -> Event:
    event = events.metric(one.key, one.value, one.step or 0, one.timestamp / 1000)
    # Unlike other names, MLflow's are kept as they are.
    event["metric"] = one.key
    return event


def _now() -> int:
    return int(time.time() * 1000)


def _check_page(max_results: Any, *, allow_none: bool = False) -> None:
    if max_results is None and allow_none:
        return
    if not isinstance(max_results, int) or not 1 <= max_results <= _PAGE_MOST:
        is_large = isinstance(max_results, int) and max_results > _PAGE_MOST
        wanted = f"at most {_PAGE_MOST}" if is_large else "a positive integer"
        raise MlflowException(
            f"Invalid value {max_results} for parameter 'max_results' supplied. It must be {wanted}",
            INVALID_PARAMETER_VALUE,
        )


def _sorted_experiments(found: list[Any], order_by: Sequence[str]) -> list[Any]:
    """Sort experiments by clauses: the first one decides. Values that are not known come last."""
    for clause in reversed(order_by):
        _, key, ascending = mlflow_names.SearchExperimentsUtils.parse_order_by_for_search_experiments(clause)
        name = {"experiment_id": "experiment_id", "name": "name"}.get(key, key)
        present = [one for one in found if getattr(one, name) is not None]
        absent = [one for one in found if getattr(one, name) is None]
        present.sort(
            key=lambda one, name=name: int(one.experiment_id) if name == "experiment_id" else getattr(one, name),  # type: ignore[misc]
            reverse=not ascending,
        )
        found = [*present, *absent]
    return found
