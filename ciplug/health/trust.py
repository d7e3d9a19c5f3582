"""The level of trust that holds, as docs/trust.md describes it."""

from __future__ import annotations

from ciplug.health.base import Examined, skipped, warning
from ciplug.signing import SIGNING_KEY
from ciplug.steps.session import Session
from ciplug.steps.signers import signs
from ciplug.steps.trust_level import level_of


def trust(session: Session, before: Examined) -> str:
    """The level, and what shows it; a level below `protected` is no defect."""
    if before["store"].state in ("failure", "skipped"):
        raise skipped("the store cannot be read")
    if before["policy"].state == "failure":
        raise skipped("the policy cannot be read")
    level = level_of(session)
    words = f"level {('open', 'protected', 'signed').index(level.name)} ({level.name}): {level.shown_by}"
    if level.name == "open":
        return f"{words}; everyone who can push is trusted with runs and registry: docs/trust.md"
    if level.name == "signed" and session.env.get(SIGNING_KEY) and not signs(session):
        raise warning(f"{words}; {SIGNING_KEY} is not the key of one of them", "what this job records will not count")
    if level.name == "signed":
        return f"{words}; this job {'has' if session.env.get(SIGNING_KEY) else 'has not'} the key of one of them"
    return words
