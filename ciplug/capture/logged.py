"""Combine the events of a log. The result does not depend on the order of the lines.

- Of a metric's values the one that counts has the highest step, then the latest time, then the highest value. A value
  without a step counts as of step 0, and NaN is compared as 0. This is the rule of MLflow.
- Of parameters, tags, names and seeds the latest counts.
- A value of a metric that was logged twice, with the same step and time, is kept once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from ciplug.capture.events import whole_step, within_years
from ciplug.errors import UsageError
from ciplug.records.run import METRIC_NAME, Scalar
from ciplug.records.series import Series


class Point(NamedTuple):
    """A value of a metric."""

    step: int
    time: float
    """Unix seconds."""
    value: float

    @property
    def order(self) -> tuple[int, float, float, int]:
        """Return the sort key of a point. No two different values have the same key."""
        value = self.value
        if value == 0:
            return (self.step, self.time, 0.0, 1 if math.copysign(1, value) > 0 else 0)
        return (self.step, self.time, 0.0, 2) if value != value else (self.step, self.time, value, 0)


@dataclass(frozen=True)
class Logged:
    """The sum of a log."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Scalar] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    series: Mapping[str, Series] = field(default_factory=dict)
    """The series of the metrics that were logged with steps."""
    latest: Mapping[str, Point] = field(default_factory=dict)
    """The points that `metrics` are the values of."""
    model: str | None = None
    name: str | None = None
    seed: int | None = None
    started: float | None = None
    """Unix seconds, if the program set when the run started."""
    ended: float | None = None
    torn: int = 0
    """Lines that are no event: their process was killed while it wrote, or something else wrote to the file."""
    unknown: int = 0
    """Events of a kind that this version does not know."""


class Fold:
    """Adds up lines as they come."""

    def __init__(self) -> None:
        self._latest: dict[str, Point] = {}
        self._points: dict[str, list[Point]] = {}
        self._series: dict[str, Series] = {}
        """As it was last asked for, of metrics that have no new point since."""
        self._set: dict[tuple[str, str], tuple[float, int, Any]] = {}
        """Kind and key → time, position in its line, and value of what counts."""
        self._paths: dict[tuple[str, str], tuple[float, int]] = {}
        """Kind and path → when it was first named."""
        self._torn = 0
        self._unknown = 0

    def add(self, line: bytes) -> None:
        """Add a line: an event or a list of events, which count together or not at all."""
        try:
            events = json.loads(line)
            parsed = [_parsed(event) for event in (events if isinstance(events, list) else [events])]
        except (ValueError, TypeError, KeyError, OverflowError, UsageError, RecursionError):
            self._torn += 1
            return
        for position, one in enumerate(parsed):
            if one is None:
                self._unknown += 1
            else:
                self._take(*one, position)

    def _take(self, kind: str, key: str, value: Any, time: float, position: int) -> None:
        if kind == "metric":
            self._take_point(key, *value)
        elif kind in _PATHS:
            first = self._paths.get((kind, key), (math.inf, 0))
            self._paths[kind, key] = min(first, (time, position))
        else:
            before = self._set.get((kind, key))
            if before is None or _later((time, position, value), before):
                self._set[kind, key] = (time, position, value)

    def _take_point(self, key: str, point: Point, has_step: bool) -> None:
        before = self._latest.get(key)
        # A later one is the common case, and is found without comparing values.
        if before is None or point[:2] > before[:2] or point.order > before.order:
            self._latest[key] = point
        if has_step:
            self._points.setdefault(key, []).append(point)
            self._series.pop(key, None)

    def logged(self) -> Logged:
        """The sum of all lines so far."""
        for key in self._points.keys() - self._series.keys():
            points = self._points[key] = _sorted(self._points[key])
            steps, times, values = zip(*points, strict=True)
            self._series[key] = Series(steps=steps, values=values, times=times)
        return Logged(
            metrics={key: point.value for key, point in sorted(self._latest.items())},
            params=self._all("param"),
            tags={key: value for key, value in self._all("tag").items() if value is not None},
            artifacts=self._in_order("artifact"),
            datasets=self._in_order("dataset"),
            series=dict(sorted(self._series.items())),
            latest=dict(sorted(self._latest.items())),
            model=self._one("model"),
            name=self._one("name"),
            seed=self._one("seed"),
            started=self._one("started"),
            ended=self._one("ended"),
            torn=self._torn,
            unknown=self._unknown,
        )

    def _all(self, kind: str) -> dict[str, Any]:
        return {key: value for (which, key), (_, _, value) in sorted(self._set.items(), key=_by_key) if which == kind}

    def _one(self, kind: str) -> Any:
        return self._set.get((kind, ""), (0, 0, None))[2]

    def _in_order(self, kind: str) -> tuple[str, ...]:
        return tuple(sorted((path for which, path in self._paths if which == kind), key=lambda p: self._place(kind, p)))

    def _place(self, kind: str, path: str) -> tuple[float, int, str]:
        return (*self._paths[kind, path], path)


_PATHS = ("artifact", "dataset")
_TEXTS = ("model", "name")
_TIMES = ("started", "ended")


def _parsed(event: Any) -> tuple[str, str, Any, float] | None:
    """Kind, key, value and time of an event; None for one of an unknown kind.

    Raises ValueError, TypeError, KeyError, OverflowError or UsageError for what is no event.
    """
    if not isinstance(event, dict):
        raise TypeError
    if "metric" in event:
        return _metric(event)
    kind = next((kind for kind in ("param", "tag", "untag", *_PATHS, *_TEXTS, *_TIMES, "seed") if kind in event), None)
    if kind is None:
        return None
    time = _time(event)
    if kind == "param":
        if not isinstance(event["value"], (str, int, float, bool)):
            raise TypeError
        return kind, str(event[kind]), event["value"], time
    if kind == "tag":
        return kind, str(event[kind]), str(event["value"]), time
    if kind == "untag":
        return "tag", str(event[kind]), None, time
    if kind in _PATHS:
        return kind, str(event[kind]), None, time
    if kind in _TIMES:
        return kind, "", _moment(event[kind]), time
    return kind, "", int(event[kind]) if kind == "seed" else str(event[kind]), time


def _metric(event: Mapping[str, Any]) -> tuple[str, str, Any, float]:
    key, value, time = str(event["metric"]), float(event["value"]), _time(event)
    if not _is_name(key):
        raise ValueError
    step = event.get("step")
    return "metric", key, (Point(0 if step is None else whole_step(key, step), time, value), step is not None), time


@lru_cache(maxsize=10_000)
def _is_name(key: str) -> bool:
    return METRIC_NAME.fullmatch(key) is not None


def _time(event: Mapping[str, Any]) -> float:
    return _finite(event["time"])


def _moment(value: Any) -> float:
    if not within_years(float(value)):
        raise ValueError
    return float(value)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _later(one: tuple[float, int, Any], other: tuple[float, int, Any]) -> bool:
    if one[:2] != other[:2]:
        return one[:2] > other[:2]
    return json.dumps(one[2]) > json.dumps(other[2])


def _sorted(points: list[Point]) -> list[Point]:
    """Sort points by step and time, and remove duplicates."""
    if all(one[:2] < other[:2] for one, other in pairwise(points)):
        return points
    return list({point.order: point for point in sorted(points, key=lambda point: point.order)}.values())


def _by_key(item: tuple[tuple[str, str], Any]) -> tuple[str, str]:
    return item[0]
