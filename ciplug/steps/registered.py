"""The state of a model, as the policy in force counts its events."""

from __future__ import annotations

from ciplug.registry import state
from ciplug.registry.model import Model
from ciplug.registry.state import IsSigned
from ciplug.steps.session import Session
from ciplug.steps.signatures import signers_of


def is_signed(session: Session) -> IsSigned | None:
    """What tells whether an event counts; None where the policy names no signers, and all of them do."""
    signers = signers_of(session)
    return (lambda event: signers.of_event(event) is not None) if signers else None


def read_model(session: Session, name: str) -> Model:
    """The state of a model. Raises BrokenLog for a log whose chain is broken."""
    return state.read_model(session.log, name, is_signed(session))


def read_if_whole(session: Session, name: str) -> Model:
    """The same for readers that go on without the registry: of a broken log, `Model.problem` says what is wrong."""
    return state.read_if_whole(session.log, name, is_signed(session))
