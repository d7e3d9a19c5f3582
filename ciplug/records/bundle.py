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
_MAX_KEY = 1024


def pack(objects: Mapping[str, bytes]) -> bytes:
    """The bytes of a bundle."""
    lines = [canonical.dumps({"format": FORMAT, "version": VERSION})]
    for key in sorted(objects):
        lines.append(canonical.dumps({"key": key, **_value(objects[key])}))
    return b"".join(lines)


def _value(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def unpack(data: bytes, name: str) -> dict[str, bytes]:
    """The objects of a bundle, which may be anybody's. Raises RecordError, naming `name` and the line."""
    if len(data) > MAX_BYTES:
        raise RecordError(f"{name}: {len(data):,} bytes; a bundle has at most {MAX_BYTES:,}")
    header, *lines = data.split(b"\n")
    try:
        first: Any = json.loads(header)
        if first["format"] != FORMAT:
            raise ValueError
        version = first["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RecordError(f"{name}:1: not a bundle of ciplug") from None
    if version != VERSION:
        raise RecordError(
            f"{name}: a bundle of version {version!r}, this ciplug reads {VERSION}", hint="upgrade ciplug"
        )
    if not lines or lines.pop():
        raise RecordError(f"{name}: it is cut off: the last line has no end")
    if len(lines) > MAX_OBJECTS:
        raise RecordError(f"{name}: {len(lines):,} objects; a bundle has at most {MAX_OBJECTS:,}")
    objects: dict[str, bytes] = {}
    for number, line in enumerate(lines, start=2):
        try:
            entry: Any = json.loads(line)
            key = entry["key"]
            if not is_key(key):
                raise ValueError(f"{key!r:.80} is no key")
            if key in objects:
                raise ValueError(f"the key {key!r:.80} stands twice")
            objects[key] = (
                entry["text"].encode() if "text" in entry else base64.b64decode(entry["base64"], validate=True)
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise RecordError(f"{name}:{number}: no object of a bundle: {problem}") from None
    return objects


def is_key(key: object) -> bool:
    """Whether a text can be a key: a relative path of printable components, none of them special to any system."""
    if not isinstance(key, str) or not key or len(key) > _MAX_KEY or not key.isprintable() or "\\" in key:
        return False
    return all(part not in ("", ".", "..") and part.lower() != ".git" for part in key.split("/"))
