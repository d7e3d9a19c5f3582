"""The input of the gates: the numbers of one candidate, and of the baseline of each gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ciplug.records.comparison import Side
    from ciplug.records.examples import Examples
    from ciplug.records.left_out import LeftOut
    from ciplug.records.notice import Notice
    from ciplug.records.selection import PassedOver
    from ciplug.stats.drift_tests import DataDrift
    from ciplug.stats.intervals import Undecided


@dataclass(frozen=True, kw_only=True)
class Trail:
    """The runs of a branch since the point that a trend is counted from."""

    start: Side
    """The run at that point, or why there is none."""
    commits: Sequence[str] = ()
    """The commits after it, the oldest first, without the candidate's."""
    values: Sequence[float] = ()
    """The metric at each of these."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Facts, gathered before anything is judged."""

    candidate: Side
    children: int = 0
    """The number of its child runs."""
    baselines: Mapping[str, Side]
    """Gate → what its comparing rules compare with, or why there is none."""
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Metric → its values in the last runs on the target branch, oldest first, without the candidate; of the runs that
    were measured on the same evaluation data."""
    looks: int = 1
    """How often the commit was looked at: 1 and the other runs of it that could be judged, and gave other numbers."""
    reruns: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Metric → its values in those other runs."""
    reruns_of_baseline: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Gate → the values of its metric in the other runs that could be its baseline, of the same commit."""
    other_evaluations: int = 0
    """Runs on the branch that were measured on other data, and are not in the history."""
    trails: Mapping[str, Trail] = field(default_factory=dict)
    """Gate with a trend → what came before the candidate."""
    examples: Mapping[str, Examples] = field(default_factory=dict)
    """Run → the examples of its evaluation."""
    drift: Mapping[str, DataDrift | Undecided] = field(default_factory=dict)
    """Gate of kind drift → its columns, or why they cannot be compared."""
    unfinished: Sequence[Notice] = ()
    """The candidate's runs that did not finish, and those of other seeds that would be among them had they finished."""
    objections: Sequence[Notice] = ()
    """The candidate's runs whose numbers do not count, as they were withdrawn."""
    newer: Sequence[Notice] = ()
    """The candidate's runs that a newer ciplug amended, and may have withdrawn."""
    barred: PassedOver | None = None
    """The candidate, where it must not count for its commit, with the reason."""
    named: bool = False
    """Whether somebody named the candidate by its id: then its own numbers are judged, whatever it was made from."""
    changed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Run → metric → who gave it another value after the run had ended."""
    left_out: Mapping[str, Sequence[LeftOut]] = field(default_factory=dict)
    """Metric → what a run of the candidate has in the place of its number; several where any of them may be it."""
    refused: Sequence[LeftOut] = ()
    """The candidate's files of metrics and examples that could not be recorded."""
    today: date = date.min
    """UTC; what waivers expire by."""
