"""A segment as files of the git store: lines of records, their columns, and its marks in the INDEX. Pure.

segments/<name>.ndjson         {"key":…,"record":…} a line for an object that is one line of JSON, {"blob":…,"key":…}
                               for any other, whose bytes stand in the series branch under that object id
segments/<name>.columns.json   the runs among them as columns
segments/INDEX                 for each segment a line `<name> <count>`, then so many marks of four bytes

A name is a number, for the order, and the beginning of the digest of the lines, so that it never stands for others.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from ciplug.errors import RecordError
from ciplug.records.canonical import dumps
from ciplug.stores.base import group_mark, group_of

INDEX = "INDEX"
NAME = re.compile(r"(\d{6,})-[0-9a-f]{12}")
MARK = 4
_BLOB = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Segment(NamedTuple):
    """The content of a segment's lines."""

    records: dict[str, bytes]
    blobs: dict[str, str]
    """Key → object id."""

    @property
    def keys(self) -> set[str]:
        return {*self.records, *self.blobs}


def is_line(data: bytes) -> bool:
    """Whether an object is one line of JSON, as records are."""
    if data.find(b"\n") != len(data) - 1 or not (data.startswith(b"{") and data.endswith(b"}\n")):
        return False
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def write_lines(records: Mapping[str, bytes], blobs: Mapping[str, str]) -> bytes:
    """The lines of a segment, by key. Each record `is_line`."""
    lines = {key: b'{"key":%s,"record":%s}\n' % (_quoted(key), data[:-1]) for key, data in records.items()}
    lines.update({key: b'{"key":%s,"blob":"%s"}\n' % (_quoted(key), oid.encode()) for key, oid in blobs.items()})
    return b"".join(lines[key] for key in sorted(lines))


def _quoted(key: str) -> bytes:
    return json.dumps(key).encode()


def read_lines(data: bytes, name: str, only: Collection[str] | None = None) -> Segment:
    """Read the output of `write_lines`, each record unchanged. Raises RecordError, naming `name`, for anything else.

    Args:
        only: keys: records of others may be left out, which saves time.
    """
    content = Segment({}, {})
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        at = line.find(b'","record":{')
        if line.startswith(b'{"key":"') and at > 0 and line.endswith(b"}}"):
            key = _unquoted(line[7 : at + 1])
            if key is not None:
                if only is None or key in only:
                    content.records[key] = line[at + 11 : -1] + b"\n"
                continue
        try:
            value = json.loads(line)
            key = _text(value["key"])
            if isinstance(value.get("record"), dict):
                # A newer version has put something beside it; records are canonical, so these are their bytes.
                content.records[key] = dumps(value["record"])
            elif _BLOB.fullmatch(value["blob"]):
                content.blobs[key] = value["blob"]
            else:
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RecordError(
                f"{name}:{number}: not a line of a segment",
                hint="damaged, or of a newer ciplug: upgrade",
            ) from None
    if data and not data.endswith(b"\n"):
        raise RecordError(f"{name}: it is cut off: the last line is not complete")
    return content


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _unquoted(text: bytes) -> str | None:
    plain = text[1:-1]
    if plain.isascii() and b"\\" not in plain and b'"' not in plain and (key := plain.decode()).isprintable():
        return key
    try:
        key = json.loads(text)
    except ValueError:
        return None
    return key if isinstance(key, str) else None


def name_of(number: int, lines: bytes) -> str:
    """The name of the segment with these lines."""
    return f"{number:06d}-{hashlib.sha256(lines).hexdigest()[:12]}"


def is_named_for(name: str, lines: bytes) -> bool:
    """Whether a segment of this name has these lines."""
    match = NAME.fullmatch(name)
    return match is not None and name_of(int(match[1]), lines) == name


def mark_of(key: str) -> bytes:
    """Return the INDEX entry of a key: the mark of its group, or its own mark if it is in no group."""
    return group_mark(group_of(key) or key)


def marks_of(keys: Iterable[str]) -> bytes:
    """The marks of a segment, sorted, each once."""
    return b"".join(sorted({mark_of(key) for key in keys}))


def write_index(marks: Mapping[str, bytes]) -> bytes:
    """The INDEX of segment → marks."""
    return b"".join(
        f"{name} {len(block) // MARK}\n".encode() + block for name, block in sorted(marks.items(), key=lambda m: m[0])
    )


def read_index(data: bytes) -> dict[str, bytes]:
    """Segment → marks, as far as it can be read: a segment that is not in it is searched in any case."""
    marks: dict[str, bytes] = {}
    at = 0
    while (end := data.find(b"\n", at, at + 64)) >= 0:
        name, _, count = data[at:end].decode(errors="replace").partition(" ")
        if not (NAME.fullmatch(name) and count.isascii() and count.isdigit()):
            break
        block = data[end + 1 : end + 1 + int(count) * MARK]
        if len(block) != int(count) * MARK:
            break
        marks[name] = block
        at = end + 1 + len(block)
    return marks


def holds(block: bytes, marks: set[bytes]) -> bool:
    """Whether one of these marks is among those of a segment."""
    # As numbers: no object is made for each mark of the block.
    numbers = set(memoryview(b"".join(marks)).cast("I"))
    return not numbers.isdisjoint(memoryview(block).cast("I"))
