"""All runs that there are: those of the store, after those that wait on this machine were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug import console
from ciplug.errors import StoreError
from ciplug.steps.recover import report_recovered
from ciplug.steps.send import send
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


def all_runs(session: Session) -> Runs:
    """All runs. What earlier commands could not send is sent first, and what a killed one left is recovered."""
    if session.context.trusted:
        report_recovered(session)
        try:
            if sent := send(session):
                console.say(f"sent {len(sent)} from the spool")
        except StoreError as problem:
            console.detail(problem.message)
    return session.runs()
