"""Which commit of a history moved a metric, and how sure that is. Pure, standard library alone.

The model: the numbers of a history scatter normally, with one unknown deviation, around one level; or around one level
before a commit, and another one from it on. The size of the step, in deviations, is normal around 0 with each of
SCALES in equal parts, and every commit is as likely as the others to be the one. With the invariant prior on level and
deviation this is a Bayes factor of t-tests (M. Gönen and others, 2005).

Where no commit has moved anything, the factor is an e-value, whichever commits were measured and whenever one stops
(A. Hendriksen, R. de Heide and P. Grünwald, 2021): it exceeds 1/alpha with probability alpha at most.

Numbers are often coarse: an accuracy is a share of few examples, so noise may give equal numbers on each side, which
a normal deviation takes for exact ones. If nothing has changed, each order of the numbers is as likely as any other,
whatever the noise is. Therefore the factor is at most half the count of these orders (a step up and a step down may
both look perfect), unless the numbers are equal though the metric has many values between them: noise that reaches from
one number to another that is k of its smallest steps away gives the same number twice with a probability of about 0.6/k
at most. So each number that is there already counts as a factor of k/2.

A library for change points of a whole series (ruptures, signal-processing-algorithms) needs numpy and scipy, wants a
threshold or a number of changes to be given, and knows neither several numbers of one commit nor commits without one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

SCALES = (1.0, 3.0, 10.0)
"""Standard deviations of the step's prior, in deviations of one number."""
MOST_EXAMPLES = 2000
"""A share of more examples counts as fine; so does a number that is no share, such as a loss."""
_ONLY_WHOLE = 2.0**53
"""From here on every float is a whole number."""
_LARGEST = 700.0
"""The exponential function of more is beyond every float."""


@dataclass(frozen=True)
class Suspicion:
    """What the numbers of a history say on the commit that moved them."""

    factor: float
    """How much better the numbers fit a history with a change than one without; inf where it is beyond every float."""
    weights: Mapping[int, float]
    """Position of a commit → the probability that it is the one, if one is; they sum to 1."""

    @property
    def probability(self) -> float:
        """That one commit has moved the metric, where that is as likely beforehand as that none has."""
        return self.factor / (1 + self.factor) if self.factor < math.inf else 1.0

    @property
    def likeliest(self) -> int:
        """The position of the commit that is the likeliest one; of several, of the first."""
        return max(self.weights, key=self.weights.__getitem__)

    def sure(self, alpha: float) -> int | None:
        """The commit that moved the metric with a probability of 1 − alpha or more; None where none is that sure."""
        at = self.likeliest
        if not self.has_changed(alpha) or self.weights[at] * self.probability < 1 - alpha:
            return None
        return at

    def has_changed(self, alpha: float) -> bool:
        """Whether some commit has moved the metric; said falsely of an unchanged one in at most alpha of all cases."""
        return self.factor >= 1 / alpha

    def candidates(self, alpha: float) -> list[int]:
        """The likeliest commits that have the one among them with a probability of 1 − alpha, in their order."""
        chosen, total = [], 0.0
        for at in sorted(self.weights, key=lambda one: (-self.weights[one], one)):
            chosen.append(at)
            total += self.weights[at]
            if total >= 1 - alpha:
                break
        return sorted(chosen)


def suspect(
    values: Mapping[int, Sequence[float]],
    first: int,
    last: int,
    others: Sequence[Sequence[float]] = (),
    *,
    is_searched: bool = False,
) -> Suspicion:
    """Weigh the commits of a history.

    Args:
        values: position of a commit → its finite numbers, of one run each.
        first: the position of the first commit that may have moved the metric.
        last: the position of the last one, `first` or more.
        others: the numbers of other commits, each with a level of its own: they tell the deviation alone.
        is_searched: the commits between the ends were chosen one after the other, each by the numbers before it.
    """
    numbers = [value for each in values.values() for value in each]
    others = [of for of in others if len(of) > 1]
    shift, unit = _scale([*numbers, *(value for of in others for value in of)])
    measured = sorted(at for at in values if values[at])
    sums = {at: math.fsum(value / unit - shift for value in values[at]) for at in measured}
    whole, n = math.fsum(sums.values()), len(numbers)
    squares = math.fsum((value / unit - shift - whole / n) ** 2 for value in numbers)
    noise = math.fsum(
        (value / unit - math.fsum(one / unit for one in of) / len(of)) ** 2 for of in others for value in of
    )
    comparisons = sum(len(of) - 1 for of in others)
    logs: dict[int, float] = {}
    count, total, start = 0, 0.0, first
    for at in measured:
        if at >= start:
            # The commits after one measured commit, up to the next, split the numbers in the same way.
            upto = min(at, last)
            one = _log_factor(count, n - count, total, whole, squares + noise, comparisons)
            logs.update(dict.fromkeys(range(start, upto + 1), one))
            start = upto + 1
        count, total = count + len(values[at]), total + sums[at]
    logs.update(dict.fromkeys(range(start, last + 1), 0.0))
    top = max(logs.values())
    shares = {at: math.exp(one - top) for at, one in logs.items()}
    together = math.fsum(shares.values())
    log_factor = top + math.log(together / len(shares))
    count_of = Counter(numbers)
    # Where a search has come to, a first number that is not new fits some commit; another one may contradict it.
    ordered = [
        value
        for at, of in values.items()
        for number, value in enumerate(of)
        if number or count_of[value] == 1 or not (is_searched and first <= at < last)
    ]
    if log_factor > (chance := max(0.0, _log_orders(ordered) - math.log(2))):
        log_factor = min(log_factor, max(chance, _log_coincidences(numbers)))
    factor = math.exp(log_factor) if log_factor < _LARGEST else math.inf
    return Suspicion(factor, {at: share / together for at, share in shares.items()})


def _log_orders(numbers: Sequence[float]) -> float:
    """The logarithm of how many orders of these numbers differ: equal ones may change places."""
    return math.lgamma(len(numbers) + 1) - math.fsum(math.lgamma(same + 1) for same in Counter(numbers).values())


def _log_coincidences(numbers: Sequence[float]) -> float:
    """The logarithm of how improbable it is that noise which spans these numbers made as many of them equal."""
    distinct = set(numbers)
    steps = (max(distinct) - min(distinct)) / smallest_step(distinct) / 2
    return (len(numbers) - len(distinct)) * math.log(steps) if steps > 1 else 0.0


def smallest_step(numbers: Collection[float]) -> float:
    """The coarsest step of a metric that can have these values: 1 over the number of examples, at most MOST_EXAMPLES.

    Numbers with one or two decimals are taken as rounded: a step of 0.01.
    """
    if all(abs(value) >= _ONLY_WHOLE or value == round(value) for value in numbers):
        return 1.0
    if all(round(value, 2) == value for value in numbers):
        return 0.01
    written = [(value, 0.5 * 10.0 ** -_decimals(value)) for value in numbers]
    for examples in range(2, MOST_EXAMPLES):
        if all(abs(value - round(value * examples) / examples) <= rounded for value, rounded in written):
            return 1 / examples
    return 1 / MOST_EXAMPLES


def _decimals(value: float) -> int:
    """How many decimals a number is written with, at most 12: a share of examples has an error beyond."""
    return min(max(-int(Decimal(repr(value)).as_tuple().exponent), 0), 12)


def _scale(numbers: Sequence[float]) -> tuple[float, float]:
    """What to take away from the numbers, and before that the unit to divide them by: no square of them overflows."""
    largest = max(map(abs, numbers), default=0.0)
    if largest == 0:
        return 0.0, 1.0
    spread = max(abs(value / largest - numbers[0] / largest) for value in numbers)
    unit = largest * spread if spread else largest
    return (numbers[0] / unit if unit else 0.0), unit or 1.0


def _log_factor(before: int, after: int, total: float, whole: float, squares: float, told: int) -> float:
    """The logarithm of the Bayes factor of a step between the first `before` numbers and the `after` others.

    Args:
        total: the sum of the numbers before the step.
        whole: the sum of all numbers.
        squares: the sum of their squared distances from their mean, and of other numbers from theirs.
        told: the degrees of freedom of those other numbers.
    """
    n = before + after
    if not before or not after or n + told < 3:
        return 0.0  # Two numbers alone show no scatter.
    weight = before * after / n
    explained = weight * ((whole - total) / after - total / before) ** 2 / squares if squares else 0.0
    factors = []
    for scale in SCALES:
        part = weight * scale * scale
        left = max(1 - min(explained, 1.0) * part / (1 + part), 1 / (1 + part))
        factors.append(-0.5 * math.log1p(part) - (n - 1 + told) / 2 * math.log(left))
    top = max(factors)
    return top + math.log(math.fsum(math.exp(one - top) for one in factors) / len(factors))
