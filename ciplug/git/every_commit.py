"""All commits of a repository, with their parents, in the order of their making."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ciplug.git.run import run_git

_OWN = ("ciplug", "ciplug-series", "ciplug-inbox/*")
"""Branches of ciplug's store, which have no files of the project."""


class Commit(NamedTuple):
    """A commit, without its files."""

    id: str
    parents: tuple[str, ...]
    time: int
    """When it was made, by its committer's clock, in Unix seconds."""
    author: str
    """A person wrote it, and it may hold anything."""


def every_commit(repository: Path, revisions: Sequence[str] = ()) -> list[Commit]:
    """Return the commits that revisions reach, each after its parents.

    Args:
        revisions: names of commits; empty: all branches and tags, here and of the remotes, without ciplug's own.

    Raises GitError for a name that does not exist.
    """
    if revisions:
        which = ["--end-of-options", *revisions]
    else:
        which = [*(f"--exclude={name}" for name in _OWN), "--branches", "--tags"]
        which += [*(f"--exclude=*/{name}" for name in _OWN), "--remotes"]
    layout = "--format=%H%x1f%P%x1f%ct%x1f%an"
    log = run_git(
        *("log", "--topo-order", "--reverse", "--no-show-signature", "--no-color", "-z", layout, *which, "--"),
        cwd=repository,
    )
    commits = []
    for entry in log.stdout.decode(errors="replace").split("\0"):
        if entry.strip():
            commit, parents, time, author = entry.strip("\n").split("\x1f", 3)
            commits.append(Commit(commit, tuple(parents.split()), int(time), author))
    return commits


def paths_ever(repository: Path, pattern: str, revisions: Sequence[str] = ()) -> list[str]:
    """Return the paths that any commit has had and that match a pattern, from the top of the repository, sorted.

    Args:
        pattern: of git's pathspecs, such as `:(glob)**/dvc.yaml`.
    """
    which = ["--end-of-options", *revisions] if revisions else ["--branches", "--tags", "--remotes"]
    log = run_git(
        *("log", "-m", "--no-renames", "--diff-filter=A", "--name-only", "--format=", "-z"),
        *(*which, "--", pattern),
        cwd=repository,
    )
    names = log.stdout.decode(errors="surrogateescape").split("\0")
    return sorted({name.strip("\n") for name in names} - {""})


def refs_below(repository: Path, prefix: str) -> dict[str, str]:
    """Return name → commit of the refs below a prefix."""
    listed = run_git("for-each-ref", "--format=%(objectname) %(refname)", prefix, cwd=repository).stdout
    lines = (line.partition(" ") for line in listed.decode(errors="replace").splitlines())
    return {name: commit for commit, _, name in lines}
