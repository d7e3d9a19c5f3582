"""Pure: whether the answers of a server are the predictions that were recorded."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_WHOLE = re.compile(r"[+-]?[0-9]{1,1000}")
_NO_VALUE = ("", "nan", "NaN")
"""How a CSV file keeps a value that is missing."""
_DEEPEST = 50
"""Levels of lists and mappings. A prediction has few."""


class Difference(NamedTuple):
    """A row whose answer is not the recorded one."""

    row: int
    """Counted from 0."""
    recorded: Any
    answered: Any


def differences(recorded: Sequence[Any], answered: Sequence[Any], tolerance: float) -> list[Difference]:
    """The rows that differ, of two lists of one length.

    Args:
        tolerance: how far numbers may be apart, as a share of the larger one, and at least of 1.
    """
    pairs = enumerate(zip(recorded, answered, strict=True))
    return [Difference(row, one, other) for row, (one, other) in pairs if not same(one, other, tolerance)]


def nothing_to_compare(recorded: Sequence[Any]) -> list[int]:
    """The rows with which no answer can be compared: the recorded prediction lacks a value, or a finite one."""
    return [row for row, one in enumerate(recorded) if not _is_comparable(one)]


def same(recorded: Any, answered: Any, tolerance: float) -> bool:
    """Whether two predictions are equal: labels exactly, numbers within the tolerance.

    Two whole numbers are labels. A text that looks like a number is one where the other side is a number: a CSV file,
    and the record of a run, keep the label 1 as a text. Lists and mappings are compared value by value. What is null,
    NaN or infinite equals nothing.
    """
    return _is_same(recorded, answered, tolerance, _DEEPEST)


def _is_same(recorded: Any, answered: Any, tolerance: float, deepest: int) -> bool:
    if deepest == 0:
        return False
    if isinstance(recorded, Mapping) or isinstance(answered, Mapping):
        return (
            isinstance(recorded, Mapping)
            and isinstance(answered, Mapping)
            and set(recorded) == set(answered)
            and all(_is_same(value, answered[name], tolerance, deepest - 1) for name, value in recorded.items())
        )
    if _is_list(recorded) or _is_list(answered):
        # A model with one output answers [0.5] or 0.5, as its server likes.
        one, other = (value if _is_list(value) else [value] for value in (recorded, answered))
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_is_same(a, b, tolerance, deepest - 1) for a, b in pairs)
    if recorded is None or answered is None:
        return False
    if isinstance(recorded, bool) or isinstance(answered, bool) or (_is_text(recorded) and _is_text(answered)):
        return type(recorded) is type(answered) and bool(recorded == answered)
    one, other = _number(recorded), _number(answered)
    return one is not None and other is not None and _is_near(one, other, tolerance)


def _is_near(one: int | float, other: int | float, tolerance: float) -> bool:
    """Whether two finite numbers are equal; Python compares an int and a float exactly."""
    if one == other:
        return True
    if _is_whole(one) and _is_whole(other):
        return False
    try:
        return abs(one - other) <= tolerance * max(1.0, abs(one), abs(other))
    except OverflowError:
        return False


def _is_comparable(recorded: Any, deepest: int = _DEEPEST) -> bool:
    if isinstance(recorded, Mapping) or _is_list(recorded):
        values = list(recorded.values() if isinstance(recorded, Mapping) else recorded)
        return deepest > 0 and bool(values) and all(_is_comparable(one, deepest - 1) for one in values)
    if isinstance(recorded, float):
        return math.isfinite(recorded)
    return recorded is not None and recorded not in _NO_VALUE


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(number: int | float) -> bool:
    return isinstance(number, int) or number.is_integer()


def _number(value: Any) -> int | float | None:
    """A finite number; a whole one exactly. None for everything else."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, str) and "_" not in value:
        try:
            value = float(value)
        except ValueError:
            return None
    return value if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)) else None
