"""Objects in one file: how a job that may not push hands its runs over, and what an object store takes as one write.

A line of JSON each: first the header, then the objects by key, as `text` where they are UTF-8, else as `base64`.
The same objects are always the same bytes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from ciplug.errors import RecordError
from ciplug.records import canonical

FORMAT = "ciplug-bundle"
VERSION = 1
MAX_BYTES = 256 * 1024 * 1024
MAX_OBJECTS = 10_000
FILES = "files"
"""The folder beside a bundle with the files of its artifacts, each under the hex digits of its SHA-256."""
_MAX_KEY = 1024
_MAX_HEADER = 1024
_DECODER = json.JSONDecoder()


def pack(objects: Mapping[str, bytes]) -> bytes:
    """Return the content of a bundle. Raises RecordError for objects that `unpack` would not accept."""
    lines = [canonical.dumps({"format": FORMAT, "version": VERSION})]
    for key in sorted(objects):
        if not is_key(key):
            raise RecordError(f"{key!r:.80} is not a key")
        lines.append(canonical.dumps({"key": key, **_value(objects[key])}))
    data = b"".join(lines)
    _check_size(len(data), len(objects), "the bundle")
    return data


def _value(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def unpack(data: bytes, name: str) -> dict[str, bytes]:
    """Return the objects of a bundle, which may be untrusted. Raises RecordError, naming `name` and the line."""
    end = data.find(b"\n", 0, _MAX_HEADER)
    try:
        first: Any = json.loads(data[: max(end, 0)].decode())  # of bytes, json guesses the encoding
        if first["format"] != FORMAT:
            raise ValueError
        version = first["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RecordError(f"{name}:1: not a bundle of ciplug") from None
    if version != VERSION:
        raise RecordError(
            f"{name}: a bundle of version {version!r:.20}, this ciplug reads {VERSION}", hint="upgrade ciplug"
        )
    if not data.endswith(b"\n"):
        raise RecordError(f"{name}: it is cut off: the last line is not complete")
    # Counted before it is taken apart: a hundred million empty lines are a hundred million objects of Python.
    _check_size(len(data), data.count(b"\n") - 1, name)
    objects: dict[str, bytes] = {}
    for number, line in enumerate(data[end + 1 :].split(b"\n")[:-1], start=2):
        try:
            key, value = _object(line)
            if key in objects:
                raise ValueError(f"the key {key!r:.80} appears twice")
        except (ValueError, RecursionError) as problem:
            raise RecordError(f"{name}:{number}: not an object of a bundle: {problem}") from None
        objects[key] = value
    return objects


def _check_size(size: int, objects: int, name: str) -> None:
    if size > MAX_BYTES:
        raise RecordError(f"{name}: {size:,} bytes; a bundle has at most {MAX_BYTES:,}")
    if objects > MAX_OBJECTS:
        raise RecordError(f"{name}: {objects:,} objects; a bundle has at most {MAX_OBJECTS:,}")


def _object(line: bytes) -> tuple[str, bytes]:
    """Return the key and the content of one line. Raises ValueError."""
    entry = dict(_two_strings(line.decode()))
    key = entry.pop("key", "")
    if not is_key(key):
        raise ValueError(f"{key!r:.80} is not a key")
    if "text" in entry:
        return key, entry["text"].encode()
    if "base64" in entry:
        return key, base64.b64decode(entry["base64"], validate=True)
    raise ValueError("'key' and one of 'text' and 'base64' are expected")


def _two_strings(line: str) -> list[tuple[str, str]]:
    """Parse a JSON object with two string members, as `pack` writes it. Whatever a line contains, no more is built."""
    members = []
    at = 0
    for mark in "{,":
        pair = []
        for before in (mark, ":"):
            if line[at : at + 2] != f'{before}"':
                raise ValueError(f'{before}" is expected in column {at + 1}')
            text, at = _DECODER.raw_decode(line, at + 1)  # what begins with a quote is a string
            pair.append(text)
        members.append((pair[0], pair[1]))
    if line[at : at + 2] != "}":
        raise ValueError(f"}} is expected in column {at + 1}")
    return members


def is_key(key: object) -> bool:
    """Whether a text can be a key: a relative path of printable components, none of them special to any system."""
    if not isinstance(key, str) or not key or len(key) > _MAX_KEY or not key.isprintable() or "\\" in key:
        return False
    return all(part not in ("", ".", "..") and part.lower() != ".git" for part in key.split("/"))
