"""Has the data moved? A current window beside a reference, column by column. Pure, standard library alone.

Numbers: the population stability index with a threshold that knows n, or the Kolmogorov–Smirnov test.
Categories: χ². Missing values and categories that the reference never had are said in any case. `holm` corrects
over the columns.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ciplug.stats.distributions import chi2_isf, chi2_sf
from ciplug.stats.intervals import Undecided

DriftTest = Literal["psi", "ks", "chi2"]

MISSING, OTHER = "(missing)", "(rare)"
MIN_EXPECTED = 5
"""Categories that are expected less often count as one: below, χ² is no approximation (W. G. Cochran, 1954)."""
EXACT_CELLS = 10_000
"""n·m up to which the Kolmogorov–Smirnov p is counted out."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One column."""

    test: DriftTest
    statistic: float
    p: float
    """P(a statistic this large | no drift); what `holm` takes over the columns."""
    effect: float
    """Size of the drift whatever n: the index itself, the KS distance, Cramér's V."""
    reference_n: int
    current_n: int
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


def numeric(
    reference: Sequence[float], current: Sequence[float], *, test: DriftTest = "psi", bins: int = 10
) -> Drift | Undecided:
    """Drift of a column of numbers; NaN is a missing value, infinities are numbers.

    `psi` bins by the reference's quantiles, and missing values are a bin of their own; `ks` looks at those present.
    An empty side is Undecided, as is one without a number for `ks`.
    """
    if not reference or not current:
        return _empty(reference)
    here = sorted(value for value in reference if not math.isnan(value))
    now = sorted(value for value in current if not math.isnan(value))
    missing = 1 - len(here) / len(reference), 1 - len(now) / len(current)
    if test == "ks":
        if not here or not now:
            return Undecided(f"the {'current window' if here else 'reference'} has no number, only missing values")
        distance = ks_distance(here, now)
        return Drift(
            test="ks",
            statistic=distance,
            p=ks_sf(distance, len(here), len(now)),
            effect=distance,
            reference_n=len(here),
            current_n=len(now),
            missing=missing,
        )
    if test != "psi":
        raise ValueError(f"'{test}' is no test for numbers")
    if bins < 2:
        raise ValueError(f"{bins} bins tell nothing apart: two or more are needed")
    edges = sorted({here[len(here) * i // bins] for i in range(1, bins)}) if here else []
    counts = [_binned(values, edges) for values in (here, now)]
    counts[0].append(len(reference) - len(here))
    counts[1].append(len(current) - len(now))
    return _psi(counts[0], counts[1], missing)


def categorical(reference: Sequence[str | None], current: Sequence[str | None]) -> Drift | Undecided:
    """Drift of a column of categories by χ² of homogeneity; None is a missing value, and a category like the others.

    An empty side is Undecided.
    """
    if not reference or not current:
        return _empty(reference)
    here, now = (Counter(MISSING if value is None else value for value in side) for side in (reference, current))
    n, m = len(reference), len(current)
    smaller = min(n, m) / (n + m)
    table: dict[str, list[int]] = {}
    for category in here | now:
        rare = (here[category] + now[category]) * smaller < MIN_EXPECTED
        row = table.setdefault(OTHER if rare else category, [0, 0])
        row[0] += here[category]
        row[1] += now[category]
    statistic = _pearson([(a, b) for a, b in table.values()], n, m)
    df = len(table) - 1
    return Drift(
        test="chi2",
        statistic=statistic,
        p=chi2_sf(statistic, df) if df else 1.0,
        effect=math.sqrt(statistic / (n + m)),
        reference_n=n,
        current_n=m,
        missing=(here[MISSING] / n, now[MISSING] / m),
        new=tuple(sorted(str(category) for category in now.keys() - here.keys() - {MISSING})),
    )


def psi_threshold(n: int, m: int, bins: int, *, alpha: float) -> float:
    """What the index of n and m rows in so many bins exceeds with probability α without any drift.

    It is (1/n + 1/m)·χ²(B − 1, 1 − α) for large n and m (B. Yurdakul, J. Naranjo, "Statistical properties of the
    population stability index", 2020): the customary 0.1 and 0.2 mean something else at every n.
    """
    return (1 / n + 1 / m) * chi2_isf(alpha, bins - 1)


def _psi(here: list[int], now: list[int], missing: tuple[float, float]) -> Drift:
    n, m = sum(here), sum(now)
    occupied = [(a, b) for a, b in zip(here, now, strict=True) if a or b]
    index = 0.0
    for a, b in occupied:
        # Half a row in place of none: the logarithm of nothing is no number.
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
        reference_n=n,
        current_n=m,
        missing=missing,
    )


def _pearson(table: Sequence[tuple[int, int]], n: int, m: int) -> float:
    """χ² of homogeneity of two columns of counts that sum to n and m; no row is empty."""
    # (a·m − b·n)² / (n·m·(a + b)) is both cells of a row.
    return math.fsum((a * m - b * n) ** 2 / (n * m * (a + b)) for a, b in table)


def _binned(values: Sequence[float], edges: Sequence[float]) -> list[int]:
    """How many of the ascending values stand below the first edge, at or above it, …"""
    places = [0, *(bisect.bisect_left(values, edge) for edge in edges), len(values)]
    return [high - low for low, high in itertools.pairwise(places)]


def ks_distance(first: Sequence[float], second: Sequence[float]) -> float:
    """The largest distance between two empirical distribution functions, both sides ascending and not empty."""
    n, m, i, j, largest = len(first), len(second), 0, 0, 0
    while i < n and j < m:
        value = min(first[i], second[j])
        while i < n and first[i] == value:
            i += 1
        while j < m and second[j] == value:
            j += 1
        largest = max(largest, abs(i * m - j * n))
    return largest / (n * m)


def ks_sf(distance: float, n: int, m: int) -> float:
    """P(a distance this large | one distribution): counted out where n·m is small, else Kolmogorov's limit.

    Ties make it conservative.
    """
    if n * m > EXACT_CELLS:
        return kolmogorov_sf(distance * math.sqrt(n * m / (n + m)))
    # Of all ways through the lattice, the share of those that come as far from the diagonal (J. L. Hodges, 1958).
    far = round(distance * n * m)
    if far == 0:
        return 1.0
    # reached[j]: P(a way to (i, j) has stayed near), by steps that are equally likely among what remains.
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
    if x < 0.03:  # what is missing to 1 is beyond the floats
        return 1.0
    if x < 1.18:
        step = -(math.pi**2) / (8 * x * x)
        total = math.fsum(math.exp((2 * k - 1) ** 2 * step) for k in range(1, 8))
        return 1 - math.sqrt(2 * math.pi) / x * total
    return min(1.0, 2 * math.fsum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 12)))


def _empty(reference: Sequence[object]) -> Undecided:
    return Undecided(f"the {'current window' if reference else 'reference'} is empty")
