"""The renames of metrics that hold for a commit: of the policy in force, and of the pull request itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ciplug.comparison.renames import hindrance, renamed
from ciplug.records.notice import Kind, Notice
from ciplug.records.run import Run
from ciplug.steps.branches import commits_around, first_recorded
from ciplug.steps.policy_in_force import PolicyInForce, read_policies
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


@dataclass(frozen=True)
class Renames:
    names: Mapping[str, str] = field(default_factory=dict)
    """Old name → present name."""
    notices: tuple[Notice, ...] = ()
    """On the renames of a pull request, followed or not."""


def renames_for(
    session: Session, runs: Runs, commit: str | None, model: str, in_force: PolicyInForce | None
) -> Renames:
    """Return the renames for the runs of a model around a commit.

    A gate of the target branch follows a rename of the pull request where that cannot put another number under it.
    """
    if in_force is None:
        return Renames(read_policies(session).metrics(model).rename)
    if not in_force.proposed_renames:
        return Renames(in_force.metrics.rename)
    own = _names([run for run in runs.of_commits([commit]).get(commit or "", []) if run.model == model], runs, in_force)
    before = _names_before(session, runs, commit, model, in_force)
    followed, notices = {}, []
    for old, new in in_force.proposed_renames.items():
        if old in own | before and new in own:
            why = hindrance(old, new, candidate=own, before=before)
            notices.append(Notice(kind=Kind.RENAMED, metrics=(old, new), hindrance=why))
            if why is None:
                followed[old] = new
    names = {old: followed.get(new, new) for old, new in in_force.metrics.rename.items()}
    return Renames({**followed, **names}, tuple(notices))


def _names_before(
    session: Session, runs: Runs, commit: str | None, model: str, in_force: PolicyInForce
) -> frozenset[str]:
    """The names that the target branch knows: of the metrics of its runs, and of those that its gates look at."""
    past = commits_around(session, commit or session.need_head(), None)
    near = first_recorded(past.target_commits, runs.recorded_on(past.target_commits))
    recorded = [run for each in runs.of_commits(near).values() for run in each if run.model == model]
    return _names(recorded, runs, in_force) | in_force.policy.renamed(in_force.metrics.rename).gated


def _names(recorded: list[Run], runs: Runs, in_force: PolicyInForce) -> frozenset[str]:
    read = [renamed(runs.evidence(run).run, in_force.metrics.rename) for run in recorded]
    return frozenset(name for run in read for name in (*run.metrics, *(one.name for one in run.left_out)))
