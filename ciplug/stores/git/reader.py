"""What this process has seen of the store in git: one snapshot for all questions, and notes on what it found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ciplug.errors import StoreError, counted
from ciplug.stores.base import PENDING_ALARM
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import WRITES_MOST
from ciplug.stores.git.refs import Refs

# What only readers and folds need is imported when they run: a job that records does neither.
if TYPE_CHECKING:
    from ciplug.stores.git.snapshot import Snapshot
    from ciplug.stores.git.view import View

_NAMED_MOST = 5


class GitReader:
    """Fetches the branch and what is pending, and folds the latter if it is much."""

    def __init__(self, remote: CachedRemote, refs: Refs, *, may_fold: bool, notes: Iterable[str]) -> None:
        self._remote = remote
        self._refs = refs
        self._may_fold = may_fold
        self._fold_tried = False
        self._standing_notes = tuple(notes)
        self.notes = list(self._standing_notes)
        self.seen: Snapshot | None = None
        """What the next question is answered from; None: it fetches."""

    def refresh(self) -> None:
        self.seen = None
        self._fold_tried = False
        self.notes = list(self._standing_notes)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The snapshot that this process has, else a new one; the cache is locked meanwhile.

        A reader that finds much pending folds it, if it may; what it saw before is still true, as a fold changes no
        fact.
        """
        with self._remote.locked():
            if self.seen is None:
                snapshot = self.fetch()
                self._fold_if_many(snapshot)
                self.seen = snapshot
            yield self.seen

    def _fold_if_many(self, snapshot: Snapshot) -> None:
        from ciplug.stores.git import folding

        waiting = len(snapshot.view.pending)
        if waiting >= folding.FOLD_AT and self._may_fold and not self._fold_tried:
            self._fold_tried = True
            with contextlib.suppress(StoreError):
                waiting -= folding.fold(self._remote, self._refs, snapshot)
        if waiting >= PENDING_ALARM:
            self.note(
                f"{waiting} writes wait to be folded into the branch '{self._refs.branch}', which makes every "
                "reader slower: run `ciplug compact`, and allow pushes to that branch"
            )

    def fetch(self) -> Snapshot:
        """Fetch, and read every name."""
        from ciplug.stores.git.restore import lost_entries
        from ciplug.stores.git.snapshot import Snapshot
        from ciplug.stores.git.view import fetch_view

        self.seen = None
        view = self._remote.with_cache(lambda: fetch_view(self._remote, self._refs))
        for sentence in view.lost:
            self.note(restorable(sentence))
        for sentence in lost_entries(self._refs.branch, view.kept_logs):
            self.note(f"{sentence}; see `ciplug fsck`")
        for key in list(view.contested)[:_NAMED_MOST]:
            self.note(f"{key} is not read: pending writes claim it with different bytes; see `ciplug fsck`")
        if len(view.contested) > _NAMED_MOST:
            self.note(f"{len(view.contested) - _NAMED_MOST} more keys are claimed with different bytes")
        if view.gone:
            self.note(self.what_is_gone(view.gone))
        if view.revived:
            self.note(revived_note(view))
        if view.postponed:
            self.note(
                f"{counted(len(view.postponed), 'pending write')} with very many files, {view.postponed[0]} first, are "
                "not read: inspect them, and delete their refs, or run `ciplug compact`"
            )
        if view.beyond:
            self.note(
                f"{counted(len(view.beyond), 'pending write')} beyond {WRITES_MOST:,} are not read: run "
                f"`ciplug compact`, and find out who pushes them: git ls-remote REMOTE '{self._refs.inbox('*')[0]}'"
            )
        return Snapshot(self._remote, view, self.note)

    def what_is_gone(self, tip: str) -> str:
        return (
            f"the store that was here is gone: somebody has deleted {self._refs.tip} and {self._refs.keep[0]}; someone "
            f"with a full clone restores it with: git push REMOTE {tip}:{self._refs.tip}; if this was intended, "
            "`ciplug compact` starts a new one"
        )

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


def revived_note(view: View) -> str:
    count = counted(len(view.revived), "write")
    return f"{count} with objects of erased runs came again, and are not read: `ciplug compact` deletes them"


def restorable(sentence: str) -> str:
    return f"{sentence}; `ciplug compact` restores them"
