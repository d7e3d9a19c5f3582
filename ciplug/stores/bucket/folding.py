"""Folding: writes of the inbox move into segments; dropping: segments are written anew without some keys; merging: the
results of several folds become one.

All go by a claim, which says all that is to be done, and its end, which says what came of it. Whoever finds a claim
without an end may carry it out: all do the same, and the first end counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import replace

from ciplug.errors import Cause, RecordError, StoreError
from ciplug.records import bundle
from ciplug.records.canonical import digest
from ciplug.records.keys import erased_mark, stem_of
from ciplug.stores.bucket import index
from ciplug.stores.bucket import segment_files as segments
from ciplug.stores.bucket.base import Bucket, each, get_many
from ciplug.stores.bucket.check import object_name, why_not
from ciplug.stores.bucket.index import Claim, Done, File, State
from ciplug.stores.bucket.reading import SEE_FSCK, Reader, View
from ciplug.stores.bucket.segment_files import Row

FOLD_AT = 512
"""A segment of a few runs is read as slowly as one of a thousand, so a reader waits for many pending writes."""
WRITES_PER_FOLD = 1000
"""The most writes in one fold; `_FOLD_BYTES` bounds their size. The next fold takes the rest."""
_FOLD_BYTES = 256 * 1024 * 1024
_ROWS_MOST = 2000
_FILES_MOST = 64


def create(bucket: Bucket, name: str, data: bytes, *, first: bool) -> bool:
    """Create an object if it is absent; the first time, check that the server supports this."""
    created = bucket.create(name, data)
    if created and first and bucket.create(name, data):
        raise StoreError(
            f"{bucket.address}: this server overwrites existing objects when asked to create only, "
            "so it cannot be used as a store",
            hint="it must honour 'If-None-Match: *'; newer versions of most servers do",
            cause=Cause.UNSUPPORTED,
        )
    return created


class Folding:
    """The folds of one store."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._bucket = reader.bucket

    def _see(self) -> View:
        self._reader.current = self._reader.see()
        return self._reader.current

    def compact(self) -> int:
        """Finish what others have begun, and fold what is pending now; 0 also where another was faster."""
        view = self._see()
        self._clean_up_after(view.state)
        now, folded = set(view.pending), 0
        while True:
            for number in view.state.open:
                folded += self.finish(number)
            if not view.state.open:
                self._remove_repeats(view)
                number, claim = self._reader.steady(
                    lambda view: (view.state.last + 1, _merge_of(view.state) or self._fold_of(view, now))
                )
                if claim is None:
                    return folded
                create(self._bucket, index.claim_name(number), index.encode_claim(claim), first=number == 1)
            # Whoever's claim it is that now has this number, it is finished next.
            view = self._see()

    def drop(self, keys: Collection[str], reason: str, *, erase: bool = False) -> int:
        """Write the segments concerned anew, without these keys.

        Meanwhile, a reader of the files themselves may see a kept run twice, but never misses one.

        Args:
            erase: note their runs as erased, with the first step.
        """
        wanted, gone = set(keys), set[str]()
        marks = {mark for key in wanted if (mark := erased_mark(key))} if erase else set[str]()
        while True:
            self.compact()
            self._remove_other_bytes(wanted)
            number, claim = self._reader.steady(
                lambda view: (view.state.last + 1, self._drop_of(view, wanted, reason, marks))
            )
            if claim is None:
                if self._reader.steady(lambda view: view.state).open:
                    continue
                self._reader.forget()
                return len(gone)
            if self._bucket.create(index.claim_name(number), index.encode_claim(claim)):
                self.finish(number)
                gone.update(claim.drop)

    def _drop_of(self, view: View, wanted: set[str], reason: str, marks: set[str]) -> Claim | None:
        """The next step of dropping these keys: so many segments are rewritten at once as memory has room for."""
        beside = view.state.objects & wanted
        drop, files = set(beside), []
        for path, rows in self._reader.read_segments(view, view.state.files_of(wanted)):
            siblings = {key for row in rows.values() for key in row.siblings} & wanted
            if here := siblings | (rows.keys() & wanted):
                beside |= siblings
                drop |= here
                files.append(path)
            if len(files) == _FILES_MOST:
                break
        claim = Claim(
            files=tuple(files),
            drop=tuple(sorted(drop)),
            delete=tuple(sorted(beside)),
            erased=tuple(sorted(marks - view.state.erased)),
            reason=reason,
        )
        return claim if (drop or claim.erased) and not view.state.open else None

    def _remove_other_bytes(self, keys: set[str]) -> None:
        """Writes that no fold takes, of nothing but these keys: they would come to light once the folded are gone."""
        for name, objects in self._reader.steady(lambda view: view.pending).items():
            if objects.keys() <= keys:
                self._bucket.delete(f"inbox/{name}")

    def _fold_of(self, view: View, among: Collection[str]) -> Claim | None:
        """Return the claim for what can be folded of these writes, when no other fold is in progress.

        What holds other bytes under a key that is known stays where it is, to be looked at; `check` names it.
        """
        waiting = {key for objects in view.pending.values() for key in objects}
        folded = self._reader.folded(view, waiting)
        taken: dict[str, bytes] = {}
        inbox: dict[str, str] = {}
        skip: set[str] = set()
        size = 0
        for name in sorted(view.pending):
            objects = view.pending[name]
            if name not in among or objects.keys() <= folded.keys() or why_not(objects, {**taken, **folded}):
                continue
            size += sum(map(len, objects.values()))
            if len(inbox) == WRITES_PER_FOLD or (inbox and size > _FOLD_BYTES):
                break
            inbox[name] = view.digests[name]
            skip.update((objects.keys() & folded.keys()) | view.revived.get(name, frozenset()))
            taken.update(objects)
        return Claim(inbox=inbox, skip=tuple(sorted(skip))) if inbox and not view.state.open else None

    def _remove_repeats(self, view: View) -> None:
        """Writes that have been folded whole: sent twice, or by a folder who was killed, or is about to delete them.

        No claim names them, since they may be gone at any moment.
        """
        steady = self._reader.steady(
            lambda view: self._reader.folded(view, {key for o in view.pending.values() for key in o})
        )
        repeats = [name for name, objects in view.pending.items() if objects.items() <= steady.items()]
        each(self._bucket.delete, [f"inbox/{name}" for name in repeats])

    def finish(self, number: int, *, repair: bool = False) -> int:
        """Carry out a claim; returns how many writes this has folded, 0 where another was faster.

        With `repair`, also where something that it needs is lost: from what is left, and from what had been written.
        """
        claimed = self._bucket.get(index.claim_name(number)) or b""
        claim, writes, files, lost = self._inputs(number, claimed)
        if lost and not repair:
            if number not in self._reader.state().open:
                return 0
            raise StoreError(
                f"{self._bucket.address}: {index.claim_name(number)} cannot be finished: {lost[0]} is missing",
                hint=SEE_FSCK,
                cause=Cause.LOST,
            )
        if claim.merge:
            return self._merge(number, claim.merge, repair=repair)
        if repair:
            listed = [entry.name for kind in segments.KINDS for entry in self._bucket.list(kind)]
            files |= get_many(self._bucket, [path for path in listed if index.number_of(path) == number])
        old: dict[str, dict[str, Row]] = {}
        damaged: set[str] = set()
        for path, data in files.items():
            try:
                old[path] = segments.decode(data, path)
            except RecordError:
                if not repair:
                    raise
                damaged.add(path)
        # Named by the claim, too: had the index been lost, a later fold of this number overwrites nothing.
        done = self._write(f"{number:06d}-{digest(claimed)[7:15]}", claim, writes, old)
        if repair:
            self._bucket.put(index.done_name(number), index.encode_done(replace(done, lost=lost)))
            won = True
        else:
            won = self._bucket.create(index.done_name(number), index.encode_done(done))
            if won and index.done_name(number) in (state := self._reader.state()).merged:
                # Another finished it long ago, and the result was merged: what the inbox has now came later.
                rewritten = [file.path for file in done.files if file.path not in state.files]
                each(self._bucket.delete, [*rewritten, index.done_name(number)])
                won = False
        self._reader.forget()
        if not won:
            return 0
        gone = {*(f"inbox/{write}" for write in writes), *_leftovers(claim), *done.gone}
        each(self._bucket.delete, sorted(gone - damaged))
        return len(writes)

    def is_stuck(self, number: int) -> bool:
        """Whether an open claim can never be finished; otherwise the next fold finishes it."""
        *_, lost = self._inputs(number, self._bucket.get(index.claim_name(number)) or b"")
        return bool(lost) and number in self._reader.state().open

    def _inputs(self, number: int, claimed: bytes) -> tuple[Claim, dict[str, bytes], dict[str, bytes], tuple[str, ...]]:
        """A claim, the writes and the segments that it takes, and which of these no longer exist."""
        try:
            claim = index.decode_claim(claimed, index.claim_name(number))
        except RecordError:
            claim = Claim()
        contents = get_many(self._bucket, [*(f"inbox/{write}" for write in claim.inbox), *claim.files])
        writes = {
            write: data
            for write, expected in claim.inbox.items()
            if (data := contents.get(f"inbox/{write}")) is not None and digest(data) == expected
        }
        files = {path: contents[path] for path in claim.files if path in contents}
        lost = [*(f"inbox/{write}" for write in claim.inbox if write not in writes)]
        lost += [path for path in claim.files if path not in files]
        if claim.merge:
            state = self._reader.state()
            unknown = {*map(index.done_name, state.open), *state.bad}
            lost += sorted(name for name in unknown if claim.merge <= index.number_in(name) < number)
        return claim, writes, files, tuple(lost)

    def _merge(self, number: int, first: int, *, repair: bool) -> int:
        """Write what the results of the folds from `first` on add up to in their place; returns 0."""
        state = self._reader.state()
        if number in state.open or index.done_name(number) in state.bad:
            parts = [at for at in sorted(state.results) if first <= at < number]
            done = index.encode_done(index.merged([state.results[at] for at in parts], first))
            if repair:
                self._bucket.put(index.done_name(number), done)
            else:
                self._bucket.create(index.done_name(number), done)
            each(self._bucket.delete, map(index.done_name, parts))
        self._reader.forget()
        return 0

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
            erased=claim.erased,
            reason=claim.reason,
        )

    def _clean_up_after(self, state: State) -> None:
        """Delete what the last folds did not, if they were killed: other programs read segments, too."""
        each(self._bucket.delete, state.merged)
        if state.last and state.last not in state.open:
            name = index.claim_name(state.last)
            with contextlib.suppress(RecordError):
                each(self._bucket.delete, _leftovers(index.decode_claim(self._bucket.get(name) or b"", name)))


def _merge_of(state: State) -> Claim | None:
    """The claim for merging results, where there are many, and no other fold is in progress."""
    first = None if state.open or state.bad else index.merge_from(state.results)
    return Claim(merge=first) if first else None


def _leftovers(claim: Claim) -> list[str]:
    """Return the objects that a fold deletes besides the folded writes."""
    return [*claim.files, *(object_name(key) for key in claim.delete)]
