"""The state of a model, as the policy in force counts its events."""

from __future__ import annotations

from ciplug.registry import reading
from ciplug.registry.model import Model
from ciplug.registry.reading import Reading
from ciplug.registry.state import IsSigned
from ciplug.steps.session import Session
from ciplug.steps.signatures import signers_of


def is_signed(session: Session) -> IsSigned | None:
    """What tells whether an event counts; None where the policy names no signers, and all of them do."""
    signers = signers_of(session)
    return (lambda event: signers.of_event(event) is not None) if signers else None


def read_registry(session: Session, name: str) -> Reading:
    """The state of a model and the head of its log. Raises BrokenLog for a log whose chain is broken."""
    return reading.read(session.log, name, is_signed(session))


def read_model(session: Session, name: str) -> Model:
    """The state of a model. Raises BrokenLog for a log whose chain is broken."""
    return read_registry(session, name).model


def read_if_whole(session: Session, name: str) -> Model:
    """The same for readers that go on without the registry: of a broken log, `Model.problem` says what is wrong."""
    return reading.read_if_whole(session.log, name, is_signed(session))
