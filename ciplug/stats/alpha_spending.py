"""Several looks at one question: the error rate of each, so that all together keep to α however often one looks again.

A training that is run again until its gate is green draws until it is lucky: judged at α each time, of ten runs at
the limit 40% pass at least once. So the first run of a commit is judged at 0.9·α, and the k-th at
0.1·α·6/π²/(k − 1)². These add up to α, and whenever somebody stops, no more than that has been spent: an anytime-valid
test in the sense of A. Ramdas and others, "Game-theoretic statistics and safe anytime-valid inference" (2023), by
C. E. Bonferroni's inequality. It holds for every test and every dependence between the runs, which share a baseline and
an evaluation set. A mixture of likelihood ratios (S. R. Howard and others, 2021) needs the noise of a run to be known,
and costs the first look more.
"""

from __future__ import annotations

import math

FIRST = 0.9
"""The share of α of the first look: most commits have no other."""


def alpha_spent(alpha: float, look: int) -> float:
    """The error rate of a look, counted from 1. Raises ValueError for less."""
    if look < 1:
        raise ValueError(f"looks are counted from 1, not {look}")
    return FIRST * alpha if look == 1 else (1 - FIRST) * alpha * 6 / math.pi**2 / (look - 1) ** 2


def look_of_seeds(runs: int, least: int) -> int:
    """The look at so many seeds, where the first one is at `least`: a new one whenever their number has doubled.

    Seeds that are added change a mean that all earlier ones are part of, so the looks between are nearly the same.
    """
    return 1 + max(0, math.ceil(math.log2(max(runs, 1) / max(least, 1))))
