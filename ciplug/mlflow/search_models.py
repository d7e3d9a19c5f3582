"""MLflow's search over logged models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.exceptions import MlflowException

from ciplug.mlflow.search import Condition, holds
from ciplug.mlflow.state import LoggedModel, ModelMetric

_ATTRIBUTES = {
    "name": "name",
    "model_id": "id",
    "model_type": "model_type",
    "status": "status",
    "source_run_id": "source_run",
    "experiment_id": "experiment",
    "artifact_location": "location",
    "creation_timestamp": "created",
    "creation_timestamp_ms": "created",
    "creation_time": "created",
    "last_updated_timestamp": "updated",
    "last_updated_timestamp_ms": "updated",
}
"""MLflow's name of an attribute → ours."""
_TIMES = ("created", "updated")


def search_models(
    models: Sequence[LoggedModel],
    conditions: Sequence[Condition],
    datasets: Sequence[Mapping[str, Any]],
    order_by: Sequence[Mapping[str, Any]],
) -> list[LoggedModel]:
    """Return the models for which all conditions hold, in order; without an order, the newest first.

    Args:
        datasets: a metric counts where it was logged for one of these; without a condition on a metric, a model counts
            that has any such metric.
    """
    for condition in conditions:
        if condition.kind == "attribute" and condition.name not in _ATTRIBUTES:
            raise MlflowException.invalid_parameter_value(f"Invalid logged model search key '{condition.name}'")
    for order in order_by:
        _check_order(order.get("field_name"))
    found = [one for one in models if all(_matches(one, condition, datasets) for condition in conditions)]
    if datasets and not any(condition.kind == "metric" for condition in conditions):
        found = [one for one in found if any(_is_on(metric, datasets) for metric in one.metrics)]
    found.sort(key=lambda one: one.id)
    found.sort(key=lambda one: one.created, reverse=True)
    for order in reversed(order_by):
        found = _sorted(found, order)
    return found


def _matches(one: LoggedModel, condition: Condition, datasets: Sequence[Mapping[str, Any]]) -> bool:
    if condition.kind == "metric":
        values: list[Any] = [
            metric.value
            for metric in one.metrics
            if metric.name == condition.name and (not datasets or _is_on(metric, datasets))
        ]
    elif condition.kind == "parameter":
        values = [one.params.get(condition.name)]
    elif condition.kind == "tag":
        values = [one.tags.get(condition.name)]
    else:
        attribute = _ATTRIBUTES[condition.name]
        values = [getattr(one, attribute)]
        if attribute in _TIMES:
            condition = condition._replace(name="start_time")
    test = holds(condition)
    return any(test(value) for value in values if value is not None)


def _is_on(metric: ModelMetric, datasets: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        metric.dataset == dataset["dataset_name"] and dataset.get("dataset_digest") in (None, metric.digest)
        for dataset in datasets
    )


def _check_order(field: Any) -> None:
    if not isinstance(field, str):
        raise MlflowException.invalid_parameter_value("`field_name` in the `order_by` clause must be specified.")
    if "." not in field and field not in _ATTRIBUTES:
        raise MlflowException.invalid_parameter_value(
            f"Invalid order by field name: {field}", error_class="ATTRIBUTE_NOT_FOUND"
        )
    if "." in field and not field.startswith("metrics."):
        raise MlflowException.invalid_parameter_value(
            f"Invalid order by field name: {field}. Only metrics are supported."
        )


def _sorted(models: Sequence[LoggedModel], order: Mapping[str, Any]) -> list[LoggedModel]:
    values = {one.id: _value(one, order["field_name"], order) for one in models}
    known = [one for one in models if values[one.id] is not None]
    known.sort(key=lambda one: values[one.id], reverse=not order.get("ascending", True))
    return [*known, *(one for one in models if values[one.id] is None)]


def _value(one: LoggedModel, field: str, order: Mapping[str, Any]) -> Any:
    if "." not in field:
        return getattr(one, _ATTRIBUTES[field])
    name = field.removeprefix("metrics.")
    metrics = [
        metric
        for metric in one.metrics
        if metric.name == name
        and order.get("dataset_name") in (None, metric.dataset)
        and order.get("dataset_digest") in (None, metric.digest)
    ]
    latest = sorted(metrics, key=lambda metric: metric.run or "")
    return max(latest, key=lambda metric: (metric.time, metric.step)).value if latest else None
