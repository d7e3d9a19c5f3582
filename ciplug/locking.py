"""An advisory lock on a file, released by the operating system however its holder ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def acquire(path: Path, *, shared: bool = False, wait: float | None = 0.0) -> IO[bytes] | None:
    """Lock `path`, made if need be; None if another process holds it after `wait` seconds (None: for ever).

    Any number of processes may hold a shared lock at once, and one alone any other. The lock lasts until `release` is
    called with the returned file; or until that is closed, here and in every process that has inherited it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = None if wait is None else time.monotonic() + wait
    file = open(path, "ab", opener=_private)  # noqa: SIM115 (it is held on purpose)
    while not _try_lock(file, shared=shared):
        if deadline is not None and time.monotonic() >= deadline:
            file.close()
            return None
        time.sleep(0.02)
    return file


def upgrade(file: IO[bytes]) -> bool:
    """Turn a shared lock into one of this process alone. When others share it, it may be lost, so release it then."""
    if sys.platform == "win32":
        _unlock_windows(file)
    return _try_lock(file, shared=False)


def release(file: IO[bytes]) -> None:
    """Give a lock up, whoever else has inherited its file."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)
    file.close()


_WINDOWS_SHARES = 1024
"""On Windows a lock is on a range of bytes, and for one process: sharers lock a byte each, others all of them."""


def _try_lock(file: IO[bytes], *, shared: bool) -> bool:
    if sys.platform == "win32":
        return _try_lock_windows(file, shared=shared)
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _try_lock_windows(file: IO[bytes], *, shared: bool) -> bool:
    if sys.platform == "win32":
        import msvcrt

        tries = range(_WINDOWS_SHARES) if shared else (0,)
        for offset in tries:
            file.seek((os.getpid() + offset) % _WINDOWS_SHARES if shared else 0)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1 if shared else _WINDOWS_SHARES)
            except OSError:
                continue
            return True
    return False


def _unlock_windows(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, waiting for it as long as it takes."""
    file = acquire(path, wait=None)
    try:
        yield
    finally:
        if file is not None:
            file.close()


def write_atomically(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file that is there whole or not at all, also after a power cut.

    Args:
        private: only its owner may read it.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb", opener=_private if private else None) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut; Windows needs no call for it."""
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
