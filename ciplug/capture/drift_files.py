"""Two files of data beside each other, column by column: has the current one drifted from the reference?"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from ciplug.capture.example_table import as_text
from ciplug.capture.tables.formats import open_table
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Table
from ciplug.errors import InputError
from ciplug.stats.drift_tests import (
    ColumnDrift,
    DataDrift,
    Drift,
    DriftTest,
    categorical,
    new_categories,
    numeric,
    share,
)
from ciplug.stats.intervals import Undecided
from ciplug.stats.sample import Sample

MAX_CATEGORIES = 100_000
"""A column of more different texts is compared by groups of them."""
CATEGORY_MOST = 200
"""Characters of a category: a longer one is counted by its beginning and its digest."""
GROUPS = 1024
NUMERIC = 0.9
"""The share of numbers among the values of a reference from which its column is one of numbers."""
_NUMERIC = (int, float, type(None))
_ID = "nearly all its values are different, like those of an id: without 'columns' it is left out"


class Data(Protocol):
    """One side of a comparison: columns, read when they are asked for."""

    @property
    def title(self) -> str:
        """What messages call it."""
        ...

    @property
    def names(self) -> Sequence[str]: ...

    def column(self, name: str) -> Column:
        """The column, which the caller may change."""
        ...


def compare(
    reference: Path, current: Path, columns: Sequence[str] | None, test: str, ignore: Collection[str] = ()
) -> DataDrift:
    """The drift of the columns of a file from those of another one, as `compare_data`."""
    return compare_data(DataFile(reference), DataFile(current), columns, test, ignore)


def compare_data(
    before: Data, now: Data, columns: Sequence[str] | None, test: str, ignore: Collection[str] = ()
) -> DataDrift:
    """The drift of each column: of `columns`, else of all that the reference has.

    What a column is follows from the reference: numbers where nearly all of its values are, and they are compared by
    `test`, psi where it is auto. Texts, booleans and mixed columns are categories, as are numbers where the test is
    chi2. Raises InputError on a file that cannot be read, or has none of the columns.

    Args:
        ignore: columns of the current file that are not named where only that file has them.
    """
    names = list(columns) if columns is not None else list(before.names)
    gone = tuple(name for name in names if name in before.names and name not in now.names)
    left = [name for name in names if name not in gone]
    if not left and columns is None:
        raise InputError(f"{now.title}: it has no column of {before.title}")
    added = () if columns is not None else tuple(one for one in now.names if one not in (*before.names, *ignore))
    drifts = {name: _compare_column(before, now, name, test) for name in left}
    ids = () if columns is not None else tuple(name for name, one in drifts.items() if one is None)
    compared = {name: one or Undecided(_ID) for name, one in drifts.items() if name not in ids}
    return DataDrift(columns=compared, gone=gone, added=added, ids=ids)


def _compare_column(before: Data, now: Data, name: str, test: str) -> ColumnDrift | Undecided | None:
    """The tests of a column; None where its values are ids."""
    if name not in before.names:
        return Undecided(f"no column '{name}' in {before.title}")
    first, second = before.column(name), now.column(name)
    if not first.rows or not second.rows:
        return Undecided(f"the {'current window' if first.rows else 'reference'} is empty")
    if test != "chi2" and first.is_numeric:
        return _as_numbers(first, second, "ks" if test == "ks" else "psi")
    return _as_categories(first, second)


def _as_numbers(before: Column, now: Column, test: DriftTest) -> ColumnDrift:
    return ColumnDrift(
        kind="numbers",
        tests=(
            numeric(before.numbers, now.numbers, test=test),
            *_share("missing", before, now, before.missing, now.missing),
            *_share("not_numbers", before, now, before.texts, now.texts),
        ),
        stray=next((text for text in now.counts if text is not None), None),
    )


def _as_categories(before: Column, now: Column) -> ColumnDrift | None:
    missing = tuple(_share("missing", before, now, before.missing, now.missing))
    first, second = counts_of(before, now)
    if set(first) <= {None} and set(second) <= {None}:
        return ColumnDrift(kind="categories", tests=missing or (share("missing", (1, 1), (1, 1)),))
    new = new_categories(first, second)
    drift = categorical(first, second)
    if isinstance(new, Undecided) and isinstance(drift, Drift):
        if drift.p == 1 and drift.statistic == 0 and drift.new:
            return None
        return ColumnDrift(kind="categories", tests=(drift, *missing))
    return ColumnDrift(kind="categories", tests=(drift, new, *missing))


def _share(test: DriftTest, before: Column, now: Column, was: int, is_now: int) -> Iterator[Drift]:
    if was or is_now:
        yield share(test, (was, before.rows), (is_now, now.rows))


class Column:
    """A column in little memory: its numbers, and how often each other value occurs."""

    def __init__(self) -> None:
        self.rows = 0
        self.numbers = Sample()
        self.counts: Counter[str | None] = Counter()
        self.is_grouped = False
        self.is_nested = False
        """It holds lists or mappings, which are not compared."""

    @property
    def missing(self) -> int:
        return self.numbers.missing + self.counts[None]

    @property
    def texts(self) -> int:
        """The count of values that are not numbers."""
        return sum(self.counts.values()) - self.counts[None]

    @property
    def is_numeric(self) -> bool:
        """Whether nearly all of its values are numbers; a column without values has no numbers either."""
        values = len(self.numbers) + self.texts
        return len(self.numbers) > 0 and len(self.numbers) >= NUMERIC * values

    def extend(self, values: Sequence[Any]) -> None:
        self.rows += len(values)
        kinds = set(map(type, values))
        if kinds <= {int, float}:
            self.numbers.extend_complete(values)
        elif kinds <= {int, float, type(None)}:
            self.numbers.extend(values)
        else:
            self.is_nested = self.is_nested or not kinds.isdisjoint({dict, list})
            if not self.is_nested:
                numbers = [value for value in values if type(value) in _NUMERIC]
                self.numbers.extend(numbers)
                self._count([value for value in values if type(value) not in _NUMERIC] if numbers else values)

    def pad(self, rows: int) -> None:
        """Missing values at the end, up to so many rows."""
        if rows > self.rows:
            self.extend([None] * (rows - self.rows))

    def become_categories(self) -> None:
        numbers, self.numbers = self.numbers, Sample()
        if numbers.missing:
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
        # They are missing values, whose share is tested.
        self.table.skips_empty_rows = False
        self._all: dict[str, Column] | None = None

    @property
    def title(self) -> str:
        return self.table.source.path.name

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
