"""The git store under broken connections, hostile refs, corrupt objects and forced pushes: nothing is lost, and what is
wrong is named."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time as now

import pytest

from ciplug.errors import GitKind, StoreError
from ciplug.git.objects import object_id
from ciplug.registry import ledger
from ciplug.stores.git import dead_locks
from ciplug.stores.git.objects import BLOB, TREE, LooseObjects
from ciplug.stores.git.remote import GitRemote
from tests.crowd import check, crowd, fsck, persist
from tests.project import Project, git
from tests.servers.git_http import Fault, GitServer, Service
from tests.stores import Place, close_segments_at, git_place
from tests.worker import COMMIT, MODEL, register, runs_of


@pytest.fixture
def place(tmp_path: Path, git_server: GitServer) -> Place:
    return git_place(tmp_path, git_server)


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    close_segments_at(20, monkeypatch)


def refs(repository: Path) -> dict[str, str]:
    listed = git(repository, "for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.split() for line in listed.splitlines())


# Connections


FAULTS: dict[str, list[Fault]] = {
    "receive-pack": ["before", "half", "during", "after", "503"],
    "upload-pack": ["before", "half", "after", "503"],
}


@contextmanager
def broken_connections(server: GitServer, chance: random.Random, share: float) -> Iterator[None]:
    """Spoil that share of the requests."""

    def spoil(method: str, service: Service | None) -> None:
        if service and method == "POST" and chance.random() < share:
            server.fail_next(chance.choice(FAULTS[service]), service=service)

    server.before_request = spoil
    try:
        yield
    finally:
        server.before_request = None
        while any(server.take_fault(service) for service in FAULTS):
            pass
        server.settle()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"atomic": False}, {"custom_refs": False}], ids=str)
def test_a_crowd_over_broken_connections(tmp_path: Path, git_server: GitServer, options: dict[str, bool]) -> None:
    place = git_place(tmp_path, git_server, **options)
    with broken_connections(git_server, random.Random(5), 0.15):
        events = crowd(place, writers=32)
    check(place, 32, events)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["after", *(pytest.param(f, marks=pytest.mark.slow) for f in ("before", "half", "during", "503"))]
)
def test_a_broken_connection_is_tried_again(place: Place, git_server: GitServer, fault: Fault) -> None:
    git_server.fail_next(fault)
    place.open().add(runs_of(range(2)))
    git_server.fail_next(fault)
    register(place.open(), "one")
    git_server.fail_next(fault)
    # A fold whose answer is lost finds the work done, and says 0.
    assert persist(place.open().compact) in (0, 1)
    git_server.settle()
    if fault != "during":
        git_server.fail_next(fault, service="upload-pack")
    assert place.open().read(runs_of(range(2))) == runs_of(range(2))
    check(place, 2, {"one"})


@pytest.mark.slow
def test_an_append_whose_answer_is_lost_is_known_by_its_entry(place: Place, git_server: GitServer) -> None:
    for number, fault in enumerate(("after", "during"), start=1):
        store = place.open()
        git_server.fail_next(fault)  # type: ignore[arg-type]
        head = store.append("registry/m", store.head("registry/m"), b"event %d" % number)
        assert head.seq == number
        assert store.entries("registry/m")[-1] == b"event %d" % number
    assert len(place.open().entries("registry/m")) == 2


@pytest.mark.parametrize("request_number", range(1, 5))
def test_the_first_fold_hides_nothing_from_a_reader(place: Place, git_server: GitServer, request_number: int) -> None:
    """It may come between a reader's look for the branch and its look into the inbox."""
    place.open().add(runs_of(range(1)))
    reader, folder = place.open(), place.open()
    folded: list[int] = []
    seen = 0

    def before(method: str, service: Service | None) -> None:
        nonlocal seen
        seen += service == "upload-pack" and method == "POST"
        if seen == request_number and not folded:
            folded.append(0)
            folded[0] = folder.compact()

    git_server.before_request = before
    assert reader.keys("runs/") == sorted(runs_of(range(1)))
    assert reader.read(runs_of(range(1))) == runs_of(range(1))


# Refs and keys that no writer of ours makes


Build = Callable[[LooseObjects], str]


def below(written: LooseObjects, tree: str, *folders: str) -> str:
    for name in reversed(folders):
        tree = written.tree({name: (TREE, tree)})
    return tree


def one_file(*path: str, mode: str = BLOB) -> Build:
    """A commit with one file, under names that only a hand-made tree can have."""

    def build(written: LooseObjects) -> str:
        oid = "1" * 40 if mode == "160000" else written.blob(b"evil")
        tree = below(written, written.tree({path[-1]: (mode, oid)}), *path[:-1])
        return written.commit(tree, (), "x", 0)

    return build


def bomb(written: LooseObjects) -> str:
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


@pytest.mark.slow
def test_what_no_writer_of_ours_makes_is_left_alone(place: Place, git_server: GitServer) -> None:
    repository = git_server.path("remote")
    made = {name: build(LooseObjects(repository, "sha1")) for name, build in HOSTILE.items()}
    hostile = {f"refs/ciplug/inbox/{oid}": oid for oid in made.values()}
    assert len(hostile) == len(HOSTILE)
    for ref, oid in hostile.items():
        git(repository, "update-ref", ref, oid)
    place.open().add(runs_of(range(1)))
    for time in ("first", "second"):
        store = place.open()
        events = [] if time == "first" else [f"registry/{MODEL}/000001.json"]
        assert store.keys("") == sorted([*runs_of(range(1)), *events])
        assert store.read(runs_of(range(1))) == runs_of(range(1))
        assert store.compact() == (time == "first")
        assert register(store, time) == 0
    assert refs(repository).items() >= hostile.items(), made
    assert sorted(problem.where for problem in place.open().check()) == sorted(hostile), made
    assert refs(repository).items() >= hostile.items(), made


def test_an_object_is_never_an_entry_of_a_log(place: Place) -> None:
    for number in (1, 2):
        place.open().add({f"registry/{MODEL}/{number:06d}.json": b"evil"})
    for _ in ("pending", "folded"):
        store = place.open()
        assert ledger.models(store) == []
        assert store.entries(f"registry/{MODEL}") == []
        store.compact()
    register(store, "one")
    assert ledger.models(store) == [MODEL]
    assert len(ledger.read(store, MODEL).events) == 1
    (entry,) = store.read([f"registry/{MODEL}/000001.json"]).values()
    assert b'"run":"one"' in entry


@pytest.mark.parametrize("key", ["runs", f"{min(runs_of(range(1)))}/x"])
def test_a_key_below_another_takes_nothing_away(place: Place, git_server: GitServer, key: str) -> None:
    """A tree holds a file or a folder under a name: the fold takes the one that is there, and leaves the other."""
    for objects in (runs_of(range(1)), {key: b"evil"}):
        place.open().add(objects)
        place.open().compact()
    assert place.open().read([*runs_of(range(1)), key]) == {**runs_of(range(1)), key: b"evil"}
    assert sum("inbox" in ref for ref in refs(git_server.path("remote"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("left", ["shallow.lock", "config.lock", "refs/store/branch.lock", "empty objects"])
def test_what_a_killed_git_leaves_stops_nobody(tmp_path: Path, place: Place, left: str) -> None:
    cache = tmp_path / "cache"
    place.open(cache=cache).add(runs_of(range(1)))
    place.open(cache=cache).compact()
    place.open(cache=cache).keys("")
    (repository,) = cache.rglob("*.git")
    if left == "empty objects":
        for file in repository.glob("objects/??/*"):
            file.write_bytes(b"")
    else:
        (repository / left).parent.mkdir(parents=True, exist_ok=True)
        (repository / left).touch()
    place.open().add(runs_of(range(1, 2)))
    place.open().compact()
    assert place.open(cache=cache).read(runs_of(range(2))) == runs_of(range(2))
    register(place.open(cache=cache), "one")


@pytest.mark.slow
def test_a_lock_that_a_killed_push_left_is_removed(
    tmp_path: Path, place: Place, git_server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a repository of this machine. On a server it is named, and what to do."""
    project = Project.create(tmp_path / "work")
    ref, repository = "refs/ciplug/inbox/one", git_server.path("remote")
    lock = repository / f"{ref}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    server = GitRemote(git_server.url("remote"), cache=tmp_path / "cache", name="x", config=())
    refusal = server.refused(server.push(project.folder, [f"HEAD:{ref}"]), "allow pushes")
    assert "one.lock" in refusal.message and "remove the file that ends in .lock" in (refusal.hint or "")
    monkeypatch.setattr(dead_locks, "DEAD_SECONDS", 0.5)
    for url in (str(repository), repository.as_uri()):
        disk = GitRemote(url, cache=tmp_path / "cache", name="x", config=())
        lock.touch()
        assert disk.push(project.folder, [f"HEAD:{ref}"]).ok and not lock.exists()
        lock.touch()
        os.utime(lock, (now() + 3600,) * 2)
        assert disk.push(project.folder, [f":{ref}"]).refuses(ref, GitKind.LOCKED), "of unknown age"
        lock.unlink()
        (repository / ref).unlink()


# Objects of the remote that are not what they were


def loose_file(repository: Path, data: bytes) -> Path:
    oid = object_id("blob", data, "sha1")
    return repository / "objects" / oid[:2] / oid[2:]


def garbage(file: Path) -> None:
    file.write_bytes(b"no zlib stream")


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-6])


def another(file: Path) -> None:
    data = b"other bytes of another length, under that name"
    file.write_bytes(zlib.compress(b"blob %d\0" % len(data) + data))


def lost(file: Path) -> None:
    file.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [garbage, *(pytest.param(d, marks=pytest.mark.slow) for d in (cut_off, another, lost))]
)
@pytest.mark.parametrize("folded", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["pending", "folded"])
def test_a_corrupt_record_is_named_and_stops_no_other(
    tmp_path: Path, place: Place, git_server: GitServer, damage: Callable[[Path], None], folded: bool
) -> None:
    everything = runs_of(range(3))
    for number in range(3):
        place.open().add(runs_of(range(number, number + 1)))
    if folded:
        place.open().compact()
    key = f"runs/{COMMIT}-{1:032x}.json"
    file = loose_file(git_server.path("remote"), everything[key])
    whole = file.read_bytes()
    file.chmod(0o644)
    damage(file)
    env = {"CIPLUG_STORE": place.uri}
    project = Project.create(tmp_path / "work")

    rounds = (3, 4) if folded else (3,)
    for number in rounds:
        assert place.open().keys("runs/") == sorted(everything)
        assert place.open().read(everything) == {k: data for k, data in everything.items() if k != key}
        assert [problem.where for problem in place.open().check()] == [key]
        assert [problem.where for problem in place.open().check(repair=True)] == [key]
        # Others write on, and what can be folded is.
        place.open().add(runs_of(range(number, number + 1)))
        place.open().compact()
        everything |= runs_of(range(number, number + 1))

    listed = project.ciplug("runs", "list", env=env)
    assert key in listed.stderr
    assert all(f"{number / 1000}" in listed.stdout for number in (0, 2, *rounds))
    assert key in project.ciplug("runs", "show", f"{1:032x}", env=env, code=3).stderr
    found = fsck(place)
    assert found.returncode == 3
    assert key in found.stdout
    file.write_bytes(whole)
    place.open().compact()
    assert place.open().read(everything) == everything
    check_sound(place)


@pytest.mark.slow
def test_a_corrupt_segment_is_named_and_stops_no_other(place: Place, git_server: GitServer) -> None:
    """Its runs cannot be had, and the runs of the other segments, and the loose ones, can."""
    repository = git_server.path("remote")
    for start in (0, 10):
        place.open().add(runs_of(range(start, start + 10)))
        place.open().compact()
    place.open().add(runs_of(range(20, 21)))
    names = place.open().segments()
    assert len(names) == 2
    listed = git(repository, "ls-tree", "-r", "ciplug").splitlines()
    first = next(line.split()[2] for line in listed if "segments/" in line and line.endswith(".ndjson"))
    file = repository / "objects" / first[:2] / first[2:]
    file.chmod(0o644)
    whole = file.read_bytes()
    garbage(file)
    store = place.open()
    assert store.read(runs_of(range(21))) == runs_of(range(10, 21))
    assert any(names[0] in note for note in store.notes)
    assert names[0] in [problem.where for problem in place.open().check()]
    assert fsck(place).returncode == 3
    register(place.open(), "one")
    place.open().add(runs_of(range(21, 22)))
    place.open().compact()
    file.write_bytes(whole)
    everything = runs_of(range(22))
    assert place.open().read(everything) == everything
    check_sound(place)


def check_sound(place: Place) -> None:
    place.check()
    assert fsck(place).returncode == 0


# The branch is moved by force, or taken away


def to_an_older_commit(repository: Path, before: str) -> None:
    git(repository, "update-ref", "refs/heads/ciplug", before)


def to_garbage(repository: Path, before: str) -> None:
    written = LooseObjects(repository, "sha1")
    tree = written.tree({"README.md": (BLOB, written.blob(b"# Another project\n"))})
    git(repository, "update-ref", "refs/heads/ciplug", written.commit(tree, (), "oops", 0))


def deleted(repository: Path, before: str) -> None:
    git(repository, "update-ref", "-d", "refs/heads/ciplug")


def rewound_and_written_on(repository: Path, before: str) -> None:
    """Somebody's clone was older, and the work went on from there."""
    to_an_older_commit(repository, before)
    place = Place(repository.parent / "somebody", f"git+{repository.as_uri()}")
    place.open().add(runs_of(range(100, 101)))
    place.open().compact()


@pytest.mark.slow
@pytest.mark.parametrize(
    "custom_refs",
    [pytest.param(True, id="custom-refs"), pytest.param(False, id="no-custom-refs", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize(
    "hostile",
    [
        deleted,
        *(pytest.param(h, marks=pytest.mark.slow) for h in (to_an_older_commit, to_garbage, rewound_and_written_on)),
    ],
)
def test_what_a_forced_push_took_away_is_restored(
    tmp_path: Path, git_server: GitServer, hostile: Callable[[Path, str], None], custom_refs: bool
) -> None:
    place = git_place(tmp_path, git_server, custom_refs=custom_refs)
    repository = git_server.path("remote")
    place.open().add(runs_of(range(3)))
    place.open().compact()
    register(place.open(), "one")
    before = refs(repository)["refs/heads/ciplug"]
    # So many that some are in a segment, and some are loose.
    place.open().add(runs_of(range(3, 20)))
    place.open().compact()
    register(place.open(), "two")
    for number in (20, 21):
        place.open().add(runs_of(range(number, number + 1)))
    assert place.open().compact() == 2
    place.open().add(runs_of(range(22, 23)))
    everything = runs_of(range(23))

    hostile(repository, before)
    if hostile is rewound_and_written_on:
        everything |= runs_of(range(100, 101))

    def assert_all_is_there() -> None:
        store = place.open(may_fold=False)
        assert store.keys("runs/") == sorted(everything)
        assert store.read(everything) == everything
        assert {event.payload["run"] for event in ledger.read(store, MODEL).events} <= {"one", "two"}

    assert_all_is_there()
    store = place.open(may_fold=False)
    store.keys("")
    assert store.notes
    said = fsck(place)
    assert said.returncode == 3
    assert "what was kept of it has" in said.stdout
    place.open().compact()
    assert_all_is_there()
    # Entries of the registry come back only when somebody asks for it.
    store = place.open()
    with pytest.raises(StoreError, match="has lost entries"):
        store.append(f"registry/{MODEL}", store.head(f"registry/{MODEL}"), b"three")
    store.restore_entries(store.kept_entries())  # type: ignore[attr-defined]
    store = place.open()
    store.keys("")
    assert store.notes == []
    register(place.open(), "three")
    assert [event.payload["run"] for event in ledger.read(place.open(), MODEL).events] == ["one", "two", "three"]
    check_sound(place)
