"""The logs of a store in a bucket: an object an entry, created where there is none."""

from __future__ import annotations

import contextlib
import json
import sys
import zlib
from collections.abc import Iterable, Sequence

from ciplug.errors import Cause, Conflict, StoreError
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import EntryKey, parse_entry
from ciplug.stores.base import Head
from ciplug.stores.bucket.base import Bucket, get_many
from ciplug.stores.bucket.folding import create

_FOLDER, _HEAD = "logs/", ".json"
_NOT_NOTED_MOST = 16
"""Entries after the noted head: a writer that is killed leaves one."""


_STATE_MOST = 256 * 1024 * 1024
"""Bytes of a state: anyone who may write may put one that takes all memory."""
_NOTED_FROM = 2
"""The entry from which on a log has a noted head: its writer notes the first one if nobody has."""


class BucketLog:
    """A Log, and the keys of its entries."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._logs: dict[str, dict[int, str]] | None = None
        self._last: dict[str, int] = {}
        """Log → number of its last entry, as the noted head and the entries after it say."""
        self._entries: dict[str, bytes] = {}

    def forget(self) -> None:
        """Let the next question ask the bucket again."""
        self._logs = None
        self._last.clear()

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        now = self.head(log)
        if now != expected:
            self.forget()
            if (now := self.head(log)) != expected:
                raise Conflict(f"{log} has moved on", head=now)
        if self.lost_logs(log):
            raise StoreError(
                f"entries of {log} are missing or were replaced: {_head_name(log)} notes another head, or is "
                "gone, and nothing is added until you decide which entries are right",
                hint="compare with another clone: ciplug registry history MODEL; if it is right as it is "
                "now: ciplug fsck --accept-registry",
                cause=Cause.LOST,
            )
        if now is not None and now.seq < _NOTED_FROM and self._bucket.get(_head_name(log)) is None:
            # The writer of the first entry was killed, or is about to note it.
            self._note(log, now)
        new = Head(1 if now is None else now.seq + 1, digest(entry))
        name = _entry_name(log, new.seq)
        # After a lost answer the entry may stand.
        if create(self._bucket, name, entry, first=new.seq == 1) or self._bucket.get(name) == entry:
            self._entries[name] = entry
            self._last[log] = new.seq
            if self._logs is not None:
                self._logs.setdefault(log, {})[new.seq] = name
            # The entry stands, whatever comes of this.
            with contextlib.suppress(StoreError):
                self._note(log, new)
            return new
        self.forget()
        raise Conflict(f"{log} has moved on", head=self.head(log))

    def head(self, log: str) -> Head | None:
        last = self._last_of(log)
        if last is None:
            sequence = self._all_logs().get(log)
            if not sequence:
                return None
            last = max(sequence)
        (data,) = self._read_entries([_entry_name(log, last)])
        return Head(last, digest(data))

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        last = self._last_of(log)
        if last is None:
            sequence, most = self._all_logs().get(log, {}), sys.maxsize if until is None else until
            return self._read_entries([sequence[seq] for seq in sorted(sequence) if after < seq <= most])
        names = [_entry_name(log, seq) for seq in range(after + 1, last + 1 if until is None else min(until, last) + 1)]
        self._fetch_entries(names)
        # One that is missing is seen by the chain.
        return [self._entries[name] for name in names if name in self._entries]

    def _last_of(self, log: str) -> int | None:
        """The number of the last entry, at a cost that does not grow with the log; None where only a listing tells it.

        The noted head is written after its entry, so there may be some after it.
        """
        if self._logs is None and log not in self._last:
            noted = self._noted(log)
            if noted is None or self._digest_at(log, noted.seq) != noted.digest:
                return None
            last = noted.seq
            while self._digest_at(log, last + 1):
                last += 1
                if last - noted.seq > _NOT_NOTED_MOST:
                    return None
            self._last[log] = last
        return self._last.get(log)

    def _digest_at(self, log: str, seq: int) -> str | None:
        name = _entry_name(log, seq)
        self._fetch_entries([name])
        return digest(self._entries[name]) if name in self._entries else None

    def _noted(self, log: str) -> Head | None:
        """The noted head; None where there is none that can be read."""
        data = self._bucket.get(_head_name(log))
        try:
            noted = json.loads(data or b"")
            return Head(int(noted["seq"]), str(noted["digest"]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    def _note(self, log: str, head: Head) -> None:
        self._bucket.put(_head_name(log), dumps({"seq": head.seq, "digest": head.digest}))

    def lost_logs(self, *logs: str) -> list[str]:
        folder = "heads/"
        noted = [] if logs else [one.name[len(folder) : -len(_HEAD)] for one in self._bucket.list(folder.rstrip("/"))]
        listed = logs or {*noted, *self._all_logs()}
        return sorted(log for log in listed if self._has_lost(log))

    def _has_lost(self, log: str) -> bool:
        if self._bucket.get(_head_name(log)) is None:
            # Who was killed after the first entry has noted none; after a second one somebody has removed it.
            return self._digest_at(log, _NOTED_FROM) is not None
        head = self._noted(log)
        return head is None or self._digest_at(log, head.seq) != head.digest

    def note_heads(self, *logs: str) -> None:
        for log in logs:
            if head := self.head(log):
                self._note(log, head)
            else:
                self._bucket.delete(_head_name(log))

    def state(self, log: str) -> bytes | None:
        data = self._bucket.get(_state_name(log))
        try:
            if not data:
                return data
            unpacking = zlib.decompressobj()
            state = unpacking.decompress(data, _STATE_MOST)
            return None if unpacking.unconsumed_tail else state
        except zlib.error:
            return data

    def put_state(self, log: str, data: bytes) -> None:
        # Of two that are put at once either may stay: both are named by an entry.
        self._bucket.put(_state_name(log), zlib.compress(data, 1))

    def logs(self, prefix: str) -> list[str]:
        return sorted(log for log in self._all_logs() if log.startswith(prefix))

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The entries among `keys`."""
        names = {key: _FOLDER + key for key in keys if parse_entry(key)}
        self._fetch_entries(names.values())
        return {key: self._entries[name] for key, name in names.items() if name in self._entries}

    def all_keys(self) -> list[str]:
        """The keys of all entries."""
        return [EntryKey(log, seq).key for log, sequence in self._all_logs().items() for seq in sequence]

    def _all_logs(self) -> dict[str, dict[int, str]]:
        """Log → number of an entry → its name in the bucket."""
        if self._logs is None:
            self._logs = {}
            for entry in self._bucket.list(_FOLDER.rstrip("/")):
                if parsed := parse_entry(entry.name[len(_FOLDER) :]):
                    self._logs.setdefault(parsed.log, {})[parsed.seq] = entry.name
        return self._logs

    def _fetch_entries(self, names: Iterable[str]) -> None:
        """Entries never change, so each is fetched once."""
        self._entries.update(get_many(self._bucket, [name for name in names if name not in self._entries]))

    def _read_entries(self, names: Sequence[str]) -> list[bytes]:
        self._fetch_entries(names)
        if lost := [name for name in names if name not in self._entries]:
            raise StoreError(f"{self._bucket.address}: {lost[0]} is listed, and does not exist", cause=Cause.LOST)
        return [self._entries[name] for name in names]


def _head_name(log: str) -> str:
    return f"heads/{log}{_HEAD}"


def _state_name(log: str) -> str:
    return f"states/{log}.lines.z"


def _entry_name(log: str, seq: int) -> str:
    return f"{_FOLDER}{EntryKey(log, seq).key}"
