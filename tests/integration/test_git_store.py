"""What is the git store's own: requests, refs, credentials, cache. What it promises: test_store_contract."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from ciplug.errors import StoreError
from ciplug.git.objects import object_id
from ciplug.git.workspace import discover
from ciplug.records import bundle
from ciplug.stores import open_files, open_store
from ciplug.stores.base import PENDING_ALARM, Store
from ciplug.stores.files import TakesFiles
from ciplug.stores.git import cached_remote
from ciplug.stores.git.folding import FOLD_AT
from ciplug.stores.git.objects import LooseObjects
from tests.project import git
from tests.servers.git_http import GitServer
from tests.stores import Place, git_place


@pytest.fixture
def place(tmp_path: Path, git_server: GitServer) -> Place:
    return git_place(tmp_path, git_server)


def leave_pending(remote: Path, count: int) -> None:
    """As if so many writers had pushed, without the pushes."""
    written = LooseObjects(remote, "sha1")
    lines = []
    for number in range(count):
        tree = written.nested_tree({f"new/runs/a-{number:03d}.json": written.blob(b"%d" % number)})
        commit = written.commit(tree, (), "ciplug", 0)
        lines.append(f"create refs/ciplug/inbox/{commit} {commit}")
    subprocess.run(["git", "update-ref", "--stdin"], cwd=remote, input="\n".join([*lines, ""]), text=True, check=True)


def pending(server: GitServer) -> int:
    return len(git(server.path("remote"), "for-each-ref", "refs/ciplug/inbox").splitlines())


@pytest.mark.slow
def test_a_reader_folds_when_much_is_pending(place: Place, git_server: GitServer) -> None:
    leave_pending(git_server.path("remote"), FOLD_AT)
    assert len(place.open(may_fold=False).keys("runs/")) == FOLD_AT
    assert pending(git_server) == FOLD_AT
    assert len(place.open().keys("runs/")) == FOLD_AT
    assert pending(git_server) == 0
    assert len(place.open().keys("runs/")) == FOLD_AT


def test_a_write_is_two_requests_and_no_fetch(place: Place, git_server: GitServer) -> None:
    place.open().add({"runs/a.json": b"1"})
    assert [r.service for r in git_server.requests] == ["receive-pack", "receive-pack"]


def test_a_young_store_is_read_by_few_requests(place: Place, git_server: GitServer) -> None:
    """Before its first fold a store has no branch: git fails where a branch is asked for by its name."""

    def asked(store: Store) -> int:
        git_server.requests.clear()
        store.refresh()
        store.keys("")
        return len(git_server.requests)

    store = place.open()
    assert [asked(store) for _ in range(2)] == [2, 2]
    place.open().add({"runs/a.json": b"1"})
    assert [asked(store) for _ in range(2)] == [5, 2]
    store.add({"runs/b.json": b"1"})
    assert asked(store) == 2
    store.compact()
    # The branch has come up: once it is seen, it is asked for by its name again.
    assert store.keys("") == ["runs/a.json", "runs/b.json"]
    assert [asked(store) for _ in range(2)] == [2, 2]
    other = place.open()
    other.add({"runs/c.json": b"2"})
    other.compact()
    store.refresh()
    assert store.keys("") == ["runs/a.json", "runs/b.json", "runs/c.json"]


@pytest.mark.slow
def test_the_refs_of_a_remote_with_very_many_are_listed_once(
    place: Place, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_remote, "_LISTED_MOST", 2)
    store = place.open()
    for name in "abcd":
        place.open().add({f"runs/{name}.json": b"1"})
        store.refresh()
        assert f"runs/{name}.json" in store.keys("")
    git_server.requests.clear()
    store.refresh()
    assert len(store.keys("")) == 4
    assert len(git_server.requests) == 3


def test_an_append_after_reading_the_log_fetches_nothing(place: Place, git_server: GitServer) -> None:
    head = place.open().append("registry/m", None, b"event 1")
    store = place.open()
    assert store.head("registry/m") == head
    git_server.requests.clear()
    second = store.append("registry/m", head, b"event 2")
    assert {r.service for r in git_server.requests} == {"receive-pack"}
    git_server.requests.clear()
    assert store.entries("registry/m") == [b"event 1", b"event 2"] and store.head("registry/m") == second
    assert not git_server.requests


def test_a_run_and_its_files_are_one_push(tmp_path: Path, git_server: GitServer) -> None:
    place = git_place(tmp_path, git_server)
    model = tmp_path / "model"
    told: list[int] = []
    model.write_bytes(b"abc")
    digest = f"sha256:{sha256(b'abc').hexdigest()}"

    store, files = place.open(), open_files(place.uri, None, place.environment())
    assert isinstance(store, TakesFiles) and files is not None
    key = f"runs/{'a' * 40}-{'b' * 32}.json"
    store.add_with({key: b"1\n"}, files, {digest: model}, told.append)
    assert [r.service for r in git_server.requests] == ["receive-pack", "receive-pack"]
    assert sum(told) == 3 and store.read([key]) == {key: b"1\n"}
    assert files.missing([digest]) == set()


@pytest.mark.slow
def test_a_record_of_many_bytes_is_written_and_read(place: Place) -> None:
    key, data = f"runs/{'a' * 40}-{'b' * 32}.json", b"%s\n" % (b"1" * 15_000_000)
    place.open().add({key: data})
    assert place.open().read([key]) == {key: data}


def test_a_state_is_kept_by_one_push(place: Place, git_server: GitServer) -> None:
    store = place.open()
    head = store.append("registry/m", None, b"event 1\n")
    git_server.requests.clear()
    store.put_state("registry/m", b"one\n")
    assert [r.service for r in git_server.requests] == ["receive-pack", "receive-pack"]
    assert place.open().state("registry/m") == b"one\n" and place.open().head("registry/m") == head


@pytest.mark.slow
@pytest.mark.parametrize("folded", [True, False])
def test_a_check_holds_few_objects_at_a_time(place: Place, git_server: GitServer, folded: bool) -> None:
    """Those of a large store do not fit into memory."""
    leave_pending(git_server.path("remote"), 250)
    if folded:
        place.open().compact()
    visited: list[Mapping[str, bytes]] = []
    assert place.open(may_fold=False).check(visit=lambda objects: visited.append(dict(objects))) == []
    assert [len(objects) for objects in visited if objects] == [100, 100, 50]
    assert {key: data for objects in visited for key, data in objects.items()} == {
        f"runs/a-{number:03d}.json": b"%d" % number for number in range(250)
    }


def test_what_readers_would_take_for_no_write_is_refused(place: Place) -> None:
    largest = {f"runs/{number:040x}-1.json": b"{}\n" for number in range(bundle.MAX_OBJECTS)}
    place.open().add(largest)
    assert place.open().keys("runs/") == sorted(largest)
    many = {f"runs/{number:040x}-2.json": b"{}\n" for number in range(20_000)}
    for wrong in (many, {"runs/a/b/c/d/e/f/g/h/i.json": b"1"}):
        with pytest.raises(StoreError, match="too large"):
            place.open().add(wrong)
    assert place.open().keys("runs/") == sorted(largest)


@pytest.mark.slow
def test_a_protected_branch_still_takes_runs(tmp_path: Path, git_server: GitServer) -> None:
    place = git_place(tmp_path, git_server, protected=["ciplug"])
    leave_pending(git_server.path("remote"), FOLD_AT)
    place.open().add({"runs/b.json": b"1"})
    assert len(place.open().keys("runs/")) == FOLD_AT + 1
    with pytest.raises(StoreError, match="protected") as refused:
        place.open().compact()
    assert "ciplug" in (refused.value.hint or "")
    with pytest.raises(StoreError, match="protected"):
        place.open().append("registry/m", None, b"event")
    assert len(place.open().keys("runs/")) == FOLD_AT + 1


def test_no_permission_is_said_without_the_token(place: Place, git_server: GitServer) -> None:
    git_server.token = "s3cret-token"
    place.env = {"CIPLUG_PUSH_TOKEN": "wr0ng-token", "CIPLUG_PUSH_TOKEN_HOST": git_server.origin}
    with pytest.raises(StoreError) as refused:
        place.open().add({"runs/a.json": b"1"})
    assert "CIPLUG_PUSH_TOKEN" in (refused.value.hint or "")
    assert "wr0ng-token" not in str(refused.value)
    place.env = {"CIPLUG_PUSH_TOKEN": "s3cret-token", "CIPLUG_PUSH_TOKEN_HOST": git_server.origin}
    place.open().add({"runs/a.json": b"1"})
    assert place.open().keys("") == ["runs/a.json"]


def test_a_password_is_in_no_command_line(
    tmp_path: Path, place: Place, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_server.token = "s3cret/token"
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(trace))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "http.https://elsewhere.example/.extraheader")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Authorization: Basic b3RoZXI=")
    place.uri = place.uri.replace("://", "://bot:s3cret%2Ftoken@")
    store = place.open()
    store.add({"runs/a.json": b"1"})
    assert store.keys("runs/") == ["runs/a.json"]
    assert "remote-http" in trace.read_text()
    assert "s3cret" not in trace.read_text() + store.uri + store.address


@pytest.mark.slow
def test_a_damaged_cache_is_made_anew(tmp_path: Path, place: Place) -> None:
    cache = tmp_path / "cache"
    place.open(cache=cache).add({"runs/a.json": b"1"})
    place.open(cache=cache).compact()
    assert place.open(cache=cache).keys("") == ["runs/a.json"]
    for pack in cache.rglob("*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(b"not a pack")
    place.open(cache=cache).add({"runs/b.json": b"2"})
    assert place.open(cache=cache).read(["runs/a.json", "runs/b.json"]) == {"runs/a.json": b"1", "runs/b.json": b"2"}
    place.open(cache=cache).append("registry/m", None, b"event")
    name = object_id("blob", b"event", "sha1")
    (kept,) = cache.rglob(f"{name[:2]}/{name[2:]}")
    kept.chmod(0o644)
    kept.write_bytes(b"not an object")
    # git takes it for an object that is here, and does not fetch it.
    with pytest.raises(StoreError, match="has lost 1 object") as caught:
        place.open(cache=cache).entries("registry/m")
    assert caught.value.hint == "see: ciplug fsck"
    assert place.open(cache=cache).check() == []
    assert place.open(cache=cache).entries("registry/m") == [b"event"]


def test_a_store_of_a_newer_format_is_not_touched(tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    remote.mkdir()
    git(remote, "init", "-q", "-b", "ciplug")
    (remote / "FORMAT").write_text("ciplug git store 9\n")
    git(remote, "add", "-A")
    git(remote, "commit", "-q", "-m", "from the future")
    place = Place(tmp_path, f"git+{remote.as_uri()}")
    with pytest.raises(StoreError, match="another format"):
        place.open().keys("")
    with pytest.raises(StoreError, match="another format"):
        place.open().append("registry/m", None, b"event")


def test_sha256_repositories(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    git(folder, "init", "-q", "--object-format=sha256")
    git(folder, "commit", "-q", "--allow-empty", "-m", "x")
    store = open_store("git:", discover(folder), {})
    store.add({"runs/a.json": b"1"})
    assert store.compact() == 1
    store.append("registry/m", None, b"event")
    assert store.keys("runs/") == ["runs/a.json"]


def test_the_branch_says_its_format(place: Place, git_server: GitServer) -> None:
    place.open().add({"runs/a-1.json": b"1"})
    place.open().compact()
    assert git(git_server.path("remote"), "show", "ciplug:FORMAT").startswith("ciplug git store ")


@pytest.mark.slow
def test_what_nobody_may_fold_is_said(tmp_path: Path, git_server: GitServer) -> None:
    place = git_place(tmp_path, git_server, protected=["ciplug"])
    leave_pending(git_server.path("remote"), PENDING_ALARM - 1)
    quiet = place.open()
    assert len(quiet.keys("runs/")) == PENDING_ALARM - 1
    assert quiet.notes == []
    place.open().add({"runs/b.json": b"1"})
    reader = place.open()
    assert len(reader.keys("runs/")) == PENDING_ALARM
    (note,) = reader.notes
    assert f"{PENDING_ALARM} writes wait" in note
    assert "ciplug compact" in note
