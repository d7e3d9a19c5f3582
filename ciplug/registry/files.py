"""The files of a version, and those of its run. Pure."""

from __future__ import annotations

from ciplug.records.registry_event import Register
from ciplug.records.run import Run
from ciplug.registry.model import Version


def files_of(run: Run) -> dict[str, str]:
    """Path → digest of the files of a version that is made of a run."""
    return {file.path: file.digest for file in run.artifacts}


def has_files(run: Run, version: Version | Register) -> bool:
    """Whether the run has the files that the version was registered with.

    That is all of its artifacts; of a version that was made of a part of them, at least those.
    """
    own = files_of(run)
    if version.source is None:
        return dict(version.files) == own
    return bool(version.files) and version.files.items() <= own.items()
