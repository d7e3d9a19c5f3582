"""A table that fits a terminal: long texts lose their middle, and lists of numbers their end. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from ciplug.reports.untrusted import shortened

LEAST = 12
"""No text is shortened to fewer characters: the id of a run has so many."""
_GAP = 2
"""Columns of the terminal between two of the table."""
_PART = 16
"""The same, where a table is divided in any case."""
_NAME_LEAST = 4
"""Characters of a name that is shown beside its number."""
_PADDING = 2
"""What tabulate adds to a header at least."""


class Pairs(str):
    """Names and numbers in one cell. It is shortened by whole ones from the end: a part of one would be false."""

    parts: tuple[str, ...]

    def __new__(cls, parts: Sequence[str]) -> Pairs:
        """Args: parts: like "accuracy=0.9"."""
        made = super().__new__(cls, " ".join(parts))
        made.parts = tuple(parts)
        return made

    @property
    def least(self) -> int:
        """Characters of the first one, and of the sign that there are more."""
        return len(self.parts[0]) + (2 if len(self.parts) > 1 else 0) if self.parts else 0

    def fitted(self, limit: int) -> str:
        """As many as have room; of the first one, the name is shortened where it must be, and never the number."""
        for count in range(len(self.parts), 0, -1):
            text = " ".join(self.parts[:count]) + (" …" if count < len(self.parts) else "")
            if len(text) <= limit:
                return text
        if not self.parts:
            return ""
        name, _, number = self.parts[0].rpartition("=")
        room = limit - len(number) - 1
        return f"{shortened(name, room)}={number}" if room >= _NAME_LEAST else "…"


def narrowed(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    whole: Collection[str] = (),
    beginnings: Mapping[str, int] = MappingProxyType({}),
) -> list[list[str]]:
    """Return the headers and the rows, with the longest texts shortened until the table has `width` columns.

    Numbers stay whole, and so do headers that would become the same.

    Args:
        whole: headers of columns that are not shortened. In the last place, a list in them takes several lines.
        beginnings: headers of columns of which, in the last place, only so many first characters stay.
    """
    table = [list(headers), *map(list, rows)]
    kept = [header in whole for header in headers]
    limit = _limit(list(zip(*table, strict=True)), kept, width)

    def fit(cell: str, is_whole: bool) -> str:
        if isinstance(cell, Pairs):
            return cell.fitted(max(limit, cell.least))
        return cell if is_whole or _is_number(cell) else shortened(cell, limit)

    short = [[fit(cell, is_whole) for cell, is_whole in zip(row, kept, strict=True)] for row in table]
    if len(set(short[0])) < len(set(headers)):
        short[0] = list(headers)
    return short if table_width(short) <= width else _squeezed(short, table, width, kept, beginnings)


def _squeezed(
    short: list[list[str]],
    table: Sequence[Sequence[str]],
    width: int,
    whole: Sequence[bool],
    beginnings: Mapping[str, int],
) -> list[list[str]]:
    """A table that is still too wide: the beginnings of texts, lists on several lines, and numbers in what is left."""

    def fit(cell: str, header: str, is_whole: bool) -> str:
        if header in beginnings:
            return cell[: beginnings[header]]
        return cell.replace(", ", ",\n") if is_whole else cell

    short = [short[0], *(list(map(fit, row, table[0], whole)) for row in short[1:])]
    places = [at for at in range(len(table[0])) if any(isinstance(row[at], Pairs) for row in table)]
    for at in places:
        rest = [[cell for place, cell in enumerate(row) if place != at] for row in short]
        room = width - table_width(rest) - _GAP
        if room < len(short[0][at]) + _PADDING:
            return rest
        for row, old in zip(short, table, strict=True):
            cell = old[at]
            row[at] = cell.fitted(room) if isinstance(cell, Pairs) else row[at]
    return short


def in_parts(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[list[list[str]]]:
    """Yield the table as `narrowed` makes it; where it has no room, several with some of the columns and the first."""
    columns = list(zip(headers, *rows, strict=True))
    part = columns[:1]
    is_one = _width(columns, [False] * len(columns), LEAST) <= width
    for column in columns[1:]:
        if not is_one and len(part) > 1 and _width([*part, column], [False] * (len(part) + 1), _PART) > width:
            yield _part(part, width)
            part = columns[:1]
        part.append(column)
    yield _part(part, width)


def _part(columns: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    headers, *rows = zip(*columns, strict=True)
    return narrowed(headers, rows, width)


def table_width(table: Sequence[Sequence[str]]) -> int:
    """Columns of the terminal that a table takes as it is; its first row has the headers."""
    columns = list(zip(*table, strict=True))
    return _width(columns, [True] * len(columns), 0)


def without(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int, spared: Sequence[str], whole: Collection[str]
) -> list[list[str]]:
    """Return the headers and the rows without as many of the spared columns as it takes to have `width` columns.

    Args:
        spared: headers of columns that may go, the first of them first. Those in which all rows are alike go before any
            text is shortened, the others where short texts have no room.
        whole: headers of columns that are not shortened.
    """
    columns = [list(column) for column in zip(headers, *rows, strict=True)]
    alike = [name for name in spared if any(c[0] == name and len(c) > 2 and len(set(c[1:])) == 1 for c in columns)]
    longest = max((len(cell) for column in columns for cell in column), default=0)
    for name in dict.fromkeys((*alike, *spared)):
        limit = longest if name in alike else LEAST
        if _width(columns, [column[0] in whole for column in columns], limit) <= width:
            continue
        columns = [column for column in columns if column[0] != name]
    return [list(row) for row in zip(*columns, strict=True)]


def _width(columns: Sequence[Sequence[str]], whole: Sequence[bool], limit: int) -> int:
    """Columns of the terminal that a table takes, whose texts have up to `limit` characters."""

    def length(cell: str, is_whole: bool) -> int:
        if is_whole:
            return max(map(len, cell.split("\n")))
        return min(len(cell), max(limit, cell.least if isinstance(cell, Pairs) else 0))

    def of(column: Sequence[str], is_whole: bool) -> int:
        header, *cells = (length(cell, is_whole) for cell in column)
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
