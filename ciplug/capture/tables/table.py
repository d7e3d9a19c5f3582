"""The common part of all table formats: rows, batches of columns, and the limits on both."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ciplug.capture.tables import limits
from ciplug.capture.tables.source import Source
from ciplug.errors import InputError

BATCH_ROWS = 10_000


class Row(NamedTuple):
    """Values by column: None, numbers, booleans, texts; in JSON and Parquet also lists and mappings of these."""

    values: Mapping[str, Any]
    number: int
    """Counted from 1, without the header."""
    line: int | None = None
    """The line of the row in a text; of a quoted cell with line breaks, its last line."""


Broken = Callable[[InputError], None]
"""Takes the error of a line that cannot be read: the others are read all the same."""


class Table:
    """A table in a file, read anew by each call and never held as a whole, except for a JSON list."""

    by_column = False
    """One column is read without the cost of the others."""
    columns: Sequence[str] | None = None
    """The names of the columns in order, if all rows have the same; None if each row names its own."""
    text_columns: Collection[str] = ()
    """Columns that cannot contain numbers, if the format declares it."""
    skips_empty_rows = True
    """Whether a row that has cells, and no value in any of them, is none: some programs write such rows at the end."""
    nested_columns: Collection[str] = ()
    """Columns of lists or mappings, if the format declares it."""

    def __init__(self, source: Source, broken: Broken | None = None) -> None:
        self.source = source
        self.broken = broken
        """None: one line that cannot be read is an error of the whole file."""

    def rows(self, names: Collection[str] | None = None) -> Iterator[Row]:
        """Each row, with the columns of these names only (None: all).

        Raises InputError on a malformed row, and on more rows, columns, cells or text than `limits` allows.
        """
        return within_limits(self.source, self._rows(names))

    def batches(self, names: Collection[str] | None = None) -> Iterator[Mapping[str, Sequence[Any]]]:
        """Columns of the next some thousand rows, all equally long; None where a row has no value. Raises as `rows`."""
        rows = self.rows(names)
        while block := [row.values for row in itertools.islice(rows, BATCH_ROWS)]:
            present = dict.fromkeys(name for values in block for name in values)
            yield {name: [values.get(name) for values in block] for name in present}

    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        raise NotImplementedError

    def _skip(self, problem: InputError) -> None:
        """Go on without a line that cannot be read. Raises the problem where that is not asked for."""
        if self.broken is None:
            raise problem
        self.broken(problem)


def within_limits(source: Source, rows: Iterable[Row]) -> Iterator[Row]:
    most = limits.LIMITS
    names: set[str] = set()
    cells = 0
    for row in rows:
        cells += len(row.values)
        names.update(row.values)
        check_shape(source, row.number, len(names), cells)
        for name, value in row.values.items():
            if isinstance(value, str) and is_too_long(value, most.cell_bytes):
                raise cell_too_long(source, name, row.line, row.number)
        yield row


def check_shape(source: Source, rows: int, columns: int, cells: int) -> None:
    """Raises InputError where there are more than are read."""
    most = limits.LIMITS
    for count, limit, what in ((rows, most.rows, "rows"), (columns, most.columns, "columns")):
        if count > limit:
            raise source.wrong(f"more than {limit:,} {what}", hint="write fewer, or a sample of them")
    if cells > most.cells:
        hint = "write fewer rows or columns; of Parquet, only the columns that are needed are read"
        raise source.wrong(f"more than {most.cells:,} cells", hint=hint)


def is_too_long(text: str, limit: int) -> bool:
    """Whether a text takes more than `limit` bytes of UTF-8."""
    return len(text) * 4 > limit and len(text.encode(errors="replace")) > limit


def cell_too_long(source: Source, name: str, line: int | None = None, row: int | None = None) -> InputError:
    return source.wrong(f"a text of more than {limits.LIMITS.cell_bytes:,} bytes", column=name, line=line, row=row)


def first_twice(names: Iterable[str]) -> str | None:
    """Return the first name that occurs a second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
