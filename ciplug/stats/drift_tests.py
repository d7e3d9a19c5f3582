"""Has the data moved? A current window beside a reference, column by column. Pure, standard library alone.

Numbers: the population stability index with a threshold that depends on n, or the Kolmogorov–Smirnov test.
Categories: χ², and the share of rows whose category the reference never had. In any column, the shares of missing
values and of values of another kind. `holm` corrects over all of these.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ciplug.stats.distributions import chi2_sf, normal_sf
from ciplug.stats.intervals import Undecided
from ciplug.stats.sample import Sample

DriftTest = Literal["psi", "ks", "chi2", "missing", "not_numbers", "new"]
"""missing: the share of missing values. not_numbers: that of texts among numbers. new: that of rows with a category
that the reference never had."""
Counts = Mapping[str | None, int]
"""Category → how often it occurs; None: a missing value."""

MIN_EXPECTED = 5
"""Categories that are expected less often count as one: below, χ² is not an approximation (W. G. Cochran, 1954)."""
EXACT_CELLS = 10_000
"""n·m up to which the Kolmogorov–Smirnov p is exact."""
MIN_NUMBERS = 10
"""With fewer numbers on a side, there are not two bins of `MIN_EXPECTED`."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One test of a column."""

    test: DriftTest
    statistic: float
    p: float
    """P(a statistic this large | no drift); what `holm` takes over the columns."""
    effect: float
    """Size of the drift whatever n: the index itself, the KS distance, Cramér's V, the difference of two shares."""
    shares: tuple[float, float] | None = None
    """Of a test of shares: that of the reference, and of the current window."""
    new: tuple[str, ...] = ()
    """Categories that the reference never had."""

    def drifted(self, *, alpha: float, floor: float, adjusted_p: float | None = None) -> bool:
        """More than noise, and more than `floor`: with a million rows, everything differs from everything.

        A NaN anywhere is drift.
        """
        p = self.p if adjusted_p is None else adjusted_p
        return not (p > alpha or self.effect < floor)


def numeric(reference: Sample, current: Sample, *, test: DriftTest = "psi", bins: int = 10) -> Drift | Undecided:
    """Drift of the numbers of a column; what is missing is a matter of `share`.

    `psi` bins by the reference's quantiles; a value that is frequent there has a bin of its own, so that a constant, or
    the zeros of a column that is mostly 0, can be left. A side without numbers is Undecided, as is one with fewer than
    `MIN_NUMBERS` for `psi`.
    """
    n, m = len(reference), len(current)
    if not n or not m:
        return Undecided(f"the {'current window' if n else 'reference'} has no number")
    if test == "ks":
        return _ks(reference, current)
    if test != "psi":
        raise ValueError(f"'{test}' is not a test for numbers")
    if bins < 2:
        raise ValueError(f"two bins or more are needed, not {bins}")
    if min(n, m) < MIN_NUMBERS:
        where = "reference" if n < MIN_NUMBERS else "current window"
        return Undecided(f"the {where} has {min(n, m)} numbers, fewer than {MIN_NUMBERS}: use test: ks")
    edges = _edges(reference, min(n, m), bins)
    return _psi(_binned(reference, edges), _binned(current, edges))


def _edges(reference: Sample, smaller: int, bins: int) -> list[float]:
    """The limits of the bins: `bins` quantiles of the values that are not frequent, and each frequent value alone.

    Args:
        smaller: the count of numbers of the smaller side, which has `MIN_EXPECTED` or more in each quantile.
    """
    n = len(reference)
    frequent: list[float] = []
    rest: list[tuple[int, int]] = []
    """The ranks of the other values, from and to."""
    start = 0
    for value in sorted({reference.at(n * i // bins) for i in range(bins)}):
        first, end = reference.below(value), reference.below(math.nextafter(value, math.inf))
        if (end - first) * bins >= n:
            frequent.append(value)
            rest.append((start, first))
            start = end
    rest.append((start, n))
    others = sum(end - first for first, end in rest)
    parts = min(bins, others * smaller // n // MIN_EXPECTED)
    quantiles = {reference.at(_rank(rest, others * i // parts)) for i in range(1, parts)}
    return sorted(quantiles | {limit for value in frequent for limit in (value, math.nextafter(value, math.inf))})


def _rank(parts: Sequence[tuple[int, int]], place: int) -> int:
    """The rank at a place among the ranks of several parts."""
    for first, end in parts:
        if place < end - first:
            return first + place
        place -= end - first
    raise IndexError(place)


def share(test: DriftTest, reference: tuple[int, int], current: tuple[int, int]) -> Drift:
    """Drift of a share, given as (rows, of so many), of so many more than 0."""
    (a, n), (b, m) = reference, current
    table = [row for row in ((a, b), (n - a, m - b)) if sum(row)]
    return Drift(
        test=test,
        statistic=_pearson(table, n, m),
        p=_share_p(a, n, b, m),
        effect=abs(b / m - a / n),
        shares=(a / n, b / m),
    )


def _share_p(a: int, n: int, b: int, m: int, *, more: bool = False) -> float:
    """The p of a of n beside b of m, two-sided, or of so many more: by χ², or exactly where one of them is rare."""
    table = [row for row in ((a, b), (n - a, m - b)) if sum(row)]
    if len(table) < 2:
        return 1.0
    if min(map(sum, table)) * min(n, m) < MIN_EXPECTED * (n + m):
        return fisher(a, n, b, m, more=more)
    p = chi2_sf(_pearson(table, n, m), 1)
    return p if not more else p / 2 if b * n > a * m else 1 - p / 2


def fisher(a: int, n: int, b: int, m: int, *, more: bool = False) -> float:
    """Fisher's exact p of a of n beside b of m: two-sided, or P(b or more). R. A. Fisher, 1935."""
    k = a + b
    low, high = max(0, k - n), min(k, m)

    def log_probability(x: int) -> float:
        return _log_choose(m, x) + _log_choose(n, k - x) - _log_choose(n + m, k)

    if more:
        return min(1.0, math.fsum(math.exp(log_probability(x)) for x in range(b, high + 1)))
    limit = log_probability(b) + 1e-7
    chances = (log_probability(x) for x in range(low, high + 1))
    return min(1.0, math.fsum(math.exp(one) for one in chances if one <= limit))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def categorical(reference: Counts, current: Counts) -> Drift | Undecided:
    """Drift of a column of categories by χ² of homogeneity, without its missing values.

    A side without a value is Undecided, as are columns whose values are so rare on both sides that nothing is left to
    compare: ids, say.
    """
    before, now = ({c: k for c, k in side.items() if c is not None and k} for side in (reference, current))
    n, m = sum(before.values()), sum(now.values())
    if not n or not m:
        return Undecided(f"the {'current window' if n else 'reference'} has no value")
    table = _lumped({c: (before.get(c, 0), now.get(c, 0)) for c in before | now}, n, m)
    statistic = _pearson(table, n, m)
    df = len(table) - 1
    return Drift(
        test="chi2",
        statistic=statistic,
        p=chi2_sf(statistic, df) if df else 1.0,
        effect=math.sqrt(statistic / (n + m)),
        new=tuple(sorted(now.keys() - before.keys())),
    )


def new_categories(reference: Counts, current: Counts) -> Drift | Undecided:
    """Drift by the share of rows whose category the reference never had.

    Without drift it is that of the reference's rows whose category no other row has (I. J. Good, 1953), whose own
    variance grows with the categories that occur twice (D. A. McAllester and R. E. Schapire, 2000). Where most rows of
    the reference are alone in their category, as ids are, new ones are what is to be expected: Undecided.
    """
    before, now = ({c: k for c, k in side.items() if c is not None and k} for side in (reference, current))
    n, m = sum(before.values()), sum(now.values())
    if not n or not m:
        return Undecided(f"the {'current window' if n else 'reference'} has no value")
    alone, twice = (sum(k == often for k in before.values()) for often in (1, 2))
    unseen = sum(k for c, k in now.items() if c not in before)
    if 2 * alone > n:
        return Undecided("most of its values occur once, as those of an id do")
    pooled = (alone + unseen) / (n + m)
    spread = math.sqrt(pooled * (1 - pooled) / m + (alone + 2 * twice) / n**2)
    # One more on the side of the reference: that no row is alone does not show that none can be.
    exact = _share_p(alone + 1, n + 1, unseen, m, more=True) if unseen else 1.0
    return Drift(
        test="new",
        statistic=unseen,
        p=max(exact, normal_sf((unseen / m - alone / n) / spread)) if spread else exact,
        effect=max(0.0, unseen / m - alone / n),
        shares=(alone / n, unseen / m),
    )


def _lumped(table: Mapping[str, tuple[int, int]], n: int, m: int) -> list[tuple[int, int]]:
    """Rows of counts, those that are expected fewer than `MIN_EXPECTED` times on a side as one."""
    smaller = min(n, m) / (n + m)
    kept: list[tuple[int, int]] = []
    rare = [0, 0]
    for a, b in table.values():
        if (a + b) * smaller < MIN_EXPECTED:
            rare[0] += a
            rare[1] += b
        else:
            kept.append((a, b))
    return kept + ([(rare[0], rare[1])] if any(rare) else [])


def _ks(reference: Sample, current: Sample) -> Drift:
    distance = ks_distance(reference, current)
    return Drift(test="ks", statistic=distance, p=ks_sf(distance, len(reference), len(current)), effect=distance)


def _psi(before: list[int], now: list[int]) -> Drift:
    n, m = sum(before), sum(now)
    occupied = _lumped({str(i): pair for i, pair in enumerate(zip(before, now, strict=True))}, n, m)
    index = 0.0
    for a, b in occupied:
        # Half a row in place of none: the logarithm of 0 is not finite.
        p, q = (a or 0.5) / n, (b or 0.5) / m
        index += (q - p) * math.log(q / p)
    df = len(occupied) - 1
    # With few rows the logarithms stretch the tail of the index: where Pearson's statistic, which has the same limit
    # and is truer to it, sees no drift, there is none.
    nearest = min(index / (1 / n + 1 / m), _pearson(occupied, n, m))
    return Drift(test="psi", statistic=index, p=chi2_sf(nearest, df) if df else 1.0, effect=index)


def _pearson(table: Sequence[tuple[int, int]], n: int, m: int) -> float:
    """χ² of homogeneity of two columns of counts that sum to n and m; no row is empty."""
    # (a·m − b·n)² / (n·m·(a + b)) is both cells of a row.
    return math.fsum((a * m - b * n) ** 2 / (n * m * (a + b)) for a, b in table)


def _binned(sample: Sample, edges: Sequence[float]) -> list[int]:
    """Count the numbers below the first edge, at or above it, …"""
    ranks = [0, *map(sample.below, edges), len(sample)]
    return [high - low for low, high in itertools.pairwise(ranks)]


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """Every test of one column."""

    kind: Literal["numbers", "categories"]
    """What most values of the reference are: the column is compared as such."""
    tests: tuple[Drift | Undecided, ...]
    stray: str | None = None
    """A value of another kind in the current window, where the column is one of numbers."""


@dataclass(frozen=True, kw_only=True)
class DataDrift:
    """Two files beside each other."""

    columns: Mapping[str, ColumnDrift | Undecided]
    gone: tuple[str, ...] = ()
    """Columns of the reference, or of those that were asked for, that the current file lacks."""
    added: tuple[str, ...] = ()
    """Columns that only the current file has."""
    ids: tuple[str, ...] = ()
    """Columns of which nearly all values are different: they are not compared."""


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
