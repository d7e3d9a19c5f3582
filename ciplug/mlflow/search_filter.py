"""MLflow's filters and orders of a search over runs, parsed by MLflow itself, as conditions of `search`."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from ciplug.mlflow import mlflow_names
from ciplug.mlflow.search import Condition, Order


def conditions_of(filter_string: str | None) -> list[Condition]:
    """The conditions of a filter. Raises MlflowException for one that MLflow does not know."""
    utils = mlflow_names.SearchUtils
    found = []
    for one in utils.parse_search_filter(filter_string):
        comparator = one["comparator"].upper()
        kind, name = one["type"], utils.translate_key_alias(one["key"])
        known = (
            utils.is_string_attribute(kind, name, comparator)
            or utils.is_numeric_attribute(kind, name, comparator)
            or utils.is_metric(kind, comparator)
            or utils.is_param(kind, comparator)
            or utils.is_tag(kind, comparator)
            or utils.is_dataset(kind, comparator)
        )
        if not known:
            raise MlflowException(f"Invalid search expression type '{kind}'", INVALID_PARAMETER_VALUE)
        found.append(Condition(kind, name, comparator, one.get("value")))
    return found


def orders_of(order_by: Sequence[str]) -> list[Order]:
    """The orders of a search. Raises MlflowException for a field that is named twice."""
    utils = mlflow_names.SearchUtils
    orders: list[Order] = []
    for clause in order_by:
        kind, key, ascending = utils.parse_order_by_for_search_runs(clause)
        order = Order(kind, utils.translate_key_alias(key), ascending)
        if any(order[:2] == other[:2] for other in orders):
            raise MlflowException(f"`order_by` contains duplicate fields: {order_by}")
        orders.append(order)
    return orders
