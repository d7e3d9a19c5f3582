"""A training hands over a bundle, and a job with the key records it: what the training may claim gets a signature."""

from __future__ import annotations

import shutil

import pytest

from ciplug.records import bundle
from ciplug.records.amendment import Amendment
from ciplug.records.canonical import digest
from ciplug.records.keys import amendment_object, run_key, signature_key, verdict_object
from ciplug.records.verdict import Verdict
from ciplug.steps.session import open_session
from tests.attacks.attacker import STAMP, objects_of, run_of
from tests.attacks.conftest import Scene
from tests.attacks.test_signed import make_key

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs and verifies"),
]


def test_a_training_gets_no_signature_for_what_is_not_its_own(near: Scene) -> None:
    project, key = near.project, make_key(near.folder, "ci")
    base = project.head
    file = project.folder / "ciplug.yaml"
    file.write_text(file.read_text() + f"signers: {{ci: {key.public}}}\n")
    project.commit("sign")
    project.push()
    genuine = project.train(env=key.env)
    own, other = run_of(project.head, 70), run_of(base, 71, metrics={"accuracy": 0.1})
    verdict = Verdict(
        run=own.id, model="wine", commit=own.commit, outcome="PASS", created=STAMP, policy_digest="x", policy_file="x"
    )
    passed, of_verdict = verdict_object(verdict)
    note, tagged = amendment_object(
        Amendment(run=own.id, model="wine", commit=own.commit, seq=1, created=STAMP, tags={"a": "b"})
    )
    gone, withdrawal = amendment_object(
        Amendment(run=genuine, model="wine", commit=project.head, seq=1, created=STAMP, withdrawn=True)
    )
    objects = {**objects_of(own, other), passed: of_verdict, note.key: tagged, gone.key: withdrawal}
    folder = near.folder / "handed"
    folder.mkdir()
    (folder / "bundle.ndjson").write_bytes(bundle.pack(objects))
    project.ciplug("collect", str(folder), "--trusted", env=key.env)
    store = open_session(cwd=project.folder).store
    stored = store.read([*objects, *map(signature_key, objects)])
    assert {one for one in objects if signature_key(one) in stored} == {run_key(own).key, note.key}
    assert stored.keys() >= objects.keys()
    project.ciplug("promote", "wine", "--to", "staging", "--run", genuine, env=key.env, code=None)
    assert project.json("runs", "show", genuine, "--json").get("lifecycle", "active") == "active"
    refused = project.ciplug("promote", "wine", "--to", "staging", "--run", own.id, env=key.env, code=1).stderr
    assert "no allowed signer has signed a verdict" in refused


def test_a_bundle_signs_no_run(near: Scene) -> None:
    project = near.project
    own, other = run_of(project.head, 70), run_of(project.head, 71)
    signs = {one: digest(data) for one, data in objects_of(other).items()}
    made = Amendment(run=own.id, model="wine", commit=own.commit, seq=1, created=STAMP, signs=signs)
    key, data = amendment_object(made)
    (near.folder / "bundle.ndjson").write_bytes(bundle.pack({**objects_of(own), key.key: data}))
    for trust in ("--trusted", "--untrusted"):
        done = project.ciplug("collect", str(near.folder / "bundle.ndjson"), trust, code=None)
        assert done.returncode != 0
        assert "it signs a run" in done.stderr or "claims to be of a trusted job" in done.stderr, done.stderr
