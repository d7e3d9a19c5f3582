"""The interface of a source of bundles: the place where the jobs of a pipeline left their records.

A source is read with the client of its own library, whose exceptions the caller turns into ours. What it gives is a
name for people, and bytes that nobody has checked yet; nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from ciplug.bundles import archive
from ciplug.errors import CiplugError, RecordError

PATTERN = "*bundle*.ndjson"
CHUNK = 1 << 16
"""Bytes that are read at a time."""


class FoundBundle(NamedTuple):
    """Something that should be a bundle."""

    name: str
    content: bytes | CiplugError
    """Or why it cannot be read."""


@dataclass(frozen=True)
class Origin:
    """The facts that the source, not the bundle, provides about the jobs that wrote it."""

    trusted: bool | None
    """Whether they may write the store; None where the place cannot tell."""
    commits: frozenset[str] | None = None
    """The commits of the jobs; None if the source does not know them."""


class BundleSource(Protocol):
    """A place where the jobs of one pipeline left their bundles."""

    name: str
    """For people: GitHub's run 42."""

    def origin(self) -> Origin: ...

    def bundles(self) -> Iterator[FoundBundle]:
        """Every bundle, and every one that should exist and cannot be read."""
        ...


def fits(path: str, pattern: str) -> bool:
    """Whether the last parts of a path match the pattern."""
    return PurePosixPath(path).match(pattern)


def bounded(chunks: Iterable[bytes], name: str, most: int) -> bytes | CiplugError:
    """Return all chunks joined, or the error if they are more than `most` bytes."""
    parts = []
    room = most
    for chunk in chunks:
        room -= len(chunk)
        if room < 0:
            return too_large(name, most)
        parts.append(chunk)
    return b"".join(parts)


def too_large(name: str, most: int, hint: str | None = None) -> RecordError:
    return RecordError(f"{name}: more than {most:,} bytes", hint=hint)


def unzipped(name: str, data: bytes | CiplugError, pattern: str) -> Iterator[FoundBundle]:
    """The bundles in an archive; `name` is what people call the archive."""
    if isinstance(data, CiplugError):
        yield FoundBundle(name, data)
        return
    try:
        for path, content in archive.files(data, name, lambda path: fits(path, pattern)):
            yield FoundBundle(f"{name}: {path}", content)
    except RecordError as problem:
        yield FoundBundle(name, problem)
