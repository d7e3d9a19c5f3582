"""The forge that this job may speak on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.ci.identity import Standing
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.forges import Forge, NoForge


def forge_of(session: Session) -> Forge | NoForge:
    """The forge of the job's repository, or why there is none. A second repository of the job gets no word of it."""
    from ciplug.forges import NoForge, open_forge

    identity = session.identity
    if identity is not None and identity.standing == Standing.OTHER_REPOSITORY:
        return NoForge(f"this checkout is of {session.context.repository}, and the job of {identity.claim.repository}")
    return open_forge(session.context, session.env, session.remote_url)
