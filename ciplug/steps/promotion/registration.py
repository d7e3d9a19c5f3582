"""What a version freezes of its run when it is registered."""

from __future__ import annotations

from ciplug.records.registry_event import Register
from ciplug.records.run import Run
from ciplug.registry.files import files_of
from ciplug.registry.replayed_rules import model_digest


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
