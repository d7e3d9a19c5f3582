"""Has the data moved? A current window beside a reference, column by column. Pure, standard library alone.

Numbers: the population stability index with a threshold that depends on n, or the Kolmogorov–Smirnov test.
Categories: χ². Missing values and categories that the reference never had are always reported. `holm` corrects
over the columns.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ciplug.stats.distributions import chi2_sf
from ciplug.stats.intervals import Undecided
from ciplug.stats.sample import Sample

DriftTest = Literal["psi", "ks", "chi2"]
Counts = Mapping[str | None, int]
"""Category → how often it occurs; None: a missing value."""

MISSING, OTHER = "(missing)", "(rare)"
MIN_EXPECTED = 5
"""Categories that are expected less often count as one: below, χ² is not an approximation (W. G. Cochran, 1954)."""
EXACT_CELLS = 10_000
"""n·m up to which the Kolmogorov–Smirnov p is exact."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One column."""

    test: DriftTest
    statistic: float
    p: float
    """P(a statistic this large | no drift); what `holm` takes over the columns."""
    effect: float
    """Size of the drift whatever n: the index itself, the KS distance, Cramér's V."""
    missing: tuple[float, float]
    """Share of missing values, reference and current."""
    new: tuple[str, ...] = ()
    """Categories that the reference never had."""

    def drifted(self, *, alpha: float, floor: float, adjusted_p: float | None = None) -> bool:
        """More than noise, and more than `floor`: with a million rows, everything differs from everything.

        A NaN anywhere is drift.
        """
        p = self.p if adjusted_p is None else adjusted_p
        return not (p > alpha or self.effect < floor)


def numeric(reference: Sample, current: Sample, *, test: DriftTest = "psi", bins: int = 10) -> Drift | Undecided:
    """Drift of a column of numbers.

    `psi` bins by the reference's quantiles, and missing values are a bin of their own; `ks` compares the numbers only.
    An empty side is Undecided, as is one without a number for `ks`.
    """
    if not reference.rows or not current.rows:
        return _empty(reference.rows)
    if test == "ks":
        return _ks(reference, current)
    if test != "psi":
        raise ValueError(f"'{test}' is not a test for numbers")
    if bins < 2:
        raise ValueError(f"two bins or more are needed, not {bins}")
    n = len(reference)
    edges = sorted({reference.at(n * i // bins) for i in range(1, bins)}) if n else []
    before, now = ([*_binned(side, edges), side.missing] for side in (reference, current))
    return _psi(before, now, _missing(reference, current))


def categorical(reference: Counts, current: Counts) -> Drift | Undecided:
    """Drift of a column of categories by χ² of homogeneity; None is a missing value, and a category like the others.

    An empty side is Undecided.
    """
    n, m = sum(reference.values()), sum(current.values())
    if not n or not m:
        return _empty(n)
    before, now = (Counter({MISSING if c is None else c: k for c, k in side.items()}) for side in (reference, current))
    smaller = min(n, m) / (n + m)
    table: dict[str, list[int]] = {}
    for category in before | now:
        rare = (before[category] + now[category]) * smaller < MIN_EXPECTED
        row = table.setdefault(OTHER if rare else category, [0, 0])
        row[0] += before[category]
        row[1] += now[category]
    statistic = _pearson([(a, b) for a, b in table.values()], n, m)
    df = len(table) - 1
    return Drift(
        test="chi2",
        statistic=statistic,
        p=chi2_sf(statistic, df) if df else 1.0,
        effect=math.sqrt(statistic / (n + m)),
        missing=(before[MISSING] / n, now[MISSING] / m),
        new=tuple(sorted(now.keys() - before.keys() - {MISSING})),
    )


def _ks(reference: Sample, current: Sample) -> Drift | Undecided:
    n, m = len(reference), len(current)
    if not n or not m:
        return Undecided(f"the {'current window' if n else 'reference'} has no number, only missing values")
    distance = ks_distance(reference, current)
    return Drift(
        test="ks",
        statistic=distance,
        p=ks_sf(distance, n, m),
        effect=distance,
        missing=_missing(reference, current),
    )


def _missing(reference: Sample, current: Sample) -> tuple[float, float]:
    return reference.missing / reference.rows, current.missing / current.rows


def _psi(before: list[int], now: list[int], missing: tuple[float, float]) -> Drift:
    n, m = sum(before), sum(now)
    occupied = [(a, b) for a, b in zip(before, now, strict=True) if a or b]
    index = 0.0
    for a, b in occupied:
        # Half a row in place of none: the logarithm of 0 is not finite.
        p, q = (a or 0.5) / n, (b or 0.5) / m
        index += (q - p) * math.log(q / p)
    df = len(occupied) - 1
    # With few rows the logarithms stretch the tail of the index: where Pearson's statistic, which has the same limit
    # and is truer to it, sees no drift, there is none.
    nearest = min(index / (1 / n + 1 / m), _pearson(occupied, n, m))
    return Drift(
        test="psi",
        statistic=index,
        p=chi2_sf(nearest, df) if df else 1.0,
        effect=index,
        missing=missing,
    )


def _pearson(table: Sequence[tuple[int, int]], n: int, m: int) -> float:
    """χ² of homogeneity of two columns of counts that sum to n and m; no row is empty."""
    # (a·m − b·n)² / (n·m·(a + b)) is both cells of a row.
    return math.fsum((a * m - b * n) ** 2 / (n * m * (a + b)) for a, b in table)


def _binned(sample: Sample, edges: Sequence[float]) -> list[int]:
    """Count the numbers below the first edge, at or above it, …"""
    ranks = [0, *map(sample.below, edges), len(sample)]
    return [high - low for low, high in itertools.pairwise(ranks)]


def ks_distance(first: Sample, second: Sample) -> float:
    """The largest distance between two empirical distribution functions, neither of them empty."""
    n, m, i, j, largest = len(first), len(second), 0, 0, 0
    ours, theirs = iter(first), iter(second)
    a, b = next(ours, None), next(theirs, None)
    while a is not None and b is not None:
        value = min(a, b)
        while a == value:
            i, a = i + 1, next(ours, None)
        while b == value:
            j, b = j + 1, next(theirs, None)
        largest = max(largest, abs(i * m - j * n))
    return largest / (n * m)


def ks_sf(distance: float, n: int, m: int) -> float:
    """P(a distance this large | one distribution): exact where n·m is small, else Kolmogorov's limit.

    Ties make it conservative.
    """
    if n * m > EXACT_CELLS:
        return kolmogorov_sf(distance * math.sqrt(n * m / (n + m)))
    # Of all paths through the lattice, the share that comes as far from the diagonal (J. L. Hodges, 1958).
    far = round(distance * n * m)
    if far == 0:
        return 1.0
    # near[j]: P(a path to (i, j) has stayed near the diagonal); each remaining step is equally likely.
    near = [0.0] * (m + 1)
    for i in range(n + 1):
        for j in range(m + 1):
            if i == j == 0:
                near[0] = 1.0
                continue
            above = near[j] * i / (i + j) if i else 0.0
            left = near[j - 1] * j / (i + j) if j else 0.0
            near[j] = above + left if abs(i * m - j * n) < far else 0.0
    return max(0.0, 1 - near[m])


def kolmogorov_sf(x: float) -> float:
    """P(K > x) of Kolmogorov's distribution: the alternating series, or its twin by theta functions for small x."""
    if x < 0.03:  # the difference to 1 is smaller than a float can show
        return 1.0
    if x < 1.18:
        step = -(math.pi**2) / (8 * x * x)
        total = math.fsum(math.exp((2 * k - 1) ** 2 * step) for k in range(1, 8))
        return 1 - math.sqrt(2 * math.pi) / x * total
    return min(1.0, 2 * math.fsum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 12)))


def _empty(reference_rows: int) -> Undecided:
    return Undecided(f"the {'current window' if reference_rows else 'reference'} is empty")
