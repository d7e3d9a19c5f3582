"""A run beside what it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.comparison import diff
from ciplug.errors import counted
from ciplug.records.comparison import Comparison, Side
from ciplug.records.run import Run
from ciplug.records.selection import TOLD
from ciplug.reports.report import ModelSection
from ciplug.steps.baselines import BaselineFinder, baselines_of
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.select import NamedCommit
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs

NAMED_MOST = 5
"""Runs that were passed over, and are named."""
HISTORY_MOST = 20
"""Runs on the target branch that a sparkline shows."""


def compare_runs(session: Session, runs: Runs, chosen: Sequence[Run], base: NamedCommit | None) -> list[ModelSection]:
    """Each run beside `base`, or beside the policy's baseline where none is named; no gate is asked.

    Raises ConfigError for a policy that is wrong.
    """
    policies = read_policies(session)
    finders = (baselines_of(session, runs, run, policies.find(run.model)) for run in chosen)
    return [section(finder, compare(finder, base)) for finder in finders]


def section(finder: BaselineFinder, comparison: Comparison) -> ModelSection:
    """The part of a report that is about one model, before anything has judged it."""
    others = ((side, finder.record(side)) for side in comparison.sides if side.role != "candidate")
    return ModelSection(
        model=finder.given.model,
        comparison=comparison,
        verdict=None,
        run=finder.given,
        origins={side.run: run.provenance.context for side, run in others if side.run and run},
        versions=len(finder.registered.versions),
    )


def compare(finder: BaselineFinder, base: NamedCommit | None = None) -> Comparison:
    """The comparison that is shown: with `base`, else with the policy's baseline, else with the merge base."""
    policy = finder.policy
    branch = policy.baseline.branch if policy else None
    toward = finder.branch(branch)
    source = policy.baseline.source if policy else "any"
    before = _before(finder, base)
    sides = (finder.candidate(), before, finder.tip(branch, source), finder.production())
    return diff.compare(
        finder.run,
        _baseline_run(finder, before, toward.by_commit.values()),
        sides=sides,
        directions=policy.directions() if policy else {},
        tolerances=policy.tolerances() if policy else {},
        history=finder.trail(branch, source)[:HISTORY_MOST][::-1],
        notes=(
            *_notes(finder.run, toward.by_commit.get(toward.past.head, []), finder.candidates),
            *_passed_over(sides),
            *([f"{before.unfit[0].upper()}{before.unfit[1:]}."] if before.found and before.unfit else []),
            *toward.past.notes,
            *finder.registered.notes,
            *(f"{sentence}." for run in finder.candidates if (sentence := finder.objection(run))),
            # An unreadable baseline must not look like a first run.
            *(f"A record is left out, it cannot be read: {problem}" for problem in finder.runs.problems.values()),
        ),
    )


def with_base_named(comparison: Comparison, base: NamedCommit) -> Comparison:
    """The comparison, with a note that the gates look at another baseline than the one that was asked for."""
    note = f"Compared with '{base.name}' as asked for; the gates keep the baseline of the policy."
    return replace(comparison, notes=(note, *comparison.notes))


def _before(finder: BaselineFinder, base: NamedCommit | None) -> Side:
    baseline = finder.policy.baseline if finder.policy else None
    if base:
        return finder.of_commit(base.name, base.commit, f"there is no commit '{base.name}'")
    if baseline and baseline.ref not in ("best", "mean"):
        return finder.baseline(baseline)
    return finder.merge_base(baseline.branch, baseline.source) if baseline else finder.merge_base(None)


def _baseline_run(finder: BaselineFinder, before: Side, on_branch: Iterable[Sequence[Run]]) -> Run | None:
    by_id = {run.id: run for runs in on_branch for run in runs}
    return by_id.get(before.run or "") or (finder.record(before) if before.run else None)


def _passed_over(sides: Sequence[Side]) -> list[str]:
    """Return a sentence for each run that somebody may have expected to count."""
    told = {one.run: (side.role, one) for side in reversed(sides) for one in side.passed_over if one.reason in TOLD}
    lines = [
        f"{'Passed over' if role == 'candidate' else 'Not compared with'}: run {one.run[:12]} {one.words}."
        for role, one in reversed(told.values())
    ]
    more = len(lines) - NAMED_MOST
    return [*lines[:NAMED_MOST], *([f"And {counted(more, 'more run')} that must not count."] if more > 0 else [])]


def _notes(run: Run, same_commit: Sequence[Run], together: Sequence[Run]) -> tuple[str, ...]:
    notes = []
    if run.status != "finished":
        code = run.provenance.exit_code
        why = run.provenance.signal or (f"exit code {code}" if code is not None else "")
        ended = ("was killed" if run.status == "killed" else run.status) + (f" ({why})" if why else "")
        notes.append(f"The training {ended}: its numbers may be incomplete.")
    if not run.provenance.context.trusted:
        notes.append("The run is of a fork's job: its numbers are what that job says.")
    if run.provenance.dirty:
        named = run.provenance.named_dirt()
        notes.append(
            f"The run was made from a dirty tree: tracked files differed from the commit{named and ': '}{named}."
        )
    if len(together) > 1:
        notes.append(f"{len(together)} runs of this commit, which differ in their seed, are judged as one.")
    elif len(same_commit) > 1:
        notes.append(f"{len(same_commit)} runs of this commit are recorded; run {run.id[:12]} is shown.")
    return tuple(notes)
