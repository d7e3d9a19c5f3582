"""Models that the target branch's policy gates, and that a pull request has no run of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.records.notice import Notice
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


def unrun_models(session: Session, runs: Runs, commit: str | None) -> tuple[Notice, ...]:
    """A notice on each such model. A run that was withdrawn or deleted is none. Empty outside of a pull request."""
    policies = read_policies(session)
    if policies.base is None or commit is None:
        return ()
    recorded = runs.of_commits([commit]).get(commit, [])
    return policies.unrun({run.model for run in recorded if runs.changes(run).counts})
