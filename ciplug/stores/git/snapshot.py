"""Read a store as it was when it was fetched."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING

from ciplug.errors import RecordError
from ciplug.git.objects import object_id
from ciplug.records.canonical import digest
from ciplug.stores.base import Head, group_of
from ciplug.stores.git import segments
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import entry_path
from ciplug.stores.git.erasing import without_erased
from ciplug.stores.git.log_entries import block_of, every_entry, read_entries
from ciplug.stores.git.pending import SMALL, Pending
from ciplug.stores.git.view import View

if TYPE_CHECKING:
    from ciplug.records.columns import Columns


_BESIDE_INDEX = 64
"""Pending writes that are fetched with the INDEX. Of many, only few are read."""
_AT_ONCE = 16
"""Segments in memory at a time, where all are asked."""


class Snapshot:
    """The refs and names in one view, and their objects. The cache must be locked while this is used."""

    def __init__(self, remote: CachedRemote, view: View, note: Callable[[str], None]) -> None:
        """
        Args:
            note: is called with a sentence on what cannot be read.
        """
        self.view = view
        self._remote = remote
        self._note = note

    def with_entry(self, view: View) -> Snapshot:
        """The same after an entry of a log was appended, which changes nothing else."""
        other = copy(self)
        other.view = view
        return other

    def of(self, view: View) -> Snapshot:
        """The same store, seen by another view."""
        return Snapshot(self._remote, view, self._note)

    @cached_property
    def loose(self) -> dict[str, str]:
        """Key → blob of the objects that are in no segment."""
        loose = self.view.objects
        pending = loose.keys() - self.view.content.new.keys()
        # A write that came again after a segment took it, or that claims a key of it.
        for key in self.in_segments(pending) if pending else ():
            del loose[key]
        return loose

    @cached_property
    def pending(self) -> Pending:
        """What is loaded of pending writes, within its limits."""
        return Pending(self._remote, self.view.pending, self._note)

    @cached_property
    def index(self) -> dict[str, bytes]:
        """Segment → marks, of the segments that exist."""
        marks: dict[str, bytes] = {}
        for data in self._remote.sound_blobs(self.view.content.indexes).values():
            marks.update(segments.read_index(data))
        return {name: marks[name] for name in self.view.content.segments if name in marks}

    # Objects

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        content = self.view.content
        keys = list(keys)
        here = {key: oid for key in keys if (oid := content.logs.get(key) or self.loose.get(key))}
        rest = {key for key in keys if key not in here}
        names = self.candidates(rest) if rest else []
        # What is loose and the lines of the segments come by one fetch.
        waiting = {key: oid for key, oid in here.items() if key not in content.logs and key not in content.new}
        of_branch = [oid for key, oid in here.items() if key not in waiting]
        of_branch += [content.segments[name] for name in names]
        readable = self.pending.readable(waiting, of_branch) if waiting else {}
        here = {key: oid for key, oid in here.items() if key not in waiting or key in readable}
        blobs = self._remote.sound_blobs([*of_branch, *readable.values()])
        objects = {key: blobs[oid] for key, oid in here.items() if oid in blobs}
        if sealed := [key for key in keys if block_of(content, key)]:
            objects.update(read_entries(self._remote, content, sealed))
        apart: dict[str, str] = {}
        for segment in self._read_segments(names, blobs, rest).values():
            objects.update({key: segment.records[key] for key in rest & segment.records.keys()})
            apart.update({key: segment.blobs[key] for key in rest & segment.blobs.keys()})
        series = self._remote.sound_blobs(apart.values())
        objects.update({key: series[oid] for key, oid in apart.items() if oid in series})
        return objects

    def keys(self, prefixes: tuple[str, ...]) -> set[str]:
        content = self.view.content
        self._bring_index(prefixes)
        # A key that several writes claim is listed: what cannot be read is not the same as what is not there.
        keys = {key for key in (*self.loose, *self.view.contested) if key.startswith(prefixes)}
        keys.update(key for key in every_entry(content) if key.startswith(prefixes))
        groups = [group_of(prefix) for prefix in prefixes]
        everywhere = any(group is None for group in groups)
        names = list(content.segments) if everywhere else self.candidates(filter(None, groups))
        for segment in self._each(names):
            keys.update(key for key in segment.keys if key.startswith(prefixes))
        return keys

    def _bring_index(self, prefixes: tuple[str, ...]) -> None:
        """Fetch the INDEX together with the pending writes whose names are asked for: they are read next."""
        indexes = self.view.content.indexes
        if not indexes or "index" in self.__dict__ or self._remote.present(indexes) == set(indexes):
            return
        files = self.view.pending.values()
        commits = [commit for commit, keys in files if any(key.startswith(prefixes) for key in keys)]
        if 0 < len(commits) <= _BESIDE_INDEX:
            self._remote.bring_commits(sorted(commits), SMALL, indexes)

    # Segments

    def candidates(self, keys: Iterable[str]) -> list[str]:
        """The segments in which one of these keys, or a key of these groups, may be."""
        names = self.view.content.segments
        if not names:
            return []
        marks = {segments.mark_of(key) for key in keys}
        return [name for name in names if name not in self.index or segments.holds(self.index[name], marks)]

    def contents(self, names: Iterable[str]) -> dict[str, segments.Segment]:
        """Return the content of segments. A damaged segment is noted, and does not stop the others."""
        oids = {name: self.view.content.segments[name] for name in names}
        return self._read_segments(oids, self._remote.sound_blobs(oids.values()))

    def _read_segments(
        self, names: Iterable[str], blobs: Mapping[str, bytes], only: Collection[str] | None = None
    ) -> dict[str, segments.Segment]:
        """The same, of blobs that are read already; records of other keys than `only` may be left out."""
        oids = {name: self.view.content.segments[name] for name in names}
        contents = {}
        for name, oid in oids.items():
            try:
                contents[name] = self._without_erased(segments.read_lines(blobs[oid], name, only))
            except KeyError:
                self._note(f"segment {name} cannot be read: the store has lost it; see `ciplug fsck`")
            except RecordError as problem:
                self._note(f"segment {name} cannot be read: {problem.message}; see `ciplug fsck`")
        return contents

    def _without_erased(self, segment: segments.Segment) -> segments.Segment:
        """Without what a push to the branch itself has brought back."""
        if not self.view.erased:
            return segment
        erased = self.view.erased
        return segments.Segment(without_erased(segment.records, erased), without_erased(segment.blobs, erased))

    def _each(self, names: list[str]) -> Iterator[segments.Segment]:
        """The same, a few in memory at a time; all of them by one fetch."""
        if len(names) > _AT_ONCE:
            self._remote.bring(self.view.content.segments[name] for name in names)
        for at in range(0, len(names), _AT_ONCE):
            yield from self.contents(names[at : at + _AT_ONCE]).values()

    def in_segments(self, keys: set[str]) -> dict[str, str]:
        """Key → blob of those among `keys` that a segment holds."""
        blobs: dict[str, str] = {}
        for segment in self._each(self.candidates(keys)):
            records = {key: segment.records[key] for key in keys & segment.records.keys()}
            blobs.update({key: object_id("blob", data, self._remote.format) for key, data in records.items()})
            blobs.update({key: segment.blobs[key] for key in keys & segment.blobs.keys()})
        return blobs

    def columns(self, names: Iterable[str]) -> dict[str, Columns]:
        from ciplug.records import columns

        content = self.view.content
        names = [name for name in names if name in content.segments]
        oids = {name: content.columns[name] for name in names if name in content.columns}
        blobs = self._remote.sound_blobs(oids.values())
        tables: dict[str, Columns] = {}
        for name, oid in oids.items():
            with contextlib.suppress(KeyError, RecordError):
                tables[name] = columns.decode(blobs[oid], name)
        # What is lost, damaged, or of another version is made again from the records.
        again = [name for name in names if name not in tables or tables[name].lacking]
        for name, segment in self.contents(again).items():
            tables[name] = columns.of(sorted({**dict.fromkeys(segment.blobs, b""), **segment.records}.items()))
        return tables

    # Logs

    def head(self, log: str) -> Head | None:
        sequence = self.view.content.sequence(log)
        return self._head_at(log, sequence[-1]) if sequence else None

    def _head_at(self, log: str, seq: int) -> Head:
        path = entry_path(log, seq)
        return Head(seq, digest(read_entries(self._remote, self.view.content, [path])[path]))

    def holds(self, log: str, head: Head) -> bool:
        """Whether this very entry is in the log."""
        path, content = entry_path(log, head.seq), self.view.content
        is_there = path in content.logs or block_of(content, path) is not None
        return is_there and self._head_at(log, head.seq) == head

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        content, last = self.view.content, sys.maxsize if until is None else until
        paths = [entry_path(log, seq) for seq in content.sequence(log) if after < seq <= last]
        return list(read_entries(self._remote, content, paths).values())

    def logs(self, prefix: str) -> list[str]:
        content = self.view.content
        return sorted(name for name in content.log_names if f"{name}/".startswith(prefix) and content.sequence(name))
