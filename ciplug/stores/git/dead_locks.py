"""Locks of refs that a killed push left in a repository of this machine: git never removes them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

DEAD_SECONDS = 15
"""git holds the lock of a ref for milliseconds, and as long as a hook of the repository runs."""
_PAUSE_SECONDS = 0.2


def release(url: str, refs: Iterable[str]) -> bool:
    """Wait for the locks of refs, and remove those that are older than a push takes.

    Args:
        url: what git pushes to. Nothing is done unless it is a folder of this machine.
        refs: the refs that were refused for a lock; they must be ours.

    Returns:
        Whether there were locks, and all are gone, so that a push may go well now.
    """
    folder = _git_folder(url)
    if folder is None:
        return False
    locks = [lock for ref in refs if (lock := folder / f"{ref}.lock").exists()]
    return bool(locks) and all(_gone(lock) for lock in locks)


def _gone(lock: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        while -1 <= (age := time.time() - lock.stat().st_mtime) < DEAD_SECONDS:
            time.sleep(_PAUSE_SECONDS)
        if age < 0:
            return False  # the clock was set back: its age is unknown
        try:
            lock.unlink()
        except PermissionError:
            return False
    return True


def _git_folder(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme not in ("", "file"):
        return None
    path = Path(unquote(parts.path) if parts.scheme else url)
    return next((one for one in (path / ".git", path) if (one / "HEAD").is_file()), None)
