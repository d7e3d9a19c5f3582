"""A copy of a file as it is now, which whatever is written into that file later does not reach."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

_MOST = 1 << 30
"""Bytes of one call to the system."""


def freeze(source: Path, copy: Path) -> None:
    """Copy `source` to `copy`, whole or not at all, for its owner alone.

    A file system that can do so lets the copy share the blocks of the file until either is written: it then takes
    neither time nor room. A hard link would not do: a training that opens its old model for writing changes both.
    Raises OSError, such as that of a full disk.
    """
    part = copy.with_name(f".{copy.name}.{os.getpid()}.part")
    try:
        with source.open("rb", buffering=0) as file:
            target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
            # With a buffer: without one, a disk that is almost full takes a part of the bytes, and that is no error.
            with open(target, "wb") as into:
                if not _in_the_kernel(file.fileno(), into.fileno()):
                    shutil.copyfileobj(file, into, 1 << 20)
        part.replace(copy)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _in_the_kernel(source: int, target: int) -> bool:
    """Copy by the call that shares blocks where it can; False, and nothing is copied, where there is no such call."""
    if sys.platform != "linux":
        return False
    copied = 0
    while True:
        try:
            count = os.copy_file_range(source, target, _MOST)
        except OSError as problem:
            import errno

            # Another file system, an old kernel, a container that forbids it.
            if copied or problem.errno not in (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM):
                raise
            return False
        if not count:
            # Some file systems of the kernel answer 0 for files that are not empty.
            return copied > 0
        copied += count
