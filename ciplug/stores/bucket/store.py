"""The object store: a write is one object of its own, a fold moves many of them into Parquet segments.

Layout (format 1)
    inbox/<id>            one write, until it is folded: a bundle, named by its keys
    index/<n>.claim       what fold n takes, written before anything of it
    index/<n>.done        what fold n has left, written after all of it: from then on it counts
    runs/…, amend/…, verdicts/…
                          segments: see `segment_files`
    objects/<key>         what has been folded and is no row of a segment, as it is
    logs/<log>/<seq>.json entries of logs

Every name is written once, by put-if-absent where writers could race, so nobody waits for anybody. A claim says all
that its fold does, so any number of processes may carry it out, and be killed while they do: the next one finishes it.
Readers list the inbox before the index, so a fold beside them hides nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ciplug.errors import Conflict, RecordError, StoreError
from ciplug.locking import write_atomically
from ciplug.records import bundle, columns
from ciplug.records.canonical import digest
from ciplug.records.columns import Columns
from ciplug.records.keys import EVERY_AMENDMENT, EVERY_RUN, EntryKey, is_run, parse_amendment, parse_entry, stem_of
from ciplug.stores import segment_files as segments
from ciplug.stores.base import PENDING_ALARM, Head, Problem, Trial, group_of
from ciplug.stores.bucket import index
from ciplug.stores.bucket.base import Bucket, Listed, each, get_many
from ciplug.stores.bucket.check import Found, inspect, object_name, why_not
from ciplug.stores.bucket.index import Claim, Done, File, State
from ciplug.stores.segment_files import Row

T = TypeVar("T")
FOLD_AT = 512
"""A segment of a few runs is read as slowly as one of a thousand, so a reader waits for many."""
FOLD_MOST = 1000
_FOLD_BYTES = 256 * 1024 * 1024
_ROWS_MOST = 2000
_FILES_MOST = 64
_TRIES = 10
_KEPT = 64
_KINDS = tuple(f"{kind}/" for kind in segments.KINDS)
_REPAIR = "see `ciplug fsck`, and `ciplug fsck --repair`"


@dataclass
class _View:
    """What one look saw."""

    pending: dict[str, dict[str, bytes]]
    """Name of a write in the inbox → its objects."""
    digests: dict[str, str]
    state: State


class _Moved(Exception):
    """A segment was written anew since the view was taken."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class ObjectStore:
    """A Store in a bucket."""

    def __init__(self, bucket: Bucket, *, uri: str, cache: Path, may_fold: bool = True) -> None:
        """
        Args:
            bucket: where the objects lie.
            uri: how the user named this store.
            cache: a folder of ours, which may be emptied at any time.
            may_fold: False in a job that must not write the store: then its readers fold nothing.
        """
        self.uri = uri
        self.address = bucket.address
        self.notes: list[str] = []
        self._bucket = bucket
        self._cache = cache / hashlib.sha256(bucket.address.encode()).hexdigest()[:16]
        self._may_fold = may_fold
        self._view: _View | None = None
        self._wrong: dict[str, str] = {}
        self._lost: set[str] = set()
        self._writes: dict[tuple[str, str], bytes] = {}
        self._rows: OrderedDict[str, dict[str, Row]] = OrderedDict()
        self._logs: dict[str, dict[int, str]] | None = None
        self._entries: dict[str, bytes] = {}

    def refresh(self) -> None:
        self._view = None
        self._logs = None

    # Writing

    def add(self, objects: Mapping[str, bytes]) -> None:
        """One put of one object, whose name follows from the keys: a repeated put is the same put."""
        if wrong := [key for key in objects if not bundle.is_key(key)]:
            raise StoreError(f"{wrong[0]!r:.80} is no key")
        data = bundle.pack(objects)
        if len(data) > bundle.MAX_BYTES or len(objects) > bundle.MAX_OBJECTS:
            raise StoreError(
                f"a write of {len(objects):,} objects and {len(data):,} bytes; at most {bundle.MAX_OBJECTS:,} and "
                f"{bundle.MAX_BYTES:,} go at once"
            )
        name = "inbox/" + hashlib.sha256("\n".join(sorted(objects)).encode()).hexdigest()[:32]
        self._view = None
        for _ in range(_TRIES):
            if self._bucket.create(name, data):
                return
            there = self._bucket.get(name)
            if there == data:
                return
            if there is not None:
                raise Conflict(f"the store holds other bytes under the same key: {_first_other(objects, there, name)}")
        raise StoreError(f"{self.address}: {name} is there, and is not")

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        now = self.head(log)
        if now != expected:
            self._logs = None
            if (now := self.head(log)) != expected:
                raise Conflict(f"{log} has moved on", head=now)
        new = Head(1 if now is None else now.seq + 1, digest(entry))
        name = _entry_name(log, new.seq)
        # After a lost answer the entry may stand.
        if self._create(name, entry, first=new.seq == 1) or self._bucket.get(name) == entry:
            self._all_logs().setdefault(log, {})[new.seq] = name
            self._entries[name] = entry
            return new
        self._logs = None
        raise Conflict(f"{log} has moved on", head=self.head(log))

    def _create(self, name: str, data: bytes, *, first: bool) -> bool:
        """Put if absent; the first time, see that the server knows what that means."""
        created = self._bucket.create(name, data)
        if created and first and self._bucket.create(name, data):
            raise StoreError(
                f"{self.address}: the server overwrites what it is asked to create, so it cannot hold a store",
                hint="it must honour 'If-None-Match: *'; newer versions of most servers do",
            )
        return created

    # Reading

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(dict.fromkeys(keys))
        entries = {key: f"logs/{key}" for key in wanted if parse_entry(key)}
        self._fetch_entries(entries.values())
        return self._steady(
            lambda view: {
                **_pending_among(view, wanted),
                **self._folded(view, wanted),
                **{key: self._entries[name] for key, name in entries.items() if name in self._entries},
            }
        )

    def keys(self, *prefixes: str) -> list[str]:
        found = self._steady(lambda view: self._keys(view, prefixes))
        if any(group_of(prefix) is None or not prefix.startswith(_KINDS) for prefix in prefixes):
            entries = (_entry_name(log, seq) for log, sequence in self._all_logs().items() for seq in sequence)
            found.update(key for name in entries if (key := name[len("logs/") :]).startswith(prefixes))
        return sorted(found)

    def _keys(self, view: _View, prefixes: tuple[str, ...]) -> set[str]:
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
        for _, rows in self._read_segments(view, index.in_order(paths)):
            found |= wanted(key for row in rows.values() for key in (row.key, *row.siblings))
        return found

    def head(self, log: str) -> Head | None:
        sequence = self._all_logs().get(log)
        if not sequence:
            return None
        last = max(sequence)
        (data,) = self._read_entries([sequence[last]])
        return Head(last, digest(data))

    def entries(self, log: str) -> list[bytes]:
        sequence = self._all_logs().get(log, {})
        return self._read_entries([sequence[seq] for seq in sorted(sequence)])

    def logs(self, prefix: str) -> list[str]:
        return sorted(log for log in self._all_logs() if log.startswith(prefix))

    def segments(self) -> list[str]:
        return [
            path for path in index.in_order(self._look().state.files) if path.startswith((EVERY_RUN, EVERY_AMENDMENT))
        ]

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        wanted = list(segments)

        def question(view: _View) -> dict[str, Columns]:
            known = [path for path in wanted if path in view.state.files]
            return {
                path: columns.of((row.key, row.record.encode()) for row in rows.values())
                for path, rows in self._read_segments(view, known)
            }

        return self._steady(question)

    def loose(self) -> list[str]:
        def question(view: _View) -> list[str]:
            waiting = {key for objects in view.pending.values() for key in objects}
            beside = {key for key in view.state.objects if is_run(key) or parse_amendment(key)}
            return sorted((waiting - self._known(view, waiting)) | beside)

        return self._steady(question)

    # Folding

    def compact(self) -> int:
        """Finish what others have begun, and fold what is pending now; 0 also where another was faster."""
        self._may_fold = False
        self._view = view = self._see()
        self._clean_up_after(view.state)
        now, folded = set(view.pending), 0
        while True:
            for number in view.state.open:
                folded += self._finish(number)
            if not view.state.open:
                self._remove_repeats(view)
                number, claim = self._steady(lambda view: (view.state.last + 1, self._fold_of(view, now)))
                if claim is None:
                    return folded
                self._create(index.claim_name(number), index.encode_claim(claim), first=number == 1)
            # Whoever's claim it is that now has this number, it is finished next.
            self._view = view = self._see()

    def drop(self, keys: Collection[str], reason: str) -> int:
        """Write the segments concerned anew, without these keys.

        While that lasts, who reads the files by themselves may see a kept run twice, and never not at all.
        """
        wanted, gone = set(keys), set[str]()
        while True:
            self.compact()
            self._remove_other_bytes(wanted)
            number, claim = self._steady(lambda view: (view.state.last + 1, self._drop_of(view, wanted, reason)))
            if claim is None:
                if self._look().state.open:
                    continue
                self._view = None
                return len(gone)
            if self._bucket.create(index.claim_name(number), index.encode_claim(claim)):
                self._finish(number)
                gone.update(claim.drop)

    def _drop_of(self, view: _View, wanted: set[str], reason: str) -> Claim | None:
        """The next step of dropping these keys: so many segments are rewritten at once as memory has room for."""
        beside = view.state.objects & wanted
        drop, files = set(beside), []
        for path, rows in self._read_segments(view, view.state.files_of(wanted)):
            siblings = {key for row in rows.values() for key in row.siblings} & wanted
            if here := siblings | (rows.keys() & wanted):
                beside |= siblings
                drop |= here
                files.append(path)
            if len(files) == _FILES_MOST:
                break
        claim = Claim(files=tuple(files), drop=tuple(sorted(drop)), delete=tuple(sorted(beside)), reason=reason)
        return claim if drop and not view.state.open else None

    def _remove_other_bytes(self, keys: set[str]) -> None:
        """Writes that no fold takes, of nothing but these keys: they would come to light once the folded are gone."""
        for name, objects in self._look().pending.items():
            if objects.keys() <= keys:
                self._bucket.delete(f"inbox/{name}")

    def _fold_of(self, view: _View, among: Collection[str]) -> Claim | None:
        """What can be folded of these writes, now that nothing else is under way.

        What holds other bytes under a key that is known stays where it is, to be looked at; `check` names it.
        """
        waiting = {key for objects in view.pending.values() for key in objects}
        known = self._folded(view, waiting)
        taken: dict[str, bytes] = {}
        inbox: dict[str, str] = {}
        skip: set[str] = set()
        size = 0
        for name in sorted(view.pending):
            objects = view.pending[name]
            if name not in among or objects.keys() <= known.keys() or why_not(objects, {**taken, **known}):
                continue
            size += sum(map(len, objects.values()))
            if len(inbox) == FOLD_MOST or (inbox and size > _FOLD_BYTES):
                break
            inbox[name] = view.digests[name]
            skip.update(objects.keys() & known.keys())
            taken.update(objects)
        return Claim(inbox=inbox, skip=tuple(sorted(skip))) if inbox and not view.state.open else None

    def _remove_repeats(self, view: _View) -> None:
        """Writes that have been folded whole: sent twice, or by a folder who was killed, or is about to delete them.

        No claim names them, since they may be gone at any moment.
        """
        known = self._steady(lambda view: self._folded(view, {key for o in view.pending.values() for key in o}))
        repeats = [name for name, objects in view.pending.items() if objects.items() <= known.items()]
        each(self._bucket.delete, [f"inbox/{name}" for name in repeats])

    def _finish(self, number: int, *, mend: bool = False) -> int:
        """Carry out a claim; returns how many writes this has folded, 0 where another was faster.

        With `mend`, also where something that it needs is lost: of what is left, and of what had been written already.
        """
        claimed = self._bucket.get(index.claim_name(number)) or b""
        claim, writes, files, lost = self._inputs(number, claimed)
        if lost and not mend:
            if self._bucket.get(index.done_name(number)) is not None:
                return 0
            raise StoreError(
                f"{self.address}: {index.claim_name(number)} cannot be finished: {lost[0]} is missing", hint=_REPAIR
            )
        if mend:
            listed = [entry.name for kind in segments.KINDS for entry in self._bucket.list(kind)]
            files |= get_many(self._bucket, [path for path in listed if index.number_of(path) == number])
        old: dict[str, dict[str, Row]] = {}
        damaged: set[str] = set()
        for path, data in files.items():
            try:
                old[path] = segments.decode(data, path)
            except RecordError:
                if not mend:
                    raise
                damaged.add(path)
        # Named by the claim, too: had the index been lost, a later fold of this number overwrites nothing.
        done = self._write(f"{number:06d}-{digest(claimed)[7:15]}", claim, writes, old)
        won = mend or self._bucket.create(index.done_name(number), index.encode_done(done))
        if mend:
            self._bucket.put(index.done_name(number), index.encode_done(replace(done, lost=lost)))
        self._view = None
        if not won:
            return 0
        gone = {*(f"inbox/{write}" for write in writes), *_leftovers(claim), *done.gone}
        each(self._bucket.delete, sorted(gone - damaged))
        return len(writes)

    def _inputs(self, number: int, claimed: bytes) -> tuple[Claim, dict[str, bytes], dict[str, bytes], tuple[str, ...]]:
        """A claim, the writes and the segments that it takes, and what of these is not there any more."""
        try:
            claim = index.decode_claim(claimed, index.claim_name(number))
        except RecordError:
            claim = Claim()
        found = get_many(self._bucket, [*(f"inbox/{write}" for write in claim.inbox), *claim.files])
        writes = {
            write: data
            for write, expected in claim.inbox.items()
            if (data := found.get(f"inbox/{write}")) is not None and digest(data) == expected
        }
        files = {path: found[path] for path in claim.files if path in found}
        lost = [*(f"inbox/{write}" for write in claim.inbox if write not in writes)]
        return claim, writes, files, (*lost, *(path for path in claim.files if path not in files))

    def _write(
        self, stem: str, claim: Claim, writes: Mapping[str, bytes], old: Mapping[str, Mapping[str, Row]]
    ) -> Done:
        """Write segments and objects of a claim; returns what is then to be put into the index."""
        drop, skip = set(claim.drop), set(claim.skip)
        objects: dict[str, bytes] = {}
        for write in sorted(writes):
            for key, value in bundle.unpack(writes[write], f"inbox/{write}").items():
                if key not in skip:
                    objects.setdefault(key, value)
        placed, rest = segments.place(objects)
        folders: dict[str, dict[str, Row]] = {f: {row.key: row for row in rows} for f, rows in placed.items()}
        beside = set(rest) - {key for rows in folders.values() for row in rows.values() for key in row.siblings}
        for path, rows in old.items():
            for row in rows.values():
                kept = [key for key in row.siblings if key not in drop]
                if row.key in drop:
                    beside.update(kept)
                elif row.key not in skip:
                    also = tuple(key[len(stem_of(key)) :] for key in kept)
                    folders.setdefault(path.rpartition("/")[0], {})[row.key] = Row(row.key, row.record, also)
        data: dict[str, bytes] = {object_name(key): value for key, value in rest.items()}
        files: list[File] = []
        for folder in sorted(folders):
            rows_of = [folders[folder][key] for key in sorted(folders[folder])]
            for start in range(0, len(rows_of), _ROWS_MOST):
                some = rows_of[start : start + _ROWS_MOST]
                # Counted over all folders: to some disks model=Iris and model=iris are one.
                path = f"{folder}/{stem}-{len(files):02d}.parquet"
                data[path] = segments.encode(folder.partition("/")[0], some)
                files.append(File(path, len(some), index.marks_of(row.key for row in some)))
        each(lambda name: self._bucket.put(name, data[name]), data)
        return Done(
            files=tuple(files),
            objects=tuple(sorted(beside | set(claim.adopt))),
            gone=tuple(sorted({*claim.files, *old} - data.keys())),
            dropped=claim.drop,
            reason=claim.reason,
        )

    def _clean_up_after(self, state: State) -> None:
        """What the last fold should have deleted, had it not been killed before: segments are read by others, too."""
        if state.last and state.last not in state.open:
            name = index.claim_name(state.last)
            with contextlib.suppress(RecordError):
                each(self._bucket.delete, _leftovers(index.decode_claim(self._bucket.get(name) or b"", name)))

    # Looking

    def _look(self) -> _View:
        """The view that this process has, else a new one; a reader that finds much pending folds it, if it may."""
        if self._view is None:
            view, failure = self._see(), ""
            if len(view.pending) >= FOLD_AT and self._may_fold:
                try:
                    self.compact()
                except StoreError as problem:
                    failure = f", and could not be folded: {problem}"
                view = self._see()
            if len(view.pending) >= FOLD_AT + PENDING_ALARM or failure:
                self.notes.append(f"{len(view.pending)} writes are pending{failure or '; `ciplug compact` folds them'}")
            self._view = view
        return self._view

    def _steady(self, question: Callable[[_View], T]) -> T:
        """The answer to a question, asked again where a segment was written anew beside it."""
        for _ in range(_TRIES):
            try:
                return question(self._look())
            except _Moved as moved:
                self._view = None
                if moved.path in (files := self._look().state.files):
                    there = {entry.name for kind in segments.KINDS for entry in self._bucket.list(kind)}
                    self._lost |= files.keys() - there
                    self._view = None
        raise StoreError(f"{self.address}: each time it was looked at, segments had been written anew")

    def _see(self) -> _View:
        """List the inbox first, and the index after it: what a fold takes out of the one is then in the other."""
        self._wrong, self.notes, self._view = {}, [], None
        for _ in range(_TRIES):
            listed = [entry for entry in self._bucket.list("inbox") if entry.name.count("/") == 1]
            state = self._state()
            new = get_many(self._bucket, [e.name for e in listed if (e.name, e.tag) not in self._writes])
            writes = {e: self._writes.get((e.name, e.tag), new.get(e.name)) for e in listed}
            self._writes = {(e.name, e.tag): data for e, data in writes.items() if data is not None}
            if len(self._writes) == len(listed):
                return self._view_of({entry.name: data for entry, data in writes.items() if data is not None}, state)
        raise StoreError(f"{self.address}: the inbox changes faster than it can be read")

    def _view_of(self, writes: Mapping[str, bytes], state: State) -> _View:
        pending, digests = {}, {}
        for name, data in sorted(writes.items()):
            try:
                pending[name.partition("/")[2]] = bundle.unpack(data, name)
                digests[name.partition("/")[2]] = digest(data)
            except RecordError as problem:
                self._note(name, str(problem))
        lost = {path: "it is missing" for path in state.files if path in self._lost}
        for name, why in {**state.bad, **lost}.items():
            self._note(name, why)
        return _View(pending, digests, state)

    def _note(self, name: str, why: str) -> None:
        self._wrong[name] = why
        first = next(iter(self._wrong))
        others = f" (and {len(self._wrong) - 1} others)" if len(self._wrong) > 1 else ""
        said = f"{first}{others} in the store cannot be read, and is passed over: {self._wrong[first]}; {_REPAIR}"
        self.notes = [note for note in self.notes if "is passed over" not in note] + [said]

    def _state(self) -> State:
        listed: dict[int, dict[str, Listed]] = {}
        for entry in self._bucket.list("index"):
            if parsed := index.parse_name(entry.name):
                listed.setdefault(parsed[0], {})[parsed[1]] = entry
        done = {number: kinds["done"] for number, kinds in listed.items() if "done" in kinds}
        data = self._cached(done.values())
        state = State(open=sorted(set(listed) - set(done)), last=max(listed, default=0))
        for number in sorted(done):
            name = done[number].name
            try:
                state.take(index.decode_done(data.get(name, b""), name))
            except RecordError as problem:
                state.bad[name] = str(problem)
        return state

    def _cached(self, entries: Iterable[Listed]) -> dict[str, bytes]:
        """Objects of the index, which never change, by way of the local disk."""
        places = {
            e.name: self._cache / f"{Path(e.name).name}-{hashlib.sha256(e.tag.encode()).hexdigest()[:16]}"
            for e in entries
        }
        found = {}
        for name, path in places.items():
            with contextlib.suppress(OSError):
                found[name] = path.read_bytes()
        new = get_many(self._bucket, [name for name in places if name not in found])
        if new:
            with contextlib.suppress(OSError):
                self._cache.mkdir(parents=True, exist_ok=True)
                for name, data in new.items():
                    write_atomically(places[name], data)
        return {**found, **new}

    def _read_segments(self, view: _View, paths: Sequence[str]) -> Iterator[tuple[str, dict[str, Row]]]:
        """The rows of segments. Raises _Moved for one that is not there; a damaged one has none, and is noted."""
        for start in range(0, len(paths), _KEPT // 2):
            some = [path for path in paths[start : start + _KEPT // 2] if path not in self._wrong]
            new = get_many(self._bucket, [path for path in some if path not in self._rows])
            for path in some:
                if path not in self._rows:
                    if path not in new:
                        raise _Moved(path)
                    try:
                        self._rows[path] = segments.decode(new[path], path)
                    except RecordError as problem:
                        self._note(path, str(problem))
                        continue
                self._rows.move_to_end(path)
                yield path, self._rows[path]
            while len(self._rows) > _KEPT:
                self._rows.popitem(last=False)

    def _folded(self, view: _View, keys: Collection[str]) -> dict[str, bytes]:
        """The objects among `keys` that have been folded."""
        found: dict[str, bytes] = {}
        beside = {key for key in keys if key in view.state.objects}
        wanted = set(keys)
        for _, rows in self._read_segments(view, view.state.files_of(wanted)):
            for key in wanted & rows.keys():
                found[key] = rows[key].record.encode()
            beside.update(key for row in rows.values() if row.also for key in row.siblings if key in wanted)
        names = {key: object_name(key) for key in beside}
        objects = get_many(self._bucket, names.values())
        return {**{key: objects[name] for key, name in names.items() if name in objects}, **found}

    def _known(self, view: _View, keys: Collection[str]) -> set[str]:
        """Those of the keys that have been folded."""
        found = view.state.objects & set(keys)
        for _, rows in self._read_segments(view, view.state.files_of(keys)):
            found.update(key for row in rows.values() for key in (row.key, *row.siblings) if key in keys)
        return found

    # Logs

    def _all_logs(self) -> dict[str, dict[int, str]]:
        """Log → number of an entry → its name in the bucket."""
        if self._logs is None:
            self._logs = {}
            for entry in self._bucket.list("logs"):
                if parsed := parse_entry(entry.name[len("logs/") :]):
                    self._logs.setdefault(parsed.log, {})[parsed.seq] = entry.name
        return self._logs

    def _fetch_entries(self, names: Iterable[str]) -> None:
        """Entries never change, so each is fetched once."""
        self._entries.update(get_many(self._bucket, [name for name in names if name not in self._entries]))

    def _read_entries(self, names: Sequence[str]) -> list[bytes]:
        self._fetch_entries(names)
        if lost := [name for name in names if name not in self._entries]:
            raise StoreError(f"{self.address}: {lost[0]} is listed, and is not there")
        return [self._entries[name] for name in names]

    # Checking

    def check(self, *, repair: bool = False) -> list[Problem]:
        problems = self._mend_folds() if repair else []
        # Listed before the index is: what is in a segment that was listed is then in the index, too.
        listed = {entry.name for kind in (*segments.KINDS, "objects") for entry in self._bucket.list(kind)}
        view = self._see()
        found = inspect(self._bucket, listed, view.state, view.pending)
        problems += [
            Problem(name, why, repairable=index.parse_name(name) is not None) for name, why in self._wrong.items()
        ]
        problems += [
            Problem(index.claim_name(number), "what this fold has begun to take is missing", repairable=True)
            for number in view.state.open
            if self._is_stuck(number)
        ]
        repaired = repair and self._mend(view, found)
        problems += found.problems + [one._replace(repaired=repaired, repairable=True) for one in found.repairable]
        self._view = None
        return problems

    def _is_stuck(self, number: int) -> bool:
        """Whether a claim that is not done cannot be finished as it stands; else the next fold does so."""
        *_, lost = self._inputs(number, self._bucket.get(index.claim_name(number)) or b"")
        return bool(lost) and self._bucket.get(index.done_name(number)) is None

    def _mend_folds(self) -> list[Problem]:
        """Finish what was begun, of what is left, and write down anew what a fold has left where that is damaged."""
        state = self._see().state
        stuck = [number for number in state.open if self._is_stuck(number)]
        stuck += [parsed[0] for name in state.bad if (parsed := index.parse_name(name))]
        for number in sorted({*state.open, *stuck}):
            self._finish(number, mend=number in stuck)
        return [
            Problem(index.claim_name(number), "the fold was not finished, or its end lost", True, repaired=True)
            for number in stuck
        ]

    def _mend(self, view: _View, found: Found) -> bool:
        """Write anew what is not as the index has it, and index what it lacks; False where another was faster."""
        if found.rewrite or found.adopt:
            claim = Claim(
                files=tuple(index.in_order(found.rewrite)), adopt=tuple(sorted(found.adopt)), skip=tuple(found.skip)
            )
            number = view.state.last + 1
            if view.state.open or not self._bucket.create(index.claim_name(number), index.encode_claim(claim)):
                return False
            self._finish(number)
        each(self._bucket.delete, found.delete)
        return True

    def try_writes(self) -> list[Trial]:
        from ciplug.stores.bucket.trial import try_writes

        self._bucket.list("inbox")
        return try_writes(self._bucket)


def _entry_name(log: str, seq: int) -> str:
    return f"logs/{EntryKey(log, seq).key}"


def _leftovers(claim: Claim) -> list[str]:
    """What a fold deletes beside the writes it has taken in."""
    return [*claim.files, *(object_name(key) for key in claim.delete)]


def _pending_among(view: _View, keys: Collection[str]) -> dict[str, bytes]:
    """Of two writes that share a key, the one that is folded first counts."""
    wanted, found = set(keys), dict[str, bytes]()
    for name in sorted(view.pending):
        for key in wanted & view.pending[name].keys():
            found.setdefault(key, view.pending[name][key])
    return found


def _first_other(objects: Mapping[str, bytes], there: bytes, name: str) -> str:
    """The first key under which a write holds other bytes than another of the same name."""
    try:
        held = bundle.unpack(there, name)
    except RecordError:
        return min(objects)
    return min((key for key, data in objects.items() if held.get(key) != data), default=min(objects))
