"""Which values of a metric file are points in time, and not metrics: decided by the name and the value. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, NamedTuple

MOMENT_KEYS = ("timestamp", "_timestamp", "datetime", "created_at")
"""Names that always hold a point in time."""
_EVENTS = {
    *("created", "updated", "modified", "saved", "logged", "recorded", "started", "ended", "finished", "completed"),
    *("start", "begin", "end", "stop", "finish", "complete", "completion"),
}
_DAYS = {"date", "day", "datestamp", "timestamp", "datetime"}
"""A day in eight digits is a time under a name with one of these words."""
_CLOCKS = {*_EVENTS, *_DAYS, "time", "ts", "clock", "now", "when", "at", "utc"}
"""A name with one of these words may hold points in time …"""
_BESIDE = {"wall", "unix", "epoch", "log", "run", "local", "system", "event", "last", "first"}
"""… where it has no other words than these beside them: `start_time`, and not `train_time`, which is a duration."""
_FIRST = {"date", "datestamp", "timestamp", "datetime", "ts"}
_LAST = {*_FIRST, *_EVENTS, "at", "utc", "iat", "mtime", "ctime"}
"""A name that begins or ends with one of these words is that of a point in time, whatever its other words are."""
_AFTER = {"at", "by", "from", "per", "since", "till", "to", "until"}
"""Not behind one of these words: `tokens_at_end` counts something, and `time_to_start` is a duration."""
_SECONDS = (946_684_800, 4_102_444_800)
"""The years 2000 to 2100."""
_LEAST = 20_000_101
"""A smaller number is no point in time in any form."""
_UNITS = {"s": 1, "sec": 1, "seconds": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_QUOTED = re.compile(r"\d{8,19}(?:\.\d{1,20})?", re.ASCII)
_CALENDAR = re.compile(r"20\d{6}(?:\d{6})?", re.ASCII)
"""20261129, or 20261129103000."""


class _Name(NamedTuple):
    """What a name says of its numbers."""

    is_always: bool
    """They are points in time, whatever they are."""
    unit: int | None
    """Of a second."""
    may_be_day: bool


def is_time(name: str, value: Any) -> bool:
    """Whether a number, in quotes or not, is a point in time, by its name and size."""
    clock = _clock(name)
    if clock is None:
        return False
    if clock.is_always and isinstance(value, (int, float)) and not isinstance(value, bool):
        return True
    number = _number(value)
    if number is None or number < _LEAST:
        return False
    if clock.unit is not None:
        return _is_within(number, clock.unit)
    if number == int(number) and _calendar(str(int(number))) is not None:
        # Eight digits may be a duration as well, of 20 milliseconds.
        return number >= 10**13 or clock.may_be_day
    return moment(number) is not None


@lru_cache(maxsize=20_000)
def _clock(name: str) -> _Name | None:
    """None for a name whose numbers are not points in time."""
    last = name.rpartition("/")[2]
    words = [word.lower() for word in _WORD.findall(last)]
    units = [_UNITS[word] for word in words if word in _UNITS]
    words = [word for word in words if word not in _UNITS]
    is_always = last.lower() in MOMENT_KEYS
    if not is_always and not _is_clock(words):
        return None
    return _Name(is_always, units[0] if units else None, bool(_DAYS & set(words)))


def _is_clock(words: list[str]) -> bool:
    """Whether a name, by its words, may be that of a point in time."""
    parts = set(words)
    if parts & _CLOCKS and parts <= _CLOCKS | _BESIDE:
        return True
    if len(words) > 2 and words[-1] in ("time", "t") and words[-2] in _EVENTS:
        words = words[:-1]
    elif len(words) == 2 and words == ["completion", "time"]:
        return True
    if not words:
        return False
    return words[0] in _FIRST or (words[-1] in _LAST and (len(words) < 2 or words[-2] not in _AFTER))


def moment(value: Any) -> float | None:
    """Return Unix seconds, where a value can be the time of a log.

    A number, in quotes or not, is in seconds, or in milli-, micro- or nanoseconds, or has the digits of a day, or of a
    day and a time. A text is in the form of ISO 8601. A time without a zone is taken for UTC.
    """
    number = _number(value)
    if number is None:
        return _of_text(value) if isinstance(value, str) else None
    seconds = next((number / unit for unit in (1, 10**3, 10**6, 10**9) if _is_within(number, unit)), None)
    return seconds if seconds is not None or number != int(number) else _calendar(str(int(number)))


def moment_in_words(name: str, value: Any) -> float | None:
    """Return Unix seconds, where a text is a time or a day in the form of ISO 8601, and its name is that of a time."""
    return _of_text(value) if isinstance(value, str) and _clock(name) is not None else None


def _number(value: Any) -> int | float | None:
    if isinstance(value, str) and _QUOTED.fullmatch(value.strip()):
        text = value.strip()
        return float(text) if "." in text else int(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) < 1e19 else None


def _of_text(text: str) -> float | None:
    text = text.strip()
    if len(text) < 10 or text[4:5] not in ("-", "/", "."):
        return None
    day = text[:10].replace(text[4], "-")
    rest = re.sub(r"(\.\d{1,6})\d*", lambda found: found[1].ljust(7, "0"), text[10:].replace(",", "."))
    rest = re.sub(r" ?(?:Z|UTC)$", "+00:00", rest)
    try:
        return _seconds(datetime.fromisoformat(day + rest))
    except ValueError:
        return None


def _calendar(digits: str) -> float | None:
    """The Unix seconds of 20261129 or 20261129103000; None: no day has these digits."""
    if not _CALENDAR.fullmatch(digits):
        return None
    try:
        return _seconds(datetime.strptime(digits, "%Y%m%d%H%M%S" if len(digits) > 8 else "%Y%m%d"))
    except ValueError:
        return None


def _seconds(when: datetime) -> float:
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


def _is_within(value: float, unit: int) -> bool:
    return _SECONDS[0] * unit <= value < _SECONDS[1] * unit
