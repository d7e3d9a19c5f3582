"""The file that a catalog keeps on this machine: an SQLite database of columns, a row for each column of a segment.

It is a cache: made anew when it is damaged or of another version, and in memory where it cannot be written. Any number
of processes may use it at once.
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
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ciplug.records.columns import Columns, Sparse
from ciplug.tracking.query import Column, Key

_VERSION = 7 * 2 + (sys.byteorder == "big")
"""The version of the schema, and the byte order of this machine, in which numbers are stored; others are rebuilt."""
_SCHEMA = (
    "CREATE TABLE segments (name TEXT PRIMARY KEY, runs INTEGER NOT NULL, gone REAL)",
    "CREATE TABLE columns (kind TEXT, name TEXT, segment TEXT, rows BLOB, data, PRIMARY KEY (kind, name, segment))",
    "CREATE INDEX of_segment ON columns (segment)",
    "CREATE TABLE amendments (segment TEXT, key TEXT, record TEXT, PRIMARY KEY (segment, key))",
    "CREATE TABLE loose (key TEXT PRIMARY KEY, record BLOB NOT NULL)",
)
_GRACE = 3600.0
"""Seconds for which a segment stays in the file after it has gone from the store: another process may be reading it."""
_NEVER = 0.0
"""The time of a file that no answer of the store is in."""
_WAIT = 60.0
DAMAGE = (sqlite3.DatabaseError, ValueError, KeyError, TypeError)
"""Exceptions when reading a damaged file."""


def path_in(folder: Path, address: str) -> Path:
    """The place of the catalog of a store, by the store's address."""
    return folder / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.sqlite"


def add_sent(path: Path, objects: Mapping[str, bytes]) -> None:
    """Put what this machine has sent into a catalog that is there, which is otherwise as old as before.

    It is a cache: where this fails, the next question to the store shows the objects.
    """
    with contextlib.suppress(OSError, sqlite3.Error):
        left = path.stat()
        with contextlib.closing(_connected(str(path))) as db, _transaction(db):
            db.executemany("INSERT OR IGNORE INTO loose VALUES (?, ?)", objects.items())
        os.utime(path, ns=(left.st_atime_ns, left.st_mtime_ns))


class CatalogFile:
    """Segments as columns, and the objects that are in no segment."""

    def __init__(self, path: Path | None) -> None:
        """Open the file, made if need be; None, or a place that cannot be written, means memory."""
        self._path = path
        is_new = path is not None and not path.exists()
        self._db = _opened(path)
        if is_new:
            self._note_empty()

    @staticmethod
    def has_been_whole(path: Path) -> bool:
        """Whether the store has answered since the file was made: before, it is empty, whatever the store holds."""
        try:
            return path.stat().st_mtime > _NEVER
        except OSError:
            return False

    @classmethod
    def as_left(cls, path: Path) -> tuple[CatalogFile, datetime]:
        """A file that is there, and when it was last known to be whole. Raises OSError or sqlite3.Error."""
        moment = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
        made = cls.__new__(cls)
        made._path, made._db = path, _connected(str(path))
        return made, moment

    def renew(self) -> None:
        """An empty file in place of this one, which is damaged."""
        self._db.close()
        self._db = _renewed(self._path)
        self._note_empty()

    def _note_empty(self) -> None:
        """Note that no answer of the store is in the file."""
        if self._path:
            with contextlib.suppress(OSError):
                os.utime(self._path, (_NEVER, _NEVER))

    def touch(self) -> None:
        """Note that the file is whole now."""
        if self._path:
            with contextlib.suppress(OSError):
                self._path.touch()

    # Reading

    def segments(self) -> dict[str, float | None]:
        """Name → when it was seen to be gone from the store; None: it was there."""
        return dict(self._db.execute("SELECT name, gone FROM segments ORDER BY name"))

    def sizes(self) -> dict[str, int]:
        """Segment → number of runs in it."""
        return dict(self._db.execute("SELECT name, runs FROM segments"))

    def loose(self) -> dict[str, bytes]:
        """Return key → content of the objects that were in no segment."""
        return dict(self._db.execute("SELECT key, record FROM loose"))

    def amendments(self, segments: Collection[str]) -> Iterator[tuple[str, str, Any]]:
        """(segment, key, record as JSON has it) of every amendment in one of these segments."""
        for segment, key, record in self._db.execute("SELECT segment, key, record FROM amendments"):
            if segment in segments:
                yield segment, key, json.loads(record)

    def keys(self, segment: str, runs: int) -> list[str]:
        """The keys of a segment's runs, in the order of their rows."""
        sql = "SELECT rows, data FROM columns WHERE kind = 'key' AND name = '' AND segment = ?"
        rows, data = self._db.execute(sql, (segment,)).fetchone()
        return list(_unpacked("key", rows, data, runs).values)

    def names(self, kind: str) -> Iterator[tuple[str, str]]:
        """(name, segment) of the columns of a kind."""
        yield from self._db.execute("SELECT name, segment FROM columns WHERE kind = ?", (kind,))

    def cells(self, key: Key, runs: Mapping[str, int]) -> dict[str, Column]:
        """Segment → its column of a key, for the segments in `runs` (segment → number of runs) that have one."""
        sql = "SELECT segment, rows, data FROM columns WHERE kind = ? AND name = ?"
        by_segment = {segment: (rows, data) for segment, rows, data in self._db.execute(sql, key) if segment in runs}
        return {name: _unpacked(key.kind, *cell, runs[name]) for name, cell in by_segment.items()}

    def columns(self, segment: str, runs: int) -> Columns:
        """Return all columns of a segment."""
        columns = Columns()
        parts = dict(_cells(columns))
        sql = "SELECT kind, name, rows, data FROM columns WHERE segment = ?"
        for kind, name, rows, data in self._db.execute(sql, (segment,)):
            cell = _unpacked(kind, rows, data, runs)
            if kind == "key":
                columns.keys = list(cell.values)
            elif kind == "attribute":
                columns.attributes[name] = list(cell.values)
            else:
                parts[kind][name] = Sparse(list(cell.rows), list(cell.values))
        return columns

    # Writing

    def is_stale(self, names: Sequence[str], loose: Mapping[str, bytes]) -> bool:
        """Whether something is to be written where the store has these segments, and these objects in none."""
        listed, held = set(names), self.segments()
        moved = any((gone is None) != (name in listed) for name, gone in held.items())
        expired = any(gone is not None and gone < time.time() - _GRACE for gone in held.values())
        return bool(listed - held.keys()) or moved or expired or loose.keys() != self.loose().keys()

    def write(self, names: Sequence[str], fetched: Mapping[str, Columns], loose: Mapping[str, bytes]) -> None:
        """Take in new segments, and note which are gone; `loose` takes the place of what was loose."""
        try:
            _write(self._db, names, fetched, loose)
        except sqlite3.OperationalError:
            # A folder that may not be written, a full disk: go on in memory with what there is.
            disk, self._db = self._db, _opened(None)
            with contextlib.suppress(sqlite3.Error):
                disk.backup(self._db)
            disk.close()
            _write(self._db, names, fetched, loose)


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
    # A server's threads ask it one after the other.
    db = sqlite3.connect(where, timeout=_WAIT, isolation_level=None, check_same_thread=False)
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
        held = dict(db.execute("SELECT name, gone FROM segments"))
        for name, columns in fetched.items():
            if name not in held:  # another process may have been faster
                db.executemany("INSERT INTO columns VALUES (?, ?, ?, ?, ?)", _packed(name, columns))
                made = [(name, key, json.dumps(record)) for key, record in columns.amendments.items()]
                db.executemany("INSERT INTO amendments VALUES (?, ?, ?)", made)
                db.execute("INSERT INTO segments VALUES (?, ?, NULL)", (name, len(columns)))
        now, listed = time.time(), set(names)
        for name, gone in held.items():
            if name in listed:
                db.execute("UPDATE segments SET gone = NULL WHERE name = ?", (name,))
            elif gone is None:
                db.execute("UPDATE segments SET gone = ? WHERE name = ?", (now, name))
            elif gone < now - _GRACE:
                db.execute("DELETE FROM columns WHERE segment = ?", (name,))
                db.execute("DELETE FROM amendments WHERE segment = ?", (name,))
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
    every = list(range(len(columns)))
    for kind, cells in _cells(columns):
        for name, cell in cells.items():
            rows = None if cell.rows == every else array("I", cell.rows).tobytes()
            data = array("d", cell.values).tobytes() if kind == "metric" else json.dumps(cell.values)
            yield kind, name, segment, rows, data


def _cells(columns: Columns) -> Iterator[tuple[str, dict[str, Sparse]]]:
    """The columns that not every run has a value in, by kind."""
    yield from (("metric", columns.metrics), ("param", columns.params))
    yield from (("tag", columns.tags), ("dataset", columns.datasets))


def _unpacked(kind: str, rows: bytes | None, data: bytes | str, runs: int) -> Column:
    """Unpack a value. Raises ValueError if it is damaged."""
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
