"""Metric and parameter files that a training leaves behind, or a folder of DVCLive.

The formats are in `ciplug.capture.metric_formats`. Names, sizes, duplicates and values are checked here, for all alike.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciplug.capture.metric_formats import Entry, entries
from ciplug.capture.metric_values import as_text, describes, number
from ciplug.capture.tables import limits
from ciplug.capture.tables.source import Source
from ciplug.capture.written import without
from ciplug.errors import InputError
from ciplug.records.run import METRIC_NAME, METRIC_NAME_HINT, Scalar
from ciplug.records.series import MAX_POINTS, Series

MAX_PARAMETER_NAME = 250


@dataclass(frozen=True)
class Metrics:
    values: Mapping[str, float]
    """The last value of each metric; may be NaN or infinite."""
    series: Mapping[str, Series] = field(default_factory=dict)
    """The metrics that the file holds by steps."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Texts beside the metrics that describe them, the name of a model for instance."""


def read_metrics(path: Path, left_out: Collection[Path] = ()) -> Metrics:
    """Read the metrics of a file, or of DVCLive's folder; nested names are joined by `/`.

    An empty cell of a table by steps is a metric that was not logged there; NaN and infinities are values. Text that
    does not look like a number describes the metrics.

    Args:
        left_out: absolute paths of files below a folder that do not count.

    Raises InputError naming file, line and key: a missing, empty, too large or malformed file, a name that metrics
    cannot have, a value that is not a number, a name that stands twice, no metric at all.
    """
    if path.is_dir():
        return _dvclive(path, left_out)
    source = Source(path)
    metrics = _Collector(source)
    for entry in entries(source):
        for key, value in _leaves(source, entry):
            metrics.add(entry, key, value)
    return metrics.metrics()


def read_params(path: Path) -> dict[str, Scalar]:
    """The parameters of a file, or of DVCLive's folder; nested names and list positions are joined by `/`.

    null becomes "None", as MLflow has it; an empty list or mapping "[]" or "{}".

    Raises InputError as `read_metrics` does, and on a file by steps.
    """
    source = Source(path / "params.yaml" if path.is_dir() else path)
    params: dict[str, Scalar] = {}
    for entry in entries(source):
        if entry.step is not None:
            raise source.wrong("parameters have no steps", line=entry.line)
        for key, value in _leaves(source, entry, lists=True):
            if not key.isprintable() or len(key) > MAX_PARAMETER_NAME:
                what = "not a name for a parameter: too long, or not printable"
                raise source.wrong(what, column=key, line=entry.line_of(key))
            params[key] = value if isinstance(value, (str, bool, int, float)) else as_text(value)
        _check_count(source, len(params))
    if not params:
        raise source.wrong("holds no parameter")
    return params


class _Collector:
    """The metrics of one file, gathered entry by entry."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._values: dict[str, float] = {}
        self._texts: dict[str, str] = {}
        self._points: dict[str, tuple[array[int], array[float]]] = {}
        self._count = 0
        self._first_text: tuple[Entry, str] | None = None

    def add(self, entry: Entry, key: str, value: Any) -> None:
        if not METRIC_NAME.fullmatch(key):
            raise _bad_name(self._source, key, entry.line, entry.line_of(key))
        if entry.step is None and isinstance(value, str) and describes(value):
            self._texts[key] = value
            self._first_text = self._first_text or (entry, key)
        else:
            self._values[key] = number(self._source, value, key, entry.line_of)
            if entry.step is not None:
                self._add_point(key, entry.step, self._values[key])
        _check_count(self._source, len(self._values) + len(self._texts))

    def _add_point(self, key: str, step: int, value: float) -> None:
        self._count += 1
        if self._count > MAX_POINTS:
            hint = "log less often: every epoch, or every hundredth step"
            raise self._source.wrong(f"more than {MAX_POINTS:,} values by steps", hint=hint)
        steps, values = self._points.setdefault(key, (array("q"), array("d")))
        steps.append(step)
        values.append(value)

    def metrics(self) -> Metrics:
        if self._first_text and not self._values:
            entry, key = self._first_text
            what = f"the text {self._texts[key][:40]!r} is not a number, and the file holds no other value"
            raise self._source.wrong(what, column=key, line=entry.line_of(key))
        if not self._values:
            raise self._source.wrong("holds no metric", hint="does the training write its metrics before it ends?")
        series = {key: Series(tuple(steps), tuple(values)) for key, (steps, values) in self._points.items()}
        return Metrics(self._values, series, self._texts)


def _leaves(source: Source, entry: Entry, *, lists: bool = False) -> Iterator[tuple[str, Any]]:
    """Flattened names and their values; with `lists`, list positions count as names."""
    seen = set()

    def walk(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
        inner: Iterable[tuple[object, Any]] | None = None
        if isinstance(value, dict):
            inner = value.items()
        elif lists and isinstance(value, list):
            inner = enumerate(value)
        if inner is not None and (value or not lists or not prefix):
            for name, child in inner:
                yield from walk(f"{prefix}/{name}" if prefix else str(name), child)
            return
        if prefix in seen:
            what = f"duplicate name {prefix[:130]!r}, once nested names are joined"
            raise source.wrong(what, line=entry.line_of(prefix))
        seen.add(prefix)
        yield prefix, value

    yield from walk("", dict(entry.values))


def _bad_name(source: Source, key: str, line: int | None, line_of_key: int | None) -> InputError:
    if not key:
        return source.wrong("a metric without a name", line=line, hint="with pandas, write it with index=False")
    return source.wrong("not a name for a metric", column=key, line=line_of_key, hint=METRIC_NAME_HINT)


def _check_count(source: Source, count: int) -> None:
    if count > limits.LIMITS.columns:
        raise source.wrong(f"more than {limits.LIMITS.columns:,} names")


def _dvclive(folder: Path, left_out: Collection[Path]) -> Metrics:
    values: dict[str, float] = {}
    series: dict[str, Series] = {}
    texts: Mapping[str, str] = {}
    plots = folder / "plots" / "metrics"
    for file in without(sorted(plots.rglob("*.tsv")), left_out):
        name = file.relative_to(plots).with_suffix("").as_posix()
        if not METRIC_NAME.fullmatch(name):
            raise _bad_name(Source(file), name, None, None)
        values[name], series[name] = _one_series(file)
    summary = folder / "metrics.json"
    if (summary.exists() and without([summary], left_out)) or not series:
        metrics = read_metrics(summary)
        # "step" is DVCLive's own count.
        values |= {key: value for key, value in metrics.values.items() if key != "step"}
        texts = metrics.texts
    return Metrics(values, series, texts)


def _one_series(file: Path) -> tuple[float, Series]:
    metrics = read_metrics(file)
    if len(metrics.series) != 1:
        raise InputError(f"{file}: one column of values beside the steps is expected, not {len(metrics.series)}")
    ((column, series),) = metrics.series.items()
    return metrics.values[column], series
