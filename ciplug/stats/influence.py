"""Scores that are no mean of a column, by what each example adds to them. Needs numpy: import it where it is used.

F1, precision and AUC are smooth functions of means, so their error follows from the influence of each example on them:
nothing is drawn, and the skewness that few positives cause is seen. What counts is not the number of examples but that
of the smaller class: with 3 positives among 1,000 examples, nobody knows a recall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ciplug.errors import counted
from ciplug.stats.intervals import Interval, Rule, Undecided, Unit
from ciplug.stats.mean_tests import SEEN, from_influence
from ciplug.stats.proportions import clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ciplug.stats.resampling import Floats

FEWEST = 10
"""Examples of the smaller class that a score needs to be judged at all."""


@dataclass(frozen=True)
class Influence:
    """A score on one side."""

    value: float
    """NaN where it is undefined."""
    each: Floats
    """What each row adds: its influence, divided by the number of rows; sums up to 0."""


def of_class(metric: str, labelled: NDArray[np.bool_], predicted: NDArray[np.bool_], weights: Floats) -> Influence:
    """F1, precision or recall of one class: ratios of two sums."""
    true = (labelled & predicted) * weights
    if metric == "f1":
        above, below = 2 * true, labelled * weights + predicted * weights
    else:
        above, below = true, (predicted if metric == "precision" else labelled) * weights
    total = float(below.sum())
    if not total:
        return Influence(math.nan, np.zeros(len(true)))
    value = float(above.sum()) / total
    return Influence(value, (above - value * below) / total)


def of_classes(
    metric: str, average: str, labels: NDArray[Any], predictions: NDArray[Any], each_weighs: Floats
) -> Influence:
    """The average over all classes; `balanced` is over those that are labels, of the recall. As sklearn has it."""
    value, each, weights = 0.0, np.zeros(len(labels)), 0.0
    size = float(each_weighs.sum())
    parts: list[tuple[float, Influence, Floats]] = []
    for name in np.unique(np.concatenate([labels, predictions])):
        labelled, predicted = labels == name, predictions == name
        if average == "balanced" and not labelled.any():
            continue
        one = of_class(metric, labelled, predicted, each_weighs)
        one = one if math.isfinite(one.value) else Influence(0.0, one.each)
        weight = float((labelled * each_weighs).sum()) / size if average == "weighted" else 1.0
        moves = (labelled - weight) * each_weighs / size if average == "weighted" else np.zeros(len(labels))
        parts.append((weight, one, moves))
        weights += weight
    for weight, one, moves in parts:
        value += weight * one.value / weights
        each += (weight * one.each + one.value * moves) / weights
    return Influence(value, each)


def of_auc(labels: Floats, numbers: Floats, weights: Floats) -> Influence:
    """The area under the ROC curve by its placements (E. R. DeLong and others, 1988); ties count half."""
    positive = labels == 1
    if positive.all() or not positive.any():
        return Influence(math.nan, np.zeros(len(labels)))
    placements, shares = np.empty(len(labels)), np.empty(len(labels))
    for rows, others, turned in ((positive, ~positive, False), (~positive, positive, True)):
        order = np.argsort(numbers[others])
        sorted_numbers = numbers[others][order]
        up_to = np.append(0.0, np.cumsum(weights[others][order]))
        left, right = (np.searchsorted(sorted_numbers, numbers[rows], side) for side in ("left", "right"))
        below = (up_to[left] + up_to[right]) / (2 * up_to[-1])
        placements[rows] = 1 - below if turned else below
        shares[rows] = weights[rows] / weights[rows].sum()
    value = float((placements * shares)[positive].sum())
    return Influence(value, (placements - value) * shares)


def compare(
    new: Influence,
    old: Influence | float,
    rule: Rule,
    *,
    classes: Floats,
    differing: int,
    clusters: NDArray[np.int64] | None,
    method: str,
) -> Interval | Undecided:
    """The test of two scores on the same rows; `old` is a number where the score is held against a bound.

    Args:
        classes: the sizes of the classes that the score is about, by examples of equal weight.
        differing: rows of these classes on which the sides differ; against a bound, that are not as most are.
        clusters: the cluster of each row.
    """
    base = Influence(old, np.zeros(len(new.each))) if isinstance(old, float) else old
    if not (math.isfinite(new.value) and math.isfinite(base.value)):
        return Undecided("the score is undefined on these examples: are all of one class?")
    # As Satterthwaite's degrees of freedom (1946): those of the class that adds most to the variance.
    n = float((1 / classes).sum() ** 2 / (1 / classes**3).sum())
    if n < FEWEST:
        least = counted(int(classes.min()), "example")
        return Undecided(f"{least} of the smallest class: too few to decide on, {FEWEST} are needed")
    k = rule.scale
    estimate = rule.sign * (new.value - k * base.value)
    each: Floats = rule.sign * (new.each - k * base.each)
    unit: Unit = "rare example" if classes[0] < len(each) else "example"
    if clusters is not None:
        unit, each = "cluster", np.bincount(clusters, each).astype(np.float64)
        n = min(n, len(each))
        if n < FEWEST:
            return Undecided(f"{counted(len(each), 'cluster')}: too few for a test of this score")
    interval = from_influence(estimate, each, rule, unit=unit, method=method, effective=n)
    if differing >= SEEN:
        return interval
    share = clopper_pearson(min(differing, math.floor(n)), math.floor(n), alpha=rule.alpha)[1]
    low, high = min(interval.low, -share), max(interval.high, share)
    if isinstance(old, float):
        low, high = min(interval.low, interval.estimate - share), max(interval.high, interval.estimate + share)
    note = f"{counted(differing, 'example')} differ: too few to go by the score alone"
    if not differing:
        note = "the candidate and the baseline agree on every example"
    return replace(interval, low=low, high=high, p=max(interval.p, 0.5), notes=(*interval.notes, note))
