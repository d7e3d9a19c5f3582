"""Read a bucket: the writes in the inbox, the index, and the segments and objects that it names."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ciplug.errors import Cause, RecordError, StoreError
from ciplug.locking import write_atomically
from ciplug.records import bundle
from ciplug.records.canonical import digest
from ciplug.records.keys import erased_mark
from ciplug.stores.bucket import index
from ciplug.stores.bucket import segment_files as segments
from ciplug.stores.bucket.base import Bucket, Listed, get_many
from ciplug.stores.bucket.check import object_name
from ciplug.stores.bucket.index import State
from ciplug.stores.bucket.segment_files import Row

T = TypeVar("T")
SEE_FSCK = "see `ciplug fsck`, and `ciplug fsck --repair`"
_INBOX = re.compile(r"inbox/[\w-]{1,64}", re.ASCII)
_BEYOND = "no fold has this number: ciplug did not write this: delete it"
_TRIES = 10
_KEPT = 64
"""Segments whose rows stay in memory."""


@dataclass
class View:
    """The content of the bucket when it was read."""

    pending: dict[str, dict[str, bytes]]
    """Name of a write in the inbox → its objects."""
    digests: dict[str, str]
    """Name of a write in the inbox → sha256:<hex> of its content."""
    state: State
    revived: dict[str, frozenset[str]] = field(default_factory=dict)
    """Name of a write in the inbox → those of its keys that are about erased runs, and not among its objects."""

    def pending_among(self, keys: Collection[str]) -> dict[str, bytes]:
        """Return the pending objects; of two writes that share a key, the one that is folded first counts."""
        wanted, contents = set(keys), dict[str, bytes]()
        for name in sorted(self.pending):
            for key in wanted & self.pending[name].keys():
                contents.setdefault(key, self.pending[name][key])
        return contents


class _Moved(Exception):
    """A segment was written anew since the view was taken."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Reader:
    """A bucket as this process sees it: one view, until it is forgotten."""

    def __init__(self, bucket: Bucket, cache: Path) -> None:
        """
        Args:
            cache: a folder of ours, which may be emptied at any time.
        """
        self.bucket = bucket
        self.address = bucket.address
        self.wrong: dict[str, str] = {}
        """Name in the bucket → why it cannot be read, as far as it has been read."""
        self.current: View | None = None
        self._cache = cache / hashlib.sha256(bucket.address.encode()).hexdigest()[:16]
        self._lost: set[str] = set()
        self._writes: dict[tuple[str, str], bytes] = {}
        self._rows: OrderedDict[str, dict[str, Row]] = OrderedDict()

    @property
    def notes(self) -> list[str]:
        """A sentence on what cannot be read, if there is any."""
        if not self.wrong:
            return []
        first = next(iter(self.wrong))
        others = f" (and {len(self.wrong) - 1} others)" if len(self.wrong) > 1 else ""
        return [f"{first}{others} in the store cannot be read, and is skipped: {self.wrong[first]}; {SEE_FSCK}"]

    def forget(self) -> None:
        """Let the next question see the bucket as it is then."""
        self.current = None

    def steady(self, question: Callable[[View], T]) -> T:
        """The answer to a question, asked again if another process wrote a segment anew meanwhile."""
        for _ in range(_TRIES):
            try:
                return question(self._look())
            except _Moved as moved:
                self.current = None
                if moved.path in (files := self._look().state.files):
                    listed = {entry.name for kind in segments.KINDS for entry in self.bucket.list(kind)}
                    self._lost |= files.keys() - listed
                    self.current = None
        raise StoreError(f"{self.address}: its segments were rewritten during every read", cause=Cause.CONFLICT)

    def _look(self) -> View:
        if self.current is None:
            self.current = self.see()
        return self.current

    def see(self) -> View:
        """List the inbox first, and the index after it: what a fold takes out of the one is then in the other."""
        self.wrong, self.current = {}, None
        for _ in range(_TRIES):
            all_listed = [entry for entry in self.bucket.list("inbox") if entry.name.count("/") == 1]
            listed = [entry for entry in all_listed if not _why_not(entry)]
            state = self.state()
            new = get_many(self.bucket, [e.name for e in listed if (e.name, e.tag) not in self._writes])
            writes = {e: self._writes.get((e.name, e.tag), new.get(e.name)) for e in listed}
            self._writes = {(e.name, e.tag): data for e, data in writes.items() if data is not None}
            if len(self._writes) == len(listed):
                self.wrong = {entry.name: why for entry in all_listed if (why := _why_not(entry))}
                return self._view_of({entry.name: data for entry, data in writes.items() if data is not None}, state)
        raise StoreError(f"{self.address}: the inbox changes faster than it can be read", cause=Cause.CONFLICT)

    def _view_of(self, writes: Mapping[str, bytes], state: State) -> View:
        pending, digests = {}, {}
        for name, data in sorted(writes.items()):
            try:
                pending[name.partition("/")[2]] = bundle.unpack(data, name)
                digests[name.partition("/")[2]] = digest(data)
            except RecordError as problem:
                self._report(name, problem.message)
        lost = {path: "it is missing" for path in state.files if path in self._lost}
        for name, why in {**state.bad, **state.beyond, **lost}.items():
            self._report(name, why)
        revived = {}
        for name, objects in pending.items() if state.erased else ():
            if erased := frozenset(key for key in objects if erased_mark(key) in state.erased):
                revived[name] = erased
                pending[name] = {key: data for key, data in objects.items() if key not in erased}
        return View(pending, digests, state, revived)

    def _report(self, name: str, why: str) -> None:
        self.wrong[name] = why

    def state(self) -> State:
        """What the index says now."""
        for _ in range(_TRIES):
            listed: dict[int, dict[str, Listed]] = {}
            for entry in self.bucket.list("index"):
                if parsed := index.parse_name(entry.name):
                    listed.setdefault(parsed[0], {})[parsed[1]] = entry
            beyond = listed.keys() - index.following(listed)
            strays = {entry.name: _BEYOND for number in sorted(beyond) for entry in listed.pop(number).values()}
            done = {number: kinds["done"] for number, kinds in listed.items() if "done" in kinds}
            data = self._cached(done.values())
            if len(data) == len(done):
                break
            # A fold has merged some of them meanwhile.
        state = State(last=max(listed, default=0), beyond=strays)
        merged_from = state.last + 1
        for number in sorted(listed, reverse=True):
            name = done[number].name if number in done else None
            if number >= merged_from:
                state.merged += [name] if name else []
            elif name is None:
                state.open.insert(0, number)
            else:
                try:
                    state.results[number] = result = index.decode_done(data.get(name, b""), name)
                    merged_from = result.merge or merged_from
                except RecordError as problem:
                    state.bad[name] = problem.message
        for number in sorted(state.results):
            state.take(state.results[number])
        return state

    def _cached(self, entries: Iterable[Listed]) -> dict[str, bytes]:
        """Objects of the index, which never change, by way of the local disk, which keeps no others."""
        places = {
            e.name: self._cache / f"{Path(e.name).name}-{hashlib.sha256(e.tag.encode()).hexdigest()[:16]}"
            for e in entries
        }
        contents = {}
        for name, path in places.items():
            with contextlib.suppress(OSError):
                contents[name] = path.read_bytes()
        new = get_many(self.bucket, [name for name in places if name not in contents])
        if new:
            with contextlib.suppress(OSError):
                self._cache.mkdir(parents=True, exist_ok=True)
                for name, data in new.items():
                    write_atomically(places[name], data)
                for old in {*self._cache.iterdir()} - {*places.values()}:
                    old.unlink(missing_ok=True)
        return {**contents, **new}

    def read_segments(self, view: View, paths: Sequence[str]) -> Iterator[tuple[str, dict[str, Row]]]:
        """The rows of segments. Raises _Moved for one that does not exist; a damaged one has none, and is reported."""
        for start in range(0, len(paths), _KEPT // 2):
            some = [path for path in paths[start : start + _KEPT // 2] if path not in self.wrong]
            new = get_many(self.bucket, [path for path in some if path not in self._rows])
            for path in some:
                if path not in self._rows:
                    if path not in new:
                        raise _Moved(path)
                    try:
                        self._rows[path] = segments.decode(new[path], path)
                    except RecordError as problem:
                        self._report(path, problem.message)
                        continue
                self._rows.move_to_end(path)
                yield path, self._rows[path]
            while len(self._rows) > _KEPT:
                self._rows.popitem(last=False)

    def folded(self, view: View, keys: Collection[str]) -> dict[str, bytes]:
        """The objects among `keys` that have been folded."""
        contents: dict[str, bytes] = {}
        beside = {key for key in keys if key in view.state.objects}
        wanted = set(keys)
        for _, rows in self.read_segments(view, view.state.files_of(wanted)):
            for key in wanted & rows.keys():
                contents[key] = rows[key].record.encode()
            beside.update(key for row in rows.values() if row.also for key in row.siblings if key in wanted)
        names = {key: object_name(key) for key in beside}
        objects = get_many(self.bucket, names.values())
        return {**{key: objects[name] for key, name in names.items() if name in objects}, **contents}

    def known(self, view: View, keys: Collection[str]) -> set[str]:
        """Those of the keys that have been folded."""
        present = view.state.objects & set(keys)
        for _, rows in self.read_segments(view, view.state.files_of(keys)):
            present.update(key for row in rows.values() for key in (row.key, *row.siblings) if key in keys)
        return present


def _why_not(entry: Listed) -> str:
    """Why an object in the inbox is no write of ours, if its name or size says so: whoever may write may put any."""
    if not _INBOX.fullmatch(entry.name):
        return "ciplug did not write this: delete it"
    return f"{entry.size:,} bytes; a write has at most {bundle.MAX_BYTES:,}" if entry.size > bundle.MAX_BYTES else ""
