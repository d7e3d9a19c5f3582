"""The files that differ from the commit when a run begins, and which of them the run itself has written by its end."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from ciplug.capture import provenance
from ciplug.capture.logged import Logged
from ciplug.capture.notebooks import SUFFIX, has_other_code
from ciplug.capture.writer import RunWriter
from ciplug.capture.written_files import absolute, written_since
from ciplug.config.clean_patterns import line_to_add
from ciplug.console import warning
from ciplug.git.objects import read_objects
from ciplug.git.workspace import Workspace
from ciplug.git.worktree import Dirt, measure_dirt, with_files
from ciplug.records.provenance import Provenance
from ciplug.steps.inputs import Inputs, Surroundings
from ciplug.steps.session import Session

DIRTY = "dirty"
"""Of the facts about an open run: path → stamp of the files that differed from the commit when it began."""
TO_WRITE = "to_write"
"""Of these facts: the paths of those that are outputs of the command."""
_NAMED_MOST = 3
"""Files that differ from the commit, and are named."""


def dirt_at_start(session: Session, inputs: Inputs, *, is_followed: bool) -> Dirt | None:
    """The tracked files that differ from the commit now, without the outputs that are declared anywhere.

    Args:
        is_followed: whether the end of the run shows which of its own outputs it wrote: they are named apart.
    """
    workspace = session.workspace
    if workspace is None:
        return None
    config = session.config
    declared = {config.folder / path for section in config.sections() for path in section.outputs}
    own = {session.cwd / path for path in inputs.outputs}
    if is_followed:
        section = config.section_of(inputs.model) if inputs.model else config.of(None)
        own |= {config.folder / path for path in (section.outputs if section else ())}
    folder = _folder_of_config(session)
    clean = config.clean_of(inputs.model)
    dirt = measure_dirt(
        workspace,
        _apart(declared, own) if is_followed else own | declared,
        lambda path: clean.ignores(posixpath.relpath(path, folder)),
        own=own if is_followed else (),
    )
    dirt = _with_notebooks(workspace, dirt, own | declared)
    for path, name in dirt.unfiltered.items():
        session.tell(
            warning(
                f"{path}: git's filter '{name}' does not run here, so the file counts as changed",
                f"install it in this image, or set the file aside in ciplug.yaml: {line_to_add([path], folder)}",
            )
        )
    return dirt


def _with_notebooks(workspace: Workspace, dirt: Dirt, outputs: Collection[Path]) -> Dirt:
    """Return the dirt with those notebooks among the outputs whose code differs: a run in place does not write that."""
    inside = {path: Path(os.path.relpath(path, workspace.top)).as_posix() for path in outputs if path.suffix == SUFFIX}
    names = {name: path for path, name in inside.items() if path.is_file() and name not in dirt.ignored}
    if not names or workspace.head is None:
        return dirt
    objects = read_objects(workspace.top, [f"{workspace.head}:{name}" for name in names if name.isprintable()])
    blobs = {name: objects[key][1] for name in names if (key := f"{workspace.head}:{name}") in objects}
    other = sorted(name for name, blob in blobs.items() if has_other_code(blob, names[name].read_bytes()))
    if not other:
        return dirt
    return replace(
        dirt,
        files=tuple(sorted({*dirt.files, *other})),
        outputs=tuple(name for name in dirt.outputs if name not in other),
        digest=with_files(workspace.top, dirt.digest, other),
    )


def _apart(paths: Collection[Path], others: Collection[Path]) -> list[Path]:
    """The paths that are not among the others, however either is written."""
    already = absolute(others)
    return [path for path in paths if not absolute([path]) <= already]


def _folder_of_config(session: Session) -> str:
    """The folder of ciplug.yaml from the repository's top. One that is elsewhere speaks of the whole repository."""
    home = Path(os.path.relpath(session.config.folder.absolute(), session.top)).as_posix()
    return "." if home == ".." or home.startswith("../") else home


def tell_dirt(session: Session, origin: Provenance) -> None:
    """Say that a run which has just begun will stand for no commit, and which files differ from it."""
    if origin.dirty and session.head:
        named = origin.named_dirt(_NAMED_MOST)
        session.tell(
            warning(
                f"this run does not count for commit {session.head[:8]}, because files differ from the commit: {named}",
                "commit them; or set aside those that the pipeline itself rewrites, in ciplug.yaml: "
                + line_to_add(origin.dirty_files[:_NAMED_MOST], _folder_of_config(session)),
            )
        )


def _named_outputs(job: Surroundings, entry: RunWriter, logged: Logged) -> set[str]:
    """The files that differed when the run began, that it wrote, and that its program has logged as artifacts.

    One that it only logged, such as its own source, was not made by it; nor was the code of a notebook.
    """
    named = [Path(os.path.relpath(path, job.top)) for path in logged.artifacts if "://" not in path]
    before = {
        path: stamp
        for path, stamp in dict(entry.facts.get(DIRTY) or {}).items()
        if not path.endswith(SUFFIX) and any(Path(path).is_relative_to(one) for one in named)
    }
    return written_since(before, job.top)


def origin_at_end(job: Surroundings, entry: RunWriter, logged: Logged, begun: Provenance) -> Provenance:
    """The facts of the run's beginning, with what its end shows of the files that differed then."""
    start = provenance.without_outputs(begun, _named_outputs(job, entry, logged))
    stamps = dict(entry.facts.get(DIRTY) or {})
    awaited = {path: stamps.get(path) for path in entry.facts.get(TO_WRITE) or ()}
    left = sorted(set(awaited) - written_since(awaited, job.top))
    return provenance.with_dirt(start, left, with_files(job.top, start.diff_digest, left)) if left else start
