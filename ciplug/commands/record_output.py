"""What `run`, `ci` and `record` say of the run that they record."""

from __future__ import annotations

from ciplug import console
from ciplug.ci.job_commit import doubt, explain
from ciplug.errors import counted
from ciplug.records.bundle import FILES
from ciplug.steps.deliver import Delivered, RunLocation
from ciplug.steps.recover import recover, recovery_notes
from ciplug.steps.session import Session
from ciplug.steps.trust import MUST_NOT_WRITE


def tell_recovered(session: Session) -> None:
    """Seal the runs that no process has open any more, and say so."""
    console.tell(recovery_notes(recover(session)))


def tell_recorded(session: Session, delivered: Delivered) -> None:
    """Say what was recorded and where it is, and what went wrong."""
    recorded = delivered.recorded
    console.tell(recorded.notes)
    for problem in recorded.problems:
        console.complain(problem.message, problem.hint)
    if delivered.incomplete_children:
        children = counted(delivered.incomplete_children, "child run")
        console.complain(f"files that nobody wrote are left out of {children}: the lines above name them")
    _tell_identity(session)
    if refusal := delivered.refusal:
        console.complain(refusal.message, refusal.hint)
    else:
        _tell_limits(session, delivered)
        if delivered.location is RunLocation.STORE and session.store_uri.startswith("file:"):
            for note in session.store.notes:
                console.say(note)
    _summarize(session, delivered)


def _tell_identity(session: Session) -> None:
    """Say which commit the run is of, where the CI host names another."""
    identity = session.identity
    if identity is None or not identity.elsewhere:
        return
    console.say(f"the run is of commit {(session.head or '')[:8]}, {explain(identity)}")
    if why := doubt(identity):
        console.say(f"this job counts as a fork's: {why}")


def _tell_limits(session: Session, delivered: Delivered) -> None:
    """Say what still has to be done, or is not kept."""
    if delivered.location is RunLocation.BUNDLE:
        if delivered.bundle and delivered.keeps_files:
            console.say(f"the files of its artifacts are in {delivered.bundle.parent / FILES}: hand over both")
        elif delivered.names_files:
            console.say(f"{delivered.bundle} has only the digests of the artifacts, not their content")
        if not session.context.trusted:
            console.say(f"{MUST_NOT_WRITE}: the run is in {delivered.bundle}; see `ciplug collect`")
    elif delivered.location is RunLocation.SPOOL:
        console.say(f"{MUST_NOT_WRITE}: the run is kept in {delivered.recorded.sealed.folder}, and not sent")
        console.say(f"hand it over to a job that may: {session.send_command} --bundle FILE")
    elif delivered.location is RunLocation.ARCHIVE:
        folder = session.to_archive
        console.say(f"{session.store_name} holds what builds archive: have the pipeline archive {folder}")
        if delivered.names_files:
            console.say("a bundle has only the digests of artifacts, not their content")


def _summarize(session: Session, delivered: Delivered) -> None:
    run = delivered.recorded.run
    commit = f" of commit {run.commit[:8]}" if run.commit else ""
    if session.workspace and not run.commit:
        console.complain("warning: this run belongs to no commit, so nothing can be compared with it: commit first")
    if not run.metrics and run.status == "finished" and not delivered.recorded.problems:
        hint = "name the file that the training writes with --metrics, or as 'metrics:' in ciplug.yaml"
        if delivered.children:
            hint = "log the metrics to the run itself, not only to its child runs"
        console.complain("warning: this run has no metric, so nothing of it can be compared", hint)
    facts = [
        counted(len(run.metrics), "metric"),
        *([counted(delivered.children, "child run")] if delivered.children else []),
        _place(session, delivered),
    ]
    console.say(f"run {run.id} ({run.model}, {run.status}){commit}: {', '.join(facts)}")


def _place(session: Session, delivered: Delivered) -> str:
    if delivered.location is RunLocation.SPOOL:
        return "spooled"
    if delivered.location is RunLocation.BUNDLE:
        return f"handed over in {delivered.bundle}"
    if delivered.location is RunLocation.ARCHIVE:
        return f"written into {session.to_archive}"
    return f"recorded in {session.store_name}"
