"""Which of the artifacts that a program logs a run takes: those that were written while it went on.

Nobody knows before a training which files it is going to log, so there is nothing to compare them with: their times
decide. A file of the commit is of no earlier run, and a run that logs it, such as its own source, keeps it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ciplug.capture.artifacts import is_address
from ciplug.capture.content import name_of
from ciplug.capture.logged import Logged
from ciplug.capture.writer import ENDING, OPEN, RunWriter
from ciplug.capture.written_files import absolute, files_of, is_in, older_than
from ciplug.console import Note, warning
from ciplug.errors import GitError, InputError, listed
from ciplug.git.worktree import committed
from ciplug.records.left_out import LeftOut
from ciplug.steps.inputs import Inputs, Surroundings
from ciplug.steps.lost_files import lost_file

SINCE = "since"
"""Of the facts about an open run: the moment, in nanoseconds since 1970, from which on a written file is its own."""
_ALLOWED = "allow_unchanged"
"""Of these facts: absolute paths that `--allow-unchanged` names. Only a run under `ciplug run` has them."""


@dataclass(frozen=True)
class TakenLogged:
    """The logged artifacts of a run that count as its own."""

    logged: Logged
    inputs: Inputs
    """What else was asked for, with the files that are left out, and those that are kept though they are old."""
    committed: tuple[str, ...] = ()
    """Those that nobody wrote, and that are files of the commit, as the record names them."""
    problems: tuple[InputError, ...] = ()
    lost: tuple[LeftOut, ...] = ()
    """For the record, what the problems are about."""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class _Old:
    """A logged artifact with files that nobody wrote while its run went on."""

    text: str
    """As it was logged."""
    path: Path
    name: str
    """As the record names it."""
    files: tuple[Path, ...]
    whole: bool
    """Whether nothing of it was written."""

    def is_all(self, files: Collection[Path]) -> bool:
        """Whether `files` has all of it."""
        return self.whole and all(file in files for file in self.files)

    def among(self, files: Collection[Path]) -> list[str]:
        """Return the name of the artifact if `files` has all of it, else the names of its own of them."""
        if self.is_all(files):
            return [self.name]
        return [f"{self.name}/{file.relative_to(self.path).as_posix()}" for file in self.files if file in files]


def allowance(job: Surroundings, inputs: Inputs) -> dict[str, Any]:
    """Return the facts of a run under `ciplug run`: what it may log though nobody wrote it."""
    return {_ALLOWED: sorted(map(str, absolute(job.cwd / path for path in inputs.allow_unchanged)))}


def inherited(parent: RunWriter) -> dict[str, Any]:
    """Return the facts of a child run: it may log what its parent may, and what was written since that began."""
    allowed = {_ALLOWED: parent.facts[_ALLOWED]} if _ALLOWED in parent.facts else {}
    return {**allowed, SINCE: since_of(parent)}


def take_logged(job: Surroundings, entry: RunWriter, inputs: Inputs, logged: Logged, *, finished: bool) -> TakenLogged:
    """Return what a run takes of what its program has logged.

    Under `ciplug run` an old file is an error, unless `--allow-unchanged` names it; of a run that did not finish it is
    left out. A program that runs by itself has no such option: the file is kept, and never promoted.

    Args:
        inputs: those that were declared, without what the command did not write.
    """
    texts = [one for one in dict.fromkeys(logged.artifacts) if not is_address(one)]
    of_commit = _of_commit(job, entry, [file for text in texts for file in files_of(job.cwd / text)])
    old = _old(job, entry, inputs, logged, of_commit)
    if not old:
        return TakenLogged(logged, inputs)
    files = {file for one in old for file in one.files}
    committed, stale = tuple(_names(old, of_commit & files)), files - of_commit
    allowed = entry.facts.get(_ALLOWED)
    if allowed is None:
        kept = _with_unchanged(inputs, old, stale)
        return TakenLogged(logged, kept, committed, notes=_not_promoted(old, stale))
    # A changed source says what was trained: the run counts as dirty, and is never promoted.
    dirt = absolute(job.top / name for name in _dirty_files(entry))
    may_stay = {file for file in stale if finished and is_in(file, absolute(map(Path, allowed)))}
    sources = {file for file in stale - may_stay if is_in(file, dirt)}
    refused = stale - may_stay - sources
    # Of what is declared, too, an error says so already.
    new = {file for file in refused if not is_in(file, inputs.left_out)}
    kept = _with_unchanged(inputs, old, may_stay | sources)
    gone = {one.text for one in old if one.is_all(refused)}
    problems = [(one.name, _problem(job, one, new)) for one in old if one.among(new)] if finished else []
    return TakenLogged(
        replace(
            logged,
            artifacts=tuple(text for text in logged.artifacts if text not in gone),
            named={text: name for text, name in logged.named.items() if text not in gone},
        ),
        replace(kept, left_out=inputs.left_out | absolute(refused)),
        committed,
        tuple(problem for _, problem in problems),
        tuple(lost_file(name, problem) for name, problem in problems),
        _taken(_names(old, may_stay)) if finished else _left_out(_names(old, new)),
    )


def _old(
    job: Surroundings, entry: RunWriter, inputs: Inputs, logged: Logged, of_commit: Collection[Path]
) -> list[_Old]:
    """The logged artifacts with files that are older than the run, or as in its commit, whatever their times say.

    How declared ones were written is known better.
    """
    since = since_of(entry)
    if since is None:
        return []
    declared = absolute(job.cwd / path for path in inputs.outputs)
    old_files = []
    for text in (one for one in dict.fromkeys(logged.artifacts) if not is_address(one)):
        path, name = job.cwd / text, logged.named.get(text)
        not_written = {*older_than(path, since), *(file for file in files_of(path) if file in of_commit)}
        if old := sorted(file for file in not_written if not is_in(file, declared)):
            old_files.append(
                _Old(text, path, name or name_of(path, job.top), tuple(old), len(old) == len(files_of(path)))
            )
    return old_files


def since_of(entry: RunWriter) -> int | None:
    """When the run began, by the earlier of two clocks: ours, and that of the file system, which may be a server's."""
    since = entry.facts.get(SINCE)
    if not isinstance(since, int):
        return None
    begun = (entry.folder / name for name in (OPEN, ENDING))
    return min([since, *(file.stat().st_mtime_ns for file in begun if file.exists())])


def _dirty_files(entry: RunWriter) -> Sequence[str]:
    run = entry.facts.get("run")
    return run.get("provenance", {}).get("dirty_files", ()) if isinstance(run, dict) else ()


def _of_commit(job: Surroundings, entry: RunWriter, files: Collection[Path]) -> set[Path]:
    """Those of the files that are as in the commit that was checked out when the run began."""
    run = entry.facts.get("run")
    context = run.get("provenance", {}).get("context", {}) if isinstance(run, dict) else {}
    commit = context.get("merge_commit") or (run.get("commit") if isinstance(run, dict) else None)
    if commit is None:
        return set()
    try:
        return committed(job.top, files, commit)
    except GitError:
        return set()


def _with_unchanged(inputs: Inputs, old: Sequence[_Old], files: Collection[Path]) -> Inputs:
    return replace(inputs, unchanged=tuple(dict.fromkeys((*inputs.unchanged, *_names(old, files)))))


def _names(old: Sequence[_Old], files: Collection[Path]) -> list[str]:
    return list(dict.fromkeys(name for one in old for name in one.among(files)))


def _problem(job: Surroundings, old: _Old, files: Collection[Path]) -> InputError:
    names = [name.removeprefix(f"{old.name}/") for name in old.among(files)]
    some = "it" if old.is_all(files) else f"{listed(names)} in it"
    allowed = os.path.relpath(old.path, job.cwd) if old.path.is_relative_to(job.cwd) else old.text
    what = f"logged as an artifact, and the command did not write {some}: it is not recorded"
    return InputError(
        f"{old.name}: {what}",
        what=what,
        hint="does the training write it elsewhere? Log what it writes itself. "
        f"If it skips work on purpose: --allow-unchanged {allowed}",
    )


def _not_promoted(old: Sequence[_Old], stale: Collection[Path]) -> tuple[Note, ...]:
    if not stale:
        return ()
    named = listed(_names(old, stale))
    words = f"{named}: logged as an artifact, and older than the run: kept with it, and not promoted"
    return (warning(words, "does the training write it elsewhere? Log what it writes itself"),)


def _taken(names: Sequence[str]) -> tuple[Note, ...]:
    return tuple(Note(f"{name}: recorded, though the command did not write it (--allow-unchanged)") for name in names)


def _left_out(names: Sequence[str]) -> tuple[Note, ...]:
    return (Note(f"left out, because the command did not write it: {', '.join(names)}"),) if names else ()
