"""What a reader loads of pending writes: whoever may push any ref may push gigabytes.

Nothing says how large an object of the remote is, so the commits of the writes are fetched with a filter: what is
larger than the limit does not come. Small objects come first, and what one process loads is bounded as a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from ciplug.errors import counted
from ciplug.records.keys import is_run_record
from ciplug.stores.git.cached_remote import CachedRemote

_MIB = 1024 * 1024
RECORD_MOST = 16 * _MIB
"""Bytes of a record: one with 60,000 metrics has a fifth."""
BESIDE_MOST = 256 * _MIB
"""Bytes of the series, examples or inputs beside a record."""
TOTAL_MOST = 64 * _MIB
"""Bytes of all pending records that one process loads: in memory they take several times as much."""
BESIDE_TOTAL_MOST = 512 * _MIB
"""Bytes of all that is beside pending records: whoever asks for it asks for few runs."""
FETCHED_MOST = 256 * _MIB
"""Bytes that are fetched at once, or folded at once."""
SMALL = _MIB
_COMMITS, _LARGE_COMMITS = 250, 8
"""Writes that are fetched at once: their objects have no other bound."""
_NAMED_MOST = 3


def most_of(key: str) -> int:
    """The most bytes of an object under this key."""
    return RECORD_MOST if is_run_record(key) else BESIDE_MOST


class Pending:
    """The objects of pending writes, key → blob."""

    def __init__(
        self, remote: CachedRemote, writes: Mapping[str, tuple[str, Mapping[str, str]]], note: Callable[[str], None]
    ) -> None:
        """
        Args:
            writes: ref → commit, and key → blob.
            note: is called with a sentence on what is passed over.
        """
        self._remote = remote
        self._note = note
        # What a lost branch had comes by its objects: a commit does not lead to all of them.
        self._commits = {
            oid: commit for ref, (commit, files) in writes.items() if "inbox/" in ref for oid in files.values()
        }
        self._loaded: Counter[bool] = Counter()
        """Whether it is a record → bytes."""
        self._counted: set[str] = set()

    def readable(self, objects: Mapping[str, str], beside: Iterable[str] = ()) -> dict[str, str]:
        """Those that are here now and that a reader takes: not too large, and not too many at once.

        Args:
            beside: blobs of the branch, which come by the same fetch if one is needed.
        """
        sizes = self.sizes(objects.items(), beside)
        large = sorted(key for key, oid in objects.items() if sizes.get(oid, 0) > most_of(key))
        unknown = sorted(key for key, oid in objects.items() if oid not in sizes)
        if large or unknown:
            named = ", ".join([*large, *unknown][:_NAMED_MOST])
            rest = len(large) + len(unknown) - _NAMED_MOST
            more = f" and {rest} more" if rest > 0 else ""
            self._note(f"{named}{more} is not read: it is larger than a record can be, or lost; see `ciplug fsck`")
        taken: dict[str, str] = {}
        left = 0
        fits = [key for key in objects if key not in {*large, *unknown}]
        for key in sorted(fits, key=lambda key: (sizes[objects[key]], key)):
            oid = objects[key]
            fresh = 0 if oid in self._counted else sizes[oid]
            kind = is_run_record(key)
            if self._loaded[kind] + fresh > (TOTAL_MOST if kind else BESIDE_TOTAL_MOST):
                left += 1
                continue
            self._loaded[kind] += fresh
            self._counted.add(oid)
            taken[key] = oid
        if left:
            self._note(
                f"{counted(left, 'pending object')} beyond {TOTAL_MOST // _MIB} MiB in all are not read: "
                "`ciplug compact` folds them, or delete their refs: `ciplug fsck` names the largest"
            )
        return taken

    def sizes(self, objects: Iterable[tuple[str, str]], beside: Iterable[str] = ()) -> dict[str, int]:
        """Blob → bytes of those that could be fetched within the limits; what is missing is too large, or lost.

        Args:
            objects: keys and blobs; writes may claim one key for several blobs.
            beside: blobs of the branch, which come by the same fetch if one is needed.
        """
        limits: dict[str, int] = {}
        for key, oid in objects:
            limits[oid] = max(most_of(key), limits.get(oid, 0))
        sizes = self._remote.sizes(limits)
        damaged: set[str | None] = {None}
        for limit, at_once in ((SMALL, _COMMITS), (max(limits.values(), default=0), _LARGE_COMMITS)):
            missing = {oid for oid in limits if oid not in sizes}
            commits = sorted({self._commits[oid] for oid in missing if oid in self._commits})
            for at in range(0, len(commits), at_once):
                if sum(sizes.values()) > FETCHED_MOST:
                    break
                damaged |= self._remote.bring_commits(commits[at : at + at_once], limit, beside)
                sizes.update(self._remote.sizes(missing))
        if others := {oid for oid in limits if oid not in sizes and self._commits.get(oid) in damaged}:
            self._remote.bring(others)
            sizes.update(self._remote.sizes(others))
        return sizes


def too_large(objects: Mapping[str, bytes]) -> Sequence[str]:
    """The keys of objects that no reader takes from a pending write."""
    return [key for key, data in objects.items() if len(data) > most_of(key)]
