"""All runs of a store as columns, as amended, with a local cache: for questions over many runs.

A segment never changes, so its columns are fetched once and kept in a file (`catalog_file`), each by itself: a search
reads the few columns that it names, whatever else is recorded. What is in no segment yet, or not yet in the store, is
held beside them. Amendments change the columns as they are read: what was recorded stays as it was.
"""

from __future__ import annotations

import sqlite3
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from ciplug.errors import UsageError, nearest
from ciplug.records.amendment import Amendment
from ciplug.records.changes import Changes, Standing
from ciplug.records.columns import Columns
from ciplug.records.columns import of as columns_of
from ciplug.records.keys import RunKey, amended_run, is_described, is_run, parse_run, parse_runs
from ciplug.records.lineage import ancestors
from ciplug.stores import Store, store_name
from ciplug.tracking import amended, search
from ciplug.tracking.catalog_file import DAMAGE, CatalogFile, path_in
from ciplug.tracking.entries import Entry, as_amended, entry_at, sparse, why_misplaced, why_unread
from ciplug.tracking.query import COMMIT, PARENT, Column, Comparison, Key, Kind, MatchedRows, Order

_NAMES_MOST = 12
T = TypeVar("T")


class SearchResult(NamedTuple):
    """The result of a search."""

    entries: list[Entry]
    total: int
    """Runs that match, also those beyond the limit."""
    left_out: int = 0
    """Runs that do not match only because a number in a condition is NaN there."""
    undefined: int = 0
    """The number of matching runs whose value to order by is NaN."""
    absent: int = 0
    """The number of matching runs without a value to order by."""
    hidden: int = 0
    """Runs that match, and are left out for the state that they are in."""
    children: Mapping[str, int] = MappingProxyType({})
    """Key of a run among the entries → child runs that it stands for."""
    folded: int = 0
    """Child runs that match, and are left out because a run that started them is among the results."""


class _Segment(NamedTuple):
    name: str
    first: int
    """The row of its first run."""
    runs: int


class Catalog:
    """All runs of a store at the last refresh, and those that wait to be sent."""

    def __init__(
        self,
        store: Store,
        folder: Path | None = None,
        unsent: Mapping[str, bytes] | None = None,
        *,
        offline: bool = False,
    ) -> None:
        """
        Args:
            folder: where the cache is kept, a file a store; None: in memory.
            unsent: objects that count as if the store had them.
            offline: answer from the cache, and do not ask the store.

        Raises StoreError when the store cannot be reached, UsageError when there is no cache to be offline with.
        """
        self.problems: dict[str, str] = {}
        """Key → why the record there is left out."""
        self.as_of: datetime | None = None
        """When the store was last asked, if it was not asked now."""
        self._store = store
        self._unsent = dict(unsent or {})
        self._offline = offline
        path = path_in(folder, store.address) if folder else None
        if offline:
            self._file, self.as_of = self._as_left(path)
        else:
            self._file = CatalogFile(path)
        self._answer(self._load)

    def __len__(self) -> int:
        """Number of runs."""
        return self._count

    def _as_left(self, path: Path | None) -> tuple[CatalogFile, datetime]:
        """The cache, and when it was last known to be whole."""
        if path is None or not path.exists():
            raise self._not_offline("nothing is kept on this machine")
        try:
            return CatalogFile.as_left(path)
        except (OSError, sqlite3.Error):
            raise self._not_offline("what is kept on this machine is damaged") from None

    def _not_offline(self, why: str) -> UsageError:
        return UsageError(f"{store_name(self._store)}: {why}", hint="ask without --offline first")

    def _answer(self, question: Callable[[], T]) -> T:
        """Ask the cache; a damaged one is made anew from the store, and asked again."""
        try:
            return question()
        except DAMAGE:
            if self._offline:
                raise self._not_offline("what is kept on this machine is damaged") from None
            self._file.renew()
            self._load()
            return question()

    # Keeping the cache

    def refresh(self, max_age: float = 0.0, unsent: Mapping[str, bytes] | None = None) -> None:
        """Ask the store again, if it was asked more than `max_age` seconds ago. `unsent` replaces what was unsent.

        Raises StoreError when the store cannot be reached; the catalog is then as it was.
        """
        if unsent is None and time.monotonic() - self._loaded < max_age:
            return
        self._unsent = self._unsent if unsent is None else dict(unsent)
        if not self._offline:
            self._store.refresh()
        self._answer(self._load)

    def _load(self) -> None:
        self.problems.clear()
        if self._offline:
            names = [name for name, gone in self._file.segments().items() if gone is None]
            loose = self._file.loose()
        else:
            names, loose = self._extend()
        self._loaded = time.monotonic()
        sizes = self._file.sizes()
        self._cells: dict[Key, Column] = {}
        self._segments: list[_Segment] = []
        self._count = 0
        for name in names:
            if sizes[name]:  # one may hold other objects only
                self._segments.append(_Segment(name, self._count, sizes[name]))
                self._count += sizes[name]
        objects = {**loose, **self._unsent}
        self._rest = self._beside(objects)
        self._count += len(self._rest)
        self._changes = amended.changes(self._amendments(names, objects), self.problems)
        for name in ("_changed", "_changed_rows", "_parents"):
            self.__dict__.pop(name, None)

    def _amendments(self, names: Collection[str], objects: Mapping[str, bytes]) -> dict[str, Any]:
        """Key → record of every amendment, in a segment or not."""
        listed = set(names)
        recorded = {key: record for segment, key, record in self._file.amendments() if segment in listed}
        return {**recorded, **{key: data for key, data in objects.items() if amended_run(key)}}

    def _extend(self) -> tuple[list[str], dict[str, bytes]]:
        """Fetch what the cache lacks, and note what is gone; returns the segments, and the objects in none."""
        # In this order, so that a run that is moved in between is seen twice rather than missed.
        keys = [key for key in self._store.loose() if is_run(key) or amended_run(key)]
        names = self._store.segments()
        kept = self._file.loose()
        held = self._file.segments()
        missing = [name for name in names if name not in held]
        unseen = [key for key in keys if key not in kept]
        fetched = self._store.columns(missing) if missing else {}
        for name in missing:
            if name not in fetched:
                self.problems[name] = f"the segment {name}, with all its runs: the store cannot read it"
        names = [name for name in names if name not in self.problems]
        objects = {**kept, **(self._store.read(unseen) if unseen else {})}
        loose = {key: objects[key] for key in keys if key in objects}
        for key in keys:
            if key not in objects:
                self.problems[key] = f"{key}: it is missing from the store, or can no longer be read"
        if self._file.is_stale(names, loose):
            self._file.write(names, fetched, loose)
        self._file.touch()
        return names, loose

    def _beside(self, objects: Mapping[str, bytes]) -> Columns:
        """The runs among these that are in no segment."""
        own = {key: data for key, data in objects.items() if is_run(key)}
        if own:
            for segment in self._segments:
                for key in own.keys() & set(self._keys(segment)):
                    del own[key]
        self._beside_keys = sorted(own)
        columns = columns_of(own.items())
        entries = (entry_at(columns, row) for row in range(len(columns)))
        wrong = {entry.key: problem for entry in entries if (problem := why_misplaced(entry))}
        wrong.update((key, why_unread(own[key], key)) for key in own.keys() - set(columns.keys))
        self.problems.update(wrong)
        return columns_of((key, data) for key, data in own.items() if key not in wrong) if wrong else columns

    # Asking it

    def search(
        self,
        where: Sequence[Comparison] = (),
        order_by: Sequence[Order] = (),
        limit: int | None = None,
        *,
        hide: Collection[Standing] = (),
        fold: bool = False,
        keep: Callable[[Sequence[int]], Sequence[int]] | None = None,
    ) -> SearchResult:
        """The first `limit` runs for which every condition holds, in order; without one, the latest first.

        Raises UsageError for a metric, parameter or tag that no run has.

        Args:
            hide: runs with such a standing are left out, and counted.
            fold: whether a child run is left out where one of the runs that started it is among the results.
            keep: which rows of those left stay: it takes and returns rising rows.
        """
        return self._answer(lambda: self._search(where, order_by, limit, hide, fold, keep))

    def _search(
        self,
        where: Sequence[Comparison],
        order_by: Sequence[Order],
        limit: int | None,
        hide: Collection[Standing],
        fold: bool,
        keep: Callable[[Sequence[int]], Sequence[int]] | None,
    ) -> SearchResult:
        selected = self._select(where)
        for order in order_by:
            self._need(order.key)
        listed = self._without(hide, selected.rows)
        rows = listed if keep is None else keep(listed)
        folded = self._folded(rows) if fold else {}
        if folded:
            rows = [row for row in rows if row not in folded]
        arranged = search.arrange(rows, order_by, self._column, limit)
        entries = self._entries(arranged.rows)
        return SearchResult(
            entries,
            len(rows),
            selected.undefined,
            arranged.undefined,
            arranged.absent,
            len(selected.rows) - len(listed),
            self._counted(entries, Counter(folded.values())) if folded else {},
            len(folded),
        )

    def _counted(self, entries: Sequence[Entry], by_row: Mapping[int, int]) -> dict[str, int]:
        """Counts of rows by the keys of their runs."""
        rows = self._rows_of({entry.key for entry in entries})
        return {key: by_row[row] for key, row in rows.items() if row in by_row}

    def _folded(self, rows: Sequence[int]) -> dict[int, int]:
        """Child run → the farthest of the runs that started it which is among the rows."""
        among = set(rows) if self._parents else ()
        tops = ((row, [one for one in self._ancestors(row) if one in among]) for row in self._parents if row in among)
        return {row: above[-1] for row, above in tops if above}

    def _without(self, hide: Collection[Standing], rows: Sequence[int]) -> Sequence[int]:
        gone = {row for row, changes in self._changed_rows.items() if changes.standing in hide} if hide else set()
        return [row for row in rows if row not in gone] if gone else rows

    def count(self, where: Sequence[Comparison], *, hide: Collection[Standing] = ()) -> int:
        """Count the runs that satisfy every condition. Raises UsageError as `search` does."""
        return self._answer(lambda: len(self._without(hide, self._select(where).rows)))

    def rows(self, where: Sequence[Comparison], *, hide: Collection[Standing] = ()) -> Sequence[int]:
        """Return the rows of the runs that satisfy every condition. Raises UsageError as `search` does."""
        return self._answer(lambda: self._without(hide, self._select(where).rows))

    def _select(self, where: Sequence[Comparison]) -> MatchedRows:
        for comparison in where:
            self._need(comparison.key)
        return search.select(where, self._count, self._column)

    def need(self, key: Key) -> None:
        """Raise UsageError for a metric, parameter, tag or dataset that no run has, unless there are no runs."""
        self._answer(lambda: self._need(key))

    def _need(self, key: Key) -> None:
        if not self._count or key.kind == "attribute" or self._column(key).rows:
            return
        if key.kind == "dataset":
            raise UsageError(f"no run has a dataset with a {key.name}", hint="log one: ciplug.log_input")
        noun = {"metric": "a metric", "param": "a parameter", "tag": "a tag"}[key.kind]
        names = self._names(key.kind)
        hint = nearest(key.name, names, _NAMES_MOST) if names else f"no run has {noun} at all"
        raise UsageError(f"no run has {noun} '{key.name}'", hint=hint)

    def names(self, kind: Kind) -> list[str]:
        """Names of all metrics, parameters or tags, sorted."""
        return self._answer(lambda: self._names(kind))

    def _names(self, kind: Kind) -> list[str]:
        listed = {segment.name for segment in self._segments}
        recorded = {name for name, segment in self._file.names(kind) if segment in listed}
        late = {name for changes in self._changed.values() for name in amended.names(changes, kind)}
        return sorted(recorded | sparse(self._rest, kind).keys() | late)

    def values(self, key: Key) -> set[Any]:
        """The different values of a key."""
        return set(self.column(key).values)

    def column(self, key: Key) -> Column:
        """The values of a key, as amended, and the rows that they stand in."""
        return self._answer(lambda: self._column(key))

    def entries(self, rows: Sequence[int]) -> list[Entry]:
        """Return the entries of the runs in these rows, in order, without invalid ones."""
        return self._answer(lambda: self._entries(rows))

    def changes(self, key: str) -> Changes:
        """Return the combined amendments of the run with this key."""
        return self._answer(lambda: self._changed.get(key, amended.NO_CHANGES))

    @property
    def changed(self) -> Mapping[str, Changes]:
        """Key of a run, or of what has no record → its amendments combined; only of those that were amended."""
        return self._answer(lambda: self._changed)

    def described(self) -> list[RunKey]:
        """Return what amendments describe that is not a run: experiments and logged models of MLflow."""
        return [key for key in map(parse_run, self._changes) if key is not None and is_described(key)]

    @property
    def newer(self) -> list[Amendment]:
        """The amendments that a newer ciplug wrote."""
        return [one for changes in self._changes.values() for one in changes.newer]

    @property
    def foreign(self) -> list[Changes]:
        """The changes of runs with amendments that name another model."""
        return self._answer(lambda: [changes for changes in self._changed.values() if changes.foreign])

    def find(self, run_id: str) -> list[str]:
        """Keys of the runs whose id begins so; the one whose id it is, if there is one."""
        return self._answer(lambda: self._find(run_id))

    def _find(self, run_id: str) -> list[str]:
        mark = f"-{run_id}"
        keys = [key for segment in self._segments for key in self._keys(segment) if mark in key]
        runs = parse_runs([*keys, *(key for key in self._beside_keys if mark in key)])
        whole = [run.key for run in runs if run.id == run_id]
        return whole or [run.key for run in runs if run.id.startswith(run_id)]

    def row_of(self, key: str) -> int | None:
        """The row of the run with this key; None where there is none."""
        return self._answer(lambda: next(iter(self._rows_of({key}).values()), None))

    # Reading its columns

    def _keys(self, segment: _Segment) -> list[str]:
        return self._file.keys(segment.name, segment.runs)

    def _rows_of(self, keys: Collection[str]) -> dict[str, int]:
        """Key → row, of those of the keys that are a run's here."""
        wanted = set(keys)
        rows: dict[str, int] = {}
        for segment in self._segments if wanted else ():
            rows.update((key, segment.first + n) for n, key in enumerate(self._keys(segment)) if key in wanted)
        first = self._count - len(self._rest)
        rows.update((key, first + n) for n, key in enumerate(self._rest.keys) if key in wanted)
        return rows

    @cached_property
    def _changed(self) -> dict[str, Changes]:
        """Key → the changes of its run, without amendments that name another model."""
        if not self._changes:
            return {}
        models = self._recorded_column(Key("attribute", "model"))
        of_row = dict(zip(models.rows, models.values, strict=True))
        rows = self._rows_of(self._changes.keys())
        return {
            key: changes.of_model(of_row[rows[key]]) if rows.get(key) in of_row else changes
            for key, changes in self._changes.items()
        }

    @cached_property
    def _changed_rows(self) -> dict[int, Changes]:
        """Row → its changes, of the runs that have been amended, and of the children of those that do not count."""
        own = {row: self._changed[key] for key, row in self._rows_of(self._changes.keys()).items()}
        void = {row for row, changes in own.items() if not changes.counts}
        if not void:
            return own
        inherited = dict(own)
        for row in self._parents:
            above = next((one for one in self._ancestors(row) if one in void), None)
            if above is not None:
                inherited[row] = replace(own.get(row, amended.NO_CHANGES), parent=own[above])
        return inherited

    @cached_property
    def _parents(self) -> dict[int, int]:
        """Row → the row of the run that started it, of the child runs whose parent is here."""
        children = self._recorded_column(PARENT)
        if not children.rows:
            return {}
        commits = self._recorded_column(COMMIT)
        commit_of = dict(zip(commits.rows, commits.values, strict=True))
        keys = {
            row: RunKey(commit_of.get(row), parent).key
            for row, parent in zip(children.rows, children.values, strict=True)
        }
        rows = self._rows_of(set(keys.values()))
        return {row: rows[key] for row, key in keys.items() if key in rows}

    def _ancestors(self, row: int) -> Iterator[int]:
        """The runs that started a run, the nearest first."""
        return ancestors(row, self._parents.get)

    def _column(self, key: Key) -> Column:
        if key not in self._cells:
            self._cells[key] = amended.column(key, self._recorded_column(key), self._changed_rows, self._count)
        return self._cells[key]

    def _recorded_column(self, key: Key) -> Column:
        cells = self._file.cells(key, {segment.name: segment.runs for segment in self._segments})
        rows: list[int] = []
        values: list[Any] = []

        def add(first: int, cell: Column) -> None:
            whole = isinstance(cell.rows, range)
            rows.extend(range(first, first + len(cell.rows)) if whole else (first + row for row in cell.rows))
            values.extend(cell.values)

        for segment in self._segments:
            if segment.name in cells:
                add(segment.first, cells[segment.name])
        if (cell := sparse(self._rest, key.kind).get(key.name)) is not None:
            add(self._count - len(self._rest), Column(cell.rows, cell.values))
        if None in values:  # an attribute that is not known of every run
            present = [(row, value) for row, value in zip(rows, values, strict=True) if value is not None]
            rows, values = [row for row, _ in present], [value for _, value in present]
        whole = len(rows) == self._count and key.kind != "dataset"
        return Column(range(self._count) if whole else rows, values)

    def _entries(self, rows: Sequence[int]) -> list[Entry]:
        by_row: dict[int, Entry] = {}
        rising = sorted(rows)
        for segment in self._segments:
            end = segment.first + segment.runs
            if own := rising[bisect_left(rising, segment.first) : bisect_left(rising, end)]:
                columns = self._file.columns(segment.name, segment.runs)
                by_row.update((row, entry_at(columns, row - segment.first)) for row in own)
        first = self._count - len(self._rest)
        by_row.update((row, entry_at(self._rest, row - first)) for row in rising[bisect_left(rising, first) :])
        entries = []
        for row in rows:
            if problem := why_misplaced(by_row[row]):
                self.problems[by_row[row].key] = problem
            else:
                entries.append(as_amended(by_row[row], self._changed_rows.get(row, amended.NO_CHANGES)))
        return entries
