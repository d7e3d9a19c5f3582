"""The types of events: each row of EVENT_TYPES is the dataclass of a payload and what it does to a model.

CONTRIBUTING.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ciplug.records import registry_labels as labels
from ciplug.records import registry_moves as moves
from ciplug.records.canonical import plain
from ciplug.records.registry_deployment import Deploy, SmokeTested
from ciplug.records.registry_event import SCHEMA, Payload, Promote, Register, RegistryEvent, Vouch
from ciplug.registry import effects
from ciplug.registry.ladder import ARCHIVED, NO_STAGE
from ciplug.registry.model import Model, SkippedEvent

P = TypeVar("P", bound=Payload)


@dataclass(frozen=True)
class EventType(Generic[P]):
    """One row of the table."""

    payload: type[P]
    apply: Callable[[Model, RegistryEvent, P], Model]
    """The model after the event. An event on a version that does not exist leaves the model as it is."""
    moves_to: Callable[[P], str] | None = None
    """The stage that the version of the event is in afterwards; None: the type moves no version."""


EVENT_TYPES: dict[str, EventType[Any]] = {
    row.payload.type: row
    for row in (
        EventType(Register, effects.register, lambda payload: NO_STAGE),
        EventType(Promote, effects.promote, lambda payload: payload.stage),
        EventType(Vouch, effects.nothing),
        EventType(moves.Demote, effects.demote, lambda payload: payload.stage),
        EventType(moves.Rollback, effects.roll_back, lambda payload: payload.stage),
        EventType(moves.Archive, effects.archive, lambda payload: ARCHIVED),
        EventType(moves.Yank, effects.yank),
        EventType(moves.MoveFreely, effects.move_freely, lambda payload: payload.stage),
        EventType(Deploy, effects.deploy),
        EventType(SmokeTested, effects.smoke_test),
        EventType(labels.Create, effects.create),
        EventType(labels.Describe, effects.describe),
        EventType(labels.Tag, effects.tag),
        EventType(labels.Untag, effects.untag),
        EventType(labels.SetAlias, effects.set_alias),
        EventType(labels.DeleteAlias, effects.delete_alias),
        EventType(labels.DeleteVersion, effects.delete_version),
        EventType(labels.DeleteModel, effects.delete_model),
        # Its versions are in another log, which `state.after` is given.
        EventType(labels.MovedFrom, effects.nothing),
        EventType(labels.MovedTo, effects.move_to),
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
