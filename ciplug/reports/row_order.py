"""Which metrics of a model a report shows, in which order, and which of them it folds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from ciplug.records.classes import of_classes
from ciplug.reports.report import ModelSection, by_severity

if TYPE_CHECKING:
    from ciplug.records.comparison import Comparison, MetricDelta, Trend

_WRONG: tuple[Trend, ...] = ("undefined", "missing")
_ATTENTION: dict[Trend, int] = {"undefined": 0, "missing": 1, "worse": 2, "better": 3, "changed": 4, "new": 5}


def by_attention(comparison: Comparison) -> tuple[list[MetricDelta], list[MetricDelta]]:
    """(changed, unchanged) metrics: of the changed, what is wrong comes first, what is worse before better."""
    changed = [m for m in comparison.metrics if m.trend != "unchanged"]
    unchanged = [m for m in comparison.metrics if m.trend == "unchanged"]
    return sorted(changed, key=lambda m: _ATTENTION[m.trend]), unchanged


FEW = 12
"""Metrics that are read at a glance: of more, the others are folded, unless `show` chooses."""
WRONG_MOST = 15
"""Metrics that are missing or no number that are shown with those of gates; of a run that did not finish, few have to
be: it is no news that they are missing."""


class Arranged(NamedTuple):
    """The metrics of a section in the order of reading: averages before classes, worse before better."""

    gated: list[MetricDelta]
    shown: list[MetricDelta]
    """The others that are shown at once, the changed ones first. The first that are missing or no number are among
    them."""
    folded: list[MetricDelta]
    hidden: int
    """The number of those that are not listed."""

    @property
    def all(self) -> list[MetricDelta]:
        return [*self.gated, *self.shown, *self.folded]


def arranged(section: ModelSection) -> Arranged:
    """Return which metrics of a section a person sees. Those of gates are always shown, and first."""
    metrics = section.comparison.metrics
    looked_at = {*section.gated, *(gate.metric for gate in (section.verdict.gates if section.verdict else ()))}
    classes = of_classes([one.metric for one in metrics])
    changed, unchanged = by_attention(section.comparison)
    ordered = sorted([*changed, *unchanged], key=lambda one: _order(one, classes))
    gated = [one for one in ordered if one.metric in looked_at]
    others = [one for one in ordered if one.metric not in looked_at]
    listed = [one for one in others if not _matches(one.metric, section.hide)]
    room = max(0, FEW - len(gated))
    most = max(0, (WRONG_MOST if section.run.status == "finished" else FEW // 2) - len(gated))

    def is_shown(place: int, one: MetricDelta) -> bool:
        if one.trend in _WRONG:
            return place < most
        return _matches(one.metric, section.show) if section.show else place < room

    shown = [one for place, one in enumerate(listed) if is_shown(place, one)]
    folded = [one for place, one in enumerate(listed) if not is_shown(place, one)]
    return Arranged(gated, shown, folded, len(others) - len(listed))


class Parted(NamedTuple):
    """The metrics of a section as a page or a comment shows them."""

    first: list[MetricDelta]
    """Those of gates, and the first that changed."""
    changed: list[MetricDelta]
    """The others that changed, to be folded."""
    unchanged: list[MetricDelta]
    """To be folded as well."""


def parted(section: ModelSection, metrics: Arranged) -> Parted:
    """Return what is shown at once, and what is folded."""
    first = [*metrics.gated, *(one for one in metrics.shown if section.show or one.trend != "unchanged")]
    above = {one.metric for one in first}
    rest = [one for one in metrics.all if one.metric not in above]
    return Parted(
        first,
        [one for one in rest if one.trend != "unchanged"],
        [one for one in rest if one.trend == "unchanged"],
    )


def telling(section: ModelSection) -> MetricDelta | None:
    """Return the most important metric of a model: that of its worst check, else the first that changed."""
    by_name = {metric.metric: metric for metric in arranged(section).all}
    gates = by_severity(section.verdict) if section.verdict else []
    return next(iter((*(by_name[g.metric] for g in gates if g.metric in by_name), *by_name.values())), None)


def _order(one: MetricDelta, classes: Collection[str]) -> tuple[bool, bool, bool, int]:
    wrong, unchanged = one.trend in _WRONG, one.trend == "unchanged"
    return not wrong, one.metric in classes, unchanged, _ATTENTION.get(one.trend, len(_ATTENTION))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name matches a pattern, or is one: names have brackets, too."""
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)
