"""What the store itself keeps beside the log: states for new readers, and the head as its last writer noted it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import BrokenLog, StoreError
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import log_of
from ciplug.records.read import registry_event
from ciplug.records.registry_labels import Tag
from ciplug.registry import ledger, stored_checkpoints
from ciplug.registry.events import wrap
from ciplug.registry.reading import read
from ciplug.steps.fsck import accept_registry
from ciplug.steps.promotion import labels
from ciplug.steps.pull import pull, version_name
from ciplug.steps.registered_model import read_model
from ciplug.steps.registry_checks import check_model
from ciplug.steps.session import Session, open_session
from ciplug.stores.base import KeepsStates
from tests.project import Project, git
from tests.team import STAMP, Team, team_in

LOG = log_of("wine")


@pytest.fixture(params=["folder", pytest.param("git", marks=pytest.mark.slow)])
def team(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    """A model with nine events, and a state after each fourth."""
    monkeypatch.setattr(stored_checkpoints, "EVERY", 4)
    team = team_in(tmp_path)
    if request.param == "git":
        git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
        env = {**team.session.env, "CIPLUG_STORE": f"git+file://{tmp_path / 'remote.git'}"}
        team.session = open_session(cwd=team.project.folder, env=env)
        team.keep(b"abc", "model.bin")
    team.promote(run=team.judged().id)
    for number in range(7):
        labels.set_tag(team.session.refreshed(), "wine", 1, "number", str(number))
    return team


def stranger(team: Team, tmp_path: Path) -> Session:
    """A session of a clone that has read nothing."""
    names = [path.name for path in tmp_path.glob("clone-*")]
    folder = tmp_path / f"clone-{len(names)}"
    git(tmp_path, "clone", "-q", str(team.project.folder), str(folder))
    return open_session(cwd=folder, env=team.session.env)


def counted(session: Session) -> list[int]:
    """Numbers of the entries that are read of the store from now on."""
    store: Any = session.store
    entries, seen = store.entries, []

    def counting(log: str, after: int = 0, until: int | None = None) -> Any:
        found = entries(log, after, until)
        seen.extend(range(after + 1, after + 1 + len(found)))
        return found

    store.entries = counting
    return seen


def test_a_new_clone_reads_the_last_events_only(team: Team, tmp_path: Path) -> None:
    session = stranger(team, tmp_path)
    seen = counted(session)
    model = read_model(session, "wine")
    assert min(seen) == 8 and model == read(team.session.refreshed().log, "wine").model
    # It keeps the state for itself, and writes the next one of the store.
    labels.set_tag(session, "wine", 1, "number", "last")
    later = session.refreshed()
    assert read_model(later, "wine").version(1).tags["number"] == "last"
    for number in range(4):
        labels.set_tag(session.refreshed(), "wine", 1, "number", str(number))
    fresh = stranger(team, tmp_path)
    assert min(seen := counted(fresh) or [0]) == 0
    read_model(fresh, "wine")
    assert check_model(fresh.refreshed(), "wine").problems == []


def forge(team: Team, change: Callable[[bytes], bytes]) -> bytes:
    """As who may push: a state of one's own, and an event that names it."""
    log = team.session.refreshed().log
    assert isinstance(log, KeepsStates)
    found = ledger.read(log, "wine")
    assert found.head
    model = read(log, "wine").model
    data = change(stored_checkpoints.encode(model, found.head, stored_checkpoints.key_of({})))
    event = wrap(Tag(version=1, key="harmless", value="yes"), model="wine", created=STAMP)
    ledger.append(log, found, replace(event, state=digest(data)))
    log.put_state(LOG, data)
    return data


def test_a_state_that_the_events_do_not_make_is_found_by_verify(team: Team, tmp_path: Path) -> None:
    forge(team, lambda data: data.replace(b'"number":"6"', b'"number":"9"'))
    session = stranger(team, tmp_path)
    assert read_model(session, "wine").version(1).tags["number"] == "9"
    (problem,) = check_model(session.refreshed(), "wine").problems
    assert "the state after event 9 of 'wine' that the store keeps is not what its events make" in problem.what
    # Who has read the log goes on from what it has read.
    assert read_model(team.session.refreshed(), "wine").version(1).tags["number"] == "6"


def test_a_changed_byte_of_the_state_is_found_and_changes_nothing(team: Team, tmp_path: Path) -> None:
    log = team.session.refreshed().log
    assert isinstance(log, KeepsStates)
    data = log.state(LOG)
    assert data
    due = read_model(team.session.refreshed(), "wine")
    log.put_state(LOG, data.replace(b'"Staging"', b'"Stagimg"', 1))
    session = stranger(team, tmp_path)
    assert read_model(session, "wine") == due
    (problem,) = check_model(session.refreshed(), "wine").problems
    assert "not one that an event of it names" in problem.what


# The head, noted in a bucket


@pytest.fixture
def bucket(tmp_path: Path) -> Team:
    team = team_in(tmp_path)
    team.promote(run=team.judged().id)
    return team


def last_of(tmp_path: Path) -> Path:
    return max((tmp_path / "store" / "logs" / LOG).iterdir())


def changed(path: Path) -> None:
    path.write_bytes(dumps({**json.loads(path.read_bytes()), "actor": "somebody else"}))


@pytest.mark.parametrize("change", [changed, Path.unlink])
def test_a_clone_that_has_read_nothing_knows_the_head(
    bucket: Team, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    before = last_of(tmp_path).read_bytes()
    change(last_of(tmp_path))
    session = stranger(bucket, tmp_path)
    assert any("missing or were replaced" in problem.what for problem in check_model(session, "wine").problems)
    with pytest.raises(BrokenLog, match="missing or were replaced") as refused:
        pull(session.refreshed(), version_name("wine@v1"), tmp_path / "got", lock=tmp_path / "ciplug.lock")
    assert "ciplug fsck --accept-registry" in (refused.value.hint or "")
    with pytest.raises(StoreError, match="notes another head"):
        labels.set_alias(session.refreshed(), "wine", "champion", 1)
    # Somebody looks, and takes it as it is.
    (words,) = accept_registry(session.refreshed())
    assert "registry/wine" in words
    assert not any(
        "missing or were replaced" in problem.what for problem in check_model(session.refreshed(), "wine").problems
    )
    assert registry_event(before, "key").type == "promote"


def test_a_lock_file_still_fetches_from_a_log_that_lost_its_end(bucket: Team, tmp_path: Path) -> None:
    """What was deployed before can be deployed again, until somebody has decided."""
    name, lock = version_name("wine@staging"), tmp_path / "ciplug.lock"
    pull(bucket.session.refreshed(), name, tmp_path / "before", lock=lock)
    labels.set_alias(bucket.session.refreshed(), "wine", "champion", 1)
    last_of(tmp_path).unlink()
    session = stranger(bucket, tmp_path)
    with pytest.raises(BrokenLog, match="missing or were replaced"):
        pull(session.refreshed(), name, tmp_path / "after", lock=lock)
    pull(session.refreshed(), name, tmp_path / "after", lock=lock, locked=True)
    assert {p.name for p in (tmp_path / "after").iterdir()} == {p.name for p in (tmp_path / "before").iterdir()}
    # Not if the event of the lock file is lost as well.
    last_of(tmp_path).unlink()
    with pytest.raises(StoreError, match="went back"):
        pull(session.refreshed(), name, tmp_path / "again", lock=lock, locked=True)


def test_a_log_that_is_gone_is_missed(bucket: Team, tmp_path: Path) -> None:
    for path in (tmp_path / "store" / "logs" / LOG).iterdir():
        path.unlink()
    folder = tmp_path / "fresh"
    git(tmp_path, "clone", "-q", str(bucket.project.folder), str(folder))
    verified = Project(folder).ciplug("registry", "verify", "--store", bucket.session.store_uri, code=3)
    assert "missing or were replaced" in verified.stderr


def test_a_writer_that_was_killed_before_its_note_loses_nothing(bucket: Team, tmp_path: Path) -> None:
    note = next((tmp_path / "store" / "heads").rglob("*.json"))
    stale = note.read_bytes()
    labels.set_alias(bucket.session.refreshed(), "wine", "champion", 1)
    note.write_bytes(stale)
    session = stranger(bucket, tmp_path)
    assert check_model(session, "wine").problems == []
    labels.set_alias(session.refreshed(), "wine", "other", 1)
    assert json.loads(note.read_bytes())["seq"] == 4


def test_a_note_that_is_gone_is_missed(bucket: Team, tmp_path: Path) -> None:
    """Who takes away events, and the note of the last one with them."""
    labels.set_alias(bucket.session.refreshed(), "wine", "champion", 1)
    last_of(tmp_path).unlink()
    next((tmp_path / "store" / "heads").rglob("*.json")).unlink()
    session = stranger(bucket, tmp_path)
    assert any("missing or were replaced" in problem.what for problem in check_model(session, "wine").problems)
    with pytest.raises(BrokenLog, match="missing or were replaced"):
        pull(session.refreshed(), version_name("wine@v1"), tmp_path / "got", lock=tmp_path / "ciplug.lock")
    with pytest.raises(StoreError, match="or is gone"):
        labels.set_alias(session.refreshed(), "wine", "champion", 1)
    assert accept_registry(session.refreshed()) == ["registry/wine is not as its last writer has noted it"]
    assert check_model(session.refreshed(), "wine").problems == []
