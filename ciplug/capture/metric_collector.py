"""Gather the metrics of one file, entry by entry: values, series by steps, texts, and names that cannot be used."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ciplug.capture.metric_clocks import is_time
from ciplug.capture.metric_order import logged_order, order_by_time
from ciplug.capture.metric_shapes import STEP_KEYS, Entry, entries_of_rows, whole
from ciplug.capture.metric_tools import LOG
from ciplug.capture.metric_values import FOUND_MOST, TEXT_MOST, Unusable, meaning
from ciplug.capture.tables import limits
from ciplug.capture.tables.duplicate_names import Twice
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Row
from ciplug.errors import InputError
from ciplug.records.left_out import LeftOut, Why, summary
from ciplug.records.run import METRIC_NAME, metric_name
from ciplug.records.series import MAX_POINTS, Series

MAX_NAME = 250
LINES_MOST = 100
"""Names that are left out with their line in a document, which takes a search of the text."""


@dataclass(frozen=True)
class Metrics:
    values: Mapping[str, float]
    """The last value of each metric; may be NaN or infinite."""
    series: Mapping[str, Series] = field(default_factory=dict)
    """The metrics that the file holds by steps."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Texts beside the metrics that describe them, the name of a model for instance."""
    left_out: tuple[LeftOut, ...] = ()
    """Names that could not be used."""


def check_count(source: Source, count: int) -> None:
    if count > limits.LIMITS.columns:
        raise source.wrong(f"more than {limits.LIMITS.columns:,} names")


class Collector:
    """The metrics of one file, gathered entry by entry. A name that cannot be used costs no other."""

    def __init__(self, source: Source, file: str, *, by_row: bool = False) -> None:
        """Gather the metrics of one file.

        Args:
            by_row: rows are in the order of their logging, whatever their steps are.
        """
        self._source = source
        self._file = file
        self._by_row = by_row
        self._values: dict[str, float] = {}
        self._texts: dict[str, str] = {}
        self._points: dict[str, Points] = {}
        self._left: dict[str, LeftOut] = {}
        self._absent: dict[str, LeftOut] = {}
        """Names without a value in some rows. They are left out if no other row has one."""
        self._contradicted: set[str] = set()
        """Names with several values."""
        self._unnamed: InputError | None = None
        self._broken: list[InputError] = []
        self._cut_off: dict[str, InputError] = {}
        """Of several files, those whose rest cannot be read."""
        self._unsure: dict[str, InputError] = {}
        """Metrics whose last value this rest may have held."""
        self._entries = 0
        self._is_alone = False
        """The file is a table of one row."""
        self._last_line = 0
        self._count = 0
        self._names: dict[str, str] = {}
        """Key → the name as it is kept: a table has the same keys in each row."""

    def broken(self, problem: InputError) -> None:
        """Note a line, or the rest of a file, that cannot be read."""
        self._broken.append(problem)
        if len(self._broken) > max(self._entries, LINES_MOST):
            raise self._broken[0]

    def unnamed(self, problem: InputError) -> None:
        """Note that a table has no header: a metric that is missing may be one of its columns."""
        self._unnamed = problem

    def cut_off(self, file: str, keys: Collection[str], problem: InputError) -> None:
        """Note that the rest of a file by steps cannot be read. A value of a later file follows those that are lost."""
        self._cut_off[file] = problem
        self._unsure.update({name: problem for key in keys if (name := self._names.get(key))})

    def add(self, entry: Entry, prefix: str = "") -> None:
        self._entries += 1
        self._is_alone = entry.is_alone
        self._last_line = max(self._last_line, entry.line or 0)
        self._walk(prefix, entry.values, entry)
        for key, text in entry.texts.items():
            if name := self._name(f"{prefix}/{key}" if prefix else key, entry):
                self._texts[name] = text[:TEXT_MOST]
        check_count(self._source, len(self._values) + len(self._points) + len(self._texts) + len(self._left))

    def _walk(self, prefix: str, value: Any, entry: Entry) -> None:
        if not isinstance(value, Mapping):
            self._one(prefix, value, entry)
            return
        steps = _steps_among(value) if entry.step is None else None
        for name, child in value.items():
            key = f"{prefix}/{name}" if prefix else str(name)
            if not str(name).strip():
                # What is below it would take the name of something else. A column without a name may be empty.
                if child is not None or entry.step is None:
                    self._leave_out(key, "name", entry)
            elif isinstance(child, Twice):
                self._twice(key, child, entry)
            elif isinstance(child, list):
                self._list(prefix if name == LOG else key, child, entry, steps)
            elif is_time(str(name), child):
                # By steps, the time of a row is that of its values.
                if entry.step is None:
                    self._one(key, child, entry, is_text=True)
            else:
                self._walk(key, child, entry)

    def _twice(self, key: str, twice: Twice, entry: Entry) -> None:
        """A name with several values. Of objects, only what is in several of them is left out."""
        by_name: dict[str, list[Any]] = {}
        for value in twice.values:
            for name, leaf in _below(key, value):
                by_name.setdefault(name, []).append(leaf)
        for name, leaves in by_name.items():
            before, _, last = name.rpartition("/")
            if all(repr(leaf) == repr(leaves[0]) for leaf in leaves):
                self._walk(before, {last: leaves[0]}, entry)
            elif (named := self._name(name, entry)) is not None:
                self._contradict(named, entry)

    def _contradict(self, name: str, entry: Entry) -> None:
        self._contradicted.add(name)
        self._left[name] = self._left_out(name, "twice", entry, None)

    def _one(self, key: str, value: Any, entry: Entry, *, is_text: bool = False) -> None:
        name = self._name(key, entry)
        if name is None:
            return
        meant = str(value) if is_text else meaning(value)
        if entry.step is not None:
            self._point(name, meant, entry)
        elif isinstance(meant, float):
            if name in self._values and repr(self._values[name]) != repr(meant):
                self._contradict(name, entry)
            self._values[name] = meant
        elif isinstance(meant, str):
            self._texts[name] = meant
        else:
            self._leave_out(name, meant.why, entry, meant.found)

    def _point(self, name: str, meant: float | str | Unusable, entry: Entry) -> None:
        """One value by steps. A text in the place of a number is NaN, so that no gate takes the number before it."""
        if isinstance(meant, Unusable) and meant.why == "null":
            if name not in self._absent:
                self._absent[name] = self._left_out(name, "null", entry, meant.found)
            return
        self._unsure.pop(name, None)
        points = self._points.get(name)
        if points is None:
            points = self._points[name] = Points()
        if isinstance(meant, float):
            points.add(entry, meant)
        else:
            points.add(entry, math.nan, meant if isinstance(meant, str) else meant.found, entry.line_of(name))
        self._count += 1
        if self._count > MAX_POINTS:
            hint = "log less often: every epoch, or every hundredth step"
            raise self._source.wrong(f"more than {MAX_POINTS:,} values by steps", hint=hint)

    def _list(self, key: str, values: list[Any], entry: Entry, steps: list[int] | None) -> None:
        """A list of numbers is a series, a list of objects a table. A list within a row has its positions as names."""
        if values and all(isinstance(one, Mapping) for one in values):
            rows = (Row(one, number) for number, one in enumerate(values, 1))
            for inner in entries_of_rows(self._source, rows):
                whose = inner if entry.step is None else entry
                about = replace(inner, line=entry.line, locate=entry.locate, is_alone=entry.is_alone)
                self.add(replace(about, step=whose.step, is_counted=whose.is_counted), key)
            return
        if not any(isinstance(meaning(one), float) for one in values if not isinstance(one, (list, Mapping))):
            self._leave_out(key, "list", entry, None if values else "[]")
        elif any(isinstance(one, (list, Mapping)) for one in values):
            self._leave_out(key, "list", entry, "numbers among lists")
        elif entry.step is not None:
            for number, one in enumerate(values):
                self._one(f"{key}/{number}", one, entry)
        elif (name := self._name(key, entry)) is not None:
            at = steps if steps is not None and len(steps) == len(values) else range(len(values))
            for step, one in zip(at, values, strict=True):
                self._point(name, meaning(one), replace(entry, step=step))

    def _name(self, key: str, entry: Entry) -> str | None:
        """Return the name as it is kept; None for one that metrics cannot have, which is left out."""
        existing = self._names.get(key)
        if existing is not None:
            return existing
        name = metric_name(key)
        if METRIC_NAME.fullmatch(name):
            self._names[key] = name
            return name
        self._leave_out(name, "name", entry)
        return None

    def _leave_out(self, name: str, why: Why, entry: Entry, found: str | None = None) -> None:
        if name not in self._left:
            self._left[name] = self._left_out(name, why, entry, found)

    def _left_out(self, name: str, why: Why, entry: Entry, found: str | None) -> LeftOut:
        line = entry.line if entry.step is not None or len(self._left) > LINES_MOST else entry.line_of(name)
        return LeftOut(name=name[:MAX_NAME], why=why, file=self._file, found=found, line=line)

    def metrics(self) -> Metrics:
        series: dict[str, Series] = {}
        for name, points in self._points.items():
            if name in self._contradicted:
                continue
            if points.numbers:
                series[name], is_known = points.series(by_row=self._by_row)
                self._values[name] = series[name].values[-1]
                if not is_known:
                    self._left[name] = LeftOut(name=name, why="order", file=self._file)
            elif isinstance(meaning(points.text), str):
                self._texts[name] = points.text or ""
            if points.text is not None and name not in self._texts:
                self._left[name] = LeftOut(
                    name=name, why="text", file=self._file, found=points.text[:FOUND_MOST], line=points.line
                )
        for name, absent in self._absent.items():
            if name not in self._values and name not in self._texts:
                self._left.setdefault(name, absent)
        for name in self._contradicted:
            self._values.pop(name, None)
            self._texts.pop(name, None)
        if self._broken and (not self._values or len(self._broken) > self._entries):
            raise self._broken[0]
        if not self._values:
            raise self._nothing()
        self._note_broken(series)
        return Metrics(self._values, series, self._texts, tuple(self._left.values()))

    def _note_broken(self, series: Collection[str]) -> None:
        """Note the lines that cannot be read, and each metric whose last value the last of them may have held."""
        for problem in self._broken[:LINES_MOST]:
            name = f"line {problem.line}"
            self._left[name] = self._unread(name, "line", problem)
        if self._unnamed is not None:
            self._left["header"] = self._unread("header", "header", self._unnamed)
        # Of two values on one line, the second may be malformed.
        if self._broken and (self._broken[-1].line or 0) >= self._last_line > 0:
            for name in self._values if self._is_alone else series:
                self._left.setdefault(name, self._unread(name, "last_line", self._broken[-1]))
        for file, problem in self._cut_off.items():
            self._left[file[:MAX_NAME]] = self._unread(file[:MAX_NAME], "line", problem)
        for name, problem in sorted(self._unsure.items()):
            self._left.setdefault(name, self._unread(name, "last_line", problem))

    def _unread(self, name: str, why: Why, problem: InputError) -> LeftOut:
        return LeftOut(name=name, why=why, file=self._file, found=problem.what[:100], line=problem.line)

    def _nothing(self) -> InputError:
        if self._left:
            return self._source.wrong(f"holds no number: {summary(tuple(self._left.values()))}")
        if self._texts:
            name, text = next(iter(self._texts.items()))
            return self._source.wrong(f"holds no number: '{name}' is the text {text[:FOUND_MOST]!r}")
        return self._source.wrong("holds no metric", hint="does the training write its metrics before it ends?")


class Points:
    """The values of one name by steps."""

    def __init__(self) -> None:
        self.numbers = 0
        self.text: str | None = None
        """The last text among the numbers."""
        self.line: int | None = None
        self._is_counted = False
        self._steps = array("q")
        self._values = array("d")
        self._times = array("d")

    def add(self, entry: Entry, value: float, text: str | None = None, line: int | None = None) -> None:
        self._steps.append(entry.step or 0)
        self._is_counted = entry.is_counted
        self._values.append(value)
        if entry.time is not None:
            self._times.append(entry.time)
        if text is None:
            self.numbers += 1
        else:
            self.text, self.line = text, line

    def series(self, *, by_row: bool) -> tuple[Series, bool]:
        """The points in the order of their logging, and whether it is known.

        Args:
            by_row: it is that of the rows.
        """
        times = self._times if len(self._times) == len(self._values) else None
        steps: Sequence[int] = self._steps
        if by_row:
            order, is_known = list(range(len(steps))), True
        elif self._is_counted and times is not None:
            order, is_known = order_by_time(times)
        else:
            order, is_known = logged_order(steps, times)
        steps = sorted(steps) if self._is_counted else [steps[at] for at in order]
        logged = tuple(times[at] for at in order) if times is not None else None
        return Series(tuple(steps), tuple(self._values[at] for at in order), logged), is_known


def _steps_among(values: Mapping[str, Any]) -> list[int] | None:
    """The list among others that gives their steps, as in {"epoch": [1, 2], "loss": [0.5, 0.4]}."""
    for name in STEP_KEYS:
        steps = values.get(name)
        if isinstance(steps, list) and steps and None not in (steps_read := [whole(one) for one in steps]):
            return [one for one in steps_read if one is not None]
    return None


def _below(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The flattened names of a value, and what is no object at them."""
    if isinstance(value, Mapping):
        for name, child in value.items():
            # What is below an empty name has none.
            yield from _below(f"{key}/{name}", child) if str(name).strip() else [(f"{key}/", None)]
    elif isinstance(value, Twice):
        for one in value.values:
            yield from _below(key, one)
    else:
        yield key, value
