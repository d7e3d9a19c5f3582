"""What neptune-exporter has written: Parquet files of attributes, a run in one or several, and a folder of files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from ciplug.errors import CiplugError, InputError, UsageError, listed
from ciplug.interop.import_runs import Candidate, Importer, Taken, each_once
from ciplug.interop.source_files import files_below, root_of, unreadable
from ciplug.interop.source_run import Log, SourceRun, context_of, full_commit, goes_on, stable_id, unix_seconds
from ciplug.records.run import Status

SYSTEM = "neptune"
_PART = re.compile(r"(?P<run>.+)_part_(?P<number>\d+)\.parquet")
_COLUMNS = ("project_id", "run_id", "attribute_path", "attribute_type")
_VALUES = {
    "float": "float_value",
    "int": "int_value",
    "string": "string_value",
    "bool": "bool_value",
    "datetime": "datetime_value",
    "string_set": "string_set_value",
}
_SERIES = {"float_series": "float_value", "int_series": "int_value"}
_NUMBERS = ("float", "int")
_METRICS = ("metrics/", "metric/", "scores/")
"""Single numbers below these names are results; all others are parameters."""
_ROWS_MOST = 10_000_000
"""Rows of a part: equal ones take no room in the file, and gigabytes in memory."""
_MILLIONTHS = 1_000_000
"""Neptune's steps have six decimals: a series with fractions is kept in millionths."""


class NeptuneExport:
    """The folders that neptune-exporter has written."""

    def __init__(self, importer: Importer, path: Path, projects: Sequence[str] = ()) -> None:
        if not path.exists():
            raise UsageError(f"there is no {path}", hint="name the --data-path of neptune-exporter")
        self._importer, self._path, self._projects = importer, path, projects

    def runs(self) -> Iterator[Candidate | CiplugError]:
        return each_once(self._found())

    def _found(self) -> Iterator[Candidate | CiplugError]:
        parts: dict[tuple[Path, str], list[tuple[int, Path]]] = {}
        broken: list[CiplugError] = []
        for file in files_below(self._path, lambda name: _PART.fullmatch(name) is not None):
            if isinstance(file, InputError):
                broken.append(file)
            elif match := _PART.fullmatch(file.name):
                parts.setdefault((file.parent, match["run"]), []).append((int(match["number"]), file))
        if not (parts or broken):
            hint = "it writes RUN_part_0.parquet into a folder for each project"
            yield InputError(f"{self._path}: no export of neptune-exporter in it", hint=hint)
        found: list[tuple[str, str, list[tuple[int, Path]]]] = []
        for numbered in map(sorted, parts.values()):
            try:
                found.append((*_identity(numbered[0][1]), numbered))
            except Exception as problem:
                broken.append(unreadable(numbered[0][1], problem))
        projects = sorted({project for project, _, _ in found})
        if missing := [one for one in self._projects if one not in projects]:
            hint = f"it has: {listed(projects, most=20)}"
            raise UsageError(f"{self._path} has no project '{missing[0]}'", hint=hint)
        yield from broken
        for project, own, numbered in found:
            files = [file for _, file in numbered]
            if self._projects and project not in self._projects:
                continue
            if [number for number, _ in numbered] != list(range(len(files))):
                yield InputError(f"{files[0]}: a part of the run {own} is missing", hint="export it again")
                continue
            run_id = stable_id(SYSTEM, project, own)
            state = str(sum(file.stat().st_size for file in files))
            read = partial(self._read, run_id, project, own, files, state)
            yield Candidate(run_id, f"run {own} of {project}", read, state=state, place=str(files[0]))

    def _read(self, run_id: str, project: str, own: str, files: Sequence[Path], state: str) -> Taken:
        reader = _Reader()
        for file in files:
            for row in _rows(file):
                if (str(row["project_id"]), str(row["run_id"])) != (project, own):
                    other = f"{row['run_id']} of {row['project_id']}"
                    raise InputError(f"{file}: a row of the run {other} among those of {own}", hint="export it again")
                reader.take(row)
        reader.finish()
        system, log = reader.system, reader.log
        log.tag(f"{SYSTEM}.run_id", own)
        for name in ("id", "custom_run_id", "group_tags", "tags", "description"):
            log.tag(f"{SYSTEM}.{name}", system.get(name))
        started = unix_seconds(system.get("creation_time"))
        ended = unix_seconds(system.get("modification_time")) or started
        run = SourceRun(
            id=run_id,
            system=SYSTEM,
            values=log.values(),
            name=str(system.get("experiment/name") or system.get("name") or own),
            project=project.rpartition("/")[2],
            status=_status(system),
            started=started,
            ended=ended,
            commit=full_commit(reader.commit),
            provenance=context_of(actor=_text(system.get("owner"))),
        )
        found: dict[str, Path] = {}
        for name, path in reader.files.items():
            if (place := self._file(path, files[0])) is None:
                log.leave_out(name, "output", f"{path} is not in the folder of files")
            else:
                found[name] = place
        run = replace(run, values=log.values())
        # The default folder of its files is beside that of the data.
        beside = files[0].parent.parent.resolve().parent / "files"
        within = (root_of(self._path), *([] if beside.is_symlink() else [beside]))
        is_unfinished = str(system.get("state", "")).lower() == "active" and goes_on(ended)
        return self._importer.take(run, found, within=within, state=state, is_unfinished=is_unfinished)

    def _file(self, path: str, part: Path) -> Path | None:
        """Where an exported file is: below `--files-path`, by default the folder `files` beside that of the data."""
        data = part.parent.parent
        places = (data.parent / "files", data / "files", self._path / "files", self._path)
        for place in places:
            for folder in (place, place / part.parent.name):
                file = folder / path
                if file.exists():
                    return file
        return None


def _identity(file: Path) -> tuple[str, str]:
    """The project and the id of the run of a part."""
    row = next(iter(_rows(file)), None)
    if row is None:
        raise InputError(f"{file}: no row in it")
    if missing := [name for name in ("project_id", "run_id") if not row[name]]:
        raise InputError(f"{file}: its first row has no {missing[0]}", hint="export it again")
    return str(row["project_id"]), str(row["run_id"])


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Raises InputError where pyarrow is missing, and for a file that is not of neptune-exporter."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise InputError(f"{file}: Parquet needs pyarrow", hint="pip install 'ciplug[parquet]'") from None
    try:
        with parquet.ParquetFile(file) as table:
            if table.metadata.num_rows > _ROWS_MOST:
                hint = "split it into parts of fewer rows: RUN_part_0.parquet, RUN_part_1.parquet and so on"
                raise InputError(f"{file}: more than {_ROWS_MOST:,} rows", hint=hint)
            if missing := [one for one in _COLUMNS if one not in table.schema_arrow.names]:
                raise InputError(f"{file}: not of neptune-exporter: no column '{missing[0]}'")
            for batch in table.iter_batches(batch_size=10_000):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, OverflowError, ValueError) as problem:
        raise InputError(f"{file}: not Parquet, or damaged: {' '.join(str(problem).split())[:200]}") from None


class _Reader:
    def __init__(self) -> None:
        self.log = Log()
        self.system: dict[str, Any] = {}
        """The attributes below `sys/`."""
        self.files: dict[str, str] = {}
        """Attribute → path of its file."""
        self.commit: object = None
        self._series: dict[str, list[tuple[Any, float | None, Any]]] = {}

    def take(self, row: dict[str, Any]) -> None:
        """Take an attribute, or a point of one."""
        name, kind = str(row["attribute_path"]), str(row["attribute_type"])
        if kind in _SERIES:
            point = (row.get("step"), unix_seconds(row.get("timestamp")), row.get(_SERIES[kind]))
            self._series.setdefault(name, []).append(point)
        elif kind in ("file", "file_series"):
            path = (row.get("file_value") or {}).get("path")
            step = row.get("step")
            if path:
                self.files[name if kind == "file" else f"{name}/{_plain(step)}"] = str(path)
        elif kind in _NUMBERS and name.startswith(_METRICS):
            self.log.metric(name, row.get(_VALUES[kind]))
        elif kind in _VALUES:
            self._single(name, row.get(_VALUES[kind]))
        else:
            # Texts and histograms by steps.
            self.log.leave_out(name, "list", kind)

    def _single(self, name: str, value: Any) -> None:
        if name.startswith("sys/"):
            self.system[name.removeprefix("sys/")] = ", ".join(value) if isinstance(value, list) else value
            return
        if name in ("source_code/git/commit_id", "git/commit_id"):
            self.commit = value
        if isinstance(value, datetime):
            value = value.isoformat()
        self.log.params({name: value})

    def finish(self) -> None:
        """Log the series, whose steps are known by now."""
        for name, points in self._series.items():
            finite = [step for step, _, _ in points if step is not None and math.isfinite(step)]
            has_fractions = any(step != int(step) for step in finite)
            for number, (step, time, value) in enumerate(points):
                at: object = number
                if step is not None:
                    # Of a step that is no number, the log notes the name.
                    at = step if not math.isfinite(step) else int(step * _MILLIONTHS) if has_fractions else int(step)
                self.log.metric(name, value, at, time)
            if has_fractions:
                self.log.tag(f"{SYSTEM}.steps_in_millionths", "true")


def _status(system: dict[str, Any]) -> Status:
    if system.get("failed"):
        return "failed"
    return "unknown" if str(system.get("state", "")).lower() == "active" else "finished"


def _plain(step: Decimal | None) -> str:
    return "0" if step is None else f"{step.normalize():f}"


def _text(value: object) -> str | None:
    return str(value) if value else None
