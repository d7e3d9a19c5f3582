"""Limits of a fork's job: its code is not trusted, so it hands over its run and writes nothing itself."""

from __future__ import annotations

from ciplug.errors import ForkJob
from ciplug.steps.session import Session

MUST_NOT_WRITE = "a fork's job must not write the store"


def need_trusted(session: Session, *, hint: str, message: str = MUST_NOT_WRITE) -> None:
    """Raise ForkJob in a fork's job, before anything is written; `hint` gives the alternative."""
    if not session.context.trusted:
        raise ForkJob(message, hint=hint)
