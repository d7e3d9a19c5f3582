"""Which of the declared files a run takes: those that its command has written, and not what an earlier run left."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ciplug.capture.content import name_of
from ciplug.capture.written_files import COARSEST, SECOND, Outputs, Stamp, absolute, files_of, is_in, is_pattern
from ciplug.console import Note
from ciplug.errors import InputError, UsageError, listed, nearest
from ciplug.git.cache import cache_folder
from ciplug.git.commits import commit_time
from ciplug.git.worktree import committed, is_tracked
from ciplug.records.left_out import LeftOut
from ciplug.steps.addresses import Addresses
from ciplug.steps.inputs import Inputs
from ciplug.steps.lost_files import lost_file, refused_file
from ciplug.steps.session import Session

_LEDGER = "params-written.json"
_PLACEHOLDERS = (".gitkeep", ".keep", ".gitignore", ".gitattributes")
_NAMED_MOST = 3
_COMMANDS_MOST = 50
_WORDS = 2
"""Of a command: `python train.py` is the same training with other options."""


@dataclass(frozen=True)
class StaleOutput:
    """An output with files that the command did not write."""

    path: Path
    folder: Path
    """The same from anywhere, where it is a folder."""
    files: tuple[Path, ...]
    whole: bool
    """Whether nothing of it was written."""

    @property
    def is_superseded(self) -> bool:
        """Whether these are the older matches of a pattern, of which the command has written another one."""
        return is_pattern(self.folder) and not self.whole


@dataclass(frozen=True)
class AcceptedOutputs:
    """The outputs of a run that count as its own."""

    inputs: Inputs
    problems: tuple[InputError, ...] = ()
    """Of a run that finished: the files that it did not write."""
    notes: tuple[Note, ...] = ()


class Watch:
    """Looks at the declared files before a command begins, and tells afterwards which of them it has written."""

    def __init__(self, session: Session, inputs: Inputs, command: Sequence[str]) -> None:
        """Raises UsageError for --allow-unchanged that names nothing which is recorded."""
        self._session, self._inputs = session, inputs
        self._ledger = _Ledger(session, command)
        self._paths = [*inputs.outputs, *(path for path in inputs.params if self._is_output(path))]
        self._allowed = absolute(session.cwd / path for path in inputs.allow_unchanged)
        self._check_allowed()
        self._addresses = Addresses(inputs.addresses, session.env)
        self._before = Outputs.before([session.cwd / path for path in (*inputs.outputs, *inputs.params)])

    def has_written(self) -> bool:
        """Whether the command has written any declared file."""
        return self._before.has_written(
            self._session.cwd / path for path in (*self._inputs.outputs, *self._inputs.params)
        )

    def take(self, *, finished: bool) -> AcceptedOutputs:
        """Return what the run takes: of one that did not finish, no older file at all."""
        params = [self._session.cwd / path for path in self._inputs.params]
        self._ledger.remember([path for path in params if self._before.has_written([path])])
        unwritten, same = self._old(()), self._addresses.unwritten()
        if not finished:
            present = [*same, *self._addresses.unknown()]
            inputs = _without(self._inputs, unwritten, present)
            return AcceptedOutputs(
                inputs, notes=_left_out([one for one in unwritten if not one.is_superseded], present)
            )
        refused = self._old(self._allowed)
        refused_there = [one for one in same if one not in self._inputs.allow_unchanged]
        kept = [one for one in unwritten if one not in refused]
        kept_there = [one for one in same if one not in refused_there]
        names = [name_of(self._session.cwd / one.path, self._session.top) for one in kept] + kept_there
        notes = [
            Note(f"{one}: recorded, though the command did not write it (--allow-unchanged)")
            for one in (*(str(one.path) for one in kept), *kept_there)
        ]
        problems = [_problem(one, self._inputs) for one in refused if not one.is_superseded]
        problems += [_problem_there(one) for one in refused_there]
        not_recorded = (
            *_refused(refused, self._inputs),
            *(lost_file(one, _problem_there(one)) for one in refused_there),
        )
        inputs = replace(_without(self._inputs, refused, refused_there), refused=not_recorded)
        return AcceptedOutputs(replace(inputs, unchanged=tuple(dict.fromkeys(names))), tuple(problems), tuple(notes))

    def _old(self, allowed: Collection[Path]) -> list[StaleOutput]:
        """The outputs with files that the command did not write, apart from files that are allowed to be so."""
        stale = []
        for path in dict.fromkeys(self._paths):
            full = self._session.cwd / path
            old = {*self._before.unwritten(full), *(self._as_committed(full) if path in self._inputs.artifacts else ())}
            files, present = [file for file in sorted(old) if not is_in(file, allowed)], files_of(full)
            if len(files) < len(present):
                files = [file for file in files if not self._is_placeholder(file)]
                present = [file for file in present if not self._is_placeholder(file)]
            if files:
                stale.append(StaleOutput(path, full, tuple(files), len(files) == len(present)))
        return stale

    def _as_committed(self, artifact: Path) -> set[Path]:
        """The files of an artifact that have the content of the commit, whatever their times say."""
        workspace = self._session.workspace
        if workspace is None or workspace.head is None:
            return set()
        return committed(workspace.top, files_of(artifact), workspace.head)

    def _is_placeholder(self, file: Path) -> bool:
        """Whether a file only makes git keep a folder, or settles what it keeps of it: no training writes that."""
        workspace = self._session.workspace
        return file.name in _PLACEHOLDERS and workspace is not None and is_tracked(workspace, file)

    def _is_output(self, params: Path) -> bool:
        """Whether parameters are what the training writes; a file of parameters that it reads is of no earlier run."""
        full = self._session.cwd / params
        return is_in(full, absolute(self._session.cwd / path for path in self._inputs.outputs)) or self._ledger.wrote(
            full
        )

    def _check_allowed(self) -> None:
        recorded = absolute(self._session.cwd / path for path in (*self._inputs.outputs, *self._inputs.params))
        for path in (one for one in self._inputs.allow_unchanged if one not in self._inputs.addresses):
            (named,) = absolute([self._session.cwd / path])
            # What is there, the program may log; what is not, nobody can leave as it is.
            if not named.exists() and not any(
                named == one or named in one.parents or one in named.parents for one in recorded
            ):
                shown = [str(one) for one in (*self._inputs.outputs, *self._inputs.params, *self._inputs.addresses)]
                raise UsageError(
                    f"--allow-unchanged {path}: no recorded file has that name",
                    hint=nearest(path, shown) if shown else "name a file that --metrics or --artifact names",
                )


_TRUSTED_SINCE = 946_684_800
"""The year 2000, in seconds: some archives give every file an earlier time."""


def older_outputs(session: Session, inputs: Inputs) -> list[str]:
    """Return the declared outputs that were last written before the commit was made, as the record names them.

    A file that git tracks is of the commit, and its time is that of the checkout. Of a folder, the last file counts.
    """
    made = commit_time(session.workspace, session.head) if session.workspace and session.head else None
    if made is None or made > time.time():
        # By a clock that is ahead, every file is older.
        return []
    names = []
    for path in dict.fromkeys(inputs.outputs):
        full = session.cwd / path
        stamps = [stamp for file in files_of(full) if (stamp := Stamp.of(file))]
        last = max((stamp.modified for stamp in stamps), default=0)
        is_older = _TRUSTED_SINCE * SECOND < last < made * SECOND - COARSEST
        if is_older and not is_tracked(session.need_workspace(), full):
            names.append(name_of(full, session.top))
    return names


def _without(inputs: Inputs, old: Sequence[StaleOutput], addresses: Collection[str]) -> Inputs:
    gone = {one.path for one in old if one.whole}
    left_out = absolute(file for one in old for file in one.files)

    def kept(paths: Collection[Path]) -> tuple[Path, ...]:
        return tuple(path for path in paths if path not in gone)

    samples = inputs.samples if inputs.samples and Path(inputs.samples.file) not in gone else None
    return replace(
        inputs,
        metrics=kept(inputs.metrics),
        params=kept(inputs.params),
        artifacts=kept(inputs.artifacts),
        addresses=tuple(one for one in inputs.addresses if one not in addresses),
        samples=samples,
        left_out=left_out,
    )


def _problem(old: StaleOutput, inputs: Inputs) -> InputError:
    if old.path in inputs.metrics and old.whole:
        elsewhere = "does the training write its metrics elsewhere? Name that file with --metrics."
    else:
        elsewhere = "does the training write it elsewhere?" if old.whole else "remove old files before the training."
    what = f"the command did not write {'it' if old.whole else _some(old)}"
    return InputError(
        f"{old.path}: {what}: it is not recorded",
        hint=f"{elsewhere} If it skips work on purpose: --allow-unchanged {shlex.quote(str(old.path))}",
        what=what,
    )


def _refused(old: Sequence[StaleOutput], inputs: Inputs) -> tuple[LeftOut, ...]:
    """What the record has of these files."""
    sources = {*inputs.metrics, *([Path(inputs.samples.file)] if inputs.samples else [])}
    return tuple(
        refused_file(one.path, problem) if one.path in sources else lost_file(one.path.as_posix(), problem)
        for one in old
        if not one.is_superseded and (one.path in sources or one.path in inputs.artifacts)
        for problem in [_problem(one, inputs)]
    )


def _problem_there(address: str) -> InputError:
    allowed = f"--allow-unchanged {shlex.quote(address)}"
    return InputError(
        f"{address}: the command did not write it: it is not recorded",
        what="the command did not write it: it is not recorded",
        hint=f"does the training put it elsewhere? If it skips work on purpose: {allowed}",
    )


def _some(old: StaleOutput) -> str:
    names = [file.relative_to(old.folder).as_posix() for file in old.files]
    return f"{listed(names, most=_NAMED_MOST)} in it"


def _left_out(old: Sequence[StaleOutput], addresses: Sequence[str]) -> tuple[Note, ...]:
    names = [str(one.path) if one.whole else f"{one.path} ({_some(one)})" for one in old] + list(addresses)
    return (Note(f"left out, because the command did not write it: {', '.join(names)}"),) if names else ()


class _Ledger:
    """Remembers, beside the spool, which files of parameters a command has written: later they are an earlier run's."""

    def __init__(self, session: Session, command: Sequence[str]) -> None:
        self._file = cache_folder(session.workspace, session.env) / _LEDGER
        self._command = json.dumps([str(session.cwd), *command[:_WORDS]])

    def wrote(self, file: Path) -> bool:
        """Whether the same command wrote it as it is now."""
        return self._read().get(self._command, {}).get(str(file)) == _state(file) is not None

    def remember(self, files: Sequence[Path]) -> None:
        if not files:
            return
        by_command = self._read()
        mine = by_command.pop(self._command, {}) | {str(file): _state(file) for file in files}
        kept = dict([*by_command.items()][-_COMMANDS_MOST:]) | {self._command: mine}
        # Without it, such a file counts as one that the training reads.
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(kept), encoding="utf-8")

    def _read(self) -> dict[str, dict[str, list[int]]]:
        try:
            by_command = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return by_command if isinstance(by_command, dict) else {}


def _state(file: Path) -> list[int] | None:
    stamp = Stamp.of(file)
    return None if stamp is None else [stamp.inode[1], stamp.size, stamp.modified]
