"""A run whose answer is lost is sent again, whatever becomes of its files meanwhile: nothing is lost, nothing stuck."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ciplug.capture import artifacts
from ciplug.capture.sealed import Sealed
from ciplug.errors import StoreError
from ciplug.steps.inputs import Inputs
from ciplug.steps.record import begin, finish
from ciplug.steps.send import send
from ciplug.steps.session import Session, open_session
from tests.file_samples import noise, sha
from tests.project import Project

FIRST, SECOND = noise(3000, 1), noise(3000, 2)
INPUTS = Inputs(model="wine", artifacts=(Path("model.bin"),))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.with_remote(tmp_path)
    (made.folder / ".gitignore").write_text("metrics.json\nmodel.bin\n")
    made.commit("ignore the model")
    made.push()
    return made


def train(session: Session, model: bytes) -> str:
    """A training that writes its model into the file that is there, and is recorded but not sent; returns its id."""
    with (session.cwd / "model.bin").open("r+b" if (session.cwd / "model.bin").exists() else "wb") as file:
        file.write(model)
    return finish(session, begin(session, INPUTS), INPUTS, status="finished").run.id


class Lost(Exception):
    """The process ended before it could act on the answer."""


def sent_without_an_answer(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The push lands, and the process that made it never knows."""

    def killed(_: Sealed) -> None:
        raise Lost

    with monkeypatch.context() as patched:
        patched.setattr(Sealed, "discard", killed)
        with pytest.raises(Lost):
            send(session)


def artifact_of(project: Project, run: str) -> Any:
    return project.json("runs", "show", run, "--json")["artifacts"][0]


def test_the_next_training_writes_over_the_model_in_place(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = open_session(cwd=project.folder)
    first = train(session, FIRST)
    sent_without_an_answer(session, monkeypatch)
    second = train(open_session(cwd=project.folder), SECOND)
    project.ciplug("record", "--spooled")
    project.ciplug("runs", "list")
    for run, model in ((first, FIRST), (second, SECOND)):
        assert artifact_of(project, run)["store"] == "git:"
        project.ciplug("pull", run, "model.bin", "--to", str(tmp_path / run))
        assert (tmp_path / run / "model.bin").read_bytes() == model
    assert not list((project.folder / ".git/ciplug/spool").glob("*/sealed.json"))


def test_waiting_bytes_are_no_link_to_a_file_that_lives_on(project: Project) -> None:
    session = open_session(cwd=project.folder)
    run = train(session, FIRST)
    entry = session.spool.folder / run
    (project.folder / "model.bin").write_bytes(SECOND)
    assert (entry / "files" / sha(FIRST)[7:]).read_bytes() == FIRST


def test_what_the_store_has_is_not_lost_when_the_disk_had_no_room_for_a_copy(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    session = open_session(cwd=project.folder)
    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "freeze", full)
        first = train(session, FIRST)
        sent_without_an_answer(session, monkeypatch)
        never_sent = train(session, SECOND)
    (project.folder / "model.bin").write_bytes(b"the third")
    done = project.ciplug("record", "--spooled")
    assert "its content has changed since the run was recorded" in done.stderr
    assert artifact_of(project, first)["store"] == "git:"
    assert "store" not in artifact_of(project, never_sent)


def test_a_record_that_had_to_deny_its_bytes_is_sent_again_as_it_was(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file comes back between the two: the second sending must be the same bytes as the first."""
    session = open_session(cwd=project.folder)
    run = train(session, FIRST)
    (kept,) = (session.spool.folder / run / "files").iterdir()
    kept.unlink()
    (project.folder / "model.bin").write_bytes(SECOND)
    sent_without_an_answer(session, monkeypatch)
    (project.folder / "model.bin").write_bytes(FIRST)
    project.ciplug("record", "--spooled")
    assert "store" not in artifact_of(project, run)


def test_an_entry_that_the_store_can_never_take_is_set_aside_once(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder takes one content under a key; git takes each write, and names two claims of one key."""
    monkeypatch.setenv("CIPLUG_STORE", (tmp_path / "store").as_uri())
    session = open_session(cwd=project.folder)
    taken = train(session, FIRST)
    send(session)
    mine = train(session, SECOND)
    (key,) = read(session, mine)["objects"]
    session.store.add({key: b'{"another": "record"}'})
    with pytest.raises(StoreError, match="other content under the same key") as caught:
        send(open_session(cwd=project.folder))
    assert caught.value.hint and f"set aside in {session.spool.folder / mine}" in caught.value.hint
    assert (session.spool.folder / mine / "refused.json").exists()
    # No later command fails for it, and what it holds is still there.
    done = project.ciplug("run", "--", sys.executable, "train.py")
    assert "not sent" not in done.stderr
    assert artifact_of(project, taken)["digest"] == sha(FIRST)
    assert (session.spool.folder / mine / "refused.json").exists()
    assert "1 entry of the spool is set aside" in project.ciplug("doctor", code=None).stdout


def test_what_kills_left_behind_is_swept(project: Project) -> None:
    """Half-written files and folders of pushes; those of today may be somebody's who is at work."""
    project.ciplug("run", "--", sys.executable, "train.py")
    cache = project.folder / ".git/ciplug"
    old = [cache / "git/push-of-long-ago", cache / "spool/half-begun", cache / "spool/.bundle.ndjson.1.part"]
    new = [cache / "git/push-of-today", cache / "spool/just-begun", cache / "spool/.bundle.ndjson.2.part"]
    for path in (*old, *new):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if path.suffix == ".part" else path.mkdir()
    for path in old:
        os.utime(path, (time.time() - 7 * 86_400,) * 2)
    project.ciplug("run", "--", sys.executable, "train.py")
    assert not any(path.exists() for path in old) and all(path.exists() for path in new)


def read(session: Session, run: str) -> Any:
    return json.loads((session.spool.folder / run / "sealed.json").read_text())


@pytest.mark.skipif(sys.platform == "win32", reason="no permission bits")
def test_what_waits_is_for_its_owner_alone(project: Project) -> None:
    session = open_session(cwd=project.folder)
    run = train(session, FIRST)
    for path in [session.spool.folder / run, *(session.spool.folder / run).rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
