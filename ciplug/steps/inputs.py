"""Read what the user asked to record, besides what the training logs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ciplug.config import Samples, Section
from ciplug.console import Note, warning
from ciplug.errors import CiplugError, InputError, RecordError, UsageError
from ciplug.git.credentials import redact
from ciplug.records.last_point import LastPoint, last_of
from ciplug.records.left_out import LeftOut, Why, some_names, summary
from ciplug.records.run import METRIC_NAME, File, Scalar, metric_name

if TYPE_CHECKING:
    from ciplug.capture.artifacts import Destination
    from ciplug.capture.content import Content
    from ciplug.capture.logged import Logged
    from ciplug.capture.metric_take import Reading
    from ciplug.console import Listener
    from ciplug.records.series import Series


Lose = Callable[[str, InputError], None]
"""Takes the name of a file that cannot be recorded or kept, and why."""
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
_WORDS_MOST = 200
"""Characters of a path, or of a sentence about a file, that the record keeps."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The user's request of what to record, besides what the training itself logs."""

    model: str | None = None
    model_is_asked: bool = False
    """Whether the user named the model, so that the training may not change it; not if ciplug.yaml has it."""
    name: str | None = None
    seed: int | None = None
    seed_key: str = "seed"
    """The parameter that holds the seed."""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Path, ...] = ()
    readings: Mapping[Path, Reading] = field(default_factory=dict)
    """How a file of metrics is read, where the default does not fit."""
    params: tuple[Path, ...] = ()
    artifacts: tuple[Path, ...] = ()
    datasets: tuple[Path, ...] = ()
    samples: Samples | None = None
    """The examples of the evaluation; the file is relative to the folder that the command runs in."""
    addresses: tuple[str, ...] = ()
    """Artifacts that lie elsewhere already."""
    allow_unchanged: tuple[str, ...] = ()
    """Outputs that count as the run's own though its command did not write them."""
    left_out: frozenset[Path] = frozenset()
    """Absolute paths of files in the folders above that are not the run's."""
    refused: tuple[LeftOut, ...] = ()
    """Files of metrics and examples, and artifacts, that are not the run's, with the reason."""
    unchanged: tuple[str, ...] = ()
    """Outputs that were allowed, and were not written, as the record names them."""
    older: tuple[str, ...] = ()
    """Outputs that are older than the commit, as the record names them."""

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files and folders that the training writes."""
        return (*self.metrics, *self.artifacts, *([Path(self.samples.file)] if self.samples else []))


def readings_of(section: Section, cwd: Path) -> dict[Path, Reading]:
    """How the files of metrics in ciplug.yaml are read, by their path from `cwd`, where the default does not fit.

    A gate and `of` name a metric by its old or its present name, and the file has either of them.
    """
    from ciplug.capture.metric_take import Reading

    names = section.metrics.rename
    present = section.policy.renamed(names).directions()
    directions = {**present, **{old: present[new] for old, new in names.items() if new in present}}
    return {
        Path(os.path.relpath(section.folder / one.file, cwd)): Reading(
            step=one.step, take=one.take, of=one.of, names=names, directions=directions
        )
        for one in section.metrics.files
        if (one.step, one.take) != (None, None)
    }


class Surroundings(Protocol):
    """The facts about a job that are needed to record its run. A session has them."""

    @property
    def cwd(self) -> Path: ...

    @property
    def top(self) -> Path:
        """The folder that paths in records are relative to."""
        ...

    @property
    def env(self) -> Mapping[str, str]: ...

    @property
    def spooled_for(self) -> str:
        """The address of the store that the run is sealed for."""
        ...

    @property
    def listener(self) -> Listener:
        """Who hears of the progress of long steps."""
        ...

    @property
    def destination(self) -> Destination | None:
        """The store of the artifacts' content; None: only their digests are recorded."""
        ...


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
        left_out,
        tuple(refused.values()),
        examples,
        tuple(notes),
    )


def read_datasets(
    job: Surroundings, paths: Sequence[Path], problems: list[CiplugError], notes: list[Note]
) -> tuple[File, ...]:
    """The datasets by their content. Files that cannot be read are added to `problems`."""
    from ciplug.git.lfs import FETCH_HINT

    contents = _examined(paths, job, lambda name, problem: problems.append(problem), by_pointer=True)
    if pointers := [path for content in contents for path in content.pointers]:
        more = f" and {len(pointers) - 1:,} more" if len(pointers) > 1 else ""
        words = f"{pointers[0]}{more}: only the Git LFS pointer is here; recorded by the digest of the content"
        notes.append(warning(words, FETCH_HINT))
    return tuple(content.file for content in contents)


class Artifacts(NamedTuple):
    """The artifacts of a run."""

    files: tuple[File, ...] = ()
    lost: tuple[LeftOut, ...] = ()
    """Those that could not be read, or whose content cannot be kept."""


def read_artifacts(
    job: Surroundings, entry: Path, inputs: Inputs, logged: Logged, problems: list[CiplugError]
) -> Artifacts:
    """The artifacts by their content; bytes that are to be kept wait in the spool entry from now on.

    Files that cannot be read or kept are added to `problems`, too.
    """
    if not (inputs.artifacts or inputs.addresses or logged.artifacts or logged.files):
        return Artifacts()
    from ciplug.capture import artifacts

    addresses = [*inputs.addresses, *filter(artifacts.is_address, logged.artifacts)]
    unnamed = [text for text in logged.artifacts if text not in logged.named and not artifacts.is_address(text)]
    lost: list[LeftOut] = []

    def lose(name: str, problem: InputError) -> None:
        problems.append(problem)
        lost.append(lost_file(name, problem))

    contents = _examined([*inputs.artifacts, *map(Path, unnamed)], job, lose, inputs.left_out)
    contents += _given(entry, logged.files, lose)
    taken = {content.file.path: content.file for content in contents}
    contents += _under_names(logged.named, job, taken, lose, inputs.left_out)
    files: dict[str, File] = {}
    kept = []
    for content in contents:
        files[content.file.path] = content.file
        if job.destination is not None:
            if excess := artifacts.too_large(content, job.destination.limit):
                lose(content.file.path, excess)
            else:
                kept.append(content)
    if kept and job.destination is not None:
        try:
            files.update((file.path, file) for file in artifacts.stage(entry, job.destination.uri, kept))
        except OSError as problem:
            unkept = artifacts.not_staged(entry, problem)
            problems.append(unkept)
            lost += [lost_file(content.file.path, unkept) for content in kept]
    for address in addresses:
        try:
            files[address] = artifacts.elsewhere(address, job.env)
        except InputError as unread:
            lose(address, unread)
    return Artifacts(tuple(files.values()), tuple(lost))


def _under_names(
    named: Mapping[str, str],
    job: Surroundings,
    files: Mapping[str, File],
    lose: Lose,
    left_out: Collection[Path],
) -> list[Content]:
    """The artifacts that have a name of their own. One whose name another file has stands below `mlflow/`."""
    contents = []
    for path, name in named.items():
        for content in _examined([Path(path)], job, lose, left_out):
            other = files.get(name)
            is_taken = other is not None and other.digest != content.file.digest
            file = replace(content.file, path=f"mlflow/{name}" if is_taken else name)
            contents.append(content._replace(file=file))
    return contents


def _given(entry: Path, names: Sequence[str], lose: Lose) -> Iterator[Content]:
    """The files that the training gave to the run, under the names that it gave them."""
    from ciplug.capture.content import examine
    from ciplug.capture.writer import KEPT

    for name in names:
        try:
            content = examine(entry / KEPT / name, entry)
        except InputError as problem:
            lose(name, problem)
            continue
        yield content._replace(file=replace(content.file, path=name))


def lost_file(name: str, problem: CiplugError) -> LeftOut:
    """The fact that an artifact is not recorded, or that no store has its content, for the record."""
    found = problem.what if isinstance(problem, InputError) else problem.message
    advice = problem.hint[:_WORDS_MOST] if problem.hint else None
    return LeftOut(name=redact(name)[:_WORDS_MOST], why="output", found=found[:_WORDS_MOST], advice=advice)


def refused_file(path: Path | str, problem: CiplugError) -> LeftOut:
    """The fact that a file of metrics or examples gave nothing, for the record."""
    found, line = (problem.what, problem.line) if isinstance(problem, InputError) else (problem.message, None)
    advice = problem.hint[:_WORDS_MOST] if problem.hint else None
    name = Path(path).as_posix()[:_WORDS_MOST]
    return LeftOut(name=name, why="file", file=name, found=found[:_WORDS_MOST], line=line, advice=advice)


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
        slices=samples.slices,
    )
    try:
        examples = read_examples(job.cwd / samples.file, columns, format=samples.format)
        for name, value in means(examples).items():
            if METRIC_NAME.fullmatch(known := metric_name(name)):
                metrics.setdefault(known, value)
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


def _matched(folder: Path, path: Path, left_out: Collection[Path]) -> Path:
    """The file that a path means: of a pattern, what was written last. Raises InputError where nothing matches.

    TensorBoard's files belong together: a pattern of them stays one.
    """
    from ciplug.capture.event_files import event_files
    from ciplug.capture.written import is_pattern, newest

    if not is_pattern(folder / path) or event_files(folder / path, left_out):
        return path
    found = newest(folder / path, left_out)
    if found is None:
        what = "no file matches this pattern"
        raise InputError(f"{path}: {what}", hint="does the training write it, and to this path?", what=what)
    return Path(os.path.relpath(found, folder))


def _read_files(
    job: Surroundings,
    inputs: Inputs,
    problems: list[CiplugError],
    notes: list[Note],
    refused: dict[str, LeftOut],
) -> _Files:
    found = _Files()
    if not (inputs.metrics or inputs.params):
        return found
    from ciplug.capture.content import shown_path
    from ciplug.capture.metric_files import read_metrics, read_params
    from ciplug.capture.metric_take import LAST
    from ciplug.capture.written import without

    sources: dict[str, str] = {}
    for path in inputs.metrics:
        try:
            reading = inputs.readings.get(path, LAST)
            path = _matched(job.cwd, path, inputs.left_out)
            file = shown_path(job.cwd / path, job.top)
            with job.listener.progress(f"reading {path.name}", partial(_size, job.cwd, [path])):
                read = read_metrics(path, file, inputs.left_out, reading)
        except InputError as problem:
            problems.append(problem)
            refused.setdefault(str(path), refused_file(path, problem))
            continue
        left = {one.name: one for one in read.left_out}
        for name, value in read.values.items():
            if name in found.metrics and repr(found.metrics[name]) != repr(value):
                left[name] = LeftOut(name=name, why="files", file=file, found=sources[name])
            else:
                found.metrics[name], sources[name] = value, file
        found.series.update(read.series)
        found.texts.update(read.texts)
        found.left_out.update(left)
        if left:
            notes.append(Note(f"{path}: {summary(tuple(left.values()))}"))
        if read.texts:
            notes.append(Note(f"{path}: kept as tags, because text is not a metric: {some_names(list(read.texts))}"))
    for name, one in found.left_out.items():
        if one.why == "files":
            found.metrics.pop(name, None)
            found.series.pop(name, None)
    sources.clear()
    for path in inputs.params:
        if path.is_dir() and not without([path / "params.yaml"], inputs.left_out):
            continue
        try:
            params = read_params(path)
            if twice := next((n for n in params if n in sources and found.params[n] != params[n]), None):
                raise InputError(f"{path}: the parameter '{twice}' is in {sources[twice]} too, with another value")
            found.params.update(params)
            sources.update(dict.fromkeys(params, str(path)))
        except InputError as problem:
            problems.append(problem)
    return found


def _examined(
    paths: Sequence[Path],
    job: Surroundings,
    lose: Lose,
    left_out: Collection[Path] = (),
    *,
    by_pointer: bool = False,
) -> list[Content]:
    from ciplug.capture.content import examine, shown_path

    contents: dict[str, Content] = {}
    with job.listener.progress("hashing", lambda: _size(job.cwd, paths)) as tell:
        for path in paths:
            try:
                content = examine(job.cwd / path, job.top, left_out, by_pointer=by_pointer, tell=tell)
                contents[content.file.path] = content
            except InputError as problem:
                lose(shown_path(job.cwd / path, job.top), problem)
    return list(contents.values())


def _size(folder: Path, paths: Sequence[Path]) -> int:
    """Bytes of these files and folders, as far as they can be seen."""
    from ciplug.capture.written import files_of

    total = 0
    for file in (file for path in paths for file in files_of(folder / path)):
        with suppress(OSError):
            total += file.stat().st_size
    return total
