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

import contextlib
import random
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.errors import Cause, Conflict, GitKind, StoreError, counted
from ciplug.git.credentials import redact
from ciplug.git.environment import Config
from ciplug.git.push import PushResult
from ciplug.records.canonical import digest
from ciplug.stores.base import PENDING_ALARM, Head, Problem, Trial, Visit
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import entry_path, is_readable
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.pending import most_of, too_large
from ciplug.stores.git.refs import Refs
from ciplug.stores.git.remote import in_the_way

# What only readers and folds need is imported when they run: a job that records does neither.
if TYPE_CHECKING:
    from ciplug.records.columns import Columns
    from ciplug.stores.git.snapshot import Snapshot
    from ciplug.stores.git.tags import Mirror, NewTag
    from ciplug.stores.git.view import View

_LOG_TRIES, _STATE_TRIES = 30, 3
_NAMED_MOST = 5


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
        self._standing_notes = tuple(notes)
        self.notes = list(self._standing_notes)
        self._refs = Refs(branch)
        self._may_fold = may_fold and not refusal and not offline
        self._fold_tried = False
        self._seen: Snapshot | None = None
        self.mirror: Mirror | None = None
        """Who knows the tags that go with the next entry of a log; None: it has none."""

    def refresh(self) -> None:
        self._seen = None
        self._fold_tried = False
        self.notes = list(self._standing_notes)

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
            tree = written.nested_tree({f"new/{key}": written.blob(data) for key, data in objects.items()})
            # A fixed date: the same objects are the same commit, whenever they are sent.
            commit = written.commit(tree, (), f"ciplug: {len(objects)} objects\n\n[skip ci]", 0)
            result = self._remote.create(side, commit, *self._refs.inbox(commit))
        self._seen = None
        if result.ok:
            return
        refs = self._refs.inbox(commit)
        with self._remote.locked():
            self._remote.with_cache(lambda: self._remote.check_way(refs[0]))
        if result.lost_race:
            # The name is that of this very commit.
            raise in_the_way([ref for ref in refs if result.refuses(ref, *GitKind)] or [refs[0]])
        raise self._remote.refused(result, self._refs.push_hint)

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        sent: Head | None = None
        for attempt in range(_LOG_TRIES):
            with self._remote.locked():
                # What the last question saw is enough: if it is out of date, the push is refused.
                seen = None if attempt else self._seen
                snapshot = seen or self._fetch()
                # After a lost answer the entry may be in the log.
                if sent and snapshot.holds(log, sent):
                    return sent
                if snapshot.head(log) != expected and seen:
                    seen, snapshot = None, self._fetch()
                if snapshot.view.kept_logs.of(log):
                    raise self._has_lost(log)
                if (head := snapshot.head(log)) != expected:
                    raise Conflict(f"{log} has moved on", head=head)
                sent = Head(1 if head is None else head.seq + 1, digest(entry))
                result, view = self._push_entry(snapshot, entry_path(log, sent.seq), entry)
                self._seen = snapshot.with_entry(view) if result.ok else None
            if result.ok:
                self.mirror = None
                return sent
            if not (seen or result.lost_race or result.network):
                raise self._remote.refused(result, self._refs.push_hint)
            if attempt == 1 and result.lost_race:
                self._remote.check_way(*self._refs.written)
            time.sleep(random.uniform(0, 0.05 * min(attempt + 1, 10)))
        raise StoreError(f"{log}: {_LOG_TRIES} attempts, and each time another writer was first", cause=Cause.CONFLICT)

    def _has_lost(self, log: str) -> StoreError:
        return StoreError(
            f"the branch '{self._refs.branch}' has lost entries of {log}, or somebody has pushed others to "
            f"{self._refs.keep[0]}: nothing is added to it before somebody has decided",
            hint="look at them: ciplug fsck; put them back: ciplug fsck --restore-registry; or throw them away: "
            f"git push REMOTE :{self._refs.keep[0]}",
            cause=Cause.LOST,
        )

    def kept_entries(self) -> dict[str, bytes]:
        with self._snapshot() as snapshot:
            kept = snapshot.view.kept_logs.entries
            blobs = self._remote.blobs(kept.values())
            return {path: blobs[oid] for path, oid in sorted(kept.items())}

    def lost_logs(self, *logs: str) -> list[str]:
        with self._snapshot() as snapshot:
            return [log for log in snapshot.view.kept_logs.logs if not logs or log in logs]

    def restore_entries(self, entries: Mapping[str, bytes]) -> None:
        from ciplug.stores.git.tip import Change, push_tip

        with self._remote.locked():
            snapshot = self._fetch()
            kept = snapshot.view.kept_logs.entries
            written = LooseObjects(self._remote.repository, self._remote.format)
            content = snapshot.view.content.copy()
            blobs = {path: written.blob(data) for path, data in entries.items()}
            if not blobs.items() <= kept.items():
                raise Conflict("the store was written meanwhile", hint="look again: ciplug fsck")
            content.logs.update(blobs)
            change = Change(content, f"ciplug: restore {len(blobs)} entries")
            result, _ = push_tip(self._remote, self._refs, snapshot, written, change)
            self._seen = None
        if not result.ok:
            raise self._remote.refused(result, self._refs.push_hint)

    def _push_entry(self, snapshot: Snapshot, path: str, entry: bytes) -> tuple[PushResult, View]:
        from ciplug.stores.git.log_entries import close_blocks
        from ciplug.stores.git.tags import borrowed, refusal_of, write_tags
        from ciplug.stores.git.tip import Change, push_tip

        written = LooseObjects(self._remote.repository, self._remote.format)
        content = snapshot.view.content.copy()
        content.logs[path] = written.blob(entry)
        for block, data in close_blocks(self._remote, content, path.rpartition("/")[0]).items():
            content.blocks[block.path] = written.blob(data)
        change = Change(content, f"ciplug: {path}")
        mirror = self.mirror
        if mirror is None or not (tags := write_tags(written, mirror.tags(entry))):
            return push_tip(self._remote, self._refs, snapshot, written, change)
        with borrowed(self._remote.env, self._remote.repository, mirror) as env, self._remote.with_env(env):
            pushed = push_tip(self._remote, self._refs, snapshot, written, replace(change, tags=tags))
        if why := refusal_of(pushed[0], tags):
            pushed = push_tip(self._remote, self._refs, snapshot, written, change)
            # Who has lost a race finds the tags of the winner in the way. The event is made anew then, with other tags.
            if pushed[0].ok:
                mirror.refused([ref.removeprefix("refs/tags/") for ref in tags], why)
        return pushed

    def state(self, log: str) -> bytes | None:
        with self._snapshot() as snapshot:
            oid = snapshot.view.content.states.get(log)
            return self._remote.sound_blobs([oid]).get(oid) if oid else None

    def put_state(self, log: str, data: bytes) -> None:
        from ciplug.stores.git.tip import Change, push_tip

        for attempt in range(_STATE_TRIES):
            with self._remote.locked():
                snapshot = (None if attempt else self._seen) or self._fetch()
                written = LooseObjects(self._remote.repository, self._remote.format)
                content = snapshot.view.content.copy()
                content.states[log] = written.blob(data)
                result, view = push_tip(
                    self._remote, self._refs, snapshot, written, Change(content, f"ciplug: state of {log}")
                )
                self._seen = snapshot.with_entry(view) if result.ok else None
            if result.ok or not (result.lost_race or result.network):
                break
        if not result.ok:
            raise self._remote.refused(result, self._refs.push_hint)

    def restore_tags(self, mirror: Mirror, tags: Sequence[NewTag], found: Mapping[str, str]) -> PushResult:
        """Put tags where they belong; those of `found`, ref → object, are moved if they are still there."""
        from ciplug.stores.git.moves import move_refs
        from ciplug.stores.git.tags import borrowed, write_tags

        with self._remote.locked():
            self._fetch()
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
            snapshot = self._fetch()
            folded = folding.fold(self._remote, self._refs, snapshot)
            if not folded and snapshot.view.pending:
                self._remote.check_way(*self._refs.written)
            # Whoever compacts a store that is gone has seen the note, and begins a new one.
            if snapshot.view.gone:
                self._remote.remember(None)
            lost = snapshot.view.lost
            self.notes = [note for note in self.notes if note not in map(_restorable, lost)]
            self.notes += [f"{sentence}: restored" for sentence in lost]
            if folded and snapshot.view.revived:
                self.notes.remove(_revived(snapshot.view))
        return folded

    def drop(self, keys: Collection[str], reason: str) -> int:
        return self._drop(keys, reason, erase=False)

    def erase(self, keys: Collection[str], reason: str) -> int:
        return self._drop(keys, reason, erase=True)

    def erased_among(self, keys: Iterable[str]) -> set[str]:
        from ciplug.stores.git.erasing import without_erased

        with self._snapshot() as snapshot:
            named = dict.fromkeys(keys)
            return named.keys() - without_erased(named, snapshot.view.erased).keys()

    def _drop(self, keys: Collection[str], reason: str, *, erase: bool) -> int:
        from ciplug.stores.git import folding
        from ciplug.stores.git.dropping import drop

        with self._remote.locked():
            snapshot = self._fetch()
            while snapshot.view.pending and folding.fold(self._remote, self._refs, snapshot):
                snapshot = self._fetch()
            dropped = drop(self._remote, self._refs, snapshot, keys, reason, erase=erase)
            if dropped.in_history:
                self.notes.append(
                    "the host refuses that the branch begins a new history: what was dropped can still be found in the "
                    "old one"
                )
            return dropped.objects

    # Reading

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        with self._snapshot() as snapshot:
            return snapshot.read(keys)

    def keys(self, *prefixes: str) -> list[str]:
        with self._snapshot() as snapshot:
            return sorted(snapshot.keys(prefixes))

    def head(self, log: str) -> Head | None:
        with self._snapshot() as snapshot:
            return snapshot.head(log)

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        with self._snapshot() as snapshot:
            return snapshot.entries(log, after, until)

    def logs(self, prefix: str) -> list[str]:
        with self._snapshot() as snapshot:
            return snapshot.logs(prefix)

    def segments(self) -> list[str]:
        with self._snapshot() as snapshot:
            return sorted(snapshot.view.content.segments)

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        with self._snapshot() as snapshot:
            return snapshot.columns(segments)

    def loose(self) -> list[str]:
        with self._snapshot() as snapshot:
            return sorted(snapshot.loose)

    @property
    def pending(self) -> int:
        """Writes that no fold has taken yet."""
        with self._snapshot() as snapshot:
            return len(snapshot.view.pending)

    @contextmanager
    def _snapshot(self) -> Iterator[Snapshot]:
        """The snapshot that this process has, else a new one; the cache is locked meanwhile.

        A reader that finds much pending folds it, if it may; what it saw before is still true, as a fold changes no
        fact.
        """
        with self._remote.locked():
            if self._seen is None:
                snapshot = self._fetch()
                self._fold_if_many(snapshot)
                self._seen = snapshot
            yield self._seen

    def _fold_if_many(self, snapshot: Snapshot) -> None:
        from ciplug.stores.git import folding

        waiting = len(snapshot.view.pending)
        if waiting >= folding.FOLD_AT and self._may_fold and not self._fold_tried:
            self._fold_tried = True
            with contextlib.suppress(StoreError):
                waiting -= folding.fold(self._remote, self._refs, snapshot)
        if waiting >= PENDING_ALARM:
            self._note(
                f"{waiting} writes wait to be folded into the branch '{self._refs.branch}', which makes every "
                "reader slower: run `ciplug compact`, and allow pushes to that branch"
            )

    def _fetch(self) -> Snapshot:
        """Fetch, and read every name."""
        from ciplug.stores.git.restore import lost_entries
        from ciplug.stores.git.snapshot import Snapshot
        from ciplug.stores.git.view import fetch_view

        self._seen = None
        view = self._remote.with_cache(lambda: fetch_view(self._remote, self._refs))
        for sentence in view.lost:
            self._note(_restorable(sentence))
        for sentence in lost_entries(self._refs.branch, view.kept_logs):
            self._note(f"{sentence}; see `ciplug fsck`")
        for key in list(view.contested)[:_NAMED_MOST]:
            self._note(f"{key} is not read: pending writes claim it with different bytes; see `ciplug fsck`")
        if len(view.contested) > _NAMED_MOST:
            self._note(f"{len(view.contested) - _NAMED_MOST} more keys are claimed with different bytes")
        if view.gone:
            self._note(self._what_is_gone(view.gone))
        if view.revived:
            self._note(_revived(view))
        if view.postponed:
            self._note(
                f"{counted(len(view.postponed), 'pending write')} with very many files, {view.postponed[0]} first, are "
                "not read: look at them, and delete their refs, or run `ciplug compact`"
            )
        return Snapshot(self._remote, view, self._note)

    def _what_is_gone(self, tip: str) -> str:
        return (
            f"the store that was here is gone: somebody has deleted {self._refs.tip} and {self._refs.keep[0]}; someone "
            f"with a full clone restores it with: git push REMOTE {tip}:{self._refs.tip}; if this was intended, "
            "`ciplug compact` starts a new one"
        )

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    # Checking

    def check(self, *, repair: bool = False, visit: Visit | None = None) -> list[Problem]:
        from ciplug.stores.git import folding
        from ciplug.stores.git.check import find_problems
        from ciplug.stores.git.tip import Change, push_tip

        with self._remote.locked():
            snapshot = self._remote.renewed(self._fetch)
            view = snapshot.view
            findings = find_problems(self._remote, self._refs, snapshot, visit or (lambda _: None))
            problems = list(findings.problems)
            if view.gone:
                problems.append(Problem(self._refs.tip, self._what_is_gone(view.gone)))
            problems += self._in_the_way()
            if not repair:
                self._seen = snapshot
                return problems
            problems = self._set_aside(view, problems)
            if not (findings.index or findings.columns or view.lost):
                return problems
            if view.lost:
                folding.fold(self._remote, self._refs, snapshot)
                snapshot = self._fetch()
                view = snapshot.view
            if not (findings.index or findings.columns):
                return list(map(_repaired, problems))
            written = LooseObjects(self._remote.repository, self._remote.format)
            content = view.content.copy()
            content.columns.update({name: written.blob(data) for name, data in findings.columns.items()})
            change = Change(content, "ciplug: repair", index=findings.index or None)
            result, _ = push_tip(self._remote, self._refs, snapshot, written, change)
            self._seen = None
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
        self._seen = None
        return [
            problem._replace(repaired=problem.where in done, repairable=problem.where in done)
            if problem.where in view.unsound
            else problem
            for problem in problems
        ]

    def try_writes(self) -> list[Trial]:
        from ciplug.stores.git.trial import try_writes

        with self._remote.locked():
            return try_writes(self._remote, self._refs, self._fetch().view)


def _repaired(problem: Problem) -> Problem:
    return problem._replace(repaired=True) if problem.repairable else problem


def _revived(view: View) -> str:
    count = counted(len(view.revived), "write")
    return f"{count} with objects of erased runs came again, and are not read: `ciplug compact` deletes them"


def _restorable(sentence: str) -> str:
    return f"{sentence}; `ciplug compact` restores them"
