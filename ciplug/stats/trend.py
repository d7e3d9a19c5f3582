"""A series of numbers, one a commit: its noise, and where its level fell. Pure, standard library alone.

The noise comes from successive differences, so a level that moves does not count as noise (J. von Neumann, 1941).
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ciplug.stats.distributions import t_isf
from ciplug.stats.intervals import Interval, Rule, Undecided

FAR = 5.0
"""Standard deviations of the other differences from which on one is a change of the level."""
LEAST = 8
"""Numbers from which on their differences tell the noise."""


def noise(values: Sequence[float]) -> float:
    """The standard deviation of one number around its level: that of the successive differences, by √2.

    Their mean, a steady trend, is taken out; and of the largest ones, at most a quarter, those that lie `FAR` beyond
    all others: a level that fell at one place is no noise either. Raises ValueError for fewer than three numbers.
    """
    steps = [after - before for before, after in itertools.pairwise(values)]
    if len(steps) < 2:
        raise ValueError("three numbers or more are needed")
    steps.sort()
    for _ in range(len(steps) // 4):
        middle = steps[len(steps) // 2]
        first = abs(steps[0] - middle) > abs(steps[-1] - middle)
        far, others = (steps[0], steps[1:]) if first else (steps[-1], steps[:-1])
        mean, deviation = spread(others)
        if abs(far - mean) <= FAR * deviation:
            break
        steps = others
    return spread(steps)[1] / math.sqrt(2)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of two numbers or more, quickly: `statistics.stdev` is exact, and slow."""
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum([(value - mean) ** 2 for value in values]) / (len(values) - 1))


def total(values: Sequence[float], rule: Rule) -> Interval | Undecided:
    """The interval of the last number minus the first, whose noise is that of all of them.

    Student's t with two thirds of the differences as degrees of freedom: neighbours share a number.
    """
    if len(values) < LEAST:
        return Undecided(f"{len(values)} runs of the {LEAST} that tell the noise")
    change, error = rule.sign * (values[-1] - values[0]), noise(values) * math.sqrt(2)
    df = max(1.0, (len(values) - 2) * 2 / 3)
    half = t_isf(rule.alpha, df) * error
    return _interval(change, half, error, df, rule, len(values))


def _interval(change: float, half: float, error: float, df: float, rule: Rule, n: int) -> Interval:
    from ciplug.stats.distributions import t_sf

    distance = change - rule.bound
    p = t_sf(-distance / error, df) if error else float(distance >= 0)
    return Interval(
        estimate=change,
        low=change - half,
        high=change + half,
        p=p,
        n=n,
        method="first and last of the series, noise of its successive differences",
        rule=rule,
        unit="run",
    )


@dataclass(frozen=True)
class Fall:
    """How a series came down: at one place, or steadily."""

    at: int
    """The index of the first number after the largest fall of the level."""
    before: float
    """The mean of the numbers before it, and after it."""
    after: float
    is_steady: bool
    """Whether a straight line fits the series better than one step."""
    slope: float
    """Of that line, for each number."""


def largest_fall(values: Sequence[float], sign: int) -> Fall | None:
    """Where the level got worse most: the place that CUSUM names (E. S. Page, 1954). None where it never did.

    Args:
        sign: 1 where higher is better, else −1.
    """
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    sums = list(itertools.accumulate(sign * (value - mean) for value in values))
    # Before a fall the numbers are above the mean: the largest sum, by its standard error, is where it begins.
    scores = [sums[k - 1] / math.sqrt(k * (n - k) / n) for k in range(1, n)]
    at = max(range(1, n), key=lambda k: scores[k - 1])
    if scores[at - 1] <= 0:
        return None
    before, after = statistics.fmean(values[:at]), statistics.fmean(values[at:])
    slope, line = _line(values)
    step = math.fsum((v - before) ** 2 for v in values[:at]) + math.fsum((v - after) ** 2 for v in values[at:])
    return Fall(at, before, after, n > 2 and line < step, slope)


def _line(values: Sequence[float]) -> tuple[float, float]:
    """The slope of the least squares line, and the sum of the squares that it leaves."""
    n = len(values)
    middle, mean = (n - 1) / 2, math.fsum(values) / n
    spread = n * (n * n - 1) / 12
    slope = math.fsum((i - middle) * (v - mean) for i, v in enumerate(values)) / spread
    return slope, math.fsum((v - mean - slope * (i - middle)) ** 2 for i, v in enumerate(values))
