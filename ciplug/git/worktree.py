"""Compare the code that ran with the code that was committed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace
from ciplug.records.canonical import digest


def dirty_state(workspace: Workspace, outputs: Iterable[Path] = ()) -> tuple[bool, str | None]:
    """(dirty, sha256 of the difference between tracked files and HEAD).

    `outputs`, the files that the training writes, do not count: that they changed is their purpose. A relative
    one is seen from the repository's top.
    """
    if workspace.head is None:
        return False, None
    excluded = []
    for path in outputs:
        absolute = Path(os.path.normpath(workspace.top / path))
        if absolute.is_relative_to(workspace.top):
            excluded.append(f":(exclude,top,literal){absolute.relative_to(workspace.top).as_posix()}")
    diff = run_git(
        *("diff", "HEAD", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--", ":/", *excluded),
        cwd=workspace.top,
    ).stdout
    return bool(diff), digest(diff) if diff else None


def is_committed(workspace: Workspace, path: Path) -> bool:
    """Whether a file of the work tree is as it is in HEAD."""
    if workspace.head is None:
        return False
    name = f"HEAD:{path.relative_to(workspace.top).as_posix()}"
    stored = run_git("rev-parse", "--verify", "--quiet", name, cwd=workspace.top, check=False).stdout.strip()
    here = run_git("hash-object", "--", str(path), cwd=workspace.top, check=False).stdout.strip()
    return bool(stored) and stored == here
