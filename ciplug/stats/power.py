"""The smallest loss that a test can detect, and how much more data would decide an undecided one."""

from __future__ import annotations

import math

from ciplug.stats.distributions import normal_isf, normal_sf
from ciplug.stats.intervals import Interval, decide

POWER = 0.8
"""The customary probability of finding an effect (J. Cohen, 1988)."""


def more_needed(interval: Interval) -> int | None:
    """Return how many more units would decide with a probability of 80%, if d is the measured difference.

    The width falls with √n, so n grows by the square of (z₁₋α + z₀.₈)·SE / |d + R|. 0 if it is decided; None where no
    number is enough: d lies just on the allowance, or the width has no meaning.
    """
    if decide(interval) != "INCONCLUSIVE":
        return 0
    distance = interval.estimate - interval.rule.bound
    reach = interval.estimate - interval.low if distance > 0 else interval.high - interval.estimate
    z = normal_isf(interval.rule.alpha)
    wider = reach / z * (z + normal_isf(1 - POWER)) / abs(distance) if distance else math.nan
    needed = interval.n * wider * wider  # infinite where `** 2` would raise
    # Nobody collects a billion.
    return math.ceil(needed) - interval.n if interval.n < needed < 1e9 else None


def detectable(interval: Interval) -> float:
    """Return the smallest loss beyond the allowance that a test with this interval finds with a probability of 80%."""
    z = normal_isf(interval.rule.alpha)
    return (interval.high - interval.low) / 2 / z * (z + normal_isf(1 - POWER))


def underpowered(interval: Interval) -> str | None:
    """Return a warning if a loss of twice the allowance would often be missed, else None.

    Without an allowance there is no such loss, and no warning.
    """
    allowed = interval.rule.allowed
    if not allowed or detectable(interval) <= allowed:
        return None
    z = normal_isf(interval.rule.alpha)
    error = (interval.high - interval.low) / 2 / z
    chance = normal_sf(z - allowed / error)
    return (
        f"too little data: a regression of twice the allowance would be found only {chance:.0%} of the time; "
        f"{POWER:.0%} needs a regression of {allowed + detectable(interval):.3g}"
    )
