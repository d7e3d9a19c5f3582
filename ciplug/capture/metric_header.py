"""The names of columns, where the first line of a table is not a header but its first row. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Header:
    """What takes the place of a table's first line."""

    names: tuple[str, ...]
    is_row: bool
    """The first line is a row. False: it is a header, with other names."""
    is_guess: bool
    """The names are ours."""


PAIRS = ("name", "value")


def header_of(rows: Sequence[Sequence[str]], value: Callable[[str], Any], known: Collection[str]) -> Header | None:
    """Return what takes the place of the first line; None: it is the header that it seems to be.

    Args:
        rows: the first lines of the table, as cells.
        value: from a cell to its value.
        known: names in lower case that are surely those of columns, of steps and of rows.
    """
    if not rows or not rows[0]:
        return None
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    numbers = [_number(value(cell)) for cell in first]
    has_known = any(cell.lower() in known for cell, number in zip(first, numbers, strict=True) if number is None)
    if all(number is None for number in numbers):
        return None
    if len(first) == 2 and numbers[0] is None and numbers[1] is not None:
        return _pairs(first, numbers[1], rest, value, has_known=has_known)
    if has_known:
        return None
    is_whole = not any(isinstance(number, float) for number in numbers)
    if is_whole and (None in numbers or numbers == list(range(len(first)))):
        # Classes or years; without an index, pandas counts columns that have no names.
        return None
    return Header(tuple(f"column {number}" for number in range(1, len(first) + 1)), is_row=True, is_guess=True)


def _pairs(
    first: Sequence[str],
    number: int | float,
    rest: Sequence[Sequence[str]],
    value: Callable[[str], Any],
    *,
    has_known: bool,
) -> Header | None:
    """Names and values in two columns: without a header, or with that of a pandas Series that has no name."""
    cells = [[value(cell.strip()) for cell in row] for row in rest]
    if not all(len(row) == 2 and isinstance(row[0], str) for row in cells):
        return None
    if has_known:
        return Header(PAIRS, is_row=False, is_guess=False) if first[1] == "0" and cells else None
    is_year = isinstance(number, int) and 1900 <= number <= 2100
    return None if is_year and cells else Header(PAIRS, is_row=True, is_guess=False)


def _number(value: Any) -> int | float | None:
    """A finite number; None for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and (isinstance(value, int) or math.isfinite(value)) else None
