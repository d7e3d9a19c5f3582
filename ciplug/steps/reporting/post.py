"""The sticky comment, the commit status and the job summary, kept current while other jobs do the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug import ci
from ciplug.console import Note
from ciplug.errors import CiplugError, ForgeError
from ciplug.reports import comment
from ciplug.steps import workflow_run
from ciplug.steps.job_forge import forge_of
from ciplug.steps.reporting.publish import PublishedReport, publish
from ciplug.steps.reporting.snapshot import Snapshot
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.ci.github_actions import TriggeringRun
    from ciplug.forges.base import Forge, OpenPullRequest


@dataclass(frozen=True)
class Posting:
    """Options for posting a report."""

    label: bool = False
    """Keep a label of the outcome on the pull request, too."""
    on_request: bool = False
    """Whether a user asked for the post: then a message says why nothing is posted, also on a laptop."""
    follows: TriggeringRun | None = None
    """The run of another workflow that the report is about."""
    foreign: bool = False
    """The report is about a commit that is not this job's, of whatever branch."""


@dataclass(frozen=True)
class Posted:
    """The result of posting."""

    url: str | None = None
    """The address of the comment."""
    failure: CiplugError | None = None


@dataclass(frozen=True)
class _Target:
    """The pull request that gets the comment."""

    number: int | None
    """None: the commit is in no open pull request, or `failure` has the reason why that is unclear."""
    pull_request: OpenPullRequest | None = None
    """The same, where it was looked for by its commit."""
    failure: ForgeError | None = None


def post(session: Session, snapshot: Snapshot, again: Callable[[Session], Snapshot], how: Posting) -> Posted:
    """Post the comment and the status, and write the job summary.

    Jobs that race all end with everybody's runs: each reads the store once more after it has posted, and posts what
    `again` then returns if a run has come since. So whoever posts last has seen them all. A job of the branch reads
    again as of the branch's open pull request: it compares, and is judged by, what the pull request's own job is.

    Where nothing can be posted, a message says why. A missing permission is one clear line; the summary is written all
    the same.
    """
    from ciplug.forges import NoForge

    write_summary(session, snapshot)
    context = session.context
    forge = forge_of(session)
    if isinstance(forge, NoForge):
        expected = context.host == "local" and not how.on_request
        session.tell(Note(f"no comment: {forge.reason}", is_detail=expected))
        return Posted()
    try:
        target = _target(session, forge, how)
        if isinstance(target, workflow_run.NoPullRequest):
            session.tell(Note(f"no comment and no commit status: {target.reason}"))
            return Posted()
        if target.pull_request:
            session = _as_of(session, target.pull_request)
            session.tell(
                Note(
                    f"the comment treats this commit as part of pull request #{target.number}, "
                    f"and uses the gates of {target.pull_request.base}"
                )
            )
            snapshot = again(session)
    except CiplugError as problem:
        session.tell(_failed("no comment and no commit status", problem))
        return Posted(failure=problem)
    if target.number is None and target.failure is None:
        session.tell(Note("no comment: this commit has no open pull request"))
    while True:
        why = _no_status(session, snapshot)
        published = publish(context, forge, target.number, snapshot.report, label=how.label, status=why is None)
        newer = _newer(session, snapshot, again)
        if newer is None:
            break
        snapshot = newer
    if target.failure:
        published = replace(published, comment=target.failure)
    if why:
        session.tell(Note(f"no commit status: {why}"))
    session.tell(*_results(published, target.number, context.commit))
    return Posted(published.url, published.failure)


def write_summary(session: Session, snapshot: Snapshot) -> None:
    """Show the report on the page of the job, where its host has such a place."""
    if ci.host_module(session.context.host).write_summary(session.env, lambda: comment.render(snapshot.report)):
        session.tell(Note("job summary written", is_detail=True))


def _target(session: Session, forge: Forge, how: Posting) -> _Target | workflow_run.NoPullRequest:
    """The pull request to comment on, or why there is neither a comment nor a status. Raises ForgeError."""
    from ciplug.forges.github import GitHub

    number = session.context.pull_request
    if how.follows and isinstance(forge, GitHub):
        followed = workflow_run.pull_request(session, how.follows, forge)
        if isinstance(followed, workflow_run.NoPullRequest):
            return followed
        number = followed
    return _Target(number) if number is not None else _of_branch(session, forge, foreign=how.foreign)


def _no_status(session: Session, snapshot: Snapshot) -> str | None:
    """Why runs of forks alone may not set the status of the commit: it is a branch of this repository, too.

    A status belongs to a commit. Whoever opens a pull request from a commit of somebody else's must not decide on that.
    """
    commit = session.context.commit
    if not commit or any(section.run.provenance.context.trusted for section in snapshot.report.sections):
        return None
    if session.workspace is None or not session.workspace.remotes:
        return None
    from ciplug.git.remote import list_refs

    listing = list_refs(session.workspace, session.env, "refs/heads/*")
    if listing.failure:
        return "the branches of this repository cannot be listed, and only forks have recorded a run of this commit"
    for line in listing.text.splitlines():
        tip, _, ref = line.partition("\t")
        if tip == commit:
            branch = ref.removeprefix("refs/heads/")
            return f"the commit is the tip of the branch '{branch}', and only forks have recorded a run of it"
    return None


def _of_branch(session: Session, forge: Forge, *, foreign: bool) -> _Target:
    """Find the open pull request of a push job's commit."""
    context = session.context
    of_branch = not context.tag and context.branch != context.default_branch
    if not context.commit or not (foreign or of_branch):
        return _Target(None)
    try:
        branch = None if foreign else context.branch
        pull_request = forge.find_pull_request(context.commit, branch, into=context.default_branch)
    except ForgeError as failure:
        return _Target(None, failure=failure)
    return _Target(pull_request.number if pull_request else None, pull_request)


def _as_of(session: Session, pull: OpenPullRequest) -> Session:
    return replace(session, context=replace(session.context, pull_request=pull.number, target_branch=pull.base))


def _newer(session: Session, snapshot: Snapshot, again: Callable[[Session], Snapshot]) -> Snapshot | None:
    """Return the new snapshot if a run was recorded since; else None."""
    # A session that has read nothing yet.
    later = replace(session)
    try:
        return None if snapshot.is_current(later) else again(later)
    except CiplugError as problem:
        session.tell(_failed("what was recorded meanwhile is not shown", problem))
        return None


def _results(published: PublishedReport, number: int | None, commit: str | None) -> Iterator[Note]:
    """Yield what was posted, and what could not be."""
    if published.moved_to:
        moved = f"pull request #{number} has moved on to {published.moved_to[:8]}"
        yield Note(f"no comment: {moved}, and this is {(commit or '')[:8]}")
    if published.url:
        yield Note(f"comment: {published.url}")
    failures = {
        "no comment": published.comment,
        "no label": published.label,
        "no commit status": published.status,
    }
    yield from (_failed(what, failure) for what, failure in failures.items() if failure)


def _failed(what: str, failure: CiplugError) -> Note:
    return Note(f"{what}: {failure.message}", failure.hint, is_urgent=True)
