"""Run a training, and record it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from ciplug.capture.logged import Logged
from ciplug.capture.writer import RunWriter
from ciplug.console import Note, warning
from ciplug.errors import CiplugError, UsageError
from ciplug.git.commits import HeadLog, commit_named
from ciplug.git.credentials import redact
from ciplug.git.environment import is_token
from ciplug.records.provenance import UNSEEN
from ciplug.records.run import Status
from ciplug.steps.dirty_files import tell_dirt
from ciplug.steps.inputs import Inputs
from ciplug.steps.mlflow_stores import Tracking, nothing_found
from ciplug.steps.outputs import Watch
from ciplug.steps.record import Recorded, begin, finish, skeleton_of, tell_beside
from ciplug.steps.recover import Recovered, recover
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.capture.process import ChildResult

_NOT_STARTED, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127
"""Exit codes for a command that was not started: of a shell, of `env` and the like (POSIX, 2.8.2).

125 is of `docker run`, `env` and `timeout` that fail themselves.
"""
_OWN_FAILURES = (1, 2)
_STARTERS = frozenset(
    (
        *("bunx", "conda", "hatch", "just", "make", "mamba", "micromamba", "npm", "npx", "pdm", "pipenv", "pipx"),
        *("pixi", "pnpm", "poetry", "rye", "tox", "uv", "uvx", "yarn"),
    )
)
"""Programs that start others, and end with one of these codes where there is nothing to start."""
_NO_STARTS = (_NOT_STARTED, _NOT_EXECUTABLE, _NOT_FOUND)


class FailedStart(UsageError):
    """The command never began: a shell, or a program like it, found or started no such command."""

    def __init__(self, code: int) -> None:
        if code == _NOT_FOUND:
            words = "the command, its interpreter or a library of it was not found"
            hint = "is it installed, and on PATH? The lines above name what is missing"
        elif code == _NOT_STARTED:
            words = "what was to start the command failed itself: docker, env, timeout or the like"
            hint = "the lines above say why: an image that cannot be pulled, an option that does not exist"
        else:
            words = "the command was found, and could not be executed"
            hint = "make it executable (chmod +x), or name its interpreter in front"
        super().__init__(f"nothing was trained, so nothing is recorded: {words} (exit code {code})", hint=hint)
        self.exit_code = code


@dataclass(frozen=True)
class Trained:
    """A training that has ended."""

    recorded: Recorded
    exit_code: int
    """That of the command."""
    recovered: Recovered
    """Child runs whose processes were killed: they are sent with the run."""


def train(session: Session, inputs: Inputs, command: Sequence[str]) -> Trained:
    """Run the command under a run of its own, and record what it has written.

    Nothing is recorded of a command that did not start. One that ends as if it had not (125, 126, 127) did start if
    it has logged something, or written a declared file.

    Raises UsageError for an empty command, FailedStart and what `run_child` raises for one that cannot be started.
    """
    from ciplug.capture.process import run_child

    if not command:
        raise UsageError("no command to run", hint="put it after `--`: ciplug run -- python train.py")
    watch = Watch(session, inputs, command)
    entry = begin(session, inputs, command=command)
    tell_dirt(session, skeleton_of(entry).provenance)
    tell_beside(session, entry)
    tracking = Tracking(entry, session.env, session.cwd)
    env = {**_environment(session, entry, inputs), **tracking.environment}
    moves, began = _head_log(session), time.time()
    try:
        child = run_child(command, env=env, cwd=session.cwd, inherits=entry.locks, keeps_output=True)
    except CiplugError:
        entry.discard()
        raise
    session.tips_seen.clear()
    if child.exit_code in _NO_STARTS and not (_has_begun(entry, watch) or tracking.has_begun):
        entry.discard()
        raise FailedStart(child.exit_code)
    has_begun = child.exit_code == 0 or _has_begun(entry, watch) or tracking.has_begun
    recovered = recover(session)
    taken = watch.take(finished=child.exit_code == 0)
    logged = tracking.take(command, _stated(entry, _status(child)))
    head_after = _moved_head(session, moves, began)
    recorded = finish(
        session,
        entry,
        taken.inputs,
        status=logged.status,
        child=child,
        python=command[0],
        head_after=head_after,
        problems=taken.problems,
        notes=[
            *_late_failure(child),
            *_perhaps_not_started(entry, command, child, has_begun),
            *_moved(session, head_after),
            *taken.notes,
            *logged.notes,
        ],
    )
    if logged.nothing_in and not (recorded.run.metrics or recorded.problems) and logged.status == "finished":
        recorded = replace(recorded, notes=(*recorded.notes, nothing_found(logged, session.env)))
    return Trained(recorded, child.exit_code, recovered)


def _status(child: ChildResult) -> Status:
    return "finished" if child.exit_code == 0 else "killed" if child.signal else "failed"


def _stated(entry: RunWriter, status: Status) -> Status:
    """How the run ended: of a command that ended well, MLflow may have said that the training in it did not."""
    stated = entry.logged().status
    return "failed" if status == "finished" and stated in ("failed", "killed") else status


def _has_begun(entry: RunWriter, watch: Watch) -> bool:
    """Whether the command has left a trace: a training of hours is not dropped for the exit code of its last line."""
    return entry.was_joined or entry.logged() != Logged() or watch.has_written()


def _head_log(session: Session) -> HeadLog:
    return HeadLog.read(session.workspace) if session.workspace and session.workspace.head else HeadLog()


def _moved_head(session: Session, before: HeadLog, began: float) -> str | None:
    """Return the commit in HEAD, if the command has put another one there; else one that was there meanwhile."""
    workspace = session.workspace
    if workspace is None:
        return None
    head = commit_named(workspace.top, "HEAD")
    if head != workspace.head or head is None:
        return head
    return _head_log(session).left_for(before, head, began)


def _moved(session: Session, head_after: str | None) -> list[Note]:
    if head_after is None or session.workspace is None:
        return []
    if head_after == UNSEEN:
        words = "the command wrote HEAD, and git keeps no log of it here: its numbers may be of another commit"
        hint = "git config core.logAllRefUpdates true; or check out nothing while the command runs"
        return [warning(f"{words}, so the run is dirty and counts for no commit", hint)]
    before = (session.workspace.head or "no commit")[:8]
    back = ", and back" if commit_named(session.workspace.top, "HEAD") == session.workspace.head else ""
    words = f"the command moved HEAD from {before} to {head_after[:8]}{back}: its numbers may be of either commit"
    hint = "check out the commit first, then train: ciplug run -- COMMAND"
    return [warning(f"{words}, so the run is dirty and counts for no commit", hint)]


def _late_failure(child: ChildResult) -> list[Note]:
    if child.exit_code not in _NO_STARTS:
        return []
    failures = {_NOT_FOUND: "was not found", _NOT_EXECUTABLE: "could not be executed", _NOT_STARTED: "was not started"}
    what = failures[child.exit_code]
    words = f"a part of the command {what} (exit code {child.exit_code}) after the training had begun"
    return [warning(f"{words}: the run is recorded as failed")]


def _perhaps_not_started(entry: RunWriter, command: Sequence[str], child: ChildResult, has_begun: bool) -> list[Note]:
    """Name a run that may have no training: some programs that start others end with 1 or 2 where they find none."""
    starter = PurePath(command[0]).stem
    if has_begun or child.signal is not None or child.exit_code not in _OWN_FAILURES or starter not in _STARTERS:
        return []
    words = f"the command logged nothing and wrote no declared file: {starter} may not have found what it was to start"
    withdraw = f"ciplug runs withdraw {entry.id[:12]} --reason WHY"
    return [warning(words, f"the lines above say what happened; if nothing was trained: {withdraw}")]


def _environment(session: Session, entry: RunWriter, inputs: Inputs) -> Mapping[str, str]:
    """The environment of the training, without the tokens that ciplug was given."""
    env = {name: value for name, value in session.env.items() if not is_token(name)}
    env.update(CIPLUG_RUN_ID=entry.id, CIPLUG_RUN_DIR=str(entry.folder.resolve()))
    if (store := session.options.store) and redact(store) == store:
        # A training that resumes a recorded run looks for it there.
        env["CIPLUG_STORE"] = store
    if inputs.seed is not None:
        env["CIPLUG_SEED"] = str(inputs.seed)
    return env
