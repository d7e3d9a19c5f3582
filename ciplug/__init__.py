"""ciplug: record, compare, gate and promote machine-learning runs in CI, with git as the backend.

In a training script:

    import ciplug

    ciplug.log_param("depth", 6)
    ciplug.log_metric("loss", 0.31, step=1)

Under `ciplug run -- python train.py` these go to the run that it records; elsewhere a run is started, and
recorded when the program ends. Importing this package is cheap: everything is loaded when it is first used.
"""

from __future__ import annotations

from ciplug import loading  # noqa: F401  Its moment is that of this import.
from ciplug._version import __version__

# typing's own constant would cost half as much again as starting Python does.
TYPE_CHECKING = False

__all__ = [
    "__version__",
    "active_run",
    "end_run",
    "load_model",
    "log_artifact",
    "log_dataset",
    "log_dict",
    "log_figure",
    "log_image",
    "log_input",
    "log_inputs",
    "log_metric",
    "log_metrics",
    "log_outputs",
    "log_param",
    "log_params",
    "log_table",
    "log_text",
    "model",
    "models",
    "pull",
    "run",
    "runs",
    "set_tag",
    "set_tags",
    "start_run",
]

if TYPE_CHECKING:
    from ciplug.api import (
        active_run,
        end_run,
        load_model,
        log_artifact,
        log_dataset,
        log_dict,
        log_figure,
        log_image,
        log_input,
        log_inputs,
        log_metric,
        log_metrics,
        log_outputs,
        log_param,
        log_params,
        log_table,
        log_text,
        model,
        models,
        pull,
        run,
        runs,
        set_tag,
        set_tags,
        start_run,
    )


def __getattr__(name: str) -> object:
    if name in __all__:
        from ciplug import api

        # Kept here: a training that logs by `ciplug.log_metric` comes this way once, and not for each number.
        found = globals()[name] = getattr(api, name)
        return found
    raise AttributeError(f"module 'ciplug' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
