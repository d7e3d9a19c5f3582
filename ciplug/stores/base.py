"""The interfaces of every store, as three protocols. One contract suite checks each backend against them.

`Objects` keeps bytes by key, `Columns` answers questions over many runs, `Log` keeps append-only logs. Every place is
a `Store` (objects and columns); one that can decide which of two writers was first is a `Log` as well. What needs a
log takes a `Log`: `log_of(store)` gives it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

from ciplug.errors import Cause, StoreError

if TYPE_CHECKING:
    from ciplug.records import columns as tables

PENDING_ALARM = 256
"""More pending writes than this show that nobody may fold them."""


Visit = Callable[[Mapping[str, bytes]], None]
"""Takes objects, key → content, a few at a time."""


class Head(NamedTuple):
    """The last entry of a log."""

    seq: int
    digest: str
    """sha256:<hex> of the entry's content."""


class Problem(NamedTuple):
    """A problem that `ciplug fsck` found in a store."""

    where: str
    """The key, ref or file."""
    what: str
    """One clause."""
    repairable: bool = False
    repaired: bool = False


class Trial(NamedTuple):
    """The result of one trial write, which leaves no trace."""

    what: Literal["write", "delete", "branch"]
    """Add objects; delete what has been folded; move the branch, as folds and logs do."""
    cause: Cause | None
    """The cause of a refusal; None if accepted. `UNKNOWN` also if it cannot be tested without leaving a trace."""
    words: str
    """The place's own words, or where it was accepted."""
    spare: bool = False
    """It was accepted at a second place only, since the first one was refused."""


class Objects(Protocol):
    """Content by key. Keys are `/`-separated paths; a store does not interpret the content.

    A key's first folder, and what follows up to the next `-` or `/`, is its group: `runs/<commit>-` of
    `runs/<commit>-<id>.json`. The keys of a group are found at a cost that does not grow with the store.

    A store fetches what it needs when it is first asked, and answers from that view from then on: one command sees one
    state. A process that lives long calls `refresh()` before it asks again.
    """

    uri: str
    """The store as the user named it, without credentials."""
    address: str
    """The real address, without credentials: the same for every name of one store."""

    @property
    def notes(self) -> list[str]:
        """Sentences on the state of the store that a person must see, as far as it has been read."""
        ...

    def refresh(self) -> None:
        """Forget the view, so that the next question is answered from the store as it is then.

        Nothing is contacted by this call, and what never changes (segments, entries of logs) stays in the cache. What
        was read before, such as a `Runs` or a `Catalog` over this store, does not change: make a new one after it.
        """
        ...

    def add(self, objects: Mapping[str, bytes]) -> None:
        """Create objects, all or none; idempotent, and never waits for other writers.

        Raises StoreError when the store cannot be written. Of two writes that share a key but not its bytes, one that
        is folded counts. While both are pending, either the second raises Conflict, or neither is read: `keys` lists
        the key, `notes` and `check` name both writes.
        """
        ...

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The objects and log entries among `keys` that exist, in one round trip for many."""
        ...

    def keys(self, *prefixes: str) -> list[str]:
        """Every key of an object or a log entry that starts with one of the prefixes, sorted.

        Prefixes that are groups, or are within one, are looked up; any other means listing the store.
        """
        ...

    def compact(self) -> int:
        """Rewrite the physical form, never the facts; returns how many pending writes were folded."""
        ...

    def drop(self, keys: Collection[str], reason: str) -> int:
        """Delete objects for good, as retention asks; returns how many existed. Logs are never touched."""
        ...

    def check(self, *, repair: bool = False, visit: Visit | None = None) -> list[Problem]:
        """Read everything once and report what is wrong; with `repair`, repair it where that loses no data.

        Args:
            visit: takes every object that can be read, as it was before a repair; of two under one key, the one that
                counts comes first.
        """
        ...

    def try_writes(self) -> list[Trial]:
        """Try what the store needs to write, and leave nothing behind. Raises StoreError where it cannot be read."""
        ...


class Columns(Protocol):
    """The runs as columns, for questions over many of them.

    Objects are accepted as *loose*; compaction moves them into *segments*, which never change, and which hold the runs
    among them as columns too.
    """

    def segments(self) -> list[str]:
        """Return the names of the closed segments, oldest first. The content of a segment never changes."""
        ...

    def columns(self, segments: Iterable[str]) -> dict[str, tables.Columns]:
        """The runs of segments as columns, in one round trip for many."""
        ...

    def loose(self) -> list[str]:
        """Keys of the objects that are in no segment, sorted; they are few, however large the store is."""
        ...


@runtime_checkable
class Log(Protocol):
    """Named logs, each a sequence of entries that only grows."""

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        """Append to a named log, if its head still is `expected` (None: the log is empty).

        Of two racing callers exactly one wins. Raises Conflict, with the head as it is now, for the other.
        It starts from the view that the last question left, and leaves the one that it wrote: to read a log, append to
        it and read it again fetches once.
        """
        ...

    def head(self, log: str) -> Head | None:
        """The last entry of a log, None when it is empty."""
        ...

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        """The entries of a log, first to last: those with a number above `after`, up to `until`."""
        ...

    def logs(self, prefix: str) -> list[str]:
        """Return the names of the logs that have an entry and start with `prefix`, sorted."""
        ...


class Store(Objects, Columns, Protocol):
    """The interface of every store."""


@runtime_checkable
class Erases(Protocol):
    """A place that remembers what was erased: who has kept the objects can push them again, and nobody reads them."""

    def erase(self, keys: Collection[str], reason: str) -> int:
        """Drop objects, and from then on pass over everything about their runs, whoever adds it."""
        ...

    def erased_among(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that are about erased runs."""
        ...


@runtime_checkable
class NoticesLoss(Protocol):
    """A place that knows by itself, apart from its logs, how far each had come."""

    def lost_logs(self, *logs: str) -> list[str]:
        """Those of these logs, or of all, that have lost entries, or have other ones in their place."""
        ...


@runtime_checkable
class KeepsEntries(NoticesLoss, Protocol):
    """A place that keeps what its logs were, so that entries which somebody took away can be put back."""

    def kept_entries(self) -> dict[str, bytes]:
        """Key → entry, of those that the logs have lost. They do not count, until they are put back."""
        ...

    def restore_entries(self, entries: Mapping[str, bytes]) -> None:
        """Put back what `kept_entries` returned. Raises Conflict where that has changed since."""
        ...


@runtime_checkable
class NotesHeads(NoticesLoss, Protocol):
    """A place that notes the head of each log beside it, and keeps no entries."""

    def note_heads(self, *logs: str) -> None:
        """Take these logs as they are now."""
        ...


@runtime_checkable
class KeepsStates(Protocol):
    """A place that keeps one object beside each log: the last state that its entries make, for new readers.

    Nothing shows by itself that it is right: an entry of the log names its digest.
    """

    def state(self, log: str) -> bytes | None:
        """The state that was kept last; None: there is none."""
        ...

    def put_state(self, log: str, data: bytes) -> None:
        """Keep a state, in place of the one before. Raises StoreError."""
        ...


class LogStore(Store, Log, Protocol):
    """A place that keeps logs as well."""


class NoLog:
    """The Log of a place that cannot keep one: always empty, and it refuses entries."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def refusal(self) -> StoreError:
        """Return the error of whoever wants a log here."""
        return StoreError(
            f"{self._uri} has no registry: nothing there decides which of two writers was first",
            hint="keep runs and registry in git: or in a bucket; `ciplug collect` moves runs there",
            cause=Cause.UNSUPPORTED,
        )

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        raise self.refusal()

    def head(self, log: str) -> Head | None:
        return None

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        return []

    def logs(self, prefix: str) -> list[str]:
        return []


def log_of(store: Objects) -> Log:
    """The logs of a store, for whoever needs a Log: the store itself, or, where it keeps none, an empty one."""
    return store if isinstance(store, Log) else NoLog(store.uri)


def group_of(key: str) -> str | None:
    """`runs/<commit>-` of a key in that group, or of a prefix that reaches into it; None where there is none."""
    first, slash, rest = key.partition("/")
    ends = [at for at in (rest.find("-"), rest.find("/")) if at >= 0]
    return first + slash + rest[: min(ends) + 1] if ends else None


def group_mark(group: str) -> bytes:
    """Four bytes that stand for a group in an index, whatever its first folder: two groups rarely share them."""
    return hashlib.sha256(group.partition("/")[2].encode(errors="surrogateescape")).digest()[:4]
