"""Runs whose processes have ended without ending them, as when they were killed.

They are recorded as killed, with all that they had logged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ciplug.console import Note, problem_note
from ciplug.records.keys import RunKey, is_described
from ciplug.steps.record import Recorded
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.steps.resume import Resumed


class Recovered(NamedTuple):
    """What is sealed now, since its processes were killed."""

    runs: list[Recorded]
    resumed: list[Resumed]


def recover(session: Session) -> Recovered:
    """Seal the runs that no process has open any more."""
    recovered = Recovered([], [])
    for entry in session.spool.abandoned():
        from ciplug.steps.killed_runs import seal_killed

        sealed = seal_killed(session, entry)
        if isinstance(sealed, Recorded):
            recovered.runs.append(sealed)
        elif sealed is not None:
            recovered.resumed.append(sealed)
    return recovered


def recovery_notes(recovered: Recovered) -> Iterator[Note]:
    """Yield what a person should know of recovered runs."""
    for recorded in recovered.runs:
        run = recorded.run
        yield Note(
            f"recovered run {run.id} ({run.model}): its process was killed, or left it by os._exit or exec; "
            "it is recorded as killed, with what it had logged"
        )
        yield from recorded.notes
    for resumed in recovered.resumed:
        run_id, model = resumed.amendment.run, resumed.amendment.model
        if is_described(RunKey(None, run_id)):
            continue  # An experiment or a logged model of MLflow: it has no process, and nothing is missing.
        yield Note(f"run {run_id} ({model}) was resumed, and its process killed: what it logged is sent as killed")
        yield from resumed.notes
    problems = [one.problems for one in recovered.runs] + [one.problems for one in recovered.resumed]
    for problem in itertools.chain(*problems):
        yield problem_note(problem)
