"""Logging from Python, and reading what was recorded.

Every log call appends a line to a file on local disk, and waits for no network.
"""

from __future__ import annotations

from ciplug.api.active_runs import ActiveRun, active_run, end_run, start_run
from ciplug.api.artifacts import log_artifact, log_dict, log_figure, log_image, log_table, log_text
from ciplug.api.loading_models import load_model
from ciplug.api.pulling import PulledModel, pull
from ciplug.api.reading import RecordedRun, RegisteredModel, RegisteredVersion, RunList, model, models, run, runs
from ciplug.api.values import (
    log_dataset,
    log_input,
    log_inputs,
    log_metric,
    log_metrics,
    log_outputs,
    log_param,
    log_params,
    set_tag,
    set_tags,
)

__all__ = [
    "ActiveRun",
    "PulledModel",
    "RecordedRun",
    "RegisteredModel",
    "RegisteredVersion",
    "RunList",
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
