"""The local spool: what has been logged and not yet been accepted by the store is on disk, and survives a crash.

<spool>/<run id>/lock          held by the process that owns the run, and by the training that it has started
<spool>/<run id>/open.json     what was known when the run began
<spool>/<run id>/log.ndjson    what the training logs, a line each, appended as it happens
<spool>/<run id>/sealed.json   the objects to send, once the run has ended

Each of these files appears whole, or, the log, line by line. Whoever is killed at any point leaves a run that is
open, which the next command seals as killed, or one that is sealed, which it sends: again, if need be, since that
is the same bytes. While a process of its training lives it is not taken for killed, though `ciplug run` was. A folder
with neither was never begun, or is sent and half removed.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ciplug.errors import CiplugError, RecordError, StoreError
from ciplug.locking import acquire, held, release, sync_folder, write_atomically

SEALED = "sealed.json"
_LEFTOVER_SECONDS = 3600


@dataclass(frozen=True)
class Sealed:
    """A finished run that waits to be sent."""

    folder: Path
    store: str
    objects: Mapping[str, bytes]

    @property
    def waits(self) -> bool:
        """Whether no process, of those that share the spool, has sent it yet."""
        return (self.folder / SEALED).exists()

    def discard(self) -> None:
        """Forget it, since the store has it."""
        # In this order, lest another process take a half-removed folder for a run that was killed, or for one that
        # still waits, with its files gone.
        for name in ("open.json", SEALED):
            with contextlib.suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class OpenRun:
    """A run that is going on, and belongs to this process."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], lock: IO[bytes] | None) -> None:
        self.folder = folder
        self.facts = facts
        self.notice = ""
        """Why it is not where the user would look for it."""
        self._lock = lock

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def locks(self) -> tuple[int, ...]:
        """Descriptors for the training to inherit, so that the run is not taken for abandoned while it lives."""
        return () if self._lock is None else (self._lock.fileno(),)

    def seal(self, store: str, objects: Mapping[str, bytes]) -> Sealed:
        """Put the objects on disk, whole and synced; from here on nothing is lost. Raises StoreError on a full disk."""
        packed = {key: base64.b64encode(data).decode() for key, data in objects.items()}
        try:
            write_atomically(self.folder / SEALED, json.dumps({"store": store, "objects": packed}).encode())
        except OSError as problem:
            raise StoreError(
                f"the run cannot be kept: {self.folder}: {problem.strerror}",
                hint="free some space there, or name another folder: CIPLUG_SPOOL=DIR, and record it again; "
                "what it logged is kept, and the next command records that as a killed run",
            ) from None
        self.release()
        return Sealed(self.folder, store, objects)

    def release(self) -> None:
        if self._lock is not None:
            release(self._lock)
            self._lock = None


class Spool:
    """All runs on this disk that no store has accepted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        name = hashlib.sha256(str(folder.absolute()).encode(errors="surrogateescape")).hexdigest()[:12]
        self._fallback = Path(tempfile.gettempdir()) / f"ciplug-spool-{name}"

    def _entries(self, name: str) -> list[Path]:
        return sorted(path for folder in self._folders() for path in folder.glob(f"*/{name}"))

    def _folders(self) -> list[Path]:
        return [self.folder, self._fallback] if _is_ours(self._fallback) else [self.folder]

    def begin(self, run_id: str, facts: Mapping[str, Any]) -> OpenRun:
        """Open a run. Where the folder cannot be written, one in the system's temporary folder takes its place."""
        try:
            return _open(self.folder / run_id, facts)
        except OSError as first:
            try:
                self._fallback.mkdir(mode=0o700, exist_ok=True)
                if not _is_ours(self._fallback):
                    raise first
                entry = _open(self._fallback / run_id, facts)
                why = first.strerror or first
                entry.notice = f"the spool {self.folder} cannot be written ({why}): {self._fallback} takes its place"
                return entry
            except OSError as problem:
                raise StoreError(
                    f"the spool cannot be written: {problem}",
                    hint="free some space there, or name another folder: CIPLUG_SPOOL=DIR",
                ) from None

    def sealed(self, store: str | None = None) -> list[Sealed]:
        """The finished runs, of one store or of all."""
        found = []
        for path in self._entries(SEALED):
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
        """Runs whose owner ended without sealing them: killed, or the machine went down. They are now ours.

        The facts of one that cannot be read are empty.
        """
        self._sweep()
        found = []
        for path in self._entries("open.json"):
            if (path.parent / SEALED).exists():
                continue
            if not path.exists():
                continue  # sent by another process meanwhile
            lock = acquire(path.parent / "lock")
            if lock is None:
                continue
            if (path.parent / SEALED).exists() or not path.exists():
                lock.close()
                continue
            try:
                facts = json.loads(path.read_bytes())
            except ValueError:
                facts = {}
            found.append(OpenRun(path.parent, facts if isinstance(facts, dict) else {}, lock))
        return found

    def _sweep(self) -> None:
        """Remove what is left of folders whose owner was killed while it made or discarded them."""
        for folder in (path for top in self._folders() for path in top.glob("*") if path.is_dir()):
            with contextlib.suppress(OSError):
                old = time.time() - folder.stat().st_mtime > _LEFTOVER_SECONDS
                if old and not (folder / "open.json").exists() and not (folder / SEALED).exists():
                    shutil.rmtree(folder, ignore_errors=True)

    def hand_over(self, entries: Sequence[Sealed], path: Path, again: str = "ciplug record --spooled") -> list[Sealed]:
        """Put finished runs into the bundle `path`, in place of sending them; returns those that still waited.

        Bytes of artifacts that wait with them are given up. A bundle that is there already is added to. Raises
        StoreError when it cannot be written, or the file is no bundle: then everything stays here, and its hint says
        how the command `again` tries once more.
        """
        from ciplug.capture.artifacts import waiting as files_of
        from ciplug.capture.artifacts import without_files
        from ciplug.records import bundle

        if not entries:
            return []
        with held(entries[0].folder.parent / "bundle.lock"):
            waiting = [sealed for sealed in entries if sealed.waits]
            if not waiting:
                return []
            try:
                objects = read_bundle(path)
                for sealed in waiting:
                    # A bundle holds no bytes of artifacts: its records name their digests alone.
                    for key, data in without_files(sealed.folder, sealed.objects).items():
                        if objects.setdefault(key, data) != data:
                            raise RecordError(f"{path} holds other bytes under {key}")
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, bundle.pack(objects))
            except (CiplugError, OSError) as problem:
                why = problem.message if isinstance(problem, CiplugError) else f"{path}: {problem.strerror}"
                again += " --bundle FILE"
                if any(files_of(sealed.folder) for sealed in waiting):
                    again += " --artifact-store none"
                raise StoreError(
                    f"the bundle is not written: {why}",
                    hint=f"the run is kept in {waiting[0].folder}; try again: {again}",
                ) from None
            for sealed in waiting:
                sealed.discard()
        return waiting


def read_bundle(path: Path) -> dict[str, bytes]:
    """The objects of a bundle of this machine; none where there is no file. Raises RecordError for another file."""
    from ciplug.records import bundle

    return bundle.unpack(path.read_bytes(), str(path)) if path.exists() else {}


def _open(folder: Path, facts: Mapping[str, Any]) -> OpenRun:
    folder.mkdir(parents=True)
    lock = None
    try:
        lock = acquire(folder / "lock")
        write_atomically(folder / "open.json", json.dumps(facts).encode())
        sync_folder(folder.parent)
    except OSError:
        if lock is not None:
            lock.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return OpenRun(folder, facts, lock)


def _is_ours(folder: Path) -> bool:
    """Whether we made a folder that anyone on this machine could have made."""
    try:
        owner = folder.lstat().st_uid
    except OSError:
        return False
    return not hasattr(os, "getuid") or owner == os.getuid()
