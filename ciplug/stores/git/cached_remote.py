"""A remote, and the local repository of what was fetched from it, which may be deleted at any time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ciplug.errors import Cause, GitError, GitKind, StoreError, counted
from ciplug.git import cat_file
from ciplug.git.bare import init_bare, own_refs
from ciplug.git.failures import Failure
from ciplug.git.objects import parse_tree, present, read_objects, sizes
from ciplug.git.run import run_git
from ciplug.locking import held
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.remote import GitRemote

T = TypeVar("T")

UNREACHABLE_HINT = "is the repository reachable with this checkout's credentials?"
NO_BRANCH = ""
"""What is remembered of a store that had no branch yet when it was read."""
_PACKS_MOST = 60
_KEPT_MOST = 1024 * 1024
"""Bytes of a write that is kept as it was pushed."""
_LISTED_MOST = 2000
"""Refs of a remote, of the store and all others, that are listed to save a fetch."""
_fetched: set[Path] = set()
"""Repositories whose refs are those that the remote had a moment ago: this process has fetched or pushed them."""
_listed: dict[Path, int] = {}
"""Repository → the number of refs that the remote had when this process has listed it last."""
_OF_THE_REMOTE = {
    Cause.NETWORK,
    Cause.NO_CREDENTIAL,
    Cause.BAD_CREDENTIAL,
    Cause.FORBIDDEN,
    Cause.NOT_FOUND,
    Cause.FORMAT,
}
"""Causes that a new cache does not remove."""


class CachedRemote(GitRemote):
    """A GitRemote whose objects are kept in `repository`, so that each is fetched once."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all other processes of this machine from the cache."""
        with held(self.repository.with_suffix(".lock")):
            yield

    def with_cache(self, work: Callable[[], T]) -> T:
        """Do some work in a sound cache: one that has grown too old is made anew, and so is one that is damaged.

        A git that was killed leaves lock files and half-written objects, and its successor refuses to go on.
        """
        packs = self.repository / "objects" / "pack"
        if self.offline:
            init_bare(self.repository, self.format)
            return work()
        if packs.exists() and sum(1 for _ in packs.glob("*.pack")) > _PACKS_MOST:
            self._remove()
        try:
            init_bare(self.repository, self.format)
            return work()
        except (StoreError, GitError, OSError, KeyError, ValueError) as problem:
            if not packs.exists() or _is_of_the_remote(problem):
                raise
            self._remove()
            init_bare(self.repository, self.format)
            return work()

    def renewed(self, fetch: Callable[[], T]) -> T:
        """Fetch into an empty cache, which shows what the remote really has; the old one comes back if that fails."""
        if self.offline or not self.repository.exists():
            return fetch()
        aside = self.repository.with_suffix(".old")
        shutil.rmtree(aside, ignore_errors=True)
        cat_file.close(self.repository)
        self.repository.rename(aside)
        try:
            return fetch()
        except BaseException:
            self._remove()
            aside.rename(self.repository)
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _remove(self) -> None:
        self.forget_fetch()
        cat_file.close(self.repository)
        shutil.rmtree(self.repository, ignore_errors=True)

    @property
    def was_fetched(self) -> bool:
        """Whether this process has fetched the refs of the store."""
        return not self.offline and self.repository in _fetched

    def note_fetch(self) -> None:
        """From now on, the refs of the store count as fetched."""
        _fetched.add(self.repository)

    def forget_fetch(self) -> None:
        """Refs have moved, so the next look need not ask whether any has."""
        _fetched.discard(self.repository)

    def list_few_refs(self) -> dict[str, str] | None:
        """The refs of the remote, if this process knows them and they are few: git lists those of others, too."""
        if not self.was_fetched or _listed.get(self.repository, 0) > _LISTED_MOST:
            return None
        refs = self.list_refs()
        _listed[self.repository] = len(refs or ())
        return refs

    def keep(self, commit: str, objects: Mapping[str, bytes], ref: str) -> None:
        """Keep a write that was just pushed, as a fetch would bring it."""
        if self.was_fetched and sum(map(len, objects.values())) < _KEPT_MOST:
            place, part = self.repository / ref, self.repository / f"{commit}.part"
            with contextlib.suppress(OSError):
                write_commit(LooseObjects(self.repository, self.format), objects)
                place.parent.mkdir(parents=True, exist_ok=True)
                part.write_text(f"{commit}\n")
                part.replace(place)

    def refs(self, below: str) -> dict[str, str]:
        """Ref → object id of our own refs."""
        return own_refs(self.repository, below)

    def point(self, ref: str, oid: str) -> None:
        """Set one of our own refs, as a fetch would."""
        run_git("update-ref", ref, oid, cwd=self.repository, env=self.env, check=False)

    def forget(self, ref: str) -> None:
        """Take away one of our own refs."""
        run_git("update-ref", "-d", ref, cwd=self.repository, env=self.env, check=False)

    def remember(self, commit: str | None) -> None:
        """Keep the id of the last commit that was seen, beside the cache: None forgets it."""
        if commit is None:
            self._memory.unlink(missing_ok=True)
        elif commit != self.remembered():
            self._memory.write_text(commit)

    def remembered(self) -> str | None:
        """The last commit that was seen by this cache, if any."""
        try:
            return self._memory.read_text() or None
        except OSError:
            return None

    @property
    def _memory(self) -> Path:
        return self.repository.with_suffix(".seen")

    def parents(self, commit: str | None) -> tuple[str, ...]:
        """The parents that a commit names, whether they are here or not."""
        objects = read_objects(self.repository, [commit]) if commit else {}
        header = objects[commit][1].partition(b"\n\n")[0].decode(errors="replace") if commit in objects else ""
        return tuple(line.removeprefix("parent ") for line in header.splitlines() if line.startswith("parent "))

    def trees(self, names: Iterable[str]) -> dict[str, dict[str, tuple[str, str]]]:
        """Return name → entries of the trees among `names` that exist here."""
        objects = read_objects(self.repository, names)
        return {name: parse_tree(data, self.format) for name, (kind, data) in objects.items() if kind == "tree"}

    def fetched_trees(self, oids: Iterable[str]) -> dict[str, dict[str, tuple[str, str]]]:
        """Like `trees`, of ids that the store names: what is missing is fetched, without what is below it."""
        names = sorted(set(oids))
        trees = self.trees(names)
        if missing := [oid for oid in names if oid not in trees]:
            # With tree:1 git brings the blobs of a tree that is requested by its id.
            if failure := self.fetch(oids=missing, filter="tree:0"):
                raise self.unreadable(f"{counted(len(missing), 'folder')} of the store", failure)
            trees.update(self.trees(missing))
            if lost := [oid for oid in missing if oid not in trees]:
                what = f"the store has lost {counted(len(lost), 'folder')} that it names, {lost[0]} first"
                raise StoreError(what, cause=Cause.LOST)
        return trees

    def blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
        """The blobs of these ids, those that are not here yet by one fetch. Raises StoreError when one is lost."""
        names = set(oids)
        blobs = self.sound_blobs(names)
        if lost := sorted(names - blobs.keys()):
            raise StoreError(
                f"the store has lost {counted(len(lost), 'object')} that it names, {lost[0]} first",
                hint="see: ciplug fsck",
                cause=Cause.LOST,
            )
        return blobs

    def sound_blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
        """Like `blobs`, without those that the remote has lost or cannot read any more."""
        names = sorted(set(oids))
        objects = read_objects(self.repository, names)
        if missing := [oid for oid in names if oid not in objects]:
            self._fetch_sound(missing)
            objects.update(read_objects(self.repository, missing))
        return {oid: data for oid, (kind, data) in objects.items() if kind == "blob"}

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """Object → bytes of those that are here; nothing is fetched."""
        return sizes(self.repository, oids)

    def present(self, oids: Iterable[str]) -> set[str]:
        """Those of the objects that are here."""
        return present(self.repository, oids)

    def tree_sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Name → bytes of trees, by whatever name git knows them."""
        return sizes(self.repository, names)

    def bring_commits(self, commits: Sequence[str], limit: int, beside: Iterable[str] = ()) -> set[str]:
        """Fetch commits with their files of at most so many bytes; returns those with damaged ones on the remote.

        Args:
            beside: blobs to fetch as well, of any size; they are left out where anything of this is damaged.
        """
        if self.offline or not commits:
            return set()
        wanted = set(beside)
        wanted -= present(self.repository, wanted) if wanted else set()
        failure = self.fetch("--depth=1", oids=[*commits, *sorted(wanted)], filter=f"blob:limit={limit + 1}")
        if failure is None:
            return set()
        self._check_reached(failure, f"{counted(len(commits), 'write')} of the store")
        if wanted:
            return self.bring_commits(commits, limit)
        if len(commits) == 1:
            return set(commits)
        half = len(commits) // 2
        return self.bring_commits(commits[:half], limit) | self.bring_commits(commits[half:], limit)

    def bring(self, oids: Iterable[str]) -> None:
        """Fetch those of the blobs that are not here yet, all at once, for `sound_blobs` to read in pieces."""
        names = set(oids)
        if missing := sorted(names - present(self.repository, names)):
            self._fetch_sound(missing)

    def _fetch_sound(self, oids: Sequence[str]) -> None:
        """Fetch blobs; one that is damaged fails the fetch of all, so they are fetched by halves."""
        failure = self.fetch(oids=oids)
        if failure is None:
            return
        self._check_reached(failure, f"{counted(len(oids), 'object')} of the store")
        if len(oids) > 1:
            half = len(oids) // 2
            self._fetch_sound(oids[:half])
            self._fetch_sound(oids[half:])

    def _check_reached(self, failure: Failure, what: str) -> None:
        """Raise the error for a remote that could not be reached; damage, which often ends the connection, is none."""
        if not failure.damaged and (failure.network or failure.access):
            raise self.unreadable(what, failure)


def write_commit(written: LooseObjects, objects: Mapping[str, bytes]) -> str:
    """Write the commit of a write to the store. A fixed date: the same objects are the same commit, whenever sent."""
    tree = written.nested_tree({f"new/{key}": written.blob(data) for key, data in objects.items()})
    return written.commit(tree, (), f"ciplug: {len(objects)} objects\n\n[skip ci]", 0)


def _is_of_the_remote(problem: Exception) -> bool:
    """Whether the remote is at fault, and not the cache."""
    if isinstance(problem, StoreError):
        return problem.cause in _OF_THE_REMOTE
    return isinstance(problem, GitError) and problem.kind == GitKind.NETWORK
