"""The step curves of a report: of one metric in training and in validation, over those of the baseline."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ciplug.errors import counted
from ciplug.reports import number_format
from ciplug.reports.charts import Chart, Line

if TYPE_CHECKING:
    from ciplug.records.series import Series

WIDTH = 560
"""Steps need more room than a history of a few runs."""
_TRAINING = ("training", "train")
_PART = re.compile(
    rf"(?:^|(?<=[/._ -]))({'|'.join(_TRAINING)}|validation|valid|val|evaluation|eval)(?:[/._ -]|$)", re.IGNORECASE
)
"""The word of a metric's name that tells where it was measured: `val_loss`, `train/loss`, `loss.validation`."""


class Curve(NamedTuple):
    """A chart, and what its lines are: class of the style sheet → word."""

    chart: Chart
    legend: Mapping[str, str]


def curves(
    names: Iterable[str],
    ours: Mapping[str, Series],
    theirs: Mapping[str, Series],
    *,
    baseline: str,
    bounds: Mapping[str, Sequence[tuple[str, float]]],
) -> Iterator[Curve]:
    """Yield a curve for each metric that has a finite value; training and validation of one metric share it.

    Args:
        names: the metrics of `ours`, in their order.
        theirs: the series of the baseline's run.
        baseline: its label.
        bounds: metric → what gates allow.
    """
    for first, second in _pairs([name for name in names if _finite(ours[name])]):
        yield _curve(first, second, ours, theirs, baseline, bounds)


def _pairs(names: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each name with the one of the same metric that was measured elsewhere, if there is exactly one."""
    by_metric: dict[str, list[str]] = {}
    for name in names:
        by_metric.setdefault(_metric(name), []).append(name)
    paired: set[str] = set()
    for name in names:
        if name in paired:
            continue
        others = [one for one in by_metric[_metric(name)] if one != name]
        other = others[0] if len(others) == 1 else None
        paired |= {name, other or name}
        # Training comes first, and what names no part is of it.
        yield (other, name) if other and _is_validation(name) else (name, other)


def _is_validation(name: str) -> bool:
    part = _PART.search(name)
    return part is not None and part[1].lower() not in _TRAINING


def _metric(name: str) -> str:
    """The name without the word that tells where it was measured."""
    return _PART.sub("", name, count=1).strip("/._ -").lower() or name


def _curve(
    first: str,
    second: str | None,
    ours: Mapping[str, Series],
    theirs: Mapping[str, Series],
    baseline: str,
    bounds: Mapping[str, Sequence[tuple[str, float]]],
) -> Curve:
    lines, legend = [], {"": first}
    if second:
        legend["second"] = second
    if first in theirs:
        lines.append(Line(kind="baseline", points=_points(theirs[first])))
        legend["baseline"] = f"{first}, {baseline}" if second else baseline
    if second:
        if second in theirs:
            lines.append(Line(kind="second baseline", points=_points(theirs[second])))
            legend["second baseline"] = f"{second}, {baseline}"
        lines.append(Line(kind="second", points=_points(ours[second])))
    finite = _finite(ours[first])
    low, high = number_format.numbers([min(finite), max(finite)])
    allowed = [*bounds.get(first, ()), *(bounds.get(second, ()) if second else ())]
    chart = Chart(
        title=f"{first}, {second}" if second else first,
        description=f"{first} over {counted(len(ours[first].values), 'step')}, from {low} to {high}",
        points=_points(ours[first]),
        others=lines,
        bounds=near(allowed, finite),
        x_label="step",
        width=WIDTH,
    )
    return Curve(chart, legend if lines else {})


def _points(series: Series) -> list[tuple[float, float]]:
    return [(float(step), value) for step, value in zip(series.steps, series.values, strict=True)]


def _finite(series: Series) -> list[float]:
    return [value for value in series.values if math.isfinite(value)]


def near(bounds: Iterable[tuple[str, float]], values: Sequence[float]) -> list[tuple[float, str]]:
    """The bounds that can be drawn without making a curve of these finite values flat, as a chart takes them."""
    low, high = min(values), max(values)
    room = 2 * (high - low) or max(abs(low), 1.0)
    return [(bound, word) for word, bound in bounds if low - room <= bound <= high + room]
