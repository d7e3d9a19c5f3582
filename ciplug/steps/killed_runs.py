"""The record of a run whose process was killed: what it had logged, and the files that are still its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ciplug.capture import log
from ciplug.capture.artifacts import is_address
from ciplug.capture.content import name_of
from ciplug.capture.logged import Logged
from ciplug.capture.writer import ENDING, OPEN, RunWriter
from ciplug.capture.written_files import SECOND, files_of, newer_than, older_than
from ciplug.console import Note, warning
from ciplug.errors import CiplugError
from ciplug.records.left_out import LeftOut
from ciplug.records.run import Run
from ciplug.steps import mlflow_runs
from ciplug.steps.first_job import job_of
from ciplug.steps.inputs import Inputs
from ciplug.steps.logged_artifacts import since_of
from ciplug.steps.read_artifacts import read_artifacts
from ciplug.steps.record import Recorded, masked_notes, masks_of, objects_of, seed_of, skeleton_of, stamp_of, tags_of
from ciplug.steps.resume import Resumed, seal
from ciplug.steps.session import Session, stamp

_AGAIN = "train again: ciplug run -- COMMAND"
NAME_MOST = 200
"""Characters of the name of a file that a record keeps."""


def seal_killed(session: Session, entry: RunWriter) -> Recorded | Resumed | None:
    """Seal a run that no process has open any more; None where nothing can be recorded of it."""
    try:
        if entry.amends is not None:
            return _resumed(entry, log.read(entry.folder))
        notes = mlflow_runs.recover(entry)
        logged = log.read(entry.folder)
        problems: list[CiplugError] = []
        ours, lost = _ours(entry, logged)
        artifacts = read_artifacts(job_of(entry), entry.folder, Inputs(), ours, problems)
        run = _killed(entry, logged)
        run = replace(run, artifacts=artifacts.files, left_out=(*run.left_out, *lost, *artifacts.lost))
        notes = [*notes, *(warning(one.clause, one.advice) for one in lost)]
    except (TypeError, ValueError, KeyError, AttributeError):
        _leave(session, entry, log.read(entry.folder))
        return None
    masks = masks_of(session.env, entry)
    run = masks.run(run)
    objects = objects_of(run, logged.series, problems, texts=logged.texts)
    sealed = entry.seal(str(entry.facts.get("store")), objects)
    return Recorded(run, sealed, tuple(problems), (*notes, *masked_notes(masks)))


def _resumed(entry: RunWriter, logged: Logged) -> Resumed | None:
    """Seal a resumed run as killed; None, and nothing is kept, where it had logged nothing: then nothing happened."""
    if logged == Logged():
        entry.release()
        shutil.rmtree(entry.folder, ignore_errors=True)
        return None
    return seal(entry, logged, "killed", _last_sign_of_life(entry.folder))


def _killed(entry: RunWriter, logged: Logged) -> Run:
    skeleton = skeleton_of(entry)
    return replace(
        skeleton,
        model=logged.model or skeleton.model,
        name=logged.name or skeleton.name,
        started=skeleton.started if logged.started is None else stamp_of(logged.started),
        ended=stamp(_last_sign_of_life(entry.folder)),
        metrics=logged.metrics,
        left_out=logged.left_out,
        last=logged.last,
        params=logged.params,
        inputs=logged.inputs,
        model_inputs=logged.model_inputs,
        outputs=logged.outputs,
        tags=tags_of(skeleton, logged),
        provenance=replace(skeleton.provenance, seed=seed_of(entry, logged, logged.params)),
    )


def _ours(entry: RunWriter, logged: Logged) -> tuple[Logged, list[LeftOut]]:
    """Return what was logged, with the artifacts that are still the run's own; and the others.

    A file in the folder of the run is. One elsewhere is, if it was written after the run began and not after its last
    sign of life: a later write may be another run's.
    """
    inside, top = entry.folder.absolute(), job_of(entry).top
    until = _last_sign_of_life(entry.folder).timestamp()
    kept, lost = [], []
    for text in logged.artifacts:
        path = Path(text)
        if is_address(text) or path.is_relative_to(inside):
            kept.append(text)
        elif why := _not_ours(path, since_of(entry), int(until * SECOND)):
            name = (logged.named.get(text) or name_of(path, top))[:NAME_MOST]
            lost.append(LeftOut(name=name, why="output", found=f"not recorded: {why}", advice=_AGAIN))
        else:
            kept.append(text)
    named = {text: name for text, name in logged.named.items() if text in kept}
    return replace(logged, artifacts=tuple(kept), named=named), lost


def _not_ours(path: Path, since: int | None, until: int) -> str | None:
    if not files_of(path):
        return "it is not there any more"
    if since is None or older_than(path, since):
        return "the program did not write it before it ended"
    if newer_than(path, until):
        return "it was written after the program had ended"
    return None


def _leave(session: Session, entry: RunWriter, logged: Logged) -> None:
    entry.release()
    if logged == Logged():
        # Killed before it had begun: there is nothing to record.
        shutil.rmtree(entry.folder, ignore_errors=True)
        return
    session.tell(
        Note(
            f"{entry.folder} holds a killed run that another version of ciplug has begun",
            "recover it with that version; or move the folder away: what was logged is in its log.ndjson",
            is_urgent=True,
        )
    )


def _last_sign_of_life(folder: Path) -> datetime:
    times = [path.stat().st_mtime for name in (OPEN, ENDING, log.FILE) if (path := folder / name).exists()]
    return datetime.fromtimestamp(max(times)).astimezone()
