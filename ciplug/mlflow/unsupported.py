"""What MLflow's stores know and ciplug does not keep: what answers with nothing, and what is not implemented.

MLflow's own base class raises a plain NotImplementedError, which a server answers with 500, and clients repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from mlflow.exceptions import MlflowNotImplementedException
from mlflow.store.entities.paged_list import PagedList

from ciplug.mlflow import mlflow_names

EMPTY_TRACKING: dict[str, Callable[[], Any]] = {
    "query_trace_metrics": lambda: PagedList([], None),
    "search_traces": lambda: ([], None),
    "search_datasets": lambda: PagedList([], None),
    "search_issues": lambda: PagedList([], None),
    "list_scorers": list,
    "list_gateway_endpoints": list,
    "list_endpoint_bindings": list,
    "find_completed_sessions": list,
    "get_active_online_scorers": list,
    "get_online_scoring_configs": list,
    "get_dataset_experiment_ids": list,
}
"""Asked by MLflow's web pages, or harmless: they answer that there is nothing."""
INHERITED_TRACKING = frozenset(
    {
        *("batch_get_trace_infos", "batch_get_traces", "get_trace"),
        *("end_async_logging", "flush_async_logging", "shut_down_async_logging"),
        *("log_batch_async", "log_metric_async", "log_param_async", "set_tag_async", "log_spans_async"),
        *("search_runs", "set_model_versions_tags", "supports_trace_archival", "supports_workspaces"),
        *("delete_traces", "filter_active_experiment_ids", "list_scorers_across_experiments"),
        *("resolve_trace_archival_config",),
    }
)
"""MLflow's own code does what is right, by means of the other methods."""


def refused(name: str) -> Callable[..., Any]:
    """Return a method that says that ciplug does not keep this."""

    def refuse(self: object, *args: Any, **options: Any) -> Any:
        raise MlflowNotImplementedException(f"a ciplug store does not keep what `{name}` is for")

    refuse.__name__ = name
    return refuse


def empty(name: str, answer: Callable[[], Any]) -> Callable[..., Any]:
    def nothing(self: object, *args: Any, **options: Any) -> Any:
        return answer()

    nothing.__name__ = name
    return nothing


def public_methods(base: type) -> set[str]:
    """The names of the methods that a base class of MLflow promises."""
    return {name for name in dir(base) if not name.startswith("_") and callable(getattr(base, name))}


def _unsupported(base: type, own: Collection[str], empties: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    methods: dict[str, Any] = {name: empty(name, answer) for name, answer in empties.items()}
    for name in public_methods(base) - set(own) - empties.keys():
        methods[name] = refused(name)
    return methods


IMPLEMENTED_TRACKING = frozenset(
    {
        *("create_experiment", "get_experiment", "get_experiment_by_name", "search_experiments"),
        *("delete_experiment", "restore_experiment", "rename_experiment"),
        *("set_experiment_tag", "delete_experiment_tag"),
        *("create_run", "get_run", "update_run_info", "delete_run", "restore_run"),
        *("log_metric", "log_param", "set_tag", "delete_tag", "log_batch", "log_inputs", "log_outputs"),
        *("record_logged_model", "get_metric_history", "get_metric_history_bulk_interval"),
        "get_metric_history_bulk_interval_from_steps",
        *("create_logged_model", "get_logged_model", "search_logged_models", "finalize_logged_model"),
        *("set_logged_model_tags", "delete_logged_model_tag", "delete_logged_model"),
    }
)
"""What this store does itself."""

Unsupported: Any = type(
    "Unsupported",
    (),
    _unsupported(mlflow_names.AbstractTrackingStore, IMPLEMENTED_TRACKING | INHERITED_TRACKING, EMPTY_TRACKING),
)
"""A class with the methods that are not supported, whatever the version of MLflow has of them."""


EMPTY_REGISTRY: dict[str, Callable[[], Any]] = {
    "list_webhooks": lambda: PagedList([], None),
    "list_webhooks_by_event": lambda: PagedList([], None),
}
"""ciplug has notifications of its own. MLflow's server asks for webhooks at every change of the registry."""
IMPLEMENTED_REGISTRY = frozenset(
    {
        *("create_registered_model", "update_registered_model", "rename_registered_model", "delete_registered_model"),
        *("search_registered_models", "get_registered_model", "get_latest_versions"),
        *("set_registered_model_tag", "delete_registered_model_tag"),
        *("create_model_version", "update_model_version", "transition_model_version_stage", "delete_model_version"),
        "copy_model_version",
        *("get_model_version", "get_model_version_download_uri", "search_model_versions"),
        *("set_model_version_tag", "delete_model_version_tag"),
        *("set_registered_model_alias", "delete_registered_model_alias", "get_model_version_by_alias"),
    }
)
"""What the registry's store does itself."""
INHERITED_REGISTRY = frozenset(
    {
        *("create_prompt", "get_prompt", "search_prompts", "delete_prompt", "set_prompt_tag", "delete_prompt_tag"),
        *("create_prompt_version", "get_prompt_version", "get_prompt_version_by_alias", "search_prompt_versions"),
        *("delete_prompt_version", "set_prompt_version_tag", "delete_prompt_version_tag"),
        *("set_prompt_alias", "delete_prompt_alias"),
        *("link_prompt_version_to_model", "link_prompt_version_to_run", "link_prompts_to_trace"),
    }
)
"""MLflow's own code does these by means of the other methods: prompts, which are registered models."""

UnsupportedRegistry: Any = type(
    "UnsupportedRegistry",
    (),
    _unsupported(mlflow_names.AbstractRegistryStore, IMPLEMENTED_REGISTRY | INHERITED_REGISTRY, EMPTY_REGISTRY),
)
"""The same for the registry."""
