"""Folding files: pending pushes of files become one ref, which no clone fetches.

A folded commit is a child of those it folds, so git knows that the remote has their files, and sends none again.
"""

from __future__ import annotations

import time

from ciplug.git.push import PushResult
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.files_view import DROPPED, FileRefs, FilesView
from ciplug.stores.git.folding import WRITES_PER_FOLD
from ciplug.stores.git.moves import move_refs
from ciplug.stores.git.objects import BLOB, TREE, LooseObjects

Folders = dict[str, dict[str, tuple[str, str]]]
"""First two digits → entries."""


def fold_files(remote: CachedRemote, refs: FileRefs, view: FilesView) -> int:
    """Fold what is pending; returns the number of pushes, 0 also where another was faster.

    What is in the branch for hosts that refuse other refs moves out of it once the host takes these.

    Raises StoreError where the host refuses the push.
    """
    custom, plain = refs.folded
    chosen = dict(list(view.pending.items())[:WRITES_PER_FOLD])
    doubled = {top for top, trees in view.folders.items() if len(trees) > 1}
    folders = read_folders(remote, view, {name[:2] for _, files in chosen.values() for name in files} | doubled)
    taken: dict[str, str] = {}
    for ref, (commit, files) in chosen.items():
        # The same name with other bytes: one of the two is damaged, and stays where it can be looked at.
        if any(folders[name[:2]].get(name, (BLOB, oid)) != (BLOB, oid) for name, oid in files.items()):
            continue
        for name, oid in files.items():
            folders[name[:2]][name] = (BLOB, oid)
        taken[ref] = commit
    if not taken and plain not in view.tips:
        return 0
    written = LooseObjects(remote.repository, remote.format)
    root = {top: (TREE, trees[0]) for top, trees in view.folders.items()}
    root |= {top: (TREE, written.tree(entries)) for top, entries in folders.items() if entries}
    if view.dropped:
        root[DROPPED] = (TREE, _merged(remote, written, view.dropped))
    message = f"ciplug: fold {len(taken)} pushes of files\n\n[skip ci]"
    parents = (*view.commits, *sorted(set(taken.values())))
    commit = written.commit(written.tree(root), parents, message, int(time.time()))
    deleted = {ref: (oid, None) for ref, oid in taken.items()}
    emptied = {plain: (view.tips[plain], None)} if plain in view.tips else {}
    result = move_refs(remote, {custom: (view.tips.get(custom), commit), **deleted, **emptied}, first=(custom,))
    if is_refused(result, custom) and taken:
        result = move_refs(remote, {plain: (view.tips.get(plain), commit), **deleted}, first=(plain,))
    if result.ok:
        return len(taken)
    if result.lost_race or not taken:
        return 0
    raise remote.refused(result, f"allow pushes to {custom} for the account that this job runs as")


def is_refused(result: PushResult, ref: str) -> bool:
    """Whether the host itself does not take a ref."""
    return ref in result.rejected and not result.rejected[ref].lost_race


def read_folders(remote: CachedRemote, view: FilesView, tops: set[str]) -> Folders:
    """The entries of these folders, of all tips together; where two differ, the first of the refs counts."""
    trees = remote.fetched_trees(tree for top in tops for tree in view.folders.get(top, ()))
    folders: Folders = {top: {} for top in tops}
    for top in tops:
        for tree in reversed(view.folders.get(top, ())):
            folders[top].update(trees[tree])
    return folders


def _merged(remote: CachedRemote, written: LooseObjects, trees: tuple[str, ...]) -> str:
    """A tree with the entries of all of these."""
    if len(trees) == 1:
        return trees[0]
    found = remote.fetched_trees(trees)
    return written.tree({name: entry for tree in reversed(trees) for name, entry in found[tree].items()})
