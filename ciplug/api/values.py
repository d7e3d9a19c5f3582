"""Log metrics, parameters, tags, and the data and models that a run reads and makes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime

from ciplug.api.active_runs import log
from ciplug.api.warn_once import is_taken, tell_left_out
from ciplug.capture import events
from ciplug.capture.events import Event, seconds
from ciplug.errors import UsageError
from ciplug.records.left_out import LeftOut


def log_metric(key: str, value: float, step: int | None = None, timestamp: datetime | int | None = None) -> None:
    """Log a value of a metric. With steps, the whole series is kept.

    The run's value is that of the highest step, and of one step the latest. A value without a step is of step 0.

    Args:
        value: a number, also of numpy or torch, or a boolean; NaN and infinities are kept, and fail gates.
        step: epoch, iteration, …; at any spacing.
        timestamp: when it was measured, if not now: a datetime, or Unix milliseconds.

    A name that no metric can have is left out with a warning, and the training goes on. So is a value at a step that is
    not a whole number of 64 bits. A value that is not a number is NaN, with a warning and a note in the record.
    """
    time = seconds(timestamp)
    _log_measured(events.measured(key, value, step, time) if is_taken(key) else ())


def log_metrics(metrics: Mapping[str, float], step: int | None = None, timestamp: datetime | int | None = None) -> None:
    """Log several metrics of one step, all or none: see `log_metric`. One with an impossible name is left out."""
    time = seconds(timestamp)
    taken = {key: value for key, value in metrics.items() if is_taken(key)}
    _log_measured([event for key, value in taken.items() for event in events.measured(key, value, step, time)])


def _log_measured(batch: Sequence[Event]) -> None:
    log(*batch)
    for event in batch:
        if "left_out" in event:
            tell_left_out(LeftOut(name=event["left_out"], why=event["why"], found=event["found"]))


def log_param(key: str, value: object) -> None:
    """Log a parameter: text, a number or a boolean; anything else by its str(). The last value counts."""
    log_params({key: value})


def log_params(params: Mapping[str, object]) -> None:
    """Log several parameters, all or none."""
    batch = [events.param(key, value) for key, value in params.items()]
    log(*batch)


def log_dataset(path: str | os.PathLike[str]) -> None:
    """Keep a file or folder that the training read, by its digest at the end of the run."""
    log({"dataset": os.path.abspath(path)})  # noqa: PTH100


def log_input(dataset: object, context: str | None = None, tags: Mapping[str, object] | None = None) -> None:
    """Name a dataset that the training reads, as MLflow does. Nothing of it is checked, and no gate looks at it.

    Args:
        dataset: a dataset of MLflow, or a mapping of its name, digest, source_type and source, and perhaps its schema
            and profile, of up to 1 MiB each.
        context: training, validation, …

    Raises UsageError for anything else.
    """
    log(events.dataset_input(dataset, context, tags))


def log_inputs(
    datasets: Sequence[object | None] | None = None,
    contexts: Sequence[str | None] | None = None,
    tags_list: Sequence[Mapping[str, object] | None] | None = None,
    models: Sequence[object | None] | None = None,
) -> None:
    """Name several datasets, and logged models that the training reads, all or none: see `log_input`.

    Args:
        contexts, tags_list: one for each dataset.
        models: ids, or MLflow's LoggedModelInput.
    """
    named = list(datasets or ())
    lists = [list(one) if one is not None else [None] * len(named) for one in (contexts, tags_list)]
    if any(len(one) != len(named) for one in lists):
        raise UsageError("datasets, contexts and tags_list differ in length")
    batch = [
        events.dataset_input(dataset, context, tags)
        for dataset, context, tags in zip(named, *lists, strict=True)
        if dataset is not None
    ]
    log(*batch, *(events.model_input(model) for model in models or () if model is not None))


def log_outputs(models: Sequence[object]) -> None:
    """Name logged models that the training made: ids, or MLflow's LoggedModelOutput, which has a step."""
    log(*(events.output(model) for model in models))


def set_tag(key: str, value: object) -> None:
    """Set a tag of the run; the last value counts."""
    log(events.tag(key, value))


def set_tags(tags: Mapping[str, object]) -> None:
    """Set several tags of the run, all or none."""
    log(*(events.tag(key, value) for key, value in tags.items()))
