"""Dropping files that no run needs: they are set aside first, and gone a day later, with the history that holds them.

    <first 2 hex digits>/<SHA-256>    what is folded
    dropped/<time>/<SHA-256>          what is set aside, since that time

Whoever sends a file does not count what is set aside, and sends it again; whoever reads still finds it. So neither
loses a race with a drop that is shorter than a day. What a run names by then comes back.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ciplug.errors import Conflict
from ciplug.git.push import PushResult
from ciplug.stores.files import DroppedFiles
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.causes import needs_parents
from ciplug.stores.git.file_folds import Folders, fold_files, read_folders
from ciplug.stores.git.files_view import DROPPED, NAME, FileRefs, FilesView, fetch_files
from ciplug.stores.git.moves import move_refs
from ciplug.stores.git.objects import BLOB, TREE, LooseObjects

GRACE = timedelta(days=1)
_FORMAT = "%Y%m%dT%H%M%SZ"
_TRIES, _FOLDS_MOST = 5, 100

Waiting = dict[str, dict[str, str]]
"""Time → SHA-256 → blob, of what is set aside."""


@dataclass(frozen=True)
class _Plan:
    """The content of the next tip."""

    folders: Folders
    """Those that change, whole."""
    aside: Mapping[str, str]
    """SHA-256 → blob of what is set aside now."""
    gone: Collection[str]
    still: Waiting
    """What was set aside before, and is not due yet."""
    changes: bool


def waiting_files(remote: CachedRemote, view: FilesView) -> Waiting:
    """What is set aside; by two requests, if there is any."""
    roots = remote.fetched_trees(view.dropped).values()
    trees = [(at, oid) for root in roots for at, (mode, oid) in root.items() if mode == TREE and _is_time(at)]
    names = remote.fetched_trees(oid for _, oid in trees)
    waiting: Waiting = {}
    for at, tree in trees:
        files = {name: oid for name, (mode, oid) in names[tree].items() if mode == BLOB and NAME.fullmatch(name)}
        waiting.setdefault(at, {}).update(files)
    return waiting


def due_files(waiting: Waiting, now: datetime) -> set[str]:
    """The times of those that were set aside so long ago that they can be dropped."""
    return {at for at in waiting if _since(at) <= now - GRACE}


def _is_time(text: str) -> bool:
    try:
        return bool(_since(text))
    except ValueError:
        return False


def drop_files(
    remote: CachedRemote, refs: FileRefs, unneeded: Collection[str], needed: Collection[str], now: datetime
) -> DroppedFiles:
    """Set aside what no run needs any more, and drop what was set aside for so long; both by SHA-256.

    Args:
        needed: what the runs of the store name, including those that are about to be dropped.

    Raises Conflict where others were faster each time, StoreError where the host refuses the push.
    """
    for _ in range(_TRIES):
        view = _folded(remote, refs)
        plan = _plan(remote, view, unneeded, needed, now)
        if not plan.changes:
            return DroppedFiles()
        result, in_history = _push(remote, refs, view, plan, now, parentless=bool(plan.gone)), False
        if plan.gone and any(needs_parents(reason.kinds) for reason in result.rejected.values()):
            result, in_history = _push(remote, refs, view, plan, now, parentless=False), True
        if result.ok:
            return DroppedFiles(len(plan.aside), len(plan.gone), in_history)
        if not result.lost_race:
            raise remote.refused(result, f"allow pushes to {refs.folded[0]} for the account that this job runs as")
    raise Conflict("the files of the store were written meanwhile", hint="try again")


def _folded(remote: CachedRemote, refs: FileRefs) -> FilesView:
    """The view once all that can be folded is."""
    view = fetch_files(remote, refs)
    for _ in range(_FOLDS_MOST):
        before = view.pending
        if not before:
            break
        fold_files(remote, refs, view)
        view = fetch_files(remote, refs)
        if view.pending.keys() == before.keys():
            break
    return view


def _plan(
    remote: CachedRemote, view: FilesView, unneeded: Collection[str], needed: Collection[str], now: datetime
) -> _Plan:
    before = waiting_files(remote, view)
    due = due_files(before, now)
    over = {name: oid for at in due for name, oid in before[at].items()}
    folders = read_folders(remote, view, {name[:2] for name in (*unneeded, *over)})
    aside: dict[str, str] = {}
    gone: set[str] = set()
    for name, oid in over.items():
        if name in folders[name[:2]]:  # it was sent again
            continue
        if name in needed:
            folders[name[:2]][name] = (BLOB, oid)
        else:
            gone.add(name)
    for name in unneeded:
        mode, oid = folders[name[:2]].pop(name, ("", ""))
        if mode == BLOB:
            aside[name] = oid
    still = {at: files for at, files in before.items() if at not in due}
    return _Plan(folders, aside, gone, still, changes=bool(aside or due))


def _since(at: str) -> datetime:
    return datetime.strptime(at, _FORMAT).replace(tzinfo=timezone.utc)


def _push(
    remote: CachedRemote, refs: FileRefs, view: FilesView, plan: _Plan, now: datetime, *, parentless: bool
) -> PushResult:
    written = LooseObjects(remote.repository, remote.format)
    root = {top: (TREE, trees[0]) for top, trees in view.folders.items() if top not in plan.folders}
    root |= {top: (TREE, written.tree(entries)) for top, entries in plan.folders.items() if entries}
    waiting = dict(plan.still)
    if plan.aside:
        at = now.strftime(_FORMAT)
        waiting[at] = {**waiting.get(at, {}), **plan.aside}
    if waiting:
        dates = {
            at: (TREE, written.tree({name: (BLOB, oid) for name, oid in files.items()}))
            for at, files in waiting.items()
        }
        root[DROPPED] = (TREE, written.tree(dates))
    message = f"ciplug: set {len(plan.aside)} files aside, drop {len(plan.gone)}\n\n[skip ci]"
    # Without a parent what was dropped cannot be reached any more, and the host may clean it away.
    parents = () if parentless else view.commits
    commit = written.commit(written.tree(root), parents, message, int(time.time()))
    custom, plain = refs.folded
    ref = custom if custom in view.tips else plain
    return move_refs(remote, {ref: (view.tips.get(ref), commit)})
