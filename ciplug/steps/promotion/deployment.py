"""Record a deployment of a promoted version with the forge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from ciplug.errors import ForgeError
from ciplug.steps.job_forge import forge_of
from ciplug.steps.promotion.stage_change import StageChange
from ciplug.steps.session import Session


class Unrecorded(Enum):
    """The reason why a deployment was not recorded."""

    NO_FORGE = auto()
    """The job has no forge, or no token for it."""
    NO_COMMIT = auto()
    """The version belongs to no commit."""
    REFUSED = auto()
    """The forge refused, or did not answer."""


@dataclass(frozen=True)
class Deployment:
    """The result of recording a deployment."""

    environment: str
    commit: str | None
    unrecorded: Unrecorded | None = None
    """None on success."""
    words: str = ""
    """The reason in words, where nothing was recorded."""
    hint: str | None = None


def record_deployment(session: Session, change: StageChange, environment: str | None = None) -> Deployment:
    """Record a deployment of the version's commit to `environment`, by default the stage's name in lower case.

    A failure is returned, not raised: the promotion stands in any case.
    """
    from ciplug.forges import NoForge

    commit = change.commit
    environment = environment or change.stage.lower()
    forge = forge_of(session)
    if isinstance(forge, NoForge):
        return Deployment(environment, commit, Unrecorded.NO_FORGE, forge.message, forge.hint)
    if commit is None:
        return Deployment(environment, commit, Unrecorded.NO_COMMIT, "the version has no commit")
    description = f"{change.model} version {change.version} is in {change.stage}"
    try:
        forge.record_deployment(commit, environment, description=description, url=session.context.run_url)
    except ForgeError as problem:
        return Deployment(environment, commit, Unrecorded.REFUSED, problem.message, problem.hint)
    return Deployment(environment, commit)
