"""Tags that mirror the registry: pushed with the event, never read as truth, and told where they disagree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.errors import Conflict
from ciplug.records.registry_event import Promote, Register
from ciplug.records.registry_labels import DeleteVersion
from ciplug.records.registry_moves import Demote
from ciplug.registry.model import Model
from ciplug.registry.replay import after
from ciplug.registry.tags import can_be_mirrored, tags_by_event, tags_of
from ciplug.stores.git.store import GitStore
from ciplug.stores.git.tags import NewTag
from tests.project import CONFIG, Project, git
from tests.registry_samples import event

ON = f"{CONFIG}mirror_tags: true\n"
_OURS = Path(sys.executable).with_name("gto")
GTO = os.environ.get("CIPLUG_TEST_GTO") or (str(_OURS) if _OURS.exists() else shutil.which("gto"))
HOOK = """#!/bin/sh
case "$1" in refs/tags/*) echo "GH013: Repository rule violations: tags are protected"; exit 1;; esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "remote.git")], check=True)
    return Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=ON)


def promote(project: Project, *args: str, train: bool = True, env: dict[str, str] | None = None) -> str:
    """Train, judge and promote; returns what was said."""
    if train:
        project.train(env=env)
        project.ciplug("gate", env=env)
    return project.ciplug("promote", "wine", *args, env=env).stderr


def tags(project: Project) -> dict[str, str]:
    """Tag of the remote → the commit that it is on."""
    lines = git(project.folder, "ls-remote", "origin", "refs/tags/*").splitlines()
    peeled = [line.split("\t") for line in lines if line.endswith("^{}")]
    return {ref.removeprefix("refs/tags/").removesuffix("^{}"): oid for oid, ref in peeled}


def second_version(project: Project) -> str:
    project.numbers({"accuracy": 0.9})
    commit = project.commit("better")
    project.push()
    return commit


# Which tags


def test_the_tags_of_events() -> None:
    one, two = "1" * 40, "2" * 40
    events = [
        event(1, Register(version=1, run="a", commit=one)),
        event(2, Promote(version=1, run="a", stage="Staging")),
        event(3, Promote(version=1, run="a", stage="Production")),
        event(4, Register(version=2, run="b", commit=two)),
        event(5, Promote(version=2, run="b", stage="Staging")),
        event(6, Promote(version=2, run="b", stage="Production")),
        event(7, Register(version=3, run="c", commit=two)),
        event(8, Promote(version=3, run="c", stage="Staging")),
        event(9, Promote(version=3, run="c", stage="Production")),
    ]
    found = {tag.name: tag.commit for tag, _ in tags_by_event("wine", events, {one.seq for one in events})}
    assert found == {
        "wine@v1": one, "wine@v1.0.0": one, "wine#staging#2": one, "wine#staging!#3": one, "wine#production#3": one,
        "wine@v2": two, "wine@v2.0.0": two, "wine#staging#5": two, "wine#staging!#6": two, "wine#production#6": two,
        "wine#production!#6": one,
        # GTO refuses a repository in which a commit has two versions of one artifact.
        "wine@v3": two, "wine#production!#9": two,
    }  # fmt: skip
    assert not list(tags_by_event("wine", events, set())), "what does not count has no tag"
    # A deleted version keeps its tags, so the next one of its commit has none of that form, also under a new name.
    model = after(Model("wine"), events[0])
    model = after(model, event(2, DeleteVersion(version=1)))
    model = after(model, event(3, Register(version=2, run="b", commit=one)))
    assert [tag.name for tag in tags_of(replace(model, by_number={}), model, 4)] == ["wine@v2"]
    assert not list(tags_by_event("größe", [event(1, Register(version=1, run="a", commit=one), "größe")], {1}))
    model = after(Model("wine"), event(1, Register(version=1, run="a")))
    assert not list(tags_of(Model("wine"), model, 1)), "a version without a commit"


def test_tags_have_the_order_of_the_events() -> None:
    """GTO orders them by their seconds: a clock that went back, and events of one second, change nothing."""
    one = "1" * 40
    events = [
        event(1, Register(version=1, run="a", commit=one)),
        event(2, Promote(version=1, run="a", stage="Staging")),
        event(3, Promote(version=1, run="a", stage="Production")),
        event(4, Demote(version=1, stage="Staging", from_stage="Production")),
        event(5, Promote(version=1, run="a", stage="Production")),
    ]
    created = ["2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z", "2026-01-01T07:00:00Z", *["2026-01-01T10:00:09.9Z"] * 2]
    events = [replace(one, created=when) for one, when in zip(events, created, strict=True)]
    found = {tag.name: tag.seconds for tag, _ in tags_by_event("wine", events, {one.seq for one in events})}
    first = found["wine@v1"]
    assert {tag: seconds - first for tag, seconds in found.items() if "production" in tag} == {
        "wine#production#3": 2, "wine#production!#4": 9, "wine#production#5": 10,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["a b", "-x", "x-", "a/b", "x.lock", "a..b", "wine\n", "", "größe", "a@{b", "x#y"])
def test_names_that_gto_cannot_read(name: str) -> None:
    assert not can_be_mirrored(name)
    assert can_be_mirrored("wine-quality_2") and can_be_mirrored("w")


# With a remote


@pytest.mark.slow
def test_a_promotion_makes_them(project: Project) -> None:
    promote(project, "--to", "staging")
    first = project.head
    assert tags(project) == dict.fromkeys(("wine@v1", "wine@v1.0.0", "wine#staging#2"), first)
    second = second_version(project)
    promote(project, "--to", "production", "--version", "1", train=False)
    promote(project, "--to", "staging")
    found = tags(project)
    assert found["wine#production#3"] == first and found["wine@v2"] == found["wine#staging#5"] == second
    said = project.ciplug("verify", "wine@v1", "--fetch")
    assert f"tags that agree: {len(found)}" in said.stdout
    # Of one push with the event: the branch has no more pushes than events.
    assert git(project.folder, "cat-file", "-t", _fetched(project, "wine@v2")) == "tag"


def _fetched(project: Project, tag: str) -> str:
    git(project.folder, "fetch", "-q", "origin", "--tags")
    return git(project.folder, "rev-parse", f"refs/tags/{tag}")


@pytest.mark.slow
def test_they_are_off_unless_somebody_turns_them_on(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "remote.git")], check=True)
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git")
    promote(project, "--to", "staging")
    assert not tags(project)
    assert "tags" not in project.ciplug("verify", "wine", "--fetch").stdout
    assert "not mirrored" in project.ciplug("verify", "wine", "--restore-tags", code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("atomic", [True, False])
def test_a_refused_tag_loses_no_promotion(project: Project, atomic: bool) -> None:
    """The host protects tags: the event is accepted, the tags are told, and put there once they may."""
    remote = project.folder.parent / "remote.git"
    hook = remote / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK)
    hook.chmod(0o755)
    git(remote, "config", "receive.advertiseAtomic", str(atomic).lower())
    said = promote(project, "--to", "staging")
    assert "wine version 1 is in Staging" in said and said.count("were not made") == 2
    assert "--restore-tags" in said and not tags(project)
    events = project.json("registry", "history", "wine", "--json")
    assert [one["type"] for one in events] == ["register", "promote"]
    broken = project.ciplug("verify", "wine", "--fetch", code=3)
    assert "BROKEN  tags" in broken.stdout and "is missing" in broken.stdout
    refused = project.ciplug("verify", "wine", "--restore-tags", code=3)
    assert "the tags were not made" in refused.stderr
    hook.unlink()
    restored = project.ciplug("verify", "wine", "--restore-tags")
    assert "tags restored" in restored.stderr and len(tags(project)) == 3
    assert "none was missing" in project.ciplug("verify", "wine", "--restore-tags").stderr


def test_a_tag_that_stands_there_already_is_told(project: Project) -> None:
    git(project.folder, "tag", "wine@v1")
    git(project.folder, "push", "-q", "origin", "wine@v1")
    said = promote(project, "--to", "staging")
    assert "wine version 1 is in Staging" in said and "wine@v1" in said


class _Mirror:
    """Has a tag for each entry, and keeps what it is told of refusals."""

    def __init__(self, project: Project, name: str = "wine@v1") -> None:
        self.repository = project.folder / ".git/objects", project.folder / ".git/shallow"
        self.name = name
        self.commit = project.head
        self.told: list[str] = []

    def tags(self, entry: bytes) -> list[NewTag]:
        return [NewTag(self.name, self.commit, entry.decode(), 1)]

    def refused(self, tags: Sequence[str], words: str) -> None:
        self.told += tags


def test_the_tags_of_a_lost_race_are_not_told_as_refused(project: Project, tmp_path: Path) -> None:
    """The winner's tags are in the way of the loser's, whose event is not in the log: it is made anew."""
    uri = f"git+{(tmp_path / 'remote.git').as_uri()}"
    winner, loser = (GitStore(uri[4:], uri=uri, branch="ciplug", cache=tmp_path / n, config=()) for n in ("1", "2"))
    assert loser.head("registry/wine") is None
    winner.mirror = _Mirror(project)
    loser.mirror = mirror = _Mirror(project)
    head = winner.append("registry/wine", None, b"first")
    with pytest.raises(Conflict):
        loser.append("registry/wine", None, b"second")
    assert mirror.told == []
    loser.append("registry/wine", head, b"second")
    assert mirror.told == ["wine@v1"], "this entry is in the log, without its tag"


def test_a_tag_of_a_commit_at_the_end_of_a_shallow_clone(project: Project, tmp_path: Path) -> None:
    """git knows where that clone ends, and looks for no parent there, although the branch has moved on meanwhile."""
    commit = second_version(project)
    uri = (tmp_path / "remote.git").as_uri()
    git(tmp_path, "clone", "-q", "--depth=1", uri, 'a "shallow" clone')
    second_version(project)
    mirrors = [_Mirror(Project(tmp_path / 'a "shallow" clone'), f"wine@v{n}") for n in (1, 2, 3)]
    head = None
    for mirror in mirrors:
        # Another cache each time: it has the tip of the branch, and no commit before it.
        store = GitStore(uri, uri=uri, branch="ciplug", cache=tmp_path / mirror.name, config=())
        store.mirror = mirror
        head = store.append("registry/wine", head, b"{}")
        assert mirror.told == []
    assert tags(project) == {mirror.name: commit for mirror in mirrors}


@pytest.mark.slow
def test_what_somebody_did_to_tags_is_told_and_decides_nothing(project: Project, tmp_path: Path) -> None:
    serve = "serve: 'false {port}', supervisor: process, stage: staging"
    target = f"{{kind: local, folder: '{tmp_path / 'served'}', {serve}}}"
    config = project.folder / "ciplug.yaml"
    config.write_text(f"{config.read_text()}targets:\n  here: {target}\n")
    project.commit("serve")
    project.push()
    promote(project, "--to", "staging")
    first, second = project.head, second_version(project)
    git(project.folder, "push", "-q", "origin", f"{second}:refs/tags/wine#production#9")
    words = "wine#production#9 has the form of the registry's, and no event made it"
    forged = project.ciplug("verify", "wine@staging", "--fetch")
    assert f"note    tags       the tag {words}" in forged.stdout and "the chain is whole" in forged.stderr
    assert "delete it: git push origin ':refs/tags/wine#production#9'" in forged.stderr
    assert words in project.ciplug("registry", "verify", code=3).stderr.replace("refs/tags/", "").replace(": it", "")
    assert project.ciplug("verify", "wine@production", "--fetch", code=2).stderr, "nobody is in production"
    git(project.folder, "push", "-q", "origin", ":refs/tags/wine#production#9")
    git(project.folder, "push", "-q", "--force", "origin", f"{second}:refs/tags/wine@v1")
    words = f"the tag wine@v1 is at {second}, and the registry says {first}"
    assert words in project.ciplug("verify", "wine", "--fetch", code=3).stdout
    # Whoever uses the version is told.
    assert words in project.ciplug("attest", "wine", "--output", str(tmp_path / "made")).stderr
    deployed = project.ciplug("deploy", "wine@staging", "--to", "here", code=1).stderr
    assert words in deployed and "the server of version 1 has ended" in deployed
    restored = project.ciplug("verify", "wine", "--restore-tags").stderr
    assert "tags restored: wine@v1" in restored
    assert git(project.folder, "ls-remote", "origin", "refs/tags/wine@v1^{}").startswith(first)


@pytest.mark.slow
def test_a_tag_witnesses_the_last_event(project: Project, tmp_path: Path) -> None:
    """Who may push rewrites the last event, in the branch and in what is kept of it, or the text of a tag."""
    promote(project, "--to", "staging")
    remote = tmp_path / "remote.git"
    tip, tag = (git(remote, "rev-parse", ref).strip() for ref in ("refs/heads/ciplug", "refs/tags/wine#staging#2"))
    event = git(remote, "show", f"{tip}:registry/wine/000002.json")
    blob = fed(remote, event.replace("test@example.com", "mallory@example.com"), "hash-object", "-w", "--stdin")
    entry = "registry/wine/000002.json"
    move_log(remote, with_index(remote, tip, f"100644 {blob}\t{entry}"))
    git(tmp_path, "clone", "-q", str(remote), "fresh")
    fresh = Project(tmp_path / "fresh")
    assert "mallory" in fresh.ciplug("registry", "history", "wine").stdout
    words = "refs/tags/wine#staging#2: it was not made with its event as the log has it"
    assert words in fresh.ciplug("registry", "verify", code=3).stderr
    # Nobody replaces the last witness: what else is missing is made, and the contradiction is named.
    git(remote, "update-ref", "-d", "refs/tags/wine@v1")
    restored = fresh.ciplug("verify", "wine", "--restore-tags", code=3)
    assert "tags restored: wine@v1" in restored.stderr and "not restored: the tag wine#staging#2" in restored.stderr
    assert "ciplug fsck --accept-registry, and delete the tag" in restored.stderr
    assert git(remote, "rev-parse", "refs/tags/wine#staging#2").strip() == tag
    broken = fresh.ciplug("verify", "wine@v1", "--fetch", code=3).stdout
    assert "BROKEN  tags       the tag wine#staging#2 was not made with its event" in broken
    assert "chain is broken at its tags" in fresh.ciplug("attest", "wine@v1", "--output", "made", code=3).stderr
    # The log as it was, and another text of the tag.
    move_log(remote, tip)
    changed = fed(remote, git(remote, "cat-file", "tag", tag).replace("mirror", "mirroR"), "mktag")
    git(remote, "update-ref", "refs/tags/wine#staging#2", changed)
    git(tmp_path, "clone", "-q", str(remote), "other")
    other = Project(tmp_path / "other")
    assert words in other.ciplug("registry", "verify", code=3).stderr
    assert "wine#staging#2" in other.ciplug("verify", "wine", "--restore-tags").stderr
    other.ciplug("registry", "verify")
    assert git(remote, "rev-parse", "refs/tags/wine#staging#2").strip() == tag
    # The last event cut off: its tag is no stray one, and nobody is told to delete it before he has compared.
    move_log(remote, with_index(remote, tip, f"0 {'0' * 40}\t{entry}"))
    git(tmp_path, "clone", "-q", str(remote), "third")
    cut = Project(tmp_path / "third").ciplug("verify", "wine@v1", "--restore-tags", code=1)
    words = "the tag wine#staging#2 was made with event 2, and the log ends with event 1: it may have lost events"
    assert f"not restored: {words}" in cut.stderr and "see ciplug fsck, and compare with another clone" in cut.stderr
    assert f"BROKEN  tags       {words}" in cut.stdout
    assert git(remote, "rev-parse", "refs/tags/wine#staging#2").strip() == tag


def with_index(repository: Path, tip: str, change: str) -> str:
    """A commit without parents, with the files of another one and a change, as `git update-index` reads it."""
    env = {**os.environ, "GIT_INDEX_FILE": str(repository.parent / "index")}
    subprocess.run(["git", "read-tree", tip], cwd=repository, env=env, check=True)
    subprocess.run(["git", "update-index", "--index-info"], input=change.encode(), cwd=repository, env=env, check=True)
    tree = subprocess.run(["git", "write-tree"], cwd=repository, env=env, capture_output=True, text=True, check=True)
    return git(repository, "commit-tree", "-m", "rewritten", tree.stdout.strip()).strip()


def move_log(remote: Path, tip: str) -> None:
    """As who may push: the branch, and what is kept of it."""
    for ref in ("refs/heads/ciplug", "refs/ciplug/keep/tip"):
        git(remote, "update-ref", ref, tip)


def fed(repository: Path, text: str, *args: str) -> str:
    """What git prints, given this input."""
    done = subprocess.run(["git", *args], cwd=repository, input=text, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_from_a_shallow_clone_of_another_commit(project: Project, tmp_path: Path) -> None:
    """The commit of the run is not in the clone of the job that promotes: no tag, and the promotion stands."""
    project.train()
    project.ciplug("gate")
    run = project.json("runs", "list", "--json")[0]["id"]
    first = project.head
    second_version(project)
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", (tmp_path / "remote.git").as_uri(), str(shallow))
    job = Project(shallow)
    said = promote(job, "--to", "staging", "--run", run, train=False)
    assert f"commit {first[:12]} is not in this clone" in said and "is in Staging" in said
    said = promote(job, "--to", "staging")
    assert "the tags wine#staging!#4 were not made" in said and tags(job)["wine#staging#4"] == job.head
    assert len(tags(project)) == 3


@pytest.mark.slow
def test_a_name_that_gto_cannot_read(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "remote.git")], check=True)
    config = ON.replace("model: wine", 'model: "größe ~1"')
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=config)
    project.train()
    project.ciplug("gate")
    said = project.ciplug("promote", "größe ~1", "--to", "staging").stderr
    assert "has no tags, as GTO cannot read its name" in said and not tags(project)
    assert project.ciplug("verify", "größe ~1", "--fetch").returncode == 0


@pytest.mark.slow
def test_they_are_signed_where_the_job_has_a_key(project: Project, tmp_path: Path) -> None:
    """`git verify-tag` accepts them by the public key."""
    if not shutil.which("ssh-keygen"):
        pytest.skip("needs ssh-keygen")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    promote(project, "--to", "staging", env={"CIPLUG_SIGNING_KEY": str(key)})
    _fetched(project, "wine@v1")
    allowed = tmp_path / "allowed"
    allowed.write_text(f'ciplug@localhost namespaces="git" {key.with_suffix(".pub").read_text()}')
    git(project.folder, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-tag", "wine@v1", "wine#staging#2")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    allowed.write_text(f"ciplug@localhost {(tmp_path / 'other.pub').read_text()}")
    with pytest.raises(subprocess.CalledProcessError):
        git(project.folder, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-tag", "wine@v1")


# GTO itself


@pytest.mark.e2e
def test_gto_agrees(project: Project) -> None:
    gto = GTO
    if not gto:
        pytest.skip("needs gto: pip install gto")
    promote(project, "--to", "staging")
    promote(project, "--to", "production", "--version", "1", train=False)
    second_version(project)
    promote(project, "--to", "staging")

    def shown() -> dict[str, object]:
        git(project.folder, "fetch", "-q", "origin", "--tags")
        done = subprocess.run([gto, "show", "--json"], cwd=project.folder, check=True, capture_output=True, text=True)
        return dict(json.loads(done.stdout)["wine"])

    assert shown()["version"] == "v2.0.0"
    assert shown()["stage"] == {"production": "v1.0.0", "staging": "v2.0.0"}
    promote(project, "--to", "production", "--version", "2", train=False)
    assert shown()["stage"] == {"production": "v2.0.0"}
    project.ciplug("rollback", "wine", "--to", "production", "--reason", "v2 is slow")
    assert shown()["stage"] == {"production": "v1.0.0"}
    project.ciplug("demote", "wine", "--from", "production", "--to", "none")
    assert shown()["stage"] == {}
    project.ciplug("verify", "wine@v1", "--fetch", "--no-files")
