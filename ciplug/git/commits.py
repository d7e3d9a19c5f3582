"""Questions about the commits that a repository on this disk holds. Commits only, never trees."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ciplug.errors import GitError
from ciplug.git.objects import find_objects, read_objects
from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace
from ciplug.records.provenance import UNSEEN

DEPTH = 1000
"""The number of first parents to follow."""
_PLAIN = re.compile(r"HEAD|[0-9a-f]{40}|[0-9a-f]{64}|refs/[\w./+-]+", re.ASCII)
"""Names without any of git's operators: a process that stays answers for them."""


def commit_named(repository: Path, name: str) -> str | None:
    """Return the commit that a name refers to in this repository."""
    if _PLAIN.fullmatch(name):
        with contextlib.suppress(GitError):
            query = f"{name}^{{commit}}"
            named = find_objects(repository, [query]).get(query)
            return named.oid if named else None
    done = run_git(
        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", cwd=repository, check=False
    )
    return done.stdout.decode().split()[-1] if done.returncode == 0 and done.stdout.strip() else None


def ref_names(repository: Path) -> list[str]:
    """Return the short names of the branches and tags of this repository."""
    refs = ("refs/heads", "refs/tags", "refs/remotes/origin")
    done = run_git("for-each-ref", "--format=%(refname:lstrip=2)", *refs, cwd=repository, check=False)
    names = done.stdout.decode(errors="replace").splitlines()
    return list(dict.fromkeys(name.removeprefix("origin/") for name in names))


class HeadLog(NamedTuple):
    """The commits that HEAD of a work tree has been at, the last first."""

    entries: tuple[tuple[str, int, str], ...] = ()
    """Commit, the second in which it was made, and when HEAD came to it, as git shows that."""
    marks: tuple[tuple[int, int] | None, ...] = ()
    """The files of HEAD and of its branch, and when each was written, in nanoseconds since 1970; None: no such file."""

    @classmethod
    def read(cls, workspace: Workspace) -> HeadLog:
        """The log is empty where git keeps none (core.logAllRefUpdates)."""
        done = run_git(
            *("log", "--walk-reflogs", "--no-show-signature", "--date=unix", "--format=%H %ct %gd", "HEAD", "--"),
            cwd=workspace.top,
            check=False,
        )
        lines = (line.split() for line in done.stdout.decode().splitlines())
        entries = tuple((commit, int(made), when) for commit, made, when in lines)
        branch = [workspace.common_dir / "refs" / "heads" / workspace.branch] if workspace.branch else []
        return cls(entries, tuple(map(_mark, [workspace.git_dir / "HEAD", *branch])))

    def left_for(self, before: HeadLog, head: str, began: float) -> str | None:
        """Return the last commit besides `head` that HEAD has been at since an earlier look, if it is older than that.

        A commit that was made since, such as one that keeps results, is no other code. Where git keeps no log, or
        somebody has rewritten it, it is UNSEEN if HEAD or its branch was written meanwhile.
        """
        new = self._since(before)
        if new is None:
            return UNSEEN if self.marks != before.marks else None
        return next((commit for commit, made, _ in new if commit != head and made < int(began)), None)

    def _since(self, before: HeadLog) -> tuple[tuple[str, int, str], ...] | None:
        """The entries that are new since an earlier look; None where that one's last entry is not here any more.

        git drops old entries at the end of a log.
        """
        last, more = before.entries[:1], len(self.entries) - len(before.entries)
        if more >= 0 and last and self.entries[more : more + 1] == last:
            return self.entries[:more]
        place = next((n for n, entry in enumerate(self.entries) if (entry,) == last), None)
        return None if place is None else self.entries[:place]


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
    raw = b""
    with contextlib.suppress(GitError):
        raw = read_objects(workspace.top, ["HEAD^{commit}"]).get("HEAD^{commit}", ("", b""))[1]
    header = raw.partition(b"\n\n")[0].decode(errors="replace").splitlines()
    parents = tuple(line.removeprefix("parent ") for line in header if line.startswith("parent "))
    committer = next((line for line in header if line.startswith("committer ")), "")
    return parents, committer.partition("<")[2].partition(">")[0]


def has_commit(repository: Path, commit: str) -> bool:
    return commit_named(repository, commit) is not None


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


def trees_of_first_parents(repository: Path, commit: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return commit → the id of its tree, of a commit and its first parents, as `first_parents_in` has them.

    The tree is named in the commit itself: none is read.
    """
    done = run_git(
        *("rev-list", "--first-parent", f"--max-count={DEPTH + 1}", "--format=%T", commit, "--"),
        cwd=repository,
        env=env,
        check=False,
    )
    words = done.stdout.decode().split()  # commit ID TREE
    return dict(zip(words[1::3], words[2::3], strict=True))


def commit_time(workspace: Workspace, commit: str) -> int | None:
    """Return when a commit was made, by its committer's clock, in Unix seconds; None for one that is not here."""
    try:
        kind, data = read_objects(workspace.top, [commit]).get(commit, ("", b""))
    except GitError:
        return None
    written = re.search(rb"^committer .*> (\d+) [-+]\d+$", data.partition(b"\n\n")[0], re.MULTILINE)
    return int(written[1]) if kind == "commit" and written else None
