"""Many writers at once, processes killed at any moment, connections that break: no fact is lost, none is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ciplug.errors import Conflict, StoreError
from ciplug.records.registry_event import RegistryEvent
from ciplug.registry import ledger
from ciplug.stores.git_branch import GitBranchStore
from ciplug.stores.git_objects import BLOB, TREE, Objects
from tests.servers.git_http import GitServer

T = TypeVar("T")
MODEL = "wine"
WORKER = """
import sys
from pathlib import Path
from ciplug.records.registry_event import RegistryEvent
from ciplug.registry import ledger
from ciplug.stores.git_branch import GitBranchStore

url, cache, verb, number = sys.argv[1:]
store = GitBranchStore(url, uri=url, branch="ciplug", cache=Path(cache), config=())
if verb == "add":
    store.add({f"runs/r-{number}.json": number.encode(), f"runs/r-{number}.series": b"s" + number.encode()})
elif verb == "compact":
    store.compact()
else:
    log = ledger.read(store, "wine")
    event = RegistryEvent(seq=0, type="register", model="wine", version=len(log.events) + 1, run=number, created="")
    ledger.append(store, log, event)
"""


def open_store(server: GitServer, cache: Path) -> GitBranchStore:
    url = server.url("remote")
    return GitBranchStore(url, uri=url, branch="ciplug", cache=cache, config=())


def run_objects(number: int) -> dict[str, bytes]:
    return {f"runs/r-{number}.json": b"%d" % number, f"runs/r-{number}.series": b"s%d" % number}


def persist(action: Callable[[], T]) -> T:
    """Do it until it is done, as the spool does with what was not sent: some connections break three times."""
    for _ in range(20):
        with suppress(StoreError):
            return action()
    return action()


def register(store: GitBranchStore, name: str) -> int:
    """Append one event, as promotions do: who loses a race looks again. Returns how often it lost."""
    for lost in range(200):
        log = ledger.read(store, MODEL)
        if any(event.run == name for event in log.events):
            return lost
        event = RegistryEvent(seq=0, type="register", model=MODEL, version=len(log.events) + 1, run=name, created="")
        try:
            ledger.append(store, log, event)
        except Conflict:
            continue
        return lost
    raise AssertionError("each time another writer was first")


def check(server: GitServer, cache: Path, runs: int, events: set[str]) -> None:
    """The remote is sound, and a reader who has never been here finds each fact once."""
    remote = server.path("remote")
    fsck = subprocess.run(["git", "fsck", "--full", "--strict"], cwd=remote, capture_output=True, text=True)
    assert fsck.returncode == 0, fsck.stderr
    everything = {key: data for number in range(runs) for key, data in run_objects(number).items()}
    for name in ("before-fold", "after-fold"):
        store = open_store(server, cache / name)
        assert store.keys("runs/") == sorted(everything)
        assert store.read(everything) == everything
        found = [event.run for event in ledger.read(store, MODEL).events]  # its chain is verified
        assert len(found) == len(set(found))
        assert set(found) == events
        store.compact()
    assert open_store(server, cache / "after-fold").pending == 0


@contextmanager
def broken_connections(server: GitServer, chance: random.Random, every: float) -> Iterator[None]:
    """Spoil a request now and then."""
    ended = threading.Event()

    def spoil() -> None:
        while not ended.wait(every * chance.uniform(0.5, 1.5)):
            server.fail_next(
                chance.choice(["before", "after", "503"]), service=chance.choice(["receive-pack", "upload-pack"])
            )

    thread = threading.Thread(target=spoil)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        while any(server.take_fault(service) for service in ("receive-pack", "upload-pack")):
            pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "faults", "no-atomic", "no-custom-refs"])
def test_writers_folders_and_promoters_together(tmp_path: Path, git_server: GitServer, kind: str) -> None:
    writers, each, promotions = 32, 2, 6
    git_server.create("remote", atomic=kind != "no-atomic", custom_refs=kind != "no-custom-refs")
    ended = threading.Event()

    def write(number: int) -> None:
        for one in range(number * each, (number + 1) * each):
            store = open_store(git_server, tmp_path / f"writer-{number}")
            persist(partial(store.add, run_objects(one)))

    def fold(number: int) -> None:
        store = open_store(git_server, tmp_path / f"folder-{number}")
        while not ended.wait(0.2):
            persist(store.compact)

    def promote(number: int) -> list[str]:
        names = [f"{number}-{one}" for one in range(promotions)]
        for name in names:
            persist(partial(register, open_store(git_server, tmp_path / f"promoter-{number}"), name))
        return names

    def watch() -> None:
        """What a reader has once seen, a later reader sees too."""
        seen: set[str] = set()
        while not ended.wait(0.1):
            keys = set(persist(partial(open_store(git_server, tmp_path / "reader").keys, "runs/")))
            assert seen <= keys
            seen = keys

    with ThreadPoolExecutor(writers + 6) as pool:
        background = [pool.submit(fold, 0), pool.submit(fold, 1), pool.submit(watch)]
        with broken_connections(git_server, random.Random(5), 0.4 if kind == "faults" else 1e6):
            jobs = [pool.submit(write, number) for number in range(writers)]
            promoters = [pool.submit(promote, number) for number in range(2)]
            try:
                for job in jobs:
                    job.result()
                events = {name for job in promoters for name in job.result()}
            finally:
                ended.set()
        for job in background:
            job.result()
    check(git_server, tmp_path, writers * each, events)


def start(server: GitServer, cache: Path, verb: str, number: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, server.url("remote"), str(cache), verb, str(number)],
        start_new_session=True,
        stderr=subprocess.PIPE,
    )


def kill(worker: subprocess.Popen[bytes], *, with_git: bool) -> None:
    """kill -9: of the process alone, and git lives on for a while, or of its git with it."""
    if with_git:
        os.killpg(worker.pid, signal.SIGKILL)
    else:
        worker.kill()
    worker.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups to kill")
@pytest.mark.parametrize("verb", ["add", "compact", "append"])
@pytest.mark.parametrize("points", [2, pytest.param(24, marks=pytest.mark.slow)])
def test_killed_at_any_moment(tmp_path: Path, git_server: GitServer, verb: str, points: int) -> None:
    """The next process, with the cache that the killed one left, finishes the work."""
    git_server.create("remote")
    cache = tmp_path / "cache"
    began = time.perf_counter()
    assert start(git_server, tmp_path / "warm-up", verb, 10_000).wait() == 0
    whole = time.perf_counter() - began
    expected = {"10000"} if verb == "append" else set()
    chance = random.Random(7)
    runs = 0
    if verb == "add":
        open_store(git_server, tmp_path / "other").add(run_objects(0))
        runs = 1
    for point in range(points):
        if verb == "compact":
            for _ in range(3):
                open_store(git_server, tmp_path / "other").add(run_objects(runs))
                runs += 1
        number = runs if verb == "add" else point
        worker = start(git_server, cache, verb, number)
        time.sleep(chance.uniform(0.2, 1.1) * whole)
        kill(worker, with_git=bool(point % 2))
        again = start(git_server, cache, verb, number)
        _, said = again.communicate(timeout=120)
        assert again.returncode == 0, f"point {point}: {said.decode()}"
        runs += verb == "add"
    store = open_store(git_server, tmp_path / "reader")
    if verb == "append":
        # A killed process may have appended before it was killed, and its successor again.
        found = [event.run for event in ledger.read(store, MODEL).events]
        assert set(found) == expected | {str(point) for point in range(points)}
        return
    wanted = {key for number in range(runs) for key in run_objects(number)}
    assert wanted <= set(store.keys("runs/"))
    fsck = subprocess.run(["git", "fsck", "--full"], cwd=git_server.path("remote"), capture_output=True, text=True)
    assert fsck.returncode == 0, fsck.stderr


Build = Callable[[Objects], str]


def below(written: Objects, tree: str, *folders: str) -> str:
    for name in reversed(folders):
        tree = written.tree({name: (TREE, tree)})
    return tree


def one_file(*path: str, mode: str = BLOB) -> Build:
    """A commit with one file, under names that only a hand-made tree can have."""

    def build(written: Objects) -> str:
        oid = "1" * 40 if mode == "160000" else written.blob(b"evil")
        tree = below(written, written.tree({path[-1]: (mode, oid)}), *path[:-1])
        return written.commit(tree, (), "x", 0)

    return build


def bomb(written: Objects) -> str:
    tree = written.tree({str(number): (BLOB, written.blob(b"evil")) for number in range(10)})
    for _ in range(5):
        tree = written.tree({str(number): (TREE, tree) for number in range(10)})
    return written.commit(below(written, tree, "new"), (), "x", 0)


HOSTILE: dict[str, Build] = {
    "a blob in place of a commit": lambda written: written.blob(b"evil"),
    "a submodule": one_file("new", "runs", "x-1.json", mode="160000"),
    "a link": one_file("new", "runs", "x-1.json", mode="120000"),
    "not UTF-8": one_file("new", "runs", "x\udcff-1.json"),
    "upwards": one_file("new", "runs", ".."),
    "a path for a name": one_file("new", "runs", "../../FORMAT"),
    "git's own folder": one_file("new", ".GIT", "config"),
    "a line end": one_file("new", "runs", "x\n-1.json"),
    "a log": one_file("registry", "wine", "000001.json"),
    "another format": one_file("FORMAT"),
    "deep": one_file("new", *["d"] * 1200, "x"),
    "a tree of a million files": bomb,
}


@pytest.mark.parametrize("build", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_no_writer_of_ours_makes_is_left_alone(tmp_path: Path, git_server: GitServer, build: Build) -> None:
    remote = git_server.create("remote")
    oid = build(Objects(remote, "sha1"))
    subprocess.run(["git", "update-ref", f"refs/ciplug/inbox/{'0' * 32}", oid], cwd=remote, check=True)
    open_store(git_server, tmp_path / "a").add(run_objects(0))
    for name in ("b", "c"):
        store = open_store(git_server, tmp_path / name)
        assert store.keys("") == sorted([*run_objects(0), *(["registry/wine/000001.json"] if name == "c" else [])])
        assert store.read(run_objects(0)) == run_objects(0)
        assert store.compact() == (1 if name == "b" else 0)
        assert register(store, name) == 0
    kept = subprocess.run(["git", "for-each-ref", "refs/ciplug"], cwd=remote, capture_output=True, text=True).stdout
    assert kept.split()[0] == oid


def test_an_object_is_never_an_entry_of_a_log(tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("remote")
    for number in (1, 2):
        open_store(git_server, tmp_path / "a").add({f"registry/wine/{number:06d}.json": b"evil"})
    for _ in ("pending", "folded"):
        store = open_store(git_server, tmp_path / "b")
        assert ledger.models(store) == []
        assert store.entries("registry/wine") == []
        store.compact()
    register(store, "one")
    assert ledger.models(store) == [MODEL]
    assert len(ledger.read(store, MODEL).events) == 1
    assert b'"run":"one"' in store.read(["registry/wine/000001.json"])["registry/wine/000001.json"]


@pytest.mark.parametrize("key", ["runs", "runs/r-0.json/x"])
def test_a_key_below_another_takes_nothing_away(tmp_path: Path, git_server: GitServer, key: str) -> None:
    """A tree holds a file or a folder under a name: the fold takes the one that is there, and leaves the other."""
    git_server.create("remote")
    open_store(git_server, tmp_path / "a").add(run_objects(0))
    open_store(git_server, tmp_path / "a").compact()
    open_store(git_server, tmp_path / "a").add({key: b"evil"})
    open_store(git_server, tmp_path / "a").compact()
    store = open_store(git_server, tmp_path / "b")
    assert store.read([*run_objects(0), key]) == {**run_objects(0), key: b"evil"}
    assert store.pending == 1


@pytest.mark.parametrize("left", ["shallow.lock", "config.lock", "refs/store/branch.lock", "empty objects"])
def test_what_a_killed_git_leaves_stops_nobody(tmp_path: Path, git_server: GitServer, left: str) -> None:
    git_server.create("remote")
    cache = tmp_path / "cache"
    open_store(git_server, cache).add(run_objects(0))
    open_store(git_server, cache).compact()
    open_store(git_server, cache).keys("")
    (repository,) = cache.glob("*.git")
    if left == "empty objects":
        for file in repository.glob("objects/??/*"):
            file.write_bytes(b"")
    else:
        (repository / left).parent.mkdir(parents=True, exist_ok=True)
        (repository / left).touch()
    open_store(git_server, tmp_path / "other").add(run_objects(1))
    open_store(git_server, tmp_path / "other").compact()
    assert open_store(git_server, cache).read(run_objects(1)) == run_objects(1)
    register(open_store(git_server, cache), "one")


def test_the_first_fold_hides_nothing_from_a_reader(
    tmp_path: Path, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come between a reader's look for the branch and its look into the inbox."""
    git_server.create("remote")
    open_store(git_server, tmp_path / "a").add(run_objects(0))
    reader, folder = open_store(git_server, tmp_path / "b"), open_store(git_server, tmp_path / "c")
    fetch = reader._remote.fetch
    looks: list[str | None] = []

    def look(*args: str, **options: Any) -> str | None:
        looks.append(fetch(*args, **options))
        if len(looks) == 1:
            assert folder.compact() == 1
        return looks[-1]

    monkeypatch.setattr(reader._remote, "fetch", look)
    assert reader.keys("runs/") == sorted(run_objects(0))
    assert "couldn't find remote ref" in (looks[0] or "")


def test_an_append_whose_answers_are_lost_is_known_by_its_entry(tmp_path: Path, git_server: GitServer) -> None:
    git_server.create("remote")
    store = open_store(git_server, tmp_path / "a")
    git_server.fail_next("after", service="receive-pack")
    head = store.append("registry/m", None, b"event")
    assert head.seq == 1
    assert store.entries("registry/m") == [b"event"]


def test_a_password_is_in_no_command_line(
    tmp_path: Path, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_server.create("remote")
    git_server.token = "s3cret/token"
    url = git_server.url("remote").replace("://", "://bot:s3cret%2Ftoken@")
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(trace))
    stored = (("http.https://elsewhere.example/.extraheader", "Authorization: Basic b3RoZXI="),)
    store = GitBranchStore(url, uri=f"git+{url}", branch="ciplug", cache=tmp_path / "a", config=stored)
    store.add(run_objects(0))
    assert store.keys("runs/") == sorted(run_objects(0))
    assert "remote-http" in trace.read_text()
    assert "s3cret" not in trace.read_text() + store.uri + store.address
