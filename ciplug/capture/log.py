"""The log of an open run: what its processes append while it runs, and what any process reads of it meanwhile.

A line is an event, or a list of events that were logged together: one write each, by any number of processes. A process
that is killed loses nothing that it had logged. A power cut may cost what the system had not written to disk yet: it is
told to every SYNC_SECONDS while a run logs, and does so by itself within half a minute.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from ciplug.capture.events import Event
from ciplug.capture.logged import Fold, Logged
from ciplug.errors import StoreError

FILE = "log.ndjson"
SYNC_SECONDS = 5.0

_text_of = json.JSONEncoder(check_circular=False).encode
_last_time = 0.0


class Log:
    """The end of a log to append to. A forked worker opens the file anew, since it shares no lock or position."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._file = -1
        self._process = 0
        self._synced = time.monotonic()

    def append(self, *events: Event) -> None:
        """Add events in one write. Events without a time get the present one.

        Raises StoreError when the disk does not take it.
        """
        if not events:
            return
        now = _rising_time()
        timed = [event if "time" in event else {**event, "time": now} for event in events]
        # It starts with a newline too: a line that a full disk or a kill has cut off costs no other.
        data = f"\n{_text_of(timed[0] if len(timed) == 1 else timed)}\n".encode()
        try:
            file = self._opened()
            while data:
                data = data[os.write(file, data) :]
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                self.sync()
        except OSError as problem:
            raise StoreError(
                f"nothing can be logged: {self.path}: {problem.strerror}",
                hint="free some space there, or name another folder: CIPLUG_SPOOL=DIR; what was logged before is kept",
            ) from None

    def sync(self) -> None:
        """Have the disk keep what was appended. Raises OSError."""
        if self._process == os.getpid():
            os.fsync(self._file)
        self._synced = time.monotonic()

    def close(self) -> None:
        if self._process == os.getpid():
            os.close(self._file)
        self._process = 0

    def _opened(self) -> int:
        if self._process != os.getpid():
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self._process = os.getpid()
        return self._file


class Reader:
    """Reads a log while it grows: each time only what is new."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._read = 0
        """Bytes that were taken: whole lines."""
        self._fold = Fold()
        self._logged: Logged | None = Logged()

    def logged(self) -> Logged:
        """Everything that was logged so far. A last line that is not whole yet waits until it is."""
        new = self._new()
        self._add(new[: new.rfind(b"\n") + 1])
        return self._sum()

    def end(self) -> Logged:
        """Everything that was logged, when nobody writes any more: a last line that was cut off is counted as torn."""
        self._add(self._new())
        return self._sum()

    def _new(self) -> bytes:
        try:
            if self._path.stat().st_size == self._read:
                return b""
            with self._path.open("rb") as file:
                file.seek(self._read)
                return file.read()
        except FileNotFoundError:
            return b""

    def _add(self, data: bytes) -> None:
        self._read += len(data)
        for line in data.split(b"\n"):
            if line:
                self._fold.add(line)
                self._logged = None

    def _sum(self) -> Logged:
        if self._logged is None:
            self._logged = self._fold.logged()
        return self._logged


def append(folder: Path, *events: Event) -> None:
    """Add events to the log of a folder, once. Raises StoreError when the disk does not take them."""
    log = Log(folder)
    try:
        log.append(*events)
    finally:
        log.close()


def read(folder: Path) -> Logged:
    """Everything that was logged to a folder, when nobody writes any more."""
    return Reader(folder).end()


def _rising_time() -> float:
    """Unix seconds, later than any that this process was given before: of two events the last one counts."""
    global _last_time
    _last_time = max(time.time(), _last_time + 1e-6)
    return _last_time
