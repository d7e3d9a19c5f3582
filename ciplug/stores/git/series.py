"""The series branch: objects that are not lines of a segment, in a folder for each segment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ciplug.errors import Cause, GitKind, StoreError
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import FOLDER_MOST
from ciplug.stores.git.objects import TREE, LooseObjects
from ciplug.stores.git.refs import OUR_SERIES, Refs


class SeriesMove(NamedTuple):
    """The tips of the series branch, before (None: there is none) and after."""

    before: str | None
    after: str


def next_series_tip(
    remote: CachedRemote,
    refs: Refs,
    written: LooseObjects,
    add: Mapping[str, Mapping[str, str]],
    *,
    remove: Iterable[str] = (),
    parentless: bool = False,
) -> SeriesMove:
    """Write a commit of the series branch with more, or fewer, folders: segment → key → blob."""
    failure = remote.fetch("--depth=1", f"+{refs.series}:{OUR_SERIES}", filter="tree:1")
    if failure and GitKind.NO_REF not in failure.kinds:
        raise remote.unreadable("the series of the store", failure)
    tip = None if failure else remote.refs(OUR_SERIES).get(OUR_SERIES)
    if tip and remote.tree_sizes([f"{tip}^{{tree}}"]).get(f"{tip}^{{tree}}", 0) > FOLDER_MOST:
        raise StoreError(
            f"{refs.series} has more folders than any store: somebody has pushed it",
            hint=f"push the commit before it, or delete it: git push REMOTE :{refs.series}",
            cause=Cause.FORMAT,
        )
    root = dict(remote.trees([f"{tip}^{{tree}}"]).get(f"{tip}^{{tree}}", {})) if tip else {}
    if removed := [root.pop(name)[1] for name in list(remove) if name in root]:
        # With their names here git knows that the remote has what they hold, and does not ask us for it.
        remote.fetch(oids=removed)
    for name, files in add.items():
        root[name] = (TREE, written.nested_tree(files))
    parents = (tip,) if tip and not parentless else ()
    message = f"ciplug: {', '.join(add)}\n\n[skip ci]"
    return SeriesMove(tip, written.commit(written.tree(root), parents, message, 0))
