"""A run beside what it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.comparison import baseline_deltas
from ciplug.errors import listed
from ciplug.git.history import History
from ciplug.records import rerun_notices
from ciplug.records.comparison import Comparison, Side
from ciplug.records.left_out import summary
from ciplug.records.notice import Kind, Notice, Subject
from ciplug.records.provenance import MOST_FILES
from ciplug.records.run import Run
from ciplug.records.selection import REPORTED_REASONS, Reason
from ciplug.records.verdict import Reruns
from ciplug.reports.report import ModelSection
from ciplug.steps.baselines import BaselineFinder, baselines_of
from ciplug.steps.evaluation_reuse import reuse_notices
from ciplug.steps.metric_sources import read_otherwise
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.reruns import reruns_of
from ciplug.steps.select import NamedBase, NamedCommit
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs

NAMED_MOST = 5
"""Runs that were passed over, and are named."""
HISTORY_MOST = 20
"""Runs on the target branch that a sparkline shows."""


def compare_runs(
    session: Session, runs: Runs, chosen: Sequence[Run], base: NamedCommit | NamedBase | None
) -> list[ModelSection]:
    """Each run beside `base`, or beside the policy's baseline where none is named; no gate is asked.

    Raises ConfigError for a policy that is wrong.
    """
    policies = read_policies(session)
    finders = (baselines_of(session, runs, run, policies.find(run.model)) for run in chosen)
    return [with_reruns(section(finder, compare(finder, base)), reruns_of(finder)) for finder in finders]


def with_reruns(section: ModelSection, reruns: Reruns | None) -> ModelSection:
    """Return the section with the other runs of the commit, and with what they add to what the reader must know."""
    already: list[Notice] = []
    if section.verdict and reruns:
        from ciplug.gates.reruns import objections

        already = objections(section.verdict, reruns, section.gated)
    counts = section.comparison.candidate.reason is None
    notices = tuple(rerun_notices.notices(section.run.id, reruns, section.verdict, shown=already, counts=counts))
    named = {run for one in notices if one.kind is Kind.RERUNS for run in one.runs[:NAMED_MOST]}
    others = (
        replace(one, elsewhere=True) if one.kind is Kind.PASSED_OVER and one.run in named else one
        for one in section.comparison.notices
    )
    comparison = replace(section.comparison, notices=(*notices, *others))
    return replace(section, reruns=reruns, comparison=comparison)


def section(finder: BaselineFinder, comparison: Comparison) -> ModelSection:
    """The part of a report that is about one model, before anything has judged it."""
    metrics = finder.metrics
    baseline = finder.record(comparison.baseline)
    others = ((side, finder.record(side)) for side in comparison.sides if side.role != "candidate")
    return ModelSection(
        model=finder.given.model,
        comparison=comparison,
        verdict=None,
        run=finder.given,
        compared_artifacts=baseline.artifacts if baseline else (),
        bounds=_bounds(finder),
        gated=tuple(sorted(finder.gated)),
        show=metrics.show,
        hide=metrics.hide,
        origins={side.run: run.provenance.context for side, run in others if side.run and run},
        versions=len(finder.registered.versions),
    )


def _bounds(finder: BaselineFinder) -> dict[str, tuple[tuple[str, float], ...]]:
    """Metric → the bounds that gates set."""
    bounds: dict[str, tuple[tuple[str, float], ...]] = {}
    policy = finder.policy
    for gate in map(policy.resolved, policy.gates) if policy else ():
        own = tuple((name, bound) for name, bound in (("min", gate.min), ("max", gate.max)) if bound is not None)
        if gate.kind == "metric" and own:
            bounds[gate.metric] = (*bounds.get(gate.metric, ()), *own)
    return bounds


def compare(finder: BaselineFinder, base: NamedCommit | NamedBase | None = None) -> Comparison:
    """The comparison that is shown: with `base`, else with the policy's baseline, else with the merge base."""
    policy = finder.policy
    branch = policy.baseline.branch if policy else None
    toward = finder.branch(branch)
    source = policy.baseline.source if policy else "any"
    before = _before(finder, base)
    sides = (finder.candidate(), before, finder.tip(branch, source), finder.production())
    return baseline_deltas.compare(
        finder.run,
        _baseline_run(finder, before, toward.by_commit.values()),
        sides=sides,
        directions=policy.directions() if policy else {},
        tolerances=policy.tolerances() if policy else {},
        history=finder.trail(branch, source)[:HISTORY_MOST][::-1],
        notices=tuple(dict.fromkeys(_notices(finder, toward.past, sides))),
    )


def with_base_named(comparison: Comparison, base: NamedCommit) -> Comparison:
    """The comparison, with a notice that the gates look at another baseline than the one that was asked for."""
    notice = Notice(kind=Kind.BASE_ASKED, of="baseline", name=base.name)
    return replace(comparison, notices=(notice, *comparison.notices))


def _before(finder: BaselineFinder, base: NamedCommit | NamedBase | None) -> Side:
    baseline = finder.policy.baseline if finder.policy else None
    if isinstance(base, NamedBase):
        return finder.asked_for_run(base.name, base.run)
    if base:
        return finder.asked_for(base.name, base.commit)
    if baseline and baseline.ref not in ("best", "mean"):
        return finder.baseline(baseline)
    return finder.merge_base(baseline.branch, baseline.source) if baseline else finder.merge_base(None)


def _baseline_run(finder: BaselineFinder, before: Side, on_branch: Iterable[Sequence[Run]]) -> Run | None:
    by_id = {run.id: run for runs in on_branch for run in runs}
    return by_id.get(before.run or "") or (finder.record(before) if before.run else None)


def _notices(finder: BaselineFinder, past: History, sides: Sequence[Side]) -> Iterator[Notice]:
    """Yield what the reader must know, the most important first."""
    before = sides[1]
    if unfinished := finder.unfinished(finder.run):
        yield unfinished
    yield from _about(finder.run)
    if len(finder.candidates) > 1:
        yield Notice(kind=Kind.SEEDS, runs=tuple(run.id for run in finder.candidates))
    yield from _passed_over(sides)
    if before.problem:
        yield before.problem
    yield from finder.renames.notices
    if otherwise := read_otherwise(finder.session, finder.given.model):
        yield otherwise
    yield from reuse_notices(finder)
    yield from past.notices
    yield from finder.registered.notices
    yield from (notice for run in finder.candidates if (notice := finder.objection(run)))
    yield from _newer(finder, before)
    yield from _amended(finder, before)
    # An unreadable baseline must not look like a first run.
    for key, problem in finder.runs.problems.items():
        yield Notice(kind=Kind.UNREADABLE, of="baseline", path=key, detail=problem)


def _passed_over(sides: Sequence[Side]) -> Iterator[Notice]:
    """Yield the runs that somebody may have expected to count, each once, and the number of those beyond the first."""
    by_run: dict[str, Notice] = {}
    for side in sides:
        of: Subject = "candidate" if side.role == "candidate" else "baseline"
        for one in side.passed_over:
            if of == "baseline" or one.reason in REPORTED_REASONS:
                notice = Notice(
                    kind=Kind.PASSED_OVER,
                    of=of,
                    run=one.run,
                    because=one.reason,
                    files=one.files,
                    detail=one.words,
                    settled=(side.run is not None and side.reason is None and one.commit == side.commit) or None,
                    # Those of the candidate's own commit are in a section of their own.
                    elsewhere=of == "candidate" and one.reason in (Reason.FORK, Reason.UNSIGNED),
                )
                by_run.setdefault(one.run, notice)
    yield from [notice for notice in by_run.values() if notice.elsewhere][:NAMED_MOST]
    notices = [notice for notice in by_run.values() if not notice.elsewhere]
    yield from notices[:NAMED_MOST]
    if len(notices) > NAMED_MOST:
        yield Notice(kind=Kind.MORE_PASSED_OVER, count=len(notices) - NAMED_MOST)


def _about(run: Run) -> Iterator[Notice]:
    origin = run.provenance
    if not origin.context.trusted:
        yield Notice(kind=Kind.FORK, run=run.id)
    yield from _left_out(run)
    if origin.head_after:
        yield Notice(kind=Kind.HEAD_MOVED, run=run.id, detail=origin.moved)
    if origin.dirty_files or (origin.dirty and not origin.head_after):
        yield Notice(kind=Kind.DIRTY, run=run.id, files=origin.dirty_files, count=origin.dirty_count)
    if origin.ignored_files:
        files = origin.ignored_files
        yield Notice(kind=Kind.SET_ASIDE, run=run.id, files=files[:MOST_FILES], count=len(files))
    if origin.beside:
        yield Notice(kind=Kind.BESIDE, run=run.id, runs=origin.beside)
    if origin.older:
        yield Notice(kind=Kind.OLDER, run=run.id, files=origin.older)
    if origin.unchanged:
        yield Notice(kind=Kind.UNWRITTEN, run=run.id, files=origin.unchanged)


def _left_out(run: Run) -> Iterator[Notice]:
    refused = [one for one in run.left_out if one.why == "file"]
    for one in refused[:NAMED_MOST]:
        yield Notice(kind=Kind.NOT_RECORDED, run=run.id, files=(one.name,), detail=one.reason, advice=one.advice)
    if files := [one for one in run.left_out if one.why == "artifact"]:
        names = tuple(one.name for one in files)
        yield Notice(kind=Kind.NOT_MADE, run=run.id, files=names[:20], count=len(names), detail=summary(files))
    for one in [one for one in run.left_out if one.why == "output"][:NAMED_MOST]:
        yield Notice(kind=Kind.NOT_KEPT, run=run.id, files=(one.name,), detail=one.reason, advice=one.advice)
    if twice := [one for one in run.left_out if one.why == "logged"]:
        names, each = (
            tuple(one.name for one in twice),
            listed([f"'{one.name}' (logged as {one.found})" for one in twice]),
        )
        yield Notice(kind=Kind.TWO_VALUES, run=run.id, metrics=names[:20], count=len(names), detail=each)
    if params := [one for one in run.left_out if one.why == "param"]:
        advice = "give parameters printable names of at most 250 characters"
        yield Notice(kind=Kind.LEFT_OUT, run=run.id, count=len(params), detail=summary(params), advice=advice)
    aside = ("artifact", "file", "output", "elsewhere", "logged", "param")
    if numbers := [one for one in run.left_out if one.why not in aside]:
        names = tuple(one.name for one in numbers)
        yield Notice(kind=Kind.LEFT_OUT, run=run.id, metrics=names[:20], count=len(names), detail=summary(numbers))


def _newer(finder: BaselineFinder, before: Side) -> Iterator[Notice]:
    """Yield the runs that a newer ciplug amended."""
    subjects: dict[str, tuple[Run, Subject]] = {run.id: (run, "baseline") for run in finder.runs_of(before)}
    subjects.update({run.id: (run, "candidate") for run in finder.candidates})
    for run, of in subjects.values():
        if notice := finder.newer_amendment(run, of):
            yield notice


def _amended(finder: BaselineFinder, before: Side) -> Iterator[Notice]:
    """Yield the metrics of the candidate and the baseline that were given another value after the end of the run."""
    subjects: dict[str, Subject] = dict.fromkeys(before.runs or ((before.run,) if before.run else ()), "baseline")
    subjects.update(dict.fromkeys((run.id for run in finder.candidates), "candidate"))
    for run, of in subjects.items():
        by_author: dict[str, list[str]] = {}
        for metric, amendment in finder.changed.get(run, {}).items():
            by_author.setdefault(amendment.author, []).append(metric)
        for author, metrics in by_author.items():
            yield Notice(kind=Kind.AMENDED_METRIC, of=of, run=run, by=author, metrics=tuple(sorted(metrics)))
