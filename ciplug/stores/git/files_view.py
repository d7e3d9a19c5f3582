"""What a git repository has of files: the names of their refs, and the result of one fetch.

Whoever may push may push anything to these refs. What no writer of ours makes stays where it is, unread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from ciplug.git.objects import parse_tree, read_objects
from ciplug.stores.git.cached_remote import UNREACHABLE_HINT, CachedRemote
from ciplug.stores.git.objects import BLOB, TREE

NAME = re.compile(r"[0-9a-f]{64}")
DROPPED = "dropped"
"""The folder of what is set aside."""
COMMIT_MOST = 1024 * 1024
"""Bytes of a commit: one with a thousand parents has a tenth."""
FOLDER_MOST, FOLDERS_MOST = 2 * 1024 * 1024, 64 * 1024 * 1024
"""Bytes of the folder of one push, which has at most a thousand files, and of all that one reader looks at."""
_FOLDER = re.compile(r"[0-9a-f]{2}")
_OURS = "refs/files/"
_CUSTOM, _PLAIN = f"{_OURS}custom/", f"{_OURS}plain"


@dataclass(frozen=True)
class FileRefs:
    """The refs of the files beside the store on `branch`: the second of each pair is for a host that refuses the first.

    No clone fetches what is outside of refs/heads; what is in a branch, every clone and every `git fetch` downloads.
    """

    branch: str

    @property
    def folded(self) -> tuple[str, str]:
        return f"refs/{self.branch}/files/folded", f"refs/heads/{self.branch}-files"

    def pending(self, name: str) -> tuple[str, str]:
        return f"refs/{self.branch}/files/{name}", f"refs/heads/{self.branch}-files-inbox/{name}"

    @property
    def refspecs(self) -> tuple[str, str]:
        """Both are patterns: a ref that is named in full, and does not exist, fails the fetch of all."""
        return f"+refs/{self.branch}/files/*:{_CUSTOM}*", f"+refs/heads/{self.branch}-files*:{_PLAIN}*"

    def remote(self, ours: str) -> str:
        """The remote's name of one of our refs."""
        if ours.startswith(_CUSTOM):
            return f"refs/{self.branch}/files/{ours.removeprefix(_CUSTOM)}"
        return f"refs/heads/{self.branch}-files{ours.removeprefix(_PLAIN)}"

    def is_pending(self, ref: str) -> bool:
        """Whether a ref of the remote is that of one push."""
        return ref not in self.folded and ref.startswith(tuple(place for place in self.pending("")))


@dataclass(frozen=True)
class FilesView:
    """The result of one fetch."""

    tips: Mapping[str, str]
    """Remote ref → object, of the refs of what is folded: two if the host has not always taken the first."""
    commits: tuple[str, ...]
    """Those of the tips that are commits."""
    folders: Mapping[str, tuple[str, ...]]
    """First two digits → trees, of what is folded."""
    dropped: tuple[str, ...]
    """Trees of what is set aside."""
    pending: Mapping[str, tuple[str, Mapping[str, str]]]
    """Remote ref → commit, and SHA-256 → blob."""


def fetch_files(remote: CachedRemote, refs: FileRefs) -> FilesView:
    """Fetch the names that are pending, and the ids of the folders; offline, as the last fetch left them."""
    fetch = partial(remote.fetch, "--prune", *refs.refspecs, filter="tree:1")
    # git fails with --depth where nothing matches.
    if not remote.offline and (failure := fetch("--depth=1") and fetch()):
        raise remote.unreadable(f"the files at {remote.address}", failure, UNREACHABLE_HINT)
    return _view(remote, refs, {refs.remote(ref): oid for ref, oid in remote.refs(_OURS).items()})


def _view(remote: CachedRemote, refs: FileRefs, found: Mapping[str, str]) -> FilesView:
    taken = _within_bounds(remote, found)
    objects = read_objects(remote.repository, taken)
    trees = read_objects(remote.repository, (f"{oid}^{{tree}}" for oid in taken))

    def entries(oid: str) -> dict[str, tuple[str, str]]:
        kind, data = trees.get(f"{oid}^{{tree}}", ("", b""))
        return parse_tree(data, remote.format) if kind == "tree" else {}

    tips: dict[str, str] = {}
    folders: dict[str, tuple[str, ...]] = {}
    pending: dict[str, tuple[str, dict[str, str]]] = {}
    for ref in (*(ref for ref in refs.folded if ref in found), *filter(refs.is_pending, found)):
        oid = found[ref]
        content = entries(oid)
        if ref in refs.folded:
            tips[ref] = oid
            for name, (mode, tree) in content.items():
                if mode == TREE and (_FOLDER.fullmatch(name) or name == DROPPED):
                    folders[name] = (*folders.get(name, ()), tree)
        elif content and _is_sound(content) and _is_parentless(objects.get(oid)):
            pending[ref] = (oid, {name: blob for name, (_, blob) in content.items()})
    commits = tuple(oid for oid in tips.values() if _is_commit(objects.get(oid)))
    return FilesView(tips, commits, folders, folders.pop(DROPPED, ()), pending)


def _within_bounds(remote: CachedRemote, found: Mapping[str, str]) -> list[str]:
    """The objects that may be commits of ours, the smallest folders first: anyone may push a file of gigabytes to such
    a ref, or a thousand commits of one large folder.
    """
    names = {oid: f"{oid}^{{tree}}" for oid in found.values()}
    sizes = remote.tree_sizes([*names, *names.values()])
    known = {oid: sizes.get(name, 0) for oid, name in names.items() if sizes.get(oid, COMMIT_MOST + 1) <= COMMIT_MOST}
    taken: list[str] = []
    total = 0
    for oid in sorted(known, key=lambda oid: (known[oid], oid)):
        total += known[oid]
        if known[oid] > FOLDER_MOST or total > FOLDERS_MOST:
            break
        taken.append(oid)
    return taken


def _is_sound(content: Mapping[str, tuple[str, str]]) -> bool:
    return all(NAME.fullmatch(name) and mode == BLOB for name, (mode, _) in content.items())


def _is_commit(found: tuple[str, bytes] | None) -> bool:
    return found is not None and found[0] == "commit"


def _is_parentless(found: tuple[str, bytes] | None) -> bool:
    return found is not None and found[0] == "commit" and b"\nparent " not in found[1].partition(b"\n\n")[0]
