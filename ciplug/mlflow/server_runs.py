"""The record of a run that a client of a server has logged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ciplug import console
from ciplug.capture.writer import RunWriter
from ciplug.console import problem_note
from ciplug.errors import CiplugError
from ciplug.records.run import Status
from ciplug.steps.first_job import job_of
from ciplug.steps.inputs import Inputs
from ciplug.steps.read_artifacts import read_artifacts
from ciplug.steps.record import masks_of, objects_of, skeleton_of, stamp_of, tags_of
from ciplug.steps.session import now, stamp
from ciplug.steps.sign import signed

if TYPE_CHECKING:
    from ciplug.capture.logged import Logged


def seal_claimed(entry: RunWriter, status: Status) -> None:
    """Seal the record of a run that a client of a server has logged: nothing of its machine is known here."""
    problems: list[CiplugError] = []
    job = job_of(entry)
    with entry.ending() as logged:
        skeleton = skeleton_of(entry)
        run = replace(
            skeleton,
            status=status,
            name=logged.name or skeleton.name,
            ended=stamp(now()) if logged.ended is None else stamp_of(logged.ended),
            metrics=logged.metrics,
            last=logged.last,
            params=logged.params,
            inputs=logged.inputs,
            model_inputs=logged.model_inputs,
            outputs=logged.outputs,
            left_out=logged.left_out,
            artifacts=_kept(entry, logged, problems),
            tags=tags_of(skeleton, logged),
        )
        run = masks_of(job.env, entry).run(run)
        objects = objects_of(run, logged.series, problems, texts=logged.texts)
        trusted = run.provenance.context.trusted
        entry.seal(job.spooled_for, signed(job.env, objects, trusted=trusted, repository=job.repository))
    if problems:
        console.tell(list(map(problem_note, problems)))


def _kept(entry: RunWriter, logged: Logged, problems: list[CiplugError]) -> Any:
    from ciplug.capture.logged import Logged

    if not logged.files:
        return ()
    return read_artifacts(job_of(entry), entry.folder, Inputs(), Logged(files=logged.files), problems).files
