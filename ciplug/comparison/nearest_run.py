"""Choose the run to compare with: the merge base's, else the nearest recorded ancestor's, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from ciplug.comparison.run_that_counts import Selection
from ciplug.errors import counted
from ciplug.records import moment
from ciplug.records.comparison import Role, Side
from ciplug.records.notice import Kind, Notice
from ciplug.records.run import NO_TIME, Run
from ciplug.records.selection import REPORTED_REASONS, PassedOver, Reason

Pick = Callable[[Sequence[Run]], Selection]
"""Choose the run to compare with among the runs of one commit, by `ciplug.comparison.run_that_counts`."""


class Nearest(NamedTuple):
    """The first run on a line of commits that others may be compared with."""

    distance: int
    """The number of commits before it."""
    run: Run | None
    passed_over: tuple[PassedOver, ...]
    """Runs on the way to it that must not count."""


def nearest(by_commit: Mapping[str, Sequence[Run]], commits: Sequence[str], pick: Pick) -> Nearest:
    """Return the run of the first of these commits that has one to compare with."""
    passed: list[PassedOver] = []
    for distance, commit in enumerate(commits):
        runs = by_commit.get(commit, ())
        selection = pick(runs)
        passed += [run for run in selection.passed_over if run.reason in REPORTED_REASONS]
        if selection.chosen is not None:
            run = next(run for run in runs if run.id == selection.chosen)
            return Nearest(distance, run, tuple(passed))
        if not any(run.reason is Reason.CHILD for run in passed):
            # One of a sweep's child runs is enough, where the sweep itself has nothing to compare with.
            passed += [run for run in selection.passed_over if run.reason is Reason.CHILD][:1]
    return Nearest(len(commits), None, tuple(passed))


def merge_base_side(
    by_commit: Mapping[str, Sequence[Run]],
    *,
    merge_base: str | None,
    ancestors: Sequence[str],
    target: str | None,
    candidate: Run,
    now: datetime,
    pick: Pick,
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
    distance, run, passed_over = nearest(by_commit, ancestors, pick)
    if run is not None:
        steps = distance if merge_base else distance + 1
        if merge_base and distance == 0:
            base = side("baseline", label, f"merge base with {target}", run, now)
            return replace(base, at_merge_base=True, passed_over=passed_over)
        how = f"nearest recorded ancestor, {counted(steps, 'commit')} before {start}"
        return replace(side("baseline", "nearest ancestor", how, run, now), passed_over=passed_over)
    if not ancestors:
        kind = Kind.NO_ANCESTOR if merge_base is None else Kind.HISTORY_UNKNOWN
        return Side.absent("baseline", label, Notice(kind=kind, of="baseline"))
    count = len(ancestors) - bool(merge_base)
    problem = Notice(kind=Kind.NO_RUN, of="baseline", model=candidate.model, name=start, count=count)
    return replace(Side.absent("baseline", label, problem), passed_over=passed_over)


def requested_side(
    by_commit: Mapping[str, Sequence[Run]],
    line: Sequence[str],
    requested: str,
    *,
    candidate: Run,
    now: datetime,
    pick: Pick,
) -> Side:
    """The baseline that was requested by name; `line` is that commit and its first parents."""
    distance, run, passed_over = nearest(by_commit, line, pick)
    if run is not None:
        before = f"nearest recorded ancestor, {counted(distance, 'commit')} before {requested}"
        how = before if distance else "as asked for"
        return replace(side("baseline", requested, how, run, now), passed_over=passed_over)
    problem = Notice(kind=Kind.NO_RUN_THERE, of="baseline", model=candidate.model, name=requested)
    return replace(Side.absent("baseline", requested, problem), passed_over=passed_over)


def target_side(
    by_commit: Mapping[str, Sequence[Run]],
    commits: Sequence[str],
    target: str | None,
    candidate: Run,
    now: datetime,
    pick: Pick,
) -> Side:
    """The latest recorded run on the target branch, `commits` being its first parents from the tip."""
    label = target or "target"
    distance, run, passed_over = nearest(by_commit, commits, pick)
    if run is not None:
        before = f"latest run on {label}, {counted(distance, 'commit')} before its tip"
        how = before if distance else f"tip of {label}"
        name = f"{label}~{distance}" if distance and target else label
        return replace(side("target", name, how, run, now), passed_over=passed_over)
    own = candidate.id if candidate.commit in commits else None
    problem = Notice(kind=Kind.NO_RUN_ON_BRANCH, of="baseline", model=candidate.model, name=label, run=own)
    return replace(Side.absent("target", label, problem), passed_over=passed_over)


def side(role: Role, label: str, how: str, run: Run, now: datetime, version: int | None = None) -> Side:
    return Side(
        role=role,
        label=label,
        how=how,
        run=run.id,
        commit=run.commit,
        version=version,
        recorded=None if run.started == NO_TIME else run.started,
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
