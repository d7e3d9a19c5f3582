"""What choosing the best of many costs, where all were measured on the same data. Pure.

The best of n measurements with the standard deviation σ around one truth lies σ·E above it, E being the expected
largest of n standard normal numbers. That is the upper limit of the cost: models that are much alike err alike on the
same data. A. Blum and M. Hardt, "The Ladder" (2015), have the case in which each choice depends on the last.
"""

from __future__ import annotations

import math

from ciplug.stats.distributions import normal_isf


def luck(runs: int, deviation: float) -> float:
    """How much better than it is the best of so many runs looks, at most.

    The expected largest is approximated by G. Blom's formula (1958), to 5% from two runs on, and 1% from ten.
    """
    if runs < 2:
        return 0.0
    return deviation * normal_isf(1 - (runs - 0.375) / (runs + 0.25))


def of_share(share: float, examples: int) -> float:
    """The standard deviation of a share of so many examples; no mean of numbers from 0 to 1 has a larger one."""
    return math.sqrt(share * (1 - share) / examples)
