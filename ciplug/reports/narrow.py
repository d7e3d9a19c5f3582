"""A table that fits a terminal: long texts lose their middle. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ciplug.reports.untrusted import shortened

LEAST = 12
"""No text is shortened to fewer characters: the id of a run has so many."""
_GAP = 2
"""Columns of the terminal between two of the table."""


def narrowed(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Return the headers and the rows, with the longest texts shortened until the table has `width` columns.

    Numbers stay whole, and so do headers that would become the same.
    """
    table = [list(headers), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    limit = _limit(widths, width - _GAP * (len(widths) - 1))
    short = [[cell if _is_number(cell) else shortened(cell, limit) for cell in row] for row in table]
    if len(set(short[0])) < len(set(headers)):
        short[0] = list(headers)
    return short


def _limit(widths: Sequence[int], room: int) -> int:
    """The length of the longest text, such that all columns together have room."""
    limit = max(widths, default=0)
    while limit > LEAST and sum(min(width, limit) for width in widths) > room:
        limit -= 1
    return limit


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
