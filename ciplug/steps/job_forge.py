"""The forge that this job may speak on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ciplug.ci.identity import Standing
from ciplug.git.credentials import redact
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.forges import Forge, NoForge


def forge_of(session: Session, say: Callable[[str], None] | None = None) -> Forge | NoForge:
    """The forge of the job's repository, or why there is none: on a second repository of the job nothing is posted.

    `say` tells the user of a wait that begins. Raises ConfigError as `open_forge` does.
    """
    from ciplug.forges import NoForge, open_forge

    identity = session.identity
    if identity is not None and identity.standing == Standing.OTHER_REPOSITORY:
        here = session.context.repository or redact(session.remote_url or "")
        return NoForge(f"this checkout is of {here}, and the job of {identity.claim.repository}")
    return open_forge(session.context, session.env, session.remote_url, say)
