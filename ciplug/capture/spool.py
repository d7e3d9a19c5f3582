"""The local spool: what was logged and not accepted by the store yet is on disk, and survives a crash.

There is a folder for each run; `capture.writer` describes its files. Each file appears whole, and the log line by line.
A process that is killed at any point leaves a run that is open, which the next command seals as killed, or one that is
sealed, which the next command sends: twice if need be, since that is the same bytes. As long as one process has a run
open, it is not taken for killed, even if its creator was. A folder with neither an open nor a sealed run was never
begun, or was sent and is half removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ciplug.capture.log import FILE
from ciplug.capture.sealed import REFUSED, SEALED, Sealed, read_sealed, without_open_parents
from ciplug.capture.writer import BESIDE, ENDING, LOCK, OPEN, SERVER, RunWriter, read_facts
from ciplug.errors import CiplugError, RecordError, StoreError
from ciplug.locking import acquire, held, write_atomically

_LEFTOVER_SECONDS = 3600
LEASE_SECONDS = 7 * 86_400
"""A run of a server ends after so long a silence."""


class Spool:
    """All runs on this disk that no store has accepted yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        name = hashlib.sha256(str(folder.absolute()).encode(errors="surrogateescape")).hexdigest()[:12]
        self._fallback = Path(tempfile.gettempdir()) / f"ciplug-spool-{name}"

    def _entries(self, name: str) -> list[Path]:
        return sorted(path for folder in self._folders() for path in folder.glob(f"*/{name}"))

    def _folders(self) -> list[Path]:
        return [self.folder, self._fallback] if _is_ours(self._fallback) else [self.folder]

    def entries(self) -> list[Path]:
        """The folders of all entries, whatever state they are in."""
        entries = []
        for top in self._folders():
            with contextlib.suppress(FileNotFoundError), os.scandir(top) as listed:
                entries += [Path(one.path) for one in listed if not one.name.startswith(".") and one.is_dir()]
        return entries

    def open_session(self, run_id: str) -> RunWriter | None:
        """Open what MLflow's client changes about a recorded run, or about what has no record."""
        for folder in self._folders_of(run_id):
            writer = RunWriter.open(folder) if "." in folder.name else None
            if writer is not None and writer.by_client:
                return writer
            if writer is not None:
                writer.release()
        return None

    def create(self, run_id: str, facts: Mapping[str, Any]) -> RunWriter:
        """Begin a run. Where the folder cannot be written, one in the system's temporary folder takes its place.

        Raises StoreError where neither can.
        """
        try:
            return RunWriter.create(self.folder / run_id, facts)
        except OSError as first:
            try:
                self._fallback.mkdir(mode=0o700, exist_ok=True)
                if not _is_ours(self._fallback):
                    raise first
                writer = RunWriter.create(self._fallback / run_id, facts)
                why = first.strerror or first
                writer.notice = f"the spool {self.folder} cannot be written ({why}): {self._fallback} takes its place"
                return writer
            except OSError as problem:
                raise StoreError(
                    f"the spool cannot be written: {problem}",
                    hint="free some space there, or name another folder: CIPLUG_SPOOL=DIR",
                ) from None

    def open(self, run_id: str) -> RunWriter | None:
        """Open a run that a process of this machine has begun, or resumed; None where it has ended, or is not here."""
        return next(filter(None, map(RunWriter.open, self._folders_of(run_id))), None)

    def _folders_of(self, run_id: str) -> list[Path]:
        """The folders of a run, and of the times it was resumed."""
        return [path for top in self._folders() for path in (top / run_id, *sorted(top.glob(f"{run_id}.*")))]

    def create_session(self, run_id: str, facts: Mapping[str, Any]) -> RunWriter:
        """Begin what is logged to a run that is recorded. Raises StoreError where nothing can be written."""
        for number in itertools.count(1):
            name = f"{run_id}.{number}"
            if not any((top / name).exists() for top in self._folders()):
                return self.create(name, facts)
        raise AssertionError

    def sealed_of(self, run_id: str) -> list[Sealed]:
        """A run that waits to be sent, and its amendments that do. Raises StoreError for a damaged entry."""
        return list(filter(None, map(read_sealed, self._folders_of(run_id))))

    def open_of(self, processes: Collection[int]) -> RunWriter | None:
        """Open the run that one of these processes has begun last; None where they have no open run."""
        begun = []
        for path in self._entries(OPEN):
            with contextlib.suppress(OSError):
                facts = read_facts(path)
                if facts and facts.get("process") in processes:
                    begun.append((path.stat().st_mtime_ns, path.parent))
        return next(filter(None, (RunWriter.open(folder) for _, folder in sorted(begun, reverse=True))), None)

    def mark_beside(self, entry: RunWriter) -> list[str]:
        """Mark the open runs that are to write a file of this one as beside it, and it as beside them; returns ids."""
        outputs = set(entry.facts.get("outputs") or ())
        marked = []
        for path in self._entries(OPEN):
            facts = read_facts(path) if path.parent.name != entry.id else None
            if facts and outputs & set(facts.get("outputs") or ()):
                other = path.parent.name
                for folder, name in ((path.parent, entry.id), (entry.folder, other)):
                    with contextlib.suppress(OSError):
                        (folder / f"{BESIDE}{name}").touch(0o600)
                marked.append(other)
        return marked

    def sealed(self, store: str | None = None) -> list[Sealed]:
        """The finished runs, of one store or of all, without child runs whose parent is still open.

        Raises StoreError for a damaged entry.
        """
        # Both before and after: a parent that is begun or sealed meanwhile must not be missed.
        before = self._open_runs()
        entries = list(filter(None, (read_sealed(path.parent) for path in self._entries(SEALED))))
        ready = without_open_parents(entries, before | self._open_runs())
        return [entry for entry in ready if store is None or entry.store == store]

    def refused(self) -> list[Path]:
        """The folders of entries that their store can never take: they are set aside, and nothing sends them."""
        return [path.parent for path in self._entries(REFUSED)]

    def _open_runs(self) -> set[str]:
        """Ids of the runs that nobody has sealed yet, whether a process has them open or not."""
        folders = [path.parent for name in (OPEN, ENDING) for path in self._entries(name)]
        return {folder.name for folder in folders if not (folder / SEALED).exists()}

    def abandoned(self) -> list[RunWriter]:
        """Runs that no process has open any more, and that nobody sealed: killed, or the machine went down.

        They are now ours, and locked. The facts of one that cannot be read are empty.
        """
        self._sweep()
        entries = (self._taken_over(path.parent) for name in (OPEN, ENDING) for path in self._entries(name))
        return list(filter(None, entries))

    def _taken_over(self, folder: Path) -> RunWriter | None:
        if _unfinished(folder) is None or _leased(folder):
            return None
        lock = acquire(folder / LOCK)
        if lock is None:
            return None
        facts = _unfinished(folder)  # Another process may have sealed it meanwhile.
        if facts is None:
            lock.close()
            return None
        return RunWriter(folder, facts, lock)

    def _sweep(self) -> None:
        """Remove what is left of folders whose owner was killed while it made or discarded them."""
        for part in (path for top in self._folders() for path in top.glob(".*.part")):
            with contextlib.suppress(OSError):
                if time.time() - part.stat().st_mtime > _LEFTOVER_SECONDS:
                    part.unlink()
        for folder in (path for top in self._folders() for path in top.glob("*") if path.is_dir()):
            with contextlib.suppress(OSError):
                old = time.time() - folder.stat().st_mtime > _LEFTOVER_SECONDS
                if old and not any((folder / name).exists() for name in (OPEN, ENDING, SEALED, REFUSED)):
                    shutil.rmtree(folder, ignore_errors=True)

    def hand_over(
        self,
        entries: Sequence[Sealed],
        path: Path,
        again: str = "ciplug record --spooled",
        *,
        with_files: bool = True,
    ) -> list[Sealed]:
        """Put finished runs into the bundle `path` instead of sending them; returns those that still wait.

        The files that wait with them go into a folder beside it, unless they are given up. A bundle that is there
        already is added to. Raises StoreError when it cannot be written, or the file is not a bundle: then everything
        stays here, and its hint says how the command `again` tries once more.
        """
        from ciplug.capture.artifacts import put_beside, without_files
        from ciplug.records import bundle

        if not entries:
            return []
        with held(entries[0].folder.parent / "bundle.lock"):
            waiting = [sealed for sealed in entries if sealed.waits]
            if not waiting:
                return []
            try:
                objects = read_bundle(path)
                path.parent.mkdir(parents=True, exist_ok=True)
                for sealed in waiting:
                    if with_files:
                        own = put_beside(sealed.folder, sealed.objects, path)
                    else:
                        own = without_files(sealed.folder, sealed.objects)
                    for key, data in own.items():
                        if objects.setdefault(key, data) != data:
                            raise RecordError(f"{path} holds other bytes under {key}")
                write_atomically(path, bundle.pack(objects))
            except (CiplugError, OSError) as problem:
                why = problem.message if isinstance(problem, CiplugError) else f"{path}: {problem.strerror}"
                raise StoreError(
                    f"the bundle is not written: {why}",
                    hint=f"the run is kept in {waiting[0].folder}; try again: {again} --bundle FILE",
                ) from None
            for sealed in waiting:
                sealed.discard()
        return waiting


def read_bundle(path: Path) -> dict[str, bytes]:
    """The objects of a bundle of this machine; none where there is no file. Raises RecordError for another file."""
    from ciplug.records import bundle

    return bundle.unpack(path.read_bytes(), str(path)) if path.exists() else {}


def _unfinished(folder: Path) -> dict[str, Any] | None:
    """The facts of a run that is open, or that somebody was about to seal; None for any other folder."""
    if (folder / SEALED).exists():
        return None
    facts = read_facts(folder / OPEN)
    return read_facts(folder / ENDING) if facts is None else facts


def _leased(folder: Path) -> bool:
    """Whether a run belongs to a server, which may be restarted: it outlives all processes, up to a long silence."""
    facts = _unfinished(folder) or {}
    if facts.get("owner") != SERVER:
        return False
    times = [path.stat().st_mtime for name in (OPEN, FILE) if (path := folder / name).exists()]
    return time.time() - max(times, default=0.0) < LEASE_SECONDS


def _is_ours(folder: Path) -> bool:
    """Whether we made a folder that anyone on this machine could have made."""
    try:
        owner = folder.lstat().st_uid
    except OSError:
        return False
    return not hasattr(os, "getuid") or owner == os.getuid()
