"""The git store: a write is one push to a ref of its own, a reader sees the branch and what is pending.

Layout (format 1)
    refs/<branch>/inbox/<commit>    a parentless commit with tree new/<key>: one write, until it is folded
    refs/<branch>/keep/tip          the last tip of the branch that a writer of ours has made
    refs/heads/<branch>-inbox/<commit>, refs/heads/<branch>-keep/tip
                                    the same, on a host that refuses refs outside refs/heads
    refs/heads/<branch>             FORMAT, new/<key> (folded writes), segments/ (see `segments`), and
                                    <log>/<seq>.json (logs, by compare-and-swap; older entries: see `blocks`),
                                    states/<log>.lines
    refs/heads/<branch>-series      what is not a line of JSON, once its write is in a segment: <segment>/<key>

Writers do not wait for each other, so any number may record at once; only logs and folds move the branch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.errors import Cause, GitKind, StoreError
from ciplug.git.credentials import redact
from ciplug.git.environment import Config
from ciplug.git.push import PushResult
from ciplug.stores.base import Head, Problem, Trial, Visit
from ciplug.stores.files import FilesApart
from ciplug.stores.git.cached_remote import CachedRemote, write_commit
from ciplug.stores.git.content import is_readable
from ciplug.stores.git.log import GitLog
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.pending import most_of, too_large
from ciplug.stores.git.reader import GitReader, restorable, revived_note
from ciplug.stores.git.refs import Refs
from ciplug.stores.git.remote import in_the_way

# What only readers and folds need is imported when they run: a job that records does neither.
if TYPE_CHECKING:
    from ciplug.records.columns import Columns
    from ciplug.stores.files import Files, Tell
    from ciplug.stores.git.tags import Mirror, NewTag
    from ciplug.stores.git.view import View


class GitStore:
    """A LogStore on a branch of a git repository, reached by `url`, which may be a path."""

    def __init__(
        self,
        url: str,
        *,
        uri: str,
        branch: str,
        cache: Path,
        config: Config,
        token: str | None = None,
        object_format: str = "sha1",
        may_fold: bool = True,
        refusal: str | None = None,
        offline: bool = False,
        notes: Iterable[str] = (),
    ) -> None:
        """
        Args:
            url: what git pushes to and fetches from.
            uri: how the user named this store; credentials in it are not kept.
            cache: a folder of ours, which may be emptied at any time.
            config: git's resolved configuration, for the credentials in it.
            token: takes the place of the credentials in `config`.
            refusal: why nothing can be pushed, where the configuration wants that.
            offline: the store is read as the last fetch left it, and nothing is written.
            may_fold: False in a job that must not write the store: then its readers fold nothing.
            notes: sentences on this store that are true whatever it holds.
        """
        self.uri = redact(uri)
        self._remote = CachedRemote(
            url,
            cache=cache,
            name=branch,
            config=config,
            token=token,
            object_format=object_format,
            refusal=refusal,
            offline=offline,
        )
        self.address = f"{self._remote.address}#{branch}"
        self._refs = Refs(branch)
        may_fold = may_fold and not refusal and not offline
        self._reader = GitReader(self._remote, self._refs, may_fold=may_fold, notes=notes)
        self._log = GitLog(self._remote, self._refs, self._reader)

    @property
    def notes(self) -> list[str]:
        return self._reader.notes

    def refresh(self) -> None:
        self._reader.refresh()

    # Writing

    def add(self, objects: Mapping[str, bytes]) -> None:
        """One commit, one push, to a ref that is named by the commit: a repeated push is the same push.

        So nobody else's write can stand under that name. Of two pending writes with different bytes under one key,
        neither is read: `notes` and `check` name both.
        """
        if not is_readable(objects):
            raise StoreError(
                f"a write of {len(objects):,} objects is too large, or its keys too deep",
                hint="send fewer at once",
                cause=Cause.TOO_LARGE,
            )
        if large := too_large(objects):
            key, most = large[0], most_of(large[0])
            raise StoreError(
                f"{key} has {len(objects[key]):,} bytes; readers take at most {most:,} of what is not folded",
                hint="log fewer values, or keep it as a file: --artifact",
                cause=Cause.TOO_LARGE,
            )
        with self._remote.side() as (side, written):
            commit = write_commit(written, objects)
            result = self._remote.create(side, commit, *self._refs.inbox(commit))
        self._reader.seen = None
        if result.ok:
            self._remote.keep(commit, objects, self._refs.our_inbox(commit))
            return
        refs = self._refs.inbox(commit)
        with self._remote.locked():
            self._remote.with_cache(lambda: self._remote.check_way(refs[0]))
        if result.lost_race:
            # The name is that of this very commit.
            raise in_the_way([ref for ref in refs if result.refuses(ref, *GitKind)] or [refs[0]])
        raise self._remote.refused(result, self._refs.push_hint)

    def add_with(self, objects: Mapping[str, bytes], files: Files, paths: Mapping[str, Path], tell: Tell) -> None:
        from ciplug.stores.git.files import GitFiles

        if not isinstance(files, GitFiles) or not files.is_beside(self._remote, self._refs.branch):
            raise FilesApart
        if not is_readable(objects) or too_large(objects):
            raise FilesApart
        *before, batch = [*files.batches(paths, tell)] or [{}]
        for one in before:
            files.push(one, tell)
        if not batch:
            self.add(objects)
            return
        with self._remote.side() as (side, written):
            of_files, size = files.write(side, written, batch, 0)
            commit = write_commit(written, objects)
            places = {of_files: files.places(of_files), commit: self._refs.inbox(commit)}
            result = self._remote.create_together(side, places)
        self._reader.seen = None
        if result.ok:
            tell(size)
            self._remote.keep(commit, objects, self._refs.our_inbox(commit))
            files.fold_at_times(of_files)
        elif result.failure and GitKind.NO_ATOMIC not in result.failure.kinds:
            raise self._remote.refused(result, self._refs.push_hint)
        else:
            # One after the other shows which of them the host refuses, and it may take both.
            raise FilesApart

    def restore_tags(self, mirror: Mirror, tags: Sequence[NewTag], found: Mapping[str, str]) -> PushResult:
        """Put tags where they belong; those of `found`, ref → object, are moved if they are still there."""
        from ciplug.stores.git.moves import move_refs
        from ciplug.stores.git.tags import borrowed, write_tags

        with self._remote.locked():
            self._reader.fetch()
            written = LooseObjects(self._remote.repository, self._remote.format)
            moves = {ref: (found.get(ref), oid) for ref, oid in write_tags(written, tags).items()}
            with borrowed(self._remote.env, self._remote.repository, mirror) as env, self._remote.with_env(env):
                return move_refs(self._remote, moves)

    def tag_objects(self, oids: Collection[str]) -> dict[str, tuple[str, bytes]]:
        """Object → type and content, of tags of the remote; those that it does not give are left out."""
        from ciplug.git.objects import read_objects

        with self._remote.locked():
            known = read_objects(self._remote.repository, oids)
            if missing := sorted(set(oids) - known.keys()):
                self._remote.fetch("--depth=1", oids=missing, filter="tree:0")
                known.update(read_objects(self._remote.repository, missing))
            return known

    def compact(self) -> int:
        """Fold what is pending into the branch, and close a segment; 0 also where another was faster."""
        from ciplug.stores.git import folding

        with self._remote.locked():
            snapshot = self._reader.fetch()
            folded = folding.fold(self._remote, self._refs, snapshot)
            if not folded and snapshot.view.pending:
                self._remote.check_way(*self._refs.written)
            # Whoever compacts a store that is gone has seen the note, and begins a new one.
            if snapshot.view.gone:
                self._remote.remember(None)
            lost = snapshot.view.lost
            notes = [note for note in self.notes if note not in map(restorable, lost)]
            notes += [f"{sentence}: restored" for sentence in lost]
            if folded and snapshot.view.revived:
                notes.remove(revived_note(snapshot.view))
            self._reader.notes = notes
        return folded

    def drop(self, keys: Collection[str], reason: str) -> int:
        return self._drop(keys, reason, erase=False)

    def erase(self, keys: Collection[str], reason: str) -> int:
        return self._drop(keys, reason, erase=True)

    def erased_among(self, keys: Iterable[str]) -> set[str]:
        from ciplug.stores.git.erasing import without_erased

        with self._reader.snapshot() as snapshot:
            named = dict.fromkeys(keys)
            return named.keys() - without_erased(named, snapshot.view.erased).keys()

    def _drop(self, keys: Collection[str], reason: str, *, erase: bool) -> int:
        from ciplug.stores.git import folding
        from ciplug.stores.git.dropping import drop

        with self._remote.locked():
            snapshot = self._reader.fetch()
            while snapshot.view.pending and folding.fold(self._remote, self._refs, snapshot):
                snapshot = self._reader.fetch()
            dropped = drop(self._remote, self._refs, snapshot, keys, reason, erase=erase)
            if dropped.in_history:
                self.notes.append(
                    "the host refuses to replace the history of the branch: what was dropped can still be found in it"
                )
            return dropped.objects

    # Reading

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        with self._reader.snapshot() as snapshot:
            return snapshot.read(keys)

    def keys(self, *prefixes: str) -> list[str]:
        with self._reader.snapshot() as snapshot:
            return sorted(snapshot.keys(prefixes))

    def segments(self) -> list[str]:
        with self._reader.snapshot() as snapshot:
            return sorted(snapshot.view.content.segments)

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        with self._reader.snapshot() as snapshot:
            return snapshot.columns(segments)

    def loose(self) -> list[str]:
        with self._reader.snapshot() as snapshot:
            return sorted(snapshot.loose)

    @property
    def pending(self) -> int:
        """Writes that no fold has taken yet."""
        with self._reader.snapshot() as snapshot:
            return len(snapshot.view.pending)

    # Logs

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        return self._log.append(log, expected, entry)

    def head(self, log: str) -> Head | None:
        return self._log.head(log)

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        return self._log.entries(log, after, until)

    def logs(self, prefix: str) -> list[str]:
        return self._log.logs(prefix)

    def kept_entries(self) -> dict[str, bytes]:
        return self._log.kept_entries()

    def lost_logs(self, *logs: str) -> list[str]:
        return self._log.lost_logs(*logs)

    def restore_entries(self, entries: Mapping[str, bytes]) -> None:
        self._log.restore_entries(entries)

    def state(self, log: str) -> bytes | None:
        return self._log.state(log)

    def put_state(self, log: str, data: bytes) -> None:
        self._log.put_state(log, data)

    @property
    def mirror(self) -> Mirror | None:
        return self._log.mirror

    @mirror.setter
    def mirror(self, mirror: Mirror | None) -> None:
        self._log.mirror = mirror

    # Checking

    def check(self, *, repair: bool = False, visit: Visit | None = None) -> list[Problem]:
        from ciplug.stores.git import folding
        from ciplug.stores.git.check import find_problems
        from ciplug.stores.git.tip import Change, push_tip

        with self._remote.locked():
            snapshot = self._remote.renewed(self._reader.fetch)
            view = snapshot.view
            findings = find_problems(self._remote, self._refs, snapshot, visit or (lambda _: None))
            problems = list(findings.problems)
            if view.gone:
                problems.append(Problem(self._refs.tip, self._reader.what_is_gone(view.gone)))
            problems += self._in_the_way()
            if not repair:
                self._reader.seen = snapshot
                return problems
            problems = self._set_aside(view, problems)
            if not (findings.index or findings.columns or view.lost):
                return problems
            if view.lost:
                folding.fold(self._remote, self._refs, snapshot)
                snapshot = self._reader.fetch()
                view = snapshot.view
            if not (findings.index or findings.columns):
                return list(map(_repaired, problems))
            written = LooseObjects(self._remote.repository, self._remote.format)
            content = view.content.copy()
            content.columns.update({name: written.blob(data) for name, data in findings.columns.items()})
            change = Change(content, "ciplug: repair", index=findings.index or None)
            result, _ = push_tip(self._remote, self._refs, snapshot, written, change)
            self._reader.seen = None
        if not result.ok:
            raise self._remote.refused(result, self._refs.push_hint)
        return list(map(_repaired, problems))

    def _in_the_way(self) -> list[Problem]:
        """The refs of others beside which ours cannot exist, also before anything is written there."""
        blocking = [] if self._remote.offline else self._remote.in_the_way(*self._refs.every)
        return [
            Problem(ref, f"it stands in the way of the store: delete it, or move it: git push REMOTE :{ref}")
            for ref in blocking
        ]

    def _set_aside(self, view: View, problems: list[Problem]) -> list[Problem]:
        """Move the refs that no writer of ours has pushed out of the readers' way; a refusal leaves them."""
        done: set[str] = set()
        for ref, oid in view.unsound.items():
            specs = [f"{oid}:{self._refs.aside(ref)}", f":{ref}"]
            if self._remote.push(self._remote.repository, specs, [f"--force-with-lease={ref}:{oid}"]).ok:
                done.add(ref)
        self._reader.seen = None
        return [
            problem._replace(repaired=problem.where in done, repairable=problem.where in done)
            if problem.where in view.unsound
            else problem
            for problem in problems
        ]

    def try_writes(self) -> list[Trial]:
        from ciplug.stores.git.write_trial import try_writes

        with self._remote.locked():
            return try_writes(self._remote, self._refs, self._reader.fetch().view)


def _repaired(problem: Problem) -> Problem:
    return problem._replace(repaired=True) if problem.repairable else problem
