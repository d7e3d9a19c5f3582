"""`export:` of ciplug.yaml: after a green job, its runs are in a system beside this store, too.

What goes wrong here is said, and fails nothing: the run is in the store, and can be sent again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from ciplug.console import Note, warning
from ciplug.errors import CiplugError
from ciplug.interop.export_systems import SYSTEMS, Request, export_runs
from ciplug.interop.export_trust import FORK, TRUSTED, RunTrust
from ciplug.records.run import Run
from ciplug.reports.untrusted import clean
from ciplug.steps.session import Session

_JOB_TAG = "gitlab.CI_JOB_ID"
"""The tag by which GitLab links a run to the job that trained it. GitLab refuses a job that it does not know."""
_SECONDS = 900.0
"""The time that a job has for this, so that a slow server does not bring it to its timeout."""


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
    until = time.monotonic() + _SECONDS
    for run in runs:
        # Whatever goes wrong in a system beside the store, the job has done its work.
        try:
            _export(session, Request(system, seconds=until - time.monotonic()), run, tags, trained_here=trained_here)
        except CiplugError as problem:
            _tell_lost(session, system, run, f"{problem.message}; {problem.hint}" if problem.hint else problem.message)
        except Exception as problem:
            _tell_lost(session, system, run, clean(f"{type(problem).__name__}: {problem}", 300))


def _export(session: Session, request: Request, run: Run, tags: Mapping[str, str], *, trained_here: bool) -> None:
    trust = RunTrust(session, lambda id_: None).of(run)
    if trust == FORK or (trust != TRUSTED and not trained_here):
        whose = "it is of a fork" if trust == FORK else "no signer of the policy has signed it"
        session.tell(Note(f"run {run.id[:12]} is not sent to {SYSTEMS[request.system].title}: {whose}"))
        return
    done = export_runs(session, request, [run.id], lambda count: None, tags)
    if done.failed:
        _tell_lost(session, request.system, run, done.failed[0])
    elif done.new:
        session.tell(Note(f"run {run.id[:12]} is in {SYSTEMS[request.system].title}, too"))


def _tell_lost(session: Session, system: str, run: Run, why: str) -> None:
    title = SYSTEMS[system].title
    session.tell(
        warning(
            f"run {run.id[:12]} is recorded, and is not in {title}: {why}",
            f"send it again: ciplug export {system} --run {run.id}",
        )
    )
