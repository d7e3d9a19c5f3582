"""Find the artifacts of a run that it did not write."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from hashlib import sha256
from typing import NamedTuple

from ciplug.git.lfs import parse_pointer
from ciplug.git.objects import read_objects
from ciplug.records.run import File, Run
from ciplug.steps.session import Session


class Reason(Enum):
    """Why an artifact is not the work of its run, as the end of a sentence."""

    UNCHANGED = "the training did not write it"
    OLDER = "it is older than the commit, and ciplug did not see it written"
    COMMITTED = "it is a file of the commit itself, and no training was seen to write it"


class NotWritten(NamedTuple):
    """An artifact that its run did not write."""

    path: str
    reason: Reason


def not_written(session: Session, run: Run) -> list[NotWritten]:
    """Return the artifacts that a run did not write, as far as that can be known.

    A run that wrote something may keep files of the commit beside it. Where ciplug did not start the training, a file
    that the commit has with the same content was written by nobody that ciplug knows of. A commit that is not in this
    clone is not asked.
    """
    left = [
        NotWritten(file.path, Reason.UNCHANGED) for file in run.artifacts if _is_among(file, run.provenance.unchanged)
    ]
    left += [
        NotWritten(file.path, Reason.OLDER)
        for file in run.artifacts
        if file.path in run.provenance.older or _is_below(file, run)
    ]
    return left or [NotWritten(file.path, Reason.COMMITTED) for file in _committed(session, run)]


def _is_below(file: File, run: Run) -> bool:
    return any(file.path.startswith(f"{folder}/") for folder in run.provenance.older)


def _is_among(file: File, paths: Sequence[str]) -> bool:
    """Whether the file, a folder above it, or something in it is among these."""
    return any(
        path == file.path or path.startswith(f"{file.path}/") or file.path.startswith(f"{path}/") for path in paths
    )


def _committed(session: Session, run: Run) -> list[File]:
    if {file.path for file in run.artifacts} <= set(run.provenance.committed):
        return list(run.artifacts)
    watched = run.provenance.exit_code is not None or run.provenance.signal is not None
    if watched or run.commit is None or session.workspace is None:
        return []
    names = {
        f"{run.commit}:{file.path}": file
        for file in run.artifacts
        if file.kind is None and "://" not in file.path and file.path.isprintable()
    }
    objects = read_objects(session.workspace.top, names)
    return [names[name] for name, (kind, data) in objects.items() if kind == "blob" and _holds(data, names[name])]


def _holds(data: bytes, file: File) -> bool:
    """Whether a file in git has the content of an artifact, or is the LFS pointer to it."""
    pointer = parse_pointer(data)
    return file.digest == (pointer.digest if pointer else f"sha256:{sha256(data).hexdigest()}")
