"""Several seeds on the same examples: the noise of the trainings and of the evaluation set in one test.

Welch's test on the means of the seeds asks whether other seeds would give the same result on these examples; a test
example by example, whether these runs would on other examples. A gate asks for both. The score of seed s on example e
is taken for a sum of an effect of the seed, one of the example, and the rest; the variance of the difference is that of
the seeds' means and that of the examples' mean differences, less the rest, which is in both (crossed random effects, S.
R. Searle, G. Casella and C. E. McCulloch, "Variance Components", 1992).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.stats.intervals import Interval, Rule, Undecided
from ciplug.stats.means import freedom, student

if TYPE_CHECKING:
    from ciplug.stats.resampling import Floats


def crossed(new: Floats, old: Floats | float, rule: Rule, *, weights: Floats | None = None) -> Interval | Undecided:
    """The difference of two sides, each of shape (seeds, examples), with the examples in the same order.

    Needs two seeds a side, and two examples. The degrees of freedom are Satterthwaite's, of both parts.

    Args:
        old: a number where the candidate is held against a bound.
        weights: of each example; None: all alike.
    """
    import numpy as np

    from ciplug.stats.mean_tests import FEWEST, dominated, effective_size, unbiased

    sides = [new] if isinstance(old, float) else [new, rule.scale * old]
    n = new.shape[1]
    if min(len(side) for side in sides) < 2 or n < 2:
        return Undecided("noise between seeds cannot be estimated: at least two seeds are needed on each side")
    sizes = np.ones(n) if weights is None else weights
    alike, shares = effective_size(sizes), sizes / sizes.sum()
    if weights is not None and alike < FEWEST:
        return dominated(n, sizes, "example")
    seeds = [(float((side @ shares).var(ddof=1)) / len(side), len(side) - 1) for side in sides]
    of_examples = new.mean(axis=0) - (old if isinstance(old, float) else sides[1].mean(axis=0))
    estimate = float(of_examples @ shares)
    influence = unbiased((of_examples - estimate) * shares, sizes)
    between = float((influence * influence).sum()) * alike / (alike - 1)
    rest = sum(_rest(side) / len(side) / alike for side in sides)
    of_seeds = sum(part for part, _ in seeds)
    # No part is negative, and neither alone is more than the whole.
    variance = max(of_seeds + between - rest, of_seeds, between)
    parts = [(max(0.0, variance - of_seeds), alike - 1)]
    if of_seeds > 0:
        parts.append((of_seeds, freedom(seeds)))
    df = variance**2 / sum(part**2 / degrees for part, degrees in parts if part > 0) if variance > 0 else 1.0
    name = "Student's" if isinstance(old, float) else "Welch's"
    interval = student(
        rule.sign * estimate,
        math.sqrt(variance),
        df,
        rule.margin,
        method=f"{name} t-test on seed means, with the noise of the examples",
        n=min(len(side) for side in sides),
        unit="seed",
    )
    if weights is not None:
        note = f"by their weights, {n:,} examples count as {math.floor(alike):,} of equal weight"
        interval = replace(interval, notes=(*interval.notes, note))
    return rule.of_margin(interval)


def _rest(side: Floats) -> float:
    """What neither the seed nor the example explains: the mean square of the residuals of a two-way table."""
    seeds, n = side.shape
    residuals = side - side.mean(axis=1, keepdims=True) - side.mean(axis=0, keepdims=True) + side.mean()
    square = float((residuals * residuals).sum())
    return square / float((seeds - 1) * (n - 1))
