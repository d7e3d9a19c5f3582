"""Tell the forge where the files of a promoted version are stored, so that it links them with their build."""

from __future__ import annotations

from ciplug.errors import ForgeError
from ciplug.forges.base import StoredFile
from ciplug.records.run import Run
from ciplug.steps.evidence.version_files import files_of
from ciplug.steps.job_forge import forge_of
from ciplug.steps.promotion.stage_change import StageChange
from ciplug.steps.session import Session


def link_artifacts(session: Session, change: StageChange, run: Run) -> int:
    """Record each file of the version with the forge; returns how many.

    Raises ForgeError where there is no forge, it has no such records, or it refuses, and StoreError where the list of a
    folder's files cannot be read.
    """
    from ciplug.forges import NoForge

    forge = forge_of(session)
    if isinstance(forge, NoForge):
        raise ForgeError(forge.message, hint=forge.hint)
    files = [StoredFile(change.model, str(change.version), path, one) for path, one in files_of(session, run).items()]
    forge.link_artifacts(files)
    return len(files)
