"""What neptune-exporter has written: Parquet files of attributes, a run in one or several, and a folder of files."""

from __future__ import annotations

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
_METRICS = ("metrics/", "metric/", "scores/")
"""Single numbers below these names are results; all others are parameters."""
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
        for file in sorted(self._path.rglob("*.parquet")):
            if match := _PART.fullmatch(file.name):
                parts.setdefault((file.parent, match["run"]), []).append((int(match["number"]), file))
        if not parts:
            hint = "it writes RUN_part_0.parquet into a folder for each project"
            yield InputError(f"{self._path}: no export of neptune-exporter in it", hint=hint)
        projects: set[str] = set()
        for numbered in parts.values():
            files = [file for _, file in sorted(numbered)]
            try:
                project, own = _identity(files[0])
            except InputError as problem:
                yield problem
                continue
            projects.add(project)
            if [number for number, _ in sorted(numbered)] != list(range(len(files))):
                yield InputError(f"{files[0]}: a part of the run {own} is missing", hint="export it again")
            elif not self._projects or project in self._projects:
                run_id = stable_id(SYSTEM, project, own)
                state = str(sum(file.stat().st_size for file in files))
                name = f"run {own} of {project}"
                yield Candidate(run_id, name, partial(self._read, run_id, project, own, files, state), state=state)
        if missing := [one for one in self._projects if one not in projects]:
            hint = f"it has: {listed(sorted(projects), most=20)}"
            raise UsageError(f"{self._path} has no project '{missing[0]}'", hint=hint)

    def _read(self, run_id: str, project: str, own: str, files: Sequence[Path], state: str) -> Taken:
        reader = _Reader()
        for file in files:
            for row in _rows(file):
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
        is_unfinished = str(system.get("state", "")).lower() == "active" and goes_on(ended)
        return self._importer.take(run, found, within=self._path.parent, state=state, is_unfinished=is_unfinished)

    def _file(self, path: str, part: Path) -> Path | None:
        """Where an exported file is: below `--files-path`, by default the folder `files` beside that of the data."""
        data = part.parent.parent
        places = (data.parent / "files", data / "files", self._path / "files", self._path)
        for place in places:
            for folder in (place, place / part.parent.name):
                if (folder / path).exists():
                    return folder / path
        return None


def _identity(file: Path) -> tuple[str, str]:
    """The project and the id of the run of a part."""
    row = next(iter(_rows(file)), None)
    if row is None:
        raise InputError(f"{file}: no row in it")
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
            if missing := [one for one in _COLUMNS if one not in table.schema_arrow.names]:
                raise InputError(f"{file}: not of neptune-exporter: no column '{missing[0]}'")
            for batch in table.iter_batches(batch_size=10_000):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as problem:
        raise InputError(f"{file}: not Parquet, or damaged: {str(problem).splitlines()[0][:200]}") from None


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
        if kind == "float_series":
            point = (row.get("step"), unix_seconds(row.get("timestamp")), row.get("float_value"))
            self._series.setdefault(name, []).append(point)
        elif kind in ("file", "file_series"):
            path = (row.get("file_value") or {}).get("path")
            step = row.get("step")
            if path:
                self.files[name if kind == "file" else f"{name}/{_plain(step)}"] = str(path)
        elif kind == "float" and name.startswith(_METRICS):
            self.log.metric(name, row.get("float_value"))
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
            has_fractions = any(step is not None and step != int(step) for step, _, _ in points)
            for number, (step, time, value) in enumerate(points):
                at = number if step is None else int(step * _MILLIONTHS) if has_fractions else int(step)
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
