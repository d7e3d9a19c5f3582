"""The events of a run's log: one fact each, as JSON's own types, checked when they are made.

{"metric": "loss", "value": 0.5, "step": 1}     {"param": "depth", "value": 6}      {"tag": "k", "value": "v"}
{"untag": "k"}     {"artifact": PATH, "as": NAME}     {"dataset": PATH}     {"model": "wine"}     {"name": "n"}
{"seed": 7}     {"status": "running"}     {"lifecycle": "deleted"}
{"started": SECONDS}     {"ended": SECONDS}     {"output": "m-1", "step": 3}     {"model_input": "m-0"}
{"file": "plots/roc.png"}     {"left_out": "acc", "why": "text", "found": "high"}
{"input": {"name": "d", "digest": "1a2b3c4d", "source_type": "local", "source": "…"}, "schema": TEXT, "profile": TEXT}

Each may have a "time", in Unix seconds; an event without one gets the time at which it is appended.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ciplug.errors import UsageError, quoted
from ciplug.records.inputs import DIGEST_MOST, NAME_MOST, SOURCE_MOST, TEXT_MOST
from ciplug.records.run import METRIC_NAME, METRIC_NAME_HINT, metric_name

if TYPE_CHECKING:
    from ciplug.capture.metric_values import Unusable
    from ciplug.records.left_out import Why

Event = dict[str, Any]
_DATASET = {"name": NAME_MOST, "digest": DIGEST_MOST, "source_type": NAME_MOST, "source": SOURCE_MOST}
_TEXTS = ("schema", "profile")
DATASET_HINT = "give one of MLflow's, or {'name': …, 'digest': …, 'source_type': …, 'source': …}"
_EARLIEST = 100_000_000_000
"""Milliseconds: a smaller number is a moment of this century in seconds, or of the first three years since 1970."""
_MOMENT_HINT = "write int(time.time() * 1000), or datetime.now()"


def metric(key: str, value: object, step: object = None, time: float | None = None) -> Event:
    """A value of a metric.

    Args:
        step: a whole number of 64 bits; None: the metric has no steps.
        time: Unix seconds.

    Raises UsageError for a name, a number or a step that cannot be kept.
    """
    if not is_metric_name(key):
        raise UsageError(f"{quoted(key)} cannot be the name of a metric", hint=METRIC_NAME_HINT)
    event: Event = {"metric": metric_name(key), "value": number(key, value)}
    if step is not None:
        event["step"] = whole_step(key, step)
    if time is not None:
        event["time"] = time
    return event


def measured(key: str, value: object, step: object = None, time: float | None = None) -> tuple[Event, ...]:
    """A value of a metric. One that is not a number is NaN, with a note of what stands there: nothing is raised.

    No value at all (None) is only noted, and so is one at a step that is not a whole number.
    """
    if step is not None:
        try:
            whole_step(key, step)
        except UsageError:
            return (left_out(key, "no_step", _shown(step)),)
    try:
        return (metric(key, value, step, time),)
    except UsageError:
        outcome = _meaning(value)
    if isinstance(outcome, float):
        return (metric(key, outcome, step, time),)
    noted = left_out(key, outcome.why, outcome.found)
    return (noted,) if outcome.why == "null" else (metric(key, math.nan, step, time), noted)


def _meaning(value: object) -> float | Unusable:
    from ciplug.capture.metric_values import Unusable, meaning

    if value is None or isinstance(value, (str, int)):
        number = meaning(value)
        return Unusable("text", number) if isinstance(number, str) else number
    if getattr(value, "ndim", 0) or isinstance(value, (list, tuple, set, dict)):
        return Unusable("list", type(value).__name__)
    return Unusable("text", _shown(value))


def _shown(value: object) -> str:
    try:
        return repr(value)[:40]
    except Exception:  # A class of the training, which may raise anything.
        return type(value).__name__


def left_out(key: str, why: Why, found: str | None = None, advice: str | None = None) -> Event:
    """The note on a name whose value could not be used."""
    event = {"left_out": metric_name(key), "why": why, "found": found}
    return {**event, "advice": advice} if advice else event


def is_metric_name(key: object) -> bool:
    """Whether a metric can have this name."""
    return isinstance(key, str) and _is_name(key)


@lru_cache(maxsize=1024)
def _is_name(key: str) -> bool:
    """A training asks for the same few names, for each number that it logs."""
    return METRIC_NAME.fullmatch(metric_name(key)) is not None


def param(key: str, value: object) -> Event:
    """A parameter: text, a number or a boolean; anything else by its str(). Raises UsageError for an empty name."""
    return {"param": _name(key), "value": value if isinstance(value, (str, int, float, bool)) else str(value)}


def tag(key: str, value: object) -> Event:
    """A tag. Raises UsageError for an empty name."""
    return {"tag": _name(key), "value": str(value)}


def untag(key: str) -> Event:
    """The removal of a tag. Raises UsageError for an empty name."""
    return {"untag": _name(key)}


def dataset_input(dataset: object, context: str | None = None, tags: Mapping[str, object] | None = None) -> Event:
    """A dataset that the training read.

    Args:
        dataset: one of MLflow, or a mapping with its fields: name, digest, source, source_type, schema, profile.
        context: training, validation, …

    Raises UsageError for anything else, and for a schema or profile of more than 1 MiB.
    """
    facts = dataset.to_dict() if hasattr(dataset, "to_dict") else dataset
    if not isinstance(facts, Mapping):
        raise UsageError(f"a dataset is expected, not {type(dataset).__name__}", hint=DATASET_HINT)
    if unknown := sorted(map(str, facts.keys() - {*_DATASET, *_TEXTS})):
        raise UsageError(f"a dataset has no field '{unknown[0]}'", hint=DATASET_HINT)
    stated = {name: _dataset_text(name, facts.get(name)) for name in (*_DATASET, *_TEXTS)}
    for name, most in _DATASET.items():
        if not (text := stated[name]) or len(text) > most:
            raise UsageError(f"the dataset's {name} is a text of 1 to {most:,} characters", hint=DATASET_HINT)
    event: Event = {"input": {name: stated[name] for name in _DATASET}}
    if context is not None:
        event["input"]["context"] = _name(context)
    if tags:
        event["input"]["tags"] = {_name(key): str(value) for key, value in tags.items()}
    for name in _TEXTS:
        if (text := stated[name]) is not None:
            if len(text.encode(errors="replace")) > TEXT_MOST:
                raise UsageError(f"the dataset's {name} has more than {TEXT_MOST:,} bytes", hint="leave it out")
            event[name] = text
    return event


def _dataset_text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if name in _DATASET:
        raise UsageError(f"the dataset's {name} is text, not {type(value).__name__}", hint=DATASET_HINT)
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as problem:
        raise UsageError(f"the dataset's {name} is neither text nor JSON: {problem}") from None


def model_input(model: object) -> Event:
    """A logged model that the training read: its id, or one of MLflow's LoggedModelInput. Raises UsageError."""
    return {"model_input": _model_id(model)}


def output(model: object, step: object = None) -> Event:
    """A logged model that the training made: its id, or one of MLflow's LoggedModelOutput. Raises UsageError."""
    at = getattr(model, "step", 0) if step is None else step
    return {"output": _model_id(model), "step": whole_step(_model_id(model), at or 0)}


def _model_id(model: object) -> str:
    text = getattr(model, "model_id", model)
    if not isinstance(text, str) or not text.strip() or len(text) > NAME_MOST:
        raise UsageError(f"the id of a logged model is expected, not {model!r:.60}")
    return text


def number(key: str, value: object) -> float:
    """A metric's value as a float: Python's and numpy's numbers and booleans, one-element arrays and tensors.

    Raises UsageError for anything else.
    """
    if isinstance(value, (str, bytes)) or value is None:
        raise UsageError(f"metric '{key}': a number is expected, not {value!r}")
    try:
        single: Any = value.item() if hasattr(value, "item") else value
        if isinstance(single, (str, bytes)):
            raise TypeError
        return float(single)
    except OverflowError:
        raise UsageError(f"metric '{key}': this integer is too large for a 64-bit float") from None
    except Exception:  # Libraries raise errors of their own, for a tensor of several values for instance.
        raise UsageError(f"metric '{key}': a number is expected, not {type(value).__name__}") from None


def whole_step(key: str, value: object) -> int:
    """A step as the series keep it: a whole number of 64 bits. Raises UsageError for anything else."""
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    try:
        step = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        step = None
    if step is None or step != value or not -(2**63) <= step < 2**63:
        raise UsageError(f"metric '{key}': the step {value!r} is not a whole number of 64 bits")
    return int(step)


def seconds(timestamp: datetime | int | None) -> float | None:
    """Unix seconds of a point in time: a datetime, or Unix milliseconds as MLflow has them.

    Raises UsageError for anything else, before March 1973, where the number is in seconds, and after the year 9999.
    A float could be seconds or milliseconds.
    """
    if timestamp is None:
        return None
    if isinstance(timestamp, datetime):
        return timestamp.timestamp()
    if isinstance(timestamp, bool) or not isinstance(timestamp, int) or not within_years(timestamp / 1000):
        raise UsageError(
            f"the timestamp {timestamp!r} is neither a datetime nor a whole number of milliseconds",
            hint=_MOMENT_HINT,
        )
    if timestamp < _EARLIEST:
        raise UsageError(f"the timestamp {timestamp} is in seconds: milliseconds are expected", hint=_MOMENT_HINT)
    return timestamp / 1000


def within_years(seconds: float) -> bool:
    """Whether Unix seconds are within the years 1 to 9999, which a record can hold."""
    return -62_135_596_800 <= seconds < 253_402_300_800


def _name(key: str) -> str:
    if not isinstance(key, str) or not key.strip():
        raise UsageError(f"{quoted(key)} cannot be a name: text is expected")
    return key
