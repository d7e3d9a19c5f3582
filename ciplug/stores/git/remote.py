"""A git repository that is reached by a URL: pushes and fetches, tried again where the connection failed.

Nothing here touches a checkout. A write starts from an empty folder, a read goes to a bare repository in our cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ciplug.errors import Cause, GitKind, RemoteError, StoreError, listed
from ciplug.git.bare import init_bare, write_config
from ciplug.git.credentials import redact, without_password
from ciplug.git.environment import Config
from ciplug.git.failures import Failure, read_failure
from ciplug.git.push import PushResult, push_refs
from ciplug.git.run import run_git
from ciplug.git.transport import transport_environment
from ciplug.stores.git.causes import cause_of
from ciplug.stores.git.dead_locks import release
from ciplug.stores.git.objects import LooseObjects

_TRIES = 3
_LEFTOVER_SECONDS = 24 * 3600
"""No push takes so long."""
_LOCKED = "if no git process runs there, one was killed: remove the file that ends in .lock"
_QUIET = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--quiet")


class GitRemote:
    """A repository reached by `url`, which may be a path, and the place of the repository that caches it."""

    def __init__(
        self,
        url: str,
        *,
        cache: Path,
        name: str,
        config: Config,
        token: str | None = None,
        object_format: str = "sha1",
        refusal: str | None = None,
        offline: bool = False,
    ) -> None:
        """
        Args:
            url: what git pushes to and fetches from.
            cache: a folder of ours, which may be emptied at any time.
            name: what the cache is of; two of one name and url share it.
            config: git's resolved configuration, for the credentials in it.
            token: takes the place of the credentials in `config`.
            refusal: why nothing can be pushed, where the configuration wants that.
            offline: nothing is fetched or pushed; what the cache has is read.
        """
        self.address = redact(url)
        self.format = object_format
        self.env = transport_environment(config, url, token)
        self._url = without_password(url)
        self._reached = (url, token, tuple(config), object_format, refusal, offline)
        self.offline = offline
        self._refusal = f"{self.address} is read offline" if offline else refusal
        self._cache = cache
        digest = hashlib.sha256(f"{self._url}\n{name}\n{object_format}".encode()).hexdigest()[:16]
        self.repository = cache / f"{digest}.git"

    def is_same(self, other: GitRemote) -> bool:
        """Whether both are one repository, reached with the same credentials."""
        return self._reached == other._reached

    @contextmanager
    def with_env(self, env: Mapping[str, str]) -> Iterator[None]:
        """Have git see another environment for a while."""
        before, self.env = self.env, dict(env)
        try:
            yield
        finally:
            self.env = before

    # Writing

    @contextmanager
    def side(self) -> Iterator[tuple[Path, LooseObjects]]:
        """An empty repository to push from, gone afterwards."""
        self._cache.mkdir(parents=True, exist_ok=True)
        self._sweep()
        with tempfile.TemporaryDirectory(prefix="push-", dir=self._cache, ignore_cleanup_errors=True) as folder:
            path = Path(folder)
            init_bare(path, self.format)
            yield path, LooseObjects(path, self.format)

    def _sweep(self) -> None:
        """Remove what pushes left that were killed long ago."""
        for folder in self._cache.glob("push-*"):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > _LEFTOVER_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    def create(self, side: Path, commit: str, *refs: str) -> PushResult:
        """Push a commit to the first of `refs` that the host accepts; a repeated push is the same push."""
        first: PushResult | None = None
        for ref in refs:
            result = self._create(side, commit, ref)
            if first is None or result.ok or result.lost_race:
                first = result
            if result.ok or result.lost_race or not result.rejected:
                break
        if first is None:
            raise ValueError("no ref to push to")
        return first

    def _create(self, side: Path, commit: str, ref: str) -> PushResult:
        for left in reversed(range(_TRIES)):
            result = self.push(side, [f"{commit}:{ref}"], [f"--force-with-lease={ref}:"])
            # The ref came up while we pushed; only the next push shows whether by the same objects or by others.
            raced = result.lost_race and not result.refuses(ref, GitKind.STALE)
            if result.ok or not left or not (raced or result.network):
                break
            pause(_TRIES - left)
        return result

    def create_together(self, side: Path, places: Mapping[str, Sequence[str]]) -> PushResult:
        """Push commits to new refs, all of them or none; a repeated push is the same push.

        Args:
            places: commit → its refs, of which the host may refuse the first.
        """
        result = PushResult()
        for refs in zip(*places.values(), strict=True):
            specs = [f"{commit}:{ref}" for commit, ref in zip(places, refs, strict=True)]
            for left in reversed(range(_TRIES)):
                result = self.push(side, specs, ["--atomic", *(f"--force-with-lease={ref}:" for ref in refs)])
                if result.ok or not left or not result.network:
                    break
                pause(_TRIES - left)
            if result.ok or not result.rejected:
                break
        return result

    def push(self, repository: Path, refspecs: Sequence[str], options: Iterable[str] = ()) -> PushResult:
        """One push; never raises for a refusal."""
        if self._refusal:
            return PushResult(failure=Failure(self._refusal, frozenset({GitKind.PUSH_OFF})))
        options = list(options)
        result = push_refs(repository, self._url, refspecs, env=self.env, options=options)
        locked = [ref for ref in result.rejected if result.refuses(ref, GitKind.LOCKED)]
        if locked and release(self._url, locked):
            return push_refs(repository, self._url, refspecs, env=self.env, options=options)
        return result

    def refused(self, result: PushResult, hint: str) -> RemoteError:
        """The error for a push that was not accepted; `hint` is what helps where a ref was refused."""
        return RemoteError(
            f"{self.address} did not take the push: {result.reason.words}",
            hint=_LOCKED if _is_locked(result) else hint if result.rejected else result.reason.hint,
            cause=cause_of(result.reason),
        )

    # Reading

    def list_refs(self) -> dict[str, str] | None:
        """Ref → object id, of all refs of the remote; None where it does not answer."""
        done = run_git(
            *("-c", "protocol.version=2", "ls-remote", "--quiet", "--refs", "--", self._url),
            cwd=self.repository,
            env=self.env,
            check=False,
        )
        lines = (line.split("\t") for line in done.stdout.decode(errors="replace").splitlines())
        return None if done.returncode else {ref: oid for oid, ref in lines}

    def in_the_way(self, *refs: str) -> list[str]:
        """The remote's refs beside which one of these cannot exist: those above it, and those below it."""
        return [
            name
            for name in self.list_refs() or {}
            if any(name.startswith(f"{ref}/") or ref.startswith(f"{name}/") for ref in refs) and name.count("/") > 0
        ]

    def check_way(self, *refs: str) -> None:
        """Raise the error that names what stands in the way of these refs, if anything does."""
        if blocking := self.in_the_way(*refs):
            raise in_the_way(blocking)

    def fetch(self, *args: str, oids: Iterable[str] | None = None, filter: str = "blob:none") -> Failure | None:
        """One fetch, repeated when the connection failed; None when it succeeded.

        Args:
            args: options, and refspecs.
            oids: object ids in place of refspecs.
        """
        if self.offline:
            return Failure("it is not in the cache of this clone", frozenset({GitKind.NETWORK}))
        options = [a for a in args if a.startswith("--")]
        refspecs = [a for a in args if not a.startswith("--")]
        stdin: bytes | None = None
        if oids is not None:
            options.append("--stdin")
            stdin = ("\n".join(oids) + "\n").encode()
        # Objects are requested by id: with a "have", the server would assume that we have them.
        negotiation = "consecutive" if stdin is None else "noop"
        for left in reversed(range(_TRIES)):
            # The cache lies in the checkout, which a training can write: no program of its configuration is started.
            write_config(self.repository, self.format)
            done = run_git(
                *("-c", "protocol.version=2", "-c", f"fetch.negotiationAlgorithm={negotiation}"),
                *("fetch", *_QUIET, f"--filter={filter}", *options, "--", self._url, *refspecs),
                cwd=self.repository,
                input=stdin,
                env=self.env,
                check=False,
            )
            # git notes the filter as a promise to fetch what is missing on demand; nobody made it.
            write_config(self.repository, self.format)
            if done.returncode == 0:
                return None
            failure = read_failure(done.stderr)
            # A ref may go between its listing and the fetch; an object that is requested by id exists, or is lost.
            gone = stdin is None and GitKind.UNKNOWN_OBJECT in failure.kinds
            if not left or not (failure.network or gone):
                break
            pause(_TRIES - left)
        return failure

    def unreadable(self, what: str, failure: Failure, hint: str | None = None) -> RemoteError:
        """The error for a fetch that failed."""
        if GitKind.DISK_FULL in failure.kinds:
            hint = "free some space on the disk of this machine, or of the server"
        return RemoteError(f"cannot read {what}: {failure.words}", hint=hint, cause=cause_of(failure))


def _is_locked(result: PushResult) -> bool:
    """Whether a lock is the only reason."""
    return bool(result.rejected) and all(GitKind.LOCKED in reason.kinds for reason in result.rejected.values())


def in_the_way(blocking: Sequence[str]) -> StoreError:
    """The error for refs beside which ours cannot exist."""
    return StoreError(
        f"{listed(blocking)} stands in the way of the store: git cannot have a ref above or below another one",
        hint=f"delete it, or move it elsewhere: git push REMOTE {' '.join(f':{ref}' for ref in blocking[:5])}",
        cause=Cause.IN_THE_WAY,
    )


def pause(attempt: int) -> None:
    """Wait before the next attempt, a random while, so that those who collided do not collide again."""
    time.sleep(attempt * random.uniform(0.3, 0.7))
