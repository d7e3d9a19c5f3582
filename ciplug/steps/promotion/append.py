"""Append an event to the log of a model; now and then, with the state before it for whoever reads the log first."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from ciplug.errors import StoreError
from ciplug.records.canonical import digest
from ciplug.records.keys import log_of
from ciplug.records.registry_event import RegistryEvent
from ciplug.registry import ledger, stored_checkpoints
from ciplug.registry.ledger import Ledger
from ciplug.registry.model import Model
from ciplug.steps.registered_model import signers_key
from ciplug.steps.session import Session
from ciplug.steps.signers import sign_event
from ciplug.stores.base import KeepsStates


def append(session: Session, model: Model, log: Ledger, event: RegistryEvent) -> Ledger:
    """Append an event, signed where this job has a key.

    Raises Conflict when another event was appended since the log was read.

    Args:
        model: the state that the log makes.
    """
    kept: bytes | None = None
    if log.head and stored_checkpoints.is_due(model, log.head):
        kept = stored_checkpoints.encode(model, log.head, signers_key(session))
        event = replace(event, state=digest(kept))
    appended = ledger.append(session.log, log, event, sign_event(session))
    if kept and isinstance(session.log, KeepsStates):
        # The event stands. Without its state, new readers begin at an earlier one.
        with contextlib.suppress(StoreError):
            session.log.put_state(log_of(model.name), kept)
    return appended
