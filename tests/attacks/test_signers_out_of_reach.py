"""A pull where the settings in reach name no signer: another folder, another branch, `--store URL` alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ciplug.records.canonical import digest
from ciplug.records.keys import verdict_object
from ciplug.records.registry_event import Promote, Register
from ciplug.records.verdict import Verdict
from tests.attacks.attacker import BRANCH, KEEP, STAMP, as_files, chain, entries_of, objects_of, run_of
from tests.attacks.conftest import Scene
from tests.attacks.test_signed import make_key
from tests.project import Project, git

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs and verifies"),
]


def forge(scene: Scene) -> None:
    """Version 2 in production: by events and a verdict that nobody has signed, and that break no rule."""
    attacker = scene.attacker
    run = run_of(scene.project.head, 666)
    verdict = Verdict(
        run=run.id, model="wine", commit=run.commit, outcome="PASS", created=STAMP, policy_digest="x", policy_file="x"
    )
    key, data = verdict_object(verdict)
    attacker.write({**objects_of(run), key: data})
    evidence = {"verdict": key, "verdict_digest": digest(data), "policy_digest": "x"}
    about = {"version": 2, "run": run.id, "commit": run.commit}
    payloads = [
        Register(**about, files={}),
        Promote(**about, **evidence, stage="Staging", from_stage="None"),
        Promote(**about, **evidence, stage="Production", from_stage="Staging", replaces=1),
    ]
    before = entries_of(attacker, "wine")
    files: dict[str, bytes | str] = dict(attacker.fetch(BRANCH))
    files.update(as_files("wine", chain("wine", payloads, before), len(before) + 1))
    attacker.push(attacker.branch_commit(files, attacker.refs()[BRANCH]), BRANCH, KEEP)


def away(scene: Scene, lock: Path | None = None) -> Project:
    folder = scene.folder / ("away" if lock is None else "locked")
    folder.mkdir()
    if lock:
        shutil.copy(lock, folder / "ciplug.lock")
    return Project(folder)


def test_signatures_that_nobody_here_can_check(near: Scene) -> None:
    project, key = near.project, make_key(near.folder, "ci")
    old = project.head
    file = project.folder / "ciplug.yaml"
    file.write_text(file.read_text() + f"signers: {{ci: {key.public}}}\n")
    project.commit("sign")
    project.push()
    project.ciplug("registry", "vouch", "wine", env=key.env)
    pull = ("pull", "wine@production", "--to", "model")
    elsewhere = (*pull, "--store", f"git+file://{near.attacker.url}")
    # Said by name, while nothing is wrong.
    assert "nothing here says by whom they must be" in away(near).ciplug(*elsewhere).stderr
    shutil.rmtree(near.folder / "away")
    project.ciplug(*pull, "--lock", str(near.folder / "ciplug.lock"))
    forge(near)
    refused = away(near).ciplug(*elsewhere, code=1).stderr
    assert "has no signature, though events before it are signed" in refused, refused
    # A lock file knows the signers, and so does a clone that has an old branch checked out.
    for reader in (away(near, near.folder / "ciplug.lock"), near.clone("old")):
        if (reader.folder / ".git").exists():
            git(reader.folder, "checkout", "-q", "-b", "before", old)
        done = reader.ciplug(*(elsewhere if reader.folder.name == "locked" else pull))
        assert "have no signature of an allowed signer" in done.stderr
        assert (reader.folder / "model" / "model.txt").exists()
