"""Processes of `git cat-file` that stay: a command asks about objects dozens of times, and a process costs as much as
a thousand answers. They give the objects themselves, and none in their place (`git replace`).

One is kept for each repository and kind of question. It sees what a later fetch brings: git looks for new packs before
it says that an object is missing. A repository that was deleted and made anew gets a new process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from ciplug.git.run import start_git

T = TypeVar("T")

_COMMAND = ("--no-replace-objects", "cat-file")
CONTENT = "--batch"
ABOUT = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
_KEPT_MOST = 6

_Key = tuple[str, str, int, int, int]
_kept: dict[_Key, subprocess.Popen[bytes]] = {}
"""The least recently asked first."""
_lock = threading.RLock()


def ask(repository: Path, question: str, exchange: Callable[[IO[bytes], IO[bytes]], T]) -> T:
    """Return the result of `exchange`, which writes names to the first stream and reads every answer of the second.

    A process that has ended meanwhile is replaced once. Raises EOFError or OSError where a new one ends, too: git has
    met a damaged object, or refuses the repository.
    """
    with _lock:
        key = _key(repository, question)
        process = _kept.pop(key, None)
        if process is not None:
            with contextlib.suppress(EOFError, OSError):
                return _asked(key, process, exchange)
        return _asked(key, start_git(*_COMMAND, question, cwd=repository), exchange)


def close(repository: Path) -> None:
    """End the processes of a repository that is about to be deleted or renamed."""
    with _lock:
        for key in [key for key in _kept if key[0] == str(repository)]:
            _end(_kept.pop(key))


def _key(repository: Path, question: str) -> _Key:
    # The process holds its folder, so no other one gets that inode while it lives. A forked process keeps its own.
    found = repository.stat()
    return str(repository), question, os.getpid(), found.st_dev, found.st_ino


def _asked(key: _Key, process: subprocess.Popen[bytes], exchange: Callable[[IO[bytes], IO[bytes]], T]) -> T:
    try:
        if process.stdin is None or process.stdout is None:
            raise EOFError
        answer = exchange(process.stdin, process.stdout)
    except BaseException:
        # What is left of its answers would be taken for those to the next question.
        _end(process)
        raise
    _kept[key] = process
    while len(_kept) > _KEPT_MOST:
        _end(_kept.pop(next(iter(_kept))))
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()


@atexit.register
def _end_all() -> None:
    with _lock:
        for key in [key for key in _kept if key[2] == os.getpid()]:
            _end(_kept.pop(key))
