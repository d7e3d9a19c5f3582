"""The next tip of the branch: pushed if nothing has moved since it was read, kept, and cleaned up after."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ciplug.git.push import PushResult
from ciplug.stores.git import segments
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import Content, root_tree
from ciplug.stores.git.moves import move_refs
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.refs import OUR_TIP, Refs
from ciplug.stores.git.series import SeriesMove
from ciplug.stores.git.snapshot import Snapshot
from ciplug.stores.git.view import View


@dataclass(frozen=True)
class Change:
    """The content of a new tip, and the refs that move with it."""

    content: Content
    message: str
    index: dict[str, bytes] | None = None
    """Segment → marks, of `content`; None: as they are."""
    series: SeriesMove | None = None
    folded: tuple[tuple[str, str], ...] = ()
    """Refs, and their commits, that are deleted once the tip has moved."""
    parents: tuple[str, ...] | None = None
    """The parents of the new tip; None: those of the view."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Ref → object of the tags that are made with it."""
    seconds: int = field(default_factory=lambda: int(time.time()))
    """When it is made, since 1970: a change that is pushed again is the same commit."""


def push_tip(
    remote: CachedRemote, refs: Refs, snapshot: Snapshot, written: LooseObjects, change: Change
) -> tuple[PushResult, View]:
    """Push a new tip; returns the result, and the view as it is where that is a success."""
    view, content = snapshot.view, change.content
    commit = _commit(snapshot, written, change)
    moves: dict[str, tuple[str | None, str | None]] = {}
    if change.series and change.series.before != change.series.after:
        moves[refs.series] = change.series
    moves[refs.tip] = (view.tip, commit)
    first = list(moves)
    kept, before = view.keep
    keep = view.keep
    if _keeps_nothing_more(view, change):
        moves[kept] = (before, commit)
        keep = (kept, commit)
    moves.update({ref: (oid, None) for ref, oid in change.folded if ref != kept})
    moves.update({ref: (None, oid) for ref, oid in change.tags.items()})
    spare = dict([refs.keep]) if before is None else None
    result = move_refs(remote, moves, first=first, spare=spare)
    if result.ok:
        # What this clone has written it can read without a fetch.
        remote.point(OUR_TIP, commit)
        remote.forget_fetch()
    return result, replace(view, tip=commit, keep=keep, content=content, parents=(commit,))


def _keeps_nothing_more(view: View, change: Change) -> bool:
    """Whether the new tip has all that the kept one has: else that stays where it is, until somebody has decided."""
    entries = view.kept_logs.entries.items() <= change.content.logs.items() and not view.kept_logs.diverged
    return entries and (view.keep[0] not in view.pending or view.keep in change.folded)


def _commit(snapshot: Snapshot, written: LooseObjects, change: Change) -> str:
    marks = snapshot.index if change.index is None and change.content.segments else change.index or {}
    tree = root_tree(written, change.content, segments.write_index(marks))
    parents = snapshot.view.parents if change.parents is None else change.parents
    return written.commit(tree, parents, f"{change.message}\n\n[skip ci]", change.seconds)
