"""MLflow's logged models: what a training has saved, with its parameters, tags, metrics and files."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.store.entities.paged_list import PagedList

from ciplug.capture import events
from ciplug.capture.events import Event
from ciplug.mlflow import entities, mlflow_names, state
from ciplug.mlflow.errors import check_tags, translated
from ciplug.mlflow.search_models import search_models

if TYPE_CHECKING:
    from ciplug.mlflow.place import Place

_PAGE = 100


class LoggedModels:
    """The part of the tracking store that answers for logged models."""

    place: Place

    def _active_experiment(self, experiment_id: str) -> state.Experiment:
        raise NotImplementedError

    def _location(self, one: state.Experiment) -> str:
        raise NotImplementedError

    @translated
    def create_logged_model(
        self,
        experiment_id: str,
        name: str | None = None,
        source_run_id: str | None = None,
        tags: Any = None,
        params: Any = None,
        model_type: str | None = None,
    ) -> Any:
        mlflow_names.validate_logged_model_name(name)
        check_tags(tag.key for tag in tags or ())
        experiment = self._active_experiment(experiment_id)
        id_ = f"m-{uuid.uuid4().hex}"
        location = mlflow_names.append_to_uri_path(self._location(experiment), "models", id_, "artifacts")
        facts = {
            state.EXPERIMENT_ID: experiment.id,
            state.CREATED: _now(),
            state.STATE: "PENDING",
            state.LOCATION: location,
            state.SOURCE_RUN: source_run_id,
            state.MODEL_TYPE: model_type,
        }
        begun: list[Event] = [{"name": name or mlflow_names.random_name()}]
        begun += [events.tag(key, value) for key, value in facts.items() if value is not None]
        begun += [events.tag(tag.key, tag.value) for tag in tags or ()]
        begun += [events.param(param.key, str(param.value)) for param in params or ()]
        self.place.sessions.change(state.model_key(id_), *begun)
        return self.get_logged_model(id_)

    def _model(self, model_id: str, *, allow_deleted: bool = True) -> state.LoggedModel:
        found = self.place.logged_model(model_id)
        if found is None or (found.deleted and not allow_deleted):
            raise MlflowException(f"Logged model with ID '{model_id}' not found.", RESOURCE_DOES_NOT_EXIST)
        return found

    def _change_model(self, model_id: str, *changes: Event, updated: bool = True) -> None:
        more = [events.tag(state.UPDATED, _now())] if updated else []
        self.place.sessions.change(state.model_key(model_id), *changes, *more)

    @translated
    def get_logged_model(self, model_id: str, allow_deleted: bool = False) -> Any:
        return entities.logged_model(self._model(model_id, allow_deleted=allow_deleted))

    @translated
    def log_logged_model_params(self, model_id: str, params: Any) -> None:
        known = self._model(model_id).params
        for param in params:
            if known.get(param.key, str(param.value)) != str(param.value):
                words = (
                    f"parameter '{param.key}' of logged model {model_id} is '{known[param.key]}' and cannot be changed"
                )
                raise MlflowException(words, INVALID_PARAMETER_VALUE)
        changes = [events.param(param.key, str(param.value)) for param in params if param.key not in known]
        self._change_model(model_id, *changes, updated=False)

    @translated
    def finalize_logged_model(self, model_id: str, status: Any) -> Any:
        self._model(model_id)
        self._change_model(model_id, events.tag(state.STATE, str(status)))
        return self.get_logged_model(model_id, allow_deleted=True)

    @translated
    def set_logged_model_tags(self, model_id: str, tags: Any) -> None:
        check_tags(tag.key for tag in tags)
        self._model(model_id)
        self._change_model(model_id, *(events.tag(tag.key, tag.value) for tag in tags), updated=False)

    @translated
    def delete_logged_model_tag(self, model_id: str, key: str) -> None:
        if key not in self._model(model_id).tags:
            words = f"No tag with key {key!r} found for model with ID {model_id!r}."
            raise MlflowException(words, RESOURCE_DOES_NOT_EXIST)
        self._change_model(model_id, events.untag(key), updated=False)

    @translated
    def delete_logged_model(self, model_id: str) -> None:
        self._model(model_id)
        self._change_model(model_id, {"lifecycle": "deleted"})

    def _log_model_metric(self, run_id: str, metric: Any) -> None:
        """Keep a metric of a run that is about a logged model with the model, too."""
        kept = state.ModelMetric(
            metric.key,
            entities.finite(metric.value),
            metric.timestamp,
            metric.step or 0,
            run_id,
            metric.dataset_name,
            metric.dataset_digest,
        )
        key, value = state.metric_tag(kept)
        self._change_model(metric.model_id, events.tag(key, value), updated=False)

    @translated
    def search_logged_models(
        self,
        experiment_ids: Sequence[str],
        filter_string: str | None = None,
        datasets: Any = None,
        max_results: int | None = None,
        order_by: Any = None,
        page_token: str | None = None,
    ) -> Any:
        if datasets and not all(dataset.get("dataset_name") for dataset in datasets):
            words = "`dataset_name` in the `datasets` clause must be specified."
            raise MlflowException(words, INVALID_PARAMETER_VALUE)
        tokens = mlflow_names.SearchLoggedModelsPaginationToken
        offset = 0
        if page_token:
            token = tokens.decode(page_token)
            token.validate(experiment_ids, filter_string, order_by)
            offset = token.offset
        wanted = {str(one) for one in experiment_ids}
        with self.place.lock:
            every = self.place.base.logged_models(self.place.look())
        among = [one for one in every.values() if not one.deleted and one.experiment in wanted]
        found = search_models(among, mlflow_names.model_conditions(filter_string), datasets or (), order_by or ())
        end = offset + (max_results or _PAGE)
        following = None
        if len(found) > end:
            following = tokens(
                offset=end, experiment_ids=experiment_ids, filter_string=filter_string, order_by=order_by
            ).encode()
        return PagedList([entities.logged_model(one) for one in found[offset:end]], following)


def _now() -> int:
    return int(time.time() * 1000)
