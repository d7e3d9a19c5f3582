"""The tables of an SQLite file of another program: it stays as it is, and no file appears beside it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from ciplug.errors import InputError

DAMAGE = (sqlite3.Error, ArithmeticError, LookupError, TypeError, ValueError)
"""What a damaged file raises: also an error whose own text is damaged."""
_BESIDE = ("-wal", "-journal")
"""Files that SQLite keeps beside a database while, or after, somebody writes: they belong to its content."""
_TRIES = 3
_STEPS_AT_ONCE = 100_000
_STEPS_MOST = 200_000_000
_STEPS_A_BYTE = 20
"""The steps of SQLite's machine that one query may take: a row takes about a hundred, and has some bytes."""


class SqliteFile:
    """A database that is open for reading, as long as the `with` of it lasts."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._database: sqlite3.Connection | None = None

    def __enter__(self) -> SqliteFile:
        if any(_size(beside) for beside in _beside(self._file)):
            self._folder = tempfile.TemporaryDirectory(prefix="ciplug-import-")
            copy = _copied(self._file, Path(self._folder.name))
            self._database = sqlite3.connect(copy)
        else:
            # Without this word, SQLite makes files beside one that is in its mode WAL.
            address = f"{self._file.resolve().as_uri()}?mode=ro&immutable=1"
            self._database = sqlite3.connect(address, uri=True)
        self._database.text_factory = lambda data: data.decode(errors="replace")
        return self

    def __exit__(self, *error: object) -> None:
        if self._database is not None:
            self._database.close()
        if self._folder is not None:
            self._folder.cleanup()

    def columns(self, table: str) -> list[str]:
        """Return the columns that a table keeps; none where there is no such table.

        Raises ValueError for a view, a virtual table and a computed column, which may be a program without an end.
        """
        found = self.rows("SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE", table)
        for kind, sql in found:
            if kind != "table" or not str(sql).upper().startswith("CREATE TABLE"):
                raise ValueError(f"'{table}' is not a table, but a view or the like")
        rows = self.rows(f"PRAGMA table_xinfo({table})") if found else []
        if computed := [str(name) for _, name, *_, hidden in rows if hidden]:
            raise ValueError(f"the column '{computed[0]}' of '{table}' is computed")
        return [str(row[1]) for row in rows]

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return the rows of a query. Raises sqlite3.Error, also if it takes far longer than the file is large."""
        if self._database is None:
            raise ValueError("the file is closed: runs are read while they are listed")
        left = (_STEPS_MOST + _STEPS_A_BYTE * _size(self._file)) // _STEPS_AT_ONCE

        def is_over() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        self._database.set_progress_handler(is_over, _STEPS_AT_ONCE)
        return self._database.execute(query, values).fetchall()


def _beside(file: Path) -> list[Path]:
    return [file.with_name(file.name + ending) for ending in _BESIDE]


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _copied(file: Path, folder: Path) -> Path:
    """Copy a database with what is beside it. Raises InputError while it is written."""
    files = [file, *_beside(file)]
    for _ in range(_TRIES):
        before = list(map(_state, files))
        for one in files:
            target = folder / one.name
            target.unlink(missing_ok=True)
            if one.is_file():
                shutil.copyfile(one, target)
        if list(map(_state, files)) == before:
            return folder / file.name
    raise InputError(f"{file}: it is being written", hint="import it when the training has ended")


def _state(file: Path) -> tuple[int, int] | None:
    try:
        about = file.stat()
    except FileNotFoundError:
        return None
    return about.st_size, about.st_mtime_ns
