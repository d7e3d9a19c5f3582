"""Files in a git repository, apart from the records: a push takes any number, a fetch brings only what is needed.

Layout
    refs/<branch>/files/<commit>  a parentless commit whose tree names files by SHA-256, until it is folded
    refs/<branch>/files/folded    folded: <first 2 hex digits>/<SHA-256>

No clone fetches refs outside of refs/heads. On a host that refuses those, refs/heads/<branch>-files-inbox/<commit> and
refs/heads/<branch>-files take their places.

A look-up fetches the names that are pending and the 256 folders' ids, then the folders that are needed: what it
costs does not grow with the history.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from ciplug.errors import Cause, FileChanged, GitError, GitKind, StoreError
from ciplug.git.blobs import BlobStream
from ciplug.git.objects import present
from ciplug.git.run import stream_blob
from ciplug.stores import threads
from ciplug.stores.base import Problem
from ciplug.stores.files import DroppedFiles, Tell, checked, hex_of, receive, wrong_bytes
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.files_view import FileRefs, FilesView, fetch_files
from ciplug.stores.git.objects import BLOB, LooseObjects, blob_id

LOOK_FROM = 256 * 1024
"""Smaller files are sent without a look-up first, which would cost as much."""
_PUSH_MOST, _PUSH_FILES, _FETCH_FILES = 64 * 1024 * 1024, 1000, 256
_AT_ONCE = 4
_MOMENT = 0.3
"""A server lists one ref after the other: what a fold moves meanwhile may be in neither."""


class GitFiles:
    """Files beside the store on `branch`, in a remote repository."""

    def __init__(
        self, remote: CachedRemote, branch: str, *, uri: str, limit: int | None, may_fold: bool = True
    ) -> None:
        self.uri = uri
        self.limit = limit
        self._remote = remote
        self._refs = FileRefs(branch)
        self._may_fold = may_fold

    # Writing

    def missing(self, digests: Collection[str]) -> set[str]:
        with self._remote.locked():
            return set(digests) - self._find_all(digests).keys()

    def put(self, files: Mapping[str, Path], tell: Tell) -> None:
        for batch in self.batches(files, tell):
            self.push(batch, tell)

    def batches(self, files: Mapping[str, Path], tell: Tell) -> list[dict[str, Path]]:
        """The files that are not here yet, as far as that is worth a look-up, in parts for one push each."""
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
        batches: list[dict[str, Path]] = []
        room = 0
        for digest in sorted(absent):
            size = sizes.get(digest, 0)
            if not batches or size > room or len(batches[-1]) == _PUSH_FILES:
                batches.append({})
                room = _PUSH_MOST
            batches[-1][digest] = files[digest]
            room -= size
        return batches

    def _is_other(self, digest: str, path: Path, oids: Collection[str]) -> bool:
        try:
            return blob_id(checked(path, digest), path.stat().st_size, self._remote.format) not in oids
        except (FileChanged, OSError):
            return False

    def push(self, files: Mapping[str, Path], tell: Tell) -> None:
        """Send files by one push, with the errors of `put`."""
        with self._remote.side() as (side, written):
            # A fixed date: the same files are the same commit, whenever they are sent. Whoever knows them beforehand
            # can take the ref that is named by it, and cannot know the next one.
            for when in (0, int(time.time())):
                commit, total = self.write(side, written, files, when)
                places = self._refs.pending(commit)
                result = self._remote.create(side, commit, *places)
                if not any(result.refuses(ref, GitKind.STALE) for ref in places):
                    break
        if not result.ok:
            if result.rejected:
                with self._remote.locked():
                    self._remote.with_cache(lambda: self._remote.check_way(places[0]))
            raise self._remote.refused(
                result,
                f"allow pushes to {self._refs.pending('*')[0]} for the account that this job runs as; "
                "the host may also limit the size of a file: "
                "--artifact-store s3://… keeps files elsewhere, and none keeps digests only",
            )
        tell(total)
        self.fold_at_times(commit)

    def is_beside(self, remote: CachedRemote, branch: str) -> bool:
        """Whether the files are in the repository of a store, and beside its branch."""
        return self._refs == FileRefs(branch) and self._remote.is_same(remote)

    def places(self, commit: str) -> tuple[str, str]:
        """The refs for a commit of files; the second is used if the host refuses the first."""
        return self._refs.pending(commit)

    @staticmethod
    def write(side: Path, written: LooseObjects, files: Mapping[str, Path], when: int) -> tuple[str, int]:
        """Write files into a repository to push from; returns the commit, and the bytes of all.

        Raises FileChanged.
        """
        # Files of a model have little in common, and git would search for it.
        with (side / "config").open("a") as config:
            config.write("[core]\n\tbigFileThreshold = 1m\n")
        tree = {}
        total = 0
        for digest, path in files.items():
            size = path.stat().st_size if path.exists() else 0
            tree[hex_of(digest)] = (BLOB, written.blob_of(checked(path, digest), size))
            total += size
        return written.commit(written.tree(tree), (), f"ciplug: {len(tree)} files\n\n[skip ci]", when), total

    def fold_at_times(self, commit: str) -> None:
        """Most writers do not fetch what is pending. A few do and fold it, so that it does not grow without end."""
        from ciplug.stores.git.folding import FOLD_AT

        if self._may_fold and int(commit[:2], 16) % (FOLD_AT // 2) == 0:
            with contextlib.suppress(StoreError), self._remote.locked():
                self._look()

    def compact(self) -> int:
        from ciplug.stores.git.file_folds import fold_files

        with self._remote.locked():
            return fold_files(self._remote, self._refs, self._remote.with_cache(self._fetch))

    def due(self, now: datetime) -> bool:
        from ciplug.stores.git.file_drops import due_files, waiting_files

        with self._remote.locked():
            return bool(due_files(waiting_files(self._remote, self._look()), now))

    def drop(self, unneeded: Collection[str], needed: Collection[str], now: datetime) -> DroppedFiles:
        from ciplug.stores.git.file_drops import drop_files

        names, wanted = {hex_of(digest) for digest in unneeded}, {hex_of(digest) for digest in needed}
        with self._remote.locked():
            return self._remote.with_cache(lambda: drop_files(self._remote, self._refs, names, wanted, now))

    # Reading

    def get(self, digests: Collection[str], folder: Path, tell: Tell, most: int) -> None:
        with self._remote.locked():
            blobs = self._find_all(digests)
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

    def damaged(self, digests: Collection[str], tell: Tell) -> dict[str, str]:
        wrong: dict[str, str] = {}
        with self._remote.locked():
            # Of several that claim a digest, readers take the one that is right.
            claims = [(oid, digest) for digest, oids in self._find(self._look(), digests).items() for oid in oids]
            right: set[str] = set()
            for at in range(0, len(claims), _FETCH_FILES):
                some = claims[at : at + _FETCH_FILES]
                self._remote.bring(oid for oid, _ in some)
                with BlobStream(self._remote.repository, [oid for oid, _ in some]) as blobs:
                    for (_, digest), chunks in zip(some, blobs, strict=True):
                        found = "the remote has lost it" if chunks is None else wrong_bytes(digest, chunks, tell)
                        if found:
                            wrong[digest] = found
                        else:
                            right.add(digest)
        return {digest: why for digest, why in wrong.items() if digest not in right}

    def check(self, *, lacks: bool) -> list[Problem]:
        with self._remote.locked():
            tips = self._look().tips
            before = self._remote.remembered()
        custom, plain = self._refs.folded
        if len(tips) == 2:
            what = "every clone downloads it, and the host does not let `ciplug compact` delete it"
            return [Problem(plain, f"{what}: lift its protection, and compact again")]
        if tips or not lacks or before is None:
            return []
        what = "somebody has deleted it, with all folded files. While the host has its objects, its administrator"
        return [Problem(custom, f"{what} sets it again: git update-ref {custom} {before}")]

    def _find_all(self, digests: Collection[str]) -> dict[str, list[str]]:
        """Like `_find`, with what is set aside, and with a second look where one is missing."""
        from ciplug.stores.git.file_drops import waiting_files

        blobs: dict[str, list[str]] = {}
        for wait in (0, _MOMENT):
            time.sleep(wait)
            view = self._look()
            blobs = self._find(view, digests)
            if blobs.keys() >= set(digests):
                break
            aside = {name: oid for files in waiting_files(self._remote, view).values() for name, oid in files.items()}
            blobs = {digest: [aside[hex_of(digest)]] for digest in digests if hex_of(digest) in aside} | blobs
            if blobs.keys() >= set(digests):
                break
        return blobs

    def _find(self, view: FilesView, digests: Collection[str]) -> dict[str, list[str]]:
        """Digest → blobs of those that exist: one, unless somebody has pushed other bytes under its name."""
        names = {hex_of(digest): digest for digest in digests}
        tops = {tree for name in names for tree in view.folders.get(name[:2], ())}
        blobs: dict[str, dict[str, None]] = {}
        folded = self._remote.fetched_trees(tops).values()
        for files in (
            *({name: oid for name, (mode, oid) in entries.items() if mode == BLOB} for entries in folded),
            *(files for _, files in view.pending.values()),
        ):
            for name in files.keys() & names.keys():
                blobs.setdefault(names[name], {})[files[name]] = None
        return {digest: list(oids) for digest, oids in blobs.items()}

    def _look(self) -> FilesView:
        """Return the current view of the remote; if much is pending, fold it first."""
        from ciplug.stores.git.folding import FOLD_AT

        view = self._remote.with_cache(self._fetch)
        if len(view.pending) >= FOLD_AT and self._may_fold:
            from ciplug.stores.git.file_folds import fold_files

            with contextlib.suppress(StoreError):
                fold_files(self._remote, self._refs, view)
        return view

    def _fetch(self) -> FilesView:
        view = fetch_files(self._remote, self._refs)
        for tip in view.commits[:1]:
            self._remote.remember(tip)
        return view
