"""Files in a git repository, apart from the records: a push takes any number, a fetch brings only what is needed.

Layout
    refs/<branch>/files/<id>             a parentless commit whose tree names files by SHA-256, until it is folded
    refs/heads/<branch>-files-inbox/<id> the same, on a host that refuses refs outside refs/heads
    refs/heads/<branch>-files            folded: <first 2 hex digits>/<SHA-256>

A look-up fetches the names that are pending and the 256 folders' ids, then the folders that are needed: what it
costs does not grow with the history. A folded commit is a child of those it folds, so git knows that the remote has
their files, and sends none of them again.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ciplug.errors import Cause, FileChanged, GitError, GitKind, StoreError
from ciplug.git.objects import present, read_objects
from ciplug.git.run import stream_blob
from ciplug.stores import threads
from ciplug.stores.files import Tell, checked, hex_of, receive
from ciplug.stores.git.cached_remote import UNREACHABLE_HINT, CachedRemote
from ciplug.stores.git.folding import FOLD_AT, WRITES_PER_FOLD
from ciplug.stores.git.moves import move_refs
from ciplug.stores.git.objects import BLOB, TREE, LooseObjects, blob_id, parse_tree

LOOK_FROM = 256 * 1024
"""Smaller files are sent without a look-up first, which would cost as much."""
_PUSH_MOST, _PUSH_FILES, _FETCH_FILES = 64 * 1024 * 1024, 1000, 256
_AT_ONCE = 4
_NAME = re.compile(r"[0-9a-f]{64}")
_TIP, _CUSTOM, _PLAIN = "refs/files/branch", "refs/files/inbox/", "refs/files/inbox-heads/"


@dataclass(frozen=True)
class _View:
    """The result of one fetch."""

    tip: str | None
    folders: dict[str, tuple[str, str]]
    """The root of the branch."""
    pending: dict[str, tuple[str, dict[str, str]]]
    """Remote ref → commit, and SHA-256 → blob."""


class GitFiles:
    """Files beside the store on `branch`, in a remote repository."""

    def __init__(
        self, remote: CachedRemote, branch: str, *, uri: str, limit: int | None, may_fold: bool = True
    ) -> None:
        self.uri = uri
        self.limit = limit
        self._remote = remote
        self._branch = branch
        self._tip = f"refs/heads/{branch}-files"
        self._places = {_CUSTOM: f"refs/{branch}/files/", _PLAIN: f"refs/heads/{branch}-files-inbox/"}
        self._may_fold = may_fold

    # Writing

    def missing(self, digests: Collection[str]) -> set[str]:
        with self._remote.locked():
            blobs = self._find(self._look(), digests)
        return set(digests) - blobs.keys()

    def put(self, files: Mapping[str, Path], tell: Tell) -> None:
        sizes = {digest: path.stat().st_size for digest, path in files.items() if path.exists()}
        absent = set(files)
        if sum(sizes.values()) > LOOK_FROM:
            with self._remote.locked():
                blobs = self._find(self._look(), absent)
            # A file with other bytes than ours is damaged: sent again, it can be read again.
            absent = {
                digest
                for digest, path in files.items()
                if digest not in blobs or self._is_other(digest, path, blobs[digest])
            }
            tell(sum(size for digest, size in sizes.items() if digest not in absent))
        batch: dict[str, Path] = {}
        room = _PUSH_MOST
        for digest in sorted(absent):
            size = sizes.get(digest, 0)
            if batch and (size > room or len(batch) == _PUSH_FILES):
                self._push(batch, tell)
                batch, room = {}, _PUSH_MOST
            batch[digest] = files[digest]
            room -= size
        if batch:
            self._push(batch, tell)

    def _is_other(self, digest: str, path: Path, oids: Collection[str]) -> bool:
        try:
            return blob_id(checked(path, digest), path.stat().st_size, self._remote.format) not in oids
        except (FileChanged, OSError):
            return False

    def _push(self, files: Mapping[str, Path], tell: Tell) -> None:
        name = hashlib.sha256("\n".join(sorted(files)).encode()).hexdigest()[:32]
        with self._remote.side() as (side, written):
            # Files of a model have little in common, and git would search for it.
            with (side / "config").open("a") as config:
                config.write("[core]\n\tbigFileThreshold = 1m\n")
            tree = {}
            total = 0
            for digest, path in files.items():
                size = path.stat().st_size if path.exists() else 0
                tree[hex_of(digest)] = (BLOB, written.blob_of(checked(path, digest), size))
                total += size
            # A fixed date: the same files are the same commit, whenever they are sent.
            commit = written.commit(written.tree(tree), (), f"ciplug: {len(tree)} files\n\n[skip ci]", 0)
            result = self._remote.create(side, commit, *(place + name for place in self._places.values()))
        if not result.ok:
            if result.lost_race:
                what = f"{self._remote.address} holds other bytes under the digest {min(files)}"
                raise StoreError(what, cause=Cause.CONFLICT)
            raise self._remote.refused(
                result,
                f"allow pushes to {self._places[_CUSTOM]}* for the account that this job runs as; "
                "a host also has a size of its own that a file must not exceed: "
                "--artifact-store s3://… keeps files elsewhere, and none keeps digests only",
            )
        tell(total)
        # Most writers do not fetch what is pending. A few do and fold it, so that it does not grow without end.
        if self._may_fold and int(name[:2], 16) % (FOLD_AT // 2) == 0:
            with contextlib.suppress(StoreError), self._remote.locked():
                self._look()

    def compact(self) -> int:
        with self._remote.locked():
            return self._fold(self._remote.with_cache(self._fetch))

    def _fold(self, view: _View) -> int:
        chosen = dict(list(view.pending.items())[:WRITES_PER_FOLD])
        touched = {name[:2] for _, files in chosen.values() for name in files}
        trees = self._remote.fetched_trees(view.folders[top][1] for top in touched if top in view.folders)
        inner = {top: dict(trees[view.folders[top][1]]) if top in view.folders else {} for top in touched}
        moves: dict[str, tuple[str | None, str | None]] = {}
        for ref, (commit, files) in chosen.items():
            # The same name with other bytes: one of the two is damaged, and stays where it can be looked at.
            if any(inner[name[:2]].get(name, (BLOB, oid)) != (BLOB, oid) for name, oid in files.items()):
                continue
            for name, oid in files.items():
                inner[name[:2]][name] = (BLOB, oid)
            moves[ref] = (commit, None)
        if not moves:
            return 0
        written = LooseObjects(self._remote.repository, self._remote.format)
        root = view.folders | {top: (TREE, written.tree(entries)) for top, entries in inner.items() if entries}
        parents = ((view.tip,) if view.tip else ()) + tuple(sorted({chosen[ref][0] for ref in moves}))
        message = f"ciplug: fold {len(moves)} pushes of files\n\n[skip ci]"
        commit = written.commit(written.tree(root), parents, message, int(time.time()))
        result = move_refs(self._remote, {self._tip: (view.tip, commit), **moves}, first=(self._tip,))
        if result.ok:
            return len(moves)
        if result.lost_race:
            return 0
        raise self._remote.refused(result, f"allow pushes to the branch '{self._branch}-files'")

    # Reading

    def get(self, digests: Collection[str], folder: Path, tell: Tell, most: int) -> None:
        with self._remote.locked():
            blobs = self._find(self._look(), digests)
            if lost := sorted(set(digests) - blobs.keys()):
                raise StoreError(
                    f"{self._remote.address} does not hold {len(lost)} of {len(set(digests))} files, {lost[0]} first",
                    hint="were they recorded in another store, or has the branch been rewritten?",
                    cause=Cause.LOST,
                )
            self._bring([oids[0] for oids in blobs.values()])

            def one(digest: str) -> None:
                # Of two that claim the digest, only one can be right.
                for last, oid in enumerate(blobs[digest], 1 - len(blobs[digest])):
                    try:
                        read: Callable[[int], Iterator[bytes]] = partial(self._read, oid)
                        receive(digest, folder, read, tell, most, self._remote.address)
                    except (StoreError, GitError):
                        if not last:
                            raise
                    else:
                        return

            threads.each(one, sorted(blobs), _AT_ONCE)

    def _read(self, oid: str, start: int) -> Iterator[bytes]:
        self._bring([oid])
        return stream_blob(self._remote.repository, oid, start)

    def _bring(self, oids: Collection[str]) -> None:
        here = present(self._remote.repository, oids)
        absent = sorted(set(oids) - here)
        for at in range(0, len(absent), _FETCH_FILES):
            some = absent[at : at + _FETCH_FILES]
            if failure := self._remote.fetch(oids=some):
                raise self._remote.unreadable(f"{len(some)} files of {self._remote.address}", failure)

    def _find(self, view: _View, digests: Collection[str]) -> dict[str, list[str]]:
        """Digest → blobs of those that exist: one, unless somebody has pushed other bytes under its name."""
        names = {hex_of(digest): digest for digest in digests}
        tops = {view.folders[name[:2]][1] for name in names if name[:2] in view.folders}
        blobs: dict[str, dict[str, None]] = {}
        folded = self._remote.fetched_trees(tops).values()
        for files in (
            *({name: oid for name, (mode, oid) in entries.items() if mode == BLOB} for entries in folded),
            *(files for _, files in view.pending.values()),
        ):
            for name in files.keys() & names.keys():
                blobs.setdefault(names[name], {})[files[name]] = None
        return {digest: list(oids) for digest, oids in blobs.items()}

    def _look(self) -> _View:
        """Return the current view of the remote; if much is pending, fold it first."""
        view = self._remote.with_cache(self._fetch)
        if len(view.pending) >= FOLD_AT and self._may_fold:
            with contextlib.suppress(StoreError):
                self._fold(view)
        return view

    def _fetch(self) -> _View:
        if self._remote.offline:
            return self._view(self._remote.refs("refs/files"))
        inbox = [f"+{theirs}*:{ours}*" for ours, theirs in self._places.items()]
        tip = f"+{self._tip}:{_TIP}"
        fetch = partial(self._remote.fetch, filter="tree:1")
        failure = fetch("--depth=1", "--prune", tip, *inbox)
        if failure and GitKind.NO_REF in failure.kinds:
            self._remote.forget(_TIP)
            # Without --depth, with which git fails where nothing matches.
            failure = fetch("--prune", *inbox)
            # Between the two, the first fold may have moved into the branch what the inbox then lacked.
            if not failure and (again := fetch("--depth=1", tip)) and GitKind.NO_REF not in again.kinds:
                failure = again
        if failure:
            raise self._remote.unreadable(f"the files at {self._remote.address}", failure, UNREACHABLE_HINT)
        return self._view(self._remote.refs("refs/files"))

    def _view(self, refs: Mapping[str, str]) -> _View:
        """Whoever may push may push anything: what no writer of ours makes stays where it is, unread."""
        commits = read_objects(self._remote.repository, refs.values())
        headers = {oid: data.partition(b"\n\n")[0].decode(errors="replace") for oid, (_, data) in commits.items()}
        trees = read_objects(self._remote.repository, (f"{oid}^{{tree}}" for oid in refs.values()))

        def entries(oid: str) -> dict[str, tuple[str, str]]:
            kind, data = trees.get(f"{oid}^{{tree}}", ("", b""))
            return parse_tree(data, self._remote.format) if kind == "tree" else {}

        pending = {}
        for ref, oid in refs.items():
            files = entries(oid)
            sound = files and all(_NAME.fullmatch(name) and mode == BLOB for name, (mode, _) in files.items())
            if ref != _TIP and sound and "\nparent " not in headers.get(oid, "\nparent "):
                ours = next(place for place in self._places if ref.startswith(place))
                theirs = self._places[ours] + ref.removeprefix(ours)
                pending[theirs] = (oid, {name: blob for name, (_, blob) in files.items()})
        root = entries(refs[_TIP]) if _TIP in refs else {}
        folders = {name: entry for name, entry in root.items() if entry[0] == TREE}
        return _View(refs.get(_TIP), folders, pending)
