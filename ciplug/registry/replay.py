"""Replay: the events of a log, folded by sequence into the state of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from ciplug.errors import RecordError
from ciplug.records.registry_event import Register, RegistryEvent, Vouch
from ciplug.records.registry_labels import MovedFrom
from ciplug.registry import effects
from ciplug.registry.events import EVENT_TYPES, payload_of, skipped
from ciplug.registry.model import Model

IsSigned = Callable[[RegistryEvent], bool]
"""Whether an allowed signer has signed an event."""


class Renaming(NamedTuple):
    """What the other log says of a renaming to this one."""

    model: Model | None
    """The other model as it was then; None where its log does not confirm the renaming."""
    pending: bool = False
    """Whether its log may still confirm it: its next event is not written."""


_LAST_SECOND = 253402300799
"""The last of the year 9999, after which many readers of git fail."""

Origin = Callable[[str, MovedFrom], Renaming]
"""Looks a renaming up, given the name of this model and what its event says."""


def fold(
    name: str, events: Iterable[RegistryEvent], is_signed: IsSigned | None = None, origin: Origin | None = None
) -> Model:
    """The state after these events. Events that this ciplug does not know are skipped, and `Model.skipped` has them.

    Raises RecordError for an event that does not have the fields of its type.

    Args:
        is_signed: without a signature an event does not count, and `Model.unsigned` has it; None: all count.
        origin: finds the versions that a renaming brings; None: it brings none.
    """
    events = list(events)
    return fold_on(Model(name), events, counting(events, is_signed), origin)


def fold_on(model: Model, events: Iterable[RegistryEvent], counts: set[int], origin: Origin | None = None) -> Model:
    """The state after more events.

    Args:
        counts: the numbers of the events that count, from `counting`.
    """
    for event in events:
        model = after(model, event, counts=event.seq in counts, origin=origin)
    return model


def after(model: Model, event: RegistryEvent, *, counts: bool = True, origin: Origin | None = None) -> Model:
    """The state after one more event."""
    if not counts:
        # No number is used twice, not even that of an event which does not count.
        taken = _registers(event)
        return replace(model, unsigned=(*model.unsigned, event.seq), last_number=max(model.last_number, taken))
    payload = payload_of(event)
    if payload is None:
        return replace(model, skipped=(*model.skipped, skipped(event)))
    if isinstance(payload, MovedFrom):
        model = _renamed(model, event, payload, origin)
    else:
        model = EVENT_TYPES[event.type].apply(model, event, payload)
    number = getattr(payload, "version", None)
    if isinstance(number, int):
        model = model.changed(number, updated=event.created)
    return replace(model, updated=event.created, clock=_next_second(model.clock, event.created))


def _next_second(clock: int, created: str) -> int:
    try:
        seconds = int(datetime.fromisoformat(created.replace("Z", "+00:00")).timestamp())
    except ValueError:
        seconds = 0
    return max(seconds, min(clock + 1, _LAST_SECOND))


def _registers(event: RegistryEvent) -> int:
    """The number of the version that the event registers; 0 where it registers none."""
    with suppress(RecordError):
        payload = payload_of(event)
        return payload.version if isinstance(payload, Register) else 0
    return 0


def _renamed(model: Model, event: RegistryEvent, payload: MovedFrom, origin: Origin | None) -> Model:
    renaming = origin(model.name, payload) if origin else Renaming(None)
    if renaming.model is None:
        return replace(model, awaits=payload.other if renaming.pending else None)
    return effects.take_over(model, renaming.model)


def counting(events: Sequence[RegistryEvent], is_signed: IsSigned | None) -> set[int]:
    """The numbers of the events that count: those that are signed, and those before that a signer vouches for."""
    if is_signed is None:
        return {event.seq for event in events}
    by_signer = [event for event in events if is_signed(event)]
    payloads = [(event.seq, payload_of(event)) for event in by_signer if event.type == Vouch.type]
    vouched = max((min(one.until, seq) for seq, one in payloads if isinstance(one, Vouch)), default=0)
    return {event.seq for event in by_signer} | {event.seq for event in events if event.seq <= vouched}
