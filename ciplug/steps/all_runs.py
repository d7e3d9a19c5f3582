"""All runs: those of the store, after sending those that wait on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.console import Note
from ciplug.errors import StoreError
from ciplug.steps.recover import recover, recovery_notes
from ciplug.steps.send import send
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


def all_runs(session: Session) -> Runs:
    """Return all runs. First send what earlier commands could not send, and recover runs of killed processes."""
    if session.context.trusted:
        session.tell(*recovery_notes(recover(session)))
        try:
            if sent := send(session):
                session.tell(Note(f"sent {len(sent)} from the spool"))
        except StoreError as problem:
            session.tell(Note(problem.message, is_detail=True))
    return judged_runs(session)
