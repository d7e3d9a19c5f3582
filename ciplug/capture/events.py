"""The events of a run's log: one fact each, as JSON's own types, checked when they are made.

{"metric": "loss", "value": 0.5, "step": 1}     {"param": "depth", "value": 6}      {"tag": "k", "value": "v"}
{"untag": "k"}     {"artifact": PATH}     {"dataset": PATH}     {"model": "wine"}     {"name": "n"}     {"seed": 7}
{"started": SECONDS}     {"ended": SECONDS}

Each may have a "time", in Unix seconds; an event without one gets the time at which it is appended.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ciplug.errors import UsageError
from ciplug.records.run import METRIC_NAME, METRIC_NAME_HINT

Event = dict[str, Any]


def metric(key: str, value: object, step: object = None, time: float | None = None) -> Event:
    """A value of a metric.

    Args:
        step: a whole number of 64 bits; None: the metric has no steps.
        time: Unix seconds.

    Raises UsageError for a name, a number or a step that cannot be kept.
    """
    if not isinstance(key, str) or not key.strip() or not METRIC_NAME.fullmatch(key):
        raise UsageError(f"{key!r} cannot be the name of a metric", hint=METRIC_NAME_HINT)
    event: Event = {"metric": key, "value": number(key, value)}
    if step is not None:
        event["step"] = whole_step(key, step)
    if time is not None:
        event["time"] = time
    return event


def param(key: str, value: object) -> Event:
    """A parameter: text, a number or a boolean; anything else by its str(). Raises UsageError for an empty name."""
    return {"param": _name(key), "value": value if isinstance(value, (str, int, float, bool)) else str(value)}


def tag(key: str, value: object) -> Event:
    """A tag. Raises UsageError for an empty name."""
    return {"tag": _name(key), "value": str(value)}


def untag(key: str) -> Event:
    """The removal of a tag. Raises UsageError for an empty name."""
    return {"untag": _name(key)}


def number(key: str, value: object) -> float:
    """A metric's value as a float: Python's and numpy's numbers, one-element arrays and tensors.

    Raises UsageError for anything else.
    """
    if isinstance(value, (bool, str)) or value is None:
        raise UsageError(f"metric '{key}': a number is expected, not {value!r}")
    try:
        single: Any = value.item() if hasattr(value, "item") else value
        if isinstance(single, bool):
            raise TypeError
        return float(single)
    except OverflowError:
        raise UsageError(f"metric '{key}': this integer is too large for a 64-bit float") from None
    except (TypeError, ValueError):
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

    Raises UsageError for anything else, and outside of the years 1 to 9999. A float could be seconds or milliseconds.
    """
    if timestamp is None:
        return None
    if isinstance(timestamp, datetime):
        return timestamp.timestamp()
    if isinstance(timestamp, bool) or not isinstance(timestamp, int) or not within_years(timestamp / 1000):
        raise UsageError(
            f"the timestamp {timestamp!r} is neither a datetime nor a whole number of milliseconds",
            hint="write int(time.time() * 1000), or datetime.now()",
        )
    return timestamp / 1000


def within_years(seconds: float) -> bool:
    """Whether Unix seconds are within the years 1 to 9999, which a record can hold."""
    return -62_135_596_800 <= seconds < 253_402_300_800


def _name(key: str) -> str:
    if not isinstance(key, str) or not key.strip():
        raise UsageError(f"{key!r} cannot be a name: text is expected")
    return key
