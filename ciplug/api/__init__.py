"""Logging from Python. Every call appends a line to a file on local disk; nothing here waits for a network."""

from __future__ import annotations

from ciplug.api.artifacts import log_artifact, log_dict, log_figure, log_image, log_table, log_text
from ciplug.api.pulling import PulledModel, pull
from ciplug.api.runs import ActiveRun, active_run, end_run, start_run
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
    "active_run",
    "end_run",
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
    "pull",
    "set_tag",
    "set_tags",
    "start_run",
]
