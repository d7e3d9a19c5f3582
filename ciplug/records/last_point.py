"""The latest point of a metric, by MLflow's order: the highest step, then the latest time, then the highest value.

Of a file, whose rows have an order, it is the last row of the highest step.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ciplug.records.canonical import NOT_FINITE

if TYPE_CHECKING:
    from ciplug.records.series import Series

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class LastPoint:
    """The latest point of a metric."""

    step: int
    """0 for a value that was logged without a step."""
    value: float
    time: int | None = None
    """Unix milliseconds; None where nobody stated a time, as in a file of metrics."""

    @property
    def order(self) -> tuple[int, float, float]:
        """Return the sort key: NaN is compared as 0, and a point without a time is earlier than any other."""
        return self.step, -math.inf if self.time is None else self.time, 0.0 if math.isnan(self.value) else self.value


def parse_point(value: object) -> LastPoint:
    """Return the point in a JSON object; unknown fields are skipped. Raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f"a step, a value and a time are expected, not {value!r:.60}")
    step: Any = value.get("step")
    time: Any = value.get("time")
    number: Any = value.get("value")
    if isinstance(number, str):
        number = NOT_FINITE.get(number)
    if type(step) is int and type(time) in (int, type(None)) and type(number) in (int, float):
        with contextlib.suppress(OverflowError):
            return LastPoint(step=step, value=float(number), time=time)
    raise ValueError(f"a whole step, a number and a time in whole milliseconds are expected, not {value!r:.80}")


def last_of(series: Series) -> LastPoint | None:
    """Return the point of the highest step that was logged last; None of an empty series."""
    if not series.steps:
        return None
    top = max(series.steps)
    # The points are in the order of their logging: in a file that goes on, a step may be there again.
    at = max(number for number, step in enumerate(series.steps) if step == top)
    time = None if series.times is None else milliseconds(series.times[at])
    return LastPoint(step=top, value=series.values[at], time=time)


def milliseconds(seconds: float | None) -> int | None:
    """Unix seconds as MLflow has them; None for what is not a moment of a calendar."""
    return None if seconds is None or not abs(seconds) < 1e12 else round(seconds * 1000)


def series_to_store(series: Mapping[str, Series], last: Mapping[str, LastPoint]) -> dict[str, Series]:
    """Return the series that say more than the record does: not those of one point, of step 0, that is in `last`.

    MLflow's client gives every metric a step. Most have one point, and an object for each run would repeat them.
    """
    return {
        name: one
        for name, one in series.items()
        if len(one.steps) != 1 or one.steps[0] or not _is_last(one, name, last)
    }


def _is_last(series: Series, name: str, last: Mapping[str, LastPoint]) -> bool:
    point = last.get(name)
    return point is not None and _exact(as_series(point)) == _exact(series)


def _exact(series: Series) -> tuple[str, ...]:
    return tuple(map(repr, (series.steps, series.values, series.times)))  # as text, NaN equals NaN, and 0 is not -0


def as_series(point: LastPoint) -> Series:
    """Return the series of this point alone."""
    from ciplug.records.series import Series

    return Series((point.step,), (point.value,), None if point.time is None else (point.time / 1000,))


def not_earlier(
    values: Mapping[str, T], points: Mapping[str, LastPoint], than: Mapping[str, LastPoint]
) -> dict[str, T]:
    """Return the values of the metrics whose point is not earlier than the known one, or that lack one of the two."""
    return {
        name: value
        for name, value in values.items()
        if name not in points or name not in than or points[name].order >= than[name].order
    }


def latest(one: Mapping[str, LastPoint], other: Mapping[str, LastPoint]) -> dict[str, LastPoint]:
    """Return metric → the later of its points."""
    return {**one, **not_earlier(other, other, one)}
