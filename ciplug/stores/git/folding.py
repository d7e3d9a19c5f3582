"""Folding: pending writes move into the branch, and, once they are many, into a segment.

A fold is one push of the new tip, then one that deletes the refs of the writes in it. Whoever loses the race to push
has done nothing, and whoever dies in between leaves refs that the next fold finds folded already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ciplug.errors import GitKind
from ciplug.git.push import PushResult
from ciplug.stores.git import segments
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content, folders, is_foldable, unfoldable
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.pending import FETCHED_MOST, most_of
from ciplug.stores.git.refs import Refs
from ciplug.stores.git.series import SeriesMove, next_series_tip
from ciplug.stores.git.snapshot import Snapshot
from ciplug.stores.git.tip import Change, push_tip

FOLD_AT = 64
"""A reader that finds so many pending writes folds them."""
WRITES_PER_FOLD = 1000
"""The most writes in one fold: the push of it must not grow without limit."""
SEGMENT_AT = 1000
"""The number of objects in a segment."""


def fold(remote: CachedRemote, refs: Refs, snapshot: Snapshot) -> int:
    """Fold what is pending, and close a segment; returns the number of writes, 0 also where another was faster.

    Raises StoreError where the host refuses the push.
    """
    view = snapshot.view
    content, taken = _take(snapshot)
    if not taken and not view.lost and len(content.new) < SEGMENT_AT:
        return 0
    result = _push(remote, refs, snapshot, content, taken)
    if result.failure and GitKind.UNREADABLE in result.failure.kinds:
        # In a young repository git packs what the remote has in other refs, and we may not have it.
        remote.bring(oid for ref, _ in taken for oid in view.pending[ref][1].values())
        result = _push(remote, refs, snapshot, content, taken)
    if result.refuses(refs.tip, GitKind.MISSING_OBJECTS):
        # The remote has lost what a write names: that one stays where it is, and the others are folded.
        names = [oid for ref, _ in taken for oid in view.pending[ref][1].values()]
        remote.bring(names)
        here = remote.sizes(names)
        whole = {ref: view.pending[ref] for ref, _ in taken if here.keys() >= set(view.pending[ref][1].values())}
        if len(whole) < len(view.pending):
            return fold(remote, refs, snapshot.of(replace(view, pending=whole)))
    if result.ok:
        return len(taken)
    if result.lost_race:
        return 0
    raise remote.refused(result, refs.push_hint)


def _take(snapshot: Snapshot) -> tuple[Content, tuple[tuple[str, str], ...]]:
    """The content of the branch with the pending writes that fit into it, and their refs and commits.

    The same key with other bytes stays where it is, to be looked at; so do two writes that claim a key with different
    bytes, and a key below another key: a tree cannot hold both.
    """
    view = snapshot.view
    content = view.content.copy()
    above = {part for key in content.new for part in folders(key)}
    taken: list[tuple[str, str]] = []
    closed = snapshot.in_segments({key for _, files in view.pending.values() for key in files})
    for ref, (oid, files) in _foldable(snapshot):
        if len(taken) == WRITES_PER_FOLD:
            break
        repeated = {key: closed[key] for key in files if key in closed}
        if unfoldable(files, content.new, above) or any(files[key] != repeated[key] for key in repeated):
            continue
        fresh = {key: blob for key, blob in files.items() if key not in repeated}
        content.new.update(fresh)
        above.update(part for key in fresh for part in folders(key))
        taken.append((ref, oid))
    return content, tuple(taken)


def _foldable(snapshot: Snapshot) -> Iterator[tuple[str, tuple[str, dict[str, str]]]]:
    """The pending writes of which each object could be in the branch by itself: by its key and its size."""
    view = snapshot.view
    writes = [
        (ref, write)
        for ref, write in view.pending.items()
        if view.contested.keys().isdisjoint(write[1]) and all(map(is_foldable, write[1]))
    ]
    total = 0
    for at in range(0, len(writes), WRITES_PER_FOLD):
        some = writes[at : at + WRITES_PER_FOLD]
        sizes = snapshot.pending.sizes(item for _, (_, files) in some for item in files.items())
        for ref, (oid, files) in some:
            if all(sizes.get(blob, most_of(key) + 1) <= most_of(key) for key, blob in files.items()):
                size = sum(sizes[blob] for blob in files.values())
                if total and total + size > FETCHED_MOST:
                    # The next fold takes it.
                    continue
                total += size
                yield ref, (oid, files)


def _push(
    remote: CachedRemote, refs: Refs, snapshot: Snapshot, content: Content, taken: tuple[tuple[str, str], ...]
) -> PushResult:
    written = LooseObjects(remote.repository, remote.format)
    change = Change(content.copy(), f"ciplug: fold {len(taken)} writes", folded=taken)
    if len(content.new) >= SEGMENT_AT:
        index, series = _close_segment(remote, refs, snapshot, written, change.content)
        change = replace(change, index=index, series=series)
    result, _ = push_tip(remote, refs, snapshot, written, change)
    return result


def _close_segment(
    remote: CachedRemote, refs: Refs, snapshot: Snapshot, written: LooseObjects, content: Content
) -> tuple[dict[str, bytes], SeriesMove | None]:
    """Move what is new in `content` into a segment; returns the index, and the move of the series branch."""
    blobs = remote.sound_blobs(content.new.values())
    objects = {key: blobs[oid] for key, oid in content.new.items() if oid in blobs}
    records = {key: data for key, data in objects.items() if segments.is_line(data)}
    apart = {key: content.new[key] for key in objects if key not in records}
    index = dict(snapshot.index)
    name = write_segment(written, content, index, records, apart)
    content.new = {key: oid for key, oid in content.new.items() if key not in objects}
    return index, next_series_tip(remote, refs, written, {name: apart}) if apart else None


def write_segment(
    written: LooseObjects,
    content: Content,
    index: dict[str, bytes],
    records: Mapping[str, bytes],
    blobs: Mapping[str, str],
) -> str:
    """Write the next segment, and put it into `content` and `index`; returns its name.

    Args:
        records: key → bytes, of the objects that are lines.
        blobs: key → blob, of the others.
    """
    from ciplug.records import columns

    last = max((int(name.partition("-")[0]) for name in content.segments), default=0)
    lines = segments.write_lines(records, blobs)
    name = segments.name_of(last + 1, lines)
    content.segments[name] = written.blob(lines)
    content.columns[name] = written.blob(
        columns.encode(columns.of(sorted({**dict.fromkeys(blobs, b""), **records}.items())))
    )
    index[name] = segments.marks_of([*records, *blobs])
    return name
