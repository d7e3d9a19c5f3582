"""A branch that was moved back, replaced or deleted by somebody: what it has lost, from the tip that was kept.

Whoever may push may push the kept tip too, so it has the rights of a pending write and no more: objects that the
branch lacks are read as one such write, and entries of logs are never taken from it. `ciplug fsck` shows those, and
puts them back when it is asked to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ciplug.errors import RecordError, listed
from ciplug.records import columns
from ciplug.stores.git import segments
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content, folders, unfoldable
from ciplug.stores.git.log_entries import readable_entries
from ciplug.stores.git.objects import LooseObjects


@dataclass(frozen=True)
class KeptLogs:
    """Entries of logs that the branch lacks, and the kept tip has."""

    entries: Mapping[str, str] = field(default_factory=dict)
    """Path → blob, of the logs that go on where the branch's ends."""
    diverged: tuple[str, ...] = ()
    """Logs of which the kept tip has other entries than the branch: none of them can be put back."""

    def __bool__(self) -> bool:
        return bool(self.entries or self.diverged)

    @property
    def logs(self) -> list[str]:
        """The logs that lack entries, or have other ones than the kept tip."""
        return sorted({path.rpartition("/")[0] for path in self.entries} | set(self.diverged))

    def of(self, log: str) -> list[str]:
        """The paths of the entries that a log lacks, in order."""
        return sorted(path for path in self.entries if path.rpartition("/")[0] == log)


def kept_logs(remote: CachedRemote, before: Content, now: Content) -> KeptLogs:
    """What the branch (`now`) lacks of the logs that were kept (`before`)."""
    entries: dict[str, str] = {}
    diverged = []
    of_before, of_now = _single(remote, before, now), _single(remote, now, before)
    for log in sorted({path.rpartition("/")[0] for path in of_before}):
        old = {path: oid for path, oid in of_before.items() if path.rpartition("/")[0] == log}
        new = {path: oid for path, oid in of_now.items() if path.rpartition("/")[0] == log}
        if new.items() <= old.items():
            entries.update({path: oid for path, oid in old.items() if path not in new})
        elif not old.items() <= new.items():
            diverged.append(log)
    return KeptLogs(entries, tuple(diverged))


def _single(remote: CachedRemote, content: Content, other: Content) -> dict[str, str]:
    """Path → blob of the entries of logs, also of those in blocks that the other content does not have."""
    apart = [path for path, oid in content.blocks.items() if other.blocks.get(path) != oid]
    if not apart:
        return content.logs
    written = LooseObjects(remote.repository, remote.format)
    entries = readable_entries(remote, content, apart)
    return {**content.logs, **{path: written.blob(entry) for path, entry in entries.items()}}


class Restored(NamedTuple):
    """What readers see of a branch and of what was kept of it."""

    content: Content
    """That of the branch, with the kept segments that share no key with it."""
    objects: dict[str, str]
    """Key → blob of the other kept objects that the branch lacks."""
    number: int
    """Objects that come from what was kept."""


def restore_objects(remote: CachedRemote, before: Content, now: Content) -> Restored:
    """Add the objects that only the kept tip has. Of a key that the branch has, nothing is taken."""
    written = LooseObjects(remote.repository, remote.format)
    apart = {name: oid for name, oid in before.segments.items() if now.segments.get(name) != oid}
    kept = _read_segments(remote, apart)
    claimed = {*before.new, *(key for segment in kept.values() for key in segment.keys)} - now.new.keys()
    taken = now.new.keys() | _closed(remote, now, claimed)
    content = now.copy()
    objects: dict[str, str] = {}
    count = 0
    for name, segment in sorted(kept.items()):
        fresh = segment.keys - taken
        if fresh == segment.keys and name not in now.segments:
            _adopt(written, content, name, apart[name], segment)
        else:
            objects.update({key: written.blob(segment.records[key]) for key in fresh & segment.records.keys()})
            objects.update({key: segment.blobs[key] for key in fresh & segment.blobs.keys()})
        taken = taken | fresh
        count += len(fresh)
    loose = {key: oid for key, oid in before.new.items() if key not in taken}
    return Restored(content, _foldable({**objects, **loose}, content), count + len(loose))


def _foldable(objects: Mapping[str, str], content: Content) -> dict[str, str]:
    """Without keys below another key, or above one: a tree cannot hold both."""
    fit: dict[str, str] = {}
    merged = dict(content.new)
    above = {part for key in content.new for part in folders(key)}
    for key, oid in sorted(objects.items()):
        if not unfoldable({key: oid}, merged, above):
            fit[key] = merged[key] = oid
            above.update(folders(key))
    return fit


def _read_segments(remote: CachedRemote, oids: Mapping[str, str]) -> dict[str, segments.Segment]:
    """The segments among these that have the lines they are named for."""
    blobs = remote.sound_blobs(oids.values())
    found = {}
    for name, oid in oids.items():
        if oid in blobs and segments.is_named_for(name, blobs[oid]):
            try:
                found[name] = segments.read_lines(blobs[oid], name)
            except RecordError:
                continue
    return found


def _closed(remote: CachedRemote, now: Content, keys: set[str]) -> set[str]:
    """Those of the keys that a segment of the branch has."""
    index: dict[str, bytes] = {}
    for data in remote.sound_blobs(now.indexes).values():
        index.update(segments.read_index(data))
    marks = {segments.mark_of(key) for key in keys}
    names = [name for name in now.segments if name not in index or (keys and segments.holds(index[name], marks))]
    blobs = remote.sound_blobs(now.segments[name] for name in names)
    found: set[str] = set()
    for name in names:
        with contextlib.suppress(KeyError, RecordError):
            found |= keys & segments.read_lines(blobs[now.segments[name]], name).keys
    return found


def _adopt(written: LooseObjects, content: Content, name: str, oid: str, segment: segments.Segment) -> None:
    """Add a whole segment; its columns and its part of the INDEX are made again from its lines."""
    content.segments[name] = oid
    rows = {**dict.fromkeys(segment.blobs, b""), **segment.records}
    content.columns[name] = written.blob(columns.encode(columns.of(sorted(rows.items()))))
    content.indexes.append(written.blob(segments.write_index({name: segments.marks_of(segment.keys)})))


def lost_objects(branch: str, *parts: str) -> tuple[str, ...]:
    """A sentence on the objects that the branch has lost, in parts such as "3 objects"; none where it lost nothing."""
    lost = ", ".join(filter(None, parts))
    return (f"{_moved(branch)}: readers take {lost} from what was kept of it",) if lost else ()


def lost_entries(branch: str, logs: KeptLogs) -> tuple[str, ...]:
    """Sentences on the entries of logs that the branch has lost."""
    sentences = []
    if number := len(logs.entries):
        entries = "1 entry" if number == 1 else f"{number:,} entries"
        sentences.append(
            f"{_moved(branch)}: what was kept of it has {entries} of the registry more, which do not count"
        )
    if logs.diverged:
        sentences.append(f"{_moved(branch)}: what was kept of it has another history of {listed(logs.diverged)}")
    return tuple(sentences)


def _moved(branch: str) -> str:
    return f"the branch '{branch}' was moved back, replaced or deleted by somebody"
