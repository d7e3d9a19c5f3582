"""What a value in a file of metrics is: a number, words that describe the numbers, or something that cannot be used."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ciplug.capture.tables.delimited import cell_value
from ciplug.records.left_out import Why

_NOT_THERE = re.compile(r"|[-?.]+|\W*(?:n/?a|null|none|nil|missing|undefined|unknown)\W*", re.IGNORECASE)
"""The number was not measured: an empty cell, `NA`, `N/A`, `null`."""
_FAILED = re.compile(
    r"\W*(?:(?:n/?a|null|none|nil|nan|inf|infinity|missing|undefined|unknown)\b|(?:error|fail|diverg|crash|skip)\w*).*",
    re.IGNORECASE | re.DOTALL,
)
"""A number was due, and the text says why it is not there: `diverged`, `N/A (skipped)`."""
_MOMENT = re.compile(
    r"\d{4}([-/.])\d\d\1\d\d(?:[T _-].*)?|\d\d?([/.])\d\d?\2\d{4}(?:[ ,].*)?|\d{8}[T_-]\d{4,6}Z?"
    r"|-?(?:\d+ days?,? )?\d{1,3}(?::\d\d){1,2}(?:\.\d+)?",
    re.DOTALL,
)
"""A day, a time of day or a duration, as text: it does not stand in the place of a number."""
_DURATION = re.compile(r"(?:\d+ min +)?\d+(?:\.\d+)? sec", re.ASCII)
"""As H2O writes it: `1 min 2.345 sec`."""
_ID = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{7,64}(?:-[0-9a-f]{4,12}){0,4}")
"""The id of a commit, or a UUID."""
_NUMBER = re.compile(r"(?<![\w.-])[-+]?[.,]?\d|[∞½¼¾]")
"""A number was meant: `0,93`, `93%`, `0.9 ± 0.1`, `12ms`, `tensor(0.93)`. `resnet50` and `gpt-4` are names."""
_PADDED = re.compile(r"[-+]?0\d+", re.ASCII)
FOUND_MOST = 40
"""Characters of a text that are quoted."""
TEXT_MOST = 500
"""Characters of a text that are kept."""


@dataclass(frozen=True)
class Unusable:
    why: Why
    found: str | None = None


NULL = Unusable("null")


def meaning(value: Any) -> float | str | Unusable:
    """Return the number, the words that surely do not stand in the place of one, or why it is neither.

    A boolean is 1 or 0, and a number in quotes is a number: DVCLive writes "nan".
    """
    if type(value) is float:
        return value
    if value is None:
        return NULL
    if isinstance(value, (bool, int, float)):
        try:
            return float(value)
        except OverflowError:
            return Unusable("size")
    return _of_text(str(value))


def _of_text(text: str) -> float | str | Unusable:
    meant = text.strip()
    if _PADDED.fullmatch(meant) and len(meant) < 300:
        return float(meant)
    try:
        read = cell_value(meant)
        if isinstance(read, (bool, int, float)):
            return float(read)
    except OverflowError:
        return Unusable("size")
    if _NOT_THERE.fullmatch(meant):
        return Unusable("null", meant[:FOUND_MOST])
    if _FAILED.fullmatch(meant) or (
        _NUMBER.search(meant) and not _MOMENT.fullmatch(meant) and not _ID.fullmatch(meant)
    ):
        return Unusable("text", meant[:FOUND_MOST])
    return meant if len(meant) <= TEXT_MOST else meant[: TEXT_MOST - 1] + "…"


def is_moment(text: str) -> bool:
    """Whether a text is a day, a time of day or a duration."""
    meant = text.strip()
    return _MOMENT.fullmatch(meant) is not None or _DURATION.fullmatch(meant) is not None


def as_text(value: Any) -> str:
    """A parameter that is not a scalar, as text."""
    if value is None:
        return "None"
    return json.dumps(value) if isinstance(value, (bool, list, dict)) else str(value)
