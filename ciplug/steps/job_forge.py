"""The forge that this job may speak on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.ci.job_commit import Standing
from ciplug.console import Note
from ciplug.git.credentials import redact
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.forges import Forge, NoForge


def forge_of(session: Session) -> Forge | NoForge:
    """The forge of the job's repository, or why there is none: on a second repository of the job nothing is posted.

    The session's listener hears of a wait that begins. Raises ConfigError as `open_forge` does.
    """
    from ciplug.forges import Lack, NoForge, open_forge

    identity = session.identity
    if identity is not None and identity.standing == Standing.OTHER_REPOSITORY:
        here = session.context.repository or redact(session.remote_url or "")
        return NoForge(Lack.PART, f"this checkout is of {here}, and the job of {identity.claim.repository}")
    return open_forge(session.context, session.env, session.remote_url, lambda words: session.tell(Note(words)))
