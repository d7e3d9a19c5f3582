"""The metrics, step series, parameters and files of one commit of a DVC project, by the readers of `ciplug run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname, splitext
from typing import NamedTuple

from ciplug.capture.metric_choice import LAST, Reading
from ciplug.capture.metric_collector import Metrics
from ciplug.capture.metric_files import read_metrics
from ciplug.capture.metric_formats import READERS, Rows
from ciplug.capture.metric_shapes import STEP_KEYS
from ciplug.capture.param_files import read_params
from ciplug.capture.tables.source import Source
from ciplug.errors import CiplugError, InputError
from ciplug.interop.dvc_files import CommitFiles
from ciplug.interop.dvc_project import Plot, Project
from ciplug.interop.source_run import Values
from ciplug.records.last_point import last_of
from ciplug.records.left_out import LeftOut
from ciplug.records.run import Scalar
from ciplug.records.series import Series

_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".bmp")
_LIVE_PLOTS = "plots/metrics"
"""Below the folder of DVCLive's metrics.json, the step series of the same metrics."""


class _Measured(NamedTuple):
    """What a file says of a metric."""

    file: str
    value: float
    series: Series | None


@dataclass
class Gathered:
    """What was read of a commit so far."""

    tags: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    _read: dict[str, list[_Measured]] = field(default_factory=dict)
    """Metric → what each file says of it."""
    _set: dict[str, dict[str, Scalar]] = field(default_factory=dict)
    """Parameter → file → what it says."""

    @property
    def is_empty(self) -> bool:
        """Whether no metric was read."""
        return not self._read

    def add(self, read: Metrics, file: str) -> None:
        """Add the metrics of a file."""
        for name, value in read.values.items():
            self._read.setdefault(name, []).append(_Measured(file, value, read.series.get(name)))
        self.tags.update(read.texts)
        self.left_out.update((one.name, one) for one in read.left_out)

    def add_params(self, values: Mapping[str, Scalar], file: str) -> None:
        """Add the parameters of a file."""
        for name, value in values.items():
            self._set.setdefault(name, {})[file] = value

    def values(self) -> Values:
        """All of it. A name of which several files say different things has the name of its file before its own."""
        metrics: dict[str, float] = {}
        series: dict[str, Series] = {}
        twice: dict[str, LeftOut] = {}
        for name, measured in sorted(self._read.items()):
            is_one = (
                len({repr(one.value) for one in measured}) == 1 and sum(one.series is not None for one in measured) < 2
            )
            for one, own in zip(measured, _names(name, [one.file for one in measured], is_one=is_one), strict=True):
                if repr(metrics.setdefault(own, one.value)) != repr(one.value):
                    twice[own] = LeftOut(name=own, why="files", file=one.file, found=measured[0].file)
                elif one.series is not None:
                    series[own] = one.series
        params: dict[str, Scalar] = {}
        for name, by_file in sorted(self._set.items()):
            is_one = len(set(map(repr, by_file.values()))) == 1
            for (file, value), own in zip(by_file.items(), _names(name, [*by_file], is_one=is_one), strict=True):
                if repr(params.setdefault(own, value)) != repr(value):
                    twice[own] = LeftOut(name=own, why="files", file=file, found=next(iter(by_file)))
        return Values(
            metrics={name: value for name, value in metrics.items() if name not in twice},
            last={name: point for name, one in series.items() if name not in twice and (point := last_of(one))},
            series={name: one for name, one in series.items() if name not in twice},
            params={name: value for name, value in params.items() if name not in twice},
            tags=self.tags,
            left_out=tuple({**self.left_out, **twice}.values()),
        )


def _names(name: str, files: Sequence[str], *, is_one: bool) -> list[str]:
    """The names of what several files say: each has that of its file before it, without an ending if they differ."""
    if is_one:
        return [name] * len(files)
    short = [splitext(file)[0] for file in files]
    return [f"{one}/{name}" for one in (short if len(set(short)) == len(set(files)) else files)]


def read_values(
    files: CommitFiles, project: Project, root: Path, commit: str, *, with_artifacts: bool
) -> tuple[Gathered, Mapping[str, Path], tuple[CiplugError, ...]]:
    """Return the values of a commit, its files for people and of models, and the errors of what cannot be read.

    Args:
        root: an empty folder, which the files are written to.

    Raises InputError if no file of metrics can be read.
    """
    reader = _Reader(files, project, root, commit)
    reader.metrics()
    reader.params()
    if with_artifacts:
        reader.artifacts()
    if reader.problems and reader.gathered.is_empty:
        raise reader.problems[0]
    return reader.gathered, reader.found, tuple(reader.problems)


class _Reader:
    def __init__(self, files: CommitFiles, project: Project, root: Path, commit: str) -> None:
        self._files, self._project, self._root, self._commit = files, project, root, commit
        self.gathered = Gathered()
        self.found: dict[str, Path] = {}
        """Name → file of the artifacts."""
        self.problems: list[CiplugError] = [
            InputError(f"{commit[:8]}: {words}", hint="write its metrics under a name without a template")
            for words in project.problems
        ]

    def metrics(self) -> None:
        live = {dirname(path) for path in self._project.metrics if path.endswith("metrics.json")}
        for path in self._project.metrics:
            with_series = path.endswith("metrics.json") and self._written(f"{dirname(path)}/{_LIVE_PLOTS}".lstrip("/"))
            self._read(path, lambda file, s=with_series: self._of_file(file, is_live=bool(s)))  # type: ignore[misc]
        for plot in self._project.plots:
            folder = plot.path.partition(f"/{_LIVE_PLOTS}")[0]
            if folder not in live and not plot.path.lower().endswith(_IMAGES):
                self._read(plot.path, lambda file, p=plot: self._of_plot(file, p))  # type: ignore[misc]

    def _of_file(self, file: Path, *, is_live: bool) -> None:
        name = file.relative_to(self._root).as_posix()
        self.gathered.add(read_metrics(file.parent if is_live else file, name), name)

    def _of_plot(self, file: Path, plot: Plot) -> None:
        """A plot over steps is a series; any other, such as a ROC curve, is a picture of something else."""
        if file.is_dir():
            for one in sorted(file.rglob("*")):
                if one.is_file() and one.suffix.lower() in READERS:
                    self._of_plot(one, Plot(one.relative_to(self._root).as_posix(), plot.x))
            return
        step = _step_of(Source(file), plot)
        if step is not None:
            read = read_metrics(file, plot.path, reading=Reading(step=step) if step else LAST)
            self.gathered.add(Metrics(read.values, read.series, {}, read.left_out), plot.path)

    def params(self) -> None:
        for path in self._project.params:
            if path.endswith(".py"):
                self.gathered.left_out[path] = LeftOut(name=path[:200], why="file", found="parameters in Python code")
            else:
                self._read(path, self._of_params)

    def _of_params(self, file: Path) -> None:
        values, left = read_params(file)
        name = file.relative_to(self._root).as_posix()
        self.gathered.add_params(values, name)
        self.gathered.left_out.update((one.name, one) for one in left)

    def artifacts(self) -> None:
        images = [one.path for one in self._project.plots if one.path.lower().endswith(_IMAGES)]
        folders = {f"{dirname(path)}/plots/images" for path in self._project.metrics if path.endswith("/metrics.json")}
        for path in dict.fromkeys((*self._project.artifacts, *images, *sorted(folders))):
            if (file := self._written(path)) is not None:
                self.found[path] = file

    def _read(self, path: str, take: Callable[[Path], None]) -> None:
        file = self._written(path)
        if file is None:
            return
        try:
            take(file)
        except InputError as problem:
            self._refuse(path, problem)

    def _written(self, path: str) -> Path | None:
        try:
            return self._files.write(path, self._root)
        except InputError as problem:
            self._refuse(path, problem)
        except OSError as problem:
            self._refuse(path, InputError(f"{self._root}/{path}: cannot be read: {problem.strerror}"))
        return None

    def _refuse(self, path: str, problem: InputError) -> None:
        """Note an error in the words of the repository: the files were written to a folder that nobody knows."""
        words = problem.message.replace(f"{self._root}/", f"{self._commit[:8]}:")
        what = problem.what.replace(f"{self._root}/", "")
        self.gathered.left_out[path] = LeftOut(name=path[:200], why="file", found=what[:200], line=problem.line)
        self.problems.append(InputError(words, hint=problem.hint, what=what, line=problem.line))


def _step_of(source: Source, plot: Plot) -> str | None:
    """The column of a plot that has its steps; empty if there is one by its name, None if there is none."""
    reader = READERS.get(source.extension)
    rows = reader(source, None) if reader is not None else None
    if not isinstance(rows, Rows):
        return None
    first = next(iter(rows.rows), None)
    names = list(first.values) if first is not None else []
    if plot.x is not None:
        return plot.x if plot.x in names and _is_step(plot.x) else None
    return "" if any(map(_is_step, names)) else None


def _is_step(name: str) -> bool:
    return name.lower() in STEP_KEYS or name.lower().rpartition("/")[2] in STEP_KEYS
