"""Entries that a log has lost, and that the store still keeps: shown, and put back only when somebody asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ciplug.errors import CiplugError
from ciplug.records.canonical import digest
from ciplug.records.keys import log_of, model_of, parse_entry
from ciplug.records.registry_event import Promote, Register, RegistryEvent
from ciplug.registry.events import payload_of
from ciplug.reports.untrusted import clean
from ciplug.steps.session import Session
from ciplug.stores.base import KeepsEntries, NoticesLoss


class KeptEntry(NamedTuple):
    """An entry that the registry has lost."""

    key: str
    data: bytes
    words: str
    """One sentence on what it says, and who it says that wrote it."""


def kept_entries(session: Session) -> list[KeptEntry]:
    """The entries that the logs of the store have lost, in order; none where the store keeps none."""
    store = session.store
    if not isinstance(store, KeepsEntries):
        return []
    return [KeptEntry(key, data, _words(key, data)) for key, data in store.kept_entries().items()]


def lost_models(session: Session, *models: str) -> list[str]:
    """Those of these models, or of all, whose log the store itself knows to have lost events, or to have other ones.

    A git store keeps the entries, and a bucket notes the head.
    """
    store = session.store
    return [model_of(log) for log in store.lost_logs(*map(log_of, models))] if isinstance(store, NoticesLoss) else []


def put_back(session: Session, entries: Sequence[KeptEntry]) -> None:
    """Append them to the logs that they are of. Raises Conflict where the store has changed since they were read."""
    if entries and isinstance(session.store, KeepsEntries):
        session.store.restore_entries({entry.key: entry.data for entry in entries})


def _words(key: str, data: bytes) -> str:
    from ciplug.records import read

    place = parse_entry(key)
    where = f"event {place.seq} of '{clean(model_of(place.log), 80)}'" if place else clean(key, 200)
    try:
        event = read.registry_event(data, key)
        return f"{where}: {_what(event)}, by {clean(event.actor or 'nobody', 60)}, {digest(data)[:19]}"
    except CiplugError:
        return f"{where}: it cannot be read, {digest(data)[:19]}"


def _what(event: RegistryEvent) -> str:
    payload = payload_of(event)
    if isinstance(payload, Register):
        return f"register version {payload.version}, run {clean(payload.run or '-', 12)}"
    if isinstance(payload, Promote):
        evidence = "with a verdict" if payload.verdict else "without a verdict"
        return f"promote version {payload.version} to {clean(payload.stage, 40)} {evidence}"
    return clean(event.type, 40)
