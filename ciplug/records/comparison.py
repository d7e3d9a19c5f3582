"""One run beside others: what `ciplug compare` says, and what gates and reports read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ciplug.records.notice import Notice
from ciplug.records.run import Scalar
from ciplug.records.selection import PassedOver, Reason

Role = Literal["candidate", "baseline", "target", "production"]
Trend = Literal["better", "worse", "unchanged", "changed", "new", "missing", "undefined"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """A run that takes part, or the named reason why there is none (`run` is None)."""

    role: Role
    label: str
    """Column heading: "this commit", "merge base", "main", "production"."""
    how: str
    """One clause on how it was chosen ("nearest recorded ancestor, 3 commits before the merge base"), or why there is
    none. For people only."""
    run: str | None = None
    commit: str | None = None
    version: int | None = None
    """Registry version, for production."""
    recorded: str | None = None
    """When the run started (UTC, ISO 8601)."""
    age_days: float | None = None
    """Age of that run when the comparison was made."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The metrics; of several runs, their means."""
    runs: tuple[str, ...] = ()
    """Ids of the runs that stand for this side together: several seeds, or the last runs of a branch."""
    repeats: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Metric → its value in each of `runs`."""
    among: int = 1
    """Of how many runs it is the best."""
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Metric → those of `runs` that lack it, of metrics that others of them have: there is no mean of these."""
    problem: Notice | None = None
    """Why it decides nothing (too old, measured on other data, found in a history that is not known whole), or why
    there is none."""
    at_merge_base: bool = False
    """Whether it is a run of the merge base itself: then `how` states what the label does."""
    passed_over: tuple[PassedOver, ...] = ()
    """Of the candidate: the other runs of its commit. Of others: the runs that would have been nearer, and must not
    count."""
    reason: Reason | None = None
    """Of the candidate: why it is not the run that counts for its commit; None where it is."""

    @classmethod
    def absent(cls, role: Role, label: str, problem: Notice, version: int | None = None) -> Side:
        """Return a side that has no run."""
        return cls(role=role, label=label, how=problem.clause, version=version, problem=problem)

    @property
    def has_numbers(self) -> bool:
        """Whether there are numbers at all."""
        return self.run is not None or bool(self.runs)


@dataclass(frozen=True, kw_only=True)
class MetricDelta:
    """One metric of the candidate against the baseline, with what the other sides hold."""

    metric: str
    values: Mapping[Role, float]
    """The values by role; a side that lacks the metric is absent."""
    higher_is_better: bool | None
    """None where nobody said: then no arrow and no better or worse."""
    change: float | None
    """candidate − baseline; None unless both are finite numbers."""
    relative: float | None
    """change / |baseline|; None where undefined (baseline 0)."""
    trend: Trend
    """new: only the candidate has it; missing: the baseline had it, the candidate lacks it;
    undefined: a NaN or infinity takes part."""
    history: tuple[float, ...] = ()
    """Values of the last runs on the target branch, oldest first, without the candidate."""


@dataclass(frozen=True, kw_only=True)
class ParamDelta:
    name: str
    before: Scalar | None
    """None: the baseline lacks it."""
    after: Scalar | None
    """None: the candidate lacks it."""


@dataclass(frozen=True, kw_only=True)
class DatasetDelta:
    path: str
    before: str | None
    """Digest in the baseline."""
    after: str | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    model: str
    candidate: Side
    baseline: Side
    target: Side
    production: Side
    metrics: tuple[MetricDelta, ...]
    params: tuple[ParamDelta, ...] = ()
    """Only those that differ; empty when there is no baseline."""
    datasets: tuple[DatasetDelta, ...] = ()
    notices: tuple[Notice, ...] = ()
    """What the reader must know: a dirty tree, a shallow clone, several runs of one commit, a failed run."""

    @property
    def sides(self) -> tuple[Side, ...]:
        """Return the sides that have a run, the candidate first; a run in two roles is returned once for each."""
        return tuple(s for s in (self.candidate, self.baseline, self.target, self.production) if s.run)
