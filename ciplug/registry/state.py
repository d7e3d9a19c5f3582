"""The state of a model: the fold of its events, by sequence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ciplug.errors import BrokenLog, RecordError
from ciplug.records.registry_event import RegistryEvent
from ciplug.registry import ledger
from ciplug.registry.events import EVENT_TYPES, payload_of, skipped
from ciplug.registry.model import Model
from ciplug.stores.base import Log


def fold(name: str, events: Iterable[RegistryEvent]) -> Model:
    """The state after these events. Events that this ciplug does not know are skipped, and `Model.skipped` has them.

    Raises RecordError for an event that does not have the fields of its type.
    """
    model = Model(name)
    for event in events:
        payload = payload_of(event)
        if payload is None:
            model = replace(model, skipped=(*model.skipped, skipped(event)))
        else:
            model = EVENT_TYPES[event.type].apply(model, event, payload)
    return model


def read_model(log: Log, name: str) -> Model:
    """The state of a model in a store's logs; without versions where the registry does not have it.

    Raises BrokenLog for a log whose chain is broken.
    """
    return fold(name, ledger.read(log, name).events)


def read_if_whole(log: Log, name: str) -> Model:
    """The same for readers that go on without the registry: of a broken log, `Model.problem` says what is wrong."""
    try:
        return read_model(log, name)
    except BrokenLog as broken:
        return Model(name, problem=broken.message)
    except RecordError as unreadable:
        return Model(name, problem=unreadable.message)
