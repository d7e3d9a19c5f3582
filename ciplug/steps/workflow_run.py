"""The run that a `workflow_run` job follows, usually a fork's, and the pull request of that run.

Nothing is read from files of that run: the commit and the repository are in GitHub's event, and GitHub's API names the
pull request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug.ci import github_actions
from ciplug.ci.github_actions import TriggeringRun
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.forges.base import OpenPullRequest
    from ciplug.forges.github import GitHub


def about(session: Session, follows: TriggeringRun) -> Session:
    """The session for the commit of the run before.

    On GitHub that commit counts as proposed for the default branch, whose checkout this is and whose gates judge it.
    """
    context = session.context
    owner = (follows.head_repository or "").partition("/")[0]
    branch = f"{owner}:{follows.head_branch}" if owner and follows.head_branch else None
    if context.host == github_actions.name:
        branch = context.default_branch
    return replace(session, context=replace(context, commit=follows.head_commit, branch=branch))


@dataclass(frozen=True)
class NoPullRequest:
    """A commit gets neither a comment nor a status, and why."""

    reason: str


def pull_request(session: Session, follows: TriggeringRun, forge: GitHub) -> int | NoPullRequest | None:
    """The number of the pull request to comment on; None for a commit of this repository in no open pull request.

    Raises ForgeError.
    """
    repository = follows.head_repository
    if not repository or not follows.head_branch:
        return NoPullRequest("the repository that the run was of is gone")
    own = repository.lower() == (session.context.repository or "").lower()
    proposed = forge.pull_requests_from(repository, follows.head_branch)
    if own and follows.head_commit not in [p.head for p in proposed]:
        return None
    return choose(proposed, f"{repository}:{follows.head_branch}", follows.head_commit, session.context.default_branch)


def choose(proposed: Sequence[OpenPullRequest], head: str, commit: str, default: str | None) -> int | NoPullRequest:
    """The one of these open pull requests that a run of `commit` speaks for."""
    if not proposed:
        return NoPullRequest(f"no pull request from {head} is open")
    current = [p for p in proposed if p.head == commit]
    if not current:
        last = max(proposed, key=lambda p: p.number)
        return NoPullRequest(f"pull request #{last.number} has moved on to {last.head[:8]}, and this is {commit[:8]}")
    numbers = [p.number for p in current if p.base == default]
    if not numbers:
        number, into = current[0].number, current[0].base
        return NoPullRequest(f"pull request #{number} goes into {into}, and the gates here are those of {default}")
    return max(numbers)
