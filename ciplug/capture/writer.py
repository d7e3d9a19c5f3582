"""An open run: any process of the machine may open it by its id and append; one seals it.

A recorded run that was resumed is open in the same way, in a folder <spool>/<run id>.<number>.

<spool>/<run id>/lock         held by every process that logs to the run, shared
<spool>/<run id>/open.json    what was known when the run began; it is there as long as events are taken
<spool>/<run id>/ending.json  the same file, from the moment at which somebody begins to seal the run
<spool>/<run id>/log.ndjson   what was logged
<spool>/<run id>/kept/…        files that its programs gave to it: figures, images, tables
<spool>/<run id>/beside-<id>  that run went on at the same time, and was to write some of the same files
<spool>/<run id>/sealed.json  the objects to send
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ciplug.capture.amending import check_late
from ciplug.capture.events import Event
from ciplug.capture.log import Log, Reader
from ciplug.capture.logged import Logged
from ciplug.capture.sealed import Sealed, write_sealed
from ciplug.errors import StoreError, UsageError
from ciplug.locking import acquire, held, release, sync_folder, upgrade, write_atomically

KEPT = "kept"
"""The folder of the files that the training has given to the run."""
OPEN, ENDING, LOCK = "open.json", "ending.json", "lock"
JOINED = "joined"
BESIDE = "beside-"
"""The beginning of the name of an empty file, whose end is the id of a run."""
BY_CLIENT = "by_client"
SERVER = "server"
"""The owner of a run that outlives the processes which log to it."""


class RunWriter:
    """A run that is going on, as one of its processes has it open."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], lock: IO[bytes] | None) -> None:
        self.folder = folder
        self.facts = facts
        """Of the run's beginning: `run` and `store`; `owner` of a leased run; `amends` of one that was resumed."""
        self.notice = ""
        """The reason why the run is not in the folder where the user would expect it."""
        self._lock = lock
        self._process = os.getpid()
        self._log = Log(folder)
        self._reader = Reader(folder)
        self._open = folder / OPEN

    @classmethod
    def create(cls, folder: Path, facts: Mapping[str, Any]) -> RunWriter:
        """Begin a run in a new folder. Raises OSError, and leaves nothing behind then."""
        import shutil

        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        lock = None
        try:
            lock = acquire(folder / LOCK, shared=True)
            write_atomically(folder / OPEN, json.dumps(facts).encode(), private=True)
            sync_folder(folder.parent)
        except OSError:
            if lock is not None:
                lock.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(folder, facts, lock)

    @classmethod
    def open(cls, folder: Path) -> RunWriter | None:
        """Open a run that another process has begun; None where it has ended, or was never there."""
        if not (folder / OPEN).exists():
            return None
        # Whoever looks for abandoned runs holds the lock for a moment.
        lock = acquire(folder / LOCK, shared=True, wait=5)
        facts = read_facts(folder / OPEN)
        if lock is None or facts is None:
            if lock is not None:
                lock.close()
            return None
        return cls(folder, facts, lock)

    @property
    def id(self) -> str:
        return run_of(self.folder.name)

    @property
    def amends(self) -> Mapping[str, Any] | None:
        """What an amendment needs, of a recorded run that was resumed; None for a run that is not recorded yet."""
        facts = self.facts.get("amends")
        return facts if isinstance(facts, dict) else None

    @property
    def by_client(self) -> bool:
        """Whether an amendment is made by MLflow's client: a single change, or a run that was resumed."""
        return bool(self.facts.get(BY_CLIENT))

    @property
    def parent(self) -> str | None:
        """The id of the run that this one is a child of."""
        run = self.facts.get("run")
        return run.get("parent") if isinstance(run, dict) else None

    def beside(self) -> tuple[str, ...]:
        """Ids of the runs that went on at the same time, and were to write some of the same files."""
        return tuple(sorted(path.name.removeprefix(BESIDE) for path in self.folder.glob(f"{BESIDE}*")))

    @property
    def locks(self) -> tuple[int, ...]:
        """Descriptors for the training to inherit, so that the run is not taken for abandoned while it lives."""
        return () if self._lock is None else (self._lock.fileno(),)

    @property
    def is_open(self) -> bool:
        """Whether the run still accepts events."""
        # By `Path.exists`, it takes three times as long, for each number that is logged.
        return os.access(self._open, os.F_OK)

    def append(self, *events: Event) -> None:
        """Log events in one write. Once this returns, the events are in the run's record.

        Raises UsageError when the run has ended, or is recorded and cannot take them; StoreError when the disk does
        not take them.
        """
        if self.amends is not None:
            check_late(self.id, self.amends.get("params", {}), events, by_client=self.by_client)
        self._log.append(*events)
        # Asked afterwards: the log is read once this file has gone, so what was written before that is in it.
        if not self.is_open:
            raise UsageError(
                f"run {self.id} has ended: nothing more can be logged to it",
                hint="log before it ends, or to a run of its own: ciplug.start_run()",
            )

    def keep(self, name: str, make: Callable[[bytes | None], bytes]) -> None:
        """Keep a file of the run under a name like `plots/roc.png`.

        Args:
            make: gives the bytes, from those that are kept under the name already.

        Raises what `make` raises, and as `append`.
        """
        path = self.folder / KEPT / name
        with held(self.folder / "keeping"):
            data = make(path.read_bytes() if path.is_file() else None)
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_atomically(path, data, private=True)
            except OSError as problem:
                words = f"the file cannot be kept: {path}: {problem.strerror}"
                raise StoreError(words, hint="is the disk full?") from None
        self.append({"file": name})

    def keep_file(self, name: str, source: Path) -> None:
        """Keep a copy of a file as it is now. Raises OSError where it cannot be read, else as `append`."""
        from ciplug.capture.frozen import freeze

        path = self.folder / KEPT / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        freeze(source, path)
        self.append({"file": name})

    def logged(self) -> Logged:
        """Return what all processes have logged so far."""
        return self._reader.logged()

    def claim(self) -> bool:
        """Be the first program that joins the run; False for every other one, of all processes."""
        try:
            os.close(os.open(self.folder / JOINED, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        except OSError as problem:
            raise StoreError(f"run {self.id} cannot be joined: {self.folder}: {problem.strerror}") from None
        return True

    @property
    def was_joined(self) -> bool:
        """Whether a program has joined the run since it began."""
        return (self.folder / JOINED).exists()

    def discard(self) -> None:
        """Remove the run, of which nothing is to be kept."""
        import shutil

        # First of all, so that nobody takes it for a killed run.
        with contextlib.suppress(OSError):
            self._open.unlink()
        self.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def ending(self) -> Iterator[Logged]:
        """Within the block no event is taken any more; yields all that were. An exception in it opens the run again."""
        with self._closed():
            yield Reader(self.folder).end()

    @contextlib.contextmanager
    def _closed(self) -> Iterator[None]:
        self._rename(OPEN, ENDING)
        try:
            yield
        except BaseException:
            self._rename(ENDING, OPEN)
            raise

    def _rename(self, old: str, new: str) -> None:
        # Of a run that a dying process had begun to seal, the file has its new name already.
        with contextlib.suppress(OSError):
            (self.folder / old).rename(self.folder / new)

    def seal(self, store: str, objects: Mapping[str, bytes], *, incomplete: bool = False) -> Sealed:
        """Put the objects on disk, whole and synced; from here on nothing is lost. Raises StoreError on a full disk.

        Args:
            incomplete: files that the program logged are left out.
        """
        try:
            with self._closed():
                above = self.id if self.amends else self.parent
                sealed = write_sealed(self.folder, store, objects, above, incomplete=incomplete)
        except OSError as problem:
            raise StoreError(
                f"the run cannot be kept: {self.folder}: {problem.strerror}",
                hint="free some space there, or name another folder: CIPLUG_SPOOL=DIR, and record it again; "
                "what it logged is kept, and the next command records that as a killed run",
            ) from None
        self.release()
        return sealed

    def release_unless_last(self) -> bool:
        """Leave the run to the other processes that have it open; False when there are none: this one must seal it."""
        if self._lock is None or os.getpid() != self._process:
            return True
        with held(self.folder / "leaving"):
            if upgrade(self._lock):
                return False
            self.release()
            return True

    def release(self) -> None:
        """Close the run here. A forked process closes its own descriptors only."""
        self._log.close()
        lock, self._lock = self._lock, None
        if lock is None:
            return
        if os.getpid() == self._process:
            release(lock)
        else:
            lock.close()


def run_of(folder: str) -> str:
    """Return the id of the run that a folder of the spool is of."""
    return folder.partition(".")[0]


def read_facts(path: Path) -> dict[str, Any] | None:
    """Read a run's first file: None if there is none, an empty result if it cannot be read."""
    try:
        facts = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
