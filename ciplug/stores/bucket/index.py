"""The index of an object store: the content of each fold (a claim), and its result (the same number, done).

Neither ever changes. What the store holds is what all results add up to, by number. A fold may also merge the results
of the folds before it, down to a number: its own result then takes their place, and they are deleted.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ciplug.errors import Cause, RecordError, StoreError
from ciplug.records.bundle import is_key
from ciplug.records.canonical import dumps
from ciplug.stores.base import group_mark, group_of
from ciplug.stores.bucket.segment_files import PATH

VERSION = 2
_NAME = re.compile(r"index/(\d{6,12})\.(claim|done)")
_MARK = 4
_GAP = 10_000
"""Numbers that may be missing between two folds: behind one at the end of all numbers, nobody could fold any more."""
RESULTS_MOST = 8
"""With so many results, some are merged: a reader without a cache gets each of them."""
_MERGED_LEAST = 3


@dataclass(frozen=True)
class Claim:
    """The exact description of a fold: everyone who finishes it does the same."""

    inbox: Mapping[str, str] = field(default_factory=dict)
    """Name of a write in the inbox → digest of its content: these are folded …"""
    skip: tuple[str, ...] = ()
    """… but for these keys, which a segment holds already."""
    files: tuple[str, ...] = ()
    """Segments that are written anew …"""
    drop: tuple[str, ...] = ()
    """… without these keys."""
    delete: tuple[str, ...] = ()
    """Those of the dropped keys whose objects are beside the segments."""
    adopt: tuple[str, ...] = ()
    """Keys of objects beside the segments that were in no index."""
    erased: tuple[str, ...] = ()
    """The marks of the runs that are erased with this drop."""
    merge: int | None = None
    """The number from which the results of the folds before this one are merged, if they are."""
    reason: str | None = None
    """The reason for dropping objects."""
    version: int = VERSION


@dataclass(frozen=True)
class File:
    """A segment, as far as a reader must know it to leave it alone."""

    path: str
    rows: int
    marks: bytes
    """Four bytes for each group among its keys, rising: see `group_mark`."""

    def mark_list(self) -> list[bytes]:
        return [self.marks[at : at + _MARK] for at in range(0, len(self.marks), _MARK)]


@dataclass(frozen=True)
class Done:
    """The result of a fold."""

    files: tuple[File, ...] = ()
    objects: tuple[str, ...] = ()
    """Keys of objects outside the segments that no row mentions."""
    gone: tuple[str, ...] = ()
    """Segments that the fold replaced."""
    dropped: tuple[str, ...] = ()
    erased: tuple[str, ...] = ()
    reason: str | None = None
    lost: tuple[str, ...] = ()
    """Claimed objects that no longer existed when the fold was repaired."""
    merge: int | None = None
    """As in the claim: this is what the folds from that number on have left, together."""


@dataclass
class State:
    """The combined result of all folds."""

    files: dict[str, File] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    """The marks of erased runs: everything about them is left out."""
    open: list[int] = field(default_factory=list)
    """Claims that are not done, in order."""
    last: int = 0
    results: dict[int, Done] = field(default_factory=dict)
    """Number of each fold whose result counts → the result."""
    merged: list[str] = field(default_factory=list)
    """Names of results that another has taken the place of, and that are still there."""
    bad: dict[str, str] = field(default_factory=dict)
    """Name of an unreadable object of the index → the reason."""
    beyond: dict[str, str] = field(default_factory=dict)
    """Name of an object of the index whose number follows from no other → the reason."""

    def take(self, done: Done) -> None:
        for path in done.gone:
            self.files.pop(path, None)
        self.files.update((file.path, file) for file in done.files)
        self.objects.difference_update(done.dropped)
        self.objects.update(done.objects)
        self.dropped.update(done.dropped)
        self.erased.update(done.erased)

    @cached_property
    def by_mark(self) -> dict[bytes, list[str]]:
        """Mark → segments that may hold its group."""
        segments: dict[bytes, list[str]] = {}
        for path, file in self.files.items():
            for mark in file.mark_list():
                segments.setdefault(mark, []).append(path)
        return segments

    def files_of(self, keys: Iterable[str]) -> list[str]:
        """The segments in which these keys, or keys with these beginnings, may be."""
        groups = {group for key in keys if (group := group_of(key)) is not None}
        paths = {
            path
            for group in groups
            for path in self.by_mark.get(group_mark(group), ())
            if path.partition("/")[0] == group.partition("/")[0]
        }
        return in_order(paths)


def marks_of(keys: Iterable[str]) -> bytes:
    """The marks of the groups of keys."""
    return b"".join(sorted({group_mark(group) for key in keys if (group := group_of(key)) is not None}))


def in_order(paths: Iterable[str]) -> list[str]:
    """Segments, oldest first."""
    return sorted(paths, key=lambda path: (number_of(path), path))


def number_of(path: str) -> int:
    """The fold that wrote a segment; 0 if the path is not a segment's."""
    digits = re.match(r"\d+", path.rpartition("/")[2])
    return int(digits[0]) if digits and PATH.fullmatch(path) else 0


def merged(results: Sequence[Done], first: int) -> Done:
    """What results add up to, the oldest first, as one."""
    whole, gone, written = State(), set[str](), set[str]()
    for done in results:
        whole.take(done)
        gone.update(done.gone)
        written.update(file.path for file in done.files)
    return Done(
        files=tuple(whole.files[path] for path in in_order(whole.files)),
        objects=tuple(sorted(whole.objects)),
        gone=tuple(sorted(gone - written)),
        dropped=tuple(sorted(whole.dropped)),
        erased=tuple(sorted(whole.erased)),
        lost=tuple(sorted({name for done in results for name in done.lost})),
        merge=first,
    )


def merge_from(results: Mapping[int, Done]) -> int | None:
    """The number from which results are to be merged; None: there are few.

    The last three, and each before them that is no larger than all that follow. So each is written a few times, and
    there are never more than a few, however many folds there were.
    """
    if len(results) < RESULTS_MOST:
        return None
    numbers = sorted(results)
    sizes = {number: len(encode_done(results[number])) for number in numbers}
    at = len(numbers) - _MERGED_LEAST
    size = sum(sizes[number] for number in numbers[at:])
    while at and sizes[numbers[at - 1]] <= size:
        at -= 1
        size += sizes[numbers[at]]
    return results[numbers[at]].merge or numbers[at]


def claim_name(number: int) -> str:
    return f"index/{number:06d}.claim"


def done_name(number: int) -> str:
    return f"index/{number:06d}.done"


def parse_name(name: str) -> tuple[int, str] | None:
    """Number and kind ("claim" or "done") of a name in the index."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def number_in(name: str) -> int:
    """The number in a name in the index; 0 for other names."""
    return int(match[1]) if (match := _NAME.fullmatch(name)) else 0


def following(numbers: Iterable[int]) -> set[int]:
    """Those of the numbers of folds that can follow from the ones before."""
    sound, last = set(), 0
    for number in sorted(numbers):
        if number - last > _GAP:
            break
        sound.add(number)
        last = number
    return sound


def encode_claim(claim: Claim) -> bytes:
    return dumps(claim)


def encode_done(done: Done) -> bytes:
    files = [
        {"path": file.path, "rows": file.rows, "marks": base64.b64encode(file.marks).decode()} for file in done.files
    ]
    return dumps(
        {
            "version": VERSION,
            "files": files,
            **{name: list(getattr(done, name)) for name in ("objects", "gone", "dropped", "lost")},
            **({"reason": done.reason} if done.reason is not None else {}),
            **({"erased": list(done.erased)} if done.erased else {}),
            **({"merge": done.merge} if done.merge else {}),
        }
    )


def decode_claim(data: bytes, name: str) -> Claim:
    """Raises RecordError when it is not the claim of a fold, StoreError when a newer version wrote it."""
    try:
        value = _object(data, name)
        inbox = {_inbox_name(key): _text(digest) for key, digest in value.get("inbox", {}).items()}
        return Claim(
            inbox=inbox,
            files=_paths(value.get("files", ())),
            reason=value.get("reason"),
            skip=_keys(value.get("skip", ())),
            drop=_keys(value.get("drop", ())),
            delete=_keys(value.get("delete", ())),
            adopt=_keys(value.get("adopt", ())),
            erased=tuple(map(_text, value.get("erased", ()))),
            merge=_first(value, name),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise RecordError(f"{name}: not the claim of a fold, or damaged: {problem}") from None


def decode_done(data: bytes, name: str) -> Done:
    """Raises RecordError when it is not the result of a fold, StoreError when a newer version wrote it."""
    try:
        value = _object(data, name)
        paths = _paths(file["path"] for file in value["files"])
        files = tuple(
            File(path, int(file["rows"]), base64.b64decode(file["marks"], validate=True))
            for path, file in zip(paths, value["files"], strict=True)
        )
        if any(len(file.marks) % _MARK for file in files):
            raise ValueError("marks that are cut off")
        return Done(
            files=files,
            objects=_keys(value["objects"]),
            gone=_paths(value["gone"]),
            dropped=_keys(value["dropped"]),
            lost=tuple(map(_text, value["lost"])),
            erased=tuple(map(_text, value.get("erased", ()))),
            reason=value.get("reason"),
            merge=_first(value, name),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise RecordError(f"{name}: not the result of a fold, or damaged: {problem}") from None


def _object(data: bytes, name: str) -> dict[str, Any]:
    value: Any = json.loads(data)
    if not isinstance(value, dict) or not isinstance(value["version"], int):
        raise ValueError("no version")
    if value["version"] > VERSION:
        raise StoreError(
            f"the store has another format: {name} is of version {value['version']}, this ciplug reads {VERSION}",
            hint="use the version of ciplug that wrote it, or a newer one",
            cause=Cause.FORMAT,
        )
    return value


def _first(value: Mapping[str, Any], name: str) -> int | None:
    """The number from which a fold merges results, if it does."""
    first = value.get("merge")
    if first is not None and not (isinstance(first, int) and 0 < first < number_in(name)):
        raise ValueError(f"it cannot merge from {first!r:.80} on")
    return first


def _paths(values: Iterable[Any]) -> tuple[str, ...]:
    paths = tuple(values)
    if wrong := [path for path in paths if not isinstance(path, str) or not PATH.fullmatch(path)]:
        raise ValueError(f"{wrong[0]!r:.80} is not a segment")
    return paths


def _keys(values: Iterable[Any]) -> tuple[str, ...]:
    if wrong := [value for value in values if not is_key(value)]:
        raise ValueError(f"{wrong[0]!r:.80} is not a key")
    return tuple(values)


def _inbox_name(value: str) -> str:
    if not value or "/" in value:
        raise ValueError(f"{value!r:.80} is not a write of the inbox")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"text is expected, not {value!r:.80}")
    return value
