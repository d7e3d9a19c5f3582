"""Which commit to train next, so that the one that moved a metric is found with few trainings. Pure.

Probabilistic bisection (M. Horstein, 1963): train the commit that halves what is suspected. The factors of
`ciplug.stats.change_point` hold whichever commit is chosen, and whenever one stops.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from ciplug.stats.change_point import Suspicion, suspect

HOPELESS = 1 / 3
"""The factor from which on down a search ends: nothing seems to have changed."""

Outcome = Literal["found", "unchanged", "swapped", "unsure"]
"""swapped: the good end is worse than the bad one."""


class Span(NamedTuple):
    """Commits of which one moved the metric, and that cannot be told apart: those between them cannot be trained."""

    first: int
    last: int
    probability: float


class Search(NamedTuple):
    """The state of a search, with what to do next."""

    outcome: Outcome | None
    """None: it goes on."""
    suspicion: Suspicion
    likeliest: Span
    """Where `outcome` is "found", the commit that moved the metric."""
    next: int
    """The position of the commit to train next."""


def search(
    values: Mapping[int, Sequence[float]],
    first: int,
    last: int,
    *,
    barred: Collection[int],
    left: int,
    alpha: float,
    others: Sequence[Sequence[float]] = (),
    higher_is_better: bool | None = None,
) -> Search:
    """Weigh what is measured, and choose what to measure next.

    Args:
        values: position of a commit → its finite numbers.
        first: the first commit that may have moved the metric. The one before it is the good end.
        last: the last one, which is the bad end.
        barred: positions that cannot be trained, between the two ends.
        left: how many trainings may follow.
        alpha: the probability to name a wrong commit.
        others: the numbers of commits beyond the ends, each with a level of its own: they tell the noise.
        higher_is_better: None: a change in either direction is looked for.
    """
    suspicion = suspect(values, first, last, others, is_searched=True)
    spans = list(_spans(suspicion, first, last, barred))
    likeliest = max(spans, key=lambda span: span.probability)
    ends = [len(values.get(at, ())) for at in (first - 1, last)]
    outcome: Outcome | None = None
    good, bad = values.get(first - 1, ()), values.get(last, ())
    is_swapped = _is_worse(good, bad, higher_is_better)
    if is_swapped and suspect({0: good, 1: bad}, 1, 1, others).has_changed(alpha):
        outcome = "swapped"
    elif not is_swapped and suspicion.has_changed(alpha) and likeliest.probability * suspicion.probability >= 1 - alpha:
        outcome = "found"
    elif all(ends) and (suspicion.factor <= HOPELESS or _is_flat(values, others)):
        outcome = "unchanged"
    elif left <= 0:
        outcome = "unsure"
    at = _next(values, suspicion, spans, likeliest, ends)
    if is_swapped:
        at = first - 1 if ends[0] <= ends[1] else last  # By chance or not: the ends tell.
    return Search(outcome, suspicion, likeliest, at)


def limit(places: int) -> int:
    """How many trainings a search among so many commits may take: twice as many as without noise, and ten."""
    return 2 * math.ceil(math.log2(max(2, places))) + 10


def _is_worse(good: Sequence[float], bad: Sequence[float], higher_is_better: bool | None) -> bool:
    """Whether the numbers of the good end are worse than those of the bad one."""
    if not good or not bad or higher_is_better is None:
        return False
    before, after = statistics.fmean(good), statistics.fmean(bad)
    return before < after if higher_is_better else before > after


def _is_flat(values: Mapping[int, Sequence[float]], others: Sequence[Sequence[float]]) -> bool:
    is_exact = all(len(set(of)) <= 1 for of in others)
    return is_exact and len({number for of in values.values() for number in of}) == 1


def _spans(suspicion: Suspicion, first: int, last: int, barred: Collection[int]) -> Iterator[Span]:
    """Yield the smallest parts of the history that trainings can tell apart."""
    start, weight = first, 0.0
    for at in range(first, last + 1):
        weight += suspicion.weights[at]
        # A number of this commit tells whether it or one before it was it, or one after it.
        if at == last or at not in barred:
            yield Span(start, at, weight)
            start, weight = at + 1, 0.0


def _next(
    values: Mapping[int, Sequence[float]],
    suspicion: Suspicion,
    spans: Sequence[Span],
    likeliest: Span,
    ends: Sequence[int],
) -> int:
    good, bad = spans[0].first - 1, spans[-1].last
    if not all(ends) or suspicion.factor < 1:
        return good if ends[0] <= ends[1] else bad
    if likeliest.probability > 0.5 or len(spans) == 1:
        sides = (likeliest.first - 1, likeliest.last)
        return min(sides, key=lambda at: len(values.get(at, ())))
    weight, halves = 0.0, []
    for span in spans[:-1]:
        weight += span.probability
        halves.append((abs(weight - 0.5), span.last))
    return min(halves)[1]
