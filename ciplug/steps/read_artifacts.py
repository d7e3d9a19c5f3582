"""Read the artifacts and datasets of a run by their content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ciplug.console import Note, warning
from ciplug.errors import CiplugError, InputError
from ciplug.records.left_out import LeftOut
from ciplug.records.run import File
from ciplug.steps.inputs import Inputs, Surroundings, size_of
from ciplug.steps.lost_files import lost_file

if TYPE_CHECKING:
    from ciplug.capture.content import Content
    from ciplug.capture.logged import Logged

Lose = Callable[[str, InputError], None]
"""Takes the name of a file that cannot be recorded or kept, and why."""


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
    with job.listener.progress("hashing", lambda: size_of(job.cwd, paths)) as tell:
        for path in paths:
            try:
                content = examine(job.cwd / path, job.top, left_out, by_pointer=by_pointer, tell=tell)
                contents[content.file.path] = content
            except InputError as problem:
                lose(shown_path(job.cwd / path, job.top), problem)
    return list(contents.values())
