"""Names that stand twice in one object or row: a lenient reader keeps all of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ciplug.capture.tables import limits


@dataclass(frozen=True)
class Twice:
    """The different values of one name."""

    values: tuple[Any, ...]


def with_twice(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """`object_pairs_hook` for json: a name that stands twice has one value where all are equal, otherwise `Twice`.

    Raises RecursionError where its values are nested in too many levels.
    """
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    every: dict[str, list[Any]] = {}
    for name, value in pairs:
        every.setdefault(name, []).append(value)
    return {name: one_of(values) for name, values in every.items()}


def one_of(values: Sequence[Any]) -> Any:
    """The value of a name that has these values."""
    if all(repr(value) == repr(values[0]) for value in values):
        return values[0]
    if _is_deep(values):
        raise RecursionError
    return Twice(tuple(values))


def _is_deep(level: Sequence[Any]) -> bool:
    """Whether values are nested in more levels than are read, those that stand twice among them."""
    for _ in range(limits.LIMITS.depth + 1):
        level = [inner for outer in level for inner in _inside(outer)]
    return bool(level)


def _inside(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, Twice):
        return value.values
    return value if isinstance(value, list) else ()
