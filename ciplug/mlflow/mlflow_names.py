"""The one place that touches names of MLflow that it does not promise to keep."""

from __future__ import annotations

from typing import Any

from mlflow.entities.model_registry.model_version_stages import ALL_STAGES
from mlflow.entities.model_registry.model_version_stages import (
    DEFAULT_STAGES_FOR_GET_LATEST_VERSIONS as ACTIVE_STAGES,
)
from mlflow.entities.model_registry.model_version_stages import get_canonical_stage as canonical_stage
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.artifact.utils.models import _parse_model_uri as parse_model_uri
from mlflow.store.model_registry.abstract_store import AbstractStore as AbstractRegistryStore
from mlflow.store.tracking.abstract_store import AbstractStore as AbstractTrackingStore
from mlflow.utils import validation
from mlflow.utils.name_utils import _generate_random_name as random_name
from mlflow.utils.search_utils import (
    SearchExperimentsUtils,
    SearchLoggedModelsPaginationToken,
    SearchModelUtils,
    SearchModelVersionUtils,
    SearchUtils,
)
from mlflow.utils.uri import append_to_uri_path, resolve_uri_if_local
from mlflow.utils.validation import (
    _validate_batch_log_data as validate_batch_data,
)
from mlflow.utils.validation import (
    _validate_batch_log_limits as validate_batch_limits,
)
from mlflow.utils.validation import (
    _validate_dataset_inputs as validate_dataset_inputs,
)
from mlflow.utils.validation import (
    _validate_experiment_artifact_location_length as validate_location_length,
)
from mlflow.utils.validation import (
    _validate_experiment_name as validate_experiment_name,
)
from mlflow.utils.validation import (
    _validate_experiment_tag as validate_experiment_tag,
)
from mlflow.utils.validation import (
    _validate_logged_model_name as validate_logged_model_name,
)
from mlflow.utils.validation import (
    _validate_metric as validate_metric,
)
from mlflow.utils.validation import (
    _validate_model_name as validate_model_name,
)
from mlflow.utils.validation import (
    _validate_model_renaming as validate_model_renaming,
)
from mlflow.utils.validation import (
    _validate_model_version as validate_model_version,
)
from mlflow.utils.validation import (
    _validate_model_version_tag as validate_model_version_tag,
)
from mlflow.utils.validation import (
    _validate_param as validate_param,
)
from mlflow.utils.validation import (
    _validate_param_keys_unique as validate_param_keys_unique,
)
from mlflow.utils.validation import (
    _validate_registered_model_tag as validate_registered_model_tag,
)
from mlflow.utils.validation import (
    _validate_run_id as validate_run_id,
)
from mlflow.utils.validation import (
    _validate_tag as validate_tag,
)
from mlflow.utils.validation import (
    _validate_tag_name as validate_tag_name,
)

__all__ = [
    "ACTIVE_STAGES",
    "ALL_STAGES",
    "AbstractRegistryStore",
    "AbstractTrackingStore",
    "SearchExperimentsUtils",
    "SearchLoggedModelsPaginationToken",
    "SearchModelUtils",
    "SearchModelVersionUtils",
    "SearchUtils",
    "append_to_uri_path",
    "canonical_stage",
    "model_conditions",
    "parse_experiment_id",
    "parse_model_uri",
    "random_name",
    "resolve_uri_if_local",
    "validate_batch_data",
    "validate_batch_limits",
    "validate_dataset_inputs",
    "validate_experiment_name",
    "validate_experiment_tag",
    "validate_location_length",
    "validate_logged_model_name",
    "validate_metric",
    "validate_model_alias_name",
    "validate_model_alias_name_reserved",
    "validate_model_name",
    "validate_model_renaming",
    "validate_model_version",
    "validate_model_version_tag",
    "validate_param",
    "validate_param_keys_unique",
    "validate_registered_model_tag",
    "validate_run_id",
    "validate_tag",
    "validate_tag_name",
    "without_prompts",
]


def _either(*names: str) -> Any:
    """The validator that has one of these names, the newest first. Raises ImportError."""
    for name in names:
        if hasattr(validation, name):
            return getattr(validation, name)
    raise ImportError(f"ciplug does not know this version of MLflow: its validation has no {names[0]}")


validate_model_alias_name = _either("_validate_alias_name", "_validate_model_alias_name")
validate_model_alias_name_reserved = _either("_validate_alias_name_reserved", "_validate_model_alias_name_reserved")


def parse_experiment_id(value: str | int) -> int:
    """Return the number of an experiment. Raises MlflowException for what cannot be one."""
    try:
        return int(value)
    except (ValueError, TypeError):
        raise MlflowException(
            f"Invalid experiment ID '{value}'. Experiment ID must be a valid integer.", INVALID_PARAMETER_VALUE
        ) from None


def model_conditions(filter_string: str | None) -> list[Any]:
    """Return the conditions of a search over logged models. Raises MlflowException for a filter that cannot be."""
    from ciplug.mlflow.search import Condition

    if not filter_string:
        return []
    try:
        from mlflow.utils.search_logged_model_utils import EntityType, parse_filter_string
    except ImportError:  # It needs SQLAlchemy, which mlflow-skinny does not bring.
        from mlflow.utils.search_utils import SearchLoggedModelsUtils

        parsed = SearchLoggedModelsUtils.parse_search_filter(filter_string)
        return [Condition(one["type"], one["key"], one["comparator"].upper(), one["value"]) for one in parsed]
    kinds = {EntityType.METRIC: "metric", EntityType.PARAM: "parameter", EntityType.TAG: "tag"}
    return [
        Condition(kinds.get(one.entity.type, "attribute"), one.entity.key, one.op, one.value)
        for one in parse_filter_string(filter_string)
    ]


def without_prompts(filter_string: str | None) -> str | None:
    """Return the filter of a search over models, without prompts unless it asks for them."""
    from mlflow.prompt.registry_utils import add_prompt_filter_string

    filtered: str | None = add_prompt_filter_string(filter_string, is_prompt=False)
    return filtered
