"""Segments, the series branch and what is kept of a lost branch: the git store's own forms, seen from outside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from ciplug.git.push import PushResult
from ciplug.records import columns
from ciplug.stores.git import folding, segments
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.snapshot import Snapshot
from ciplug.stores.git.store import GitStore
from tests.project import git
from tests.servers.git_http import GitServer

Open = Callable[[], GitStore]
KINDS = {
    "http": {},
    "http-no-filter": {"filters": False},
    "http-no-atomic": {"atomic": False},
    "http-no-custom-refs": {"custom_refs": False},
}


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "SEGMENT_AT", 12)


@pytest.fixture(params=["http", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "http")])
def remote(request: pytest.FixtureRequest, git_server: GitServer) -> Iterator[Path]:
    yield git_server.create("remote", **KINDS[request.param])


@pytest.fixture
def fresh(git_server: GitServer, tmp_path: Path) -> Open:
    """Opens the store as a new process with an empty cache would."""
    number = iter(range(10_000))
    url = git_server.url("remote")
    return lambda: GitStore(url, uri=url, branch="ciplug", cache=tmp_path / f"cache-{next(number)}", config=())


def write_of(number: int, *, series: bool = True, accuracy: float = 0.9) -> dict[str, bytes]:
    """A run with a verdict, and with step series if asked for."""
    commit, run = f"{number:040x}", f"{number:032x}"
    record = {"id": run, "model": "wine", "commit": commit, "status": "finished", "metrics": {"accuracy": accuracy}}
    objects = {
        f"runs/{commit}-{run}.json": json.dumps(record, separators=(",", ":"), sort_keys=True).encode() + b"\n",
        f"verdicts/{commit}-{run}-0123456789ab.json": b'{"outcome":"PASS"}\n',
    }
    return {**objects, f"runs/{commit}-{run}.series": b"\0\xff%d\n" % number} if series else objects


def fill(fresh: Open, *numbers: int) -> dict[str, bytes]:
    everything: dict[str, bytes] = {}
    for number in numbers:
        fresh().add(write_of(number))
        everything.update(write_of(number))
    return everything


def has_all(store: GitStore, everything: dict[str, bytes]) -> None:
    assert store.keys("") == sorted(everything)
    assert store.read([*everything, "runs/none-1.json"]) == everything
    for number in {key.partition("-")[0].partition("/")[2] for key in everything}:
        group = sorted(key for key in everything if key.startswith(f"runs/{number}-"))
        assert store.keys(f"runs/{number}-") == group
    held = store.columns(store.segments())
    loose = set(store.loose())
    assert loose.isdisjoint(key for one in held.values() for key in one.keys)
    runs = {key for key in everything if key.startswith("runs/") and key.endswith(".json")}
    assert {key for one in held.values() for key in one.keys} | (loose & runs) == runs


def is_sound(remote: Path, store: GitStore) -> None:
    done = subprocess.run(
        ["git", "fsck", "--full", "--strict"], cwd=remote, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert store.check() == []


@pytest.mark.slow
def test_what_is_folded_becomes_a_segment_and_stays_what_it_was(remote: Path, fresh: Open) -> None:
    everything = fill(fresh, *range(5))
    assert fresh().compact() == 5
    has_all(fresh(), everything)
    (first,) = fresh().segments()
    assert fresh().loose() == []
    everything |= fill(fresh, 5, 6)
    assert fresh().compact() == 2
    everything |= fill(fresh, *range(7, 12))
    has_all(fresh(), everything)
    assert fresh().compact() == 5
    assert len(fresh().segments()) == 2
    assert fresh().segments()[0] == first
    has_all(fresh(), everything)
    is_sound(remote, fresh())
    names = git(remote, "ls-tree", "-r", "--name-only", "ciplug").splitlines()
    assert not [name for name in names if name.endswith(".series")]
    assert len(git(remote, "ls-tree", "-r", "--name-only", "ciplug-series").splitlines()) == 12


def test_columns_of_a_segment_are_those_of_its_records(remote: Path, fresh: Open) -> None:
    everything = fill(fresh, *range(5))
    fresh().compact()
    store = fresh()
    (held,) = store.columns([*store.segments(), "000009-000000000000"]).values()
    assert held == columns.of(sorted(everything.items()))
    assert held.metrics["accuracy"].values == [0.9] * 5
    assert held.attributes["status"] == ["finished"] * 5


@pytest.mark.slow
def test_a_group_is_found_in_its_segment_alone(
    git_server: GitServer, fresh: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_server.create("remote")
    for start in range(0, 30, 6):
        fill(fresh, *range(start, start + 6))
        fresh().compact()
    store = fresh()
    assert len(store.segments()) == 5
    read: list[str] = []
    contents = Snapshot.contents
    monkeypatch.setattr(
        Snapshot, "contents", lambda self, names: contents(self, [n for n in names if not read.append(n)])
    )
    assert len(store.keys(f"runs/{7:040x}-", f"verdicts/{7:040x}-")) == 3
    assert read == [store.segments()[1]]
    assert store.keys(f"runs/{99:040x}-") == []
    assert len(read) == 1


@pytest.mark.slow
def test_a_write_that_comes_again_after_its_segment_is_not_a_second_one(remote: Path, fresh: Open) -> None:
    everything = fill(fresh, *range(5))
    fresh().compact()
    fresh().add(write_of(3))
    has_all(fresh(), everything)
    fresh().compact()
    assert fresh().pending == 0
    has_all(fresh(), everything)
    other = write_of(3, accuracy=0.1)
    fresh().add(other)
    has_all(fresh(), everything)
    assert fresh().compact() == 0
    has_all(fresh(), everything)
    (problem,) = fresh().check()
    assert "other bytes" in problem.what


@pytest.mark.slow
def test_records_that_are_not_json_keep_their_bytes(remote: Path, fresh: Open) -> None:
    odd = {
        f"runs/{n:040x}-{n:032x}.json": data
        for n, data in enumerate([b"", b"{", b"{}\r\n", b"[1]\n", b'{"a":1}', b'{"a":1}\n\n', b'{"a" : 1 }\n', b"{}\n"])
    }
    odd |= {f'runs/"{n}","record":{{-x.json': b'{"a":1}\n' for n in range(5)}
    for key, data in odd.items():
        fresh().add({key: data})
    fresh().compact()
    assert len(fresh().segments()) == 1
    assert fresh().read(odd) == odd
    assert fresh().keys("") == sorted(odd)


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["moved back", "replaced", "deleted", "written on"])
def test_a_branch_that_somebody_moved_is_put_back(remote: Path, fresh: Open, tmp_path: Path, harm: str) -> None:
    everything = fill(fresh, *range(5))
    fresh().compact()
    head = fresh().append("registry/wine", None, b"one")
    old = git(remote, "rev-parse", "ciplug")
    everything |= fill(fresh, *range(5, 10))
    fresh().compact()
    head = fresh().append("registry/wine", head, b"two")
    everything |= fill(fresh, 10)
    if harm == "moved back":
        git(remote, "update-ref", "refs/heads/ciplug", old)
    elif harm == "replaced":
        written = LooseObjects(remote, "sha1")
        tree = written.tree({"README.md": ("100644", written.blob(b"mine"))})
        git(remote, "update-ref", "refs/heads/ciplug", written.commit(tree, (), "mine", 0))
    else:
        git(remote, "update-ref", "-d", "refs/heads/ciplug")
    logs = {"registry/wine/000001.json": b"one", "registry/wine/000002.json": b"two"}
    left = {"registry/wine/000001.json": b"one"} if harm == "moved back" else {}
    reader = fresh()
    has_all(reader, everything | left)
    assert any("ciplug compact" in note for note in reader.notes)
    assert [p.repairable for p in fresh().check()] == [True, False]
    if harm == "written on":
        fresh().append("registry/other", None, b"other")
        left |= {"registry/other/000001.json": b"other"}
        logs |= left
    elif harm == "moved back":
        assert [p.repaired for p in fresh().check(repair=True)] == [True, False]
    else:
        fresh().compact()
    has_all(fresh(), everything | left)
    store = fresh()
    assert store.kept_entries() == {path: data for path, data in logs.items() if path not in left}
    store.restore_entries(store.kept_entries())
    reader = fresh()
    has_all(reader, everything | logs)
    assert reader.notes == []
    assert reader.head("registry/wine") == head
    is_sound(remote, fresh())


@pytest.mark.slow
def test_a_store_that_is_gone_is_not_an_empty_store(git_server: GitServer, tmp_path: Path) -> None:
    remote = git_server.create("remote")
    url = git_server.url("remote")

    def store() -> GitStore:
        return GitStore(url, uri=url, branch="ciplug", cache=tmp_path / "one", config=())

    store().add(write_of(1))
    store().compact()
    assert store().keys("runs/")
    tip = git(remote, "rev-parse", "ciplug")
    git(remote, "update-ref", "-d", "refs/heads/ciplug")
    git(remote, "update-ref", "-d", "refs/ciplug/keep/tip")
    for _ in range(2):
        reader = store()
        assert reader.keys("runs/") == []
        assert any(tip in note for note in reader.notes)
        assert "is gone" in store().check()[0].what
    git(remote, "update-ref", "refs/heads/ciplug", tip)
    reader = store()
    assert (len(reader.keys("runs/")), reader.notes) == (2, [])
    git(remote, "update-ref", "-d", "refs/heads/ciplug")
    store().compact()
    reader = store()
    assert (reader.keys("runs/"), reader.notes, store().check()) == ([], [], [])


def with_files(remote: Path, files: dict[str, bytes]) -> None:
    """Replace files of the branch."""
    written = LooseObjects(remote, "sha1")
    work = {line.split("\t")[1]: line.split()[2] for line in git(remote, "ls-tree", "-r", "ciplug").splitlines()}
    work.update((path, written.blob(data)) for path, data in files.items())
    tip = git(remote, "rev-parse", "ciplug")
    git(remote, "update-ref", "refs/heads/ciplug", written.commit(written.nested_tree(work), (tip,), "harm", 0))


@pytest.mark.slow
def test_columns_of_other_records_are_mended(git_server: GitServer, fresh: Open) -> None:
    """They can be read, so nobody but a check notices."""
    remote = git_server.create("remote")
    everything = fill(fresh, *range(5))
    fresh().compact()
    (name,) = fresh().segments()
    with_files(remote, {f"segments/{name}.columns.json": columns.encode(columns.of([]))})
    (problem,) = fresh().check(repair=True)
    assert (problem.where, problem.repaired) == (name, True)
    has_all(fresh(), everything)
    is_sound(remote, fresh())


@pytest.mark.slow
def test_damage_to_what_can_be_derived_is_mended(git_server: GitServer, fresh: Open) -> None:
    remote = git_server.create("remote")
    everything = fill(fresh, *range(5))
    fresh().compact()
    (name,) = fresh().segments()
    with_files(remote, {"segments/INDEX": b"nonsense", f"segments/{name}.columns.json": b"{}"})
    has_all(fresh(), everything)
    assert len(fresh().check()) == 2
    assert all(problem.repaired for problem in fresh().check(repair=True))
    has_all(fresh(), everything)
    is_sound(remote, fresh())


@pytest.mark.slow
@pytest.mark.parametrize("may_rewrite", [True, False])
def test_what_is_dropped_is_gone_and_nothing_else(remote: Path, fresh: Open, may_rewrite: bool) -> None:
    everything = fill(fresh, *range(10))
    fresh().compact()
    everything |= fill(fresh, *range(10, 16))
    fresh().compact()
    everything |= fill(fresh, 16, 17)
    head = fresh().append("registry/wine", None, b"one")
    if not may_rewrite:
        git(remote, "config", "receive.denyNonFastForwards", "true")
    gone = {key for number in (0, 1, 12, 16) for key in write_of(number)}
    assert fresh().drop([*gone, "runs/none-x.json"], "last 14") == len(gone)
    kept = {key: data for key, data in everything.items() if key not in gone}
    reader = fresh()
    assert reader.read(everything) == kept
    has_all(reader, kept | {"registry/wine/000001.json": b"one"})
    assert reader.head("registry/wine") == head
    assert reader.notes == []
    is_sound(remote, fresh())
    assert fresh().drop(gone, "again") == 0
    assert int(git(remote, "rev-list", "--count", "ciplug")) == (1 if may_rewrite else 5)
    git(remote, "reflog", "expire", "--expire=now", "--all")
    git(remote, "gc", "-q", "--prune=now")
    if may_rewrite:
        blob = subprocess.run(
            ["git", "hash-object", "--stdin"], input=b"\0\xff1\n", capture_output=True, check=True
        ).stdout
        assert subprocess.run(["git", "cat-file", "-e", blob.decode().strip()], cwd=remote, check=False).returncode
    has_all(fresh(), kept | {"registry/wine/000001.json": b"one"})


@pytest.mark.slow
def test_a_drop_that_dies_half_way_doubles_nothing(remote: Path, fresh: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host that moves one ref after the other: the branch has moved, and what is kept of it has not."""
    everything = fill(fresh, *range(10))
    fresh().compact()
    git(remote, "config", "receive.advertiseAtomic", "false")
    push = CachedRemote.push

    def killed(
        self: CachedRemote, repository: Path, refspecs: Sequence[str], options: Iterable[str] = ()
    ) -> PushResult:
        if len(refspecs) == 1 and "keep/tip" in refspecs[0]:
            raise KeyboardInterrupt
        return push(self, repository, refspecs, options)

    gone = set(write_of(0))
    with monkeypatch.context() as patch:
        patch.setattr(CachedRemote, "push", killed)
        with pytest.raises(KeyboardInterrupt):
            fresh().drop(gone, "last 9")
    for _ in range(2):
        runs = [key for columns in fresh().columns(fresh().segments()).values() for key in columns.keys]
        assert len(runs) == len(set(runs))
        fresh().compact()
    assert fresh().drop(gone, "last 9") == len(gone)
    has_all(fresh(), {key: data for key, data in everything.items() if key not in gone})


@pytest.mark.slow
def test_a_check_reads_each_segment_once_by_as_many_requests_however_many_there_are(
    remote: Path, fresh: Open, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(data: bytes, name: str) -> segments.Segment:
        read.append(name)
        return read_lines(data, name)

    read_lines = segments.read_lines
    everything: dict[str, bytes] = {}
    requests = []
    for count in (1, 3):
        for first in range(len(everything) // 3, 4 * count, 4):
            new = {key: data for number in range(first, first + 4) for key, data in write_of(number).items()}
            fresh().add(new)
            fresh().compact()
            everything.update(new)
        visited: list[tuple[str, bytes]] = []
        store = fresh()
        git_server.requests.clear()
        with monkeypatch.context() as patch:
            patch.setattr(segments, "read_lines", counted)
            assert store.check(visit=lambda objects, visited=visited: visited.extend(objects.items())) == []  # type: ignore[misc]
        assert sorted(visited) == sorted(everything.items())
        assert sorted(read) == sorted(store.segments()) and len(read) == count
        requests.append(len(git_server.requests))
        read.clear()
    assert requests[0] == requests[1] <= 9
