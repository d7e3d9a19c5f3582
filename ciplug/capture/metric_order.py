"""The order in which the rows of a file were logged, by their steps and times. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def logged_order(steps: Sequence[int], times: Sequence[float] | None) -> tuple[list[int], bool]:
    """Return the positions of points in the order of their logging, and whether that order is known.

    A file may have its newest row first, or be sorted by something else than the step. Where a training was started
    again and its file goes on, the steps start again too, and the order of the rows counts.
    """
    rows = list(range(len(steps)))
    if _rises(steps):
        return rows, True
    if times is not None and times[0] != times[-1]:
        for ordered in (rows, rows[::-1]):
            if _rises([times[at] for at in ordered]):
                return ordered, True
    if _rises(steps[::-1]):
        return rows[::-1], True
    if steps[-1] == max(steps):
        return rows, True
    if len(set(steps)) == len(steps):
        return sorted(rows, key=lambda at: steps[at]), True
    return rows, _starts_again(steps)


def order_by_time(times: Sequence[float]) -> tuple[list[int], bool]:
    """Return the same of rows that have no steps. Not known is it where rows apart from each other have the last time.

    Of rows with one time, the order is that of the rows; the reverse, where the newest row is the first.
    """
    rows = list(range(len(times)))
    for ordered in (rows, rows[::-1]):
        if _rises([times[at] for at in ordered]):
            return ordered, True
    last = max(times)
    latest = [at for at in rows if times[at] == last]
    return sorted(rows, key=lambda at: times[at]), latest[-1] - latest[0] == len(latest) - 1


def _rises(values: Sequence[float]) -> bool:
    return all(a <= b for a, b in itertools.pairwise(values))


def _starts_again(steps: Sequence[int]) -> bool:
    """Whether each fall goes back to a step that was there before."""
    seen = {steps[0]}
    for before, step in itertools.pairwise(steps):
        if step < before and step not in seen:
            return False
        seen.add(step)
    return True
