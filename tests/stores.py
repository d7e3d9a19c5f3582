"""Places where a store can be. The contract suite and the fault tests take them all in turn, by one name each.

To add a place: write a function from a fresh folder, and a way to get at fixtures, to a Place, mark it with
`@place(name)`, and let what needs a server be a session-scoped fixture of tests/conftest.py.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import Conflict
from ciplug.records import columns
from ciplug.records.canonical import digest
from ciplug.records.columns import Columns
from ciplug.stores import open_store
from ciplug.stores.base import Head, Log, LogStore, Problem, Trial, Visit
from tests.servers.git_http import GitServer

Fixture = Callable[[str], Any]
"""Name of a fixture → its value."""


@dataclass
class Place:
    """An empty store at a URI."""

    folder: Path
    """For caches, and whatever else belongs to this place."""
    uri: str
    env: Mapping[str, str] = field(default_factory=dict)
    """What a process needs in its environment to reach it, beside what it finds anyway: keys, endpoints."""
    sound: Callable[[], None] = lambda: None
    """Fails the test when something is wrong there, as far as the place's own tools can tell."""
    _caches: int = 0

    def environment(self, cache: Path | None = None) -> dict[str, str]:
        """The environment of a process that uses the store, with an empty cache unless one is given."""
        if cache is None:
            self._caches += 1
            cache = self.folder / f"cache-{self._caches}"
        caches = {name: str(cache) for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA")}
        return {**os.environ, **self.env, **caches}

    def open(self, *, cache: Path | None = None, may_fold: bool = True) -> LogStore:
        """The store as a new process opens it, with an empty cache unless one is given."""
        store = open_store(self.uri, None, self.environment(cache), may_fold=may_fold)
        assert isinstance(store, Log)
        return store

    def check(self) -> None:
        """Nothing is wrong there: neither for the place's own tools, nor for a reader of everything."""
        self.sound()
        assert self.open().check() == []


Make = Callable[[Path, Fixture], Place]
PLACES: list[Any] = []
"""As parameters of a fixture."""
SEGMENT_SIZES = ["ciplug.stores.git.folding.SEGMENT_AT"]
"""Names of the numbers of objects that make a segment."""


def close_segments_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stores of this process make segments of so few objects that a test can have many."""
    for name in SEGMENT_SIZES:
        monkeypatch.setattr(name, number)


def place(name: str, *marks: pytest.MarkDecorator) -> Callable[[Make], Make]:
    """List a place under its name."""

    def add(make: Make) -> Make:
        PLACES.append(pytest.param(make, id=name, marks=marks))
        return make

    return add


# Memory: what a store promises, in the fewest words. It is here to test the tests.


@place("memory")
def _memory(folder: Path, fixture: Fixture) -> Place:
    return _Memory(folder, "memory:")


@dataclass
class _Memory(Place):
    shelf: _Shelf = field(default_factory=lambda: _Shelf())

    def open(self, *, cache: Path | None = None, may_fold: bool = True) -> LogStore:
        return MemoryStore(self.shelf)


class _Shelf:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.pending = 0
        self.loose: dict[str, bytes] = {}
        self.segments: dict[str, dict[str, bytes]] = {}
        self.logs: dict[str, list[bytes]] = {}

    def objects(self) -> dict[str, bytes]:
        entries = {f"{log}/{n:06d}.json": data for log, all_ in self.logs.items() for n, data in enumerate(all_, 1)}
        return {key: data for part in (*self.segments.values(), self.loose, entries) for key, data in part.items()}


class MemoryStore:
    """A Store in this process: each call is done at once, and alone."""

    def __init__(self, shelf: _Shelf) -> None:
        self.uri = self.address = "memory:"
        self.notes: list[str] = []
        self._shelf = shelf

    def refresh(self) -> None:
        """Every question is answered from what the store holds now."""

    def add(self, objects: Mapping[str, bytes]) -> None:
        with self._shelf.lock:
            there = self._shelf.objects()
            if wrong := [key for key, data in objects.items() if there.get(key, data) != data]:
                raise Conflict(f"the store has other content under the same key: {min(wrong)}")
            new = {key: data for key, data in objects.items() if key not in there}
            self._shelf.loose.update(new)
            self._shelf.pending += bool(new)

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        with self._shelf.lock:
            if (now := self.head(log)) != expected:
                raise Conflict(f"{log} has moved on", head=now)
            self._shelf.logs.setdefault(log, []).append(entry)
            return Head(len(self._shelf.logs[log]), digest(entry))

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        with self._shelf.lock:
            there = self._shelf.objects()
        return {key: there[key] for key in keys if key in there}

    def keys(self, *prefixes: str) -> list[str]:
        with self._shelf.lock:
            return sorted(key for key in self._shelf.objects() if key.startswith(prefixes))

    def head(self, log: str) -> Head | None:
        entries = self.entries(log)
        return Head(len(entries), digest(entries[-1])) if entries else None

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        with self._shelf.lock:
            return list(self._shelf.logs.get(log, ()))[after:until]

    def logs(self, prefix: str) -> list[str]:
        with self._shelf.lock:
            return sorted(log for log in self._shelf.logs if log.startswith(prefix))

    def segments(self) -> list[str]:
        with self._shelf.lock:
            return list(self._shelf.segments)

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        with self._shelf.lock:
            return {name: columns.of(self._shelf.segments[name].items()) for name in segments}

    def loose(self) -> list[str]:
        with self._shelf.lock:
            return sorted(self._shelf.loose)

    def compact(self) -> int:
        with self._shelf.lock:
            folded, self._shelf.pending = self._shelf.pending, 0
            self._close(self._shelf.loose)
            self._shelf.loose = {}
        return folded

    def _close(self, objects: dict[str, bytes]) -> None:
        if objects:
            self._shelf.segments[digest("\n".join(sorted(objects)).encode())] = objects

    def drop(self, keys: Collection[str], reason: str) -> int:
        with self._shelf.lock:
            parts = [*self._shelf.segments.values(), self._shelf.loose]
            gone = sum(key in part for part in parts for key in set(keys))
            *closed, self._shelf.loose = [{k: v for k, v in part.items() if k not in keys} for part in parts]
            self._shelf.segments = {}
            for part in closed:
                self._close(part)
            return gone

    def try_writes(self) -> list[Trial]:
        return [Trial("write", None, self.address), Trial("delete", None, self.address)]

    def check(self, *, repair: bool = False, visit: Visit | None = None) -> list[Problem]:
        if visit:
            with self._shelf.lock:
                visit(self._shelf.objects())
        return []


# Git


@place("git-http")
def _git_http(folder: Path, fixture: Fixture) -> Place:
    return git_place(folder, fixture("git_host"), _name(folder))


@place("git-http-simple", pytest.mark.slow)
def _git_http_simple(folder: Path, fixture: Fixture) -> Place:
    """A host with neither partial clones nor atomic pushes."""
    return git_place(folder, fixture("git_host"), _name(folder), filters=False, atomic=False)


@place("git-http-no-custom-refs", pytest.mark.slow)
def _git_http_no_custom_refs(folder: Path, fixture: Fixture) -> Place:
    return git_place(folder, fixture("git_host"), _name(folder), custom_refs=False)


@place("git-file", pytest.mark.slow)
def _git_file(folder: Path, fixture: Fixture) -> Place:
    repository = folder / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", str(repository)], check=True)
    return Place(folder, f"git+{repository.as_uri()}", sound=lambda: git_fsck(repository))


def git_place(folder: Path, server: GitServer, name: str = "remote", **options: Any) -> Place:
    """A new repository on a server, as `GitServer.create` makes it."""
    repository = server.create(name, **options)
    return Place(folder, f"git+{server.url(name)}", sound=lambda: git_fsck(repository))


def _name(folder: Path) -> str:
    return f"{folder.parent.name}-{folder.name}"


def git_fsck(repository: Path) -> None:
    """Every object of a repository is there, and is what its id says."""
    done = subprocess.run(
        ["git", "fsck", "--full", "--strict"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


ENGINES = ("git-http", "git-http-no-custom-refs", "directory", "s3")
"""One place for each way to write: the others differ from these by a protocol alone."""


def at_places(
    name: str = "",
    first: Sequence[Any] = (None,),
    others: Sequence[Any] = (None,),
    ids: Collection[str] | None = None,
) -> pytest.MarkDecorator:
    """A test at every place that other processes can reach: the first in the default suite, the others where there is
    time.

    Args:
        name: a parameter of the test beside the place.
        first: its values at the first place; those that are `slow(value)` only where there is time.
        others: its values at the others.
        ids: the places, if not all.
    """
    known = [one for one in PLACES if one.id != "memory" and (ids is None or one.id in ids)]
    cases = []
    for number, one in enumerate(known):
        for value in others if number else first:
            plain, *marks = (value.values[0], *value.marks) if hasattr(value, "values") else (value,)
            words = one.id if not name else f"{one.id}-{plain}"
            late = (pytest.mark.slow,) if number else ()
            values = (*one.values, plain) if name else one.values
            cases.append(pytest.param(*values, id=words, marks=(*one.marks, *marks, *late)))
    return pytest.mark.parametrize(("new_place", name) if name else "new_place", cases, indirect=["new_place"])


def slow(value: object) -> Any:
    return pytest.param(value, marks=pytest.mark.slow)


# Object stores


@place("directory")
def _directory(folder: Path, fixture: Fixture) -> Place:
    (folder / "store").mkdir(parents=True)
    return Place(folder, (folder / "store").as_uri())


@place("s3", pytest.mark.e2e)
def _s3(folder: Path, fixture: Fixture) -> Place:
    server = fixture("s3")
    return Place(folder, f"s3://runs/{folder.parent.name}/{folder.name}", server.env)


@place("azure", pytest.mark.e2e)
def _azure(folder: Path, fixture: Fixture) -> Place:
    server = fixture("azure")
    return Place(folder, f"az://runs/{folder.parent.name}/{folder.name}", server.env)


@place("gcs", pytest.mark.e2e)
def _gcs(folder: Path, fixture: Fixture) -> Place:
    server = fixture("gcs")
    return Place(folder, f"gs://runs/{folder.parent.name}/{folder.name}", server.env)
