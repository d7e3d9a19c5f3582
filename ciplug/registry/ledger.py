"""The registry's append-only log: one chain of events a model, each with the digest of the one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ciplug.errors import BrokenLog, Cause
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import EVERY_LOG, EntryKey, log_of, model_of
from ciplug.stores.base import Head, Log

if TYPE_CHECKING:
    from ciplug.records.registry_event import RegistryEvent


def models(log: Log) -> list[str]:
    """Names of the models that have an event."""
    return sorted(map(model_of, log.logs(EVERY_LOG)))


class Ledger(NamedTuple):
    """Events of a model in order, all of them or the last ones, and the head of the log that holds them."""

    events: tuple[RegistryEvent, ...]
    head: Head | None

    @property
    def vouches(self) -> bool:
        """Whether one of its events vouches for earlier ones, which changes what they did."""
        if not self.events:
            return False
        from ciplug.records.registry_event import Vouch

        return any(event.type == Vouch.type for event in self.events)


def read(log: Log, model: str, after: Head | None = None, until: Head | None = None) -> Ledger:
    """The log of a model, its chain verified over all events that are read, whatever their type.

    Raises BrokenLog naming the first event that does not follow from the one before, RecordError for one that cannot
    be read.

    Args:
        after: a head of the log that was verified before; only the events after it are read.
        until: another one: only the events up to it are read, and they must end with it.
    """
    from ciplug.records import read as records

    events: list[RegistryEvent] = []
    head = after
    entries = log.entries(log_of(model), after.seq - 1 if after else 0, until.seq if until else None)
    if after and (not entries or digest(entries.pop(0)) != after.digest):
        raise _broken(model, after.seq, "it is not the one that was verified before")
    for number, data in enumerate(entries, start=after.seq + 1 if after else 1):
        event = records.registry_event(data, EntryKey(log_of(model), number).key)
        if event.seq != number or event.previous != (head.digest if head else None) or event.model != model:
            raise _broken(model, number, "it does not follow from the one before")
        events.append(event)
        head = Head(number, digest(data))
    if until and head != until:
        raise _broken(model, until.seq, "it is not the one that was verified before")
    return Ledger(tuple(events), head)


def last(log: Log, model: str, after: int) -> Ledger:
    """The events with a number above `after`, each verified to follow from the one before, up to the head of the log.

    Their beginning hangs on nothing but their own digests: whoever knows the head knows that all of them are its past.
    """
    entries = log.entries(log_of(model), after - 1, after) if after else []
    if not entries:
        return read(log, model)
    return read(log, model, Head(after, digest(entries[0])))


def _broken(model: str, number: int, why: str) -> BrokenLog:
    return BrokenLog(
        f"the registry of '{model}' is broken at event {number}: {why}",
        hint="compare the log with another clone's: no event is ever changed or removed",
        cause=Cause.DAMAGED,
    )


def append(
    log: Log,
    ledger: Ledger,
    event: RegistryEvent,
    sign: Callable[[RegistryEvent], RegistryEvent] | None = None,
) -> Ledger:
    """Append `event` to the log; its number and the digest of the event before it are filled in, then it is signed.

    Raises Conflict when another event was appended since the ledger was read.
    """
    placed = replace(
        event,
        seq=ledger.head.seq + 1 if ledger.head else 1,
        previous=ledger.head.digest if ledger.head else None,
    )
    if sign is not None:
        placed = sign(placed)
    return Ledger((*ledger.events, placed), log.append(log_of(event.model), ledger.head, dumps(placed)))
