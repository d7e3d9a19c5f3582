"""Files by content: what every place for them promises, and what all of them do alike.

A file's name is the SHA-256 of its bytes, so a file is the same wherever it is, is sent once whatever runs made it,
and is checked whenever it is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from ciplug.errors import Cause, FileChanged, StoreError

if TYPE_CHECKING:
    from ciplug.stores.base import Problem

OWN = "git:"
"""The place in a record whose files are in the same git store as the record, whatever its address."""

Tell = Callable[[int], None]
"""Called with the number of bytes that have been dealt with since the last call; by any thread."""

_CHUNK = 1024 * 1024


class Files(Protocol):
    """Files by digest, `sha256:<hex>`."""

    uri: str
    """As records name it, without credentials."""
    limit: int | None
    """Bytes of the largest file that is taken; None: any."""

    def missing(self, digests: Collection[str]) -> set[str]:
        """Those that are not here."""
        ...

    def put(self, files: Mapping[str, Path], tell: Tell) -> None:
        """Send the files that are not here yet, by digest; what is cut off is taken up again by the next call.

        Raises FileChanged when a file has not the bytes any more that its digest says, StoreError when the place
        does not take them. What was sent until then stays.
        """
        ...

    def get(self, digests: Collection[str], folder: Path, tell: Tell, most: int) -> None:
        """Bring files into `folder`, each under the hex digits of its digest, and whole or not at all.

        What is cut off stays there as `<hex>.part`, and is taken up again.

        Args:
            most: bytes of the largest of them, as far as is known: one that is larger is refused.

        Raises StoreError when one is not here, is damaged, or the place cannot be reached.
        """
        ...

    def damaged(self, digests: Collection[str], tell: Tell) -> dict[str, str]:
        """Read files that are here, each once, in pieces, and keep none.

        Returns digest → a clause, of those whose bytes are others or cannot be read.
        Raises StoreError when the place cannot be reached.
        """
        ...

    def compact(self) -> int:
        """Rewrite the physical form, never a file; returns how many pending writes were folded."""
        ...


@runtime_checkable
class TakesFiles(Protocol):
    """A store that keeps records, and the files that they name, by one write."""

    def add_with(self, objects: Mapping[str, bytes], files: Files, paths: Mapping[str, Path], tell: Tell) -> None:
        """Keep objects and files at once: all of them, or none.

        Raises FilesApart where that cannot be, FileChanged as `put` does, and StoreError where the place cannot be
        reached.
        """
        ...


class FilesApart(Exception):
    """Files and records cannot be kept by one write: they go to two places, or the host does not take both at once.

    `put` and `add` keep them, one after the other.
    """


@runtime_checkable
class ChecksItself(Files, Protocol):
    """A place that knows what can be wrong with it, besides its files."""

    def check(self, *, lacks: bool) -> list[Problem]:
        """What is wrong, and what to do about it.

        Args:
            lacks: whether files are missing that should be here.
        """
        ...


class DroppedFiles(NamedTuple):
    """The result of a drop."""

    set_aside: int = 0
    """Files that no run needs, which are dropped later."""
    dropped: int = 0
    in_history: bool = False
    """Whether the dropped ones can still be reached in the place's history, since the host refuses a new one."""


@runtime_checkable
class DropsFiles(Files, Protocol):
    """A place that drops the files that no run needs any more."""

    def due(self, now: datetime) -> bool:
        """Whether files were set aside so long ago that they can be dropped."""
        ...

    def drop(self, unneeded: Collection[str], needed: Collection[str], now: datetime) -> DroppedFiles:
        """Set files aside that no run needs, and drop those that were set aside long ago, unless a run names them.

        What is set aside can still be fetched, and is sent again by whoever records it.

        Args:
            needed: what the runs of the store name, including those that are about to be dropped.
        """
        ...


def hex_of(digest: str) -> str:
    """The 64 hex digits of `sha256:<hex>`. Raises StoreError for anything else: it becomes the name of a file."""
    kind, _, digits = digest.partition(":")
    if kind != "sha256" or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise StoreError(f"{digest[:80]!r} is not the digest of a file")
    return digits


def checked(path: Path, digest: str, tell: Tell | None = None) -> Iterator[bytes]:
    """The bytes of a file in pieces. Raises FileChanged before the last one when they are not those of `digest`."""
    content = hashlib.sha256()
    last = b""
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
                if last:
                    yield last
                last = chunk
                if tell:
                    tell(len(chunk))
    except OSError as problem:
        raise FileChanged(f"{path}: can no longer be read: {problem.strerror}", digest) from None
    if content.hexdigest() != hex_of(digest):
        raise FileChanged(f"{path}: its content has changed since the run was recorded", digest)
    if last:
        yield last


def wrong_bytes(digest: str, chunks: Iterable[bytes], tell: Tell) -> str | None:
    """Read all bytes of a file: a clause on what they are, where they are not those of the digest."""
    content, size = hashlib.sha256(), 0
    for chunk in chunks:
        content.update(chunk)
        size += len(chunk)
        tell(len(chunk))
    found = content.hexdigest()
    return None if found == hex_of(digest) else f"its {size:,} bytes have the digest sha256:{found[:12]}…"


def receive(
    digest: str, folder: Path, read: Callable[[int], Iterator[bytes]], tell: Tell, most: int, where: str
) -> None:
    """Write one file into `folder` by its hex digits, from what `read(start)` yields of its bytes.

    The file is complete and verified, or it does not exist. What an earlier call left of it is hashed, and continued.

    Raises StoreError when the bytes are not those of the digest.
    """
    name = hex_of(digest)
    whole, part = folder / name, folder / f"{name}.part"
    for again in (True, False):
        content, size = hashlib.sha256(), 0
        kept = whole if whole.exists() else part
        with kept.open("r+b" if kept.exists() else "w+b") as file:
            while chunk := file.read(_CHUNK):
                content.update(chunk)
                size += len(chunk)
            tell(size)
            started_at = size
            if kept is part and size <= most:
                for chunk in read(size):
                    size += len(chunk)
                    if size > most:
                        break
                    content.update(chunk)
                    file.write(chunk)
                    tell(len(chunk))
        if content.hexdigest() == name and size <= most:
            if kept is part:
                part.replace(whole)
            return
        kept.unlink()
        tell(-size)
        # What was continued may have been damaged here, on this disk: once more, from the start.
        if not (again and started_at):
            break
    what = f"more than {most:,} bytes" if size > most else f"{size:,} bytes of another digest"
    raise StoreError(
        f"{where} holds {what} under {digest[:19]}…: it is not what was recorded, and is not used",
        hint="record the right file again, after deleting the damaged object",
        cause=Cause.DAMAGED,
    )
