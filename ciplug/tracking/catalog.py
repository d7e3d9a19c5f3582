"""All runs of a store as columns in a local cache, for questions over many runs.

A segment never changes, so its columns are fetched once and kept in an SQLite file, each by itself: a search reads
the few columns that it names, whatever else is recorded. What is in no segment yet, or not yet in the store, is held
beside them. The file is a cache: it is made anew when it is damaged or of another version, and where it cannot be
written, memory takes its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import sys
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ciplug.errors import RecordError, UsageError, nearest
from ciplug.records.columns import Columns, Sparse
from ciplug.records.columns import of as columns_of
from ciplug.records.keys import is_run, misplaced, parse_runs
from ciplug.stores.base import Store
from ciplug.tracking import search
from ciplug.tracking.search import Column, Comparison, Key, Kind, Order, Selection

_VERSION = 2 * 1 + (sys.byteorder == "big")
_SCHEMA = (
    "CREATE TABLE segments (name TEXT PRIMARY KEY, runs INTEGER NOT NULL, gone REAL)",
    "CREATE TABLE columns (kind TEXT, name TEXT, segment TEXT, rows BLOB, data, PRIMARY KEY (kind, name, segment))",
    "CREATE INDEX of_segment ON columns (segment)",
    "CREATE TABLE loose (key TEXT PRIMARY KEY, record BLOB NOT NULL)",
)
_GRACE = 3600.0
"""Seconds for which a segment stays in the file once the store has it no more: another process may be reading it."""
_WAIT = 60.0
_DAMAGE = (sqlite3.DatabaseError, ValueError, KeyError, TypeError)
_NAMES_MOST = 12
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """What the columns know of one run."""

    key: str
    attributes: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.attributes["id"]

    def get(self, key: Key) -> Any:
        """The value of a key, None where this run has none."""
        kinds: dict[Kind, Mapping[str, Any]] = {
            "metric": self.metrics,
            "param": self.params,
            "tag": self.tags,
            "attribute": self.attributes,
        }
        return kinds[key.kind].get(key.name)


class Found(NamedTuple):
    """What a search found."""

    entries: list[Entry]
    total: int
    """Runs that match, also those beyond the limit."""
    left_out: int = 0
    """Runs that do not match only because a number in a condition is NaN there."""
    undefined: int = 0
    """Of those that match, the runs whose number to order by is NaN."""
    absent: int = 0
    """Of those that match, the runs that have nothing to order by."""


class _Segment(NamedTuple):
    name: str
    first: int
    """The row of its first run."""
    runs: int


class Catalog:
    """All runs that a store held when this was made, and those that wait to be sent."""

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
        name = hashlib.sha256(store.address.encode()).hexdigest()[:16]
        self._file = folder / f"{name}.sqlite" if folder else None
        if offline:
            self._db, self.as_of = self._as_left()
        else:
            self._db = _opened(self._file)
        self._answer(self._load)

    def __len__(self) -> int:
        """Number of runs."""
        return self._count

    def _as_left(self) -> tuple[sqlite3.Connection, datetime]:
        """The cache, and when it was last known to be whole."""
        if self._file is None or not self._file.exists():
            raise self._not_offline("nothing is kept on this machine")
        try:
            return _connected(str(self._file)), datetime.fromtimestamp(self._file.stat().st_mtime, timezone.utc)
        except (OSError, sqlite3.Error):
            raise self._not_offline("what is kept on this machine is damaged") from None

    def _not_offline(self, why: str) -> UsageError:
        return UsageError(f"store '{self._store.uri}': {why}", hint="ask without --offline first")

    def _answer(self, question: Callable[[], T]) -> T:
        """Ask the cache; a damaged one is made anew from the store, and asked again."""
        try:
            return question()
        except _DAMAGE:
            if self._offline:
                raise self._not_offline("what is kept on this machine is damaged") from None
            self._db.close()
            self._db = _renewed(self._file)
            self._load()
            return question()

    # Keeping the cache

    def _load(self) -> None:
        if self._offline:
            listed = self._db.execute("SELECT name FROM segments WHERE gone IS NULL ORDER BY name")
            names, loose = [name for (name,) in listed], self._cached_loose()
        else:
            names, loose = self._extend()
        runs = dict(self._db.execute("SELECT name, runs FROM segments"))
        self._cells: dict[Key, Column] = {}
        self._segments: list[_Segment] = []
        self._count = 0
        for name in names:
            if runs[name]:  # one may hold other objects only
                self._segments.append(_Segment(name, self._count, runs[name]))
                self._count += runs[name]
        self._rest = self._beside({**loose, **self._unsent})
        self._count += len(self._rest)

    def _cached_loose(self) -> dict[str, bytes]:
        return dict(self._db.execute("SELECT key, record FROM loose"))

    def _extend(self) -> tuple[list[str], dict[str, bytes]]:
        """Fetch what the cache lacks, and note what is gone; returns the segments, and the records in none."""
        # In this order, so that a run that is moved in between is seen twice rather than missed.
        keys = [key for key in self._store.loose() if is_run(key)]
        names = self._store.segments()
        gone_since = dict(self._db.execute("SELECT name, gone FROM segments"))
        kept = self._cached_loose()
        missing = [name for name in names if name not in gone_since]
        unseen = [key for key in keys if key not in kept]
        fetched = self._store.columns(missing) if missing else {}
        for name in missing:
            if name not in fetched:
                self.problems[name] = f"the segment {name}, with all its runs: the store cannot read it"
        names = [name for name in names if name not in self.problems]
        known = {**kept, **(self._store.read(unseen) if unseen else {})}
        loose = {key: known[key] for key in keys if key in known}
        for key in keys:
            if key not in known:
                self.problems[key] = f"{key}: the store does not hold it, or cannot read it any more"
        listed = set(names)
        moved = any((gone is None) != (name in listed) for name, gone in gone_since.items())
        expired = any(gone is not None and gone < time.time() - _GRACE for gone in gone_since.values())
        if missing or moved or expired or loose.keys() != kept.keys():
            try:
                _write(self._db, names, fetched, loose)
            except sqlite3.OperationalError:
                # A folder that may not be written, a full disk: go on in memory with what there is.
                disk, self._db = self._db, _opened(None)
                with contextlib.suppress(sqlite3.Error):
                    disk.backup(self._db)
                disk.close()
                _write(self._db, names, fetched, loose)
                return names, loose
        if self._file:
            with contextlib.suppress(OSError):
                os.utime(self._file)
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
        entries = (_entry(columns, row) for row in range(len(columns)))
        wrong = {entry.key: problem for entry in entries if (problem := _problem(entry))}
        wrong.update((key, _why_not(own[key], key)) for key in own.keys() - set(columns.keys))
        self.problems.update(wrong)
        return columns_of((key, data) for key, data in own.items() if key not in wrong) if wrong else columns

    # Asking it

    def search(
        self, where: Sequence[Comparison] = (), order_by: Sequence[Order] = (), limit: int | None = None
    ) -> Found:
        """The first `limit` runs for which every condition holds, in order; without one, the latest first.

        Raises UsageError for a metric, parameter or tag that no run has.
        """
        return self._answer(lambda: self._search(where, order_by, limit))

    def _search(self, where: Sequence[Comparison], order_by: Sequence[Order], limit: int | None) -> Found:
        selected = self._select(where)
        for order in order_by:
            self._need(order.key)
        arranged = search.arrange(selected.rows, order_by, self._column, limit)
        entries = self._entries(arranged.rows)
        return Found(entries, len(selected.rows), selected.undefined, arranged.undefined, arranged.absent)

    def count(self, where: Sequence[Comparison]) -> int:
        """How many runs satisfy every condition. Raises UsageError as `search` does."""
        return self._answer(lambda: len(self._select(where).rows))

    def _select(self, where: Sequence[Comparison]) -> Selection:
        for comparison in where:
            self._need(comparison.key)
        return search.select(where, self._count, self._column)

    def need(self, key: Key) -> None:
        """Raises UsageError for a metric, parameter or tag that no run has, if there is a run."""
        self._answer(lambda: self._need(key))

    def _need(self, key: Key) -> None:
        if not self._count or key.kind == "attribute" or self._column(key).rows:
            return
        noun = {"metric": "a metric", "param": "a parameter", "tag": "a tag"}[key.kind]
        names = self._names(key.kind)
        hint = nearest(key.name, names) if names else f"no run has {noun} at all"
        if len(names) > _NAMES_MOST and hint.startswith("one of"):
            hint = f"one of {len(names)}: {', '.join(names[:_NAMES_MOST])}, …"
        raise UsageError(f"no run has {noun} '{key.name}'", hint=hint)

    def names(self, kind: Kind) -> list[str]:
        """Names of all metrics, parameters or tags, sorted."""
        return self._answer(lambda: self._names(kind))

    def _names(self, kind: Kind) -> list[str]:
        listed = {segment.name for segment in self._segments}
        found = {
            n for n, s in self._db.execute("SELECT name, segment FROM columns WHERE kind = ?", (kind,)) if s in listed
        }
        return sorted(found | _sparse(self._rest, kind).keys())

    def values(self, key: Key) -> set[Any]:
        """The different values of a key."""
        return self._answer(lambda: set(self._column(key).values))

    def find(self, run_id: str) -> list[str]:
        """Keys of the runs whose id begins so; the one whose id it is, if there is one."""
        return self._answer(lambda: self._find(run_id))

    def _find(self, run_id: str) -> list[str]:
        mark = f"-{run_id}"
        keys = [key for segment in self._segments for key in self._keys(segment) if mark in key]
        keys += [key for key in self._beside_keys if mark in key]
        ids = {run.key: run.id for run in parse_runs(keys)}
        return [key for key in keys if ids[key] == run_id] or [key for key in keys if ids[key].startswith(run_id)]

    # Reading its columns

    def _keys(self, segment: _Segment) -> list[str]:
        sql = "SELECT rows, data FROM columns WHERE kind = 'key' AND name = '' AND segment = ?"
        rows, data = self._db.execute(sql, (segment.name,)).fetchone()
        return list(_unpacked("key", rows, data, segment.runs).values)

    def _column(self, key: Key) -> Column:
        if key not in self._cells:
            self._cells[key] = self._whole_column(key)
        return self._cells[key]

    def _whole_column(self, key: Key) -> Column:
        sql = "SELECT segment, rows, data FROM columns WHERE kind = ? AND name = ?"
        cells = {segment: (rows, data) for segment, rows, data in self._db.execute(sql, key)}
        rows: list[int] = []
        values: list[Any] = []

        def add(first: int, cell: Column) -> None:
            whole = isinstance(cell.rows, range)
            rows.extend(range(first, first + len(cell.rows)) if whole else (first + row for row in cell.rows))
            values.extend(cell.values)

        for segment in self._segments:
            if segment.name in cells:
                add(segment.first, _unpacked(key.kind, *cells[segment.name], segment.runs))
        if (cell := _sparse(self._rest, key.kind).get(key.name)) is not None:
            add(self._count - len(self._rest), Column(cell.rows, cell.values))
        if None in values:  # an attribute that is not known of every run
            present = [(row, value) for row, value in zip(rows, values, strict=True) if value is not None]
            rows, values = [row for row, _ in present], [value for _, value in present]
        return Column(range(self._count) if len(rows) == self._count else rows, values)

    def _entries(self, rows: Sequence[int]) -> list[Entry]:
        """What is known of some runs, in their order, without those that cannot be right."""
        found: dict[int, Entry] = {}
        wanted = sorted(rows)
        for segment in self._segments:
            end = segment.first + segment.runs
            if own := wanted[bisect_left(wanted, segment.first) : bisect_left(wanted, end)]:
                columns = self._segment(segment)
                found.update((row, _entry(columns, row - segment.first)) for row in own)
        first = self._count - len(self._rest)
        found.update((row, _entry(self._rest, row - first)) for row in wanted[bisect_left(wanted, first) :])
        entries = []
        for row in rows:
            if problem := _problem(found[row]):
                self.problems[found[row].key] = problem
            else:
                entries.append(found[row])
        return entries

    def _segment(self, segment: _Segment) -> Columns:
        columns = Columns()
        parts: dict[str, dict[str, Sparse]] = {"metric": columns.metrics, "param": columns.params, "tag": columns.tags}
        sql = "SELECT kind, name, rows, data FROM columns WHERE segment = ?"
        for kind, name, rows, data in self._db.execute(sql, (segment.name,)):
            cell = _unpacked(kind, rows, data, segment.runs)
            if kind == "key":
                columns.keys = list(cell.values)
            elif kind == "attribute":
                columns.attributes[name] = list(cell.values)
            else:
                parts[kind][name] = Sparse(list(cell.rows), list(cell.values))
        return columns


def _sparse(columns: Columns, kind: Kind) -> Mapping[str, Sparse]:
    if kind == "attribute":
        every = list(range(len(columns)))
        return {name: Sparse(every, list(values)) for name, values in columns.attributes.items()}
    return {"metric": columns.metrics, "param": columns.params, "tag": columns.tags}[kind]


def _entry(columns: Columns, row: int) -> Entry:
    def at(kind: Mapping[str, Sparse]) -> dict[str, Any]:
        places = {name: bisect_left(cell.rows, row) for name, cell in kind.items()}
        return {
            name: cell.values[places[name]]
            for name, cell in kind.items()
            if places[name] < len(cell.rows) and cell.rows[places[name]] == row
        }

    attributes = {name: value for name, values in columns.attributes.items() if (value := values[row]) is not None}
    return Entry(columns.keys[row], attributes, at(columns.metrics), at(columns.params), at(columns.tags))


def _why_not(data: bytes, key: str) -> str:
    """Why a record that has no columns is no run."""
    from ciplug.records import read

    try:
        read.run(data, key)
    except RecordError as problem:
        return f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    return f"{key}: no record of a run"


def _problem(entry: Entry) -> str | None:
    return misplaced(entry.key, entry.attributes.get("commit"), entry.attributes.get("id", ""))


# The file


def _opened(file: Path | None) -> sqlite3.Connection:
    """The cache in that file, made if need be; in memory where no file can be."""
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            return _connected(str(file))
        except (OSError, sqlite3.OperationalError):
            pass
        except sqlite3.DatabaseError:
            return _renewed(file)
    return _connected(":memory:")


def _renewed(file: Path | None) -> sqlite3.Connection:
    """An empty cache in place of what is in that file."""
    if file is not None:
        with contextlib.suppress(OSError, sqlite3.Error):
            # Who has the old file open goes on with that.
            file.with_name(f"{file.name}-journal").unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            return _connected(str(file))
    return _connected(":memory:")


def _connected(where: str) -> sqlite3.Connection:
    db = sqlite3.connect(where, timeout=_WAIT, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = NORMAL")
        if _version(db) == 0:
            with _transaction(db):
                if _version(db) == 0:  # still: many may open it at once
                    for statement in (*_SCHEMA, f"PRAGMA user_version = {_VERSION}"):
                        db.execute(statement)
        if _version(db) != _VERSION:
            raise sqlite3.DatabaseError("a cache of another version")
    except BaseException:
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _write(
    db: sqlite3.Connection, names: Sequence[str], fetched: Mapping[str, Columns], loose: Mapping[str, bytes]
) -> None:
    """Take in new segments, and note which are gone; `loose` takes the place of what was loose."""
    with _transaction(db):
        there = dict(db.execute("SELECT name, gone FROM segments"))
        for name, columns in fetched.items():
            if name not in there:  # another process may have been faster
                db.executemany("INSERT INTO columns VALUES (?, ?, ?, ?, ?)", _packed(name, columns))
                db.execute("INSERT INTO segments VALUES (?, ?, NULL)", (name, len(columns)))
        now, listed = time.time(), set(names)
        for name, gone in there.items():
            if name in listed:
                db.execute("UPDATE segments SET gone = NULL WHERE name = ?", (name,))
            elif gone is None:
                db.execute("UPDATE segments SET gone = ? WHERE name = ?", (now, name))
            elif gone < now - _GRACE:
                db.execute("DELETE FROM columns WHERE segment = ?", (name,))
                db.execute("DELETE FROM segments WHERE name = ?", (name,))
        db.execute("DELETE FROM loose")
        db.executemany("INSERT INTO loose VALUES (?, ?)", loose.items())


def _packed(segment: str, columns: Columns) -> Iterator[tuple[str, str, str, bytes | None, bytes | str]]:
    """The rows of the table `columns`: metrics as doubles, all else as JSON; one value for an attribute of all."""
    if not len(columns):
        return
    yield "key", "", segment, None, json.dumps(columns.keys)
    for name, values in columns.attributes.items():
        alike = values[:1] if values.count(values[0]) == len(values) else values
        yield "attribute", name, segment, None, json.dumps(alike)
    for kind, cells in (("metric", columns.metrics), ("param", columns.params), ("tag", columns.tags)):
        for name, cell in cells.items():
            rows = None if len(cell.rows) == len(columns) else array("I", cell.rows).tobytes()
            data = array("d", cell.values).tobytes() if kind == "metric" else json.dumps(cell.values)
            yield kind, name, segment, rows, data


def _unpacked(kind: str, rows: bytes | None, data: bytes | str, runs: int) -> Column:
    """What was packed. Raises ValueError when it is damaged."""
    values: Sequence[Any]
    if kind == "metric":
        values = array("d")
        values.frombytes(data)  # type: ignore[arg-type]
    else:
        values = json.loads(data)
        if kind == "attribute" and len(values) == 1:
            values = list(values) * runs
    places: Sequence[int] = range(runs)
    if rows is not None:
        places = array("I")
        places.frombytes(rows)
    if len(places) != len(values):
        raise ValueError("a column of another length than its rows")
    return Column(places, values)
