"""Models that the target branch's policy gates, and that a pull request has no run of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.comparison.run_that_counts import is_of_pipeline
from ciplug.records.notice import Notice
from ciplug.records.run import Run
from ciplug.steps.branches import commits_around, first_recorded
from ciplug.steps.policy_in_force import PolicyInForce, read_policies
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


def unrun_models(session: Session, runs: Runs, commit: str | None) -> tuple[Notice, ...]:
    """A notice on each such model. A run that was withdrawn or deleted is none. Empty outside of a pull request.

    Gates for every model, whatever its name, are for those that the newest recorded commit of the target branch has.
    """
    policies = read_policies(session)
    if policies.base is None or commit is None:
        return ()
    recorded = {run.model for run in _counted(runs, commit)}
    if policies.base.names_models:
        return policies.unrun(policies.base.named_sections, recorded)
    on_target = next(filter(None, (_trained(runs, one) for one in _target_commits(session, runs, commit))), {})
    return policies.unrun(dict.fromkeys(on_target, policies.base), recorded)


def unrun_beside(
    session: Session, runs: Runs, commit: str | None, model: str, in_force: PolicyInForce
) -> tuple[Notice, ...]:
    """The same, where it bears on the verdict of a model: its name is new to the target branch."""
    base = read_policies(session).base
    if base is None or commit is None:
        return ()
    if in_force.no_base_policy is None:
        if base.names_models:
            return ()
        commits = _target_commits(session, runs, commit)
        if any(run.model == model for one in commits for run in _counted(runs, one)):
            return ()
    return unrun_models(session, runs, commit)


def _target_commits(session: Session, runs: Runs, commit: str) -> list[str]:
    """The last recorded commits of the target branch, without the one that is judged: those that comparisons read."""
    commits = [one for one in commits_around(session, commit, None).target_commits if one != commit]
    return first_recorded(commits, runs.recorded_on(commits))


def _trained(runs: Runs, commit: str) -> dict[str, None]:
    """The models of a commit's runs: of those of pipelines, or of all where there are none."""
    counted = _counted(runs, commit)
    of_pipelines = [run for run in counted if is_of_pipeline(run.provenance.context.host)]
    return dict.fromkeys(sorted(run.model for run in of_pipelines or counted if run.provenance.context.trusted))


def _counted(runs: Runs, commit: str) -> list[Run]:
    return [run for run in runs.of_commits([commit]).get(commit, []) if runs.changes(run).counts]
