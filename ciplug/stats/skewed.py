"""A mean and its interval, from its moments, where the values may be skewed. Standard library alone.

Log-losses, latencies and costs are skewed: few examples lose much. A sample that has met none of these has both a
low mean and a small standard deviation, so Student's t, sign flips and the percentile bootstrap pass a loss that is
not allowed in 10 to 30% of cases instead of 5%. P. Hall, "On the removal of skewness by transformation" (1992),
corrects Student's t by the skewness of the sample, with the same accuracy as the studentised bootstrap, but without
drawing: no seed, no noise, and p-values of any size.

No test of a mean holds for every distribution (R. R. Bahadur and L. J. Savage, 1956). So it has a floor: with less
than `floor` units, an interval has to be as wide as Cantelli's inequality makes it (1928).
"""

from __future__ import annotations

import math

from ciplug.stats.distributions import t_isf, t_sf
from ciplug.stats.intervals import Interval, Rule, Unit

UNITS: dict[Unit, str] = {"cluster": "clusters", "rare example": "examples of the rarest class"}
LEAST = 20
PER_SKEWNESS = 40
"""n ≥ 20 + 40·γ². W. G. Cochran (1977) asks for n > 25·γ² of Student's t; ours is the one that held in
benchmarks/calibration.py, where the samples that miss a tail have a small γ."""


def floor(skewness: float) -> int:
    """Units from which on the corrected t is used as it is."""
    return math.ceil(LEAST + PER_SKEWNESS * skewness * skewness)


def corrected_t(
    estimate: float, error: float, skewness: float, n: int, rule: Rule, *, unit: Unit, method: str = ""
) -> Interval:
    """An interval of d by Hall's t.

    Args:
        estimate: of what the rule's margin is about: candidate − k·baseline, turned by the sign.
        error: its standard error, > 0.
        skewness: of the n values, or clusters, third central moment / SD³.
    """
    margin = rule.margin
    least = floor(skewness)
    reach = t_isf(rule.alpha, n - 1)
    above, below = (error * _untransformed(side * reach, skewness, n) for side in (1, -1))
    t = (estimate - margin.bound) / error
    p = t_sf(-_transformed(t, skewness, n), n - 1)
    if n < least:
        wide = math.sqrt((1 - rule.alpha) / rule.alpha) * error
        above, below = max(above, wide), min(below, -wide)
        p = max(p, 1 / (1 + t * t) if t < 0 else 1 / 2)
    interval = Interval(
        estimate=estimate,
        low=estimate - above,
        high=estimate - below,
        p=p,
        method=method or "Student's t with Hall's correction for skewness",
        n=n,
        unit=unit,
        rule=margin,
        error=error,
        floor=least,
        notes=(f"so skewed that fewer than {least:,} {UNITS.get(unit, 'examples')} need a wider interval",)
        if n < least
        else (),
    )
    return rule.of_margin(interval)


def _transformed(t: float, skewness: float, n: int) -> float:
    """Hall's T₂: t + γ(2t² + 1)/6√n, completed to a cubic that only rises."""
    a = skewness / math.sqrt(n)
    return ((1 + a * t / 3) ** 3 - 1) / a + a / 6 if abs(a) > 1e-9 else t


def _untransformed(value: float, skewness: float, n: int) -> float:
    a = skewness / math.sqrt(n)
    if abs(a) <= 1e-9:
        return value
    cube = 1 + a * (value - a / 6)
    return 3 / a * (math.copysign(abs(cube) ** (1 / 3), cube) - 1)
