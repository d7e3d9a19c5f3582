"""Is a difference more than noise? Closed forms, from the standard library alone.

Everything looks at d = s·(candidate − baseline), s = +1 where higher is better, else −1, so that a negative d is
a loss. A `Rule` says how much loss is allowed (R) and at which error rate (α); each test answers with an `Interval`,
or with `Undecided` and its reason. `decide` turns the interval into a verdict. Both bounds are one-sided at α, so
the interval's confidence is 1 − 2α, and for a test that holds its level:

- a candidate that is no more than R worse FAILs with a probability of α at most (d = −R being the worst case),
- a candidate that is more than R worse PASSes with a probability of α at most.

`Interval.p` is the p-value of the first: of data this bad or worse while d ≥ −R. It is what `holm` takes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from ciplug.stats.distributions import binomial_sf, normal_isf, root, t_isf, t_sf

LARGEST = 1e100
"""Larger numbers have squares that no float can hold."""

K = TypeVar("K")
Decision = Literal["PASS", "FAIL", "INCONCLUSIVE"]

Bounds = Callable[[float], tuple[float, float]]
"""From a one-sided α to lower and upper bound."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a comparison is asked. Raises ValueError on numbers that no rule can have."""

    higher_is_better: bool
    allowed: float = 0.0
    """R ≥ 0 in the metric's own unit; a relative allowance is turned into one by the baseline's value."""
    alpha: float = 0.05
    """One-sided error rate, 0 < α < 0.5."""
    tolerance: float = 0.0
    """Added to R: what rounding alone may cost."""

    def __post_init__(self) -> None:
        if not (0 <= self.allowed < math.inf and 0 <= self.tolerance < math.inf):
            raise ValueError(f"an allowance is a finite number, 0 or more: {self.allowed}, {self.tolerance}")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"an error rate lies between 0 and 0.5: {self.alpha}")

    @property
    def sign(self) -> int:
        return 1 if self.higher_is_better else -1

    @property
    def bound(self) -> float:
        """The least d that the rule allows: −R, less the tolerance."""
        return -self.allowed - self.tolerance


@dataclass(frozen=True, kw_only=True)
class Interval:
    """What the data say about d under a rule."""

    estimate: float
    """d as measured."""
    low: float
    high: float
    p: float
    """P(data this bad or worse | d = −R), one-sided."""
    method: str
    """In the field's words, for the report: "Welch's t-test on seed means"."""
    n: int
    """Examples, or seeds of the smaller side: what more of would narrow the interval."""
    rule: Rule
    notes: tuple[str, ...] = ()
    """Sentences that the reader must see beside the verdict."""


@dataclass(frozen=True)
class Undecided:
    """The data do not allow the test, for a reason that has a name: INCONCLUSIVE."""

    reason: str


def decide(interval: Interval, *, adjusted_p: float | None = None) -> Decision:
    """FAIL if all of the interval lies below −R, PASS if none of it does, else INCONCLUSIVE.

    `adjusted_p` is the p-value after Holm's correction over all tests that can FAIL: a FAIL that it does not bear
    out is INCONCLUSIVE. A bound or p-value that is NaN never passes and never fails.
    """
    bound = interval.rule.bound
    if interval.low >= bound and interval.high >= interval.low:
        return "PASS"
    if interval.high < bound and (adjusted_p is None or adjusted_p <= interval.rule.alpha):
        return "FAIL"
    return "INCONCLUSIVE"


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """Holm's adjusted p-values (S. Holm, 1979), by the keys of the tests; a NaN counts as 1."""
    ordered = sorted(((1.0 if math.isnan(p) else p, key) for key, p in p_values.items()), key=lambda pair: pair[0])
    adjusted: dict[K, float] = {}
    highest = 0.0
    for rank, (p, key) in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * p))
        adjusted[key] = highest
    return adjusted


def wilson(successes: int, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Score interval of a proportion, each bound one-sided at α (E. B. Wilson, 1927).

    Raises ValueError unless 0 ≤ successes ≤ n and n ≥ 1.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes of {n} are no proportion")
    z = normal_isf(alpha)
    p, square = successes / n, z * z
    middle = (p + square / (2 * n)) / (1 + square / n)
    half = z / (1 + square / n) * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == n else middle + half)


def newcombe(candidate: tuple[int, int], baseline: tuple[int, int], rule: Rule) -> Interval:
    """Difference of two proportions on independent examples, each side (successes, n).

    R. G. Newcombe, "Interval estimation for the difference between independent proportions" (1998), method 10:
    the Wilson intervals of both, squared and added.
    """
    p, q = candidate[0] / candidate[1], baseline[0] / baseline[1]

    def bounds(alpha: float) -> tuple[float, float]:
        l1, u1 = wilson(*candidate, alpha=alpha)
        l2, u2 = wilson(*baseline, alpha=alpha)
        return p - q - math.hypot(p - l1, u2 - q), p - q + math.hypot(u1 - p, q - l2)

    return by_inversion(
        p - q, bounds, rule, method="Newcombe's interval for two proportions", n=min(candidate[1], baseline[1])
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

        return p - q - reach(p - l1, u2 - q), p - q + reach(u1 - p, q - l2)

    return by_inversion(p - q, bounds, rule, method="Newcombe's interval for paired proportions", n=n)


def mcnemar(*, losses: int, wins: int, n: int, rule: Rule) -> Interval | Undecided:
    """Exact test of two classifiers on the same n examples, for a rule that allows no loss (Q. McNemar, 1947).

    Among the examples that one side alone has right, losses are binomial with ½ if neither side is better. The
    interval is Clopper and Pearson's (1934) for that share, times how often the two differ: its bounds are exact
    in their sign, which is what a rule without an allowance asks.
    """
    if rule.allowed != 0:
        raise ValueError("McNemar's test knows no allowance")
    if n < 1:
        return Undecided("there is no example")
    apart = losses + wins

    def bounds(alpha: float) -> tuple[float, float]:
        low, high = clopper_pearson(wins, apart, alpha=alpha)
        return apart / n * (2 * low - 1), apart / n * (2 * high - 1)

    low, high = bounds(rule.alpha)
    interval = Interval(
        estimate=(wins - losses) / n,
        low=low if apart else 0.0,
        high=high if apart else 0.0,
        p=binomial_sf(losses if rule.higher_is_better else wins, apart, 0.5),
        method="exact McNemar test",
        n=n,
        rule=rule,
        notes=() if apart else ("the candidate and the baseline agree on every example",),
    )
    return interval if rule.higher_is_better else mirrored(interval)


def clopper_pearson(successes: int, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Exact interval of a proportion, each bound one-sided at α."""
    low = 0.0 if successes == 0 else root(lambda p: binomial_sf(successes, n, p) - alpha, 0.0, 1.0)
    high = 1.0 if successes == n else root(lambda p: binomial_sf(successes + 1, n, p) - (1 - alpha), 0.0, 1.0)
    return low, high


def welch(candidate: Sequence[float], baseline: Sequence[float], rule: Rule) -> Interval | Undecided:
    """Means of several runs with different seeds (B. L. Welch, 1947), one value a seed on each side."""
    if reason := _unusable(candidate, "the candidate") or _unusable(baseline, "the baseline"):
        return Undecided(reason)
    if len(candidate) < 2 or len(baseline) < 2:
        return Undecided(
            f"{_seeds(len(candidate))} of the candidate and {_seeds(len(baseline))} of the baseline say nothing about "
            "the noise between seeds: two or more a side are needed"
        )
    estimate = rule.sign * (statistics.fmean(candidate) - statistics.fmean(baseline))
    parts = [(statistics.variance(values) / len(values), len(values) - 1) for values in (candidate, baseline)]
    square = sum(part for part, _ in parts)
    # Satterthwaite's degrees of freedom, by shares so that tiny variances do not underflow.
    df = 1 / sum((part / square) ** 2 / degrees for part, degrees in parts) if square > 0 else 1.0
    return student(
        estimate,
        math.sqrt(square),
        df,
        rule,
        method="Welch's t-test on seed means",
        n=min(len(candidate), len(baseline)),
    )


def prediction(candidate: float, history: Sequence[float], rule: Rule) -> Interval | Undecided:
    """One new value beside the k values of earlier runs: their mean, ± t·s·√(1 + 1/k) with the sample SD s.

    For a metric that is only one number a run. It takes the runs of the history for draws of the same distribution:
    a history that drifts makes s larger, and the gate blunter.
    """
    if reason := _unusable([candidate], "the candidate") or _unusable(history, "the history"):
        return Undecided(reason)
    k = len(history)
    if k < 2:
        return Undecided(f"{k} earlier run{'s say' if k != 1 else ' says'} nothing about the noise between runs")
    estimate = rule.sign * (candidate - statistics.fmean(history))
    error = statistics.stdev(history) * math.sqrt(1 + 1 / k)
    return student(estimate, error, k - 1, rule, method=f"prediction interval of {k} earlier runs", n=k)


def student(estimate: float, error: float, df: float, rule: Rule, *, method: str, n: int) -> Interval:
    """An interval by Student's t from d, its standard error and the degrees of freedom.

    Values that do not vary at all leave no room for noise: the interval is the point, and says so.
    """
    distance = estimate - rule.bound
    if error == 0:
        return Interval(
            estimate=estimate,
            low=estimate,
            high=estimate,
            p=0.0 if distance < 0 else 1.0,
            method=method,
            n=n,
            rule=rule,
            notes=("the values do not vary at all: any change counts as real",),
        )
    reach = t_isf(rule.alpha, df) * error
    return Interval(
        estimate=estimate,
        low=estimate - reach,
        high=estimate + reach,
        p=t_sf(-distance / error, df),
        method=method,
        n=n,
        rule=rule,
    )


def by_inversion(difference: float, bounds: Bounds, rule: Rule, *, method: str, n: int) -> Interval:
    """An interval on d from bounds on candidate − baseline; its p is the α at which its end meets −R."""

    def oriented(alpha: float) -> tuple[float, float]:
        low, high = bounds(alpha)
        return (low, high) if rule.higher_is_better else (-high, -low)

    low, high = oriented(rule.alpha)
    # The upper end falls as α grows; past ½ it is the lower end of 1 − α.
    p = root(lambda a: rule.bound - (oriented(a)[1] if a < 0.5 else oriented(1 - a)[0]), 1e-12, 1 - 1e-12)
    return Interval(estimate=rule.sign * difference, low=low, high=high, p=p, method=method, n=n, rule=rule)


def mirrored(interval: Interval) -> Interval:
    """The same data where the other direction is the better one."""
    return replace(interval, estimate=-interval.estimate, low=-interval.high, high=-interval.low)


def _unusable(values: Sequence[float], whose: str) -> str | None:
    bad = next((value for value in values if not abs(value) < LARGEST), None)
    return None if bad is None else f"{whose} has the value {bad}, which is no number to judge by"


def _seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"
