"""The smallest loss that a test can detect, and how much more data would decide an undecided one."""

from __future__ import annotations

import math
from collections.abc import Callable

from ciplug.stats.distributions import normal_isf, normal_sf, t_isf
from ciplug.stats.intervals import Interval, decide

POWER = 0.8
"""The customary probability of finding an effect (J. Cohen, 1988)."""


MOST = 50
"""More than so many times the data of today are collected by nobody for one gate,"""
SURELY = 10_000
"""but so many examples may be."""
SEEDS = 50
"""More seeds than these are trained by nobody."""


def more_needed(interval: Interval, alpha_at: Callable[[int], float] | None = None) -> int | None:
    """Return how many more units would decide with a probability of 80%, if d is the measured difference.

    The error falls with √n, so n grows by the square of (z₁₋α + z₀.₈)·SE / |d + R|, and is at least what the test needs
    for its usual reach. 0 if it is decided; None where no number that anybody collects is enough: d lies on the
    allowance or close to it, the noise is not one that a larger n reduces, or the width has no meaning.

    Args:
        alpha_at: the error rate at which so many seeds are judged, where it falls as seeds are added.
    """
    if decide(interval) != "INCONCLUSIVE":
        return 0
    if interval.unit == "run":
        return None
    distance = interval.estimate - interval.rule.bound
    reach = interval.estimate - interval.low if distance > 0 else interval.high - interval.estimate
    z = normal_isf(interval.rule.alpha)
    error = interval.error if interval.error is not None else reach / z
    if interval.unit == "seed":
        return _more_seeds(interval.n, error, abs(distance), alpha_at or (lambda n: interval.rule.alpha))
    wider = error * (z + normal_isf(1 - POWER)) / abs(distance) if distance else math.nan
    needed = max(interval.n * wider * wider, interval.floor)  # infinite where `** 2` would raise
    most = max(MOST * interval.n, SURELY)
    return max(1, math.ceil(needed) - interval.n) if needed <= most else None


def _more_seeds(n: int, error: float, distance: float, alpha_at: Callable[[int], float]) -> int | None:
    """The same for seeds, of which there are so few that Student's t is not the normal distribution."""
    for more in range(1, SEEDS - n + 1):
        alpha, least = alpha_at(n + more), distance / (error * math.sqrt(n / (n + more))) - normal_isf(1 - POWER)
        # Student's quantile is larger than the normal one, and slow to find.
        if normal_isf(alpha) <= least and t_isf(alpha, 2 * (n + more - 1)) <= least:
            return more
    return None


def detectable(interval: Interval) -> float:
    """Return the smallest loss beyond the allowance that a test with this interval finds with a probability of 80%."""
    z = normal_isf(interval.rule.alpha)
    half = (interval.high - interval.low) / 2
    return half + normal_isf(1 - POWER) * (interval.error if interval.error is not None else half / z)


def underpowered(interval: Interval) -> str | None:
    """Return a warning if a loss of twice the allowance would often be missed, else None.

    Without an allowance there is no such loss, and no warning.
    """
    allowed = interval.rule.allowed
    if not allowed or detectable(interval) <= allowed:
        return None
    half = (interval.high - interval.low) / 2
    error = interval.error if interval.error is not None else half / normal_isf(interval.rule.alpha)
    chance = normal_sf((half - allowed) / error) if error else 0.0
    return (
        f"too little data: a regression of twice the allowance would be found only {chance:.0%} of the time; "
        f"{POWER:.0%} needs a regression of {allowed + detectable(interval):.3g}"
    )
