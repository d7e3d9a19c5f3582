"""What this clone remembers of the logs it has read: a log that has lost or changed what was seen is refused.

Whoever may move the branch of a git store can rewrite a log so that its chain is whole again. Nothing in the store
shows that; a clone that saw the old one does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from ciplug.errors import BrokenLog, Cause
from ciplug.locking import held
from ciplug.records.canonical import digest, dumps
from ciplug.stores.base import Head, KeepsStates, Log


class Memory:
    """The heads of the logs of one store, in a file of this clone. A file that cannot be read remembers nothing."""

    def __init__(self, folder: Path, address: str) -> None:
        self._address = address
        self._path = folder / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.json"

    def read(self) -> dict[str, Head]:
        """Log → the last head that was seen."""
        try:
            found = json.loads(self._path.read_text())["heads"]
            return {log: Head(int(seq), str(seen)) for log, (seq, seen) in found.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def advance(self, log: str, head: Head) -> None:
        """Remember a head, unless a later one is remembered."""
        with contextlib.suppress(OSError), held(self._path.with_suffix(".lock")):
            heads = self.read()
            if log not in heads or heads[log].seq < head.seq:
                part = self._path.with_suffix(".part")
                part.write_bytes(dumps({"address": self._address, "heads": {**heads, log: head}}))
                part.replace(self._path)

    def forget(self) -> None:
        """Remember nothing."""
        with held(self._path.with_suffix(".lock")):
            self._path.unlink(missing_ok=True)


class WitnessedLog:
    """A Log that refuses to go back behind what this clone has seen of it."""

    def __init__(self, log: Log, refresh: Callable[[], None], memory: Memory) -> None:
        """
        Args:
            refresh: lets the next question see the log as it is then.
        """
        self._log = log
        self._refresh = refresh
        self._memory = memory
        # Before the first question: what another process appends meanwhile is not held against our older view.
        self._seen = memory.read()

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        head = self._log.append(log, expected, entry)
        self._note(log, head)
        return head

    def head(self, log: str) -> Head | None:
        seen = self._seen.get(log)
        if seen is None:
            if head := self._log.head(log):
                self._note(log, head)
            return head
        entries = self.entries(log, seen.seq - 1)
        return Head(seen.seq - 1 + len(entries), digest(entries[-1])) if entries else None

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        if until is not None:
            # Entries of the past: whoever asks for them has read the end of the log, and knows their digests.
            return self._log.entries(log, after, until)
        seen = self._seen.get(log)
        # The last entry that was seen is read as well: it must be there, and be the same.
        start = min(after, seen.seq - 1) if seen else after
        entries = self._log.entries(log, start)
        if self._lacks(log, entries, start):
            # The view may be older than what another process has noted since.
            self._refresh()
            entries = self._log.entries(log, start)
            if self._lacks(log, entries, start):
                raise self._went_back(log, entries, start)
        if entries:
            self._note(log, Head(start + len(entries), digest(entries[-1])))
        return entries[after - start :]

    def state(self, log: str) -> bytes | None:
        return self._log.state(log) if isinstance(self._log, KeepsStates) else None

    def put_state(self, log: str, data: bytes) -> None:
        if isinstance(self._log, KeepsStates):
            self._log.put_state(log, data)

    def logs(self, prefix: str) -> list[str]:
        """The logs that exist, and those that were seen: one that is gone must not look like one that never was."""
        return sorted({*self._log.logs(prefix), *(log for log in self._seen if log.startswith(prefix))})

    def changes(self) -> Mapping[str, str]:
        """Log → what has become of it since it was seen, of those that went back."""
        changed = {}
        for log in self._seen:
            entries = self._log.entries(log)
            if self._lacks(log, entries, 0):
                changed[log] = self._went_back(log, entries, 0).message
        return changed

    def accept(self) -> None:
        """Take the logs as they are now."""
        self._memory.forget()
        self._seen = {}

    def _lacks(self, log: str, entries: list[bytes], start: int) -> bool:
        """Whether the last entry that was seen is not among these, of which the first has the number start + 1."""
        seen = self._seen.get(log)
        if seen is None:
            return False
        at = seen.seq - 1 - start
        return len(entries) <= at or digest(entries[at]) != seen.digest

    def _note(self, log: str, head: Head) -> None:
        if self._seen.get(log) != head:
            self._seen[log] = head
            self._memory.advance(log, head)

    def _went_back(self, log: str, entries: list[bytes], start: int) -> BrokenLog:
        seen, count = self._seen[log], start + len(entries)
        now = f"has {count}" if count < seen.seq else f"has another entry {seen.seq}"
        return BrokenLog(
            f"{log} went back: this clone saw {seen.seq} entries, the last {seen.digest[:19]}, and the store {now}",
            hint="find out who changed it, and compare with another clone: ciplug registry history MODEL; if it is "
            "right as it is now: ciplug fsck --accept-registry",
            cause=Cause.LOST,
        )
