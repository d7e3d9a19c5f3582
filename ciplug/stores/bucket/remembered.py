"""A Bucket whose answers are kept on this machine, so that the same questions have the same answers offline."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from ciplug.errors import Cause, StoreError
from ciplug.stores.bucket.base import Bucket, Listed

KEPT_SECONDS = 30 * 24 * 3600
"""What was not asked for in so long is removed, with the next answer that is kept a day later or more."""
_SWEEP_SECONDS = 24 * 3600
_ABSENT = ".absent"


class RememberedBucket:
    """A Bucket that keeps each object and listing that is read, whole; offline, nothing else is there."""

    def __init__(self, bucket: Bucket, folder: Path, *, offline: bool = False) -> None:
        """
        Args:
            folder: a folder of ours, which may be emptied at any time.
            offline: the bucket is not contacted.
        """
        self.address = bucket.address
        self._bucket = bucket
        self._folder = folder / hashlib.sha256(bucket.address.encode()).hexdigest()[:16]
        self._offline = offline

    # What is kept

    def get(self, name: str) -> bytes | None:
        place = self._place(name)
        if self._offline:
            with contextlib.suppress(FileNotFoundError):
                return place.read_bytes()
            if place.with_suffix(_ABSENT).exists():
                return None
            self._not_here(name)
        data = self._bucket.get(name)
        self._keep(place, data)
        return data

    def list(self, folder: str) -> list[Listed]:
        place = self._place(f"{folder}/")
        if self._offline:
            try:
                return [Listed(*row) for row in json.loads(place.read_bytes())]
            except (FileNotFoundError, ValueError, TypeError):
                # A power cut may have left half of it.
                self._not_here(folder)
        listed = self._bucket.list(folder)
        self._keep(place, json.dumps(listed, separators=(",", ":")).encode())
        return listed

    def _place(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode()).hexdigest()

    def _keep(self, place: Path, data: bytes | None) -> None:
        """Keep an answer. A disk that is full stops nobody who is online."""
        absent = place.with_suffix(_ABSENT)
        with contextlib.suppress(OSError):
            if data is None:
                place.unlink(missing_ok=True)
                write(absent, b"")
            elif not _is_same(place, data):
                write(place, data)
                absent.unlink(missing_ok=True)
            sweep(self._folder)

    # What goes to the bucket alone

    def create(self, name: str, data: bytes) -> bool:
        return self._writing(name).create(name, data)

    def put(self, name: str, data: bytes) -> None:
        self._writing(name).put(name, data)

    def upload(self, name: str, chunks: Iterator[bytes], size: int) -> None:
        self._writing(name).upload(name, chunks, size)

    def copy(self, name: str, to: str) -> None:
        self._writing(to).copy(name, to)

    def delete(self, name: str) -> None:
        self._writing(name).delete(name)

    def size(self, name: str) -> int | None:
        return self._online(name).size(name)

    def version(self, name: str) -> str | None:
        return self._online(name).version(name)

    def part(self, name: str, start: int, length: int) -> bytes:
        return self._online(name).part(name, start, length)

    def _writing(self, name: str) -> Bucket:
        """The bucket, of which what is kept of this object and its folder is no longer true."""
        bucket = self._online(name)
        for stale in (self._place(name), self._place(f"{name.partition('/')[0]}/")):
            with contextlib.suppress(OSError):
                stale.unlink(missing_ok=True)
                stale.with_suffix(_ABSENT).unlink(missing_ok=True)
        return bucket

    def _online(self, name: str) -> Bucket:
        if self._offline:
            self._not_here(name)
        return self._bucket

    def _not_here(self, name: str) -> NoReturn:
        raise not_here(self.address, name)


def not_here(address: str, what: str) -> StoreError:
    """The error for what this machine has never read."""
    return StoreError(
        f"{address} is read offline, and this machine has not read {what} before",
        hint="ask once without --offline",
        cause=Cause.NETWORK,
    )


def write(place: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, for as long as the machine runs. Raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(place)


def sweep(folder: Path) -> None:
    """Remove what was not used for long, at most once a day. Raises OSError."""
    mark = folder / ".swept"
    now = time.time()
    with contextlib.suppress(FileNotFoundError):
        if now - mark.stat().st_mtime < _SWEEP_SECONDS:
            return
    for file in folder.iterdir():
        if now - file.stat().st_mtime > KEPT_SECONDS:
            file.unlink(missing_ok=True)
    mark.touch()


def _is_same(place: Path, data: bytes) -> bool:
    """Whether a file has these bytes; it is then in use."""
    try:
        same = place.stat().st_size == len(data) and place.read_bytes() == data
        if same:
            os.utime(place)
        return same
    except FileNotFoundError:
        return False
