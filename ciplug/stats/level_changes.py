"""Where the level of a metric changed over a history, commit by commit. Pure, standard library alone.

Binary segmentation: the history is cut at its surest change, and each part again. A change is found if the history as
a whole shows it, or some of its parts (seeded intervals: S. Kovács and others, 2020), by the e-values of
`ciplug.stats.change_point`. One part is the history without its last commit, which alone must not hide an earlier
change. The mean of e-values is an e-value too, so a history without a change has none in 1 − alpha of all cases.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from ciplug.stats.change_point import Suspicion, suspect

_SHORTEST = 8
"""Measured commits of the shortest part that is looked at by itself."""


@dataclass(frozen=True)
class LevelChange:
    """A place where the level changed."""

    at: int
    """The position of the likeliest commit: the first with the new level."""
    probability: float
    """That it is the one, given that one between the neighbouring changes is."""
    candidates: Sequence[int]
    """The commits that have the one among them with a probability of 1 − alpha."""
    before: float
    """The mean of the numbers between the change before this one and the first candidate."""
    after: float
    """The mean of the numbers from the last candidate on, up to the next change."""


def level_changes(values: Mapping[int, Sequence[float]], alpha: float) -> list[LevelChange]:
    """Find the changes of the level, first to last.

    Args:
        values: position of a commit → its finite numbers, of one run each; commits without a run are absent.
        alpha: the share of histories without a change in which one is found at most.
    """
    measured = sorted(at for at in values if values[at])
    cuts = sorted(_cuts(values, measured, alpha))
    edges = [0, *cuts, len(measured)]
    found = []
    for before, cut, after in zip(edges, edges[1:], edges[2:], strict=False):
        part = measured[before:after]
        suspicion = _suspect(values, part)
        if after == len(measured) and len(part) > _SHORTEST and cut < after - 1:
            suspicion = max(suspicion, _suspect(values, part[:-1]), key=lambda one: one.factor)
        found.append(_change(values, part, suspicion, measured[cut], alpha))
    return found


def _change(
    values: Mapping[int, Sequence[float]], part: Sequence[int], suspicion: Suspicion, cut: int, alpha: float
) -> LevelChange:
    candidates = suspicion.candidates(alpha) or [cut]
    at = suspicion.likeliest
    first, last = candidates[0], candidates[-1]
    # A level has a number at least, however wide the candidates are.
    lower = [one for one in part if one < first] or [one for one in part if one < at]
    upper = [one for one in part if one >= last] or [one for one in part if one >= at]
    return LevelChange(
        at=at,
        probability=suspicion.weights[at],
        candidates=candidates,
        before=statistics.fmean(chain.from_iterable(values[one] for one in lower)),
        after=statistics.fmean(chain.from_iterable(values[one] for one in upper)),
    )


def _suspect(values: Mapping[int, Sequence[float]], part: Sequence[int]) -> Suspicion:
    """Weigh the commits after the first measured one of a part, up to its last measured one."""
    return suspect({at: values[at] for at in part}, part[0] + 1, part[-1])


def _cuts(values: Mapping[int, Sequence[float]], measured: Sequence[int], alpha: float) -> Iterator[int]:
    """Yield the indices of measured commits before which a part ends."""
    parts = [(0, len(measured))]
    while parts:
        start, end = parts.pop()
        if end - start < 2:
            continue
        whole = _suspect(values, measured[start:end])
        surest, factors = whole, []
        for first, last in _seeded(start, end):
            one = _suspect(values, measured[first:last])
            factors.append(one.factor)
            if one.factor > surest.factor:
                surest = one
        groups = [whole.factor, *([statistics.fmean(factors)] if factors else [])]
        if end == len(measured) and end - 1 - start >= _SHORTEST:
            earlier = _suspect(values, measured[start : end - 1])
            groups.append(earlier.factor)
            surest = max(surest, earlier, key=lambda one: one.factor)
        if statistics.fmean(groups) < 1 / alpha:
            continue
        cut = next(k for k in range(start, end) if measured[k] >= surest.likeliest)
        yield cut
        parts += [(start, cut), (cut, end)]


def _seeded(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield intervals of half the length each time, that overlap by half: of n numbers, about 2n."""
    length = (end - start) // 2
    while length >= _SHORTEST:
        step = max(1, length // 2)
        yield from ((first, first + length) for first in range(start, end - length + 1, step))
        length //= 2
