"""The local spool: what has been logged and not yet been accepted by the store is on disk, and survives a crash.

<spool>/<run id>/lock          held by the process that owns the run
<spool>/<run id>/open.json     what was known when the run began
<spool>/<run id>/log.ndjson    what the training logs, a line each, appended as it happens
<spool>/<run id>/sealed.json   the objects to send, once the run has ended
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ciplug.errors import StoreError
from ciplug.locking import acquire, write_atomically


@dataclass(frozen=True)
class Sealed:
    """A finished run that waits to be sent."""

    folder: Path
    store: str
    objects: Mapping[str, bytes]

    def discard(self) -> None:
        """Forget it, since the store has it."""
        # First, lest another process take a half-removed folder for a run that was killed.
        with contextlib.suppress(OSError):
            (self.folder / "open.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class OpenRun:
    """A run that is going on, and belongs to this process."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], lock: IO[bytes] | None) -> None:
        self.folder = folder
        self.facts = facts
        self._lock = lock

    @property
    def id(self) -> str:
        return self.folder.name

    def seal(self, store: str, objects: Mapping[str, bytes]) -> Sealed:
        """Put the objects on disk, whole and synced; from here on nothing is lost."""
        packed = {key: base64.b64encode(data).decode() for key, data in objects.items()}
        write_atomically(self.folder / "sealed.json", json.dumps({"store": store, "objects": packed}).encode())
        self.release()
        return Sealed(self.folder, store, objects)

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class Spool:
    """All runs on this disk that no store has accepted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        name = hashlib.sha256(str(folder.absolute()).encode(errors="surrogateescape")).hexdigest()[:12]
        self._fallback = Path(tempfile.gettempdir()) / f"ciplug-spool-{name}"

    def _entries(self, name: str) -> list[Path]:
        folders = (self.folder, self._fallback) if _is_ours(self._fallback) else (self.folder,)
        return sorted(path for folder in folders for path in folder.glob(f"*/{name}"))

    def begin(self, run_id: str, facts: Mapping[str, Any]) -> OpenRun:
        """Open a run. Where the folder cannot be written, one in the system's temporary folder takes its place."""
        folder = self.folder / run_id
        try:
            folder.mkdir(parents=True)
        except OSError as first:
            folder = self._fallback / run_id
            try:
                self._fallback.mkdir(mode=0o700, exist_ok=True)
                if not _is_ours(self._fallback):
                    raise first
                folder.mkdir()
            except OSError as problem:
                raise StoreError(
                    f"the spool cannot be written: {problem}", hint="name a folder that can: CIPLUG_SPOOL=DIR"
                ) from None
        lock = acquire(folder / "lock")
        write_atomically(folder / "open.json", json.dumps(facts).encode())
        return OpenRun(folder, facts, lock)

    def sealed(self, store: str | None = None) -> list[Sealed]:
        """The finished runs, of one store or of all."""
        found = []
        for path in self._entries("sealed.json"):
            with contextlib.suppress(FileNotFoundError):  # sent by another process meanwhile
                try:
                    data = json.loads(path.read_bytes())
                    objects = {key: base64.b64decode(value) for key, value in data["objects"].items()}
                    entry = Sealed(path.parent, data["store"], objects)
                except (ValueError, KeyError, TypeError, AttributeError) as problem:
                    raise StoreError(f"{path} is damaged: {problem}", hint="move the folder away to go on") from None
                if store is None or entry.store == store:
                    found.append(entry)
        return found

    def abandoned(self) -> list[OpenRun]:
        """Runs whose owner ended without sealing them: killed, or the machine went down. They are now ours."""
        found = []
        for path in self._entries("open.json"):
            if (path.parent / "sealed.json").exists():
                continue
            lock = acquire(path.parent / "lock")
            if lock is None:
                continue
            if (path.parent / "sealed.json").exists() or not path.exists():
                lock.close()
                continue
            try:
                facts = json.loads(path.read_bytes())
            except ValueError:
                facts = {}
            found.append(OpenRun(path.parent, facts if isinstance(facts, dict) else {}, lock))
        return found


def _is_ours(folder: Path) -> bool:
    """Whether we made a folder that anyone on this machine could have made."""
    try:
        owner = folder.lstat().st_uid
    except OSError:
        return False
    return not hasattr(os, "getuid") or owner == os.getuid()
