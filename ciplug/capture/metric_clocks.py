"""Which numbers of a metric file are points in time, and not metrics: decided by the name and the number. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

MOMENT_KEYS = ("timestamp", "_timestamp", "datetime", "created_at")
"""Names that always hold a point in time."""
_CLOCKS = {
    *("time", "timestamp", "ts", "date", "day", "datetime", "clock", "now", "when", "at", "utc"),
    *(
        "created",
        "updated",
        "modified",
        "saved",
        "logged",
        "recorded",
        "started",
        "ended",
        "finished",
        "completed",
        "complete",
    ),
    *("start", "begin", "end", "stop", "finish"),
}
"""A name with one of these words may hold points in time …"""
_BESIDE = {"wall", "unix", "epoch", "log", "run", "local", "system", "event"}
"""… where it has no other words than these beside them: `start_time`, and not `train_time`, which is a duration."""
_SECONDS = (946_684_800, 4_102_444_800)
"""The years 2000 to 2100."""
_UNITS = {"s": 1, "sec": 1, "seconds": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_DAY = re.compile(r"20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
"""20261129."""


class _Name(NamedTuple):
    """What a name says of its numbers."""

    is_always: bool
    """They are points in time, whatever they are."""
    unit: int | None
    """Of a second."""
    may_be_day: bool


def is_time(name: str, value: Any) -> bool:
    """Whether a number is a point in time, by its name and size."""
    clock = _clock(name)
    if clock is None or not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    if clock.is_always:
        return True
    if clock.unit is not None:
        return _is_within(value, clock.unit)
    return moment(value) is not None or (clock.may_be_day and _DAY.fullmatch(str(value)) is not None)


@lru_cache(maxsize=20_000)
def _clock(name: str) -> _Name | None:
    """None for a name whose numbers are not points in time."""
    last = name.rpartition("/")[2]
    words = {word.lower() for word in _WORD.findall(last)}
    units = [_UNITS[word] for word in words if word in _UNITS]
    words -= _UNITS.keys()
    is_always = last.lower() in MOMENT_KEYS
    if not is_always and (not words & _CLOCKS or not words <= _CLOCKS | _BESIDE):
        return None
    return _Name(is_always, units[0] if units else None, bool(words & {"date", "day"}))


def moment(value: Any) -> float | None:
    """Return Unix seconds, where a number can be the time of a log in seconds, or in milli-, micro- or nanoseconds."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return next((value / unit for unit in (1, 10**3, 10**6, 10**9) if _is_within(value, unit)), None)


def _is_within(value: float, unit: int) -> bool:
    return _SECONDS[0] * unit <= value < _SECONDS[1] * unit
