"""The git store: a write is one push to a ref of its own, a reader sees the branch and what is pending.

Layout (format 1)
    refs/<branch>/inbox/<id>        a parentless commit with tree new/<key>: one write, until it is folded
    refs/<branch>/keep/tip          the last tip of the branch that a writer of ours has made
    refs/heads/<branch>-inbox/<id>, refs/heads/<branch>-keep/tip
                                    the same, on a host that refuses refs outside refs/heads
    refs/heads/<branch>             FORMAT, new/<key> (folded writes), segments/ (see git_segments), and
                                    <log>/<seq>.json (logs, by compare-and-swap)
    refs/heads/<branch>-series      what is no line of JSON, once its write is in a segment: <segment>/<key>

Nobody writes in another's way, so any number may record at once; only logs and folds move the branch.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.errors import Conflict, RecordError, StoreError
from ciplug.git.credentials import redact
from ciplug.git.environment import Config
from ciplug.git.push import PushResult
from ciplug.records.canonical import digest
from ciplug.stores.base import PENDING_ALARM, Head, Problem, Trial, group_of
from ciplug.stores.git import segments as git_segments
from ciplug.stores.git.objects import TREE, Objects
from ciplug.stores.git.remote import GitRemote, is_passing, lost_race
from ciplug.stores.git.view import Content, Refs, View, entry_path, folders, is_readable, look, root_tree, unfoldable

if TYPE_CHECKING:
    from ciplug.records.columns import Columns

FOLD_AT = 64
FOLD_MOST = 1000
SEGMENT_AT = 1000
_LOG_TRIES = 30


class GitBranchStore:
    """A Store on a branch of a git repository, reached by `url`, which may be a path."""

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
        notes: Iterable[str] = (),
    ) -> None:
        """
        Args:
            url: what git is told to push to and to fetch from.
            uri: how the user named this store; credentials in it are not kept.
            cache: a folder of ours, which may be emptied at any time.
            config: git's resolved configuration, for the credentials in it.
            token: takes the place of the credentials in `config`.
            may_fold: False in a job that must not write the store: then its readers fold nothing.
            notes: sentences on this store that are true whatever it holds.
        """
        self.uri = redact(uri)
        self._remote = GitRemote(url, cache=cache, name=branch, config=config, token=token, object_format=object_format)
        self.address = f"{self._remote.address}#{branch}"
        self._standing_notes = tuple(notes)
        self.notes = list(self._standing_notes)
        self._refs = Refs(branch)
        self._view: View | None = None
        self._loose: dict[str, str] | None = None
        self._index: dict[str, bytes] | None = None
        self._may_fold = may_fold
        self._fold_tried = False

    def refresh(self) -> None:
        self._forget()
        self._fold_tried = False
        self.notes = list(self._standing_notes)

    # Writing

    def add(self, objects: Mapping[str, bytes]) -> None:
        """One commit, one push, to a ref whose name follows from the keys: a repeated push is the same push."""
        if not is_readable(objects):
            raise StoreError(
                f"a write of {len(objects):,} objects is too large, or its keys too deep", hint="send fewer at once"
            )
        name = hashlib.sha256("\n".join(sorted(objects)).encode()).hexdigest()[:32]
        with self._remote.side() as (side, written):
            tree = written.nested_tree({f"new/{key}": written.blob(data) for key, data in objects.items()})
            # A fixed date: the same objects are the same commit, whenever they are sent.
            commit = written.commit(tree, (), f"ciplug: {len(objects)} objects\n\n[skip ci]", 0)
            result = self._remote.create(side, commit, *self._refs.inbox(name))
        self._forget()
        if result.ok:
            return
        if lost_race(result):
            raise Conflict(f"the store holds other bytes under the same key: {min(objects)}")
        raise self._refused(result)

    def _refused(self, result: PushResult) -> StoreError:
        branch = self._refs.branch
        return self._remote.refused(
            result,
            f"allow pushes to refs/{branch}/* and to the branches '{branch}' and '{branch}-series' "
            "for the account that this job runs as",
        )

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        sent: Head | None = None
        for attempt in range(_LOG_TRIES):
            with self._remote.locked():
                # What the last question saw will do: if it is out of date, the push is refused.
                seen = None if attempt else self._view
                view = seen or self._fetch()
                # After a lost answer the entry may stand.
                if sent and self._holds(view, log, sent):
                    return sent
                now = self._head(view, log)
                if now != expected and seen:
                    seen, view = None, self._fetch()
                    now = self._head(view, log)
                if now != expected:
                    raise Conflict(f"{log} has moved on", head=now)
                sent = Head(1 if now is None else now.seq + 1, digest(entry))
                written = Objects(self._remote.repository, self._remote.format)
                path = entry_path(log, sent.seq)
                content = view.content.copy()
                content.logs[path] = written.blob(entry)
                loose, index = self._loose, self._index
                result, after = self._move_branch(view, written, content, f"ciplug: {path}")
                if result.ok:
                    # An entry changes nothing else.
                    self._view, self._loose, self._index = after, loose, index
                    return sent
            if not (seen or lost_race(result) or is_passing(result.failure)):
                raise self._refused(result)
            time.sleep(random.uniform(0, 0.05 * min(attempt + 1, 10)))
        raise StoreError(f"{log}: {_LOG_TRIES} attempts, and each time another writer was first")

    def _holds(self, view: View, log: str, head: Head) -> bool:
        oid = view.content.logs.get(entry_path(log, head.seq))
        return oid is not None and digest(self._remote.blobs([oid])[oid]) == head.digest

    def _move_branch(
        self,
        view: View,
        written: Objects,
        content: Content,
        message: str,
        *,
        folded: Iterable[tuple[str, str]] = (),
        series: tuple[str | None, str] | None = None,
        index: bytes | None = None,
        parents: tuple[str, ...] | None = None,
    ) -> tuple[PushResult, View]:
        """Push a new tip, keep it, and delete what is `folded` (ref, commit), if nothing has moved since `view`.

        Returns the result, and the view as it is where that is a success.

        Args:
            series: the tips of the series branch, before and after.
            index: the INDEX that belongs to `content`; None: the one that is there.
            parents: of the new tip, in place of the view's.
        """
        if index is None:
            index = git_segments.write_index(self._indexed(view)) if content.segments else b""
        tree = root_tree(written, content, index)
        commit = written.commit(
            tree, view.parents if parents is None else parents, f"{message}\n\n[skip ci]", int(time.time())
        )
        self._forget()
        moves: dict[str, tuple[str | None, str | None]] = {}
        if series and series[0] != series[1]:
            moves[self._refs.series] = series
        moves[self._refs.tip] = (view.tip, commit)
        first = list(moves)
        kept, before = view.keep
        moves[kept] = (before, commit)
        moves.update({ref: (oid, None) for ref, oid in folded})
        result = self._remote.move(moves, first=first, spare=dict([self._refs.keep]) if before is None else None)
        return result, replace(view, tip=commit, keep=(kept, commit), content=content, parents=(commit,), lost=())

    def compact(self) -> int:
        """Fold what is pending into the branch, and close a segment; 0 also where another was faster."""
        with self._remote.locked():
            view = self._fetch()
            folded = self._fold(view)
            # Whoever compacts a store that is gone knows of it by now, and begins anew.
            if view.gone:
                self._remote.remember(None)
            self.notes = [note for note in self.notes if not note.startswith(view.lost)]
            self.notes += [f"{sentence}: it is put back" for sentence in view.lost]
        return folded

    def _fold(self, view: View) -> int:
        content = view.content.copy()
        above = {part for key in content.new for part in folders(key)}
        refs: list[tuple[str, str]] = []
        doubled = self._in_segments(view, {key for _, files in view.pending.values() for key in files})
        for ref, (oid, files) in view.pending.items():
            if len(refs) == FOLD_MOST:
                break
            # The same key with other bytes stays where it is, to be looked at; so does a key that lies below
            # another: a tree cannot hold both.
            known = {key: doubled[key] for key in files if key in doubled}
            if unfoldable(files, content.new, above) or any(files[key] != known[key] for key in known):
                continue
            fresh = {key: blob for key, blob in files.items() if key not in known}
            content.new.update(fresh)
            above.update(part for key in fresh for part in folders(key))
            refs.append((ref, oid))
        if not refs and not view.lost and len(content.new) < SEGMENT_AT:
            return 0
        result = self._push_fold(view, content, refs)
        if "unable to read" in (result.failure or ""):
            # In a young repository git packs what the remote has in other refs, and we may not have it.
            self._remote.blobs(oid for _, files in view.pending.values() for oid in files.values())
            result = self._push_fold(view, content, refs)
        if "missing necessary objects" in result.rejected.get(self._refs.tip, ""):
            # The remote has lost what a write names: that one stays where it is, and the others are folded.
            here = self._remote.sound_blobs(oid for _, files in view.pending.values() for oid in files.values())
            whole = {ref: write for ref, write in view.pending.items() if here.keys() >= set(write[1].values())}
            if len(whole) < len(view.pending):
                return self._fold(replace(view, pending=whole))
        if result.ok:
            return len(refs)
        if lost_race(result):
            return 0
        raise self._refused(result)

    def _push_fold(self, view: View, content: Content, refs: list[tuple[str, str]]) -> PushResult:
        written = Objects(self._remote.repository, self._remote.format)
        content = content.copy()
        series, index = None, None
        if len(content.new) >= SEGMENT_AT:
            series, index = self._close_segment(view, written, content)
        message = f"ciplug: fold {len(refs)} writes"
        result, _ = self._move_branch(view, written, content, message, folded=refs, series=series, index=index)
        return result

    def _close_segment(
        self, view: View, written: Objects, content: Content
    ) -> tuple[tuple[str | None, str] | None, bytes]:
        """Move what is new into a segment; returns the tips of the series branch, before and after, and the INDEX."""
        found = self._remote.sound_blobs(content.new.values())
        objects = {key: found[oid] for key, oid in content.new.items() if oid in found}
        records = {key: data for key, data in objects.items() if git_segments.is_line(data)}
        blobs = {key: content.new[key] for key in objects if key not in records}
        index = self._indexed(view)
        name = self._write_segment(written, content, index, records, blobs)
        content.new = {key: oid for key, oid in content.new.items() if key not in objects}
        series = self._series({name: blobs}, written) if blobs else None
        return series, git_segments.write_index(index)

    def _write_segment(
        self,
        written: Objects,
        content: Content,
        index: dict[str, bytes],
        records: Mapping[str, bytes],
        blobs: Mapping[str, str],
    ) -> str:
        from ciplug.records import columns

        last = max((int(name.partition("-")[0]) for name in content.segments), default=0)
        lines = git_segments.write_lines(records, blobs)
        name = git_segments.name_of(last + 1, lines)
        content.segments[name] = written.blob(lines)
        content.columns[name] = written.blob(columns.encode(columns.of(sorted(records.items()))))
        index[name] = git_segments.marks_of([*records, *blobs])
        return name

    def _series(
        self,
        add: Mapping[str, Mapping[str, str]],
        written: Objects,
        *,
        take_away: Iterable[str] = (),
        parentless: bool = False,
    ) -> tuple[str | None, str]:
        """A new tip of the series branch, with folders of segment → (key → blob) more or less; before and after."""
        ours = "refs/store/series"
        failure = self._remote.fetch("--depth=1", f"+{self._refs.series}:{ours}", filter="tree:1")
        if failure and "couldn't find remote ref" not in failure:
            raise StoreError(f"cannot read the series of the store: {failure}")
        tip = None if failure else self._remote.refs(ours).get(ours)
        root = dict(self._remote.trees([f"{tip}^{{tree}}"]).get(f"{tip}^{{tree}}", {})) if tip else {}
        if gone := [root.pop(name)[1] for name in list(take_away) if name in root]:
            # With their names here git knows that the remote has what they hold, and does not ask us for it.
            self._remote.fetch(wanted=gone)
        for name, files in add.items():
            root[name] = (TREE, written.nested_tree(files))
        tree = written.tree(root)
        parents = (tip,) if tip and not parentless else ()
        return tip, written.commit(tree, parents, f"ciplug: {', '.join(add)}\n\n[skip ci]", 0)

    def drop(self, keys: Collection[str], reason: str) -> int:
        """Take objects away: segments that held one are written anew, and the branch begins a new history."""
        unwanted = set(keys)
        with self._remote.locked():
            view = self._fetch()
            while view.pending and self._fold(view):
                view = self._fetch()
            content = view.content.copy()
            loose = unwanted & content.new.keys()
            touched = {
                name: found
                for name, found in self._segments(view, self._candidates(view, unwanted)).items()
                if unwanted & found.keys
            }
            dropped = len(loose) + sum(len(unwanted & found.keys) for found in touched.values())
            if not dropped:
                return 0
            content.new = {key: oid for key, oid in content.new.items() if key not in loose}
            message = f"ciplug: drop {dropped} objects: {reason}"
            # Without a parent what was dropped is reachable no more, and the host may clean it away.
            result = self._push_dropped(view, content.copy(), touched, unwanted, message, ())
            if not result.ok and any(words in str(result.rejected) for words in ("non-fast-forward", "protected")):
                result = self._push_dropped(view, content, touched, unwanted, message, None)
        if result.ok:
            return dropped
        if lost_race(result):
            raise Conflict("the store was written meanwhile", hint="try again")
        raise self._refused(result)

    def _push_dropped(
        self,
        view: View,
        content: Content,
        touched: Mapping[str, git_segments.Content],
        unwanted: set[str],
        message: str,
        parents: tuple[str, ...] | None,
    ) -> PushResult:
        written = Objects(self._remote.repository, self._remote.format)
        index = self._indexed(view)
        series: dict[str, dict[str, str]] = {}
        for name in touched:
            for part in (content.segments, content.columns, index):
                part.pop(name, None)
        records: dict[str, bytes] = {}
        blobs: dict[str, str] = {}
        for number, name in enumerate(sorted(touched), start=1):
            records.update({k: data for k, data in touched[name].records.items() if k not in unwanted})
            blobs.update({k: oid for k, oid in touched[name].blobs.items() if k not in unwanted})
            if len(records) + len(blobs) >= SEGMENT_AT or (number == len(touched) and (records or blobs)):
                series[self._write_segment(written, content, index, records, blobs)] = blobs
                records, blobs = {}, {}
        had_blobs = any(found.blobs for found in touched.values())
        moved = None
        if had_blobs:
            added = {name: files for name, files in series.items() if files}
            moved = self._series(added, written, take_away=touched, parentless=parents == ())
        result, _ = self._move_branch(
            view, written, content, message, series=moved, index=git_segments.write_index(index), parents=parents
        )
        return result

    # Reading

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(keys)
        with self._remote.locked():
            view, objects = self._look()
            here = {key: oid for key in wanted if (oid := view.content.logs.get(key) or objects.get(key))}
            rest = {key for key in wanted if key not in here}
            segments = self._candidates(view, rest) if rest else []
            # What is loose and the lines of the segments come by one fetch.
            blobs = self._remote.sound_blobs([*here.values(), *(view.content.segments[name] for name in segments)])
            found = {key: blobs[oid] for key, oid in here.items() if oid in blobs}
            apart: dict[str, str] = {}
            for content in self._segments(view, segments).values():
                found.update({key: content.records[key] for key in rest & content.records.keys()})
                apart.update({key: content.blobs[key] for key in rest & content.blobs.keys()})
            series = self._remote.sound_blobs(apart.values())
        found.update({key: series[oid] for key, oid in apart.items() if oid in series})
        return found

    def keys(self, *prefixes: str) -> list[str]:
        with self._remote.locked():
            view, objects = self._look()
            found = {key for key in (*objects, *view.content.logs) if key.startswith(prefixes)}
            wanted = [group_of(prefix) for prefix in prefixes]
            everywhere = any(group is None for group in wanted)
            segments = list(view.content.segments) if everywhere else self._candidates(view, filter(None, wanted))
            for content in self._segments(view, segments).values():
                found.update(key for key in content.keys if key.startswith(prefixes))
        return sorted(found)

    def _candidates(self, view: View, keys: Iterable[str]) -> list[str]:
        """The segments in which one of these keys, or a key of these groups, may be."""
        if not view.content.segments:
            return []
        wanted = {git_segments.mark_of(key) for key in keys}
        index = self._indexed(view)
        return [name for name in view.content.segments if name not in index or git_segments.holds(index[name], wanted)]

    def _indexed(self, view: View) -> dict[str, bytes]:
        """Segment → marks, of the segments that are there."""
        if self._index is None:
            found: dict[str, bytes] = {}
            for data in self._remote.sound_blobs(view.content.indexes).values():
                found.update(git_segments.read_index(data))
            self._index = {name: found[name] for name in view.content.segments if name in found}
        return dict(self._index)

    def _segments(self, view: View, names: Iterable[str]) -> dict[str, git_segments.Content]:
        """What segments hold. One that is damaged is noted, and stops no other."""
        oids = {name: view.content.segments[name] for name in names}
        blobs = self._remote.sound_blobs(oids.values())
        found = {}
        for name, oid in oids.items():
            try:
                found[name] = git_segments.read_lines(blobs[oid], name)
            except KeyError:
                self._note(f"segment {name} cannot be read: the store has lost it; see `ciplug fsck`")
            except RecordError as problem:
                self._note(f"segment {name} cannot be read: {problem}; see `ciplug fsck`")
        return found

    def _in_segments(self, view: View, keys: set[str]) -> dict[str, str]:
        """Key → blob of those among `keys` that a segment holds."""
        found: dict[str, str] = {}
        written = Objects(self._remote.repository, self._remote.format)
        for content in self._segments(view, self._candidates(view, keys)).values():
            found.update({key: written.blob(content.records[key]) for key in keys & content.records.keys()})
            found.update({key: content.blobs[key] for key in keys & content.blobs.keys()})
        return found

    def head(self, log: str) -> Head | None:
        with self._remote.locked():
            return self._head(self._look()[0], log)

    def _head(self, view: View, log: str) -> Head | None:
        sequence = view.content.sequence(log)
        if not sequence:
            return None
        oid = view.content.logs[entry_path(log, sequence[-1])]
        return Head(sequence[-1], digest(self._remote.blobs([oid])[oid]))

    def entries(self, log: str) -> list[bytes]:
        with self._remote.locked():
            view, _ = self._look()
            oids = [view.content.logs[entry_path(log, seq)] for seq in view.content.sequence(log)]
            blobs = self._remote.blobs(oids)
        return [blobs[oid] for oid in oids]

    def segments(self) -> list[str]:
        with self._remote.locked():
            return sorted(self._look()[0].content.segments)

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        from ciplug.records import columns

        with self._remote.locked():
            view, _ = self._look()
            wanted = [name for name in segments if name in view.content.segments]
            oids = {name: view.content.columns[name] for name in wanted if name in view.content.columns}
            blobs = self._remote.sound_blobs(oids.values())
            found: dict[str, Columns] = {}
            for name, oid in oids.items():
                with contextlib.suppress(KeyError, RecordError):
                    found[name] = columns.decode(blobs[oid], name)
            # What is lost, damaged, or of another version is made again from the records.
            again = [name for name in wanted if name not in found or found[name].lacking]
            for name, content in self._segments(view, again).items():
                found[name] = columns.of(sorted(content.records.items()))
        return found

    def loose(self) -> list[str]:
        with self._remote.locked():
            return sorted(self._look()[1])

    def logs(self, prefix: str) -> list[str]:
        with self._remote.locked():
            content = self._look()[0].content
        names = {path.rpartition("/")[0] for path in content.logs if path.startswith(prefix)}
        return sorted(name for name in names if content.sequence(name))

    @property
    def pending(self) -> int:
        """Writes that no fold has taken yet."""
        with self._remote.locked():
            return len(self._look()[0].pending)

    def _look(self) -> tuple[View, dict[str, str]]:
        """The view that this process has, else a new one, and key → blob of what is in none of its segments.

        A reader that finds much pending folds it, if it may; what it saw before still holds, as a fold changes no
        fact.
        """
        if self._view is None or self._loose is None:
            view = self._fetch()
            loose = view.objects
            pending = loose.keys() - view.content.new.keys()
            # A write that came again after a segment took it, or that claims a key of it.
            for key in self._in_segments(view, pending) if pending else ():
                del loose[key]
            waiting = len(view.pending)
            if waiting >= FOLD_AT and self._may_fold and not self._fold_tried:
                self._fold_tried = True
                with contextlib.suppress(StoreError):
                    waiting -= self._fold(view)
            if waiting >= PENDING_ALARM:
                self._note(
                    f"{waiting} writes wait to be folded into the branch '{self._refs.branch}', which makes every "
                    "reader slower: run `ciplug compact`, and allow pushes to that branch"
                )
            self._view, self._loose = view, loose
        return self._view, self._loose

    def _fetch(self) -> View:
        """Fetch, and see every name."""
        self._forget()
        view = self._remote.refresh(lambda: look(self._remote, self._refs))
        for sentence in view.lost:
            self._note(f"{sentence}; `ciplug compact` puts them back")
        if view.gone:
            self._note(self._what_is_gone(view.gone))
        return view

    def _what_is_gone(self, tip: str) -> str:
        return (
            f"the store that was here is gone: somebody has deleted {self._refs.tip} and {self._refs.keep[0]}; who has "
            f"fetched it whole puts it back by: git push REMOTE {tip}:{self._refs.tip}; if it was meant, "
            "`ciplug compact` begins anew"
        )

    def _forget(self) -> None:
        self._view = None
        self._loose = None
        self._index = None

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def check(self, *, repair: bool = False) -> list[Problem]:
        from ciplug.stores.git.check import find_problems

        with self._remote.locked():
            view = self._fetch()
            problems, index, columns = find_problems(self._remote, self._refs, view)
            if view.gone:
                problems.append(Problem(self._refs.tip, self._what_is_gone(view.gone)))
            if not repair or not (index or columns or view.lost):
                return problems
            written = Objects(self._remote.repository, self._remote.format)
            content = view.content
            content.columns.update({name: written.blob(data) for name, data in columns.items()})
            result, _ = self._move_branch(
                view, written, content, "ciplug: repair", index=git_segments.write_index(index) if index else None
            )
        if not result.ok:
            raise self._refused(result)
        return [problem._replace(repaired=True) if problem.repairable else problem for problem in problems]

    def try_writes(self) -> list[Trial]:
        from ciplug.stores.git.trial import try_writes

        with self._remote.locked():
            view = self._fetch()
            return try_writes(self._remote, self._refs, view)
