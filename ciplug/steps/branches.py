"""The commits around a run toward a branch, and the runs that are recorded on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ciplug.git import history
from ciplug.records.keys import EVERY_LOG
from ciplug.records.run import Run
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.git.workspace import Workspace
    from ciplug.tracking.runs import Runs

RECORDED_MOST = 50
"""Recorded commits of a branch that are read."""
EVENTS_MOST = 200
"""Registry events, of all models together, that are read before it is clear which are needed."""


@dataclass(frozen=True)
class BranchRuns:
    """The history of a candidate toward one branch, and the runs on it."""

    past: history.History
    by_commit: Mapping[str, Sequence[Run]]
    """Runs of the candidate's model, with the facts that gates name among their metrics."""


def first_recorded(commits: Iterable[str], recorded: Mapping[str, object]) -> list[str]:
    """Return the first of these commits that have a run, at most RECORDED_MOST."""
    return [commit for commit in commits if commit in recorded][:RECORDED_MOST]


def commits_around(session: Session, commit: str, branch: str | None) -> history.History:
    """The commits around this one, with those of a branch; None: the pull request's target, else the default branch.

    Asked once in the life of a session.
    """
    return session.remember(("commits_around", commit, branch), lambda: _commits_around(session, commit, branch))


def _commits_around(session: Session, commit: str, branch: str | None) -> history.History:
    workspace = session.need_workspace()
    target = branch or target_branch(session, workspace)
    return history.history_of(workspace, commit, target, session.env, session.tips_seen.get(target or ""))


def target_branch(session: Session, workspace: Workspace) -> str | None:
    """Return the branch to compare with: the pull request's target, else the default branch; None if not known."""
    context = session.context
    return context.target_branch or context.default_branch or history.default_branch(workspace, session.env)


def read_ahead(session: Session, runs: Runs, commit: str) -> None:
    """Have the store fetch in one request what a comparison is going to read."""
    past = commits_around(session, commit, next(iter(read_policies(session).baseline_branches), None))
    recorded = runs.recorded_on([commit, *past.same_files, *past.ancestors, *past.target_commits])
    near = {
        commit,
        *past.same_files,
        *first_recorded(past.ancestors, recorded),
        *first_recorded(past.target_commits, recorded),
    }
    of_near = [key for each in near for key in recorded.get(each, ())]
    policies = read_policies(session)
    signed = runs.signatures_of(of_near) if (policies.base or policies.own).signers else []
    keys = [*runs.objects_of(of_near), *signed]
    events = session.store.keys(*(f"{log}/" for log in session.log.logs(EVERY_LOG)))
    # Of many models with many events, few are needed.
    session.store.read([*keys, *(events if len(events) <= EVENTS_MOST else ())])
