"""A store, and a place for files, that a stranger adds by the recipes of CONTRIBUTING.md: one file per object."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

from ciplug.errors import Conflict, StoreError
from ciplug.records.canonical import digest
from ciplug.records.columns import Columns
from ciplug.stores.base import Head, Problem, Trial, Visit
from ciplug.stores.files import Tell, checked, hex_of, receive, wrong_bytes

SCHEME = "plain:"


class PlainStore:
    """Objects and logs at `plain:/folder`. Everything stays loose: there are no segments."""

    def __init__(self, uri: str) -> None:
        self.uri = self.address = uri
        self.notes: list[str] = []
        self._folder = Path(uri.removeprefix(SCHEME))

    def refresh(self) -> None:
        """Every question is answered from the disk."""

    def add(self, objects: Mapping[str, bytes]) -> None:
        if wrong := [key for key, data in self.read(objects).items() if data != objects[key]]:
            raise Conflict(f"the store has other content under the same key: {min(wrong)}")
        for key, data in objects.items():
            create(self._path(key), data)

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        seq = (expected.seq if expected else 0) + 1
        if self.head(log) != expected or not create(self._path(f"{log}/{seq:06d}.json"), entry):
            raise Conflict(f"{log} has moved on", head=self.head(log))
        return Head(seq, digest(entry))

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {key: self._path(key).read_bytes() for key in keys if self._path(key).exists()}

    def keys(self, *prefixes: str) -> list[str]:
        names = os.listdir(self._folder) if self._folder.exists() else []
        return sorted(key for name in names if (key := unquote(name)).startswith(prefixes))

    def head(self, log: str) -> Head | None:
        entries = self.entries(log)
        return Head(len(entries), digest(entries[-1])) if entries else None

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        return [self._path(key).read_bytes() for key in self.keys(f"{log}/")[after:until]]

    def logs(self, prefix: str) -> list[str]:
        return sorted({key.rpartition("/")[0] for key in self.keys(prefix)})

    def segments(self) -> list[str]:
        return []

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        return {}

    def loose(self) -> list[str]:
        return [key for key in self.keys("") if not key.startswith(("registry/", "files/"))]

    def compact(self) -> int:
        return 0

    def drop(self, keys: Collection[str], reason: str) -> int:
        existing = self.read(keys)
        for key in existing:
            self._path(key).unlink()
        return len(existing)

    def try_writes(self) -> list[Trial]:
        return [Trial("write", None, self.address)]

    def check(self, *, repair: bool = False, visit: Visit | None = None) -> list[Problem]:
        if visit:
            visit(self.read(self.loose()))
        return []

    def _path(self, key: str) -> Path:
        return self._folder / quote(key, safe="")


class PlainFiles:
    """Files by digest at `plain:/folder`."""

    limit = None

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._folder = Path(uri.removeprefix(SCHEME))

    def missing(self, digests: Collection[str]) -> set[str]:
        return {one for one in digests if not self._path(one).exists()}

    def put(self, files: Mapping[str, Path], tell: Tell) -> None:
        for one in self.missing(files):
            create(self._path(one), b"".join(checked(files[one], one, tell)))

    def get(self, digests: Collection[str], folder: Path, tell: Tell, most: int) -> None:
        if missing := self.missing(digests):
            raise StoreError(f"{self.uri} does not have {min(missing)}")
        for one in digests:
            receive(one, folder, partial(self._read, one), tell, most, self.uri)

    def _read(self, one: str, start: int) -> Iterator[bytes]:
        yield self._path(one).read_bytes()[start:]

    def damaged(self, digests: Collection[str], tell: Tell) -> dict[str, str]:
        found = {one: wrong_bytes(one, self._read(one, 0), tell) for one in digests}
        return {one: why for one, why in found.items() if why}

    def compact(self) -> int:
        return 0

    def _path(self, one: str) -> Path:
        return self._folder / quote(f"files/{hex_of(one)}", safe="")


def create(path: Path, data: bytes) -> bool:
    """Write a new file at once, complete; False if there already is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent.parent, delete=False) as part:
        part.write(data)
    try:
        os.link(part.name, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(part.name)
    return True
