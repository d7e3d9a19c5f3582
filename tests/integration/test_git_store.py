"""The git store keeps its promises against a real git server over HTTP, and against a plain path."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ciplug import git as git_program
from ciplug.errors import Conflict, StoreError
from ciplug.stores import Head, open_store
from ciplug.stores.git_branch import FOLD_AT, GitBranchStore
from ciplug.stores.git_objects import Objects
from tests.project import git
from tests.servers.git_http import GitServer

Open = Callable[[], GitBranchStore]


def opener(url: str, folder: Path) -> Open:
    """Opens the store as a new process with an empty cache would."""
    number = iter(range(10_000))

    def open_() -> GitBranchStore:
        cache = folder / f"cache-{next(number)}"
        config = git_program.configuration(folder)
        return GitBranchStore(url, uri=url, branch="ciplug", cache=cache, config=config)

    return open_


@pytest.fixture(params=["path", "http", "http-no-filter", "http-no-atomic", "http-no-custom-refs"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path, git_server: GitServer) -> Iterator[Open]:
    if request.param == "path":
        git(tmp_path, "init", "-q", "--bare", "remote.git")
        yield opener((tmp_path / "remote.git").as_uri(), tmp_path)
        return
    options = {
        "http": {},
        "http-no-filter": {"filters": False},
        "http-no-atomic": {"atomic": False},
        "http-no-custom-refs": {"custom_refs": False},
    }[request.param]
    git_server.create("remote", **options)
    yield opener(git_server.url("remote"), tmp_path)


def test_what_is_added_is_read_by_another(fresh: Open) -> None:
    fresh().add({"runs/a-1.json": b"one", "runs/a-1.series": b"\0\xff"})
    reader = fresh()
    assert reader.keys("runs/") == ["runs/a-1.json", "runs/a-1.series"]
    assert reader.keys("runs/b") == []
    assert reader.read(["runs/a-1.json", "runs/a-1.series", "runs/none"]) == {
        "runs/a-1.json": b"one",
        "runs/a-1.series": b"\0\xff",
    }


def test_an_empty_store_reads_as_empty(fresh: Open) -> None:
    store = fresh()
    assert store.keys("") == []
    assert store.read(["x"]) == {}
    assert store.head("registry/m") is None
    assert store.entries("registry/m") == []
    assert store.compact() == 0


def test_add_is_idempotent_and_refuses_other_bytes(fresh: Open) -> None:
    fresh().add({"runs/a.json": b"one"})
    fresh().add({"runs/a.json": b"one"})
    with pytest.raises(Conflict, match=r"runs/a\.json"):
        fresh().add({"runs/a.json": b"two"})
    assert fresh().read(["runs/a.json"]) == {"runs/a.json": b"one"}


def test_append_is_compare_and_swap(fresh: Open) -> None:
    first = fresh().append("registry/m", None, b"event 1")
    assert first.seq == 1
    with pytest.raises(Conflict) as lost:
        fresh().append("registry/m", None, b"another event 1")
    assert lost.value.head == first
    second = fresh().append("registry/m", first, b"event 2")
    other = fresh().append("registry/n", None, b"of another log")
    assert (second.seq, other.seq) == (2, 1)
    assert fresh().entries("registry/m") == [b"event 1", b"event 2"]
    assert fresh().head("registry/m") == second


def test_exactly_one_of_racing_appends_wins(fresh: Open) -> None:
    barrier = threading.Barrier(4)

    def attempt(number: int) -> Head | None:
        store = fresh()
        barrier.wait()
        try:
            return store.append("registry/m", None, b"from %d" % number)
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        won = [head for head in pool.map(attempt, range(4)) if head]
    assert len(won) == 1
    assert len(fresh().entries("registry/m")) == 1


def test_racing_appends_to_different_logs_all_win(fresh: Open) -> None:
    with ThreadPoolExecutor(4) as pool:
        heads = list(pool.map(lambda n: fresh().append(f"registry/m{n}", None, b"event"), range(4)))
    assert [head.seq for head in heads] == [1, 1, 1, 1]


def test_a_fold_changes_no_fact(fresh: Open) -> None:
    for number in range(5):
        fresh().add({f"runs/a-{number}.json": b"%d" % number})
    head = fresh().append("registry/m", None, b"event")
    assert fresh().compact() == 5
    fresh().add({"runs/b.json": b"late"})
    assert fresh().compact() == 1
    assert fresh().compact() == 0
    store = fresh()
    assert store.pending == 0
    keys = store.keys("runs/")
    assert len(keys) == 6
    assert store.read(keys)["runs/a-3.json"] == b"3"
    assert store.head("registry/m") == head
    fresh().append("registry/m", head, b"after the fold")


def test_writers_and_folders_together_lose_nothing(fresh: Open) -> None:
    def write(number: int) -> None:
        fresh().add({f"runs/a-{number:02d}.json": b"%d" % number})

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(write, n) for n in range(16)]
        jobs += [pool.submit(lambda: fresh().compact()) for _ in range(4)]
        for job in jobs:
            job.result()
    fresh().compact()
    assert len(fresh().keys("runs/")) == 16


def leave_pending(remote: Path, count: int) -> None:
    """As if so many writers had pushed, without the pushes."""
    written = Objects(remote, "sha1")
    lines = []
    for number in range(count):
        tree = written.nested_tree({f"new/runs/a-{number:03d}.json": written.blob(b"%d" % number)})
        lines.append(f"create refs/ciplug/inbox/{number:032x} {written.commit(tree, (), 'ciplug', 0)}")
    subprocess.run(["git", "update-ref", "--stdin"], cwd=remote, input="\n".join([*lines, ""]), text=True, check=True)


def test_a_reader_folds_when_much_is_pending(tmp_path: Path, git_server: GitServer) -> None:
    leave_pending(git_server.create("remote"), FOLD_AT)
    fresh = opener(git_server.url("remote"), tmp_path)
    reader = fresh()
    assert len(reader.keys("runs/")) == FOLD_AT
    assert fresh().pending == 0
    assert len(fresh().keys("runs/")) == FOLD_AT


def test_a_write_is_two_requests_and_no_fetch(tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("remote")
    fresh = opener(git_server.url("remote"), tmp_path)
    fresh().add({"runs/a.json": b"1"})
    assert [r.service for r in git_server.requests] == ["receive-pack", "receive-pack"]


@pytest.mark.parametrize("fault", ["before", "after", "503"])
def test_a_dropped_connection_is_tried_again(tmp_path: Path, git_server: GitServer, fault: str) -> None:
    git_server.create("remote")
    fresh = opener(git_server.url("remote"), tmp_path)
    git_server.fail_next(fault, service="receive-pack")
    fresh().add({"runs/a.json": b"1"})
    git_server.fail_next(fault, service="receive-pack")
    head = fresh().append("registry/m", None, b"event")
    assert fresh().read(["runs/a.json"]) == {"runs/a.json": b"1"}
    assert fresh().entries("registry/m") == [b"event"]
    assert fresh().head("registry/m") == head


def test_a_protected_branch_still_takes_runs(tmp_path: Path, git_server: GitServer) -> None:
    leave_pending(git_server.create("remote", protected=["ciplug"]), FOLD_AT)
    fresh = opener(git_server.url("remote"), tmp_path)
    fresh().add({"runs/b.json": b"1"})
    assert len(fresh().keys("runs/")) == FOLD_AT + 1
    with pytest.raises(StoreError, match="protected") as refused:
        fresh().compact()
    assert "ciplug" in (refused.value.hint or "")
    with pytest.raises(StoreError, match="protected"):
        fresh().append("registry/m", None, b"event")


def test_no_permission_is_said_without_the_token(tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("remote")
    git_server.token = "s3cret-token"
    url = git_server.url("remote")
    store = GitBranchStore(url, uri=url, branch="ciplug", cache=tmp_path / "c", config=(), token="wr0ng-token")
    with pytest.raises(StoreError) as refused:
        store.add({"runs/a.json": b"1"})
    assert "CIPLUG_PUSH_TOKEN" in (refused.value.hint or "")
    assert "wr0ng-token" not in str(refused.value)
    good = GitBranchStore(url, uri=url, branch="ciplug", cache=tmp_path / "d", config=(), token="s3cret-token")
    good.add({"runs/a.json": b"1"})
    assert good.keys("") == ["runs/a.json"]


def test_a_damaged_cache_is_made_anew(tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("remote")
    url = git_server.url("remote")

    def store() -> GitBranchStore:
        return GitBranchStore(url, uri=url, branch="ciplug", cache=tmp_path / "cache", config=())

    store().add({"runs/a.json": b"1"})
    store().compact()
    assert store().keys("") == ["runs/a.json"]
    for pack in (tmp_path / "cache").rglob("*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(b"not a pack")
    store().add({"runs/b.json": b"2"})
    assert store().read(["runs/a.json", "runs/b.json"]) == {"runs/a.json": b"1", "runs/b.json": b"2"}


def test_a_store_of_a_newer_format_is_not_touched(tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    remote.mkdir()
    git(remote, "init", "-q", "-b", "ciplug")
    (remote / "FORMAT").write_text("ciplug git store 9\n")
    git(remote, "add", "-A")
    git(remote, "commit", "-q", "-m", "from the future")
    fresh = opener(remote.as_uri(), tmp_path)
    with pytest.raises(StoreError, match="another format"):
        fresh().keys("")
    with pytest.raises(StoreError, match="another format"):
        fresh().append("registry/m", None, b"event")


def test_sha256_repositories(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    git(folder, "init", "-q", "--object-format=sha256")
    git(folder, "commit", "-q", "--allow-empty", "-m", "x")
    store = open_store("git:", git_program.discover(folder), {})
    store.add({"runs/a.json": b"1"})
    assert store.compact() == 1
    store.append("registry/m", None, b"event")
    assert store.keys("runs/") == ["runs/a.json"]


def test_the_branch_is_a_sound_repository(fresh: Open, tmp_path: Path) -> None:
    for number in range(3):
        fresh().add({f"runs/a-{number}.json": b"1"})
    fresh().compact()
    fresh().append("registry/m", None, b"event")
    for remote in (tmp_path / "remote.git", tmp_path / "git-server" / "remote.git"):
        if remote.exists():
            done = subprocess.run(["git", "fsck", "--full", "--strict"], cwd=remote, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
            assert git(remote, "show", "ciplug:FORMAT") == "ciplug git store 1"
