"""The state of a model, read from its log."""

from __future__ import annotations

from typing import NamedTuple

from ciplug.errors import BrokenLog, Cause, RecordError
from ciplug.records.keys import EntryKey, log_of
from ciplug.records.registry_labels import MovedFrom, MovedTo
from ciplug.registry import ledger
from ciplug.registry.ledger import Ledger
from ciplug.registry.model import Model
from ciplug.registry.state import IsSigned, Origin, Renaming, counting, fold, fold_on
from ciplug.stores.base import Head, Log


class Reading(NamedTuple):
    """The state of a model, and the place in its log where the next event goes."""

    model: Model
    ledger: Ledger
    """Its head is that of the log; its events may be only the last ones."""


def read(log: Log, name: str, is_signed: IsSigned | None = None) -> Reading:
    """The state of a model in a store's logs; without versions where the registry does not have it.

    Raises BrokenLog for a log whose chain is broken.
    """
    whole = ledger.read(log, name)
    return Reading(fold(name, whole.events, is_signed, origin_in(log, is_signed)), whole)


def read_model(log: Log, name: str, is_signed: IsSigned | None = None) -> Model:
    """The state alone."""
    return read(log, name, is_signed).model


def origin_in(log: Log, is_signed: IsSigned | None, above: frozenset[tuple[str, int]] = frozenset()) -> Origin:
    """What looks up the renamings of a log, in the other logs of the store.

    Args:
        above: the logs that are being read, up to which event: none of them may be needed again.
    """

    def look_up(name: str, moved: MovedFrom) -> Renaming:
        place = (moved.other, moved.until)
        if place in above:
            raise BrokenLog(f"the registry of '{name}' is broken: its renamings are a circle", cause=Cause.DAMAGED)
        other = ledger.read(log, moved.other)
        if len(other.events) < moved.until or moved.until < 1:
            return Renaming(None)
        if len(other.events) == moved.until:
            head = other.head
            return Renaming(None, pending=head == Head(moved.until, moved.digest))
        confirms = other.events[moved.until]
        if confirms.type != MovedTo.type or confirms.previous != moved.digest or confirms.payload.get("other") != name:
            return Renaming(None)
        counts = counting(other.events, is_signed)
        if confirms.seq not in counts:
            return Renaming(None)
        events = other.events[: moved.until]
        return Renaming(fold_on(Model(moved.other), events, counts, origin_in(log, is_signed, above | {place})))

    return look_up


def event_key(name: str, seq: int) -> str:
    """The key of an event in the store."""
    return EntryKey(log_of(name), seq).key


def read_if_whole(log: Log, name: str, is_signed: IsSigned | None = None) -> Model:
    """The same for readers that go on without the registry: of a broken log, `Model.problem` says what is wrong."""
    try:
        return read_model(log, name, is_signed)
    except BrokenLog as broken:
        return Model(name, problem=broken.message)
    except RecordError as unreadable:
        return Model(name, problem=unreadable.message)
