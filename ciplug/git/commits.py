"""Questions about the commits that a repository on this disk holds. Commits only, never trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace
from ciplug.records.provenance import UNSEEN

DEPTH = 1000
"""The number of first parents to follow."""


def commit_named(repository: Path, name: str) -> str | None:
    """Return the commit that a name refers to in this repository."""
    done = run_git(
        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", cwd=repository, check=False
    )
    return done.stdout.decode().split()[-1] if done.returncode == 0 and done.stdout.strip() else None


class HeadLog(NamedTuple):
    """The commits that HEAD of a work tree has been at, the last first, with the second in which each was made."""

    entries: tuple[tuple[str, int], ...] = ()
    marks: tuple[tuple[int, int] | None, ...] = ()
    """Of HEAD and of its branch, the file and when it was written, in nanoseconds since 1970; None where there is none.

    Only where git keeps no log of HEAD.
    """

    @classmethod
    def read(cls, workspace: Workspace) -> HeadLog:
        """The log is empty where git keeps none (core.logAllRefUpdates)."""
        repository = workspace.top
        done = run_git(
            "log", "--walk-reflogs", "--no-show-signature", "--format=%H %ct", "HEAD", "--", cwd=repository, check=False
        )
        lines = (line.split() for line in done.stdout.decode().splitlines())
        entries = tuple((commit, int(made)) for commit, made in lines)
        if entries:
            return cls(entries)
        branch = [workspace.common_dir / "refs" / "heads" / workspace.branch] if workspace.branch else []
        return cls((), tuple(map(_mark, [workspace.git_dir / "HEAD", *branch])))

    def left_for(self, before: HeadLog, head: str, began: float) -> str | None:
        """Return the last commit besides `head` that HEAD has been at since an earlier look, if it is older than that.

        A commit that was made since, such as one that keeps results, is no other code. Where git keeps no log, it is
        UNSEEN if HEAD or its branch was written meanwhile.
        """
        if not self.entries and before.marks and self.marks != before.marks:
            return UNSEEN
        new = self.entries[: max(0, len(self.entries) - len(before.entries))]
        return next((commit for commit, made in new if commit != head and made < int(began)), None)


def _mark(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def local_tip(workspace: Workspace, branch: str) -> str | None:
    """Return the tip of a branch in this clone; a remote-tracking branch takes precedence over a local one."""
    remotes = [f"refs/remotes/{name}/{branch}" for name in workspace.remotes]
    tips = (commit_named(workspace.top, ref) for ref in (*remotes, f"refs/heads/{branch}"))
    return next(filter(None, tips), None)


def origin_of(workspace: Workspace) -> tuple[tuple[str, ...], str]:
    """The parents that HEAD names, and its committer's e-mail address.

    They are read from the commit itself: in a shallow clone git pretends that it has no parents.
    """
    raw = run_git("--no-replace-objects", "cat-file", "commit", "HEAD", cwd=workspace.top, check=False).stdout
    header = raw.partition(b"\n\n")[0].decode(errors="replace").splitlines()
    parents = tuple(line.removeprefix("parent ") for line in header if line.startswith("parent "))
    committer = next((line for line in header if line.startswith("committer ")), "")
    return parents, committer.partition("<")[2].partition(">")[0]


def has_commit(repository: Path, commit: str) -> bool:
    return run_git("cat-file", "-e", f"{commit}^{{commit}}", cwd=repository, check=False).returncode == 0


def is_ancestor(repository: Path, commit: str, of: str) -> bool:
    return run_git("merge-base", "--is-ancestor", commit, of, cwd=repository, check=False).returncode == 0


def merge_base(repository: Path, head: str, tip: str, env: Mapping[str, str]) -> str | None:
    done = run_git("merge-base", head, tip, cwd=repository, env=env, check=False)
    return done.stdout.decode().split()[0] if done.returncode == 0 and done.stdout.strip() else None


def base_before_merge(repository: Path, head: str, target_commits: Sequence[str], env: Mapping[str, str]) -> str | None:
    """Find where the branch of `head`, which is merged already, left the target branch.

    None if head is one of the target branch's own commits (`target_commits`, its first parents from the tip).
    """
    if head in target_commits:
        return None
    path = f"{head}..{target_commits[0]}"
    done = run_git("rev-list", "--ancestry-path", path, cwd=repository, env=env, check=False)
    after = set(done.stdout.decode().split())
    merge = max((n for n, commit in enumerate(target_commits) if commit in after), default=len(target_commits))
    return merge_base(repository, head, target_commits[merge + 1], env) if merge + 1 < len(target_commits) else None


def first_parents_in(repository: Path, commit: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the commit and its first parents, nearest first, at most 1,000; empty if the commit is missing."""
    done = run_git(
        "rev-list", "--first-parent", f"--max-count={DEPTH + 1}", commit, cwd=repository, env=env, check=False
    )
    return tuple(done.stdout.decode().split())


def commit_time(workspace: Workspace, commit: str) -> int | None:
    """Return when a commit was made, by its committer's clock, in Unix seconds; None for one that is not here."""
    done = run_git("show", "--no-patch", "--format=%ct", commit, "--", cwd=workspace.top, check=False)
    text = done.stdout.decode().strip()
    return int(text) if done.returncode == 0 and text.isdigit() else None
