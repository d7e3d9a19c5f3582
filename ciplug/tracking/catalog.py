"""All runs of a store as columns, as amended, with a local cache: for questions over many runs.

A segment never changes, so its columns are fetched once and kept in a file (`catalog_file`), each by itself: a search
reads the few columns that it names, whatever else is recorded. What is in no segment yet, or not yet in the store, is
held beside them. Amendments change the columns as they are read: what was recorded stays as it was.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from ciplug.errors import UsageError, nearest
from ciplug.records.amendment import Amendment
from ciplug.records.changes import Changes, Standing
from ciplug.records.columns import Columns as RecordedColumns
from ciplug.records.keys import RunKey, is_described, parse_run
from ciplug.stores import Store, store_name
from ciplug.tracking import amended, search
from ciplug.tracking.catalog_file import DAMAGE, CatalogFile, path_in
from ciplug.tracking.catalog_rows import CatalogRows, Segment
from ciplug.tracking.entries import Entry
from ciplug.tracking.query import Column, Condition, Key, Kind, MatchedRows, Order, comparisons_in

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


class Catalog:
    """All runs of a store at the last refresh, and those that wait to be sent."""

    def __init__(
        self,
        store: Store,
        folder: Path | None = None,
        unsent: Mapping[str, bytes] | None = None,
        *,
        offline: bool = False,
        may_be_unknown: bool = False,
        ignored: Callable[[Mapping[RunKey, Sequence[str]]], Collection[str]] | None = None,
    ) -> None:
        """
        Args:
            folder: where the cache is kept, a file a store; None: in memory.
            unsent: objects that count as if the store had them.
            offline: answer from the cache, and do not ask the store.
            may_be_unknown: with `offline`, a store that has never answered is taken for an empty one: a training goes
                on without it. Who asks has to say so.
            ignored: which of the amendments of runs change nothing; without it, each counts. It reads the store, so it
                is not asked offline.

        Raises StoreError when the store cannot be reached, UsageError when there is no cache to be offline with.
        """
        self.as_of: datetime | None = None
        """When the store was last asked, if it was not asked now."""
        self._store = store
        self._offline = offline
        path = path_in(folder, store.address) if folder else None
        if offline and may_be_unknown and not (path and CatalogFile.has_been_whole(path)):
            file = CatalogFile(None)
        elif offline:
            file, self.as_of = self._as_left(path)
        else:
            file = CatalogFile(path)
        self._rows = CatalogRows(store, file, dict(unsent or {}), offline=offline, ignored=ignored)
        self._answer(self._rows.load)

    @property
    def problems(self) -> dict[str, str]:
        """Key → why the record there is left out."""
        return self._rows.problems

    @property
    def version(self) -> int:
        """How often the store had something new: what was read of this catalog holds as long as this stays."""
        return self._rows.version

    def __len__(self) -> int:
        """Number of runs."""
        return self._rows.count

    def _as_left(self, path: Path | None) -> tuple[CatalogFile, datetime]:
        """The cache, and when it was last known to be whole."""
        if path is None or not CatalogFile.has_been_whole(path):
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
            self._rows.file.renew()
            self._rows.load(anew=True)
            return question()

    # Keeping the cache

    def refresh(self, max_age: float = 0.0, unsent: Mapping[str, bytes] | None = None) -> None:
        """Ask the store again, if it was asked more than `max_age` seconds ago. `unsent` replaces what was unsent.

        Raises StoreError when the store cannot be reached; the catalog is then as it was.
        """
        if unsent is None and time.monotonic() - self._rows.loaded < max_age:
            return
        if unsent is not None:
            self._rows.unsent = dict(unsent)
        if not self._offline:
            self._store.refresh()
        self._answer(self._rows.load)

    # Asking it

    def search(
        self,
        where: Sequence[Condition] = (),
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
        where: Sequence[Condition],
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
        arranged = search.arrange(rows, order_by, self._rows.column, limit)
        entries = self._rows.entries(arranged.rows)
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
        rows = self._rows.rows_of({entry.key for entry in entries})
        return {key: by_row[row] for key, row in rows.items() if row in by_row}

    def _folded(self, rows: Sequence[int]) -> dict[int, int]:
        """Child run → the farthest of the runs that started it which is among the rows."""
        among = set(rows) if self._rows.parents else ()
        tops = (
            (row, [one for one in self._rows.ancestors(row) if one in among])
            for row in self._rows.parents
            if row in among
        )
        return {row: above[-1] for row, above in tops if above}

    def _without(self, hide: Collection[Standing], rows: Sequence[int]) -> Sequence[int]:
        gone = {row for row, changes in self._rows.changed_rows.items() if changes.standing in hide} if hide else set()
        return [row for row in rows if row not in gone] if gone else rows

    def count(self, where: Sequence[Condition], *, hide: Collection[Standing] = ()) -> int:
        """Count the runs that satisfy every condition. Raises UsageError as `search` does."""
        return self._answer(lambda: len(self._without(hide, self._select(where).rows)))

    def rows(self, where: Sequence[Condition], *, hide: Collection[Standing] = ()) -> Sequence[int]:
        """Return the rows of the runs that satisfy every condition. Raises UsageError as `search` does."""
        return self._answer(lambda: self._without(hide, self._select(where).rows))

    def _select(self, where: Sequence[Condition]) -> MatchedRows:
        for comparison in comparisons_in(where):
            self._need(comparison.key)
        return search.select(where, self._rows.count, self._rows.column)

    def need(self, key: Key) -> None:
        """Raise UsageError for a metric, parameter, tag or dataset that no run has, unless there are no runs."""
        self._answer(lambda: self._need(key))

    def _need(self, key: Key) -> None:
        if not self._rows.count or key.kind == "attribute" or self._rows.column(key).rows:
            return
        if key.kind == "dataset":
            raise UsageError(f"no run has a dataset with a {key.name}", hint="log one: ciplug.log_input")
        noun = {"metric": "a metric", "param": "a parameter", "tag": "a tag"}[key.kind]
        names = self._rows.names(key.kind)
        hint = nearest(key.name, names, _NAMES_MOST) if names else f"no run has {noun} at all"
        raise UsageError(f"no run has {noun} '{key.name}'", hint=hint)

    def names(self, kind: Kind) -> list[str]:
        """Names of all metrics, parameters or tags, sorted."""
        return self._answer(lambda: self._rows.names(kind))

    def values(self, key: Key) -> set[Any]:
        """The different values of a key."""
        return set(self.column(key).values)

    def column(self, key: Key) -> Column:
        """The values of a key, as amended, and the rows that they stand in."""
        return self._answer(lambda: self._rows.column(key))

    def entries(self, rows: Sequence[int]) -> list[Entry]:
        """Return the entries of the runs in these rows, in order, without invalid ones."""
        return self._answer(lambda: self._rows.entries(rows))

    def changes(self, key: str) -> Changes:
        """Return the combined amendments of the run with this key."""
        return self._answer(lambda: self._rows.changed.get(key, amended.NO_CHANGES))

    @property
    def changed(self) -> Mapping[str, Changes]:
        """Key of a run, or of what has no record → its amendments combined; only of those that were amended."""
        return self._answer(lambda: self._rows.changed)

    def parts(self) -> list[Segment]:
        """The segments with runs, the oldest first; then the runs that are in none."""
        return self._answer(self._rows.parts)

    def recorded(self, part: Segment) -> RecordedColumns:
        """The runs of one of `parts`, as they were recorded."""
        return self._answer(lambda: self._rows.recorded(part))

    @property
    def changed_rows(self) -> Mapping[int, Changes]:
        """Row → its changes, of amended runs, and of the children of those that do not count."""
        return self._answer(lambda: self._rows.changed_rows)

    def described(self) -> list[RunKey]:
        """Return what amendments describe that is not a run: experiments and logged models of MLflow."""
        return [key for key in map(parse_run, self._rows.changes) if key is not None and is_described(key)]

    @property
    def newer(self) -> list[Amendment]:
        """The amendments that a newer ciplug wrote."""
        return [one for changes in self._rows.changes.values() for one in changes.newer]

    @property
    def foreign(self) -> list[Changes]:
        """The changes of runs with amendments that name another model."""
        return self._answer(lambda: [changes for changes in self._rows.changed.values() if changes.foreign])

    def find(self, run_id: str) -> list[str]:
        """Keys of the runs whose id begins so; the one whose id it is, if there is one."""
        return self._answer(lambda: self._rows.find(run_id))

    def row_of(self, key: str) -> int | None:
        """The row of the run with this key; None where there is none."""
        return self._answer(lambda: next(iter(self._rows.rows_of({key}).values()), None))
