"""W&B's offline runs: a folder `offline-run-DATE-ID` each, with `run-ID.wandb` in it. A resumed run has several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from ciplug.errors import CiplugError, InputError, UsageError, listed
from ciplug.git.credentials import redact
from ciplug.interop import wandb_log as log_file
from ciplug.interop.import_runs import Candidate, Importer, Taken, each_once
from ciplug.interop.source_files import files_below, root_of, unreadable
from ciplug.interop.source_run import (
    KIND,
    NOT_FINITE,
    Log,
    SourceRun,
    Values,
    full_commit,
    goes_on,
    leaves,
    stable_id,
    unix_seconds,
)
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import Status

SYSTEM = "wandb"
_PATTERN = "run-*.wandb"
_OWN_FILES = frozenset(
    (
        "config.yaml",
        "wandb-metadata.json",
        "wandb-summary.json",
        "requirements.txt",
        "output.log",
        "wandb-history.jsonl",
    )
)
"""Files that W&B itself writes into the folder of a run."""


@dataclass
class _Head:
    """What a run says of itself at its beginning."""

    id: str = ""
    project: str = ""
    entity: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    notes: str = ""
    sweep: str = ""
    host: str = ""
    tags: tuple[str, ...] = ()
    started: float | None = None
    commit: str = ""
    remote: str = ""
    config: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, message: bytes) -> _Head:
        text = partial(log_file.text, message)
        git = next(iter(log_file.messages(message, 21)), b"")
        return cls(
            id=text(1),
            entity=text(2),
            project=text(3),
            group=text(6),
            job_type=text(7),
            name=text(8),
            notes=text(9),
            tags=tuple(log_file.texts(message, 10)),
            sweep=text(12),
            host=text(13),
            started=log_file.seconds(message, 17),
            commit=log_file.text(git, 2),
            remote=log_file.text(git, 1),
            config=log_file.messages(message, 4),
        )


class WandbFolder:
    """The folder `wandb`, that of one run, or the file of one."""

    def __init__(self, importer: Importer, path: Path, projects: Sequence[str] = ()) -> None:
        if not path.exists():
            raise UsageError(f"there is no {path}", hint="name the folder 'wandb' beside the training")
        self._importer, self._path, self._projects = importer, path, projects

    def runs(self) -> Iterator[Candidate | CiplugError]:
        return each_once(self._found())

    def _found(self) -> Iterator[Candidate | CiplugError]:
        # `latest-run` is a link to one of the folders.
        files = list(files_below(self._path, partial(fnmatchcase, pat=_PATTERN)))
        if not files:
            yield InputError(f"{self._path}: no offline run of W&B in it", hint=f"its files are called {_PATTERN}")
        segments: dict[tuple[str, str], list[Path]] = {}
        for file in files:
            if isinstance(file, InputError):
                yield file
                continue
            try:
                head = _head(file)
            except Exception as problem:
                yield unreadable(file, problem)
            else:
                segments.setdefault((head.project, head.id), []).append(file)
        projects = sorted({project for project, _ in segments})
        if missing := [one for one in self._projects if one not in projects]:
            hint = f"it has: {listed(projects, most=20)}"
            raise UsageError(f"{self._path} has no run of the project '{missing[0]}'", hint=hint)
        for (project, own), of_run in segments.items():
            if not self._projects or project in self._projects:
                if copy := _copy_in(of_run):
                    hint = "keep one of them: its name has the time when this part of the run began"
                    yield InputError(f"{copy[1]}: a copy of {copy[0]}, or another state of it", hint=hint)
                    continue
                run_id = stable_id(SYSTEM, project, own)
                state = str(sum(one.stat().st_size for one in of_run))
                yield Candidate(
                    run_id, f"run {own} of {project}", partial(self._read, run_id, of_run, state), state=state
                )

    def _read(self, run_id: str, files: Sequence[Path], state: str) -> Taken:
        reader = _Reader()
        for file in sorted(files, key=lambda one: one.parent.name):
            reader.read(file)
        head, ended = reader.head, reader.ended
        run = SourceRun(
            id=run_id,
            system=SYSTEM,
            values=reader.values(),
            name=head.name or None,
            project=head.project or None,
            status=reader.status,
            started=head.started,
            ended=ended,
            commit=full_commit(head.commit),
            provenance=Provenance(
                context=Context(actor=head.entity or None, repository=_repository(head.remote)),
                command=reader.command,
                exit_code=reader.exit_code,
                python=reader.python,
                os=reader.os,
            ),
        )
        artifacts: dict[str, Path] = {}
        if self._importer.choice.artifacts:
            for file in files:
                artifacts |= _files(file.parent / "files")
        taken = self._importer.take(
            run,
            artifacts,
            within=(root_of(self._path),),
            state=state,
            problems=reader.problems,
            is_unfinished=reader.exit_code is None and goes_on(ended),
        )
        return taken


def _head(file: Path) -> _Head:
    """The beginning of a run. Raises InputError for a file without one."""
    problems: list[InputError] = []
    for kind, message in log_file.records(file, problems.append):
        if kind == log_file.RUN:
            try:
                head = _Head.of(message)
            except ValueError:
                break
            if head.id:
                return head
    raise problems[0] if problems else InputError(f"{file}: no run in it", hint="it was killed before it began")


def _copy_in(files: Sequence[Path]) -> tuple[Path, Path] | None:
    """Two of these files that are the same part of a run: W&B gives each part a folder of its own name."""
    first: dict[str, Path] = {}
    for file in files:
        if (one := first.setdefault(file.parent.name, file)) != file:
            return one, file
    return None


def _files(folder: Path) -> dict[str, Path]:
    """Name → file, of what the training has saved. `wandb.save` links to it, wherever it is."""
    if not folder.is_dir():
        return {}
    found = (one for one in sorted(folder.rglob("*")) if one.is_symlink() or not one.is_dir())
    named = {one.relative_to(folder).as_posix(): one for one in found}
    return {name: file for name, file in named.items() if name not in _OWN_FILES and not name.startswith("conda")}


def _repository(remote: str) -> str | None:
    """owner/name of the address of a remote, which may hold a password."""
    path = redact(remote).removesuffix(".git").rpartition("://")[2]
    parts = path.replace(":", "/").split("/")
    return "/".join(parts[1:]) or None if len(parts) > 2 else None


class _Reader:
    def __init__(self) -> None:
        self.head = _Head()
        self.ended: float | None = None
        self.exit_code: int | None = None
        self.command: tuple[str, ...] = ()
        self.python: str | None = None
        self.os: str | None = None
        self.problems: list[InputError] = []
        self._log = Log()
        self._config: dict[str, Any] = {}
        self._summary: dict[str, Any] = {}
        self._step = -1

    @property
    def status(self) -> Status:
        """How the run ended; one that does not say so was killed."""
        return "killed" if self.exit_code is None else "failed" if self.exit_code else "finished"

    def read(self, file: Path) -> None:
        self.exit_code = None
        cut: list[InputError] = []
        for kind, message in log_file.records(file, cut.append):
            try:
                self._record(kind, message)
            except Exception:  # Whatever a damaged record raises, the others are read.
                cut.append(InputError(f"{file}: a record cannot be read", what="a record"))
        for problem in cut:
            self._log.leave_out(problem.what, "line", problem.message[-100:], file.name)
        self.problems += cut

    def _record(self, kind: int, message: bytes) -> None:
        if kind == log_file.RUN:
            head = _Head.of(message)
            # A resumed run began when it first did.
            self.head = replace(head, started=self.head.started) if self.head.started else head
            for update in head.config:
                self._update(self._config, update)
            self._seen(head.started)
        elif kind == log_file.CONFIG:
            self._update(self._config, message)
        elif kind == log_file.SUMMARY:
            self._update(self._summary, message)
        elif kind == log_file.HISTORY:
            self._history(message)
        elif kind == log_file.STATS:
            self._seen(log_file.seconds(message, 2))
        elif kind == log_file.ENVIRONMENT:
            self.os = log_file.text(message, 1) or self.os
            self.python = log_file.text(message, 2).rpartition(" ")[2] or self.python
            if program := log_file.text(message, 7) or log_file.text(message, 6).rpartition("/")[2]:
                self.command = (program, *log_file.texts(message, 5))
        elif kind == log_file.EXIT:
            self.exit_code = log_file.whole(message, 1) or 0
            runtime = log_file.whole(message, 2)
            if runtime and self.head.started is not None:
                self._seen(self.head.started + runtime)

    def _seen(self, moment: float | None) -> None:
        if moment is not None and (self.ended is None or moment > self.ended):
            self.ended = moment

    def _history(self, message: bytes) -> None:
        row: dict[str, Any] = {}
        for item in log_file.messages(message, 1):
            _put(row, _path(item), _value(item))
        numbers = log_file.messages(message, 2)
        step = row.get("_step")
        if step is None:
            step = log_file.whole(numbers[-1], 1) or 0 if numbers else self._step + 1
        # One that is not a whole number is left as it is: the log notes it with the name.
        self._step = int(step) if _is_whole(step) else self._step + 1
        moment = unix_seconds(row.get("_timestamp"))
        self._seen(moment)
        for name, value in row.items():
            if not name.startswith("_"):
                self._log.logged(name, value, self._step if _is_whole(step) else step, moment)

    @staticmethod
    def _update(values: dict[str, Any], message: bytes) -> None:
        for item in log_file.messages(message, 1):
            _put(values, _path(item), _value(item))
        for item in log_file.messages(message, 2):
            values.pop(next(iter(_path(item)), ""), None)

    def values(self) -> Values:
        """All values. A summary counts where it says another value than the last, such as the best."""
        for name, value in self._config.items():
            if name != "_wandb":
                self._log.params({name: value})
        for name, text in (
            ("run_id", self.head.id),
            ("group", self.head.group),
            ("job_type", self.head.job_type),
            ("sweep", self.head.sweep),
            ("notes", self.head.notes),
            ("tags", ", ".join(self.head.tags)),
        ):
            self._log.tag(f"{SYSTEM}.{name}", text)
        logged = self._log.values()
        only = Log()
        for name, value in self._summary.items():
            if not name.startswith("_"):
                _summarise(only, name, value, logged)
        summary = only.values()
        return replace(
            logged,
            metrics={**logged.metrics, **summary.metrics},
            last={**summary.last, **logged.last},
            tags={**summary.tags, **logged.tags},
            left_out=(*logged.left_out, *(one for one in summary.left_out if one not in logged.left_out)),
        )


def _summarise(log: Log, name: str, value: Any, logged: Values) -> None:
    for path, one in leaves((name,), value, with_kinds=True):
        if isinstance(one, str) and one not in NOT_FINITE:
            log.tag("/".join(path), one)
        elif isinstance(one, (int, float, str)):
            log.metric(path[-1], one, below=path[:-1])
        elif not any(left.name == "/".join(path) for left in logged.left_out):
            log.leave_out("/".join(path), "list", str(one.get(KIND))[:40] if isinstance(one, Mapping) else None)


def _is_whole(step: object) -> bool:
    return isinstance(step, (int, float)) and not isinstance(step, bool) and (step == step // 1)


def _path(item: bytes) -> list[str]:
    nested = log_file.texts(item, 2)
    return nested or [log_file.text(item, 1)]


def _value(item: bytes) -> Any:
    """The value of an item: JSON, or since W&B 0.3x a field of its own kind. Raises ValueError."""
    import struct

    for one in log_file.fields(item):
        if one.number in (16, 8) and isinstance(one.value, bytes):
            return json.loads(one.value)
        if one.number == 7 and isinstance(one.value, bytes):
            return one.value.decode(errors="replace")
        if one.number == 6 and isinstance(one.value, bytes):
            return struct.unpack("<d", one.value)[0]
        if one.number == 5 and isinstance(one.value, int):
            return (one.value >> 1) ^ -(one.value & 1)
        if one.number == 4 and isinstance(one.value, int):
            return bool(one.value)
    return None


def _put(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a value below names, which become mappings."""
    *above, last = path or [""]
    inner = values
    for name in above:
        below = inner.get(name)
        if not isinstance(below, dict):
            below = inner[name] = {}
        inner = below
    inner[last] = value
