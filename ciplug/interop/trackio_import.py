"""Trackio's runs: an SQLite file for each project, read as it is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from ciplug.errors import CiplugError, InputError, UsageError, listed
from ciplug.interop.import_runs import Candidate, Importer, Taken, each_once
from ciplug.interop.source_run import Log, SourceRun, context_of, goes_on, stable_id, unix_seconds

SYSTEM = "trackio"
_PLACE = "~/.cache/huggingface/trackio"
_OWN = ("_Username", "_Created", "_Group")


class TrackioFolder:
    """The folder of Trackio's projects, or the file of one."""

    def __init__(self, importer: Importer, path: Path, projects: Sequence[str] = ()) -> None:
        if not path.exists():
            raise UsageError(f"there is no {path}", hint=f"Trackio keeps its projects in {_PLACE}, or in TRACKIO_DIR")
        self._importer, self._path, self._projects = importer, path, projects

    def runs(self) -> Iterator[Candidate | CiplugError]:
        return each_once(self._found())

    def _found(self) -> Iterator[Candidate | CiplugError]:
        files = [self._path] if self._path.is_file() else sorted(self._path.glob("*.db"))
        if not files:
            yield InputError(f"{self._path}: no project of Trackio in it", hint=f"it keeps them in {_PLACE}")
        names = [one.stem for one in files]
        if missing := [one for one in self._projects if one not in names]:
            raise UsageError(f"{self._path} has no project '{missing[0]}'", hint=f"it has: {listed(names, most=20)}")
        for file in files:
            if not self._projects or file.stem in self._projects:
                try:
                    yield from self._in_file(file)
                except sqlite3.Error as problem:
                    yield _unreadable(file, problem)

    def _in_file(self, file: Path) -> Iterator[Candidate]:
        with closing(_open(file)) as database:
            # Before its version 0.17 or so, Trackio told runs apart by their names.
            key = "run_id" if "run_id" in _columns(database, "metrics") else "run_name"
            rows = database.execute(
                f"SELECT {key}, max(run_name), count(*), max(id) FROM metrics GROUP BY {key} ORDER BY min(id)"  # noqa: S608
            ).fetchall()
        for own, name, count, last in rows:
            run_id = stable_id(SYSTEM, file.stem, str(own))
            state = f"{count} {last}"
            read = partial(self._read, file, key, str(own), str(name), run_id, state)
            yield Candidate(run_id, f"run {name} of {file.stem}", read, state=state)

    def _read(self, file: Path, key: str, own: str, name: str, run_id: str, state: str) -> Taken:
        log = Log()
        problems: list[CiplugError] = []
        try:
            with closing(_open(file)) as database:
                query = f"SELECT id, timestamp, step, metrics FROM metrics WHERE {key} = ? ORDER BY id"  # noqa: S608
                rows = database.execute(query, (own,)).fetchall()
                has_config = bool(_columns(database, "configs"))
                query = f"SELECT config, created_at FROM configs WHERE {key} = ?"  # noqa: S608
                found = database.execute(query, (own,)).fetchone() if has_config else None
        except sqlite3.Error as problem:
            raise _unreadable(file, problem) from None
        times = []
        for number, timestamp, step, metrics in rows:
            time = unix_seconds(timestamp)
            times += [time] if time is not None else []
            try:
                values = _object(metrics)
            except ValueError:
                problems.append(InputError(f"{file}: row {number} of the run {name} is not JSON"))
                log.leave_out(f"row {number}", "line", "not JSON")
                continue
            for metric, value in values.items():
                _take(log, metric, value, step, time)
        config: dict[str, Any] = {}
        if found is not None:
            try:
                config = _object(found[0])
            except ValueError:
                problems.append(InputError(f"{file}: the configuration of the run {name} is not JSON"))
                log.leave_out("config", "file", "not JSON", file.name)
        log.params({one: value for one, value in config.items() if one not in _OWN})
        log.tag(f"{SYSTEM}.run_id", own)
        log.tag(f"{SYSTEM}.group", config.get("_Group"))
        created = unix_seconds(config.get("_Created")) or (unix_seconds(found[1]) if found else None)
        ended = max(times, default=created)
        run = SourceRun(
            id=run_id,
            system=SYSTEM,
            values=log.values(),
            name=name,
            project=file.stem,
            status="unknown",
            started=min([*times, *([created] if created is not None else [])], default=None),
            ended=ended,
            provenance=context_of(actor=config.get("_Username") or None),
        )
        return self._importer.take(run, state=state, problems=problems, is_unfinished=goes_on(ended))


def _take(log: Log, name: str, value: Any, step: Any, time: float | None) -> None:
    if isinstance(value, dict) and "_type" in value:
        log.leave_out(name, "list", str(value["_type"])[:40])
    elif isinstance(value, dict):
        for inner, one in value.items():
            _take(log, f"{name}/{inner}", one, step, time)
    elif isinstance(value, str) and value not in ("NaN", "Infinity", "-Infinity"):
        log.tag(name, value)
    else:
        log.metric(name, value, step, time)


def _object(data: bytes | str) -> dict[str, Any]:
    """Raises ValueError for what is not a JSON object."""
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError(value)
    return value


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def _unreadable(file: Path, problem: sqlite3.Error) -> InputError:
    return InputError(f"{file}: not a project of Trackio, or damaged: {problem}")
