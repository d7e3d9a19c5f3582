"""Two files of data beside each other, column by column: has the current one drifted from the reference?"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from ciplug.capture.example_table import as_text
from ciplug.capture.tables.formats import open_table
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Table
from ciplug.stats.drift_tests import Drift, categorical, numeric
from ciplug.stats.intervals import Undecided
from ciplug.stats.sample import Sample

MAX_CATEGORIES = 100_000
"""A column of more different texts is compared by groups of them."""
CATEGORY_MOST = 200
"""Characters of a category: a longer one is counted by its beginning and its digest."""
GROUPS = 1024


def compare(
    reference: Path, current: Path, columns: Sequence[str] | None, test: str
) -> Mapping[str, Drift | Undecided]:
    """The drift of each column: of `columns`, else of all that both files have.

    Numbers are compared by `test`, psi where it is auto; texts, booleans and mixed columns by χ², as are numbers where
    the test is chi2. Raises InputError on a file that cannot be read, or has none of the columns.
    """
    before, now = DataFile(reference), DataFile(current)
    names = list(columns) if columns is not None else [name for name in before.names if name in now.names]
    if not names:
        raise now.table.source.wrong(f"it has no column of {reference.name}")
    return {name: _compare_column(before, now, name, test) for name in names}


def _compare_column(before: DataFile, now: DataFile, name: str, test: str) -> Drift | Undecided:
    if lacking := [file.table.source.path.name for file in (before, now) if name not in file.names]:
        return Undecided(f"no column '{name}' in {' and '.join(lacking)}")
    first, second = before.column(name), now.column(name)
    if test != "chi2" and first.numbers is not None and second.numbers is not None:
        return numeric(first.numbers, second.numbers, test="ks" if test == "ks" else "psi")
    return categorical(*counts_of(first, second))


class Column:
    """A column in little memory: its numbers, as long as it has nothing else, or how often each category occurs."""

    def __init__(self) -> None:
        self.rows = 0
        self.numbers: Sample | None = Sample()
        self.counts: Counter[str | None] = Counter()
        self.is_grouped = False
        self.is_nested = False
        """It holds lists or mappings, which are not compared."""

    def extend(self, values: Sequence[Any]) -> None:
        self.rows += len(values)
        kinds = set(map(type, values))
        if self.numbers is not None and kinds <= {int, float}:
            self.numbers.extend_complete(values)
        elif self.numbers is not None and kinds <= {int, float, type(None)}:
            self.numbers.extend(values)
        else:
            self.become_categories()
            self.is_nested = self.is_nested or not kinds.isdisjoint({dict, list})
            if not self.is_nested:
                self._count(values)

    def pad(self, rows: int) -> None:
        """Missing values at the end, up to so many rows."""
        if rows > self.rows:
            self.extend([None] * (rows - self.rows))

    def become_categories(self) -> None:
        if self.numbers is not None:
            numbers, self.numbers = self.numbers, None
            self.counts[None] += numbers.missing
            for block in _blocks(numbers):
                self._count(block)

    def _count(self, values: Sequence[Any]) -> None:
        # True and 1 are equal, and are not the same category.
        for (_, value), count in Counter(zip(map(type, values), values, strict=True)).items():
            category = _short(as_text(value) or "") or None
            self.counts[_group(category) if self.is_grouped else category] += count
        if len(self.counts) > MAX_CATEGORIES:
            self.become_groups()

    def become_groups(self) -> None:
        if not self.is_grouped:
            self.is_grouped = True
            counts, self.counts = self.counts, Counter()
            for category, count in counts.items():
                self.counts[_group(category)] += count


def _short(category: str) -> str:
    """Return a category for counting: a long one by its beginning and its digest."""
    if len(category) <= CATEGORY_MOST:
        return category
    return f"{category[:CATEGORY_MOST]}… {sha256(category.encode(errors='replace')).hexdigest()}"


def counts_of(before: Column, now: Column) -> tuple[Counter[str | None], Counter[str | None]]:
    """Count each category in both columns; count groups of them if there are too many."""
    for column in (before, now):
        column.become_categories()
    if before.is_grouped or now.is_grouped:
        for column in (before, now):
            column.become_groups()
    return before.counts, now.counts


class DataFile:
    """A file whose columns are read when they are asked for: one at a time where the format allows it."""

    def __init__(self, path: Path) -> None:
        self.table = open_table(Source(path))
        self._all: dict[str, Column] | None = None

    @property
    def names(self) -> Sequence[str]:
        """Columns of single values. Raises InputError as reading does."""
        if self.table.by_column and self.table.columns is not None:
            return [name for name in self.table.columns if name not in self.table.nested_columns]
        return list(self._columns())

    def column(self, name: str) -> Column:
        if self.table.by_column:
            return read_columns(self.table, [name])[name]
        return self._columns()[name]

    def _columns(self) -> dict[str, Column]:
        if self._all is None:
            self._all = read_columns(self.table)
        return self._all


def read_columns(table: Table, names: Sequence[str] | None = None) -> dict[str, Column]:
    """These columns of a table; None: all that hold single values. Raises InputError as `Table.rows` does."""
    columns = {name: Column() for name in (names or table.columns or ())}
    rows = 0
    for batch in table.batches(names):
        for name, values in batch.items():
            column = columns.setdefault(name, Column())
            column.pad(rows)
            column.extend(values)
        rows += len(next(iter(batch.values()), ()))
    for column in columns.values():
        column.pad(rows)
    return {name: column for name, column in columns.items() if not column.is_nested}


def _group(category: str | None) -> str | None:
    """The group of a category, the same in every file."""
    return None if category is None else f"group {zlib.crc32(category.encode(errors='replace')) % GROUPS}"


def _blocks(numbers: Sample) -> Iterator[list[float]]:
    iterator = iter(numbers)
    while block := list(itertools.islice(iterator, MAX_CATEGORIES)):
        yield block
