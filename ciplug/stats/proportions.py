"""Tests on proportions: how many of n examples are right, on the same examples or on others. Standard library alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from ciplug.stats.distributions import binomial_sf, normal_isf, root
from ciplug.stats.intervals import Interval, Rule, Undecided, Unit

Bounds = Callable[[float], tuple[float, float]]
"""From a one-sided α to lower and upper bound."""


def wilson(successes: int, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Score interval of a proportion, each bound one-sided at α (E. B. Wilson, 1927).

    Raises ValueError unless 0 ≤ successes ≤ n and n ≥ 1.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes of {n} are not a proportion")
    z = normal_isf(alpha)
    p, square = successes / n, z * z
    middle = (p + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == n else middle + half)


def newcombe(candidate: tuple[int, int], baseline: tuple[int, int], rule: Rule) -> Interval:
    """Difference of two proportions on independent examples, each side (successes, n).

    R. G. Newcombe, "Interval estimation for the difference between independent proportions" (1998), method 10:
    the Wilson intervals of both, squared and added. Where the baseline is multiplied by k, as for a relative allowance,
    its interval is, too (G. Y. Zou and A. Donner, 2008).
    """
    p, q = candidate[0] / candidate[1], baseline[0] / baseline[1]
    k = rule.scale

    def bounds(alpha: float) -> tuple[float, float]:
        l1, u1 = wilson(*candidate, alpha=alpha)
        l2, u2 = wilson(*baseline, alpha=alpha)
        d = p - k * q
        return d - math.hypot(p - l1, k * (u2 - q)), d + math.hypot(u1 - p, k * (q - l2))

    n = min(candidate[1], baseline[1])
    return by_inversion(
        p - k * q, bounds, rule, method="Newcombe's interval for two proportions", n=n, unit="other example"
    )


def share(successes: int, n: int, limit: float, rule: Rule) -> Interval:
    """One proportion beside a bound that it must keep to: d = s·(share − limit), by Clopper and Pearson (1934)."""

    def bounds(alpha: float) -> tuple[float, float]:
        low, high = clopper_pearson(successes, n, alpha=alpha)
        return low - limit, high - limit

    low, high = bounds(rule.alpha)
    least = min(max(limit, 0.0), 1.0)
    if rule.higher_is_better:
        p = 1 - binomial_sf(successes + 1, n, least)
    else:
        low, high = -high, -low
        p = binomial_sf(successes, n, least)
    return Interval(
        estimate=rule.sign * (successes / n - limit),
        low=low,
        high=high,
        p=p,
        method="exact interval of a proportion",
        n=n,
        unit="example",
        rule=rule,
    )


def newcombe_paired(*, both: int, losses: int, wins: int, neither: int, rule: Rule) -> Interval | Undecided:
    """Difference of two proportions on the same examples.

    R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired
    data" (1998), method 10.

    Args:
        both: examples that both sides have right; `losses` only the baseline, `wins` only the candidate.
    """
    n = both + losses + wins + neither
    if n == 0:
        return Undecided("there is no example")
    p, q = (both + wins) / n, (both + losses) / n
    k = rule.scale
    # Correlation of the two, with his correction for continuity.
    product = both * neither - losses * wins
    margins = (both + wins) * (losses + neither) * (both + losses) * (wins + neither)
    corrected = max(product - n / 2, 0) if product > 0 else product
    phi = corrected / math.sqrt(margins) if margins else 0.0

    def bounds(alpha: float) -> tuple[float, float]:
        l1, u1 = wilson(both + wins, n, alpha=alpha)
        l2, u2 = wilson(both + losses, n, alpha=alpha)

        def reach(a: float, b: float) -> float:
            return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

        return p - k * q - reach(p - l1, k * (u2 - q)), p - k * q + reach(u1 - p, k * (q - l2))

    return by_inversion(p - k * q, bounds, rule, method="Newcombe's interval for paired proportions", n=n)


def mcnemar(*, losses: int, wins: int, n: int, rule: Rule) -> Interval | Undecided:
    """Exact test of two classifiers on the same n examples, for a rule that allows no loss (Q. McNemar, 1947).

    Among the examples that one side alone has right, losses are binomial with ½ if neither side is better. The
    interval is Clopper and Pearson's (1934) for that share, times how often the two differ: its bounds are exact
    in their sign, which is what a rule without an allowance asks.
    """
    if rule.allowed != 0:
        raise ValueError("McNemar's test takes no allowance")
    if n < 1:
        return Undecided("there is no example")
    discordant = losses + wins

    def bounds(alpha: float) -> tuple[float, float]:
        low, high = clopper_pearson(wins, discordant, alpha=alpha)
        return discordant / n * (2 * low - 1), discordant / n * (2 * high - 1)

    low, high = bounds(rule.alpha)
    interval = Interval(
        estimate=(wins - losses) / n,
        low=low if discordant else 0.0,
        high=high if discordant else 0.0,
        p=binomial_sf(losses if rule.higher_is_better else wins, discordant, 0.5),
        method="exact McNemar test",
        n=n,
        unit="example",
        rule=rule,
        notes=() if discordant else ("the candidate and the baseline agree on every example",),
    )
    return interval if rule.higher_is_better else mirrored(interval)


def clopper_pearson(successes: int, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Exact interval of a proportion, each bound one-sided at α."""
    low = 0.0 if successes == 0 else root(lambda p: binomial_sf(successes, n, p) - alpha, 0.0, 1.0)
    high = 1.0 if successes == n else root(lambda p: binomial_sf(successes + 1, n, p) - (1 - alpha), 0.0, 1.0)
    return low, high


def by_inversion(
    difference: float, bounds: Bounds, rule: Rule, *, method: str, n: int, unit: Unit = "example"
) -> Interval:
    """An interval on d from bounds on candidate − k·baseline; its p is the α at which its end meets −R."""
    margin = rule.margin

    def oriented(alpha: float) -> tuple[float, float]:
        low, high = bounds(alpha)
        return (low, high) if rule.higher_is_better else (-high, -low)

    low, high = oriented(rule.alpha)
    # The upper end falls as α grows; past ½ it is the lower end of 1 − α.
    p = root(lambda a: margin.bound - (oriented(a)[1] if a < 0.5 else oriented(1 - a)[0]), 1e-12, 1 - 1e-12)
    estimate = rule.sign * difference
    interval = Interval(estimate=estimate, low=low, high=high, p=p, method=method, n=n, unit=unit, rule=margin)
    return rule.of_margin(interval)


def mirrored(interval: Interval) -> Interval:
    """The same data where the other direction is better."""
    return replace(interval, estimate=-interval.estimate, low=-interval.high, high=-interval.low)
