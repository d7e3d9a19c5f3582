"""The state of a model: the fold of its events, by sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ciplug.errors import BrokenLog, RecordError
from ciplug.records.registry_event import RegistryEvent, Vouch
from ciplug.registry import ledger
from ciplug.registry.events import EVENT_TYPES, payload_of, skipped
from ciplug.registry.model import Model
from ciplug.stores.base import Log

IsSigned = Callable[[RegistryEvent], bool]
"""Whether an allowed signer has signed an event."""


def fold(name: str, events: Iterable[RegistryEvent], is_signed: IsSigned | None = None) -> Model:
    """The state after these events. Events that this ciplug does not know are skipped, and `Model.skipped` has them.

    Raises RecordError for an event that does not have the fields of its type.

    Args:
        is_signed: without a signature an event does not count, and `Model.unsigned` has it; None: all count.
    """
    model = Model(name)
    events = list(events)
    counts = counting(events, is_signed)
    for event in events:
        if event.seq not in counts:
            model = replace(model, unsigned=(*model.unsigned, event.seq))
            continue
        payload = payload_of(event)
        if payload is None:
            model = replace(model, skipped=(*model.skipped, skipped(event)))
        else:
            model = EVENT_TYPES[event.type].apply(model, event, payload)
    return model


def counting(events: Sequence[RegistryEvent], is_signed: IsSigned | None) -> set[int]:
    """The numbers of the events that count: those that are signed, and those before that a signer vouches for."""
    if is_signed is None:
        return {event.seq for event in events}
    by_signer = [event for event in events if is_signed(event)]
    payloads = [(event.seq, payload_of(event)) for event in by_signer]
    vouched = max((min(one.until, seq) for seq, one in payloads if isinstance(one, Vouch)), default=0)
    return {event.seq for event in by_signer} | {event.seq for event in events if event.seq <= vouched}


def read_model(log: Log, name: str, is_signed: IsSigned | None = None) -> Model:
    """The state of a model in a store's logs; without versions where the registry does not have it.

    Raises BrokenLog for a log whose chain is broken.
    """
    return fold(name, ledger.read(log, name).events, is_signed)


def read_if_whole(log: Log, name: str, is_signed: IsSigned | None = None) -> Model:
    """The same for readers that go on without the registry: of a broken log, `Model.problem` says what is wrong."""
    try:
        return read_model(log, name, is_signed)
    except BrokenLog as broken:
        return Model(name, problem=broken.message)
    except RecordError as unreadable:
        return Model(name, problem=unreadable.message)
