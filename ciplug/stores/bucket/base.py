"""The interface of a bucket of an object store: a few operations on objects by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from ciplug.stores import threads

T = TypeVar("T")
PART = 8 * 1024 * 1024
"""Bytes of a part, where an object is too large for one request."""
COPY_MOST = 5 * 1000**3
"""Bytes of an object that S3 copies by one request."""
_AT_ONCE = 16


class Listed(NamedTuple):
    """An object as a listing shows it."""

    name: str
    size: int
    """Bytes."""
    tag: str
    """Changes when the object does."""


class Bucket(Protocol):
    """Objects by name, each written whole or not at all. Every call raises StoreError when the place refuses it."""

    address: str
    """The same for every name of this place; without credentials."""

    def get(self, name: str) -> bytes | None:
        """The object; None if it does not exist."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Put an object that does not exist yet; False if one exists, which stays as it is."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Put an object, and overwrite any other."""
        ...

    def upload(self, name: str, chunks: Iterator[bytes], size: int) -> None:
        """Put an object of `size` bytes, however large, as its bytes come. If `chunks` raises, nothing is put."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of the object; None if it does not exist."""
        ...

    def version(self, name: str) -> str | None:
        """Text that differs after each write of the object; None if it does not exist."""
        ...

    def part(self, name: str, start: int, length: int) -> bytes:
        """Return some bytes of an object that exists."""
        ...

    def copy(self, name: str, to: str) -> None:
        """Copy an object that exists, within the bucket. Hosts limit the size: `COPY_MOST` is taken by all."""
        ...

    def delete(self, name: str) -> None:
        """Delete an object, if it exists."""
        ...

    def list(self, folder: str) -> list[Listed]:
        """List all objects below a folder, by name."""
        ...


def each(function: Callable[[str], T], names: Iterable[str]) -> dict[str, T]:
    """The function's value for every name; many calls are under way at once."""
    wanted = list(dict.fromkeys(names))
    if len(wanted) < 2:
        return {name: function(name) for name in wanted}
    return dict(zip(wanted, threads.each(function, wanted, min(_AT_ONCE, len(wanted))), strict=True))


def get_many(bucket: Bucket, names: Iterable[str]) -> dict[str, bytes]:
    """The objects that exist among these."""
    return {name: data for name, data in each(bucket.get, names).items() if data is not None}
