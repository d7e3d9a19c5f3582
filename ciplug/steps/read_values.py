"""Read the numbers and settings of a run: its files of metrics, parameters and examples, beside its log."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.console import Note, warning
from ciplug.errors import CiplugError, InputError, RecordError, UsageError
from ciplug.records.last_point import LastPoint, last_of
from ciplug.records.left_out import LeftOut, Why, some_names, summary
from ciplug.records.run import METRIC_NAME, Scalar, metric_name
from ciplug.steps.inputs import Inputs, Surroundings, size_of
from ciplug.steps.lost_files import refused_file

if TYPE_CHECKING:
    from ciplug.capture.logged import Logged
    from ciplug.records.series import Series

_BESIDE_A_NUMBER: tuple[Why, ...] = (
    "text",
    "list",
    "size",
    "no_step",
    "artifact",
    "elsewhere",
    "line",
    "last_line",
    "order",
    "header",
    "logged",
)
"""What is noted of a name though it has a number, too."""


@dataclass(frozen=True)
class Values:
    """The numbers and settings of a run."""

    metrics: Mapping[str, float]
    last: Mapping[str, LastPoint]
    series: Mapping[str, Series]
    params: Mapping[str, Scalar]
    texts: Mapping[str, str]
    """What stands as text beside the metrics in their files."""
    left_out: tuple[LeftOut, ...]
    refused: tuple[LeftOut, ...]
    """The files that gave nothing."""
    examples: bytes | None
    notes: tuple[Note, ...] = ()


def read_values(job: Surroundings, inputs: Inputs, logged: Logged, problems: list[CiplugError]) -> Values:
    """Return the values of the files and of the log. For a metric in both, the file counts.

    Files that cannot be taken are added to `problems`.
    """
    notes: list[Note] = []
    refused = {one.name: one for one in inputs.refused}
    files = _read_files(job, inputs, problems, notes, refused)
    metrics = files.metrics
    other_values: dict[str, LeftOut] = {}
    contradicted = {one.name for one in files.left_out.values() if one.why in ("files", "twice")}
    for name, value in logged.metrics.items():
        if name in contradicted:
            continue
        stated = metrics.setdefault(name, value)
        if stated != value and not (math.isnan(stated) and math.isnan(value)):
            other_values[name] = LeftOut(name=name, why="logged", found=repr(value))
            words = f"the metric '{name}' was logged as {value!r}, and its file says {stated!r}: the file counts"
            notes.append(warning(words))
    examples = _examples(inputs, job, metrics, problems, refused)
    both = {**{one.name: one for one in logged.left_out}, **other_values, **files.left_out}
    left_out = tuple(one for one in both.values() if one.name not in metrics or one.why in _BESIDE_A_NUMBER)
    last = {**logged.last, **{name: point for name, one in files.series.items() if (point := last_of(one))}}
    return Values(
        metrics,
        {name: point for name, point in last.items() if name in metrics},
        {**logged.series, **files.series},
        {**files.params, **logged.params},
        files.texts,
        (*left_out, *files.param_names),
        tuple(refused.values()),
        examples,
        tuple(notes),
    )


def _examples(
    inputs: Inputs,
    job: Surroundings,
    metrics: dict[str, float],
    problems: list[CiplugError],
    refused: dict[str, LeftOut],
) -> bytes | None:
    """Return the encoded examples. Their means become metrics, unless a file has the metric."""
    if inputs.samples is None:
        return None
    from ciplug.capture.example_files import read_examples
    from ciplug.capture.example_table import Columns
    from ciplug.records.examples import encode, means

    samples = inputs.samples
    columns = Columns(
        id=samples.id,
        label=samples.label,
        prediction=samples.prediction,
        cluster=samples.cluster,
        weight=samples.weight,
        slices=samples.slices,
    )
    try:
        examples = read_examples(job.cwd / samples.file, columns, format=samples.format)
        for name, value in means(examples).items():
            if METRIC_NAME.fullmatch(metric := metric_name(name)):
                metrics.setdefault(metric, value)
        return encode(examples)
    except (InputError, UsageError, RecordError) as problem:
        problems.append(problem)
        refused.setdefault(samples.file, refused_file(samples.file, problem))
        return None


@dataclass(frozen=True)
class _Files:
    """What the files of metrics and parameters hold together."""

    metrics: dict[str, float] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    params: dict[str, Scalar] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    """By name, of metrics."""
    param_names: list[LeftOut] = field(default_factory=list)
    """Names that parameters cannot have."""


def _matched(folder: Path, path: Path, left_out: Collection[Path]) -> Path:
    """The file that a path means: of a pattern, what was written last. Raises InputError where nothing matches.

    TensorBoard's files belong together: a pattern of them stays one.
    """
    from ciplug.capture.event_files import event_files
    from ciplug.capture.written_files import is_pattern, newest

    if not is_pattern(folder / path) or event_files(folder / path, left_out):
        return path
    file = newest(folder / path, left_out)
    if file is None:
        what = "no file matches this pattern"
        raise InputError(f"{path}: {what}", hint="does the training write it, and to this path?", what=what)
    return Path(os.path.relpath(file, folder))


def _read_files(
    job: Surroundings,
    inputs: Inputs,
    problems: list[CiplugError],
    notes: list[Note],
    refused: dict[str, LeftOut],
) -> _Files:
    files = _Files()
    if not (inputs.metrics or inputs.params):
        return files
    from ciplug.capture.content import shown_path
    from ciplug.capture.metric_choice import LAST
    from ciplug.capture.metric_files import read_metrics
    from ciplug.capture.param_files import read_params
    from ciplug.capture.written_files import without

    sources: dict[str, str] = {}
    for path in inputs.metrics:
        try:
            reading = inputs.readings.get(path, LAST)
            path = _matched(job.cwd, path, inputs.left_out)
            file = shown_path(job.cwd / path, job.top)
            with job.listener.progress(f"reading {path.name}", partial(size_of, job.cwd, [path])):
                read = read_metrics(path, file, inputs.left_out, reading)
        except InputError as problem:
            problems.append(problem)
            refused.setdefault(str(path), refused_file(path, problem))
            continue
        left = {one.name: one for one in read.left_out}
        for name, value in read.values.items():
            if name in files.metrics and repr(files.metrics[name]) != repr(value):
                left[name] = LeftOut(name=name, why="files", file=file, found=sources[name])
            else:
                files.metrics[name], sources[name] = value, file
        files.series.update(read.series)
        files.texts.update(read.texts)
        files.left_out.update(left)
        if left:
            notes.append(Note(f"{path}: {summary(tuple(left.values()))}"))
        if read.texts:
            names = some_names(list(read.texts))
            notes.append(Note(f"{path}: kept as tags, because neither text nor a time is a metric: {names}"))
    for name, one in files.left_out.items():
        if one.why == "files":
            files.metrics.pop(name, None)
            files.series.pop(name, None)
    sources.clear()
    for path in inputs.params:
        if path.is_dir() and not without([path / "params.yaml"], inputs.left_out):
            continue
        try:
            params, left_names = read_params(path)
            if twice := next((n for n in params if n in sources and files.params[n] != params[n]), None):
                raise InputError(f"{path}: the parameter '{twice}' is in {sources[twice]} too, with another value")
            files.params.update(params)
            sources.update(dict.fromkeys(params, str(path)))
            if left_names:
                file = shown_path(job.cwd / path, job.top)
                files.param_names.extend(replace(one, file=file) for one in left_names)
                notes.append(Note(f"{path}: {summary(left_names)}"))
        except InputError as problem:
            problems.append(problem)
            refused.setdefault(str(path), refused_file(path, problem))
    return files
