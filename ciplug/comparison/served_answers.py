"""Pure: whether the answers of a server are the predictions that were recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


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


def same(recorded: Any, answered: Any, tolerance: float) -> bool:
    """Whether two predictions are equal: labels exactly, numbers within the tolerance.

    Two whole numbers are labels. A text that looks like a number is one where the other side is a number: a CSV file,
    and the record of a run, keep the label 1 as a text. Lists and mappings are compared value by value.
    """
    if isinstance(recorded, Mapping) or isinstance(answered, Mapping):
        return (
            isinstance(recorded, Mapping)
            and isinstance(answered, Mapping)
            and set(recorded) == set(answered)
            and all(same(value, answered[name], tolerance) for name, value in recorded.items())
        )
    if _is_list(recorded) or _is_list(answered):
        # A model with one output answers [0.5] or 0.5, as its server likes.
        one, other = (value if _is_list(value) else [value] for value in (recorded, answered))
        return len(one) == len(other) and all(same(a, b, tolerance) for a, b in zip(one, other, strict=True))
    one, other = _number(recorded), _number(answered)
    if one is None or other is None or (isinstance(recorded, str) and isinstance(answered, str)):
        return bool(recorded == answered) and isinstance(recorded, bool) == isinstance(answered, bool)
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    if one == other:
        return True
    if one.is_integer() and other.is_integer():
        return False
    return abs(one - other) <= tolerance * max(1.0, abs(one), abs(other))


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _number(value: Any) -> float | None:
    """None for what is no number, and for a truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
