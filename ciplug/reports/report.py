"""The one model of a report, and the questions that every rendering asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ciplug.records import canonical
from ciplug.records.provenance import Context
from ciplug.records.verdict import SEVERITY, Outcome, worst

if TYPE_CHECKING:
    from ciplug.records.comparison import Comparison, MetricDelta, Role, Side, Trend
    from ciplug.records.run import Run
    from ciplug.records.series import Series
    from ciplug.records.verdict import GateResult, Verdict

SCHEMA = 1

_ATTENTION: dict[Trend, int] = {"undefined": 0, "missing": 1, "worse": 2, "better": 3, "changed": 4, "new": 5}


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """All that is said about one model."""

    model: str
    comparison: Comparison
    verdict: Verdict | None
    """None: nobody asked the gates."""
    run: Run
    """The candidate's record."""
    series: Mapping[str, Series] = field(default_factory=dict)
    """Metric → its values step by step."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """One report: pure data, from which each rendering is a pure function."""

    sections: tuple[ModelSection, ...]
    context: Context = field(default_factory=Context)
    notes: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    """Label → address: "run", "full report"."""
    policy_note: str | None = None
    """What the change of the policy in this pull request would have decided."""

    @property
    def outcome(self) -> Outcome | None:
        """The worst verdict of all models; None when nothing was judged."""
        outcomes = [s.verdict.outcome for s in self.sections if s.verdict]
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


def absent(comparison: Comparison) -> tuple[Side, ...]:
    """The sides that have no run, each with its reason in `how`."""
    others = (comparison.baseline, comparison.target, comparison.production)
    return tuple(side for side in others if not side.run)


def by_attention(comparison: Comparison) -> tuple[list[MetricDelta], list[MetricDelta]]:
    """(changed, unchanged) metrics: of the changed, what is wrong comes first, what is worse before better."""
    changed = [m for m in comparison.metrics if m.trend != "unchanged"]
    unchanged = [m for m in comparison.metrics if m.trend == "unchanged"]
    return sorted(changed, key=lambda m: _ATTENTION[m.trend]), unchanged


def by_severity(verdict: Verdict) -> list[GateResult]:
    """The gates, the worst outcome first."""
    return sorted(verdict.gates, key=lambda g: -SEVERITY[g.outcome])


def trail(delta: MetricDelta) -> tuple[float, ...]:
    """The metric's history on the target branch with the candidate's value as the last."""
    last = delta.values.get("candidate")
    return delta.history if last is None else (*delta.history, last)


def version(report: Report) -> str | None:
    """Version of ciplug that made the facts: of the verdict, else of the run."""
    for section in report.sections:
        made_by = (section.verdict and section.verdict.ciplug) or section.run.provenance.ciplug
        if made_by:
            return made_by
    return None


def as_json(report: Report) -> bytes:
    """The whole report as canonical JSON; a NaN is the string "NaN"."""
    return canonical.dumps({"schema": SCHEMA, **canonical.plain(report)})
