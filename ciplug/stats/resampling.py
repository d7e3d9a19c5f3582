"""Tests on per-example differences that have no closed form. Needs numpy: import it where it is used.

A resample is how often each example, cluster or kind of example was drawn, so many resamples of many metrics are one
product of matrices, in blocks of bounded memory. The bootstrap of a mean
needs no drawing at all: the sum of n draws is distributed as the n-fold convolution of the differences, one power
between two Fourier transforms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ciplug.errors import counted
from ciplug.stats.distributions import normal_isf, normal_sf, t_isf, t_sf
from ciplug.stats.intervals import Interval, Rule, Undecided, Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"

RESAMPLES = 10_000
BLOCK = 4_000_000
"""Numbers in a block of weights: 32 MB."""
WINDOW = 16
"""Standard deviations that the lattice of a sum spans. The tails beyond fold over; they are negligible."""
STEPS_PER_SD = 10
"""Of the differences: sharing each out to two steps widens a mean's interval by 1 / (12·10²), 0.08%."""


def bootstrap_mean(differences: Floats, rule: Rule) -> Interval | Undecided:
    """The percentile bootstrap of a mean (B. Efron, 1979) with all of its nⁿ resamples.

    The tail is expanded for small n (T. Hesterberg, "What teachers should know about the bootstrap", 2015): a
    resampled mean varies by a factor √((n−1)/n) too little, and its tails are the normal's, not Student's.

    Args:
        differences: d of each example, shape (n,), all finite.
    """
    n = len(differences)
    estimate = float(differences.mean())
    method = "paired bootstrap of the mean"
    unit: Unit = "example"
    if not differences.any():
        return _constant(0.0, n, unit, rule, method)
    # The rarest resample is one value n times: a tail that is rarer still does not exist.
    if n < 2 or (tail := _expanded(rule.alpha, n)) < float(n) ** -n:
        return _too_few(n, unit, rule)
    if not np.ptp(differences):
        return _constant(estimate, n, unit, rule, method)
    means, below = _distribution_of_mean(differences)
    at_most = np.append(below[1:], 1.0)
    # Rounding must not push a bound past the tail it stands for.
    low = means[np.searchsorted(below, tail + 1e-12, side="right") - 1]
    high = means[np.searchsorted(at_most, 1 - tail - 1e-12, side="left")]
    first = np.searchsorted(means, rule.bound)
    beyond = 1 - float(below[first]) if first < len(means) else 0.0
    # Nothing is rarer than the rarest resample, or more precise than a float.
    p = _contracted(max(beyond, float(n) ** -n, 1e-16), n)
    return Interval(estimate=estimate, low=float(low), high=float(high), p=p, method=method, n=n, unit=unit, rule=rule)


def _distribution_of_mean(differences: Floats) -> tuple[Floats, Floats]:
    """The values that the mean of n draws can take, ascending, and the probability to fall below each."""
    n = len(differences)
    spread = float(differences.std()) * math.sqrt(n)
    whole = bool((differences == np.rint(differences)).all()) and spread < 1e5
    step = 1.0 if whole else float(differences.std()) / STEPS_PER_SD
    size = 1 << max(6, math.ceil(math.log2(WINDOW * spread / step)))
    places = differences / step
    floor = np.floor(places)
    share = places - floor
    index = np.mod(floor, size).astype(np.int64)
    mass = np.bincount(index, 1 - share, size) + np.bincount((index + 1) % size, share, size)
    wave = np.fft.rfft(mass / n)
    keep = np.abs(wave) > 10 ** (-18 / n)
    powered = np.zeros_like(wave)
    powered[keep] = np.exp(n * np.log(wave[keep]))
    probability = np.maximum(np.fft.irfft(powered, size), 0)
    first = round(float(places.sum())) - size // 2
    probability = np.roll(probability, -(first % size))
    means: Floats = np.arange(first, first + size, dtype=np.float64) * step / n
    cumulative = np.cumsum(probability)
    below: Floats = np.concatenate(([0.0], cumulative[:-1])) / cumulative[-1]
    return means, below


def _expanded(alpha: float, n: int) -> float:
    return normal_sf(t_isf(alpha, n - 1) * math.sqrt(n / (n - 1)))


def _contracted(tail: float, n: int) -> float:
    """The inverse of `_expanded`: return the α of this tail."""
    if tail > 1 - 1e-12:
        return 1.0
    return t_sf(normal_isf(tail) * math.sqrt((n - 1) / n), n - 1)


def _too_few(n: int, unit: Unit, rule: Rule) -> Undecided:
    return Undecided(f"{counted(n, unit)}: too few for a test at α = {rule.alpha:g}")


def _constant(estimate: float, n: int, unit: Unit, rule: Rule, method: str) -> Interval:
    same = "the candidate and the baseline agree on every example"
    note = same if estimate == 0 else "the difference is the same for every example: any change counts as real"
    return Interval(
        estimate=estimate,
        low=estimate,
        high=estimate,
        p=1.0 if estimate >= rule.bound else 0.5**n,
        method=method,
        n=n,
        unit=unit,
        rule=rule,
        notes=(note,),
    )


def sign_flip(
    sums: Floats, sizes: Floats, rules: Sequence[Rule], *, seed: int, unit: Unit
) -> list[Interval | Undecided]:
    """Sign-flip permutation tests of mean differences, and the intervals that they imply.

    If d + R lies above 0 as often and as far as below it, then flipping signs changes nothing. Flipping a set of
    examples lowers the sum just where their own mean exceeds −R (J. A. Hartigan's typical values, 1969): the
    means of random subsets give the p-value for any R, and the interval. All subsets where those are few.

    Args:
        sums: d summed over each example or cluster, shape (groups, metrics), all finite.
        sizes: examples in each group, or their weights, shape (groups,).
        rules: one for each metric.
        seed: of the subsets, which all metrics share.
    """
    groups, metrics = sums.shape
    total = float(sizes.sum())
    exact = 2**groups <= RESAMPLES
    method = f"{'exact ' if exact else ''}sign-flip permutation" + (" of clusters" if unit == "cluster" else "")
    count = 2**groups if exact else RESAMPLES
    means = np.empty((count - 1, metrics))
    filled = 0
    for chosen in _subsets(groups, count - 1, seed, exact=exact):
        means[filled : filled + len(chosen)] = (chosen @ sums) / (chosen @ sizes)[:, None]
        filled += len(chosen)
    means.sort(axis=0)
    answers: list[Interval | Undecided] = []
    for column, rule in enumerate(rules):
        rank = math.floor(rule.alpha * count)
        estimate = float(sums[:, column].sum() / total)
        if not sums[:, column].any():
            answers.append(_constant(0.0, groups, unit, rule, method))
        elif rank < 1:
            answers.append(_too_few(groups, unit, rule))
        elif means[0, column] == means[-1, column]:
            answers.append(_constant(estimate, groups, unit, rule, method))
        else:
            # A mean that only rounding keeps from the bound has reached it.
            rounding = 1e-12 * float(np.abs(means[[0, -1], column]).max())
            beyond = count - 1 - int(np.searchsorted(means[:, column], rule.bound - rounding))
            answers.append(
                Interval(
                    estimate=estimate,
                    low=float(means[rank - 1, column]),
                    high=float(means[-rank, column]) + rounding,
                    p=min((1 + beyond) / count, _hoeffding(sums[:, column] - rule.bound * sizes)),
                    method=method,
                    n=groups,
                    unit=unit,
                    rule=rule,
                )
            )
    return answers


def _hoeffding(values: Floats) -> float:
    """An upper bound of P(a sum of ±values is as low as theirs), for tails that the drawn subsets are too few to show.

    W. Hoeffding (1963). Holm's correction over thousands of slices asks for p-values below 1/10,000.
    """
    total, square = float(values.sum()), float((values * values).sum())
    return math.exp(-total * total / (2 * square)) if total < 0 < square else 1.0


def _subsets(groups: int, count: int, seed: int, *, exact: bool) -> Iterator[Floats]:
    """Blocks of 0/1 rows, none of them all 0."""
    rows = max(1, BLOCK // groups)
    generator = np.random.default_rng(seed)
    width = (groups + 7) // 8
    for start in range(0, count, rows):
        height = min(rows, count - start)
        if exact:
            numbers = np.arange(start + 1, start + height + 1)
            block = ((numbers[:, None] >> np.arange(groups)) & 1).astype(np.float64)
        else:
            bits = np.frombuffer(generator.bytes(height * width), np.uint8).reshape(height, width)
            block = np.unpackbits(bits, axis=1, count=groups).astype(np.float64)
            block[~block.any(axis=1)] = 1
        yield block


Score: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]
"""From weights, shape (resamples, units), to the score of candidate and baseline on each resample; NaN where it is
undefined."""


def bootstrap_score(
    score: Score, whole: Floats, draws: Iterable[Floats], rule: Rule, *, n: int, unit: Unit, method: str
) -> Interval | Undecided:
    """The percentile bootstrap of a score that is not a mean, recomputed on both sides for each resample.

    Args:
        whole: the weights of the examples as they are, shape (1, units).
        draws: blocks of weights (`draw_units`, `draw_cells`).
        n: examples, or clusters: what is drawn, for which the tails are expanded as those of `bootstrap_mean`.
    """
    given, rule = rule, rule.margin
    new, old = score(whole)
    estimate = rule.sign * float(new[0] - given.scale * old[0])
    if not math.isfinite(estimate):
        return Undecided("the score is undefined on these examples: are all of one class?")
    if n < 2 or _expanded(rule.alpha, n) < float(n) ** -n:
        return _too_few(n, unit, rule)
    blocks = [rule.sign * (new - given.scale * old) for new, old in map(score, draws)]
    values = np.concatenate(blocks)
    undefined = int(np.isnan(values).sum())
    if undefined > len(values) // 100:
        return Undecided(
            f"the score is undefined on {undefined:,} of {len(values):,} resamples: too few examples of a class"
        )
    values = np.sort(values[~np.isnan(values)])
    if not np.ptp(values):
        return Undecided("the score is the same on every resample: so its noise cannot be estimated")
    count = len(values) + 1
    rank = max(1, math.floor(_expanded(rule.alpha, n) * count))
    beyond = len(values) - int(np.searchsorted(values, rule.bound))
    p = _contracted((1 + beyond) / count, n)
    if beyond == 0:  # Holm's correction over many slices needs smaller p-values than the resamples can show
        p = min(p, t_sf((rule.bound - estimate) / float(values.std()), n - 1))
    interval = Interval(
        estimate=estimate,
        low=float(values[rank - 1]),
        high=float(values[-rank]),
        p=p,
        method=method,
        n=n,
        unit=unit,
        rule=rule,
        notes=(f"{undefined} resamples left the score undefined",) if undefined else (),
    )
    return given.of_margin(interval)


def draw_units(strata: Sequence[int], resamples: int, seed: int) -> Iterator[Floats]:
    """Draw as many units as there are, within each stratum; return how often each was drawn.

    The columns are the units of the first stratum, of the second, …
    """
    generator = np.random.default_rng(seed)
    total = sum(strata)
    rows = max(1, BLOCK // total)
    for start in range(0, resamples, rows):
        height = min(rows, resamples - start)
        block = np.empty((height, total))
        column = 0
        for size in strata:
            drawn = generator.integers(0, size, (height, size))
            drawn += np.arange(height)[:, None] * size
            counts = np.bincount(drawn.ravel(), minlength=height * size)
            block[:, column : column + size] = counts.reshape(height, size)
            column += size
        yield block


def draw_cells(counts: Floats, resamples: int, seed: int) -> Iterator[Floats]:
    """Return how many of each kind were drawn; `counts` has the number of examples of each kind."""
    generator = np.random.default_rng(seed)
    n = int(counts.sum())
    rows = max(1, BLOCK // len(counts))
    for start in range(0, resamples, rows):
        yield generator.multinomial(n, counts / n, min(rows, resamples - start)).astype(np.float64)
