"""A remote repository as a place for objects: pushes and fetches that are tried again, and a local repository of ours.

Nothing here touches a checkout. A write starts from an empty folder, a read goes to a bare repository in our cache,
which holds what was fetched and may be thrown away at any time.
"""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ciplug.errors import GitError, StoreError
from ciplug.git.bare import init_bare, write_config
from ciplug.git.credentials import redact, transport_environment, without_password
from ciplug.git.environment import Config
from ciplug.git.failures import last_words
from ciplug.git.objects import read_objects
from ciplug.git.push import PushResult, push_refs
from ciplug.git.run import run_git
from ciplug.locking import held
from ciplug.stores.git.objects import Objects, parse_tree

T = TypeVar("T")

_PACKS_MOST = 60
_TRIES = 3
_LOST_RACE = (
    "stale info",
    "fetch first",
    "failed to update ref",
    "cannot lock ref",
    "non-fast-forward",
    "already exists",
    # So say servers of git 2.51 and newer.
    "incorrect old value provided",
)
_NETWORK = re.compile(
    r"RPC failed|hung up|Could not resolve|Connection|Empty reply|timed out|returned error: 5\d\d|early EOF|"
    r"unexpected disconnect|transfer closed|Failed to connect|kex_exchange|incorrect data|bad line length",
    re.IGNORECASE,
)

_DAMAGED = re.compile(r"not our ref|is corrupt|bad object|unable to read|missing|inflate|remote error")


class GitRemote:
    """A repository reached by `url`, which may be a path, and the cache of what was fetched from it."""

    def __init__(
        self,
        url: str,
        *,
        cache: Path,
        name: str,
        config: Config,
        token: str | None = None,
        object_format: str = "sha1",
    ) -> None:
        """
        Args:
            url: what git is told to push to and to fetch from.
            cache: a folder of ours, which may be emptied at any time.
            name: what the cache is of; two of one name and url share it.
            config: git's resolved configuration, for the credentials in it.
            token: takes the place of the credentials in `config`.
        """
        self.address = redact(url)
        self.format = object_format
        self.env = transport_environment(config, url, token)
        self._url = without_password(url)
        self._cache = cache
        token_of_place = hashlib.sha256(f"{self._url}\n{name}\n{object_format}".encode()).hexdigest()[:16]
        self.repository = cache / f"{token_of_place}.git"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone, of all processes on this machine, with the cache."""
        with held(self.repository.with_suffix(".lock")):
            yield

    # Writing

    @contextmanager
    def side(self) -> Iterator[tuple[Path, Objects]]:
        """An empty repository to push from, gone afterwards."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="push-", dir=self._cache, ignore_cleanup_errors=True) as folder:
            path = Path(folder)
            init_bare(path, self.format)
            yield path, Objects(path, self.format)

    def create(self, side: Path, commit: str, *refs: str) -> PushResult:
        """Push a commit to the first of `refs` that the host lets us make; a repeated push is the same push."""
        first: PushResult | None = None
        for ref in refs:
            result = self._create(side, commit, ref)
            if first is None or result.ok or lost_race(result):
                first = result
            if result.ok or lost_race(result) or not result.rejected:
                break
        if first is None:
            raise ValueError("no ref to push to")
        return first

    def _create(self, side: Path, commit: str, ref: str) -> PushResult:
        for left in reversed(range(_TRIES)):
            result = self.push(side, [f"{commit}:{ref}"], [f"--force-with-lease={ref}:"])
            # The ref came up while we pushed; only the next push tells whether by the same objects or by others.
            raced = lost_race(result) and not any("stale info" in reason for reason in result.rejected.values())
            if result.ok or not left or not (raced or is_passing(result.failure)):
                break
            pause(_TRIES - left)
        return result

    def push(self, repository: Path, refspecs: Sequence[str], options: Iterable[str] = ()) -> PushResult:
        """One push; never raises for a refusal."""
        return push_refs(repository, self._url, refspecs, env=self.env, options=options)

    def move(
        self,
        moves: Mapping[str, tuple[str | None, str | None]],
        *,
        first: Sequence[str] = (),
        spare: Mapping[str, str] | None = None,
    ) -> PushResult:
        """Move refs, each from one object id to another (None: it is not there), from our repository.

        All at once, but for what is deleted: that goes once the others have moved, since a git server that misses
        objects refuses the refs which need them, and deletes the others even of an atomic push. Where the server
        knows no atomic push, those named `first` go one by one before the others. So a process that dies in between
        leaves nothing that cannot be done again.

        Args:
            spare: ref → the name to use where the host refuses it.
        """

        def push(refs: Iterable[str], *options: str) -> PushResult:
            chosen = list(refs)
            leases = [f"--force-with-lease={ref}:{moves[ref][0] or ''}" for ref in chosen]
            # Never with a `+`: it would override the lease.
            specs = [f"{moves[ref][1] or ''}:{ref}" for ref in chosen]
            return self.push(self.repository, specs, [*options, *leases])

        def renamed(result: PushResult) -> dict[str, tuple[str | None, str | None]] | None:
            names = {ref: new for ref, new in (spare or {}).items() if ref in moves and _is_refused(result, ref)}
            return {names.get(ref, ref): move for ref, move in moves.items()} if names else None

        made = [ref for ref in moves if moves[ref][1]]
        result = push(made, *(["--atomic"] if len(made) > 1 else []))
        if "does not support --atomic" in (result.failure or ""):
            for ref in (*first, *(ref for ref in made if ref not in first)):
                result = push([ref])
                if (other := renamed(result)) is not None:
                    moves = other
                    result = push([(spare or {})[ref]])
                if not result.ok:
                    return result
        elif (other := renamed(result)) is not None:
            return self.move(other, first=first)
        if result.ok and (gone := [ref for ref in moves if not moves[ref][1]]):
            push(gone)
        return result

    def refused(self, result: PushResult, hint: str) -> StoreError:
        """The error for a push that was not taken; `hint` is what helps where a ref was refused."""
        reasons = "; ".join(sorted(set(result.rejected.values()))) or result.failure
        if result.rejected and result.said:
            reasons = f"{reasons}: {result.said}"
        return StoreError(
            f"{self.address} did not take the push: {reasons}", hint=hint if result.rejected else result.hint
        )

    # Reading

    def refresh(self, look: Callable[[], T]) -> T:
        """`look`, in a cache that works: one that has grown too old is made anew, and so is one that is damaged.

        A git that was killed leaves lock files and half-written objects, and its successor refuses to go on.
        """
        packs = self.repository / "objects" / "pack"
        if packs.exists() and sum(1 for _ in packs.glob("*.pack")) > _PACKS_MOST:
            shutil.rmtree(self.repository, ignore_errors=True)
        try:
            init_bare(self.repository, self.format)
            return look()
        except (StoreError, GitError, OSError, KeyError, ValueError) as problem:
            if not packs.exists() or is_passing(str(problem)):
                raise
            shutil.rmtree(self.repository, ignore_errors=True)
            init_bare(self.repository, self.format)
            return look()

    def fetch(self, *args: str, wanted: Iterable[str] | None = None, filter: str = "blob:none") -> str | None:
        """One fetch, repeated when the network failed; None when it went well, else git's last words.

        Args:
            args: options, and refspecs.
            wanted: object ids in place of refspecs.
        """
        quiet = (
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--quiet",
        )
        options = [a for a in args if a.startswith("--")]
        refspecs = [a for a in args if not a.startswith("--")]
        asked: bytes | None = None
        if wanted is not None:
            options.append("--stdin")
            asked = ("\n".join(wanted) + "\n").encode()
        # Objects are asked for by id: with a "have", the server would take them for known.
        negotiation = "consecutive" if asked is None else "noop"
        for left in reversed(range(_TRIES)):
            done = run_git(
                *("-c", "protocol.version=2", "-c", f"fetch.negotiationAlgorithm={negotiation}"),
                *("fetch", *quiet, f"--filter={filter}", *options, "--", self._url, *refspecs),
                cwd=self.repository,
                input=asked,
                env=self.env,
                check=False,
            )
            # git notes the filter as a promise to fetch what is missing on demand; nobody made it.
            write_config(self.repository, self.format)
            if done.returncode == 0:
                return None
            failure = last_words(done.stderr)
            # A ref may go between the look at it and the fetch; an object that is asked for by id is there, or lost.
            if not left or not (is_passing(failure) or (asked is None and "not our ref" in failure)):
                break
            pause(_TRIES - left)
        return failure

    def refs(self, below: str) -> dict[str, str]:
        """Ref → object id of our own refs."""
        listed = run_git(
            "for-each-ref", "--format=%(objectname) %(refname)", below, cwd=self.repository, env=self.env
        ).stdout.decode()
        return {ref: oid for oid, _, ref in (line.partition(" ") for line in listed.splitlines())}

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
        found = read_objects(self.repository, [commit]) if commit else {}
        header = found[commit][1].partition(b"\n\n")[0].decode(errors="replace") if commit in found else ""
        return tuple(line.removeprefix("parent ") for line in header.splitlines() if line.startswith("parent "))

    def trees(self, names: Iterable[str]) -> dict[str, dict[str, tuple[str, str]]]:
        """Name → entries of the trees among `names` that are here."""
        found = read_objects(self.repository, names)
        return {name: parse_tree(data, self.format) for name, (kind, data) in found.items() if kind == "tree"}

    def fetched_trees(self, oids: Iterable[str]) -> dict[str, dict[str, tuple[str, str]]]:
        """Like `trees`, of ids that the store names: what is not here is fetched, without what lies below."""
        wanted = sorted(set(oids))
        found = self.trees(wanted)
        if missing := [oid for oid in wanted if oid not in found]:
            # By tree:1 git brings the blobs of a tree that is asked for by its id.
            if failure := self.fetch(wanted=missing, filter="tree:0"):
                raise StoreError(f"cannot read {len(missing)} folders of the store: {failure}")
            found.update(self.trees(missing))
            if lost := [oid for oid in missing if oid not in found]:
                raise StoreError(f"the store has lost {len(lost)} folders that it names, {lost[0]} first")
        return found

    def blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
        """The blobs of these ids, those that are not here yet by one fetch. Raises StoreError when one is lost."""
        wanted = set(oids)
        found = self.sound_blobs(wanted)
        if lost := sorted(wanted - found.keys()):
            raise StoreError(
                f"the store has lost {len(lost)} objects that it names, {lost[0]} first", hint="see: ciplug fsck"
            )
        return found

    def sound_blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
        """Like `blobs`, without those that the remote has lost or cannot read any more."""
        wanted = sorted(set(oids))
        found = read_objects(self.repository, wanted)
        if missing := [oid for oid in wanted if oid not in found]:
            self._bring_sound(missing)
            found.update(read_objects(self.repository, missing))
        return {oid: data for oid, (kind, data) in found.items() if kind == "blob"}

    def _bring_sound(self, oids: Sequence[str]) -> None:
        """Fetch blobs; one that is damaged fails the fetch of all, so they are looked for by halves."""
        failure = self.fetch(wanted=oids)
        if failure is None:
            return
        if is_passing(failure) and not _DAMAGED.search(failure):
            raise StoreError(f"cannot read {len(oids)} objects of the store: {failure}")
        if len(oids) > 1:
            half = len(oids) // 2
            self._bring_sound(oids[:half])
            self._bring_sound(oids[half:])


def lost_race(result: PushResult) -> bool:
    """Whether a push was refused because another was faster."""
    return bool(result.rejected) and all(
        any(words in reason for words in _LOST_RACE) or "atomic" in reason for reason in result.rejected.values()
    )


def _is_refused(result: PushResult, ref: str) -> bool:
    """Whether the host does not want this very ref."""
    reason = result.rejected.get(ref, "")
    return bool(reason) and "atomic" not in reason and not any(words in reason for words in _LOST_RACE)


def is_passing(failure: str | None) -> bool:
    """Whether git failed for the network, so that the same may go well later."""
    return bool(_NETWORK.search(failure or ""))


def pause(attempt: int) -> None:
    """Wait before the next attempt, a random while, so that those who collided do not collide again."""
    time.sleep(attempt * random.uniform(0.3, 0.7))
