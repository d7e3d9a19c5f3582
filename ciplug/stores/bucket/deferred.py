"""A Bucket that is opened when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from ciplug.stores.bucket.base import Bucket, Listed
from ciplug.stores.bucket.failures import Access, errors


class DeferredBucket:
    """A Bucket that looks for credentials when it is first used: a job that may not have any still trains."""

    def __init__(self, address: str, access: Access, opener: Callable[[], Bucket]) -> None:
        self.address = address
        self._access = access
        self._opener = opener

    @cached_property
    def _bucket(self) -> Bucket:
        with errors(self._access, self.address):
            return self._opener()

    def get(self, name: str) -> bytes | None:
        return self._bucket.get(name)

    def create(self, name: str, data: bytes) -> bool:
        return self._bucket.create(name, data)

    def put(self, name: str, data: bytes) -> None:
        self._bucket.put(name, data)

    def upload(self, name: str, chunks: Iterator[bytes], size: int) -> None:
        self._bucket.upload(name, chunks, size)

    def size(self, name: str) -> int | None:
        return self._bucket.size(name)

    def version(self, name: str) -> str | None:
        return self._bucket.version(name)

    def part(self, name: str, start: int, length: int) -> bytes:
        return self._bucket.part(name, start, length)

    def copy(self, name: str, to: str) -> None:
        self._bucket.copy(name, to)

    def delete(self, name: str) -> None:
        self._bucket.delete(name)

    def list(self, folder: str) -> list[Listed]:
        return self._bucket.list(folder)
