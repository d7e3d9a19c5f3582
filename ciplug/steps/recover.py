"""Runs whose processes were killed: they are recorded as killed, with all that they had logged."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ciplug import console
from ciplug.capture import log
from ciplug.capture.logged import Logged
from ciplug.capture.writer import ENDING, OPEN, RunWriter
from ciplug.console import Note
from ciplug.errors import CiplugError
from ciplug.records.run import Run
from ciplug.steps.record import Recorded, objects_of, seed_of, skeleton_of, stamp_of
from ciplug.steps.session import Session, stamp


def recover(session: Session) -> list[Recorded]:
    """Seal the runs that no process has open any more."""
    return [recorded for entry in session.spool.abandoned() if (recorded := _recovered(entry))]


def told(recovered: Iterable[Recorded]) -> Iterator[Note]:
    """What a person should know of recovered runs."""
    for one in recovered:
        run = one.run
        yield Note(f"recovered run {run.id} ({run.model}): its process was killed; it is sent as killed")
        yield from (Note(problem.message, problem.hint, is_warning=True) for problem in one.problems)


def _recovered(entry: RunWriter) -> Recorded | None:
    logged = log.read(entry.folder)
    try:
        run = _killed(entry, logged)
    except (TypeError, ValueError, AttributeError):
        _leave(entry, logged)
        return None
    problems: list[CiplugError] = []
    objects = objects_of(run, logged.series, problems)
    return Recorded(run, entry.seal(str(entry.facts.get("store")), objects), tuple(problems))


def _killed(entry: RunWriter, logged: Logged) -> Run:
    skeleton = skeleton_of(entry)
    return replace(
        skeleton,
        model=logged.model or skeleton.model,
        name=logged.name or skeleton.name,
        started=skeleton.started if logged.started is None else stamp_of(logged.started),
        ended=_last_sign_of_life(entry.folder),
        metrics=logged.metrics,
        params=logged.params,
        tags={**skeleton.tags, **logged.tags},
        provenance=replace(skeleton.provenance, seed=seed_of(entry, logged, logged.params)),
    )


def _leave(entry: RunWriter, logged: Logged) -> None:
    entry.release()
    if logged == Logged():
        # Killed before it had begun: there is nothing to record.
        shutil.rmtree(entry.folder, ignore_errors=True)
        return
    console.complain(
        f"{entry.folder} holds a killed run that another version of ciplug has begun",
        "recover it with that version; or move the folder away: what was logged is in its log.ndjson",
    )


def _last_sign_of_life(folder: Path) -> str:
    times = [path.stat().st_mtime for name in (OPEN, ENDING, log.FILE) if (path := folder / name).exists()]
    return stamp(datetime.fromtimestamp(max(times)).astimezone())
