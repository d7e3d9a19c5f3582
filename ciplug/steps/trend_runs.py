"""The runs of the branch since the point that a trend is counted from."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ciplug.comparison import nearest_run
from ciplug.config.gate import Baseline
from ciplug.records.comparison import Side
from ciplug.records.notice import Kind, Notice
from ciplug.steps.candidate import same_evaluation
from ciplug.steps.session import now

if TYPE_CHECKING:
    from ciplug.config.policy import Policy
    from ciplug.gates.evidence import Trail
    from ciplug.records.run import Run
    from ciplug.steps.baselines import BaselineFinder


def trails(finder: BaselineFinder, policy: Policy, evaluation: Iterable[str]) -> dict[str, Trail]:
    """Gate with a trend → its runs, one a commit, of those that were measured on the same data as the candidate.

    Args:
        evaluation: the paths of the datasets that metrics are measured on.
    """
    gates = {name: policy.resolved(name) for name, gate in policy.gates.items() if gate.trend}
    paths = tuple(evaluation)
    trail = finder.trail(policy.baseline.branch) if gates else []
    alike = [run for run in trail if same_evaluation(finder.candidates, run, paths)]
    return {
        name: _trail(finder, [run for run in alike if gate.metric in run.metrics], gate.metric, gate.trend.since)
        for name, gate in gates.items()
        if gate.trend
    }


def _trail(finder: BaselineFinder, runs: list[Run], metric: str, since: str | int) -> Trail:
    """`runs`: those of the branch that have the metric, the newest first."""
    from ciplug.gates.evidence import Trail

    if isinstance(since, int):
        start, after = _counted(finder, runs[:since], metric)
    else:
        start = finder.baseline(Baseline(ref="production" if since == "last-promotion" else since))
        newer = itertools.takewhile(lambda run: run.commit != start.commit, runs)
        # The point may be on no commit of the branch: then the time of its run tells what came later.
        after = [run for run in newer if start.recorded is None or run.started > start.recorded]
    after = after[::-1]
    return Trail(
        start=start,
        commits=tuple(run.commit or "" for run in after),
        values=tuple(run.metrics[metric] for run in after),
    )


def _counted(finder: BaselineFinder, runs: list[Run], metric: str) -> tuple[Side, list[Run]]:
    """The oldest of these runs, and the others."""
    if not runs:
        kind = Kind.NO_RUN_ON_BRANCH
        problem = Notice(kind=kind, of="baseline", model=finder.run.model, metrics=(metric,), name="the branch")
        return Side.absent("baseline", "branch", problem), []
    label = f"{len(runs)} runs ago"
    return nearest_run.side("baseline", label, label, runs[-1], now()), runs[:-1]
