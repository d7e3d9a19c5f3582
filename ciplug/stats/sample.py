"""Many numbers of one column in little memory: 8 bytes each, in ascending order when they are asked for."""

from __future__ import annotations

import bisect
import heapq
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence

RUN = 250_000
"""Numbers that are sorted at once, and so stand in memory as objects of Python."""


class Sample:
    """Numbers, infinities included. None and NaN are counted as missing."""

    def __init__(self, values: Iterable[float | None] = ()) -> None:
        self.missing = 0
        self._values = array("d")
        self._is_sorted = True
        self.extend(values)

    def extend(self, values: Iterable[float | None]) -> None:
        for value in values:
            if value is None or value != value:
                self.missing += 1
            else:
                self._values.append(_as_float(value))
        self._is_sorted = False

    def extend_complete(self, values: Sequence[float]) -> None:
        """Like `extend`, but faster: no value may be None."""
        try:
            block = array("d", values)
        except OverflowError:
            self.extend(values)
            return
        if math.isnan(sum(block)):
            self.extend(values)
            return
        self._values.extend(block)
        self._is_sorted = False

    def __len__(self) -> int:
        """The count of numbers, without missing ones."""
        return len(self._values)

    @property
    def rows(self) -> int:
        return len(self) + self.missing

    def __iter__(self) -> Iterator[float]:
        """Iterate in ascending order."""
        self._sort()
        return heapq.merge(*(_slice(self._values, *run) for run in self._runs()))

    def at(self, rank: int) -> float:
        """The number that `rank` others stand before, in ascending order. Raises IndexError beyond the last."""
        self._sort()
        for start, end in self._runs():
            # The first of the run that enough numbers of the whole sample do not exceed.
            place = start + bisect.bisect_left(range(start, end), True, key=lambda i: self._reaches(i, rank))
            if place < end and self.below(self._values[place]) <= rank:
                return self._values[place]
        raise IndexError(rank)

    def below(self, value: float) -> int:
        """Count the numbers that are smaller than `value`."""
        self._sort()
        return sum(bisect.bisect_left(self._values, value, *run) - run[0] for run in self._runs())

    def _reaches(self, place: int, rank: int) -> bool:
        return self._up_to(self._values[place]) > rank

    def _up_to(self, value: float) -> int:
        return sum(bisect.bisect_right(self._values, value, *run) - run[0] for run in self._runs())

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Start and end of the parts that are sorted each by itself."""
        for start in range(0, len(self._values), RUN):
            yield start, min(start + RUN, len(self._values))

    def _sort(self) -> None:
        if not self._is_sorted:
            for start, end in self._runs():
                self._values[start:end] = array("d", sorted(self._values[start:end]))
            self._is_sorted = True


def _slice(values: array[float], start: int, end: int) -> Iterator[float]:
    return (values[place] for place in range(start, end))


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
