"""A branch that was moved back, replaced or deleted by somebody: what it has lost, from the tip that was kept.

Whoever may push may push the kept tip too, so it has the rights of a pending write and no more: objects that the
branch lacks are read as one such write, and entries of logs are never taken from it. `ciplug fsck` shows those, and
puts them back when it is asked to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ciplug.errors import RecordError, listed
from ciplug.stores.git import segments
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content, folders, unfoldable
from ciplug.stores.git.log_entries import readable_entries
from ciplug.stores.git.objects import LooseObjects

BLOCK_MOST, SEGMENTS_MOST = 64 * 1024 * 1024, 1024 * 1024 * 1024
"""Bytes of all blocks, and of all segments, that are read of what was kept: hundreds of thousands of runs have less."""


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
    of_before = _by_log(_single(remote, before, _readable_blocks(remote, before, now)))
    of_now = _by_log(_single(remote, now, _other_blocks(now, before)))
    for log, old in sorted(of_before.items()):
        new = of_now.get(log, {})
        if new.items() <= old.items():
            entries.update({path: oid for path, oid in old.items() if path not in new})
        elif not old.items() <= new.items():
            diverged.append(log)
    return KeptLogs(entries, tuple(diverged))


def _by_log(paths: Mapping[str, str]) -> dict[str, dict[str, str]]:
    logs: dict[str, dict[str, str]] = {}
    for path, oid in paths.items():
        logs.setdefault(path.rpartition("/")[0], {})[path] = oid
    return logs


def _other_blocks(content: Content, other: Content) -> list[str]:
    """The blocks that the other content does not have."""
    return [path for path, oid in content.blocks.items() if other.blocks.get(path) != oid]


def _readable_blocks(remote: CachedRemote, before: Content, now: Content) -> list[str]:
    """Those that the branch does not have, and that are no larger than blocks are: whoever may push may push any."""
    apart = {path: before.blocks[path] for path in _other_blocks(before, now)}
    return _within(remote, apart, BLOCK_MOST)


def _within(remote: CachedRemote, objects: Mapping[str, str], most: int) -> list[str]:
    """The names of those objects that can be read, the smallest first, of at most so many bytes in all."""
    remote.bring(objects.values())
    sizes = remote.sizes(objects.values())
    found = []
    for name in sorted(objects.keys(), key=lambda name: (sizes.get(objects[name], 0), name)):
        size = sizes.get(objects[name])
        if size is not None and size <= most:
            most -= size
            found.append(name)
    return found


def _single(remote: CachedRemote, content: Content, blocks: Sequence[str]) -> dict[str, str]:
    """Path → blob of the entries of logs, also of those in these blocks."""
    if not blocks:
        return content.logs
    written = LooseObjects(remote.repository, remote.format)
    entries = readable_entries(remote, content, blocks)
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
    names = sorted(_within(remote, apart, SEGMENTS_MOST))
    # One at a time is in memory.
    kept = {name: segment.keys for name in names if (segment := _read_segment(remote, name, apart[name]))}
    claimed = {*before.new, *(key for keys in kept.values() for key in keys)} - now.new.keys()
    taken = now.new.keys() | _closed(remote, now, claimed)
    content = now.copy()
    objects: dict[str, str] = {}
    count = 0
    for name, keys in kept.items():
        fresh = keys - taken
        segment = _read_segment(remote, name, apart[name]) if fresh else None
        if segment is None:
            continue
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


def _read_segment(remote: CachedRemote, name: str, oid: str) -> segments.Segment | None:
    """A segment that has the lines it is named for; None for any other."""
    data = remote.sound_blobs([oid]).get(oid)
    with contextlib.suppress(RecordError):
        return segments.read_lines(data, name) if data and segments.is_named_for(name, data) else None
    return None


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
    from ciplug.records import columns

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
