"""The types of events: each row of EVENT_TYPES is a dataclass of `records.registry_event` and what it does to a model.

CONTRIBUTING.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ciplug.records.canonical import plain
from ciplug.records.registry_event import SCHEMA, Payload, Promote, Register, RegistryEvent, Vouch
from ciplug.registry.ladder import NO_STAGE
from ciplug.registry.model import Model, SkippedEvent, Version

P = TypeVar("P", bound=Payload)


@dataclass(frozen=True)
class EventType(Generic[P]):
    """One row of the table."""

    payload: type[P]
    apply: Callable[[Model, RegistryEvent, P], Model]
    """The model after the event. An event on a version that does not exist leaves the model as it is."""


def register(model: Model, event: RegistryEvent, payload: Register) -> Model:
    return model.with_version(
        Version(
            payload.version,
            payload.run,
            payload.commit,
            NO_STAGE,
            event.created,
            dict(payload.files),
            record=payload.record,
        )
    )


def promote(model: Model, event: RegistryEvent, payload: Promote) -> Model:
    return model.with_stage(payload.version, payload.stage, payload.exemptions)


def vouch(model: Model, event: RegistryEvent, payload: Vouch) -> Model:
    """The model as it is: `state.counting` decides which events count."""
    return model


EVENT_TYPES: dict[str, EventType[Any]] = {
    row.payload.type: row
    for row in (
        EventType(Register, register),
        EventType(Promote, promote),
        EventType(Vouch, vouch),
    )
}
"""Type, as written in the envelope → its row."""


def wrap(
    payload: Payload,
    *,
    model: str,
    created: str,
    actor: str | None = None,
    actor_source: str | None = None,
    actor_confirmed: bool = False,
    run_url: str | None = None,
    ciplug: str | None = None,
) -> RegistryEvent:
    """Return the event with `payload`. `ledger.append` fills in its place in the log."""
    return RegistryEvent(
        seq=0,
        type=payload.type,
        model=model,
        created=created,
        actor=actor,
        actor_source=actor_source,
        actor_confirmed=actor_confirmed,
        run_url=run_url,
        ciplug=ciplug,
        payload=plain(payload),
    )


def payload_of(event: RegistryEvent) -> Any:
    """The dataclass of the event's type, None where this ciplug does not know the type or the schema.

    Raises RecordError for a payload that does not have the fields of its type.
    """
    from ciplug.records import read

    row = EVENT_TYPES.get(event.type)
    if row is None or event.schema > SCHEMA:
        return None
    return read.payload(row.payload, event.payload, f"event {event.seq} of '{event.model}'")


def skipped(event: RegistryEvent) -> SkippedEvent:
    """Return the note for an event that cannot be applied."""
    return SkippedEvent(event.seq, event.type, event.schema if event.schema > SCHEMA else None)
