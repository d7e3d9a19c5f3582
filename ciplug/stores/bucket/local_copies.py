"""Files of an object store of which this machine keeps a copy, so that they are there offline, and come once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

from ciplug.errors import StoreError
from ciplug.stores.bucket.remembered import not_here, sweep
from ciplug.stores.files import Files, Tell, hex_of, receive, wrong_bytes

_CHUNK = 1024 * 1024


class LocalCopies:
    """Files, with a copy of each that was fetched; offline, only those are there."""

    def __init__(self, files: Files, folder: Path, *, offline: bool = False) -> None:
        """
        Args:
            folder: a folder of ours, which may be emptied at any time.
            offline: the object store is not contacted.
        """
        self.uri = files.uri
        self.limit = files.limit
        self._files = files
        self._folder = folder
        self._offline = offline

    def missing(self, digests: Collection[str]) -> set[str]:
        if self._offline:
            self._check_here(digests)
            return set()
        return self._files.missing(digests)

    def get(self, digests: Collection[str], folder: Path, tell: Tell, most: int) -> None:
        here = {digest for digest in digests if self._copy(digest).is_file()}
        if self._offline:
            self._check_here(digests)
        for digest in sorted(here):
            try:
                receive(digest, folder, partial(_read, self._copy(digest)), tell, most, self.uri)
            except StoreError:
                if self._offline:
                    raise
                self._copy(digest).unlink(missing_ok=True)
                here.discard(digest)
        coming = set(digests) - here
        if coming:
            self._files.get(coming, folder, tell, most)
            for digest in sorted(coming):
                self._keep(digest, folder / hex_of(digest))

    def damaged(self, digests: Collection[str], tell: Tell) -> dict[str, str]:
        if not self._offline:
            return self._files.damaged(digests, tell)
        self._check_here(digests)
        found = {digest: wrong_bytes(digest, _read(self._copy(digest), 0), tell) for digest in sorted(set(digests))}
        return {digest: words for digest, words in found.items() if words}

    def put(self, files: Mapping[str, Path], tell: Tell) -> None:
        self._files.put(files, tell)

    def compact(self) -> int:
        return self._files.compact()

    def _copy(self, digest: str) -> Path:
        return self._folder / hex_of(digest)

    def _keep(self, digest: str, file: Path) -> None:
        """Keep a copy. A disk that is full stops nobody who is online."""
        copy = self._copy(digest)
        part = copy.with_name(f"{copy.name}.{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, part)
            part.replace(copy)
            sweep(self._folder)
        except OSError:
            part.unlink(missing_ok=True)

    def _check_here(self, digests: Collection[str]) -> None:
        for digest in sorted(digests):
            try:
                os.utime(self._copy(digest))
            except FileNotFoundError:
                raise not_here(self.uri, f"the file {digest[:19]}…") from None


def _read(file: Path, start: int) -> Iterator[bytes]:
    with file.open("rb") as source:
        source.seek(start)
        while chunk := source.read(_CHUNK):
            yield chunk
