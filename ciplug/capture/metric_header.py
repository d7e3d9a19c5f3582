"""The names of columns, where the first line of a table is not a header but its first row. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ciplug.capture.metric_values import meaning


@dataclass(frozen=True)
class Header:
    """What takes the place of a table's first line."""

    names: tuple[str, ...]
    lines: int
    """The lines that are no rows."""
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
    value = _lenient(value)
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    numbers = [_number(value(cell)) for cell in first]
    has_known = any(cell.lower() in known for cell, number in zip(first, numbers, strict=True) if number is None)
    if all(number is None for number in numbers):
        return _levels(first, rest, value)
    if len(first) == 2 and numbers[0] is None and numbers[1] is not None:
        header = _pairs(first, numbers[1], rest, value, has_known=has_known)
        if header is not None:
            return header
    if has_known:
        return None
    is_whole = not any(isinstance(number, float) for number in numbers)
    if is_whole and (None in numbers or numbers == list(range(len(first)))):
        # Classes or years; without an index, pandas counts columns that have no names.
        return None
    return Header(tuple(f"column {number}" for number in range(1, len(first) + 1)), lines=0, is_guess=True)


def _lenient(value: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same, with the text of a cell whose number is too long: whoever reads the rows names that one."""

    def of(cell: str) -> Any:
        try:
            return value(cell)
        except OverflowError:
            return cell

    return of


def _levels(first: Sequence[str], rest: Sequence[Sequence[str]], value: Callable[[str], Any]) -> Header | None:
    """Names in two lines, as pandas writes columns of two levels: `train,val` over `loss,loss`."""
    if len(rest) < 2 or len(first) < 2 or any(len(row) != len(first) for row in rest):
        return None
    second = [cell.strip() for cell in rest[0]]
    start = 0 if second[0] else 1
    if not all(cell and isinstance(meaning(cell), str) for cell in second[start:]) or (start and first[0]):
        return None
    # With the name of the index comes a third line, which has nothing else.
    has_index = bool(rest[1][0].strip()) and not any(cell.strip() for cell in rest[1][1:])
    below = rest[2:] if has_index else rest[1:]
    if not below or any(_number(value(cell.strip())) is None for row in below for cell in row[start:] if cell.strip()):
        return None
    names = [f"{one}/{two}" if one else two for one, two in zip(first, second, strict=True)]
    names[:start] = [rest[1][0].strip() if has_index else first[0]][:start]
    return Header(tuple(names), lines=3 if has_index else 2, is_guess=False)


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
        return Header(PAIRS, lines=1, is_guess=False) if first[1] == "0" and cells else None
    is_year = isinstance(number, int) and 1900 <= number <= 2100
    return None if is_year and cells else Header(PAIRS, lines=0, is_guess=False)


def _number(value: Any) -> int | float | None:
    """A finite number; None for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and (isinstance(value, int) or math.isfinite(value)) else None
