"""States that a clone keeps: reading on from them is reading everything."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.registry import MODEL, events
from ciplug.errors import BrokenLog
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import log_of
from ciplug.records.read import registry_event
from ciplug.records.registry_event import RegistryEvent, Vouch
from ciplug.registry import ledger, local_checkpoints, reading
from ciplug.registry.events import wrap
from ciplug.registry.local_checkpoints import Snapshots
from ciplug.registry.reading import read, read_at
from ciplug.registry.replay import fold
from ciplug.stores.base import Head
from tests.registry_samples import STAMP

ENTRIES = list(events(60))


class Growing:
    """A log that counts what is read of it."""

    def __init__(self, entries: list[bytes]) -> None:
        self.held = entries
        self.read = 0

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        found = self.held[after:until] if log == log_of(MODEL) else []
        self.read += len(found)
        return found

    def head(self, log: str) -> Head | None:
        return Head(len(self.held), digest(self.held[-1])) if self.held else None

    def logs(self, prefix: str) -> list[str]:
        return [log_of(MODEL)]

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        self.held = [*self.held, entry]
        return Head(len(self.held), digest(entry))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Snapshots:
    for module in (reading, local_checkpoints):
        monkeypatch.setattr(module, "EVERY", 8)
    monkeypatch.setattr(reading, "STALE", 3)
    return Snapshots(tmp_path / "not" / "there" / "yet", "key")


def of(entries: list[bytes]) -> list[RegistryEvent]:
    return [registry_event(data, "key") for data in entries]


def test_reading_on_is_reading_everything(kept: Snapshots) -> None:
    log = Growing([])
    for count in (1, 2, 5, 8, 9, 17, 40, 59, 60):
        log.held = ENTRIES[:count]
        found = read(log, MODEL, snapshots=kept)
        assert found.model == fold(MODEL, of(ENTRIES[:count]))
        assert found.ledger.head == Head(count, digest(ENTRIES[count - 1]))
        assert list(found.times) == [event.created for event in of(ENTRIES[:count])]


def test_a_long_log_is_read_from_its_end(kept: Snapshots) -> None:
    log = Growing(ENTRIES)
    read(log, MODEL, snapshots=kept)
    log.read = 0
    read(log, MODEL, snapshots=kept)
    assert log.read == 1, "the entry that the kept state ends with"


@pytest.mark.slow
def test_every_state_of_the_past(kept: Snapshots) -> None:
    log = Growing(ENTRIES)
    head = read(log, MODEL, snapshots=kept).ledger.head
    assert head is not None
    for seq in range(1, 61):
        log.read = 0
        assert read_at(log, MODEL, seq, head, snapshots=kept) == fold(MODEL, of(ENTRIES[:seq]))
        assert log.read <= 9
        assert read_at(log, MODEL, seq, head) == fold(MODEL, of(ENTRIES[:seq]))


def test_another_past_is_not_read_on(kept: Snapshots) -> None:
    read(Growing(ENTRIES), MODEL, snapshots=kept)
    other = list(events(50))
    assert read(Growing(other), MODEL, snapshots=kept).model == fold(MODEL, of(other)), "shorter: read from its start"
    broken = [*ENTRIES[:59], ENTRIES[59].replace(b"champion", b"champoin")]
    assert read(Growing(broken), MODEL, snapshots=kept).model.aliases == {"champion": 11, "champoin": 12}
    with pytest.raises(BrokenLog, match="broken at event 31"):
        read(Growing([*ENTRIES[:29], ENTRIES[29].replace(b"{", b"{ ", 1), *ENTRIES[30:50]]), MODEL, snapshots=kept)


def test_a_state_of_other_signers_or_another_version_is_not_used(kept: Snapshots, tmp_path: Path) -> None:
    read(Growing(ENTRIES), MODEL, snapshots=kept)
    log = Growing(ENTRIES)
    read(log, MODEL, snapshots=Snapshots(tmp_path, "other key"))
    assert log.read == 60


def test_who_vouches_later_changes_what_came_before(kept: Snapshots) -> None:
    log = Growing(ENTRIES[:40])
    assert read(log, MODEL, lambda event: False, kept).model.versions == ()
    vouch = wrap(Vouch(until=40), model=MODEL, created=STAMP)
    ledger.append(log, ledger.read(log, MODEL), vouch)
    found = read(log, MODEL, lambda event: event.type == "vouch", kept).model
    assert found.versions == fold(MODEL, of(ENTRIES[:40])).versions


@pytest.mark.parametrize("seq", [5, 12, 37])
def test_who_vouches_later_changes_what_was_before_a_past_event(kept: Snapshots, seq: int) -> None:
    log = Growing(ENTRIES[:40])

    def is_signed(event: RegistryEvent) -> bool:
        return event.type == "vouch"

    read(log, MODEL, is_signed, kept)
    ledger.append(log, ledger.read(log, MODEL), wrap(Vouch(until=40), model=MODEL, created=STAMP))
    head = log.head(log_of(MODEL))
    assert head
    assert read_at(log, MODEL, seq, head, is_signed, kept) == read_at(log, MODEL, seq, head, is_signed)


def test_a_damaged_file_does_not_exist(kept: Snapshots, tmp_path: Path) -> None:
    due = read(Growing(ENTRIES), MODEL, snapshots=kept).model
    chance = random.Random(1)
    for file in tmp_path.rglob("*.state"):
        data = file.read_bytes()
        at = chance.randrange(len(data))
        file.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    assert kept.newest(MODEL) is None
    assert kept.around(MODEL, 20) == (None, None)
    assert read(Growing(ENTRIES), MODEL, snapshots=kept).model == due


def test_an_event_is_read_the_same_by_both_ways() -> None:
    for data in ENTRIES:
        spaced = data.replace(b'":', b'": ')
        assert registry_event(spaced, "key") == registry_event(data, "key")
        assert dumps(registry_event(data, "key")) == data
