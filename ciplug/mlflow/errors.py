"""ciplug's errors as MLflow's clients know them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar, cast

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)

from ciplug.errors import (
    CiplugError,
    ConfigError,
    ForkJob,
    NotFound,
    PromotionRefused,
    RecordError,
    StoreError,
    UsageError,
)
from ciplug.mlflow import state

F = TypeVar("F", bound=Callable[..., Any])
_CODES = (
    (ForkJob, PERMISSION_DENIED),
    (PromotionRefused, PERMISSION_DENIED),
    (NotFound, RESOURCE_DOES_NOT_EXIST),
    (StoreError, TEMPORARILY_UNAVAILABLE),
    (RecordError, INVALID_PARAMETER_VALUE),
    (UsageError, INVALID_PARAMETER_VALUE),
    (ConfigError, INVALID_PARAMETER_VALUE),
)


def translated(method: F) -> F:
    """Raise ciplug's errors as MLflow's, with the sentence that says what to do."""

    @wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return method(*args, **options)
        except CiplugError as problem:
            raise as_mlflow(problem) from problem

    return cast("F", call)


def check_tags(names: Iterable[str]) -> None:
    """Raise MlflowException for a tag that a client may not set."""
    for name in names:
        if name in state.OWN or name.startswith(state.METRIC):
            words = f"the tag '{name}' is kept by ciplug itself; use another name"
            raise MlflowException(words, INVALID_PARAMETER_VALUE)


def as_mlflow(problem: CiplugError) -> MlflowException:
    code = next((code for kind, code in _CODES if isinstance(problem, kind)), INTERNAL_ERROR)
    return MlflowException(f"{problem.message}; {problem.hint}" if problem.hint else problem.message, code)
