"""Step-down max-T: p-values of many tests at once, corrected by how the tests go together. Needs numpy.

Holm's correction holds whatever the tests have to do with each other. Slices and metrics of the same examples are often
nearly the same test, and then it is too blunt. P. H. Westfall and S. S. Young (1993), J. P. Romano and M. Wolf (2005)
draw the largest of all statistics from the data instead, with all tests on the same resample, and step down from the
most significant test: the others are then compared with fewer.

A resample multiplies what each example, or cluster, adds to the estimates by one normal number (V. Chernozhukov, D.
Chetverikov and K. Kato, 2013). Each test enters by its own p-value, so that it keeps its exact or skewed distribution;
what is drawn is how the tests depend on each other. Tests without examples, or on other examples, may depend on these
in any way: there the bound of C. E. Bonferroni is added. No corrected value exceeds Holm's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ciplug.stats.contributions import Contributions
from ciplug.stats.distributions import normal_isf
from ciplug.stats.holm import holm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ciplug.stats.resampling import Floats

K = TypeVar("K")
MOST, LEAST = 10_000, 1_000
"""Resamples: fewer where many tests have many examples."""
WORK = 2e10
BLOCK = 4_000_000
"""Normal numbers that are held at once."""
DENSE = 20_000_000
"""Examples × tests up to which their covariance is computed."""


def influence_of(of: str, units: NDArray[np.int64], each: Floats) -> Contributions:
    """The influence of units, which may occur more than once."""
    distinct, at = np.unique(units, return_inverse=True)
    return Contributions(of, distinct, np.bincount(at, each, len(distinct)).astype(np.float64))


def step_down(p_values: Mapping[K, float], influences: Mapping[K, Contributions]) -> dict[K, float]:
    """The corrected p-values, by the keys of the tests; a NaN counts as 1.

    Args:
        influences: of the tests that have them.
    """
    p_of = {key: 1.0 if math.isnan(p) else p for key, p in p_values.items()}
    ordered = sorted(p_of, key=p_of.__getitem__)
    rank = {key: place for place, key in enumerate(ordered)}
    groups: dict[str, list[K]] = {}
    for key in ordered:
        one = influences.get(key)
        if one is not None and one.each.any() and np.isfinite(one.each).all():
            groups.setdefault(one.of, []).append(key)
    families = [_Family([rank[key] for key in keys], [influences[key] for key in keys]) for keys in groups.values()]
    together = {key for keys in groups.values() for key in keys}
    alone = len(ordered) - len(together)
    bonferroni = holm(p_of)
    adjusted: dict[K, float] = {}
    highest = 0.0
    for place, key in enumerate(ordered):
        p = p_of[key]
        value = normal_isf(p) if 0 < p < 1 else math.copysign(math.inf, 0.5 - p)
        sum_of_tails = alone * p + sum(family.beyond(place, value) for family in families)
        highest = max(highest, p, min(1.0, sum_of_tails))
        adjusted[key] = min(highest, bonferroni[key])
        alone -= key not in together
    return adjusted


def _drawn(influences: list[Contributions], generator: np.random.Generator) -> Floats:
    """The statistic of each test on each resample, shape (resamples, tests): normal, each with a variance of 1."""
    units = np.unique(np.concatenate([one.units for one in influences]))
    columns = [
        (np.searchsorted(units, one.units), one.each / math.sqrt(float(one.each @ one.each))) for one in influences
    ]
    m = len(columns)
    if len(units) * m <= DENSE and m <= LEAST:
        # The sums of normal multiples are normal, with the products of the columns as their covariance.
        table = np.zeros((len(units), m))
        for number, (used, each) in enumerate(columns):
            table[used, number] = each
        values, vectors = np.linalg.eigh(table.T @ table)
        factors = vectors * np.sqrt(np.maximum(values, 0))
        return np.asarray(generator.standard_normal((MOST, m)) @ factors.T)
    work = sum(len(used) for used, _ in columns) + len(units)
    draws = int(min(MOST, max(LEAST, WORK / work)))
    statistics = np.empty((draws, m), np.float64)
    rows = max(1, BLOCK // len(units))
    for start in range(0, draws, rows):
        normal = generator.standard_normal((min(rows, draws - start), len(units)))
        for number, (used, each) in enumerate(columns):
            statistics[start : start + len(normal), number] = normal[:, used] @ each
    return statistics


class _Family:
    """Tests on the same examples, the most significant first, and the largest statistics of all resamples."""

    def __init__(self, ranks: list[int], influences: list[Contributions]) -> None:
        self._ranks = np.asarray(ranks)
        if len(influences) < 2:
            self._largest = np.empty((0, len(influences)))
            return
        seed = int(influences[0].of[:16], 16)
        statistics = _drawn(influences, np.random.default_rng(seed))
        # From each test on to the last: the largest statistic of the tests that are left.
        self._largest = np.sort(np.maximum.accumulate(statistics[:, ::-1], axis=1)[:, ::-1], axis=0)

    def beyond(self, place: int, value: float) -> float:
        """P(the largest statistic of the tests from this rank on is as large as the value)."""
        first = int(np.searchsorted(self._ranks, place))
        left = len(self._ranks) - first
        if not left:
            return 0.0
        if left == 1:
            return float(0.5 * math.erfc(value / math.sqrt(2)))
        column = self._largest[:, first]
        return float(1 + len(column) - np.searchsorted(column, value)) / (1 + len(column))
