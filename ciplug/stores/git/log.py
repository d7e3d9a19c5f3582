"""The logs of a store in git: an entry is a file on the branch, which moves by compare-and-swap."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.errors import Cause, Conflict, StoreError
from ciplug.git.push import PushResult
from ciplug.records.canonical import digest
from ciplug.stores.base import Head
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import entry_path
from ciplug.stores.git.objects import LooseObjects
from ciplug.stores.git.reader import GitReader
from ciplug.stores.git.refs import Refs

if TYPE_CHECKING:
    from ciplug.stores.git.snapshot import Snapshot
    from ciplug.stores.git.tags import Mirror
    from ciplug.stores.git.view import View

_LOG_TRIES, _STATE_TRIES = 30, 3


class GitLog:
    """A Log, the states beside it, and its entries that the branch has lost."""

    def __init__(self, remote: CachedRemote, refs: Refs, reader: GitReader) -> None:
        self._remote = remote
        self._refs = refs
        self._reader = reader
        self.mirror: Mirror | None = None
        """Who knows the tags that go with the next entry of a log; None: it has none."""

    def head(self, log: str) -> Head | None:
        with self._reader.snapshot() as snapshot:
            return snapshot.head(log)

    def entries(self, log: str, after: int = 0, until: int | None = None) -> list[bytes]:
        with self._reader.snapshot() as snapshot:
            return snapshot.entries(log, after, until)

    def logs(self, prefix: str) -> list[str]:
        with self._reader.snapshot() as snapshot:
            return snapshot.logs(prefix)

    def append(self, log: str, expected: Head | None, entry: bytes) -> Head:
        sent: Head | None = None
        for attempt in range(_LOG_TRIES):
            with self._remote.locked():
                # What the last question saw is enough: if it is out of date, the push is refused.
                seen = None if attempt else self._reader.seen
                snapshot = seen or self._reader.fetch()
                # After a lost answer the entry may be in the log.
                if sent and snapshot.holds(log, sent):
                    return sent
                if snapshot.head(log) != expected and seen:
                    seen, snapshot = None, self._reader.fetch()
                if snapshot.view.kept_logs.of(log):
                    raise self._has_lost(log, snapshot.view.keep[0])
                if (head := snapshot.head(log)) != expected:
                    raise Conflict(f"{log} has moved on", head=head)
                sent = Head(1 if head is None else head.seq + 1, digest(entry))
                result, view = self._push_entry(snapshot, entry_path(log, sent.seq), entry)
                self._reader.seen = snapshot.with_entry(view) if result.ok else None
            if result.ok:
                self.mirror = None
                return sent
            if not (seen or result.lost_race or result.network):
                raise self._remote.refused(result, self._refs.push_hint)
            if attempt == 1 and result.lost_race:
                self._remote.check_way(*self._refs.written)
            time.sleep(random.uniform(0, 0.05 * min(attempt + 1, 10)))
        raise StoreError(f"{log}: {_LOG_TRIES} attempts, and each time another writer was first", cause=Cause.CONFLICT)

    def _has_lost(self, log: str, kept: str) -> StoreError:
        return StoreError(
            f"the branch '{self._refs.branch}' has lost entries of {log}, or somebody has pushed others to "
            f"{kept}: nothing is added until you decide which entries are right",
            hint="see them: ciplug fsck; put them back: ciplug fsck --restore-registry; or throw them away: "
            f"git push REMOTE :{kept}",
            cause=Cause.LOST,
        )

    def kept_entries(self) -> dict[str, bytes]:
        with self._reader.snapshot() as snapshot:
            kept = snapshot.view.kept_logs.entries
            blobs = self._remote.blobs(kept.values())
            return {path: blobs[oid] for path, oid in sorted(kept.items())}

    def lost_logs(self, *logs: str) -> list[str]:
        with self._reader.snapshot() as snapshot:
            return [log for log in snapshot.view.kept_logs.logs if not logs or log in logs]

    def restore_entries(self, entries: Mapping[str, bytes]) -> None:
        from ciplug.stores.git.tip import Change, push_tip

        with self._remote.locked():
            snapshot = self._reader.fetch()
            kept = snapshot.view.kept_logs.entries
            written = LooseObjects(self._remote.repository, self._remote.format)
            content = snapshot.view.content.copy()
            blobs = {path: written.blob(data) for path, data in entries.items()}
            if not blobs.items() <= kept.items():
                raise Conflict("the store was written meanwhile", hint="look again: ciplug fsck")
            content.logs.update(blobs)
            change = Change(content, f"ciplug: restore {len(blobs)} entries")
            result, _ = push_tip(self._remote, self._refs, snapshot, written, change)
            self._reader.seen = None
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
        with self._reader.snapshot() as snapshot:
            oid = snapshot.view.content.states.get(log)
            return self._remote.sound_blobs([oid]).get(oid) if oid else None

    def put_state(self, log: str, data: bytes) -> None:
        from ciplug.stores.git.tip import Change, push_tip

        for attempt in range(_STATE_TRIES):
            with self._remote.locked():
                snapshot = (None if attempt else self._reader.seen) or self._reader.fetch()
                written = LooseObjects(self._remote.repository, self._remote.format)
                content = snapshot.view.content.copy()
                content.states[log] = written.blob(data)
                result, view = push_tip(
                    self._remote, self._refs, snapshot, written, Change(content, f"ciplug: state of {log}")
                )
                self._reader.seen = snapshot.with_entry(view) if result.ok else None
            if result.ok or not (result.lost_race or result.network):
                break
        if not result.ok:
            raise self._remote.refused(result, self._refs.push_hint)
