"""The difference of two proportions on the same examples, where few of them differ. Needs numpy.

What counts are the examples that one side alone has right: `losses` of the baseline, `wins` of the candidate. If they
are few, a bootstrap takes their number for known, and passes a loss that it has not met: of 50 examples with a true
loss of one point, 60% of all samples show no difference at all.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ciplug.stats.distributions import normal_isf, normal_sf, root
from ciplug.stats.intervals import Interval, Rule, Undecided
from ciplug.stats.proportions import clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEW = 60
"""With more examples that differ, the score test keeps to its α without help."""
UNLIKELY = 1e-5
"""Share of wins beyond which the exact test does not look (R. L. Berger and D. D. Boos, 1994); added to its p-value."""
POINTS = 24
"""Shares of wins at which the exact p-value is taken; the largest counts."""


def tango(*, losses: int, wins: int, n: int, rule: Rule) -> Interval | Undecided:
    """The score interval of T. Tango, "Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design" (1998).

    Where at most `FEW` examples differ, what it decides must hold in the exact unconditional test as well (I. S. F.
    Chan and Z. Zhang, 1999, for independent proportions), which is ordered by the same score: alone, it errs in up to
    9% of cases at α = 5%. The end of the interval that does not hold is the one of the exact test.

    Raises ValueError for a relative allowance.
    """
    if rule.scale != 1:
        raise ValueError("Tango's interval takes no relative allowance")
    if n < 1:
        return Undecided("there is no example")
    if not rule.higher_is_better:
        losses, wins = wins, losses
    z = normal_isf(rule.alpha)
    estimate = (wins - losses) / n

    def end(side: float, limit: float) -> float:
        return root(lambda delta: float(_score(losses, wins, n, delta)) - side * z, estimate, limit)

    low, high = end(1, -1.0), end(-1, 1.0)
    bound = max(-1.0, rule.bound)
    p = normal_sf(-float(_score(losses, wins, n, bound)))
    if losses + wins <= FEW:
        if high < bound:
            p = max(p, _exact(losses, wins, n, bound, below=True))
            if p > rule.alpha:
                high = root(lambda d: _exact(losses, wins, n, d, below=True) - rule.alpha, bound, 1.0)
        elif low >= bound and _exact(losses, wins, n, bound, below=False) > rule.alpha:
            low = root(lambda d: _exact(losses, wins, n, d, below=False) - rule.alpha, -1.0, bound)
            low = min(low, math.nextafter(bound, -2.0))
    return Interval(
        estimate=estimate,
        low=low,
        high=high,
        p=p,
        method="Tango's score interval for paired proportions",
        n=n,
        unit="example",
        rule=rule,
        notes=() if losses + wins else ("the candidate and the baseline agree on every example",),
    )


def _score(losses: Floats | int, wins: Floats | int, n: int, delta: float) -> Floats:
    """Tango's statistic of the difference `delta`: standard normal where it is the true one, and falling with it."""
    losses, wins = np.asarray(losses, np.float64), np.asarray(wins, np.float64)
    # The share of losses that is the most likely one, given delta: the root of a quadratic equation.
    b = (2 * n + losses - wins) * delta - losses - wins
    root_of = np.sqrt(np.maximum(b * b + 8 * n * losses * delta * (1 - delta), 0))
    share = (root_of - b) / (4 * n)
    variance = n * (2 * share + delta * (1 - delta))
    above = wins - losses - n * delta
    flat = np.where(above == 0, 0.0, np.copysign(1e9, above))  # at the ends of what is possible
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 1e-12, above / np.sqrt(np.maximum(variance, 1e-300)), flat)


@lru_cache(maxsize=4096)
def _exact(losses: int, wins: int, n: int, delta: float, *, below: bool) -> float:
    """The largest probability, over the shares of wins, that the score is as extreme as it is, given delta."""
    if not -1 < delta < 1:
        return 0.0
    extreme = float(_score(losses, wins, n, delta))
    most = clopper_pearson(wins, n, alpha=UNLIKELY)[1]
    least = max(0.0, delta)  # Losses are what delta leaves: their share is not below 0.
    top = min(max(most, least + 1 / n), (1 + delta) / 2)
    shares = least + np.append(0.0, np.geomspace(min(0.05 / n, (top - least) / 2), top - least, POINTS))
    largest = 0.0
    for share in shares.tolist():
        largest = max(largest, _tail(n, share - delta, share, delta, extreme, below=below))
    return min(1.0, largest + UNLIKELY)


def _tail(n: int, loss: float, win: float, delta: float, extreme: float, *, below: bool) -> float:
    """P(score ≤ extreme), or ≥, where `loss` and `win` are the true shares; all but 1e-9 of it is counted."""
    if loss < 0 or loss + win > 1:
        return 0.0
    a, b = (np.arange(*_likely(n, share), dtype=np.float64) for share in (loss, win))
    losses, wins = a[:, None], b[None, :]
    rest = n - losses - wins
    with np.errstate(divide="ignore", invalid="ignore"):
        log = _log_factorial(n)[n] - _log_factorial(n)[losses.astype(int)] - _log_factorial(n)[wins.astype(int)]
        log = log - _log_factorial(n)[np.maximum(rest, 0).astype(int)]
        for count, share in ((losses, loss), (wins, win), (rest, 1 - loss - win)):
            log = log + np.where(count > 0, count * math.log(share) if share > 0 else -math.inf, 0.0)
    probability = np.where(rest >= 0, np.exp(log), 0.0)
    score = _score(losses, wins, n, delta)
    beyond = score <= extreme + 1e-9 if below else score >= extreme - 1e-9
    return float(probability[np.broadcast_to(beyond, probability.shape)].sum())


def _likely(n: int, share: float) -> tuple[int, int]:
    middle, reach = n * share, 7 * math.sqrt(n * share * (1 - share)) + 9
    return max(0, math.floor(middle - reach)), min(n, math.ceil(middle + reach)) + 1


@lru_cache(maxsize=8)
def _log_factorial(n: int) -> Floats:
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))
