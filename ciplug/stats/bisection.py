"""Which commit to train next, so that the one that moved a metric is found with few trainings. Pure.

Probabilistic bisection (M. Horstein, 1963): train the commit that halves what is suspected. The factors of
`ciplug.stats.culprit` hold whichever commit is chosen, and whenever one stops.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from ciplug.stats.culprit import Suspicion, suspect

HOPELESS = 1 / 3
"""The factor from which on down a search ends: nothing seems to have changed."""

Outcome = Literal["found", "unchanged", "unsure"]


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
) -> Search:
    """Weigh what is measured, and choose what to measure next.

    Args:
        values: position of a commit → its finite numbers.
        first: the first commit that may have moved the metric. The one before it is the good end.
        last: the last one, which is the bad end.
        barred: positions that cannot be trained, between the two ends.
        left: how many trainings may follow.
        alpha: the probability to name a wrong commit.
    """
    suspicion = suspect(values, first, last)
    spans = list(_spans(suspicion, first, last, barred))
    likeliest = max(spans, key=lambda span: span.probability)
    ends = [len(values.get(at, ())) for at in (first - 1, last)]
    outcome: Outcome | None = None
    if suspicion.has_changed(alpha) and likeliest.probability * suspicion.probability >= 1 - alpha:
        outcome = "found"
    elif all(ends) and (suspicion.factor <= HOPELESS or _is_flat(values)):
        outcome = "unchanged"
    elif left <= 0:
        outcome = "unsure"
    return Search(outcome, suspicion, likeliest, _next(values, suspicion, spans, likeliest, ends))


def limit(places: int) -> int:
    """How many trainings a search among so many commits may take: twice as many as without noise, and ten."""
    return 2 * math.ceil(math.log2(max(2, places))) + 10


def _is_flat(values: Mapping[int, Sequence[float]]) -> bool:
    return len({number for of in values.values() for number in of}) == 1


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
