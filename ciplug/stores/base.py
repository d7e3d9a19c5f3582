"""What every store promises. One contract suite holds each backend to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol


class Head(NamedTuple):
    """The last entry of a log."""

    seq: int
    digest: str
    """sha256:<hex> of the entry's bytes."""


class Store(Protocol):
    """Bytes by key. Keys are `/`-separated paths; what the bytes mean is none of a store's business."""

    uri: str
    """As the user named it, without credentials."""
    address: str
    """Where it really is, without credentials: the same for every name of one store."""

    def add(self, objects: Mapping[str, bytes]) -> None:
        """Create objects, all or none; idempotent, and never waits for other writers.

        Raises Conflict when a key already holds other bytes, StoreError when the store cannot be written.
        """
        ...

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        """Append to a named log, if its head still is `expected` (None: the log is empty).

        Of two racing callers exactly one wins. Raises Conflict, with the head as it is now, for the other.
        """
        ...

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The objects among `keys` that exist, in one round trip for many."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """Every key that starts with `prefix`, sorted."""
        ...

    def head(self, log: str) -> Head | None:
        """The last entry of a log, None when it is empty."""
        ...

    def entries(self, log: str) -> list[bytes]:
        """Every entry of a log, first to last."""
        ...

    def compact(self) -> int:
        """Rewrite the physical form, never the facts; returns how many pending writes were folded."""
        ...
