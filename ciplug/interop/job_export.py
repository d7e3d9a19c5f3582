"""`export:` of ciplug.yaml: after a green job, its runs are in a system beside this store, too.

What goes wrong here is said, and fails nothing: the run is in the store, and can be sent again.
"""

from __future__ import annotations

from collections.abc import Sequence

from ciplug.console import Note, warning
from ciplug.errors import CiplugError
from ciplug.interop.export_systems import SYSTEMS, export_runs
from ciplug.records.run import Run
from ciplug.steps.session import Session

_JOB_TAG = "gitlab.CI_JOB_ID"
"""The tag by which GitLab links a run to the job that trained it. GitLab refuses a job that it does not know."""


def export_from_job(session: Session, runs: Sequence[Run], *, trained_here: bool) -> None:
    """Send the runs of a green job to the system that ciplug.yaml names; nothing on a laptop, or of a fork.

    Args:
        trained_here: whether this very job has trained them.
    """
    system = session.config.export
    if system is None or session.context.host == "local" or not session.context.trusted:
        return
    job = session.env.get("CI_JOB_ID") if session.context.host == "gitlab_ci" and trained_here else None
    tags = {_JOB_TAG: job} if job else {}
    title = SYSTEMS[system].title
    for run in runs:
        if not run.provenance.context.trusted:
            continue
        try:
            done = export_runs(session, system, None, [run.id], lambda count: None, tags)
        except (CiplugError, OSError) as problem:
            why, hint = (problem.message, problem.hint) if isinstance(problem, CiplugError) else (str(problem), None)
            _tell_lost(session, system, run, f"{why}; {hint}" if hint else why)
            continue
        if done.failed:
            _tell_lost(session, system, run, done.failed[0])
        elif done.new:
            session.tell(Note(f"run {run.id[:12]} is in {title}, too"))


def _tell_lost(session: Session, system: str, run: Run, why: str) -> None:
    title = SYSTEMS[system].title
    session.tell(
        warning(
            f"run {run.id[:12]} is recorded, and is not in {title}: {why}",
            f"send it again: ciplug export {system} --run {run.id}",
        )
    )
