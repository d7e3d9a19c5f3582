"""The files that differ between two commits of this clone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ciplug.git.run import run_git


class ChangedFile(NamedTuple):
    """A file that differs between two commits."""

    path: str
    added: int | None
    """Lines; None for a binary file."""
    removed: int | None
    before: str | None = None
    """The path in the first commit, of a file that was renamed."""


def changed_files(repository: Path, before: str, after: str) -> list[ChangedFile]:
    """Return the files that differ, by path. Raises GitError where one of the commits is not here."""
    done = run_git(
        *("diff", "--numstat", "-z", "--find-renames", "--no-ext-diff", "--no-textconv", before, after, "--"),
        cwd=repository,
    )
    fields = iter(done.stdout.decode(errors="replace").split("\0"))
    found = []
    for field in fields:
        if not field:
            continue
        added, removed, path = field.split("\t", 2)
        # Of a renamed file, the two paths are fields of their own.
        old = None if path else next(fields)
        found.append(ChangedFile(path or next(fields), _lines(added), _lines(removed), old))
    return sorted(found)


def _lines(text: str) -> int | None:
    return int(text) if text.isdigit() else None
