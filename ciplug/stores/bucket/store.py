"""The object store: a write is one object of its own, a fold moves many of them into Parquet segments.

Layout (format 2)
    inbox/<id>            one write, until it is folded: a bundle, named by its keys
    index/<n>.claim       what fold n takes, written before anything of it
    index/<n>.done        what fold n has left, written after all of it: from then on it counts. Some folds only merge:
                          theirs is what the folds before have left, down to a number, and takes the place of their ends
    runs/…, amend/…, verdicts/…
                          segments: see `segment_files`
    objects/<key>         what has been folded and is not a row of a segment, as it is
    logs/<log>/<seq>.json entries of logs
    heads/<log>.json      the head of a log, as its last writer has left it
    states/<log>.lines.z  the state that is kept beside a log

Every name is written once, by put-if-absent where writers could race, so nobody waits for anybody. A claim says all
that its fold does, so any number of processes may carry it out, and be killed while they do: the next one finishes it.
Readers list the inbox before the index, so a fold beside them hides nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from ciplug.errors import Cause, Conflict, RecordError, StoreError, counted
from ciplug.records import bundle, columns
from ciplug.records.columns import Columns
from ciplug.records.keys import EVERY_AMENDMENT, EVERY_RUN, amended_run, erased_mark, is_run
from ciplug.stores.base import PENDING_ALARM, Head, Problem, Trial, Visit, group_of
from ciplug.stores.bucket import folding, index
from ciplug.stores.bucket import segment_files as segments
from ciplug.stores.bucket.base import Bucket
from ciplug.stores.bucket.folder import NewFolder
from ciplug.stores.bucket.folding import Folding
from ciplug.stores.bucket.logs import BucketLog
from ciplug.stores.bucket.reading import Reader, View

T = TypeVar("T")
_TRIES = 10
_KINDS = tuple(f"{kind}/" for kind in segments.KINDS)


class ObjectStore:
    """A LogStore in a bucket."""

    def __init__(self, bucket: Bucket, *, uri: str, cache: Path, may_fold: bool = True) -> None:
        """
        Args:
            bucket: where the objects are.
            uri: how the user named this store.
            cache: a folder of ours, which may be emptied at any time.
            may_fold: False in a job that must not write the store: then its readers fold nothing.
        """
        self.uri = uri
        self.address = bucket.address
        self._bucket = bucket
        self._reader = Reader(bucket, cache)
        self._folding = Folding(self._reader)
        self._log = BucketLog(bucket)
        self._may_fold = may_fold
        self._pending_notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        new = [self._bucket.note] if isinstance(self._bucket, NewFolder) else []
        return [*new, *self._pending_notes, *self._reader.notes]

    def refresh(self) -> None:
        self._reader.forget()
        self._log.forget()

    # Writing

    def add(self, objects: Mapping[str, bytes]) -> None:
        """One put of one object, whose name follows from the keys: a repeated put is the same put."""
        if wrong := [key for key in objects if not bundle.is_key(key)]:
            raise StoreError(f"{wrong[0]!r:.80} is not a key")
        data = bundle.pack(objects)
        if len(data) > bundle.MAX_BYTES or len(objects) > bundle.MAX_OBJECTS:
            raise StoreError(
                f"a write of {len(objects):,} objects and {len(data):,} bytes; at most {bundle.MAX_OBJECTS:,} and "
                f"{bundle.MAX_BYTES:,} go at once",
                cause=Cause.TOO_LARGE,
            )
        name = "inbox/" + hashlib.sha256("\n".join(sorted(objects)).encode()).hexdigest()[:32]
        self._reader.forget()
        for _ in range(_TRIES):
            if self._bucket.create(name, data):
                return
            stored = self._bucket.get(name)
            if stored == data:
                return
            if stored is not None:
                raise Conflict(f"the store has other content under the same key: {_first_other(objects, stored, name)}")
        raise StoreError(f"{self.address}: {name} exists, and cannot be read", cause=Cause.DAMAGED)

    def compact(self) -> int:
        return self._folding.compact()

    def drop(self, keys: Collection[str], reason: str) -> int:
        return self._folding.drop(keys, reason)

    def erase(self, keys: Collection[str], reason: str) -> int:
        return self._folding.drop(keys, reason, erase=True)

    def erased_among(self, keys: Iterable[str]) -> set[str]:
        named = set(keys)
        return self._ask(lambda view: {key for key in named if erased_mark(key) in view.state.erased})

    # Logs

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        return self._log.append(log, expected, entry)

    def head(self, log: str) -> Head | None:
        return self._log.head(log)

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        return self._log.entries(log, after, until)

    def logs(self, prefix: str) -> list[str]:
        return self._log.logs(prefix)

    def lost_logs(self, *logs: str) -> list[str]:
        return self._log.lost_logs(*logs)

    def note_heads(self, *logs: str) -> None:
        self._log.note_heads(*logs)

    def state(self, log: str) -> bytes | None:
        return self._log.state(log)

    def put_state(self, log: str, data: bytes) -> None:
        self._log.put_state(log, data)

    # Reading

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(dict.fromkeys(keys))
        entries = self._log.read(wanted)
        return self._ask(lambda view: {**view.pending_among(wanted), **self._reader.folded(view, wanted), **entries})

    def keys(self, *prefixes: str) -> list[str]:
        listed = self._ask(lambda view: self._keys(view, prefixes))
        if any(group_of(prefix) is None or not prefix.startswith(_KINDS) for prefix in prefixes):
            listed.update(key for key in self._log.all_keys() if key.startswith(prefixes))
        return sorted(listed)

    def _keys(self, view: View, prefixes: tuple[str, ...]) -> set[str]:
        # Whole groups may be a thousand, which a set knows at once.
        groups = {prefix for prefix in prefixes if group_of(prefix) == prefix}
        others = tuple(prefix for prefix in prefixes if prefix not in groups)

        def wanted(keys: Iterable[str]) -> set[str]:
            return {key for key in keys if key.startswith(others) or group_of(key) in groups}

        found = wanted(view.state.objects).union(*map(wanted, view.pending.values()))
        paths = set(view.state.files_of(prefixes))
        wide = tuple(prefix for prefix in prefixes if group_of(prefix) is None)
        for path in view.state.files:
            kind = path[: path.index("/") + 1]
            if any(kind.startswith(prefix) or prefix.startswith(kind) for prefix in wide):
                paths.add(path)
        for _, rows in self._reader.read_segments(view, index.in_order(paths)):
            found |= wanted(key for row in rows.values() for key in (row.key, *row.siblings))
        return found

    def segments(self) -> list[str]:
        return [
            path
            for path in index.in_order(self._ask(lambda view: view.state.files))
            if path.startswith((EVERY_RUN, EVERY_AMENDMENT))
        ]

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        wanted = list(segments)

        def question(view: View) -> dict[str, Columns]:
            present = [path for path in wanted if path in view.state.files]
            return {
                path: columns.of((row.key, row.record.encode()) for row in rows.values())
                for path, rows in self._reader.read_segments(view, present)
            }

        return self._ask(question)

    def loose(self) -> list[str]:
        def question(view: View) -> list[str]:
            waiting = {key for objects in view.pending.values() for key in objects}
            beside = {key for key in view.state.objects if is_run(key) or amended_run(key)}
            return sorted((waiting - self._reader.known(view, waiting)) | beside)

        return self._ask(question)

    def _ask(self, question: Callable[[View], T]) -> T:
        """The answer to a question. A reader that finds much pending folds it first, if it may."""
        if self._reader.current is None:
            self._reader.current = self._see()
        return self._reader.steady(question)

    def _see(self) -> View:
        view, failure = self._reader.see(), ""
        if len(view.pending) >= folding.FOLD_AT and self._may_fold:
            try:
                self._folding.compact()
            except StoreError as problem:
                failure = f", and could not be folded: {problem.message}"
            view = self._reader.see()
        self._pending_notes = []
        if len(view.pending) >= folding.FOLD_AT + PENDING_ALARM or failure:
            self._pending_notes = [
                f"{len(view.pending)} writes are pending{failure or '; `ciplug compact` folds them'}"
            ]
        if view.revived:
            self._pending_notes.append(
                f"{counted(len(view.revived), 'write')} with objects of erased runs came again, and are not read: "
                "`ciplug compact` deletes them"
            )
        return view

    # Checking

    def check(self, *, repair: bool = False, visit: Visit | None = None) -> list[Problem]:
        from ciplug.stores.bucket.repair import check

        return check(self._reader, self._folding, repair=repair, visit=visit or (lambda _: None))

    def try_writes(self) -> list[Trial]:
        from ciplug.stores.bucket.write_trial import try_writes

        if isinstance(self._bucket, NewFolder) and self._bucket.is_missing:
            # Its parent can be written, or it could not have been opened. A trial would make it.
            return [Trial("write", None, f"{self._bucket.address} can be made"), Trial("delete", None, "")]
        self._bucket.list("inbox")
        return try_writes(self._bucket)


def _first_other(objects: Mapping[str, bytes], stored: bytes, name: str) -> str:
    """The first key under which a write holds other bytes than another of the same name."""
    try:
        held = bundle.unpack(stored, name)
    except RecordError:
        return min(objects)
    return min((key for key, data in objects.items() if held.get(key) != data), default=min(objects))
