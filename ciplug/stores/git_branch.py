"""The git store: a write is one push to a ref of its own, a reader sees the branch and what is pending.

Layout (format 1)
    refs/<branch>/inbox/<id>       a parentless commit with tree new/<key>: one write, until it is folded
    refs/heads/<branch>-inbox/<id> the same, on a host that refuses refs outside refs/heads
    refs/heads/<branch>            FORMAT, new/<key> (folded writes), <log>/<seq>.json (logs, by compare-and-swap)

Nobody writes in another's way, so any number may record at once; only logs and folds move the branch.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ciplug import git
from ciplug.errors import Conflict, GitError, StoreError
from ciplug.locking import held
from ciplug.records.canonical import digest
from ciplug.stores.base import Head
from ciplug.stores.git_objects import BLOB, FILES, TREE, Objects, object_id, parse_tree

FORMAT = b"ciplug git store 1\n"
FOLD_AT = 64
FOLD_MOST = 1000
_TIP = "refs/store/branch"
_PACKS_MOST = 60
_DEEPEST, _WRITE_MOST = 8, 10_000
"""Folders of a key, and entries of a write: anyone who may push may push a tree that is endless."""
_TRIES = 3
_LOG_TRIES = 30
_LOST_RACE = (
    "stale info",
    "fetch first",
    "failed to update ref",
    "cannot lock ref",
    "non-fast-forward",
    "already exists",
)
_NETWORK = re.compile(
    r"RPC failed|hung up|Could not resolve|Connection|Empty reply|timed out|returned error: 5\d\d|early EOF|"
    r"unexpected disconnect|transfer closed|Failed to connect|kex_exchange|incorrect data|bad line length",
    re.IGNORECASE,
)


class GitBranchStore:
    """A Store on a branch of a git repository, reached by `url`, which may be a path."""

    def __init__(
        self,
        url: str,
        *,
        uri: str,
        branch: str,
        cache: Path,
        config: git.Config,
        token: str | None = None,
        object_format: str = "sha1",
        may_fold: bool = True,
    ) -> None:
        """
        Args:
            url: what git is told to push to and to fetch from.
            uri: how the user named this store; credentials in it are not kept.
            cache: a folder of ours, which may be emptied at any time.
            config: git's resolved configuration, for the credentials in it.
            token: takes the place of the credentials in `config`.
            may_fold: False in a job that must not write the store: then its readers fold nothing.
        """
        self.uri = git.redact(uri)
        self.address = f"{git.redact(url)}#{branch}"
        self._url = git.without_password(url)
        self._branch = branch
        self._cache = cache
        self._env = git.transport_environment(config, url, token)
        self._format = object_format
        name = hashlib.sha256(f"{self._url}\n{branch}\n{object_format}".encode()).hexdigest()[:16]
        self._repository = cache / f"{name}.git"
        self._view: _View | None = None
        self._fold_tried = not may_fold

    # Writing

    def add(self, objects: Mapping[str, bytes]) -> None:
        """One commit, one push, to a ref whose name follows from the keys: a repeated push is the same push."""
        name = hashlib.sha256("\n".join(sorted(objects)).encode()).hexdigest()[:32]
        custom, plain = f"refs/{self._branch}/inbox/{name}", f"refs/heads/{self._branch}-inbox/{name}"
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="push-", dir=self._cache, ignore_cleanup_errors=True) as folder:
            side = Path(folder)
            git.init_bare(side, self._format)
            written = Objects(side, self._format)
            tree = written.nested_tree({f"new/{key}": written.blob(data) for key, data in objects.items()})
            # A fixed date: the same objects are the same commit, whenever they are sent.
            commit = written.commit(tree, (), f"ciplug: {len(objects)} objects\n\n[skip ci]", 0)
            result = self._push(side, commit, custom)
            if result.rejected and not _lost_race(result):
                fallback = self._push(side, commit, plain)
                result = result if fallback.rejected and not _lost_race(fallback) else fallback
        self._view = None
        if result.ok:
            return
        if _lost_race(result):
            first = min(objects)
            raise Conflict(f"the store holds other bytes under the same key: {first}")
        raise self._refused(result)

    def _push(self, side: Path, commit: str, ref: str) -> git.PushResult:
        for left in reversed(range(_TRIES)):
            result = git.push(
                side, self._url, [f"{commit}:{ref}"], env=self._env, options=[f"--force-with-lease={ref}:"]
            )
            # The ref came up while we pushed; only the next push tells whether by the same objects or by others.
            raced = _lost_race(result) and not any("stale info" in reason for reason in result.rejected.values())
            if result.ok or not left or not (raced or _NETWORK.search(result.failure or "")):
                break
            time.sleep((_TRIES - left) * random.uniform(0.3, 0.7))
        return result

    def _refused(self, result: git.PushResult) -> StoreError:
        reasons = "; ".join(sorted(set(result.rejected.values()))) or result.failure
        hint = result.hint
        if result.rejected and result.said:
            reasons = f"{reasons}: {result.said}"
        if result.rejected:
            hint = (
                f"allow pushes to refs/{self._branch}/inbox/* and to the branch '{self._branch}' "
                "for the account that this job runs as"
            )
        return StoreError(f"{git.redact(self._url)} did not take the push: {reasons}", hint=hint)

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        sent: Head | None = None
        for attempt in range(_LOG_TRIES):
            with self._locked():
                view = self._refresh()
                # After a lost answer the entry may stand.
                if sent and self._holds(view, log, sent):
                    return sent
                now = self._head(view, log)
                if now != expected:
                    raise Conflict(f"{log} has moved on", head=now)
                sent = Head(1 if now is None else now.seq + 1, digest(entry))
                written = Objects(self._repository, self._format)
                path = _entry_path(log, sent.seq)
                files = {p: oid for p, oid in view.logs.items() if p.partition("/")[0] == log.partition("/")[0]}
                files[path] = written.blob(entry)
                top = log.partition("/")[0]
                tree = written.nested_tree({p.partition("/")[2]: oid for p, oid in files.items()})
                root = {**view.root, top: (TREE, tree), "FORMAT": (BLOB, written.blob(FORMAT))}
                result = self._move_branch(view, written, root, f"ciplug: {path}")
            if result.ok:
                return sent
            if not (_lost_race(result) or _NETWORK.search(result.failure or "")):
                raise self._refused(result)
            time.sleep(random.uniform(0, 0.05 * min(attempt + 1, 10)))
        raise StoreError(f"{log}: {_LOG_TRIES} attempts, and each time another writer was first")

    def _holds(self, view: _View, log: str, head: Head) -> bool:
        oid = view.logs.get(_entry_path(log, head.seq))
        return oid is not None and digest(self._blobs([oid])[oid]) == head.digest

    def _move_branch(
        self,
        view: _View,
        written: Objects,
        root: Mapping[str, tuple[str, str]],
        message: str,
        also: Iterable[tuple[str, str]] = (),
    ) -> git.PushResult:
        """Push a new tip, and delete `also` (ref, object id) with it, if nothing has moved since `view`."""
        branch = f"refs/heads/{self._branch}"
        parents = (view.tip,) if view.tip else ()
        commit = written.commit(written.tree(root), parents, f"{message}\n\n[skip ci]", int(time.time()))
        self._view = None
        gone = list(also)
        move, lease = [f"{commit}:{branch}"], [f"--force-with-lease={branch}:{view.tip or ''}"]
        delete, leases = [f":{ref}" for ref, _ in gone], [f"--force-with-lease={ref}:{oid}" for ref, oid in gone]

        def push(refspecs: list[str], options: list[str]) -> git.PushResult:
            return git.push(self._repository, self._url, refspecs, env=self._env, options=options)

        if not gone:
            return push(move, lease)
        result = push(move + delete, [*lease, *leases, "--atomic"])
        if "does not support --atomic" in (result.failure or ""):
            # Only once the branch has them may the refs go; a fold that ends in between is repeated.
            result = push(move, lease)
            if result.ok:
                push(delete, leases)
        return result

    def compact(self) -> int:
        """Fold what is pending into the branch; 0 also where another was faster."""
        with self._locked():
            return self._fold(self._refresh())

    def _fold(self, view: _View) -> int:
        folded = dict(view.folded)
        folders = {above for key in folded for above in _folders(key)}
        refs: list[tuple[str, str]] = []
        for ref, (oid, files) in view.pending.items():
            if len(refs) == FOLD_MOST:
                break
            # The same key with other bytes stays where it is, to be looked at; so does a key that lies below
            # another: a tree cannot hold both.
            if any(
                folded.get(key, blob) != blob or key in folders or any(above in folded for above in _folders(key))
                for key, blob in files.items()
            ):
                continue
            folded.update(files)
            folders.update(above for key in files for above in _folders(key))
            refs.append((ref, oid))
        if not refs:
            return 0
        written = Objects(self._repository, self._format)
        root = {
            **view.root,
            "new": (TREE, written.nested_tree(folded)),
            "FORMAT": (BLOB, written.blob(FORMAT)),
        }
        message = f"ciplug: fold {len(refs)} writes"
        result = self._move_branch(view, written, root, message, refs)
        if "unable to read" in (result.failure or ""):
            # In a young repository git packs what the remote has in other refs, and we may not have it.
            self._blobs(oid for _, files in view.pending.values() for oid in files.values())
            result = self._move_branch(view, written, root, message, refs)
        if result.ok:
            return len(refs)
        if _lost_race(result):
            return 0
        raise self._refused(result)

    # Reading

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        with self._locked():
            view = self._look()
            wanted = {key: oid for key in keys if (oid := view.logs.get(key) or view.objects.get(key))}
            blobs = self._blobs(wanted.values())
        return {key: blobs[oid] for key, oid in wanted.items()}

    def keys(self, prefix: str) -> list[str]:
        with self._locked():
            view = self._look()
        return sorted(key for key in {*view.objects, *view.logs} if key.startswith(prefix))

    def head(self, log: str) -> Head | None:
        with self._locked():
            return self._head(self._look(), log)

    def _head(self, view: _View, log: str) -> Head | None:
        sequence = view.sequence(log)
        if not sequence:
            return None
        oid = view.logs[_entry_path(log, sequence[-1])]
        return Head(sequence[-1], digest(self._blobs([oid])[oid]))

    def entries(self, log: str) -> list[bytes]:
        with self._locked():
            view = self._look()
            oids = [view.logs[_entry_path(log, seq)] for seq in view.sequence(log)]
            blobs = self._blobs(oids)
        return [blobs[oid] for oid in oids]

    @property
    def pending(self) -> int:
        """Writes that no fold has taken yet."""
        with self._locked():
            return len(self._look().pending)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with held(self._repository.with_suffix(".lock")):
            yield

    def _look(self) -> _View:
        """The view that this process has, else a new one; a reader that finds much pending folds it, if it may."""
        if self._view is None:
            view = self._refresh()
            if len(view.pending) >= FOLD_AT and not self._fold_tried:
                self._fold_tried = True
                with contextlib.suppress(StoreError):
                    self._fold(view)
            # What was seen still holds: a fold changes no fact.
            self._view = view
        return self._view

    def _refresh(self) -> _View:
        """Fetch, and index every key; a cache that has grown too old is made anew, and so is one that is damaged.

        A git that was killed leaves lock files and half-written objects, and its successor refuses to go on.
        """
        packs = self._repository / "objects" / "pack"
        if packs.exists() and sum(1 for _ in packs.glob("*.pack")) > _PACKS_MOST:
            shutil.rmtree(self._repository, ignore_errors=True)
        try:
            self._view = self._fetch_and_index()
        except (StoreError, GitError, OSError, KeyError, ValueError) as problem:
            if not packs.exists() or _NETWORK.search(str(problem)):
                raise
            shutil.rmtree(self._repository, ignore_errors=True)
            self._view = self._fetch_and_index()
        return self._view

    def _fetch_and_index(self) -> _View:
        git.init_bare(self._repository, self._format)
        inbox = [
            f"+refs/{self._branch}/inbox/*:refs/store/inbox/*",
            f"+refs/heads/{self._branch}-inbox/*:refs/store/inbox-heads/*",
        ]
        tip = f"+refs/heads/{self._branch}:{_TIP}"
        failure = self._fetch("--depth=1", "--prune", tip, *inbox)
        if failure and "couldn't find remote ref" in failure:
            git.git("update-ref", "-d", _TIP, cwd=self._repository, env=self._env, check=False)
            # Without --depth, with which git fails where nothing matches; these commits have no parents.
            failure = self._fetch("--prune", *inbox)
            # Between the two, the first fold may have moved into the branch what the inbox then lacked.
            if not failure and "couldn't find remote ref" not in (again := self._fetch("--depth=1", tip) or ""):
                failure = again or None
        if failure:
            raise StoreError(
                f"cannot read the store at {git.redact(self._url)}: {failure}",
                hint="is the repository reachable with this checkout's credentials?",
            )
        listed = git.git(
            "for-each-ref",
            "--format=%(objectname) %(refname)",
            "refs/store",
            cwd=self._repository,
            env=self._env,
        ).stdout.decode()
        refs = {ref: oid for oid, _, ref in (line.partition(" ") for line in listed.splitlines())}
        return self._index(refs)

    def _fetch(self, *args: str, wanted: bytes | None = None) -> str | None:
        """One fetch, repeated when the network failed; None when it went well, else git's last words."""
        quiet = (
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--quiet",
        )
        options = [a for a in args if a.startswith("--")]
        refspecs = [a for a in args if not a.startswith("--")]
        # Blobs are asked for by id: with a "have", the server would take them for known.
        negotiation = "consecutive" if wanted is None else "noop"
        for left in reversed(range(_TRIES)):
            done = git.git(
                *("-c", "protocol.version=2", "-c", f"fetch.negotiationAlgorithm={negotiation}"),
                *("fetch", *quiet, "--filter=blob:none", *options, "--", self._url, *refspecs),
                cwd=self._repository,
                input=wanted,
                env=self._env,
                check=False,
            )
            # git notes the filter as a promise to fetch what is missing on demand; nobody made it.
            git.write_config(self._repository, self._format)
            if done.returncode == 0:
                return None
            failure = git.last_words(done.stderr)
            if not left or not (_NETWORK.search(failure) or "not our ref" in failure):
                break
            time.sleep((_TRIES - left) * random.uniform(0.3, 0.7))
        return failure

    def _trees(self, names: Iterable[str]) -> dict[str, dict[str, tuple[str, str]]]:
        found = git.read_objects(self._repository, names)
        return {name: parse_tree(data, self._format) for name, (kind, data) in found.items() if kind == "tree"}

    def _index(self, refs: Mapping[str, str]) -> _View:
        tip = refs.get(_TIP)
        roots = self._trees(f"{oid}^{{tree}}" for oid in refs.values())
        # Whoever may push may push a ref to anything. What no writer of ours makes stays where it is, unread.
        sound = {ref for ref, oid in refs.items() if ref == _TIP or f"{oid}^{{tree}}" in roots}
        files: dict[str, dict[str, str]] = {ref: {} for ref in sound}
        size = dict.fromkeys(sound, 0)
        level = [(ref, "", roots[f"{refs[ref]}^{{tree}}"]) for ref in sound]
        while level:
            inner = []
            for ref, path, entries in level:
                size[ref] += len(entries)
                if ref != _TIP and (
                    size[ref] > _WRITE_MOST
                    or path.count("/") > _DEEPEST
                    or not all(_is_sound(path, name, mode) for name, (mode, _) in entries.items())
                ):
                    sound.discard(ref)
                for name, (mode, oid) in entries.items() if ref in sound else ():
                    if mode == TREE:
                        inner.append((ref, f"{path}{name}/", oid))
                    else:
                        files[ref][path + name] = oid
            inner = [found for found in inner if found[0] in sound]
            trees = self._trees(oid for _, _, oid in inner)
            level = [(ref, path, trees[oid]) for ref, path, oid in inner]
        branch = files.pop(_TIP, {})
        self._check_format(branch.pop("FORMAT", None))
        pending = {}
        for ref, found in sorted((ref, found) for ref, found in files.items() if ref in sound):
            remote = ref.replace("refs/store/inbox-heads/", f"refs/heads/{self._branch}-inbox/")
            remote = remote.replace("refs/store/inbox/", f"refs/{self._branch}/inbox/")
            pending[remote] = (refs[ref], {k.removeprefix("new/"): v for k, v in found.items()})
        return _View(
            tip=tip,
            root=roots[f"{tip}^{{tree}}"] if tip else {},
            folded={k[len("new/") :]: v for k, v in branch.items() if k.startswith("new/")},
            logs={k: v for k, v in branch.items() if not k.startswith("new/")},
            pending=pending,
        )

    def _check_format(self, oid: str | None) -> None:
        if oid in (None, object_id("blob", FORMAT, self._format)):
            return
        data = self._blobs([oid])[oid]
        if data != FORMAT:
            raise StoreError(
                f"the branch '{self._branch}' is of another format: {data[:60].decode(errors='replace').strip()!r}",
                hint="use the version of ciplug that wrote it, or a newer one",
            )

    def _blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
        """The blobs of these ids, those that are not here yet by one fetch."""
        wanted = sorted(set(oids))
        found = git.read_objects(self._repository, wanted)
        missing = [oid for oid in wanted if oid not in found]
        if missing:
            failure = self._fetch("--stdin", wanted=("\n".join(missing) + "\n").encode())
            if failure:
                raise StoreError(f"cannot read {len(missing)} objects of the store: {failure}")
            found.update(git.read_objects(self._repository, missing))
            if lost := [oid for oid in missing if oid not in found]:
                raise StoreError(f"the store lacks {len(lost)} objects that it names, {lost[0]} first")
        return {oid: data for oid, (_, data) in found.items()}


class _View:
    """What one fetch saw."""

    def __init__(
        self,
        *,
        tip: str | None,
        root: Mapping[str, tuple[str, str]],
        folded: dict[str, str],
        logs: dict[str, str],
        pending: dict[str, tuple[str, dict[str, str]]],
    ) -> None:
        self.tip = tip
        self.root = root
        self.folded = folded
        self.logs = logs
        self.pending = pending
        self.objects = dict(folded)
        for _, files in pending.values():
            for key, oid in files.items():
                self.objects.setdefault(key, oid)

    def sequence(self, log: str) -> list[int]:
        prefix = f"{log}/"
        names = (path[len(prefix) :] for path in self.logs if path.startswith(prefix))
        return sorted(int(name.removesuffix(".json")) for name in names if re.fullmatch(r"\d+\.json", name))


def _entry_path(log: str, seq: int) -> str:
    return f"{log}/{seq:06d}.json"


def _folders(key: str) -> Iterator[str]:
    """`a` and `a/b` of `a/b/c`."""
    at = key.find("/")
    while at >= 0:
        yield key[:at]
        at = key.find("/", at + 1)


def _is_sound(folder: str, name: str, mode: str) -> bool:
    """Whether a writer of ours could have put this entry into its tree: new/, and files and folders below it."""
    named = name.isprintable() and "/" not in name and name.lower() not in ("", ".", "..", ".git")
    return named and (mode == TREE or mode in FILES if folder else name == "new" and mode == TREE)


def _lost_race(result: git.PushResult) -> bool:
    return bool(result.rejected) and all(
        any(words in reason for words in _LOST_RACE) or "atomic" in reason for reason in result.rejected.values()
    )
