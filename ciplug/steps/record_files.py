"""Record the files that a training has left."""

from __future__ import annotations

from dataclasses import replace

from ciplug.console import warning
from ciplug.errors import FileNotKept, UsageError
from ciplug.records.notice import Kind, Notice
from ciplug.steps.dirty_files import tell_dirt
from ciplug.steps.inputs import Inputs
from ciplug.steps.outputs import older_outputs
from ciplug.steps.record import Recorded, begin, finish, skeleton_of
from ciplug.steps.session import Session


def record_files(session: Session, inputs: Inputs) -> Recorded:
    """Record what a training has left, without running anything.

    Raises UsageError when no file is named, and the error of a file that cannot be taken: nothing is recorded then.
    """
    if not (inputs.metrics or inputs.params or inputs.artifacts or inputs.addresses):
        raise UsageError("there is nothing to record", hint="name a file: --metrics metrics.json, or in ciplug.yaml")
    inputs = replace(inputs, older=tuple(older_outputs(session, inputs)))
    entry = begin(session, inputs)
    tell_dirt(session, skeleton_of(entry).provenance)
    if inputs.older:
        notice = Notice(kind=Kind.OLDER, run=entry.id, files=inputs.older)
        session.tell(warning(notice.clause, notice.remedy))
    recorded = finish(session, entry, inputs, status="finished")
    if wrong := [problem for problem in recorded.problems if not isinstance(problem, FileNotKept)]:
        recorded.sealed.discard()
        raise wrong[0]
    return recorded
