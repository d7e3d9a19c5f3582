"""Combine the events of a log. The result does not depend on the order of the lines.

- Of a metric's values the one that counts has the highest step, then the latest time, then the highest value. A value
  without a step counts as of step 0, and NaN is compared as 0. This is the rule of MLflow.
- Of parameters, tags, names and seeds the latest counts.
- A value of a metric that was logged twice, with the same step and time, is kept once.
- A dataset in a context, and a logged model, counts once, as it was named first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, get_args

from ciplug.capture.events import whole_step, within_years
from ciplug.errors import UsageError
from ciplug.records.canonical import digest
from ciplug.records.change import Lifecycle
from ciplug.records.inputs import DatasetInput, ModelOutput, parse_dataset, parse_model
from ciplug.records.last_point import LastPoint, milliseconds
from ciplug.records.left_out import LeftOut, Why
from ciplug.records.run import METRIC_NAME, Scalar, Status
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
    untagged: tuple[str, ...] = ()
    """Tags that were removed, and not set again."""
    artifacts: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    """Artifact → its name in the record, where that is not its path."""
    datasets: tuple[str, ...] = ()
    inputs: tuple[DatasetInput, ...] = ()
    model_inputs: tuple[str, ...] = ()
    outputs: tuple[ModelOutput, ...] = ()
    files: tuple[str, ...] = ()
    """Names of files for people, which the training has put into the folder of the run."""
    left_out: tuple[LeftOut, ...] = ()
    """Names whose values could not be used."""
    texts: tuple[str, ...] = ()
    """The schemas and profiles that `inputs` name by digest."""
    series: Mapping[str, Series] = field(default_factory=dict)
    """The series of the metrics of which a value had a step."""
    latest: Mapping[str, Point] = field(default_factory=dict)
    """The points that `metrics` are the values of."""
    model: str | None = None
    name: str | None = None
    seed: int | None = None
    started: float | None = None
    """Unix seconds, if the program set when the run started."""
    ended: float | None = None
    status: str | None = None
    """What the program said of its own state: `running`, `scheduled`, or how it ended."""
    lifecycle: Lifecycle | None = None
    """`deleted`, or `active` again."""
    torn: int = 0
    """Lines that are not an event: their process was killed while it wrote, or something else wrote to the file."""
    unknown: int = 0
    """Events of a kind that this version does not know."""

    @property
    def last(self) -> dict[str, LastPoint]:
        """The latest points as a record keeps them."""
        return {
            name: LastPoint(step=point.step, value=point.value, time=milliseconds(point.time))
            for name, point in self.latest.items()
        }


class _Points:
    """The points of one metric: columns that are appended to, and never changed."""

    def __init__(self) -> None:
        self.columns: tuple[list[int], list[float], list[float]] = ([], [], [])
        """Steps, times and values."""
        self._rises = True
        """Whether each point has a later step, or time of the same step, than the one before it."""

    def add(self, point: Point) -> None:
        steps, times, values = self.columns
        if steps and (steps[-1], times[-1]) >= point[:2]:
            self._rises = False
        steps.append(point.step)
        times.append(point.time)
        values.append(point.value)

    def put_in_order(self) -> None:
        """Sort the points by step and time, and keep each once. Two values of one step and time stay two points."""
        if self._rises:
            return
        points = sorted(map(Point, *self.columns), key=lambda point: point.order)
        ordered = {point.order: point for point in points}.values()
        steps, times, values = zip(*ordered, strict=True)
        self.columns = list(steps), list(times), list(values)
        self._rises = True


class _SeriesSoFar(Mapping[str, Series]):
    """Metric → its series up to a moment. A series is made when it is asked for: a reader may want the latest only."""

    def __init__(self, points: Mapping[str, _Points]) -> None:
        self._columns = {name: (points[name].columns, len(points[name].columns[0])) for name in sorted(points)}
        self._made: dict[str, Series] = {}

    def __getitem__(self, name: str) -> Series:
        if name not in self._made:
            (steps, times, values), count = self._columns[name]
            self._made[name] = Series(tuple(steps[:count]), tuple(values[:count]), tuple(times[:count]))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return repr(dict(self))


class Fold:
    """Adds up lines as they come."""

    def __init__(self) -> None:
        self._latest: dict[str, Point] = {}
        self._points: dict[str, _Points] = {}
        self._with_steps: set[str] = set()
        """The metrics of which a value had a step: their other values are of step 0."""
        self._set: dict[tuple[str, str], tuple[float, int, Any]] = {}
        """Kind and key → time, position in its line, and value of what counts."""
        self._firsts: dict[str, dict[object, _First]] = {kind: {} for kind in _ONCE}
        """Kind → identity → when it was first named, and how."""
        self._torn = 0
        self._unknown = 0

    def add(self, line: bytes) -> None:
        """Add a line: an event or a list of events, which count together or not at all."""
        try:
            events = json.loads(line)
        except (ValueError, RecursionError):
            self._torn += 1
            return
        self.take(events if isinstance(events, list) else [events])

    def take(self, events: Sequence[Any]) -> None:
        """Add events that are no line, which count together or not at all."""
        try:
            parsed = [_parsed(event) for event in events]
        except (ValueError, TypeError, KeyError, OverflowError, UsageError, RecursionError):
            self._torn += 1
            return
        for position, one in enumerate(parsed):
            if one is None:
                self._unknown += 1
            else:
                self._take(*one, position)

    def _take(self, kind: str, key: Any, value: Any, time: float, position: int) -> None:
        if kind == "metric":
            self._take_point(key, *value)
        elif kind in _ONCE:
            one = _First(time, position, repr(value[0] if kind == "input" else value), value)
            before = self._firsts[kind].get(key)
            if before is None or one[:3] < before[:3]:
                self._firsts[kind][key] = one
        else:
            was = self._set.get((kind, key))
            if was is None or _later((time, position, value), was):
                self._set[kind, key] = (time, position, value)

    def _take_point(self, key: str, point: Point, has_step: bool) -> None:
        before = self._latest.get(key)
        # A later one is the common case, and is found without comparing values.
        if before is None or point[:2] > before[:2] or point.order > before.order:
            self._latest[key] = point
        self._points.setdefault(key, _Points()).add(point)
        if has_step:
            self._with_steps.add(key)

    def logged(self) -> Logged:
        """The sum of all lines so far."""
        for key in self._with_steps:
            self._points[key].put_in_order()
        artifacts: list[tuple[str, str | None]] = self._in_order("artifact")
        inputs: list[tuple[DatasetInput, tuple[str, ...]]] = self._in_order("input")
        tags = self._all("tag")
        return Logged(
            metrics={key: point.value for key, point in sorted(self._latest.items())},
            params=self._all("param"),
            tags={key: value for key, value in tags.items() if value is not None},
            untagged=tuple(key for key, value in tags.items() if value is None),
            artifacts=tuple(path for path, _ in artifacts),
            named={path: name for path, name in artifacts if name is not None},
            datasets=tuple(self._in_order("dataset")),
            inputs=tuple(dataset for dataset, _ in inputs),
            model_inputs=tuple(self._in_order("model_input")),
            outputs=tuple(self._in_order("output")),
            files=tuple(self._in_order("file")),
            left_out=tuple(
                LeftOut(name=name, why=why, found=found, advice=advice)
                for name, (why, found, advice) in self._all("left_out").items()
            ),
            texts=tuple(dict.fromkeys(text for _, texts in inputs for text in texts)),
            series=_SeriesSoFar({key: self._points[key] for key in self._with_steps}),
            latest=dict(sorted(self._latest.items())),
            model=self._one("model"),
            name=self._one("name"),
            status=self._one("status"),
            lifecycle=self._one("lifecycle"),
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

    def _in_order(self, kind: str) -> list[Any]:
        return [first.value for first in sorted(self._firsts[kind].values(), key=lambda first: first[:3])]


class _First(NamedTuple):
    """How something was named that counts once, and when."""

    time: float
    position: int
    tie: str
    value: Any


_NAMED = ("param", "tag", "untag", "left_out")
_ONCE = ("artifact", "dataset", "file", "input", "model_input", "output")
_TEXTS = ("model", "name")
_STATES: Mapping[str, Collection[str]] = {
    "status": ("running", "scheduled", *get_args(Status)),
    "lifecycle": get_args(Lifecycle),
}
_TIMES = ("started", "ended")


def _parsed(event: Any) -> tuple[str, Any, Any, float] | None:
    """Kind, key, value and time of an event; None for one of an unknown kind.

    Raises ValueError, TypeError, KeyError, OverflowError or UsageError for what is not an event.
    """
    if not isinstance(event, dict):
        raise TypeError
    if "metric" in event:
        return _metric(event)
    kind = next(
        (kind for kind in (*_NAMED, *_ONCE, *_TEXTS, *_STATES, *_TIMES, "seed") if kind in event),
        None,
    )
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
    if kind == "left_out":
        if event["why"] not in get_args(Why):
            return None
        found, advice = (None if (text := event.get(name)) is None else str(text) for name in ("found", "advice"))
        return kind, str(event[kind]), [event["why"], found, advice], time
    if kind == "input":
        return _input(event, time)
    if kind == "artifact":
        name = event.get("as")
        return kind, str(event[kind]), (str(event[kind]), None if name is None else str(name)), time
    if kind == "output":
        model = parse_model({**event, "id": event[kind]})
        return kind, model.id, model, time
    if kind in _ONCE:
        return kind, str(event[kind]), str(event[kind]), time
    if kind in _STATES:
        return (kind, "", event[kind], time) if event[kind] in _STATES[kind] else None
    if kind in _TIMES:
        return kind, "", _moment(event[kind]), time
    return kind, "", int(event[kind]) if kind == "seed" else str(event[kind]), time


def _input(event: Mapping[str, Any], time: float) -> tuple[str, Any, Any, float]:
    texts = {name: text for name in ("schema", "profile") if isinstance(text := event.get(name), str)}
    if not isinstance(event["input"], dict):
        raise TypeError
    kept = {name: digest(text.encode(errors="replace")) for name, text in texts.items()}
    dataset = parse_dataset({**event["input"], **kept})
    return "input", dataset.identity, (dataset, tuple(texts.values())), time


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


def _by_key(item: tuple[tuple[str, str], Any]) -> tuple[str, str]:
    return item[0]
