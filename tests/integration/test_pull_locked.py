"""`ciplug pull MODEL@STAGE`: the chain is verified, every file is checked, and a lock file repeats it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ciplug
from ciplug.errors import CiplugError, NotFound, PromotionRefused, Refusal, StoreError, UsageError
from ciplug.records.canonical import digest
from ciplug.records.keys import log_of
from ciplug.records.registry_event import Promote
from ciplug.registry import ledger
from ciplug.registry.events import wrap
from ciplug.registry.evidence_chain import Fault
from ciplug.steps.promotion import labels, moves
from ciplug.steps.promotion.rollback import roll_back
from ciplug.steps.pull import Pulled, pull, version_name
from tests.project import CONFIG, Project
from tests.servers.seaweedfs import S3
from tests.team import STAMP, Team, team_in


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Versions 1 and 2 were in production, one after the other."""
    team = team_in(tmp_path)
    for number in (1, 2):
        run = team.judged(accuracy=0.9 + number / 100, artifacts=(team.keep(b"model %d" % number, "model.bin"),))
        team.promote(run=run.id)
        team.promote("production", version=number)
    return team


def pulled(team: Team, name: str, to: Path, **named: Any) -> Pulled:
    return pull(team.session.refreshed(), version_name(name), to, lock=to.parent / "ciplug.lock", **named)


def refused(team: Team, kind: type[CiplugError], words: str, name: str, to: Path, **named: Any) -> CiplugError:
    """The refusal; nothing is written."""
    with pytest.raises(kind, match=words) as caught:
        pulled(team, name, to, **named)
    assert not (to / "model.bin").exists()
    return caught.value


def test_a_lock_repeats_what_was_pulled(team: Team, tmp_path: Path) -> None:
    done = pulled(team, "models:/wine@production", tmp_path / "a")
    assert (done.version.number, (tmp_path / "a" / "model.bin").read_bytes()) == (2, b"model 2")
    lock = json.loads((tmp_path / "ciplug.lock").read_text())
    entry = lock["models"]["wine@production"]
    assert (entry["version"], entry["event"], entry["run"]) == (2, 6, done.run.id)
    assert entry["digest"] == done.version.digest
    roll_back(team.session.refreshed(), "wine", "production", "slow")
    pulled(team, "wine@production", tmp_path / "locked", locked=True)
    assert (tmp_path / "locked" / "model.bin").read_bytes() == b"model 2"
    assert json.loads((tmp_path / "ciplug.lock").read_text()) == lock
    pulled(team, "wine@production", tmp_path / "b")
    assert (tmp_path / "b" / "model.bin").read_bytes() == b"model 1"
    refused(team, UsageError, "does not have wine@v2", "wine@v2", tmp_path / "c", locked=True)


def test_a_yanked_version_is_pulled_by_its_lock_alone(team: Team, tmp_path: Path) -> None:
    pulled(team, "wine@v1", tmp_path / "a")
    moves.yank(team.session.refreshed(), "wine", 1, "leaks")
    refusal = refused(team, PromotionRefused, "was yanked: leaks", "wine@v1", tmp_path / "b")
    assert isinstance(refusal, PromotionRefused) and refusal.reason is Refusal.YANKED
    done = pulled(team, "wine@v1", tmp_path / "c", locked=True)
    assert (tmp_path / "c" / "model.bin").exists() and "yanked: leaks" in done.notes[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head": "sha256:0"}, "is not the one that .* was written at"),
        ({"event": 5}, "is not the one that .* was written at"),
        ({"version": 1}, "is not what .* says"),
        ({"run": "f" * 32}, "is not what .* says"),
        ({"digest": "sha256:0"}, "is not what .* says"),
        ({"version": 9}, "is not what .* says"),
    ],
)
def test_a_lock_that_the_registry_contradicts(team: Team, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    pulled(team, "wine@production", tmp_path / "a")
    lock = json.loads((tmp_path / "ciplug.lock").read_text())
    lock["models"]["wine@production"].update(change)
    (tmp_path / "ciplug.lock").write_text(json.dumps(lock))
    refused(team, StoreError, words, "wine@production", tmp_path / "b", locked=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "ciplug.lock:1: not a lock file"),
        ("[]", "not a lock file of ciplug"),
        ('{"lock": 2, "models": {}}', "has format 2"),
        ('{"lock": 1, "models": {"wine@v1": {}}}', "not a lock file of ciplug"),
        ('{"lock": 1, "models": []}', "not a lock file of ciplug"),
    ],
)
def test_a_file_that_is_no_lock(team: Team, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "ciplug.lock").write_text(text)
    for locked in (True, False):
        refused(team, UsageError, words, "wine@v1", tmp_path / "a", locked=locked)
    assert (tmp_path / "ciplug.lock").read_text() == text


# It fails closed


def test_bytes_that_are_not_those_that_were_registered(team: Team, tmp_path: Path) -> None:
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file() and path.read_bytes() == b"model 2":
            path.write_bytes(b"model x")
    refused(team, StoreError, "model.bin|damaged|digest", "wine@production", tmp_path / "a")
    assert not (tmp_path / "ciplug.lock").exists()


def append_by_hand(team: Team, **fields: Any) -> None:
    """Append a promotion as somebody who may write the log would."""
    log = team.session.refreshed().log
    payload = Promote(
        version=1, run="1".zfill(32), commit=team.project.head, stage="Production", from_stage="Archived", **fields
    )
    ledger.append(log, ledger.read(log, "wine"), wrap(payload, model="wine", created=STAMP))


def test_a_promotion_without_a_verdict_by_hand(team: Team, tmp_path: Path) -> None:
    append_by_hand(team)
    refused(team, PromotionRefused, "its promotion names no verdict", "wine@production", tmp_path / "a")


def test_a_promotion_whose_verdict_is_of_another_run_or_changed(team: Team, tmp_path: Path) -> None:
    session = team.session.refreshed()
    other = team.run(accuracy=0.1)
    key = team.verdict(other)
    append_by_hand(team, verdict=key, verdict_digest=digest(session.store.read([key])[key]))
    # Damage, as for `ciplug verify`: no refusal by a gate.
    refused(team, StoreError, "the verdict of its promotion is on run", "wine@production", tmp_path / "a")
    append_by_hand(team, verdict=key, verdict_digest="sha256:0")
    refused(team, StoreError, "the verdict of its promotion was changed", "wine@production", tmp_path / "b")
    append_by_hand(team, verdict="verdicts/none", verdict_digest="sha256:0")
    gone = refused(team, StoreError, "the verdict of its promotion is missing", "wine@production", tmp_path / "c")
    assert gone.exit_code == Fault.VERDICT_MISSING.exit_code == 3


def test_a_log_that_was_changed(team: Team, tmp_path: Path) -> None:
    entries = team.session.refreshed().log.entries(log_of("wine"))
    (path,) = [p for p in (tmp_path / "store").rglob("*") if p.is_file() and p.read_bytes() == entries[2]]
    path.write_bytes(entries[2].replace(b"Production", b"production"))
    refused(team, StoreError, "broken at event 4", "wine@production", tmp_path / "a")


def test_names_that_mean_nothing(team: Team, tmp_path: Path) -> None:
    labels.set_alias(team.session.refreshed(), "wine", "champion", 1)
    pulled(team, "wine@champion", tmp_path / "a")
    refused(team, NotFound, "no stage or alias 'champoin'", "wine@champoin", tmp_path / "b")
    refused(team, NotFound, "has no version 7", "models:/wine/7", tmp_path / "b")
    refused(team, UsageError, "is not the name of a version", "main", tmp_path / "b")


# Python, and without the network


@pytest.mark.slow
def test_from_python_and_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.create(tmp_path / "work")
    run = project.train()
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    monkeypatch.chdir(project.folder)
    done = ciplug.pull("models:/wine@staging", to=tmp_path / "a")
    assert (done.model, done.version, done.run) == ("wine", 1, run)
    assert [file.read_bytes() for file in done.files]
    assert (project.folder / "ciplug.lock").exists()
    again = ciplug.pull("models:/wine@staging", to=tmp_path / "b", locked=True, offline=True)
    assert again.digest == done.digest
    project.ciplug("pull", "wine@staging", "--to", str(tmp_path / "c"), "--locked", "--offline")
    assert "is not the name of a version" in project.ciplug("pull", "main", "--locked", code=2).stderr
    with pytest.raises(UsageError):
        ciplug.pull("main")


@pytest.mark.e2e
def test_from_a_bucket_offline(tmp_path: Path, s3: S3) -> None:
    """What this machine has read is there without a server: events, evidence, files, and the list of a folder."""
    project = Project.create(tmp_path / "work", config=f"{CONFIG}store: s3://runs/{tmp_path.name}\n")
    with (project.folder / "train.py").open("a") as script:
        script.write(
            "\nfrom pathlib import Path\nPath('model').mkdir()\n"
            "for name in ('a.bin', 'b.bin'): Path('model', name).write_bytes(name.encode() * 1000)\n"
        )
    project.commit("a folder")
    project.train("--artifact", "model", env=s3.env)
    project.ciplug("gate", env=s3.env)
    project.ciplug("promote", "wine", "--to", "staging", env=s3.env)
    gone = {**s3.env, "AWS_SECRET_ACCESS_KEY": "wrong"}
    unread = project.ciplug("pull", "wine@staging", "--to", str(tmp_path / "z"), "--offline", env=s3.env, code=3)
    assert "this machine has not read" in unread.stderr and "ask once without --offline" in unread.stderr
    project.ciplug("pull", "wine@staging", "--to", str(tmp_path / "a"), env=s3.env)
    for words in (["wine@staging"], ["wine@staging", "--locked"]):
        to = tmp_path / f"b{len(words)}"
        project.ciplug("pull", *words, "--to", str(to), "--offline", env=gone)
        assert (to / "model" / "b.bin").read_bytes() == b"b.bin" * 1000
    project.ciplug("verify", "wine@staging", env=s3.env)
    assert project.ciplug("verify", "wine@staging", env=gone).returncode == 0
    # A copy that was damaged is not used, and is fetched again where there is a network.
    for file in (project.folder / ".git" / "ciplug" / "files").iterdir():
        file.write_bytes(b"damaged")
    damaged = project.ciplug("pull", "wine@staging", "--to", str(tmp_path / "d"), "--offline", env=gone, code=3)
    assert "it is not what was recorded" in damaged.stderr and not (tmp_path / "d" / "model").exists()
    project.ciplug("pull", "wine@staging", "--to", str(tmp_path / "d"), env=s3.env)
    project.ciplug("pull", "wine@staging", "--to", str(tmp_path / "e"), "--offline", env=gone)
    elsewhere = project.ciplug("pull", "wine@v7", "--to", str(tmp_path / "f"), "--offline", env=gone, code=2)
    assert "has no version 7" in elsewhere.stderr
