"""The one place that touches names of MLflow that it does not promise to keep."""

from __future__ import annotations

from mlflow.store.tracking.abstract_store import AbstractStore as AbstractTrackingStore
from mlflow.utils.name_utils import _generate_random_name as random_name
from mlflow.utils.search_utils import (
    SearchExperimentsUtils,
    SearchLoggedModelsPaginationToken,
    SearchLoggedModelsUtils,
    SearchUtils,
)
from mlflow.utils.uri import append_to_uri_path, resolve_uri_if_local
from mlflow.utils.validation import (
    _parse_experiment_id as parse_experiment_id,
)
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
    _validate_param as validate_param,
)
from mlflow.utils.validation import (
    _validate_param_keys_unique as validate_param_keys_unique,
)
from mlflow.utils.validation import (
    _validate_run_id as validate_run_id,
)
from mlflow.utils.validation import (
    _validate_tag as validate_tag,
)

__all__ = [
    "AbstractTrackingStore",
    "SearchExperimentsUtils",
    "SearchLoggedModelsPaginationToken",
    "SearchLoggedModelsUtils",
    "SearchUtils",
    "append_to_uri_path",
    "parse_experiment_id",
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
    "validate_param",
    "validate_param_keys_unique",
    "validate_run_id",
    "validate_tag",
]
