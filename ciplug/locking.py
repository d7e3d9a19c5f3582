"""An advisory lock on a file, released by the operating system however its holder ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def acquire(path: Path, *, wait: float | None = 0.0) -> IO[bytes] | None:
    """Lock `path`, made if need be; None if another process holds it after `wait` seconds (None: for ever).

    The lock lasts until `release` is called with the returned file; or until that is closed, here and in every process
    that has inherited it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = None if wait is None else time.monotonic() + wait
    file = path.open("ab")
    while not _try_lock(file):
        if deadline is not None and time.monotonic() >= deadline:
            file.close()
            return None
        time.sleep(0.02)
    return file


def release(file: IO[bytes]) -> None:
    """Give a lock up, whoever else has inherited its file."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)
    file.close()


def _try_lock(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, waiting for it as long as it takes."""
    file = acquire(path, wait=None)
    try:
        yield
    finally:
        if file is not None:
            file.close()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, also after a power cut."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Have the names in a folder survive a power cut; Windows has no such call, and keeps them by itself."""
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
