"""The one model of a report, and the questions that every rendering asks of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ciplug.records import canonical, forge_pages
from ciplug.records.provenance import Context
from ciplug.records.verdict import SEVERITY, UNRUN, Outcome, worst
from ciplug.reports.crash import crash_of
from ciplug.reports.untrusted import safe_url

if TYPE_CHECKING:
    from ciplug.records.comparison import Comparison, MetricDelta, Role, Side
    from ciplug.records.notice import Notice
    from ciplug.records.run import File, Run
    from ciplug.records.series import Series
    from ciplug.records.verdict import GateResult, Reruns, Verdict
    from ciplug.reports.unverified import Unverified

SCHEMA = 1

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")


def is_picture(path: str) -> bool:
    """Whether a file is an image that a browser shows, by its extension."""
    return path.lower().endswith(_PICTURES)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image that a run left, beside the one that the baseline left under the same path."""

    path: str
    now: bytes | None = None
    before: bytes | None = None
    same: bool = False
    """Whether both are the same image."""
    problem: str | None = None
    """Why one of them is not shown."""


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """The report on one model."""

    model: str
    comparison: Comparison
    verdict: Verdict | None
    """None: no gate judges this model, or `problem` has the reason."""
    run: Run
    """The candidate's record."""
    compared_artifacts: tuple[File, ...] = ()
    """The artifacts of the baseline's run."""
    problem: Notice | None = None
    """The mistake in the policy for which nothing could be judged."""
    series: Mapping[str, Series] = field(default_factory=dict)
    """Metric → its values step by step."""
    compared_series: Mapping[str, Series] = field(default_factory=dict)
    """The same of the baseline's run."""
    bounds: Mapping[str, tuple[tuple[str, float], ...]] = field(default_factory=dict)
    """Metric → what gates allow, as `min` or `max` and the number."""
    gated: tuple[str, ...] = ()
    """The metrics that gates look at."""
    show: tuple[str, ...] = ()
    """Patterns of the metrics to show beside those; none: as many as are read at a glance."""
    hide: tuple[str, ...] = ()
    """Patterns of metrics that are not listed, unless a gate looks at them."""
    origins: Mapping[str, Context] = field(default_factory=dict)
    """Id of a run that it is compared with → the job that recorded it."""
    reruns: Reruns | None = None
    """Other runs that may count for the commit; None: there is none."""
    versions: int = 0
    """The number of the model's versions in the registry."""
    registry_url: str | None = None
    """The page of the model's log."""

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the gates; a policy that cannot be applied is an error. None: no gates."""
        return "ERROR" if self.problem else self.verdict.outcome if self.verdict else None


@dataclass(frozen=True, kw_only=True)
class Report:
    """One report: pure data, from which each rendering is a pure function.

    Jobs that race must write the same comment, so that is made of `sections`, `unrun`, `policy_note` and `unverified`
    only: of what the store holds for a commit, whoever reads it and when.
    """

    sections: tuple[ModelSection, ...]
    context: Context = field(default_factory=Context)
    """The job that makes the report: for its own files, and never in a comment."""
    notes: tuple[str, ...] = ()
    """Notes of this job alone: for its own files, never in a comment."""
    policy_note: str | None = None
    """The verdict under the policy that this pull request proposes, as a sentence."""

    unrun: tuple[Notice, ...] = ()
    """The models that the target branch gates, and that have no run on the commit."""
    unverified: Unverified | None = None
    """Runs of the commit that nobody has verified: they decide nothing."""
    pictures: Mapping[str, tuple[Picture, ...]] = field(default_factory=dict)
    """Model → its images, for the page alone."""

    @property
    def outcome(self) -> Outcome | None:
        """The worst verdict of all models, those without a run among them; None when nothing was judged."""
        outcomes = [s.outcome for s in self.sections if s.outcome] + [UNRUN[notice.kind] for notice in self.unrun]
        return worst(outcomes) if outcomes else None


class Column(NamedTuple):
    """A column of the metric table: one run, under the name of each role that it plays."""

    label: str
    role: Role


def columns(comparison: Comparison) -> tuple[Column, ...]:
    """The candidate, then every other run once: where the merge base is the tip of main, they share a column."""
    labels: dict[str, list[str]] = {}
    roles: dict[str, Role] = {}
    for side in comparison.sides:
        if side.role != "candidate" and side.run:
            labels.setdefault(side.run, []).append(side.label)
            roles.setdefault(side.run, side.role)
    others = (Column(" = ".join(dict.fromkeys(labels[run])), role) for run, role in roles.items())
    return (Column(comparison.candidate.label, "candidate"), *others)


def notices(section: ModelSection) -> tuple[Notice, ...]:
    """What the reader must know of a model, each state once.

    Why it has no baseline is in the line on what it is compared with, and how its training failed stands first.
    """
    baseline = section.comparison.baseline
    crash = crash_of(section.run)
    shown = tuple(
        one for one in section.comparison.notices if not one.elsewhere and not (crash and crash.is_told_by_notice(one))
    )
    return tuple(one for one in shown if baseline.has_numbers or one != baseline.problem)


def rerun_rows(section: ModelSection) -> list[list[str]]:
    """Run, host, seed, status, outcome, failed gates: of the run that is shown, then of the others of its commit."""
    if section.reruns is None:
        return []
    return [
        [
            f"{one.run[:12]} of {one.commit[:8]}" if one.commit else one.run[:12],
            one.host,
            "" if one.seed is None else str(one.seed),
            f"{one.status}, withdrawn" if one in section.reruns.withdrawn else one.status,
            one.outcome or "not judged",
            ", ".join(one.failed if one in section.reruns.withdrawn else (*one.failed, *one.without_number)),
        ]
        for one in (section.reruns.judged, *section.reruns.others, *section.reruns.withdrawn)
    ]


RERUN_HEADERS = ("run", "recorded on", "seed", "status", "outcome", "failed gates")


def absent(comparison: Comparison) -> tuple[Side, ...]:
    """The sides that have no run, each with its reason in `how`."""
    others = (comparison.baseline, comparison.target, comparison.production)
    return tuple(side for side in others if not side.run)


FEW_CHECKS = 6
"""Checks that are shown at once, whatever their outcomes."""


def split_gates(section: ModelSection) -> tuple[list[GateResult], list[GateResult]]:
    """The checks to show at once, and those to fold: many that passed must not hide one that did not."""
    ordered = shown_gates(section)
    if len(ordered) <= FEW_CHECKS:
        return ordered, []
    return [g for g in ordered if g.outcome != "PASS"], [g for g in ordered if g.outcome == "PASS"]


def shown_gates(section: ModelSection) -> list[GateResult]:
    """The checks, the worst outcome first; how the training failed stands above them."""
    crash = crash_of(section.run)
    ordered = by_severity(section.verdict) if section.verdict else []
    return [gate for gate in ordered if not (crash and crash.is_told_by_gate(gate))]


def by_severity(verdict: Verdict) -> list[GateResult]:
    """The gates, the worst outcome first."""
    return sorted(verdict.gates, key=lambda g: -SEVERITY[g.outcome])


def trail(delta: MetricDelta) -> tuple[float, ...]:
    """The metric's history on the target branch with the candidate's value as the last: NaN where it has none."""
    last = delta.values.get("candidate")
    return () if last is None and not delta.history else (*delta.history, math.nan if last is None else last)


def by_verdict(report: Report) -> list[ModelSection]:
    """The sections, the worst outcome first; those that nothing judged before those that passed."""
    return sorted(report.sections, key=lambda s: (-SEVERITY[s.outcome] if s.outcome else -0.5, s.model))


def is_quiet(section: ModelSection) -> bool:
    """Whether it can be folded up beside others: it passed, or nothing judged it."""
    return section.outcome in ("PASS", None)


def anchor_of(model: str, path: str) -> str:
    """Return the name by which an image is found in the page of a report."""
    return f"image-{canonical.digest(f'{model}/{path}'.encode(errors='replace'))[7:23]}"


def pictures(section: ModelSection) -> list[str]:
    """The images among the artifacts of a run; those that are in folders are not known here."""
    return sorted(one.path for one in section.run.artifacts if one.kind is None and is_picture(one.path))


def versions(report: Report) -> list[str]:
    """The versions of ciplug that recorded the runs."""
    return sorted({made_by for section in report.sections if (made_by := section.run.provenance.ciplug)})


# --- links


def links(section: ModelSection) -> dict[str, str]:
    """Label → address of what there is more of a model: "run", "full report", "registry". All are safe to show."""
    context = section.run.provenance.context
    pages = {
        "run": run_link(section, section.comparison.candidate),
        # What a fork's job left is a page of a stranger.
        "full report": context.report_url if context.trusted else None,
        "registry": section.registry_url,
    }
    return {label: safe for label, url in pages.items() if url and (safe := safe_url(url))}


def run_link(section: ModelSection, side: Side) -> str | None:
    """Return the page of the pipeline that recorded a side's run; a fork's only if it is in this repository."""
    context = _origin(section, side)
    if context is None or not context.run_url:
        return None
    place = _place(section)
    if not context.trusted and not (place and forge_pages.is_run_of(place, context.run_url)):
        return None
    return safe_url(context.run_url)


def commit_link(section: ModelSection, side: Side) -> str | None:
    """Return the page of a side's commit."""
    own, place = _origin(section, side), _place(section)
    pages = (forge_pages.commit_page(c, side.commit) for c in (own, place) if c and c.trusted)
    return next((safe for page in pages if page and (safe := safe_url(page))), None)


def _origin(section: ModelSection, side: Side) -> Context | None:
    """Return the job that recorded the run of a side."""
    return section.run.provenance.context if side.role == "candidate" else section.origins.get(side.run or "")


def _place(section: ModelSection) -> Context | None:
    """A trusted job's word on where the repository is."""
    contexts = (section.run.provenance.context, *section.origins.values())
    return next((context for context in contexts if context.trusted and forge_pages.repository_page(context)), None)


def as_json(report: Report) -> bytes:
    """The whole report as canonical JSON; a NaN is the string "NaN"."""
    return canonical.dumps({"schema": SCHEMA, **canonical.plain(replace(report, pictures={}))})
