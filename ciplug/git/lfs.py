"""Pointer files of Git LFS: what a repository holds in place of a large file.

The format is https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: lines of a key and a value, `version` first,
then sorted by key. ciplug reads it by itself: a job's image often has no git-lfs.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

ONLY_POINTER = "only its Git LFS pointer is here, not its content"
FETCH_HINT = "fetch it before the training: git lfs pull, or `lfs: true` in the checkout of the job"
LARGEST_POINTER = 1023
"""Bytes: the format allows fewer than 1024."""
_VERSIONS = rb"https://git-lfs\.github\.com/spec/v1|https://hawser\.github\.com/spec/v1|http://git-media\.io/v/2"
_SHA256 = rb"sha256:([0-9a-f]{64})"
_FORMAT = re.compile(
    rb"version (?:%b)\r?\n" % _VERSIONS
    + rb"((?:ext-\d-\S+ %b\r?\n)*)" % _SHA256
    + rb"oid %b\r?\nsize (\d{1,18})(?:\r?\n)*" % _SHA256
)
_EXTENSION = re.compile(rb"ext-(\d)-\S+ " + _SHA256)
_CHUNK = 1024 * 1024


class Pointer(NamedTuple):
    """What a pointer file says of the content that it stands for."""

    oid: str
    """sha256 of the content that LFS stores, 64 hex digits."""
    size: int
    """Bytes of it."""
    original: str
    """sha256 of the file as it is checked out: another one where an extension of LFS changes it on the way."""

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the file as it is checked out."""
        return f"sha256:{self.original}"


def parse_pointer(data: bytes) -> Pointer | None:
    """Return what a pointer file says; None for any other file. Lines may end in CRLF, as git-lfs allows."""
    match = _FORMAT.fullmatch(data) if len(data) <= LARGEST_POINTER else None
    if match is None:
        return None
    extensions = sorted(_EXTENSION.findall(match[1]))
    oid = match[3].decode()
    return Pointer(oid, int(match[4]), extensions[0][1].decode() if extensions else oid)


def read_pointer(path: Path) -> Pointer | None:
    """Return what a file says, if it is a pointer; None for any other file, and for one that cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_POINTER:
            return None
        return parse_pointer(path.read_bytes())
    except OSError:
        return None


def holds(path: Path, pointer: Pointer) -> bool:
    """Whether a file is the content of a pointer, or a pointer to the same content. Raises OSError."""
    here = read_pointer(path)
    if here is not None:
        return here == pointer
    if pointer.original == pointer.oid and path.stat().st_size != pointer.size:
        return False
    content = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            content.update(chunk)
    return content.hexdigest() == pointer.original
