"""The history of a model: its last events with the words of their verdicts, and its state at a time of the past."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, NamedTuple

from ciplug.errors import RecordError, UsageError
from ciplug.records import moment, read
from ciplug.records.keys import log_of
from ciplug.records.registry_event import Promote, RegistryEvent
from ciplug.registry import ledger
from ciplug.registry.model import Model
from ciplug.steps.registered_model import read_past, read_registry
from ciplug.steps.session import Session, stamp


class PastEvent(NamedTuple):
    """An event of a model."""

    event: RegistryEvent
    outcome: str | None
    """The word of the verdict that it stands on."""


class History(NamedTuple):
    """The last events of a model, first to last."""

    model: Model
    events: tuple[PastEvent, ...]
    earlier: int
    """How many events there are before them."""


def history(session: Session, name: str, most: int | None = None) -> History:
    """The last events of a model, at most so many; None: all. They are verified up to the head of the log."""
    model, log, _ = read_registry(session, name)
    count = log.head.seq if log.head else 0
    start = max(count - most, 0) if most is not None else 0
    events = ledger.last(session.log, name, start).events
    words = _outcomes(session, events)
    past = tuple(PastEvent(event, words.get(event.seq)) for event in events)
    return History(model, past, start)


def _outcomes(session: Session, events: Sequence[RegistryEvent]) -> dict[int, str]:
    """Number of an event → word of its verdict. What an older ciplug wrote does not name it: its verdict is read."""
    words = {event.seq: word for event in events if isinstance(word := event.payload.get("outcome"), str)}
    older = {
        event.seq: key
        for event in events
        if event.seq not in words
        and event.type == Promote.type
        and isinstance(key := event.payload.get("verdict"), str)
    }
    verdicts = session.store.read(older.values()) if older else {}
    for seq, key in older.items():
        with suppress(RecordError, KeyError):
            words[seq] = read.verdict(verdicts[key], key).outcome
    return words


def stored(session: Session, name: str, most: int | None = None) -> list[Any]:
    """The last events as they are stored, with fields that this ciplug does not know."""
    log = read_registry(session, name).ledger
    count = log.head.seq if log.head else 0
    start = max(count - most, 0) if most is not None else 0
    return [json.loads(entry) for entry in session.log.entries(log_of(name), start)]


class PastState(NamedTuple):
    """The state of a model at a time of the past."""

    model: Model
    event: int
    """The number of the last event that was made until then; 0: there was none."""
    later: int
    """How many of the events up to that one say that they were made later: a clock was wrong."""


def state_at(session: Session, name: str, text: str) -> PastState:
    """The state of a model after the last event that was made until a time. Raises UsageError for what is not a time.

    The order of the events decides, not their clocks: those before that event count, whatever time they carry.
    """
    until = stamp(time_of(text))
    _, log, times = read_registry(session, name, with_times=True)
    times = times or ()
    seq = next((number for number in range(len(times), 0, -1) if times[number - 1] <= until), 0)
    if not seq or log.head is None:
        return PastState(Model(name), 0, 0)
    later = sum(1 for time in times[:seq] if time > until)
    return PastState(read_past(session, name, seq, log.head), seq, later)


def time_of(text: str) -> datetime:
    """A time that a user gives: a date, or a date and a time; without an offset in UTC. Raises UsageError."""
    try:
        time = moment.parse(text)
    except ValueError:
        raise UsageError(f"'{text}' is not a time", hint="like 2026-11-23, or 2026-11-23T12:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
