"""Another work tree of the repository, with the files of one commit, for as long as it is needed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ciplug import locking
from ciplug.errors import UsageError
from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace, stand_in

_PREFIX = "ciplug-"
_LOCK = "in-use"
"""A file beside a work tree, locked by the process that needs it."""


@contextmanager
def checkout(workspace: Workspace, commit: str, links: Iterable[Path] = ()) -> Iterator[Path]:
    """Check a commit out into a temporary folder, and remove it at the end. The user's own work tree stays as it is.

    What a process has left that was killed is removed first.

    Args:
        links: files and folders of the user's work tree that git does not track, as `check_link` allows them: links
            to them stand at their places.

    Raises GitError where git cannot check it out.
    """
    _sweep(workspace)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    place = folder / workspace.top.name
    lock = locking.acquire(folder / _LOCK)
    try:
        run_git("worktree", "add", "--detach", "--quiet", str(place), commit, cwd=workspace.top)
        stand_in(place, workspace)
        for link in links:
            _link(workspace.top, place, link)
        yield place
    finally:
        if lock is not None:
            locking.release(lock)
        shutil.rmtree(folder, ignore_errors=True)
        run_git("worktree", "prune", cwd=workspace.top, check=False)


def _sweep(workspace: Workspace) -> None:
    """Remove the work trees of ours that no process needs any more."""
    listed = run_git("worktree", "list", "--porcelain", cwd=workspace.top, check=False).stdout
    places = [Path(os.fsdecode(line[9:])) for line in listed.splitlines() if line.startswith(b"worktree ")]
    for folder in {place.parent for place in places if place.parent.name.startswith(_PREFIX)}:
        if not (folder / _LOCK).is_file():
            continue
        if lock := locking.acquire(folder / _LOCK):
            locking.release(lock)
            shutil.rmtree(folder, ignore_errors=True)
            run_git("worktree", "prune", cwd=workspace.top, check=False)


def check_link(workspace: Workspace, path: Path, cwd: Path) -> None:
    """Raise UsageError for a link to what is not there, or not in the repository; `path` is named from `cwd`."""
    if not (cwd / path).exists():
        raise UsageError(f"--link {path}: there is no such file or folder")
    if not (cwd / path).absolute().is_relative_to(workspace.top):
        hint = "name it by its whole path in the command"
        raise UsageError(f"--link {path}: it is not in {workspace.top}", hint=hint)


def _link(top: Path, place: Path, source: Path) -> None:
    target = place / source.absolute().relative_to(top)
    if not target.exists():  # else the commit has it
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.absolute())
