"""The state of a model, read from its log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ciplug.errors import BrokenLog, Cause, RecordError
from ciplug.registry import ledger, stored_checkpoints
from ciplug.registry.ledger import Ledger
from ciplug.registry.local_checkpoints import EVERY, STALE, Snapshot, Snapshots
from ciplug.registry.model import Model
from ciplug.stores.base import Head, Log

if TYPE_CHECKING:
    # What events do is imported once there is one: most jobs read a store without a registry.
    from ciplug.records.registry_event import RegistryEvent
    from ciplug.records.registry_labels import MovedFrom
    from ciplug.registry.replay import IsSigned, Origin, Renaming


class Reading(NamedTuple):
    """The state of a model, and the place in its log where the next event goes."""

    model: Model
    ledger: Ledger
    """Its head is that of the log; its events may be only the last ones."""
    times: Sequence[str] | None
    """When each event was made, first to last; None where they were not asked for, and not all events were read."""


def read(
    log: Log,
    name: str,
    is_signed: IsSigned | None = None,
    snapshots: Snapshots | None = None,
    *,
    signers: str | None = None,
    with_times: bool = False,
) -> Reading:
    """The state of a model in a store's logs; without versions where the registry does not have it.

    The chain is verified from the last state that this clone keeps, else from the one that the store keeps, else from
    the first event. Raises BrokenLog for a log whose chain is broken.

    Args:
        signers: changes with the signers whose events count; None: no state of the store is read.
        with_times: when each event was made is asked for, so that no state of the store is enough.
    """
    start = snapshots.newest(name) if snapshots else None
    is_first = start is None
    tail: Ledger | None = None
    if start is not None and not (with_times and start.times is None):
        tail = _tail(log, name, start, is_signed)
    if tail is None and signers is not None and not with_times:
        found = stored_checkpoints.read(log, name, signers, is_signed)
        if found is not None:
            start, tail = Snapshot(found.model, found.head, None), found.tail
    if start is None or tail is None:
        start, tail = Snapshot(Model(name), Head(0, "")), ledger.read(log, name)
    return _fold(log, start, tail, is_signed, snapshots, is_first=is_first)


def _tail(log: Log, name: str, start: Snapshot, is_signed: IsSigned | None) -> Ledger | None:
    """The events after a state of this clone; None where it is not to be read on from."""
    try:
        tail = ledger.read(log, name, start.head)
    except BrokenLog:
        return None
    return None if is_signed and tail.vouches else tail


def _fold(
    log: Log, start: Snapshot, tail: Ledger, is_signed: IsSigned | None, snapshots: Snapshots | None, *, is_first: bool
) -> Reading:
    """Fold the events after a state, and keep the states of the way that are worth it.

    Args:
        is_first: this clone keeps no state yet. Then the last one is kept however short the log is: from now on this
            clone goes on from what it has read, and takes no other state from the store.
    """
    model = start.model
    if tail.events:
        from ciplug.registry.replay import after, counting

        counts, origin = counting(tail.events, is_signed), origin_in(log, is_signed)
        end = tail.head.digest if tail.head else None
        digests = [*(event.previous for event in tail.events[1:]), end]
        for event, own in zip(tail.events, digests, strict=False):
            model = after(model, event, counts=event.seq in counts, origin=origin)
            if snapshots and own and event.seq % EVERY == 0 and not model.awaits:
                snapshots.keep(Snapshot(model, Head(event.seq, own)), newest=False)
    times = None if start.times is None else [*start.times, *(event.created for event in tail.events)]
    # A renaming that is half written may still change what came before.
    if snapshots and tail.head and not model.awaits and (is_first or len(tail.events) >= STALE):
        snapshots.keep(Snapshot(model, tail.head, times), newest=True)
    return Reading(model, tail, times)


def read_at(
    log: Log, name: str, seq: int, head: Head, is_signed: IsSigned | None = None, snapshots: Snapshots | None = None
) -> Model:
    """The state of a model after one of its events.

    Args:
        head: the head of the log, which was verified.
    """
    from ciplug.registry.replay import counting, fold_on

    before, beyond = snapshots.around(name, seq) if snapshots else (None, None)
    if before is None or before.head.seq > seq:
        before = None
    end = beyond or head
    try:
        events = ledger.read(log, name, before.head if before else None, end).events
    except BrokenLog:
        before, events = None, ledger.read(log, name).events
    if is_signed and (before or beyond):
        # Events that a later one vouches for count by that later one.
        before, events = None, ledger.read(log, name).events
    start = before.model if before else Model(name)
    return fold_on(start, _until(events, seq), counting(events, is_signed), origin_in(log, is_signed))


def _until(events: Sequence[RegistryEvent], seq: int) -> list[RegistryEvent]:
    return [event for event in events if event.seq <= seq]


def read_model(log: Log, name: str, is_signed: IsSigned | None = None) -> Model:
    """The state of a model, from its first event."""
    return read(log, name, is_signed).model


def origin_in(log: Log, is_signed: IsSigned | None, above: frozenset[tuple[str, int]] = frozenset()) -> Origin:
    """What looks up the renamings of a log, in the other logs of the store.

    Args:
        above: the logs that are being read, up to which event: none of them may be needed again.
    """

    from ciplug.records.registry_labels import MovedTo
    from ciplug.registry.replay import Renaming, counting, fold_on

    def look_up(name: str, moved: MovedFrom) -> Renaming:
        place = (moved.other, moved.until)
        if place in above:
            raise BrokenLog(f"the registry of '{name}' is broken: its renamings are a circle", cause=Cause.DAMAGED)
        other = ledger.read(log, moved.other)
        if len(other.events) < moved.until or moved.until < 1:
            return Renaming(None)
        if len(other.events) == moved.until:
            return Renaming(None, pending=other.head == Head(moved.until, moved.digest))
        confirms = other.events[moved.until]
        if confirms.type != MovedTo.type or confirms.previous != moved.digest or confirms.payload.get("other") != name:
            return Renaming(None)
        counts = counting(other.events, is_signed)
        if confirms.seq not in counts:
            return Renaming(None)
        events = other.events[: moved.until]
        return Renaming(fold_on(Model(moved.other), events, counts, origin_in(log, is_signed, above | {place})))

    return look_up


def read_if_whole(
    log: Log,
    name: str,
    is_signed: IsSigned | None = None,
    snapshots: Snapshots | None = None,
    signers: str | None = None,
) -> Model:
    """The same for readers that go on without the registry: of a broken log, `Model.problem` says what is wrong."""
    try:
        return read(log, name, is_signed, snapshots, signers=signers).model
    except BrokenLog as broken:
        return Model(name, problem=broken.message)
    except RecordError as unreadable:
        return Model(name, problem=unreadable.message)
