"""Tests of the mean of a column: of differences example by example, or of one side beside a bound. Needs numpy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ciplug.errors import counted
from ciplug.stats.intervals import Interval, Rule, Undecided, Unit
from ciplug.stats.proportions import clopper_pearson
from ciplug.stats.skewed import corrected_t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ciplug.stats.resampling import Floats

SEEN = 10
"""With fewer values that differ from the usual one, their number counts, too, and not only their mean."""
FEWEST = 5
"""Fewer values are never decided on."""


def skewed_mean(
    values: Floats,
    plain: Floats,
    spread: float,
    rule: Rule,
    *,
    groups: NDArray[np.int64] | None = None,
    weights: Floats | None = None,
) -> Interval | Undecided:
    """A mean by Student's t with Hall's correction (`ciplug.stats.skewed`), of examples or of whole clusters.

    Where fewer than `SEEN` values differ from the most common one, the share of those that a sample would have to have
    met is bounded by Clopper and Pearson, and each may lie `spread` away from it.

    Args:
        values: s·(candidate − k·baseline) of each example, or s·(candidate − bound); all finite.
        plain: d of each example: the values themselves unless the allowance is relative.
        spread: the range of the scores.
        groups: the cluster of each, counted from 0.
        weights: of each example in the mean; None: all alike.
    """
    sizes = np.ones(len(values)) if weights is None else weights
    sums: Floats = values * sizes
    unit: Unit = "example"
    if groups is not None:
        unit = "cluster"
        sums, sizes = (np.bincount(groups, column).astype(np.float64) for column in (sums, sizes))
    n, total = len(sums), float(sizes.sum())
    estimate = float(sums.sum()) / total
    alike = effective_size(sizes)
    if alike < FEWEST:
        return too_few(n, unit, rule) if n < FEWEST else dominated(n, sizes, unit)
    influence = unbiased((sums - estimate * sizes) / total, sizes)
    method = "Student's t with Hall's correction for skewness" + (" of clusters" if unit == "cluster" else "")
    interval = from_influence(estimate, influence, rule, unit=unit, method=method, effective=alike)
    # More units of the same kind have the same spread of weights.
    interval = replace(interval, n=n, floor=math.ceil(interval.floor * n / alike))
    common, usual = _most_common(plain)
    rare = len(plain) - common
    if rare * alike / n >= SEEN:
        return interval
    odd = np.abs(plain - usual) > 1e-12 * max(1.0, abs(usual))
    if groups is not None:
        rare = len(np.unique(groups[odd]))
    largest = 1.0
    if weights is None:
        largest = float(sizes.max()) * n / total
        share = clopper_pearson(rare, n, alpha=rule.alpha)[1] * largest
    else:
        share = clopper_pearson(math.ceil(rare * alike / n), math.floor(alike), alpha=rule.alpha)[1]
    unseen = (1 - rule.alpha ** (1 / alike)) * largest
    low, high = min(interval.low, usual - share * spread), max(interval.high, interval.estimate + unseen * spread)
    p = interval.p if high < rule.bound else max(interval.p, 0.5)
    note = f"{counted(rare, unit)} of {n:,} differ from the others: too few to go by their mean alone"
    if not rare and not usual:
        note = "the candidate and the baseline agree on every example"
    return replace(interval, low=low, high=high, p=p, notes=(note,))


def effective_size(sizes: Floats) -> float:
    """The number of units of one size that say as much as these: (Σw)² / Σw² (L. Kish, 1965)."""
    # Sizes that are all alike count as they are, without rounding.
    return float(len(sizes)) if not np.ptp(sizes) else float(sizes.sum() ** 2 / (sizes * sizes).sum())


def unbiased(influence: Floats, sizes: Floats) -> Floats:
    """Influences whose squares sum up to the variance of a mean by fixed weights, but for n/(n − 1) of equal ones.

    A unit of a large weight pulls the mean towards itself, so its residual is too small: where all values vary alike,
    that of a weight p does so by √(1 − 2p + Σp²), and is divided by it, as J. G. MacKinnon and H. White (1985) do for
    regressions.
    """
    if not np.ptp(sizes):
        return influence
    shares = sizes / sizes.sum()
    squares = float((shares * shares).sum())
    corrected: Floats = influence * np.sqrt((1 - squares) / (1 - 2 * shares + squares))
    return corrected


def dominated(n: int, sizes: Floats, unit: Unit) -> Undecided:
    alike = effective_size(sizes)
    return Undecided(
        f"the weights of {counted(n, unit)} differ so much that they count as {alike:.1f}, and the largest is "
        f"{float(sizes.max() / sizes.sum()):.0%} of all: too few for a test",
        advice="limit the largest weights, or remove 'weight' from 'samples'",
    )


def from_influence(
    estimate: float, influence: Floats, rule: Rule, *, unit: Unit, method: str, effective: float | None = None
) -> Interval:
    """An interval from what each example, or cluster, adds to an estimate: their squares sum up to its variance.

    The infinitesimal jackknife of B. Efron (1982), with Hall's correction by the sum of the cubes.

    Args:
        influence: of each unit, summing up to 0; a mean of n has (value − mean) / n.
        effective: units that the error is known from, where they are fewer.
    """
    n = len(influence) if effective is None else max(2, math.floor(effective))
    square = float((influence * influence).sum())
    if square <= (1e-13 * max(abs(estimate), abs(rule.bound), 1e-300)) ** 2:
        return constant(estimate, n, unit, rule, method)
    skewness = float((influence**3).sum()) / square**1.5 * math.sqrt(n)
    error = math.sqrt(square * n / (n - 1))
    return corrected_t(estimate, error, skewness, n, rule, unit=unit, method=method)


def constant(estimate: float, n: int, unit: Unit, rule: Rule, method: str) -> Interval:
    """The interval of values that are all the same."""
    margin = rule.margin
    interval = Interval(
        estimate=estimate,
        low=estimate,
        high=estimate,
        p=1.0 if estimate >= margin.bound else 0.5**n,
        method=method,
        n=n,
        unit=unit,
        rule=margin,
        notes=("the difference is the same for every example: any change counts as real",) if estimate else (),
    )
    return rule.of_margin(interval)


def unchanged(n: int, rule: Rule) -> Interval:
    """The interval where both sides have the same numbers, among them ones that no other model would give."""
    return Interval(
        estimate=0.0,
        low=0.0,
        high=0.0,
        p=1.0 if rule.bound <= 0 else 0.0,
        method="the same answers",
        n=n,
        unit="example",
        rule=rule,
        notes=("every number of every example is the same as in the baseline",),
    )


def too_few(n: int, unit: Unit, rule: Rule) -> Undecided:
    return Undecided(f"{counted(n, unit)}: too few for a test at α = {rule.alpha:g}")


def _most_common(values: Floats) -> tuple[int, float]:
    distinct, counts = np.unique(values, return_counts=True)
    at = int(counts.argmax())
    return int(counts[at]), float(distinct[at])
