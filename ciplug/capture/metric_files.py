"""Metric files that a training leaves behind, or a folder of DVCLive.

The formats are in `ciplug.capture.metric_formats`, the shapes of tables in `ciplug.capture.metric_shapes`. Reading is
lenient: every number is taken, words beside the numbers are kept, and a name that cannot be used is noted with the
reason. The gates are strict about such a name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ciplug.capture.event_files import entries_of_events, event_files, prefixes
from ciplug.capture.metric_choice import LAST, Reading, values_that_count
from ciplug.capture.metric_collector import MAX_NAME, Collector, Metrics
from ciplug.capture.metric_formats import entries
from ciplug.capture.tables.source import Source
from ciplug.capture.written_files import without
from ciplug.records.left_out import LeftOut
from ciplug.records.run import METRIC_NAME, metric_name
from ciplug.records.series import Series


def read_metrics(path: Path, file: str | None = None, skip: Collection[Path] = (), reading: Reading = LAST) -> Metrics:
    """Read the metrics of a file, of DVCLive's folder, or of TensorBoard's files; nested names are joined by `/`.

    Args:
        file: the path as notes have it; by default `path`.
        skip: absolute paths of files below a folder that do not count.
        reading: the column of the step, and which value of a series counts.

    An empty cell of a table by steps is a metric that was not logged there; NaN and infinities are values. A text
    among the numbers of a table by steps is NaN, and noted.

    Raises InputError naming the file: a missing, empty, too large or malformed file, no number at all; and as `taken`.
    """
    shown = file or str(path)
    if events := event_files(path, skip):
        read = _of_events(events, shown)
    elif path.is_dir():
        read = _dvclive(path, shown, skip)
    else:
        source = Source(path)
        metrics = Collector(source, shown, by_row=reading.take == "last")
        for entry in entries(source, reading.step, metrics.broken, metrics.unnamed):
            metrics.add(entry)
        read = metrics.metrics()
    if reading.take in (None, "last"):
        return read
    values, left = values_that_count(read.series, reading, str(path))
    others = {name: value for name, value in read.values.items() if name not in read.series}
    # Whoever takes another value does not need the last.
    noted = [one for one in read.left_out if one.why != "order"]
    return replace(read, values={**others, **values}, left_out=(*noted, *left))


def _of_events(files: Sequence[Path], shown: str) -> Metrics:
    """The scalars of TensorBoard's files, in the order of their names, which is that of their beginning."""
    metrics = Collector(Source(files[0]), shown)
    before = prefixes(files)
    keys: dict[str, set[str]] = {prefix: set() for prefix in before.values()}
    for file in sorted(files, key=lambda file: file.name):
        prefix = before[file]
        cut_off = partial(metrics.cut_off, file.name, keys[prefix])
        for entry in entries_of_events(Source(file), cut_off):
            metrics.add(entry, prefix)
            keys[prefix].update(f"{prefix}/{tag}" if prefix else tag for tag in entry.values)
    return metrics.metrics()


def _dvclive(folder: Path, file: str, skip: Collection[Path]) -> Metrics:
    values: dict[str, float] = {}
    series: dict[str, Series] = {}
    texts: Mapping[str, str] = {}
    left: dict[str, LeftOut] = {}
    plots = folder / "plots" / "metrics"
    for plot in without(sorted(plots.rglob("*.tsv")), skip):
        name = metric_name(plot.relative_to(plots).with_suffix("").as_posix())
        if METRIC_NAME.fullmatch(name):
            values[name], series[name] = _one_series(plot)
        else:
            left[name] = LeftOut(name=name[:MAX_NAME], why="name", file=file)
    summary_file = folder / "metrics.json"
    if (summary_file.exists() and without([summary_file], skip)) or not series:
        metrics = read_metrics(summary_file, f"{file}/{summary_file.name}")
        # "step" is DVCLive's own count.
        values |= {key: value for key, value in metrics.values.items() if key != "step"}
        texts = metrics.texts
        left |= {one.name: one for one in metrics.left_out}
    return Metrics(values, series, texts, tuple(left.values()))


def _one_series(file: Path) -> tuple[float, Series]:
    metrics = read_metrics(file)
    if len(metrics.series) != 1:
        raise Source(file).wrong(f"one column of values beside the steps is expected, not {len(metrics.series)}")
    ((column, series),) = metrics.series.items()
    return metrics.values[column], series
