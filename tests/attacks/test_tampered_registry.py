"""A byte is changed in the log, in the record of a version, or in a verdict: `ciplug registry verify` finds it."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import CiplugError
from ciplug.records.keys import EntryKey, log_of, run_key
from ciplug.registry.events import payload_of
from ciplug.steps import history
from ciplug.steps.promotion import labels, moves
from ciplug.steps.promotion.rollback import roll_back
from ciplug.steps.registered_model import read_registry
from ciplug.steps.registry_checks import check_model
from tests.team import Team, team_in

TIMES = int(os.environ.get("CIPLUG_TEST_TAMPERINGS", "1000"))


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """A model with an event of each kind that a command writes."""
    team = team_in(tmp_path)
    for number in (1, 2):
        team.promote(run=team.judged(accuracy=0.9 + number / 100).id)
        team.promote("production", version=number)
    session = team.session.refreshed()
    roll_back(session, "wine", "production", "slow")
    moves.demote(session, "wine", start="production", to="none")
    labels.set_alias(session, "wine", "champion", 1)
    labels.set_tag(session, "wine", 1, "team", "a")
    labels.describe(session, "wine", None, "reds")
    moves.archive(session, "wine", 2)
    moves.yank(session, "wine", 2, "leaks")
    return team


def evidence(team: Team) -> dict[str, bytes]:
    """What the registry stands on by key: its events, the records of its versions, the verdicts."""
    session = team.session.refreshed()
    payloads = [payload_of(past.event) for past in history.history(session, "wine").events]
    verdicts = [payload.verdict for payload in payloads if payload.type == "promote"]
    records = [run_key(session.runs().at(one.commit, one.run)).key for one in payloads if one.type == "register"]
    events = session.store.keys(f"{log_of('wine')}/")
    return session.store.read([*events, *verdicts, *records])


def is_found(team: Team, key: str = "", data: bytes = b"") -> bool:
    """Whether `verify` names a problem where the store has other bytes under a key."""
    session = team.session.refreshed()
    store: Any = session.store
    read, entries = store.read, store.entries

    def changed(found: dict[str, bytes]) -> dict[str, bytes]:
        return {one: data if one == key else content for one, content in found.items()}

    def all_entries(log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        found = {EntryKey(log, seq).key: one for seq, one in enumerate(entries(log), 1)}
        return list(changed(found).values())[after:until]

    store.read, store.entries = lambda keys: changed(read(keys)), all_entries
    try:
        return bool(check_model(session, "wine").problems)
    except CiplugError:
        return True


def tamper(team: Team, times: int, seed: int) -> None:
    chance = random.Random(seed)
    contents = evidence(team)
    assert not is_found(team)
    for _ in range(times):
        key, data = chance.choice(list(contents.items()))
        at = chance.randrange(len(data))
        other = chance.choice([byte for byte in range(256) if byte != data[at]])
        assert is_found(team, key, data[:at] + bytes([other]) + data[at + 1 :]), f"{key}: byte {at} became {other}"


@pytest.mark.slow
def test_any_byte_of_the_evidence(team: Team) -> None:
    tamper(team, 40, 1)


@pytest.mark.slow
def test_a_thousand_bytes_of_the_evidence(team: Team) -> None:
    """CIPLUG_TEST_TAMPERINGS=10000 tries as many."""
    tamper(team, TIMES, 2)


@pytest.mark.slow
def test_a_damaged_cache_of_this_clone_is_not_believed(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciplug.registry.reading.STALE", 1)
    due = read_registry(team.session.refreshed(), "wine").model
    (file,) = (team.project.folder / ".git" / "ciplug" / "registry").rglob("newest.state")
    data = file.read_bytes()
    chance = random.Random(3)
    for _ in range(40):
        at = chance.randrange(len(data))
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert read_registry(team.session.refreshed(), "wine").model == due
    file.write_bytes(data)
    assert read_registry(team.session.refreshed(), "wine").model == due


def test_the_cache_does_not_hide_that_the_log_was_rewritten(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciplug.registry.reading.STALE", 1)
    read_registry(team.session.refreshed(), "wine")
    entries = team.session.refreshed().log.entries(log_of("wine"))
    for path in (team.project.folder.parent / "store").rglob("*"):
        if path.is_file() and path.read_bytes() == entries[-1]:
            path.write_bytes(entries[-1].replace(b"leaks", b"works"))
    with pytest.raises(CiplugError, match="went back"):
        read_registry(team.session.refreshed(), "wine")
