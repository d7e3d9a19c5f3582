"""Trackio's runs: an SQLite file for each project, read as it is."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ciplug.errors import CiplugError, InputError, UsageError, listed
from ciplug.interop.import_runs import Candidate, Importer, Taken, each_once
from ciplug.interop.source_files import files_below
from ciplug.interop.source_run import Log, SourceRun, context_of, goes_on, stable_id, unix_seconds
from ciplug.interop.sqlite_file import DAMAGE, SqliteFile

SYSTEM = "trackio"
_PLACE = "~/.cache/huggingface/trackio"
_OWN = ("_Username", "_Created", "_Group")


class _Own(NamedTuple):
    """What tells a run apart. Before its version 0.17 or so, Trackio knew no ids: older rows have a name alone."""

    id: object
    name: object
    size: int
    """Of its rows."""

    @property
    def text(self) -> str:
        return str(next((one for one in (self.id, self.name) if one not in (None, "")), ""))

    def where(self, columns: Collection[str]) -> tuple[str, object]:
        """The condition in SQL of its rows in a table, and the value in it."""
        if "run_id" not in columns:
            return "run_name = ?", self.text if self.name is None else self.name
        return (
            ("run_id = ?", self.id)
            if self.id is not None
            else ("nullif(run_id, '') IS NULL AND run_name = ?", self.name)
        )


class TrackioFolder:
    """The folder of Trackio's projects, or the file of one."""

    def __init__(self, importer: Importer, path: Path, projects: Sequence[str] = ()) -> None:
        if not path.exists():
            raise UsageError(f"there is no {path}", hint=f"Trackio keeps its projects in {_PLACE}, or in TRACKIO_DIR")
        self._importer, self._path, self._projects = importer, path, projects

    def runs(self) -> Iterator[Candidate | CiplugError]:
        return each_once(self._found())

    def _found(self) -> Iterator[Candidate | CiplugError]:
        files = list(files_below(self._path, lambda name: name.endswith(".db"), deep=False))
        if not files:
            yield InputError(f"{self._path}: no project of Trackio in it", hint=f"it keeps them in {_PLACE}")
        names = [one.stem for one in files if isinstance(one, Path)]
        if missing := [one for one in self._projects if one not in names]:
            raise UsageError(f"{self._path} has no project '{missing[0]}'", hint=f"it has: {listed(names, most=20)}")
        for file in files:
            if isinstance(file, InputError):
                yield file
            elif not self._projects or file.stem in self._projects:
                try:
                    with SqliteFile(file) as database:
                        yield from self._in_file(file, database)
                except Exception as problem:
                    yield problem if isinstance(problem, InputError) else _unreadable(file, problem)

    def _in_file(self, file: Path, database: SqliteFile) -> Iterator[Candidate | CiplugError]:
        own = "nullif(run_id, '')" if "run_id" in database.columns("metrics") else "NULL"
        rows = database.rows(
            f"SELECT {own}, iif({own} IS NULL, run_name, NULL), max(run_name), count(*), max(id) "  # noqa: S608
            "FROM metrics GROUP BY 1, 2 ORDER BY min(id)"
        )
        for by_id, by_name, name, count, last in rows:
            one = _Own(by_id, by_name, count)
            if not one.text:
                yield InputError(f"{file}: {count:,} rows of no run", hint="rows that name their run are imported")
                continue
            run_id, state, shown = stable_id(SYSTEM, file.stem, one.text), f"{count} {last}", str(name or one.text)
            read = partial(self._read, file, database, one, shown, run_id, state)
            yield Candidate(run_id, f"run {shown} of {file.stem}", read, state=state, place=str(file))

    def _read(self, file: Path, database: SqliteFile, own: _Own, name: str, run_id: str, state: str) -> Taken:
        log = Log()
        problems: list[CiplugError] = []
        try:
            where, value = own.where(database.columns("metrics"))
            query = f"SELECT id, timestamp, step, metrics FROM metrics WHERE {where} ORDER BY id"  # noqa: S608
            rows = database.rows(query, value)
            if len(rows) != own.size:
                raise ValueError(f"{own.size:,} rows of the run {name} are counted, and {len(rows):,} are found")
            found: Sequence[Any] = ()
            if columns := database.columns("configs"):
                where, value = own.where(columns)
                query = f"SELECT config, created_at FROM configs WHERE {where}"  # noqa: S608
                found = next(iter(database.rows(query, value)), ())
        except DAMAGE as problem:
            raise _unreadable(file, problem) from None
        times = []
        for number, timestamp, step, metrics in rows:
            time = unix_seconds(timestamp)
            times += [time] if time is not None else []
            try:
                values = _object(metrics)
            except (TypeError, ValueError, RecursionError):
                problems.append(InputError(f"{file}: row {number} of the run {name} is not JSON"))
                log.leave_out(f"row {number}", "line", "not JSON")
                continue
            for metric, value in values.items():
                log.logged(metric, value, step, time)
        config: dict[str, Any] = {}
        if found:
            try:
                config = _object(found[0])
            except (TypeError, ValueError, RecursionError):
                problems.append(InputError(f"{file}: the configuration of the run {name} is not JSON"))
                log.leave_out("config", "file", "not JSON", file.name)
        log.params({one: value for one, value in config.items() if one not in _OWN})
        log.tag(f"{SYSTEM}.run_id", own.text)
        log.tag(f"{SYSTEM}.group", config.get("_Group"))
        created = unix_seconds(config.get("_Created")) or (unix_seconds(found[1]) if found else None)
        ended = max(times, default=created)
        actor = config.get("_Username")
        run = SourceRun(
            id=run_id,
            system=SYSTEM,
            values=log.values(),
            name=name,
            project=file.stem,
            status="unknown",
            started=min([*times, *([created] if created is not None else [])], default=None),
            ended=ended,
            provenance=context_of(actor=str(actor) if actor else None),
        )
        return self._importer.take(run, state=state, problems=problems, is_unfinished=goes_on(ended))


def _object(data: bytes | str) -> dict[str, Any]:
    """Raises ValueError or TypeError for what is not a JSON object."""
    value = json.loads(data)
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def _unreadable(file: Path, problem: Exception) -> InputError:
    return InputError(f"{file}: not a project of Trackio, or damaged: {problem}")
