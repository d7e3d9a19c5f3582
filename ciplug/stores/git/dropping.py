"""Dropping: segments that hold an unwanted object are written anew, and the branch begins a new history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ciplug.errors import Conflict
from ciplug.git.push import PushResult
from ciplug.stores.git import folding, segments
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.causes import needs_parents
from ciplug.stores.git.content import Content
from ciplug.stores.git.erasing import note_erased
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.refs import Refs
from ciplug.stores.git.series import next_series_tip
from ciplug.stores.git.snapshot import Snapshot
from ciplug.stores.git.tip import Change, push_tip


@dataclass(frozen=True)
class _Dropping:
    """The objects to drop."""

    content: Content
    """Without the unwanted objects that are in no segment."""
    touched: Mapping[str, segments.Segment]
    """The segments that hold an unwanted object."""
    unwanted: frozenset[str]
    count: int
    """The number of unwanted objects that exist."""
    erases: bool
    """Whether whoever pushes them again shall push in vain."""


class Dropped(NamedTuple):
    """The result of a drop."""

    objects: int
    """The number of objects that were dropped."""
    in_history: bool = False
    """Whether they can still be reached in the branch's history, since the host refuses a new one."""


def drop(
    remote: CachedRemote, refs: Refs, snapshot: Snapshot, keys: Iterable[str], reason: str, *, erase: bool = False
) -> Dropped:
    """Drop objects that are folded.

    Args:
        erase: note their runs as erased, with the same push.

    Raises Conflict where another was faster, StoreError where the host refuses the push.
    """
    dropping = _plan(snapshot, frozenset(keys), erase=erase)
    if not dropping.count and not erase:
        return Dropped(0)
    message = f"ciplug: drop {dropping.count} objects: {reason}"
    # Without a parent what was dropped cannot be reached any more, and the host may clean it away.
    result, in_history = _push(remote, refs, snapshot, dropping, message, ()), False
    if not result.ok and any(needs_parents(reason.kinds) for reason in result.rejected.values()):
        result, in_history = _push(remote, refs, snapshot, dropping, message, None), True
    if result.ok:
        return Dropped(dropping.count, in_history)
    if result.lost_race:
        raise Conflict("the store was written meanwhile", hint="try again")
    raise remote.refused(result, refs.push_hint)


def _plan(snapshot: Snapshot, unwanted: frozenset[str], *, erase: bool) -> _Dropping:
    content = snapshot.view.content.copy()
    loose = unwanted & content.new.keys()
    contents = snapshot.contents(snapshot.candidates(unwanted))
    touched = {name: segment for name, segment in contents.items() if unwanted & segment.keys}
    content.new = {key: oid for key, oid in content.new.items() if key not in loose}
    count = len(loose) + sum(len(unwanted & segment.keys) for segment in touched.values())
    return _Dropping(content, touched, unwanted, count, erase)


def _push(
    remote: CachedRemote,
    refs: Refs,
    snapshot: Snapshot,
    dropping: _Dropping,
    message: str,
    parents: tuple[str, ...] | None,
) -> PushResult:
    written = LooseObjects(remote.repository, remote.format)
    content, index = dropping.content.copy(), dict(snapshot.index)
    series = _rewrite(written, content, index, dropping)
    if dropping.erases:
        note_erased(written, content, dropping.unwanted)
    move = None
    if any(segment.blobs for segment in dropping.touched.values()):
        added = {name: files for name, files in series.items() if files}
        move = next_series_tip(remote, refs, written, added, remove=dropping.touched, parentless=parents == ())
    change = Change(content, message, index=index, series=move, parents=parents)
    result, _ = push_tip(remote, refs, snapshot, written, change)
    return result


def _rewrite(
    written: LooseObjects, content: Content, index: dict[str, bytes], dropping: _Dropping
) -> dict[str, dict[str, str]]:
    """Write what stays of the touched segments into new ones; returns segment → key → blob of what is not a line."""
    for name in dropping.touched:
        for part in (content.segments, content.columns, index):
            part.pop(name, None)
    series: dict[str, dict[str, str]] = {}
    records: dict[str, bytes] = {}
    blobs: dict[str, str] = {}
    for number, name in enumerate(sorted(dropping.touched), start=1):
        segment = dropping.touched[name]
        records.update({k: data for k, data in segment.records.items() if k not in dropping.unwanted})
        blobs.update({k: oid for k, oid in segment.blobs.items() if k not in dropping.unwanted})
        last = number == len(dropping.touched)
        if len(records) + len(blobs) >= folding.SEGMENT_AT or (last and (records or blobs)):
            series[folding.write_segment(written, content, index, records, blobs)] = blobs
            records, blobs = {}, {}
    return series
