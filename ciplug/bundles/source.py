"""The interface of a source of bundles: the place where the jobs of a pipeline left their records.

A source is read with the client of its own library, whose exceptions the caller turns into ours. What it gives is a
name for people, and bytes that nobody has checked yet; nothing is written to disk. The files of artifacts lie in a
folder beside each bundle; they are read only where the jobs are trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from ciplug.bundles import archive
from ciplug.errors import CiplugError, RecordError
from ciplug.records.bundle import FILES

PATTERN = "*bundle*.ndjson"
CHUNK = 1 << 16
"""Bytes that are read at a time."""
_DIGITS = re.compile("[0-9a-f]{64}")


class FoundBundle(NamedTuple):
    """Something that should be a bundle."""

    name: str
    content: bytes | CiplugError
    """Or why it cannot be read."""
    files: Mapping[str, bytes | Path] = {}
    """Digest → a file that lies beside the bundle, under the digits of this digest; nobody has checked it."""


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

    def bundles(self, *, with_files: bool) -> Iterator[FoundBundle]:
        """Every bundle, and every one that should exist and cannot be read; each with the files beside it, or none."""
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


def digest_of(path: str, bundle: str) -> str | None:
    """The digest that a path claims if it is that of a file beside a bundle: `files/<hex>`; None for any other."""
    folder = PurePosixPath(bundle).parent / FILES
    one = PurePosixPath(path)
    return f"sha256:{one.name}" if one.parent == folder and _DIGITS.fullmatch(one.name) else None


def unzipped(name: str, data: bytes | CiplugError, pattern: str, *, with_files: bool) -> Iterator[FoundBundle]:
    """The bundles in an archive, each with the files beside it; `name` is what people call the archive."""
    if isinstance(data, CiplugError):
        yield FoundBundle(name, data)
        return

    def wanted(path: str) -> bool:
        one = PurePosixPath(path)
        return fits(path, pattern) or bool(with_files and one.parent.name == FILES and _DIGITS.fullmatch(one.name))

    found: list[tuple[str, bytes | RecordError]] = []
    try:
        found += archive.files(data, name, wanted, of_strangers=not with_files)
    except RecordError as problem:
        yield FoundBundle(name, problem)
    for path, content in found:
        if fits(path, pattern):
            beside = {digest: other for at, other in found if (digest := digest_of(at, path))}
            files = {digest: other for digest, other in beside.items() if isinstance(other, bytes)}
            yield FoundBundle(f"{name}: {path}", content, files)
