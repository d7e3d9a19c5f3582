"""Resume a recorded run: what is logged then waits in the spool like a run, and becomes one amendment when it ends."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast, get_args

from ciplug._version import __version__
from ciplug.capture.logged import Logged
from ciplug.capture.sealed import Sealed
from ciplug.capture.writer import RunWriter
from ciplug.console import Note, problem_note, warning
from ciplug.errors import CiplugError, NotFound, RecordError, StoreError
from ciplug.records.amendment import Amendment
from ciplug.records.canonical import plain
from ciplug.records.change import Change, same_param
from ciplug.records.changes import Changes
from ciplug.records.keys import amended_run, parse_run, run_key
from ciplug.records.last_point import not_earlier, parse_point
from ciplug.records.provenance import Context
from ciplug.records.read import read_run
from ciplug.records.run import Run, Status
from ciplug.steps.amend import Target, check_number, objects_of, targets_of, view_of
from ciplug.steps.first_job import job_of
from ciplug.steps.inputs import Inputs
from ciplug.steps.read_artifacts import read_artifacts
from ciplug.steps.record import REDACT, lines_left_out, masked_notes, masks_of, stamp_of
from ciplug.steps.send import send
from ciplug.steps.session import Session, now, stamp
from ciplug.steps.trust import need_trusted
from ciplug.tracking.amended import NO_CHANGES, changes

if TYPE_CHECKING:
    from ciplug.capture.spool import Spool


@dataclass(frozen=True)
class Resumed:
    """The sealed amendment of a run that was resumed; `problems` are what it could not take."""

    amendment: Amendment
    sealed: Sealed
    problems: tuple[CiplugError, ...] = ()
    notes: tuple[Note, ...] = ()


def resume(session: Session, spools: Sequence[Spool], run_id: str) -> RunWriter:
    """Open a recorded run in the first of these spools, with all that its amendment needs when it ends.

    Raises ForkJob in a fork's job, NotFound where no run has this id, RecordError for one that takes no amendment,
    and StoreError where the store cannot be asked.
    """
    need_trusted(
        session,
        message="a fork's job must not amend runs",
        hint="start a run of its own: ciplug.start_run()",
    )
    target = _waiting(session, spools, run_id) or _recorded(session, spools, run_id)
    if target.changes.deletion:
        raise RecordError(
            f"run {run_id[:12]} was {target.changes.objection}", hint=f"first: ciplug runs restore {run_id[:12]}"
        )
    check_number(target, Change())
    return spools[0].create_session(run_id, facts_of(session, target))


def _waiting(session: Session, spools: Sequence[Spool], run_id: str) -> Target | None:
    """The run as it waits in a spool, with the amendments that wait with it; None where it does not."""
    objects: dict[str, bytes] = {}
    for spool in spools:
        for sealed in spool.sealed_of(run_id):
            if sealed.store == session.spooled_for:
                objects.update(sealed.objects)
    key = next((key for one in objects if (key := parse_run(one)) and key.id == run_id), None)
    if key is None:
        return None
    record = read_run(objects[key.key], key.key)
    late = changes({one: data for one, data in objects.items() if amended_run(one)}, {}).get(key.key)
    late = late or NO_CHANGES
    shown = late.applied_to(record)
    return _target(shown, late)


def _recorded(session: Session, spools: Sequence[Spool], run_id: str) -> Target:
    from ciplug.steps.signers import judged_runs  # a run that is not resumed reads no policy

    runs = judged_runs(session)
    try:
        shown = runs.get(run_id, session.head)
        return _target(shown, runs.changes(shown))
    except NotFound as unknown:
        raise _unknown(session, spools, run_id) from unknown
    except StoreError:
        view = view_of(session)
        if view.offline:
            session.tell(warning(f"run {run_id[:12]} is looked up in the local cache: {view.offline.message}"))
        try:
            return targets_of(view, [view.runs.key_of(run_id)])[0]
        except NotFound:
            raise _unknown(session, spools, run_id) from None


def _target(shown: Run, late: Changes) -> Target:
    return Target(run_key(shown), shown.model, shown.name, shown.tags, shown.params, late, shown.last)


def _unknown(session: Session, spools: Sequence[Spool], run_id: str) -> NotFound:
    folders = " and ".join(dict.fromkeys(str(spool.folder) for spool in spools))
    return NotFound(
        f"no run {run_id}: neither open on this machine ({folders}), nor recorded in {session.store_name}",
        hint="is it in another store? Name that one: CIPLUG_STORE=URI; or list what is here: ciplug runs list",
    )


def facts_of(session: Session, target: Target) -> dict[str, Any]:
    """Return what to keep at the start: enough to seal the amendment from any process, without the store."""
    return {
        "amends": {
            "run": target.key.id,
            "commit": target.key.commit,
            "model": target.model,
            "seq": target.changes.next_seq,
            "params": plain(target.params),
            "last": plain(target.last),
            "by": session.context.actor,
            "context": plain(session.context),
        },
        "store": session.spooled_for,
        "cwd": str(session.cwd.absolute()),
        "top": str(session.top.absolute()),
        "destination": plain(session.destination) if session.destination else None,
        REDACT: list(session.config.redact),
    }


def seal(entry: RunWriter, logged: Logged, status: Status | None, ended: datetime) -> Resumed:
    """Seal what a resumed run has logged as its amendment.

    What MLflow's client has changed has a status only if the run went on: then it says so itself, or was killed.

    Raises StoreError on a full disk; TypeError, ValueError or AttributeError where another version of ciplug has
    resumed it.
    """
    facts = dict(entry.amends or {})
    if entry.by_client:
        status = _own_status(logged)
    params: Mapping[str, Any] = facts.pop("params")
    known_points = {name: parse_point(point) for name, point in facts.pop("last").items()}
    masks = masks_of(os.environ, entry)
    problems: list[CiplugError] = []
    kept = Logged(files=logged.files)
    files = read_artifacts(job_of(entry), entry.folder, Inputs(), kept, problems).files if logged.files else ()
    amendment = Amendment(
        **{**facts, "context": Context(**facts["context"])},
        created=stamp(ended),
        name=logged.name and masks.text(logged.name, "the name"),
        tags=masks.mapping(logged.tags, "tag"),
        untag=logged.untagged,
        # What is earlier than the recorded point stays in the series, and is not the value of the metric.
        metrics=masks.names(not_earlier(logged.metrics, logged.last, known_points), "metric"),
        last=masks.names(logged.last, "metric"),
        # One that slipped in with another value is kept as it was logged: whoever reads it refuses it, and says so.
        params={
            name: value
            for name, value in masks.mapping(logged.params, "parameter").items()
            if not _is_known(params, name, value)
        },
        status=status,
        ended=_end_of(entry, logged, status, ended),
        lifecycle=logged.lifecycle,
        inputs=masks.inputs(logged.inputs),
        model_inputs=logged.model_inputs,
        outputs=logged.outputs,
        artifacts=files,
        ciplug=__version__,
    )
    objects = objects_of(amendment)
    for beside in ({"series": masks.names(logged.series, "metric")}, {"texts": logged.texts}):
        try:
            objects.update(objects_of(amendment, **beside))
        except RecordError as problem:
            problems.append(problem)
    sealed = entry.seal(str(entry.facts.get("store")), objects)
    return Resumed(amendment, sealed, tuple(problems), tuple(masked_notes(masks)))


def _own_status(logged: Logged) -> Status | None:
    """The status that a client gave a run; it was killed while the run went on if that is `running`."""
    if logged.status is None:
        return None
    return cast("Status", logged.status) if logged.status in get_args(Status) else "killed"


def _end_of(entry: RunWriter, logged: Logged, status: Status | None, ended: datetime) -> str | None:
    if logged.ended is not None:
        return stamp_of(logged.ended)
    return None if entry.by_client and status is None else stamp(ended)


def _is_known(params: Mapping[str, Any], name: str, value: Any) -> bool:
    return name in params and same_param(params[name], value)


def leave(session: Session, entry: RunWriter, status: Status, around: str | None) -> Sequence[Note]:
    """End a resumed run, unless another process has it open: seal its amendment and send it.

    Args:
        session: as it was when the run was resumed, whatever folder the program is in now.
        around: the id of the run of `ciplug run` around this program, which sends it when it ends.
    """
    if entry.release_unless_last():
        return ()
    if not entry.is_open:
        entry.release()
        return ()
    try:
        with entry.ending() as logged:
            resumed = seal(entry, logged, status, now())
    except StoreError as unkept:
        return [problem_note(unkept)]
    notes = [*lines_left_out(logged), *resumed.notes, *map(problem_note, resumed.problems)]
    if around:
        return notes
    try:
        send(session, resumed.sealed)
    except CiplugError as problem:
        return [*notes, problem_note(problem)]
    ended = "how it ended is unknown" if status == "unknown" else status
    where = "it waits for its parent" if resumed.sealed.waits else f"amended in {session.store_name}"
    return [*notes, Note(f"run {entry.id} ({resumed.amendment.model}) was resumed, and {ended}: {where}")]
