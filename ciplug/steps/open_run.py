"""Runs that a program opens by itself: one of its own, child runs, and runs of other processes that it resumes."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import loading
from ciplug.capture.log import FILE
from ciplug.capture.spool import Spool
from ciplug.capture.writer import RunWriter
from ciplug.console import Note, problem_note
from ciplug.errors import CiplugError, ConfigError, GitError, StoreError, UsageError
from ciplug.records.canonical import new_id
from ciplug.records.run import Status
from ciplug.steps.dirty_files import DIRTY
from ciplug.steps.first_job import job_of
from ciplug.steps.inputs import Inputs
from ciplug.steps.logged_artifacts import inherited
from ciplug.steps.record import REDACT, Recorded, begin, check_model_name, facts_of, finish, skeleton_of
from ciplug.steps.resume import leave, resume
from ciplug.steps.send import send
from ciplug.steps.session import Session, now, open_session, stamp
from ciplug.steps.trust import MUST_NOT_WRITE

if TYPE_CHECKING:
    from ciplug.console import Listener

_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class OpenRun:
    """A run that this process logs to."""

    writer: RunWriter
    end: Callable[[Status], Sequence[Note]]
    """Ends it, and returns what a person should know then."""
    notes: tuple[Note, ...] = ()
    """On its beginning."""


def run_around(env: Mapping[str, str]) -> RunWriter | None:
    """The run of the `ciplug run` that started this program; None where there is none, or it has ended."""
    folder = env.get("CIPLUG_RUN_DIR")
    return RunWriter.open(Path(folder)) if folder and env.get("CIPLUG_RUN_ID") else None


def joined(writer: RunWriter) -> OpenRun:
    """The run of another process, which records it."""

    def release(status: Status) -> Sequence[Note]:
        writer.release()
        return ()

    return OpenRun(writer, release)


def own_run(inputs: Inputs, started: datetime | None, listener: Listener | None = None) -> OpenRun:
    """A run that is recorded and sent when it ends. Where that cannot be, its log is kept, and the training goes on.

    Raises UsageError for a model's name that cannot be one.
    """
    try:
        session = open_session(for_recording=True, listener=listener)
        entry = begin(
            session,
            inputs,
            command=(sys.executable, *sys.argv),
            started=started,
            process=os.getpid(),
            since=loading.MOMENT,
        )
    except (ConfigError, GitError, StoreError) as problem:
        return _unrecorded(problem_note(problem))
    wrong = [problem_note(session.policy_error)] if session.policy_error else []
    return OpenRun(entry, lambda status: _end_own(session, entry, inputs, status), tuple(wrong))


def child_run(
    parent: RunWriter,
    inputs: Inputs,
    started: datetime | None,
    *,
    run_id: str | None = None,
    python: str | None = None,
) -> OpenRun:
    """A run of its own under another one, whose commit and surroundings it shares. It is sealed when it ends.

    It is sent with its parent.

    Args:
        python: the first word of the command that made the run; None: the program that runs this.

    Raises UsageError for a model's name that cannot be one, and for a parent that is recorded already.
    """
    if parent.amends is not None:
        raise UsageError(
            f"run {parent.id[:12]} is recorded, and a child run cannot be added to it",
            hint="end it, and start a run of its own: ciplug.start_run()",
        )
    if not parent.facts.get("run"):
        return _unrecorded()
    job = job_of(parent)
    above = skeleton_of(parent)
    began = stamp(started or now())
    run = replace(
        above,
        id=run_id or new_id(),
        parent=parent.id,
        model=check_model_name(inputs.model or parent.logged().model or above.model),
        started=began,
        ended=began,
        name=inputs.name,
        tags=inputs.tags,
        provenance=above.provenance if inputs.seed is None else replace(above.provenance, seed=inputs.seed),
    )
    facts = facts_of(run, inputs, job, job.spooled_for, os.getpid(), parent.facts.get(DIRTY))
    facts |= {**inherited(parent), REDACT: parent.facts.get(REDACT) or []}
    entry = Spool(parent.folder.parent).create(run.id, facts)
    return OpenRun(entry, lambda status: _end_child(entry, inputs, status, python))


def resumed_run(
    run_id: str,
    inputs: Inputs,
    started: datetime | None,
    env: Mapping[str, str],
    listener: Listener | None = None,
) -> OpenRun:
    """A run that another process of this machine has open, or that is recorded: the last process that leaves ends it.

    What a recorded run logs is its amendment. Raises UsageError for what is not an id, NotFound where no run has it,
    and what `resume` raises.
    """
    if not _ID.fullmatch(run_id):
        raise UsageError(f"{run_id!r} cannot be the id of a run", hint="it has 32 hex digits: ciplug.active_run().id")
    session = open_session(env=env, for_recording=True, listener=listener)
    spools = _spools(session, env)
    writer = next(filter(None, (spool.open(run_id) for spool in spools)), None)
    if writer is not None and writer.amends is None:
        return OpenRun(writer, lambda status: _leave(writer, status, listener))
    if inputs.model is not None or inputs.seed is not None or started is not None:
        stated = {"model": inputs.model, "seed": inputs.seed, "start_time": started}
        given = next(name for name, value in stated.items() if value is not None)
        if writer is not None:
            writer.release_unless_last()
        raise UsageError(
            f"run {run_id[:12]} is recorded: its {given} cannot be changed", hint=f"leave {given} out, or start a run"
        )
    resumed = writer or resume(session, spools, run_id)
    around = env.get("CIPLUG_RUN_ID") if run_around(env) else None
    return OpenRun(resumed, lambda status: leave(session, resumed, status, around))


def _spools(session: Session, env: Mapping[str, str]) -> list[Spool]:
    """The places where an open run may be: beside the run of `ciplug run`, and where this program would put one."""
    around = env.get("CIPLUG_RUN_DIR")
    return [*([Spool(Path(around).parent)] if around else []), session.spool]


def _end_own(session: Session, entry: RunWriter, inputs: Inputs, status: Status) -> Sequence[Note]:
    """Record the run and send it. The training went well: that its record waits on disk is not a reason to fail it."""
    recorded, notes = _sealed(entry, inputs, status)
    if recorded is None:
        return notes
    if not session.context.trusted:
        return [*notes, Note(f"{MUST_NOT_WRITE}: run {entry.id} is kept in {entry.folder}")]
    try:
        send(session, recorded.sealed)
    except CiplugError as problem:
        return [*notes, problem_note(problem)]
    # A child run whose parent's own parent is still open.
    where = f"waits for run {entry.parent}" if recorded.sealed.waits else f"recorded in {session.store_name}"
    return [*notes, Note(f"run {entry.id} ({recorded.run.model}, {status}) {where}")]


def _end_child(entry: RunWriter, inputs: Inputs, status: Status, python: str | None = None) -> Sequence[Note]:
    """Seal the run. It is sent with its parent."""
    return _sealed(entry, inputs, status, python)[1]


def _sealed(
    entry: RunWriter, inputs: Inputs, status: Status, python: str | None = None
) -> tuple[Recorded | None, list[Note]]:
    """The record of a run that ends, and what a person should know of it; None where the disk does not take it."""
    try:
        recorded = finish(job_of(entry), entry, inputs, status=status, python=python)
    except StoreError as unkept:
        return None, [problem_note(unkept)]
    return recorded, [*recorded.notes, *map(problem_note, recorded.problems)]


def _leave(writer: RunWriter, status: Status, listener: Listener | None) -> Sequence[Note]:
    """End a resumed run, unless another process has it open, or has ended it."""
    if writer.release_unless_last():
        return ()
    if not writer.is_open:
        writer.release()
        return ()
    parent = RunWriter.open(writer.folder.parent / writer.parent) if writer.parent else None
    if parent is None:
        return _end_own(open_session(for_recording=True, listener=listener), writer, Inputs(), status)
    parent.release()
    return _end_child(writer, Inputs(), status)


def _unrecorded(*why: Note) -> OpenRun:
    """A run that is nothing but its log, in a temporary folder."""
    writer = RunWriter.create(Path(tempfile.mkdtemp(prefix="ciplug-")) / new_id(), {})
    where = Note(f"this run is not recorded; what it logs is in {writer.folder / FILE}", is_urgent=True)
    return replace(joined(writer), notes=(*why, where))
