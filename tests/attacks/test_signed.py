"""Level 2: where the policy names signers, what none of them has signed counts for nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ciplug.records.canonical import digest, dumps
from ciplug.signing import SIGNING_KEY, fingerprint, namespace_for, sign, signer_of
from ciplug.steps.place_names import place_name
from ciplug.steps.select import facts_on
from ciplug.steps.session import open_session
from ciplug.steps.signers import judged_runs
from tests.attacks.attacker import BRANCH, KEEP, as_files, entries_of, objects_of, run_of, takeover
from tests.attacks.conftest import Scene
from tests.project import Project, git

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs and verifies"),
]


@dataclass
class Key:
    """A key pair of ssh."""

    private: str
    public: str

    @property
    def env(self) -> dict[str, str]:
        return {SIGNING_KEY: self.private}


def make_key(folder: Path, name: str, kind: str = "ed25519", *options: str) -> Key:
    file = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-C", name, "-f", str(file)], check=True)
    return Key(file.read_text(), file.with_suffix(".pub").read_text().strip())


def place_of(scene: Scene) -> str:
    """The name of the repository in signatures, where the policy names none."""
    return place_name(scene.attacker.url)


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return make_key(tmp_path, "ci")


@pytest.fixture
def signed(scene: Scene, key: Key) -> Scene:
    """The team has begun to sign: its registry is vouched for, and its run of the head is signed."""
    project = scene.project
    file = project.folder / "ciplug.yaml"
    file.write_text(file.read_text() + f"signers: {{ci: {key.public}}}\n")
    project.numbers({"accuracy": 0.86})
    project.commit("sign")
    project.push()
    project.train(env=key.env)
    project.ciplug("gate", env=key.env)
    project.ciplug("registry", "vouch", "wine", env=key.env)
    return scene


def test_signatures_of_ssh_keys(tmp_path: Path, key: Key) -> None:
    other = make_key(tmp_path, "other", "rsa")
    signers = {"ci": key.public, "other": other.public}
    for name, one in (("ci", key), ("other", other)):
        text = sign(b"data", one.env) or ""
        assert signer_of(b"data", text, signers) == name
        assert signer_of(b"other data", text, signers) is None
        assert signer_of(b"data", text.replace("U1NI", "U1NJ"), signers) is None
        here = sign(b"data", one.env, namespace_for("github.com/acme/wine")) or ""
        assert signer_of(b"data", here, signers, namespace_for("github.com/acme/wine")) == name
        for elsewhere in ("github.com/acme/*", "github.com/acme/wine2", ""):
            assert signer_of(b"data", here, signers, namespace_for(elsewhere)) is None
        assert fingerprint(one.public).startswith("SHA256:")
    text = sign(b"data", {SIGNING_KEY: str(tmp_path / "ci")}) or ""
    assert signer_of(b"data", text, {"other": other.public}) is None
    assert signer_of(b"data", "", signers) is None and sign(b"data", {}) is None
    # A signature that git made of a commit, or ssh for a file, is of another namespace.
    made = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-n", "git", "-f", str(tmp_path / "ci")],
        input=b"data",
        capture_output=True,
        check=True,
    )
    assert signer_of(b"data", made.stdout.decode(), signers) is None


def test_a_team_that_signs_promotes_as_before(signed: Scene, key: Key) -> None:
    project = signed.project
    assert signed.production(signed.clone()) == 1
    for stage in ("staging", "production"):
        project.ciplug("promote", "wine", "--to", stage, env=key.env)
    reader = signed.clone("reader")
    assert signed.production(reader) == 2
    events = reader.json("registry", "history", "wine", "--json")
    assert all(event.get("signature") for event in events[3:])
    assert events[-1]["payload"]["trust"] == "signed"
    assert "ci" in events[-1]["payload"]["trust_shown_by"]
    assert "level 2 (signed)" in reader.ciplug("doctor", code=None).stdout
    assert reader.ciplug("fsck").stdout == ""
    reader.ciplug("compact")
    assert reader.ciplug("pull", "wine@production", "--to", "there").returncode == 0


def test_events_that_nobody_signed_do_not_count(signed: Scene) -> None:
    """Whoever may move the branch appends them, with a verdict and all."""
    attacker = signed.attacker
    run = run_of(signed.project.head, 666)
    attacker.write(objects_of(run))
    before = entries_of(attacker, "wine")
    forged = takeover("wine", run, 2, before, holder=1)
    files: dict[str, bytes | str] = dict(attacker.fetch(BRANCH))
    files.update(as_files("wine", forged, len(before) + 1))
    attacker.push(attacker.branch_commit(files, attacker.refs()[BRANCH]), BRANCH, KEEP)
    reader = signed.clone()
    assert signed.production(reader) == 1
    assert "have no signature of an allowed signer" in reader.ciplug("registry", "show", "wine").stderr
    assert "v1" in reader.ciplug("registry", "list").stdout
    assert "have no signature of an allowed signer" in reader.ciplug("registry", "verify", code=3).stderr


def test_the_next_promotion_does_not_vouch_for_a_forged_one(signed: Scene, key: Key) -> None:
    test_events_that_nobody_signed_do_not_count(signed)
    for stage in ("staging", "production"):
        signed.project.ciplug("promote", "wine", "--to", stage, env=key.env)
    reader = signed.clone("another")
    model = reader.json("registry", "show", "wine", "--json")
    assert [v["run"] == f"{666:032x}" for v in model["versions"]].count(True) == 0
    assert signed.production(reader) == 3, "numbers of versions are never used twice"


def test_many_runs_of_a_commit_with_signatures_that_do_not_hold_cost_few_reads(
    signed: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = signed.project
    junk = objects_of(*(run_of(project.head, number) for number in range(1_000, 1_040)))
    for key, data in tuple(junk.items()):
        junk[key.replace(".json", ".sig")] = dumps({"objects": {key: digest(data)}, "signature": "x"})
    signed.attacker.write(junk)
    session = open_session(cwd=project.folder)
    runs = judged_runs(session)
    recorded = runs.of_commits([project.head])[project.head]
    reads: list[int] = []
    read = session.store.read
    monkeypatch.setattr(session.store, "read", lambda keys: reads.append(1) or read(keys))
    found = facts_on(session, runs, recorded)
    assert [run.id for run in recorded if found[run.id].signed] == [
        run.id for run in recorded if run.provenance.context.actor != "mallory"
    ]
    assert len(recorded) == 41 and len(reads) < 10


@pytest.mark.parametrize("named", ["by its store", "by the policy"])
def test_what_one_repository_has_signed_counts_in_no_other(signed: Scene, key: Key, named: str) -> None:
    """Two repositories with one history and one key: whatever the first has signed is pushed to the second."""
    project = signed.project
    other = signed.folder / "other.git"
    git(signed.folder, "clone", "-q", "--mirror", signed.attacker.url, str(other))
    git(signed.folder, "clone", "-q", str(other), "reader")
    reader = Project(signed.folder / "reader")
    if named == "by the policy":
        file = reader.folder / "ciplug.yaml"
        file.write_text(file.read_text() + "repository: other\n")
        reader.commit("name it")
    shown = reader.ciplug("registry", "show", "wine", code=None)
    assert "Production" not in shown.stdout
    assert f"signed for the repository '{place_of(signed)}'" in shown.stderr, shown.stderr
    refused = reader.ciplug("pull", "wine@production", "--to", "there", code=2).stderr
    assert "have no signature of an allowed signer" in refused, refused
    run = project.json("runs", "list", "--json")[0]["id"]
    refused = reader.ciplug("promote", "wine", "--to", "staging", "--run", run, env=key.env, code=1).stderr
    assert place_of(signed) in refused, refused
    assert "signed by: nobody who is allowed to" in reader.ciplug("runs", "show", run).stdout


def test_a_repository_that_moved_keeps_what_was_signed(signed: Scene, key: Key) -> None:
    """A mirror, or another name of the host: the policy names the repository as it was."""
    other = signed.folder / "other.git"
    git(signed.folder, "clone", "-q", "--mirror", signed.attacker.url, str(other))
    git(signed.folder, "clone", "-q", str(other), "reader")
    reader = Project(signed.folder / "reader")
    file = reader.folder / "ciplug.yaml"
    file.write_text(file.read_text() + f"repository: {place_of(signed)}\n")
    assert signed.production(reader) == 1
    run = signed.project.json("runs", "list", "--json")[0]["id"]
    assert "signed by: ci" in reader.ciplug("runs", "show", run).stdout
    assert "signed for" not in reader.ciplug("registry", "show", "wine").stderr


Forge = Callable[[Scene, Key, dict[str, bytes]], dict[str, bytes]]


def by_a_stranger(scene: Scene, key: Key, objects: dict[str, bytes]) -> dict[str, bytes]:
    from ciplug.steps.sign import signed as with_signatures

    return with_signatures(make_key(scene.folder, "mallory").env, objects, trusted=True, repository=place_of(scene))


def of_another_run(scene: Scene, key: Key, objects: dict[str, bytes]) -> dict[str, bytes]:
    """The signature of the genuine run, under the name of another."""
    genuine = next(ref for ref in scene.attacker.refs() if "/inbox/" in ref)
    files = scene.attacker.fetch(genuine)
    text = next(scene.attacker.read(oid) for path, oid in files.items() if path.endswith(".sig"))
    (run,) = objects
    return {**objects, run.replace(".json", ".sig"): text}


def damaged(scene: Scene, key: Key, objects: dict[str, bytes]) -> dict[str, bytes]:
    (run,) = objects
    return {**objects, run.replace(".json", ".sig"): b'{"objects":{},"signature":[]}\n'}


def changed_since(scene: Scene, key: Key, objects: dict[str, bytes]) -> dict[str, bytes]:
    from ciplug.steps.sign import signed as with_signatures

    made = with_signatures(key.env, objects, trusted=True, repository=place_of(scene))
    return {name: data.replace(b"0.99", b"0.999") if name.endswith(".json") else data for name, data in made.items()}


def with_more_beside(scene: Scene, key: Key, objects: dict[str, bytes]) -> dict[str, bytes]:
    """Examples that the signer has not seen."""
    from ciplug.steps.sign import signed as with_signatures

    (run,) = objects
    made = with_signatures(key.env, objects, trusted=True, repository=place_of(scene))
    return {**made, run.replace(".json", ".examples"): b"x"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "forge", [lambda s, k, o: o, by_a_stranger, of_another_run, damaged, changed_since, with_more_beside]
)
def test_a_run_that_nobody_signed_is_no_baseline_and_is_not_promoted(signed: Scene, key: Key, forge: Forge) -> None:
    project = signed.project
    base = project.head
    signed.attacker.write(forge(signed, key, objects_of(run_of(base, 666, started="2027-01-01T00:00:00.000Z"))))
    refused = project.ciplug("promote", "wine", "--to", "staging", "--run", f"{666:032x}", env=key.env, code=1)
    assert "no allowed signer has signed run" in refused.stderr
    project.branch("feature", {"accuracy": 0.87})
    project.train()
    shown = project.ciplug("gate").stdout
    assert "0.87 is 0.01 better than the baseline's 0.86" in shown, shown


def test_a_verdict_that_nobody_signed_is_no_evidence(signed: Scene, key: Key) -> None:
    project = signed.project
    project.numbers({"accuracy": 0.87})
    project.commit("better")
    project.train(env=key.env)
    project.ciplug("gate")
    refused = project.ciplug("promote", "wine", "--to", "staging", env=key.env, code=1).stderr
    assert "no allowed signer has signed a verdict" in refused
    assert "unsigned: it does not count" in project.ciplug("runs", "show", "HEAD").stdout
    project.ciplug("gate", env=key.env)
    project.ciplug("promote", "wine", "--to", "staging", env=key.env)


def test_a_job_without_the_key_does_not_promote(signed: Scene) -> None:
    refused = signed.project.ciplug("promote", "wine", "--to", "staging", code=1).stderr
    assert "has no key of one of them" in refused and SIGNING_KEY in refused


@pytest.mark.parametrize("change", [("tag", "ID", "note=x"), ("withdraw", "ID", "--reason", "mine"), ("delete", "ID")])
def test_a_stranger_takes_no_signed_run_out(signed: Scene, key: Key, change: tuple[str, ...]) -> None:
    project = signed.project
    (run,) = [one for one in project.json("runs", "list", "--json") if one["metrics"]["accuracy"] == 0.86]
    colleague = signed.clone()
    colleague.ciplug("runs", *(run["id"] if word == "ID" else word for word in change))
    project.ciplug("promote", "wine", "--to", "staging", env=key.env)
    said = project.ciplug("report").stderr
    assert "ignored: the run is signed, and no allowed signer has signed this amendment" in said


def test_a_signer_takes_a_signed_run_out(signed: Scene, key: Key) -> None:
    project = signed.project
    (run,) = [one for one in project.json("runs", "list", "--json") if one["metrics"]["accuracy"] == 0.86]
    project.ciplug("runs", "withdraw", run["id"], "--reason", "wrong data", env=key.env)
    assert "wrong data" in project.ciplug("promote", "wine", "--to", "staging", env=key.env, code=None).stderr


def test_the_training_does_not_see_the_key(signed: Scene, key: Key) -> None:
    project = signed.project
    (project.folder / "train.py").write_text(
        "import os, json\nassert 'CIPLUG_SIGNING_KEY' not in os.environ\nprint(json.dumps({'accuracy': 0.9}),"
        " file=open('metrics.json', 'w'))\n"
    )
    project.commit("look")
    project.ciplug("run", "--", "sh", "-c", 'test -z "$CIPLUG_SIGNING_KEY" && exec python3 train.py', env=key.env)


def test_a_pull_request_cannot_name_its_own_signers(signed: Scene, key: Key) -> None:
    project = signed.project
    mallory = make_key(signed.folder, "mallory")
    project.branch("feature")
    file = project.folder / "ciplug.yaml"
    file.write_text(file.read_text().replace(key.public, mallory.public))
    project.numbers({"accuracy": 0.8})
    project.commit("signers of my own")
    project.push()
    # A forged run of the base with a low number, signed by the pull request's signer.
    from ciplug.steps.sign import signed as with_signatures

    base = signed.attacker.git("ls-remote", signed.attacker.url, "refs/heads/main").split()[0]
    low = objects_of(run_of(base, 666, metrics={"accuracy": 0.5}, started="2027-01-01T00:00:00.000Z"))
    signed.attacker.write(with_signatures(mallory.env, low, trusted=True, repository=place_of(signed)))
    env = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_BASE_REF": "main",
        "GITHUB_HEAD_REF": "feature",
        "GITHUB_REPOSITORY": "acme/demo",
        "GITHUB_SHA": project.head,
        "GITHUB_REF": "refs/pull/1/head",
    }
    project.train(env=env)
    gate = project.ciplug("gate", env=env, code=1)
    assert "0.06 worse" in gate.stdout, gate.stdout


def test_a_key_that_cannot_sign_is_an_error(signed: Scene) -> None:
    done = signed.project.ciplug("gate", env={SIGNING_KEY: "nonsense"}, code=2)
    assert f"{SIGNING_KEY} cannot sign" in done.stderr


def test_signers_that_are_no_keys_are_refused(scene: Scene) -> None:
    file = scene.project.folder / "ciplug.yaml"
    file.write_text(file.read_text() + "signers: {ci: my-key}\n")
    assert "the key of 'ci' is not a public key of ssh" in scene.project.ciplug("gate", code=2).stderr


def test_a_signature_covers_a_key_and_its_bytes() -> None:
    from ciplug.errors import RecordError
    from ciplug.records import signature

    objects = {"runs/c-1.json": b"1", "runs/c-1.series": b"2", "verdicts/c-1-d.json": b"3"}
    groups = signature.by_stem(objects)
    assert list(groups) == ["runs/c-1.sig", "verdicts/c-1-d.sig"]
    data = signature.encode(groups["runs/c-1.sig"], "text")
    found = signature.decode(data, "runs/c-1.sig")
    assert found.covers({"runs/c-1.json": digest(b"1")}) and not found.covers({"runs/c-1.json": digest(b"2")})
    for wrong in (b"[]", b"\xff", dumps({"objects": {"runs/c-2.json": "x"}, "signature": "s"}), b"[" * 10_000):
        with pytest.raises(RecordError):
            signature.decode(wrong, "runs/c-1.sig")
