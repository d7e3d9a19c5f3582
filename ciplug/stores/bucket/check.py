"""Check an object store: read everything, and compare it with the index."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from ciplug.errors import RecordError
from ciplug.records.bundle import is_key
from ciplug.stores.base import Problem, Visit
from ciplug.stores.bucket import index
from ciplug.stores.bucket import segment_files as segments
from ciplug.stores.bucket.base import Bucket, each, get_many
from ciplug.stores.bucket.index import State

_PART_MOST = 200
"""Bytes of a part of a name: file systems take 255."""
_AT_ONCE = 32


@dataclass
class Inspection:
    """The problems, and the changes that would repair them."""

    problems: list[Problem] = field(default_factory=list)
    """The problems that only a person can repair."""
    repairable: list[Problem] = field(default_factory=list)
    """The problems that the changes below repair."""
    rewrite: list[str] = field(default_factory=list)
    """Segments to write anew."""
    skip: set[str] = field(default_factory=set)
    """Keys to leave out of the new segments: other segments hold them."""
    adopt: list[str] = field(default_factory=list)
    """Keys of objects to put into the index, which lacks them."""
    delete: list[str] = field(default_factory=list)
    """Names of objects that nothing needs."""


def object_name(key: str) -> str:
    """Return the name of an object that is not a row of a segment.

    A folder's name has no dot and a file's has one or ends with %, so that no key stands in another's way.
    """
    *folders, last = key.split("/")
    name = segments.escape(last)
    parts = [*(segments.escape(folder).replace(".", "%2E") for folder in folders), name if "." in name else f"{name}%"]
    return "/".join(["objects", *parts])


def key_of(name: str) -> str | None:
    """The key of an object's name, None for a name that ciplug does not write."""
    key = unquote(name.partition("/")[2].removesuffix("%"))
    return key if is_key(key) and object_name(key) == name else None


def why_not(objects: Mapping[str, bytes], folded: Mapping[str, bytes]) -> dict[str, str]:
    """Key → why no fold takes a write of these objects, given those that are folded."""
    return {
        key: "other bytes are kept under this key"
        if folded.get(key, data) != data
        else "its name is too long for a file"
        for key, data in objects.items()
        if folded.get(key, data) != data or any(len(p.encode()) > _PART_MOST for p in object_name(key).split("/"))
    }


def inspect(
    bucket: Bucket, listed: Collection[str], state: State, pending: Mapping[str, Mapping[str, bytes]], visit: Visit
) -> Inspection:
    """Read every segment and every object, each once.

    Args:
        listed: names of all segments and objects, as listed before `state` was read.
        pending: name of a write in the inbox → its objects.
        visit: takes what was read.
    """
    inspection = Inspection()
    waiting = {key for objects in pending.values() for key in objects}
    records: dict[str, str] = {}
    contents: dict[str, bytes] = {}
    beside: set[str] = set(state.objects)
    paths = index.in_order(state.files)
    for start in range(0, len(paths), _AT_ONCE):
        data = get_many(bucket, paths[start : start + _AT_ONCE])
        for path in paths[start : start + _AT_ONCE]:
            if path not in data:
                inspection.problems.append(Problem(path, "this segment is missing"))
                continue
            try:
                rows = segments.decode(data[path], path)
            except RecordError as problem:
                inspection.problems.append(Problem(path, problem.message))
                continue
            file = state.files[path]
            if len(rows) != file.rows or index.marks_of(rows) != file.marks:
                inspection.repairable.append(Problem(path, "the index does not say what this segment holds"))
                inspection.rewrite.append(path)
            elif words := _wrong_columns(data[path], path, rows.values()):
                inspection.repairable.append(Problem(path, words))
                inspection.rewrite.append(path)
            visit({key: row.record.encode() for key, row in rows.items()})
            for key, row in rows.items():
                if key in records:
                    inspection.problems.append(Problem(key, f"it is in {path} and in {records[key]}"))
                records[key] = path
                beside.update(row.siblings)
                if key in waiting:
                    contents[key] = row.record.encode()
    names = {object_name(key): key for key in beside}
    every = list(names)
    for start in range(0, len(every), _AT_ONCE):
        some = every[start : start + _AT_ONCE]
        objects = {names[name]: data for name, data in get_many(bucket, some).items()}
        missing = [names[name] for name in some if names[name] not in objects]
        inspection.problems += [Problem(key, "this object is missing") for key in missing]
        contents.update((key, data) for key, data in objects.items() if key in waiting)
        visit(objects)

    for write in sorted(pending):
        for key, why in why_not(pending[write], contents).items():
            inspection.problems.append(Problem(key, f"inbox/{write} can never be folded: {why}"))
        visit(pending[write])
        contents = {**pending[write], **contents}
    _strays(bucket, listed, state, {*records}, names, waiting, inspection)
    return inspection


def _wrong_columns(data: bytes, path: str, rows: Iterable[segments.Row]) -> str | None:
    """Why the columns of a segment are not what its records make, as a clause."""
    try:
        wrong = segments.wrong_columns(data, path, rows)
    except RecordError as problem:
        return problem.message
    return f"its columns are not what its records say: {', '.join(wrong)}" if wrong else None


def _strays(
    bucket: Bucket,
    listed: Collection[str],
    state: State,
    records: set[str],
    objects: Mapping[str, str],
    waiting: set[str],
    inspection: Inspection,
) -> None:
    """Report listed objects that no index has: a fold is in progress or was killed, or ciplug did not write them."""
    # Case-insensitive disks list a folder with the spelling of whoever created it first.
    paths = {path.casefold() for path in state.files}
    names = [name for name in listed if name.casefold() not in paths and name not in objects]
    names = [name for name in names if index.number_of(name) not in state.open]
    still = [name for name, data in each(bucket.get, names).items() if data is not None]
    for name in sorted(still):
        if name.startswith("objects/"):
            key = key_of(name)
            if key in waiting:
                continue
            if key is None:
                inspection.problems.append(Problem(name, "ciplug did not write this"))
            elif key in state.dropped or key in records:
                inspection.repairable.append(Problem(name, "it was dropped, and still exists"))
                inspection.delete.append(name)
            else:
                inspection.repairable.append(Problem(key, "the index does not know this object"))
                inspection.adopt.append(key)
            continue
        try:
            rows = segments.decode(bucket.get(name) or b"", name) if index.number_of(name) else None
        except RecordError:
            rows = None
        if rows is None:
            inspection.problems.append(Problem(name, "ciplug did not write this"))
        elif superfluous := {key for key in rows if key in records or key in state.dropped}:
            inspection.repairable.append(Problem(name, "a segment that was rewritten still exists"))
            if superfluous == rows.keys():
                inspection.delete.append(name)
            else:
                inspection.rewrite.append(name)
                inspection.skip |= superfluous
        else:
            inspection.repairable.append(Problem(name, "the index does not know this segment"))
            inspection.rewrite.append(name)
