"""file:///folder: a folder of this machine, or one that is mounted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from ciplug.errors import Cause, StoreError
from ciplug.stores.bucket.base import Bucket, Listed
from ciplug.stores.bucket.deferred import DeferredBucket
from ciplug.stores.bucket.failures import Access
from ciplug.stores.bucket.obstore_bucket import ObstoreBucket

ACCESS = Access("objects", "does it exist, and may this account write it?")
_OURS = ("inbox", "index", "runs", "verdicts", "objects", "logs", "heads", "states", "files")
_MARKS = ("inbox", "index/*.claim", "logs/registry", "files/[0-9a-f][0-9a-f]")


def open_folder(path: str) -> Bucket:
    """The folder at a path from the root, without its first slash. Raises StoreError for one that cannot be a store."""
    from obstore.store import LocalStore

    folder = Path(path if sys.platform == "win32" else f"/{path}")
    address = folder.as_uri()
    if not folder.exists():
        parent = next(parent for parent in folder.parents if parent.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise StoreError(
                f"{address} does not exist, and cannot be made in {parent}", hint=ACCESS.hint, cause=Cause.FORBIDDEN
            )
        return NewFolder(folder, lambda: ObstoreBucket(LocalStore(folder, mkdir=True), address, ACCESS))
    if not _may_be_ours(folder):
        raise StoreError(
            f"{address} has other content, and is not a ciplug store",
            hint=f"name a new or empty folder, like {address}/ciplug",
            cause=Cause.FORMAT,
        )
    return ObstoreBucket(LocalStore(folder), address, ACCESS)


def _may_be_ours(folder: Path) -> bool:
    """Whether a folder is empty, or a store has been begun there. A bare repository has `objects`, too."""
    return all(entry.name in _OURS for entry in folder.iterdir()) or any(
        next(folder.glob(mark), None) is not None for mark in _MARKS
    )


class NewFolder(DeferredBucket):
    """A folder that does not exist yet: the first write makes it, and no reader does."""

    def __init__(self, folder: Path, opener: Callable[[], Bucket]) -> None:
        super().__init__(folder.as_uri(), ACCESS, opener)
        self._folder = folder

    @property
    def note(self) -> str:
        """The sentence on a folder that was missing when it was opened."""
        if self._folder.exists():
            return f"the folder {self._folder} did not exist, and was made"
        return f"the folder {self._folder} does not exist, so the store holds nothing: is it mounted?"

    @property
    def is_missing(self) -> bool:
        return not self._folder.exists()

    def get(self, name: str) -> bytes | None:
        return super().get(name) if self._folder.exists() else None

    def size(self, name: str) -> int | None:
        return super().size(name) if self._folder.exists() else None

    def version(self, name: str) -> str | None:
        return super().version(name) if self._folder.exists() else None

    def delete(self, name: str) -> None:
        if self._folder.exists():
            super().delete(name)

    def list(self, folder: str) -> list[Listed]:
        return super().list(folder) if self._folder.exists() else []
