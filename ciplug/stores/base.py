"""What every store promises. One contract suite holds each backend to it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from ciplug.records.columns import Columns

PENDING_ALARM = 256
"""So many writes wait only where nobody may fold them."""


class Head(NamedTuple):
    """The last entry of a log."""

    seq: int
    digest: str
    """sha256:<hex> of the entry's bytes."""


class Problem(NamedTuple):
    """What `ciplug fsck` found in a store."""

    where: str
    """The key, ref or file."""
    what: str
    """One clause."""
    mendable: bool = False
    mended: bool = False


Cause = Literal[
    "unreachable", "no_credential", "not_accepted", "not_allowed", "not_found", "protected", "rule", "unclear"
]
"""Why a place does not take a write, as far as its words tell: the network; no credential, one that is not accepted, or
one that may not write; no such repository; a protected branch; another rule of the host."""


class Trial(NamedTuple):
    """What came of one way to write that has been tried, without a trace."""

    what: Literal["write", "delete", "branch"]
    """To add objects; to take away what has been folded; to move the branch, as folds and logs do."""
    cause: Cause | None
    """Why it is not taken; None where it is. `unclear` also where the place cannot be asked without a trace."""
    said: str
    """The place's own words, or where it was taken."""
    spare: bool = False
    """It was taken at a second place only, since the first one was refused."""


class Store(Protocol):
    """Bytes by key. Keys are `/`-separated paths; what the bytes mean is none of a store's business.

    A key's first folder, and what follows up to the next `-` or `/`, is its group: `runs/<commit>-` of
    `runs/<commit>-<id>.json`. The keys of a group are found at a cost that does not grow with the store.

    Objects are accepted as *loose*; compaction moves them into *segments*, which never change, and which hold
    the runs among them as columns too, for questions over many runs.
    """

    uri: str
    """As the user named it, without credentials."""
    address: str
    """Where it really is, without credentials: the same for every name of one store."""
    notes: list[str]
    """Sentences on the state of the store that a person must see, as far as it has been read."""

    def add(self, objects: Mapping[str, bytes]) -> None:
        """Create objects, all or none; idempotent, and never waits for other writers.

        Raises Conflict when a write of the same keys with other bytes is still pending, StoreError when the store
        cannot be written. Of two writes that share a key, and not its bytes, the first to be folded counts, and
        `check` names the other.
        """
        ...

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        """Append to a named log, if its head still is `expected` (None: the log is empty).

        Of two racing callers exactly one wins. Raises Conflict, with the head as it is now, for the other.
        """
        ...

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The objects and log entries among `keys` that exist, in one round trip for many."""
        ...

    def keys(self, *prefixes: str) -> list[str]:
        """Every key of an object or a log entry that starts with one of the prefixes, sorted.

        Prefixes that are groups, or lie in one, are looked up; any other means listing the store.
        """
        ...

    def head(self, log: str) -> Head | None:
        """The last entry of a log, None when it is empty."""
        ...

    def entries(self, log: str) -> list[bytes]:
        """Every entry of a log, first to last."""
        ...

    def logs(self, prefix: str) -> list[str]:
        """Names of the logs that have an entry and start with `prefix`, sorted."""
        ...

    def segments(self) -> list[str]:
        """Names of the closed segments, oldest first. What a name stands for never changes."""
        ...

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        """The runs of segments as columns, in one round trip for many."""
        ...

    def loose(self) -> list[str]:
        """Keys of the objects that are in no segment, sorted; they are few, whatever the store holds."""
        ...

    def compact(self) -> int:
        """Rewrite the physical form, never the facts; returns how many pending writes were folded."""
        ...

    def drop(self, keys: Collection[str], reason: str) -> int:
        """Take objects away for good, as retention asks; returns how many there were. Logs are never touched."""
        ...

    def check(self, *, repair: bool = False) -> list[Problem]:
        """Read everything and say what is wrong with it; with `repair`, mend what can be without losing a fact."""
        ...

    def try_writes(self) -> list[Trial]:
        """Try what the store needs to write, and leave nothing behind. Raises StoreError where it cannot be read."""
        ...


def group_of(key: str) -> str | None:
    """`runs/<commit>-` of a key in that group, or of a prefix that reaches into it; None where there is none."""
    first, slash, rest = key.partition("/")
    ends = [at for at in (rest.find("-"), rest.find("/")) if at >= 0]
    return first + slash + rest[: min(ends) + 1] if ends else None


def group_mark(group: str) -> bytes:
    """Four bytes that stand for a group in an index, whatever its first folder: two groups rarely share them."""
    return hashlib.sha256(group.partition("/")[2].encode(errors="surrogateescape")).digest()[:4]
