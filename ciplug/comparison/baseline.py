"""Choose the run to compare with: the merge base's, else the nearest recorded ancestor's, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime

from ciplug.errors import counted
from ciplug.records import moment
from ciplug.records.comparison import Role, Side
from ciplug.records.notice import Kind, Notice
from ciplug.records.run import Run


def latest(runs: Sequence[Run], candidate: Run, gated: AbstractSet[str] = frozenset()) -> Run | None:
    """Return the run that represents a commit: of the finished runs, the one that can be compared best.

    That is the run with the most of the metrics that gates look at, then with the most of the candidate's, and of
    several such the last; a run with none of them stands for nothing. So no emptier later run hides the numbers of
    a good one. A child run stands for a commit only where all runs are children. Start times order only the runs of one
    commit.
    """

    def shared(run: Run) -> tuple[int, int]:
        return len(run.metrics.keys() & gated), len(run.metrics.keys() & candidate.metrics.keys())

    known = gated or candidate.metrics
    runs = [run for run in runs if run.parent is None] or runs
    fit = [r for r in runs if r.id != candidate.id and r.status == "finished" and (any(shared(r)) or not known)]
    return max(fit, key=lambda run: (*shared(run), run.started, run.id)) if fit else None


def merge_base_side(
    by_commit: Mapping[str, Sequence[Run]],
    *,
    merge_base: str | None,
    ancestors: Sequence[str],
    target: str | None,
    candidate: Run,
    now: datetime,
    gated: AbstractSet[str] = frozenset(),
) -> Side:
    """Return the baseline of `candidate`.

    Args:
        by_commit: runs of the candidate's model.
        merge_base: of head and target branch; None where there is none, or head lies on the target branch.
        ancestors: first parents to search, nearest first, beginning with the merge base if there is one.
        target: name of the target branch.
    """
    label = "merge base" if merge_base else "parent"
    start = "the merge base" if merge_base else "this commit"
    for distance, commit in enumerate(ancestors):
        run = latest(by_commit.get(commit, ()), candidate, gated)
        if run is None:
            continue
        steps = distance if merge_base else distance + 1
        if merge_base and distance == 0:
            return replace(side("baseline", label, f"merge base with {target}", run, now), at_merge_base=True)
        how = f"nearest recorded ancestor, {counted(steps, 'commit')} before {start}"
        return side("baseline", "nearest ancestor", how, run, now)
    if not ancestors:
        kind = Kind.NO_ANCESTOR if merge_base is None else Kind.HISTORY_UNKNOWN
        return Side.absent("baseline", label, Notice(kind=kind, of="baseline"))
    count = len(ancestors) - bool(merge_base)
    problem = Notice(kind=Kind.NO_RUN, of="baseline", model=candidate.model, name=start, count=count)
    return Side.absent("baseline", label, problem)


def asked_side(
    by_commit: Mapping[str, Sequence[Run]],
    line: Sequence[str],
    asked: str,
    *,
    candidate: Run,
    now: datetime,
    gated: AbstractSet[str] = frozenset(),
) -> Side:
    """The baseline that was asked for by name; `line` is that commit and its first parents."""
    for distance, commit in enumerate(line):
        run = latest(by_commit.get(commit, ()), candidate, gated)
        if run is not None:
            how = (
                "as asked for"
                if distance == 0
                else f"nearest recorded ancestor, {counted(distance, 'commit')} before {asked}"
            )
            return side("baseline", asked, how, run, now)
    problem = Notice(kind=Kind.NO_RUN_THERE, of="baseline", model=candidate.model, name=asked)
    return Side.absent("baseline", asked, problem)


def target_side(
    by_commit: Mapping[str, Sequence[Run]],
    commits: Sequence[str],
    target: str | None,
    candidate: Run,
    now: datetime,
    gated: AbstractSet[str] = frozenset(),
) -> Side:
    """The latest recorded run on the target branch, `commits` being its first parents from the tip."""
    label = target or "target"
    for distance, commit in enumerate(commits):
        run = latest(by_commit.get(commit, ()), candidate, gated)
        if run is not None:
            how = (
                f"tip of {label}"
                if distance == 0
                else f"latest run on {label}, {counted(distance, 'commit')} before its tip"
            )
            return side("target", label, how, run, now)
    own = candidate.id if candidate.commit in commits else None
    problem = Notice(kind=Kind.NO_RUN_ON_BRANCH, of="baseline", model=candidate.model, name=label, run=own)
    return Side.absent("target", label, problem)


def side(role: Role, label: str, how: str, run: Run, now: datetime, version: int | None = None) -> Side:
    return Side(
        role=role,
        label=label,
        how=how,
        run=run.id,
        commit=run.commit,
        version=version,
        recorded=run.started,
        age_days=age_days(run.started, now),
        metrics=run.metrics,
    )


def age_days(started: str, now: datetime) -> float | None:
    """Days from an ISO 8601 time to now, never below 0: another machine's clock may be ahead."""
    try:
        then = moment.parse(started)
        return max(0.0, (now - then).total_seconds() / 86400)
    except (ValueError, TypeError):
        return None
