"""A table that fits a terminal: long texts lose their middle. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ciplug.reports.untrusted import shortened

LEAST = 12
"""No text is shortened to fewer characters: the id of a run has so many."""
_GAP = 2
"""Columns of the terminal between two of the table."""
_PADDING = 2
"""What tabulate adds to a header at least."""


def narrowed(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int, whole: Collection[str] = ()
) -> list[list[str]]:
    """Return the headers and the rows, with the longest texts shortened until the table has `width` columns.

    Numbers stay whole, and so do headers that would become the same.

    Args:
        whole: headers of columns that are not shortened.
    """
    table = [list(headers), *map(list, rows)]
    kept = [header in whole for header in headers]
    limit = _limit(list(zip(*table, strict=True)), kept, width)

    def fit(cell: str, is_whole: bool) -> str:
        return cell if is_whole or _is_number(cell) else shortened(cell, limit)

    short = [[fit(cell, is_whole) for cell, is_whole in zip(row, kept, strict=True)] for row in table]
    if len(set(short[0])) < len(set(headers)):
        short[0] = list(headers)
    return short


def without(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int, spared: Sequence[str], whole: Collection[str]
) -> list[list[str]]:
    """Return the headers and the rows without as many of the spared columns as it takes to have `width` columns.

    Args:
        spared: headers of columns that may go, the first of them first; one that tells the rows apart stays longer.
        whole: headers of columns that are not shortened.
    """
    columns = [list(column) for column in zip(headers, *rows, strict=True)]
    alike = [name for name in spared if any(c[0] == name and len(set(c[1:])) == 1 for c in columns)]
    for name in dict.fromkeys((*alike, *spared)):
        if _width(columns, [column[0] in whole for column in columns], LEAST) <= width:
            break
        columns = [column for column in columns if column[0] != name]
    return [list(row) for row in zip(*columns, strict=True)]


def _width(columns: Sequence[Sequence[str]], whole: Sequence[bool], limit: int) -> int:
    """Columns of the terminal that a table takes, whose texts have up to `limit` characters."""

    def of(column: Sequence[str], is_whole: bool) -> int:
        header, *cells = (len(cell) if is_whole else min(len(cell), limit) for cell in column)
        return max([header + _PADDING, *cells])

    return sum(map(of, columns, whole)) + _GAP * (len(columns) - 1)


def _limit(columns: Sequence[Sequence[str]], whole: Sequence[bool], width: int) -> int:
    """The length of the longest text, such that all columns together have room."""
    limit = max((len(cell) for column in columns for cell in column), default=0)
    while limit > LEAST and _width(columns, whole, limit) > width:
        limit -= 1
    return limit


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
