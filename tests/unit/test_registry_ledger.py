"""The append-only log of a model: a chain over all events, whatever their type."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.errors import Conflict, RecordError, StoreError
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import log_of
from ciplug.records.registry_event import SCHEMA, RegistryEvent
from ciplug.registry import ledger
from ciplug.registry.reading import read_model
from ciplug.stores.base import Head
from tests.registry_samples import EVENTS


class Memory:
    """The log verbs of a store, in memory."""

    def __init__(self) -> None:
        self.held: dict[str, list[bytes]] = {}

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        return self.held.get(log, [])[after:until]

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        held = self.held.setdefault(log, [])
        now = Head(len(held), digest(held[-1])) if held else None
        if now != expected:
            raise Conflict("moved on", head=now)
        held.append(entry)
        return Head(len(held), digest(entry))

    def head(self, log: str) -> Head | None:
        held = self.held.get(log)
        return Head(len(held), digest(held[-1])) if held else None

    def logs(self, prefix: str) -> list[str]:
        return sorted(log for log in self.held if log.startswith(prefix))


@pytest.fixture
def log() -> Any:
    return Memory()


def written(log: Any, events: list[RegistryEvent]) -> ledger.Ledger:
    entries = ledger.read(log, "wine")
    for one in events:
        entries = ledger.append(log, entries, replace(one, seq=0, previous=None))
    return entries


def test_each_event_holds_the_digest_of_the_one_before(log: Any) -> None:
    entries = written(log, EVENTS)
    assert ledger.read(log, "wine") == entries
    assert [e.seq for e in entries.events] == [1, 2, 3, 4, 5, 6]
    assert entries.events[0].previous is None
    for before, after in zip(entries.events, entries.events[1:], strict=False):
        assert after.previous == digest(dumps(before))
    assert entries.head == Head(6, digest(dumps(entries.events[-1])))


def test_of_two_that_read_the_same_log_the_second_loses(log: Any) -> None:
    entries = written(log, EVENTS[:2])
    ledger.append(log, entries, EVENTS[2])
    with pytest.raises(Conflict):
        ledger.append(log, entries, EVENTS[2])


@pytest.mark.parametrize(("harm", "at"), [("drop", 3), ("swap", 2), ("change", 4), ("insert", 4), ("another model", 1)])
def test_a_chain_that_was_tampered_with_is_refused(log: Any, harm: str, at: int) -> None:
    written(log, EVENTS)
    (held,) = log.held.values()
    if harm == "drop":
        del held[2]
    elif harm == "swap":
        held[1], held[2] = held[2], held[1]
    elif harm == "change":
        held[2] = held[2].replace(b"Production", b"Staging")
    elif harm == "insert":
        held.insert(3, held[2])
    else:
        log.held = {log_of("other"): held}
    model = "other" if harm == "another model" else "wine"
    with pytest.raises(StoreError, match=f"the registry of '{model}' is broken at event {at}: "):
        ledger.read(log, model)


def future(log: Any, **changes: object) -> bytes:
    """The bytes of the next event, as a newer ciplug would write it."""
    head = log.head(log_of("wine"))
    value = {
        **{"schema": SCHEMA, "seq": head.seq + 1, "previous": head.digest, "type": "freeze", "model": "wine"},
        **{"created": "2027-01-01T00:00:00.000Z", "payload": {"version": 1}},
        **changes,
    }
    return json.dumps({name: field for name, field in value.items() if field is not None}).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schema": SCHEMA + 1},
        {"schema": SCHEMA + 1, "created": None, "payload": [1, 2], "actor": {"id": 7}},
        {"signature": "x" * 100},
    ],
)
def test_the_chain_is_verified_over_events_of_the_future(log: Any, changes: dict[str, object]) -> None:
    written(log, EVENTS[:3])
    entry = future(log, **changes)
    log.append(log_of("wine"), log.head(log_of("wine")), entry)
    entries = ledger.read(log, "wine")
    assert (entries.events[-1].type, entries.events[-1].seq) == ("freeze", 4)
    assert entries.head == Head(4, digest(entry))
    # What follows it holds the digest of all its bytes, those that are not understood among them.
    entries = ledger.append(log, entries, EVENTS[3])
    assert entries.events[-1].previous == digest(entry)
    assert [v.stage for v in read_model(log, "wine").versions] == ["Production", "None"]
    (held,) = log.held.values()
    held[3] = held[3].replace(b"freeze", b"melted")
    with pytest.raises(StoreError, match="broken at event 5"):
        ledger.read(log, "wine")


@pytest.mark.parametrize("changes", [{"previous": "sha256:0"}, {"seq": 9}, {"seq": 1}, {"model": "beer"}])
@pytest.mark.parametrize("schema", [SCHEMA, SCHEMA + 1])
def test_an_event_of_the_future_that_does_not_follow_breaks_the_chain(
    log: Any, changes: dict[str, object], schema: int
) -> None:
    written(log, EVENTS[:3])
    log.append(log_of("wine"), log.head(log_of("wine")), future(log, schema=schema, actor=[], **changes)
               if schema > SCHEMA else future(log, **changes))  # fmt: skip
    with pytest.raises(StoreError, match="broken at event 4"):
        ledger.read(log, "wine")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (b"{}", "seq: Field required"),
        (b"[]", "the record"),
        (b'{"schema":2}', "seq: Field required"),
        (b'{"schema":"2","seq":1,"type":"x","model":"wine"}', "schema"),
        (b'{"schema":1,"seq":1,"type":"x","model":"wine","payload":[]}', "payload"),
    ],
)
def test_what_is_not_an_event_names_the_entry(log: Any, entry: bytes, says: str) -> None:
    log.held[log_of("wine")] = [entry]
    with pytest.raises(RecordError, match=r"^registry/wine/000001(\.json)?: ") as caught:
        ledger.read(log, "wine")
    assert says in caught.value.message


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda name: name.strip()))
def test_every_name_is_one_component_of_a_key_and_is_found_again(name: str) -> None:
    log: Any = Memory()
    ledger.append(log, ledger.Ledger((), None), replace(EVENTS[0], model=name))
    assert ledger.models(log) == [name]
    assert log_of(name).count("/") == 1 and log_of(name).partition("/")[2] not in ("", ".", "..")


def test_the_last_events_are_those_above_a_number(log: Any) -> None:
    written(log, EVENTS[:3])
    for after, due in ((0, [1, 2, 3]), (1, [2, 3]), (3, []), (9, [1, 2, 3])):
        assert [event.seq for event in ledger.last(log, "wine", after).events] == due
