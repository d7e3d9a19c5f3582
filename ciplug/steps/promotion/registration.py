"""What a version freezes of its run when it is registered."""

from __future__ import annotations

from ciplug.records.registry_event import Register
from ciplug.records.run import Run
from ciplug.registry.model import Version
from ciplug.registry.replayed_rules import model_digest


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


def registration_of(run: Run, number: int, record: str) -> Register:
    """The registration of a run as a version with this number.

    Args:
        record: the digest of the run's record.
    """
    files = files_of(run)
    return Register(
        version=number,
        run=run.id,
        commit=run.commit,
        files=files,
        digest=model_digest(files),
        record=record,
        datasets={data.path: data.digest for data in run.datasets},
        metrics=dict(run.metrics),
    )
