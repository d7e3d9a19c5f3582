"""The commits around a run: merge base, first parents, tip of the target branch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from ciplug.errors import GitKind
from ciplug.git.commits import (
    base_before_merge,
    first_parents_in,
    has_commit,
    is_ancestor,
    local_tip,
    merge_base,
    trees_of_first_parents,
)
from ciplug.git.environment import git_environment
from ciplug.git.failures import Failure
from ciplug.git.remote import fetch_commits, list_refs, side_repository
from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace
from ciplug.records.notice import UNSEEN, Kind, Notice


@dataclass(frozen=True)
class History:
    head: str
    target: str | None
    """The name of the target branch."""
    merge_base: str | None
    """None where head is a commit of the target branch, or no common commit is known."""
    ancestors: tuple[str, ...]
    """First parents, nearest first: starting with the merge base if there is one, else with the parent of head."""
    target_commits: tuple[str, ...]
    """First parents from the tip of the target branch, at most 1,000."""
    same_files: tuple[str, ...] = ()
    """Earlier commits of a branch with the same files as head, nearest first."""
    notices: tuple[Notice, ...] = ()
    """A shallow clone, a branch that does not exist."""

    @property
    def no_target(self) -> Notice | None:
        """Return whether there is no branch of that name, here or on the remote."""
        return next((one for one in self.notices if one.kind is Kind.NO_BRANCH), None)

    @property
    def unseen(self) -> Notice | None:
        """Return why there may be ancestors that this clone does not have."""
        return next((one for one in self.notices if one.kind in UNSEEN), None)


def default_branch(workspace: Workspace, env: Mapping[str, str]) -> str | None:
    """Return the name of the default branch.

    A clone of one branch does not know it, so then the remote is asked; None without an answer.
    """
    for remote in ("origin", *workspace.remotes):
        done = run_git("symbolic-ref", "-q", f"refs/remotes/{remote}/HEAD", cwd=workspace.top, check=False)
        if done.returncode == 0:
            return done.stdout.decode().strip().removeprefix(f"refs/remotes/{remote}/")
    local = next((name for name in ("main", "master") if local_tip(workspace, name)), None)
    if local or not workspace.remotes:
        return local or workspace.branch
    head = list_refs(workspace, env, "HEAD", symbolic=True).first
    return head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else None


@dataclass(frozen=True)
class _Source:
    """The repository from which the commits are read."""

    repository: Path
    env: Mapping[str, str]
    tip: str | None
    """The tip of the target branch."""
    notices: tuple[Notice, ...] = ()
    fetched: bool = False
    """Whether the commits were fetched from the remote."""


def history_of(
    workspace: Workspace, head: str, target: str | None, env: Mapping[str, str], tip: str | None = None
) -> History:
    """Return the history of `head`. For a shallow clone, fetch the commits into a repository of ciplug's own.

    Args:
        tip: the tip of the target branch, if the remote was asked for it a moment ago.
    """
    source = _with_shallow(workspace, _source(workspace, head, target, env, tip))
    repository, tip, environment = source.repository, source.tip, source.env
    trees = trees_of_first_parents(repository, head, environment)
    if source.fetched and not trees:
        source = _not_pushed(source, head)
    commits = first_parents_in(repository, tip, environment) if tip else ()
    base = None
    if tip and not _is_unpushed(workspace, repository, head, target, tip):
        base = merge_base(repository, head, tip, environment)
    if base == head:
        base = base_before_merge(repository, head, commits, environment)
    return History(
        head=head,
        target=target,
        merge_base=base,
        ancestors=_ancestors(repository, tuple(trees), base, environment),
        target_commits=commits,
        same_files=same_files(trees, base, commits),
        notices=source.notices,
    )


def _ancestors(repository: Path, line: tuple[str, ...], base: str | None, env: Mapping[str, str]) -> tuple[str, ...]:
    """The first parents from the merge base, else those of head.

    Args:
        line: head and its first parents.
    """
    if base is None:
        return line[1:]
    # Where the target was merged into the branch, the merge base is not among the first parents.
    return line[line.index(base) :] if base in line else first_parents_in(repository, base, env)


def same_files(trees: Mapping[str, str], base: str | None, target_commits: Collection[str]) -> tuple[str, ...]:
    """Return the earlier commits of a branch that hold the same files as its head, nearest first. Pure.

    Only those since it left the target, where what it is compared with is. None on the target itself: there, a commit
    is compared with the run before it, whatever it changes.

    Args:
        trees: commit → the id of its tree, of a commit and its first parents.
        base: the merge base with the target.
    """
    if base is None or not trees:
        return ()
    head, *before = trees
    foreign = {base, *target_commits}
    return tuple(one for one in takewhile(lambda one: one not in foreign, before) if trees[one] == trees[head])


def _source(
    workspace: Workspace, head: str, target: str | None, env: Mapping[str, str], known_tip: str | None
) -> _Source:
    """This clone if it has all commits, else a repository of ours that they are fetched into."""
    here = workspace.top, git_environment()
    if target is None:
        return _Source(*here, None, (Notice(kind=Kind.TARGET_UNKNOWN, of="baseline"),))
    no_branch = Notice(kind=Kind.NO_BRANCH, of="baseline", name=target)
    tip = local_tip(workspace, target)
    if workspace.remotes and (tip is None or workspace.shallow or not has_commit(workspace.top, head)):
        fetched = fetch_commits(workspace, head, target, env, known_tip)
        if not isinstance(fetched, Failure):
            # Commits that are not pushed yet are in this clone only.
            objects = str(workspace.common_dir / "objects")
            alternates = {**fetched.env, "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects}
            return _Source(fetched.repository, alternates, fetched.tip, fetched=True)
        if GitKind.NO_REF in fetched.kinds:
            return _Source(*here, tip, (no_branch,))
        return _Source(*here, tip, (Notice(kind=Kind.NOT_FETCHED, of="baseline", detail=fetched.words),))
    if tip is None:
        return _Source(*here, None, (no_branch,))
    return _Source(*here, tip)


def _not_pushed(source: _Source, head: str) -> _Source:
    return replace(source, notices=(Notice(kind=Kind.NOT_PUSHED, of="baseline", name=head),))


def _with_shallow(workspace: Workspace, source: _Source) -> _Source:
    if not workspace.shallow or source.repository != workspace.top:
        return source
    return replace(source, notices=(*source.notices, Notice(kind=Kind.SHALLOW, of="baseline")))


def _is_unpushed(workspace: Workspace, repository: Path, head: str, target: str | None, tip: str) -> bool:
    """Whether head is a commit of the target branch itself that is not pushed yet, and not one of another branch."""
    return (
        workspace.branch == target and is_ancestor(repository, tip, head) and is_ancestor(workspace.top, head, "HEAD")
    )


def first_parents(workspace: Workspace, commit: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the commit and its first parents, nearest first, at most 1,000; the commit alone if none is known."""
    own = first_parents_in(workspace.top, commit, git_environment())
    fetched = side_repository(workspace, env)
    if (workspace.shallow or not own) and fetched.exists():
        own = max(own, first_parents_in(fetched, commit, git_environment()), key=len)
    return own or (commit,)


class CommitText(NamedTuple):
    """What a commit says of itself; a person wrote it, and it may hold anything."""

    subject: str
    author: str
    date: str
    """YYYY-MM-DD, by its author's clock."""


def describe(workspace: Workspace, commits: Collection[str], env: Mapping[str, str]) -> dict[str, CommitText]:
    """Return commit → subject, author and day. Commits that neither this clone nor what was fetched has are absent."""
    described: dict[str, CommitText] = {}
    for repository in (workspace.top, side_repository(workspace, env)):
        missing = [commit for commit in commits if commit not in described]
        if missing and repository.exists():
            described |= _describe(repository, missing)
    return described


def _describe(repository: Path, commits: Collection[str]) -> dict[str, CommitText]:
    done = run_git(
        *("log", "--no-walk=unsorted", "--ignore-missing", "--no-show-signature", "--no-color", "--stdin"),
        "--format=%x1e%H%x1f%an%x1f%as%x1f%s",
        cwd=repository,
        input="\n".join(commits).encode(),
        check=False,
    )
    described = {}
    for entry in done.stdout.decode(errors="replace").split("\x1e")[1:]:
        commit, author, date, *subject = entry.rstrip("\n").split("\x1f")
        described[commit] = CommitText("\x1f".join(subject), author, date)
    return described
