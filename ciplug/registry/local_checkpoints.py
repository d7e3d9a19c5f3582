"""Checkpoints of this clone, states folded from verified events: reading a long log begins at the last of them.

They are a cache of this clone, made of nothing but what it has verified itself, so no store can give it a wrong one.
Each is bound to the digest of the event that it ends with; a log that has another event there is read from its start.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ciplug.records.canonical import digest
from ciplug.registry.model import Model
from ciplug.registry.model_values import model_from, model_value
from ciplug.stores.base import Head

EVERY = 256
"""Events between two states of the past that are kept, for questions about that time."""
STALE = 32
"""Events after the newest state that are folded again and again before a new one is kept."""


class Snapshot(NamedTuple):
    """The state of a model after an event."""

    model: Model
    head: Head
    times: Sequence[str] | None = ()
    """When each event was made, first to last; only the newest state has them. None: it began with a state that the
    store keeps, so the events before were not read."""


class Snapshots:
    """The states of the models of one store, in a folder of this clone. What cannot be read does not exist."""

    def __init__(self, folder: Path, key: str) -> None:
        """
        Args:
            key: changes with whatever a state depends on besides the events: the signers, the version of ciplug.
        """
        self._folder = folder
        self._key = key

    def newest(self, model: str) -> Snapshot | None:
        """The last state that was kept."""
        return self._read(model, "newest")

    def around(self, model: str, seq: int) -> tuple[Snapshot | None, Head | None]:
        """The kept state before or at an event, and the head of the one at or after it."""
        before = (seq // EVERY) * EVERY
        after = -(-seq // EVERY) * EVERY
        return (self._read(model, str(before)) if before else None), self._head(model, str(after))

    def keep(self, snapshot: Snapshot, *, newest: bool) -> None:
        """Keep a state; a folder that cannot be written keeps nothing."""
        name = "newest" if newest else str(snapshot.head.seq)
        data = _encode(snapshot if newest else snapshot._replace(times=()), self._key)
        with contextlib.suppress(OSError):
            path = self._path(snapshot.model.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{name}.{hashlib.sha256(data).hexdigest()[:12]}.part")
            part.write_bytes(data)
            part.replace(path)

    def _path(self, model: str, name: str) -> Path:
        return self._folder / hashlib.sha256(model.encode(errors="surrogateescape")).hexdigest()[:24] / f"{name}.state"

    def _head(self, model: str, name: str) -> Head | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            opened = _open(self._path(model, name).read_bytes(), self._key)
            return opened[0] if opened else None
        return None

    def _read(self, model: str, name: str) -> Snapshot | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):
            snapshot = _decode(self._path(model, name).read_bytes(), self._key)
            return snapshot if snapshot and snapshot.model.name == model else None
        return None


def _encode(snapshot: Snapshot, key: str) -> bytes:
    value = {**model_value(snapshot.model), "times": snapshot.times and list(snapshot.times)}
    about = json.dumps({"key": key, "head": snapshot.head})
    content = about.encode() + b"\n" + zlib.compress(json.dumps(value, default=dict, separators=(",", ":")).encode(), 1)
    # A damaged file is noticed, whatever it says.
    return digest(content).encode() + b"\n" + content


def _open(data: bytes, key: str) -> tuple[Head, bytes] | None:
    """The head of a state, and its packed content; None for a damaged file, or one that depends on something else."""
    mark, _, content = data.partition(b"\n")
    if mark.decode(errors="replace") != digest(content):
        return None
    about, _, packed = content.partition(b"\n")
    facts = json.loads(about)
    if facts["key"] != key:
        return None
    seq, seen = facts["head"]
    return Head(int(seq), str(seen)), packed


def _decode(data: bytes, key: str) -> Snapshot | None:
    opened = _open(data, key)
    if opened is None:
        return None
    head, packed = opened
    value: dict[str, Any] = json.loads(zlib.decompress(packed))
    return Snapshot(model_from(value), head, value["times"])
