"""The rows of a catalog: a run each, with its columns as amended, kept in step with the store.

First come the rows of the segments, in the order of the store, then those of the runs that are in none.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from ciplug.records.changes import Changes
from ciplug.records.columns import Columns
from ciplug.records.columns import of as columns_of
from ciplug.records.keys import RunKey, amended_run, is_run, parse_runs
from ciplug.records.lineage import ancestors
from ciplug.stores import Store
from ciplug.tracking import amended
from ciplug.tracking.catalog_file import CatalogFile
from ciplug.tracking.entries import Entry, as_amended, entry_at, sparse, why_misplaced, why_unread
from ciplug.tracking.query import COMMIT, PARENT, Column, Key, Kind


class Segment(NamedTuple):
    """Runs that stand together; those of a segment of the store never change."""

    name: str
    """Empty: the runs that are in no segment."""
    first: int
    """The row of its first run."""
    runs: int


class CatalogRows:
    """What a catalog answers from. A method that reads the file raises what `catalog_file.DAMAGE` lists."""

    def __init__(
        self,
        store: Store,
        file: CatalogFile,
        unsent: dict[str, bytes],
        *,
        offline: bool,
        ignored: Callable[[Mapping[RunKey, Sequence[str]]], Collection[str]] | None,
    ) -> None:
        self.file = file
        self.unsent = unsent
        """Objects that count as if the store had them, after the next `load`."""
        self.problems: dict[str, str] = {}
        """Key → why the record there is left out."""
        self._store = store
        self._offline = offline
        self._ignored = ignored
        self.version = 0
        """How often the store had something new."""
        self._seen: object = None
        self._of_run: dict[RunKey, list[str]] = {}
        self._void: Collection[str] = ()
        self._amended = amended.Memory()

    def load(self, *, anew: bool = False) -> None:
        """Ask the store, unless offline. Raises StoreError; the rows are then as they were.

        Args:
            anew: forget what was read before: the file was damaged.
        """
        if anew:
            self._seen, self._amended = None, amended.Memory()
        problems = dict(self.problems)
        self.problems.clear()
        if self._offline:
            names = [name for name, gone in self.file.segments().items() if gone is None]
            loose = self.file.loose()
        else:
            names, loose = self._extend()
        self.loaded = time.monotonic()
        # An object never changes. Which amendments count may change with the policy, and with new signatures.
        seen = (tuple(names), frozenset(loose), frozenset(self.unsent))
        if seen == self._seen and self._which_do_not_count() == self._void:
            self.problems.update(problems)
            return
        self._seen = None
        self.version += 1
        sizes = self.file.sizes()
        self._cells: dict[Key, Column] = {}
        self._segments: list[Segment] = []
        self.count = 0
        for name in names:
            if sizes[name]:  # one may hold other objects only
                self._segments.append(Segment(name, self.count, sizes[name]))
                self.count += sizes[name]
        objects = {**loose, **self.unsent}
        self._rest = self._beside(objects)
        self.count += len(self._rest)
        self.changes = self._amended.changes(self._counting(self._amendments(names, objects)), self.problems)
        for name in ("changed", "changed_rows", "parents"):
            self.__dict__.pop(name, None)
        self._seen = seen

    def _amendments(self, names: Collection[str], objects: Mapping[str, bytes]) -> dict[str, Any]:
        """Key → record of every amendment, in a segment or not."""
        self._amended.read(names, self.file.amendments)
        return {**self._amended.recorded(names), **{key: data for key, data in objects.items() if amended_run(key)}}

    def _counting(self, amendments: dict[str, Any]) -> dict[str, Any]:
        """The amendments without those that change nothing, which are named."""
        self._of_run = {}
        for key in () if self._ignored is None else sorted(amendments):
            if run := amended_run(key):
                self._of_run.setdefault(run, []).append(key)
        self._void = self._which_do_not_count()
        self.problems.update((key, amended.ignored_note(key)) for key in sorted(self._void))
        return {key: record for key, record in amendments.items() if key not in self._void}

    def _which_do_not_count(self) -> Collection[str]:
        return self._ignored(self._of_run) if self._ignored and self._of_run else ()

    def _extend(self) -> tuple[list[str], dict[str, bytes]]:
        """Fetch what the cache lacks, and note what is gone; returns the segments, and the objects in none."""
        # In this order, so that a run that is moved in between is seen twice rather than missed.
        keys = [key for key in self._store.loose() if is_run(key) or amended_run(key)]
        names = self._store.segments()
        kept = self.file.loose()
        held = self.file.segments()
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
        if self.file.is_stale(names, loose):
            self.file.write(names, fetched, loose)
        self.file.touch()
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

    def parts(self) -> list[Segment]:
        """The segments with runs, the oldest first; then the runs that are in none."""
        rest = [Segment("", self.count - len(self._rest), len(self._rest))] if len(self._rest) else []
        return [*self._segments, *rest]

    def recorded(self, part: Segment) -> Columns:
        """The runs of one of `parts`, as they were recorded."""
        return self.file.columns(part.name, part.runs) if part.name else self._rest

    def names(self, kind: Kind) -> list[str]:
        """Names of all metrics, parameters or tags, sorted."""
        listed = {segment.name for segment in self._segments}
        recorded = {name for name, segment in self.file.names(kind) if segment in listed}
        late = {name for changes in self.changed.values() for name in amended.names(changes, kind)}
        return sorted(recorded | sparse(self._rest, kind).keys() | late)

    def find(self, run_id: str) -> list[str]:
        """Keys of the runs whose id begins so; the one whose id it is, if there is one."""
        mark = f"-{run_id}"
        keys = [key for segment in self._segments for key in self._keys(segment) if mark in key]
        runs = parse_runs([*keys, *(key for key in self._beside_keys if mark in key)])
        whole = [run.key for run in runs if run.id == run_id]
        return whole or [run.key for run in runs if run.id.startswith(run_id)]

    def _keys(self, segment: Segment) -> list[str]:
        return self.file.keys(segment.name, segment.runs)

    def rows_of(self, keys: Collection[str]) -> dict[str, int]:
        """Key → row, of those of the keys that are a run's here."""
        wanted = set(keys)
        rows: dict[str, int] = {}
        for segment in self._segments if wanted else ():
            rows.update((key, segment.first + n) for n, key in enumerate(self._keys(segment)) if key in wanted)
        first = self.count - len(self._rest)
        rows.update((key, first + n) for n, key in enumerate(self._rest.keys) if key in wanted)
        return rows

    @cached_property
    def changed(self) -> dict[str, Changes]:
        """Key → the changes of its run, without amendments that name another model."""
        if not self.changes:
            return {}
        models = self._recorded_column(Key("attribute", "model"))
        of_row = dict(zip(models.rows, models.values, strict=True))
        rows = self.rows_of(self.changes.keys())
        return {
            key: changes.of_model(of_row[rows[key]]) if rows.get(key) in of_row else changes
            for key, changes in self.changes.items()
        }

    @cached_property
    def changed_rows(self) -> dict[int, Changes]:
        """Row → its changes, of the runs that have been amended, and of the children of those that do not count."""
        own = {row: self.changed[key] for key, row in self.rows_of(self.changes.keys()).items()}
        void = {row for row, changes in own.items() if not changes.counts}
        if not void:
            return own
        inherited = dict(own)
        for row in self.parents:
            above = next((one for one in self.ancestors(row) if one in void), None)
            if above is not None:
                inherited[row] = replace(own.get(row, amended.NO_CHANGES), parent=own[above])
        return inherited

    @cached_property
    def parents(self) -> dict[int, int]:
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
        rows = self.rows_of(set(keys.values()))
        return {row: rows[key] for row, key in keys.items() if key in rows}

    def ancestors(self, row: int) -> Iterator[int]:
        """The runs that started a run, the nearest first."""
        return ancestors(row, self.parents.get)

    def column(self, key: Key) -> Column:
        """The values of a key, as amended, and the rows that they stand in."""
        if key not in self._cells:
            self._cells[key] = amended.column(key, self._recorded_column(key), self.changed_rows, self.count)
        return self._cells[key]

    def _recorded_column(self, key: Key) -> Column:
        cells = self.file.cells(key, {segment.name: segment.runs for segment in self._segments})
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
            add(self.count - len(self._rest), Column(cell.rows, cell.values))
        if None in values:  # an attribute that is not known of every run
            present = [(row, value) for row, value in zip(rows, values, strict=True) if value is not None]
            rows, values = [row for row, _ in present], [value for _, value in present]
        whole = len(rows) == self.count and key.kind != "dataset"
        return Column(range(self.count) if whole else rows, values)

    def entries(self, rows: Sequence[int]) -> list[Entry]:
        """The entries of the runs in these rows, in order, without invalid ones."""
        by_row: dict[int, Entry] = {}
        rising = sorted(rows)
        for segment in self._segments:
            end = segment.first + segment.runs
            if own := rising[bisect_left(rising, segment.first) : bisect_left(rising, end)]:
                columns = self.file.columns(segment.name, segment.runs)
                by_row.update((row, entry_at(columns, row - segment.first)) for row in own)
        first = self.count - len(self._rest)
        by_row.update((row, entry_at(self._rest, row - first)) for row in rising[bisect_left(rising, first) :])
        entries = []
        for row in rows:
            if problem := why_misplaced(by_row[row]):
                self.problems[by_row[row].key] = problem
            else:
                entries.append(as_amended(by_row[row], self.changed_rows.get(row, amended.NO_CHANGES)))
        return entries
