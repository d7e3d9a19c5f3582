"""The commits around a run: merge base, first parents, tip of the target branch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path

from ciplug.errors import GitKind
from ciplug.git.commits import (
    base_before_merge,
    first_parents_in,
    has_commit,
    is_ancestor,
    local_tip,
    merge_base,
)
from ciplug.git.environment import git_environment
from ciplug.git.failures import Failure
from ciplug.git.remote import fetch_commits, list_refs, side_repository
from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace


class Gap(Enum):
    """The reason why commits of the history may be missing."""

    NOT_FETCHED = auto()
    NOT_PUSHED = auto()
    """The clone is shallow, and its commit is not on the remote yet."""
    SHALLOW = auto()


@dataclass(frozen=True)
class Unseen:
    """There may be ancestors that this clone does not have."""

    gap: Gap
    words: str
    """One clause for people."""


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
    notes: tuple[str, ...] = ()
    """Warnings to show: a shallow clone, a branch that does not exist."""
    no_target: bool = False
    """There is no branch of that name, here or on the remote."""
    unseen: Unseen | None = None


def target_branch(
    workspace: Workspace,
    env: Mapping[str, str],
    *,
    asked: str | None,
    context_target: str | None,
    context_default: str | None,
) -> str | None:
    """Return the branch to compare with: the requested one, else the pull request's target, else the default branch.

    A clone of one branch does not know the default branch, so then the remote is asked; None without an answer.
    """
    if asked or context_target or context_default:
        return asked or context_target or context_default
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
    notes: tuple[str, ...] = ()
    no_target: bool = False
    unseen: Unseen | None = None


def history_of(workspace: Workspace, head: str, target: str | None, env: Mapping[str, str]) -> History:
    """Return the history of `head`. For a shallow clone, fetch the commits into a repository of ciplug's own."""
    source = _with_shallow(workspace, _source(workspace, head, target, env))
    repository, tip, environment = source.repository, source.tip, source.env
    commits = first_parents_in(repository, tip, environment) if tip else ()
    base = None
    if tip and not _is_unpushed(workspace, repository, head, target, tip):
        base = merge_base(repository, head, tip, environment)
    if base == head:
        base = base_before_merge(repository, head, commits, environment)
    ancestors = first_parents_in(repository, base or head, environment)
    return History(
        head=head,
        target=target,
        merge_base=base,
        ancestors=ancestors if base else ancestors[1:],
        target_commits=commits,
        notes=source.notes,
        no_target=source.no_target,
        unseen=source.unseen,
    )


def _source(workspace: Workspace, head: str, target: str | None, env: Mapping[str, str]) -> _Source:
    """This clone if it has all commits, else a repository of ours that they are fetched into."""
    here = workspace.top, git_environment()
    if target is None:
        note = "the default branch is not known: name the branch to compare with as 'baseline:' in ciplug.yaml"
        return _Source(*here, None, (note,))
    tip = local_tip(workspace, target)
    if workspace.remotes and (tip is None or workspace.shallow or not has_commit(workspace.top, head)):
        fetched = fetch_commits(workspace, head, target, env)
        if not isinstance(fetched, Failure):
            # Commits that are not pushed yet are in this clone only.
            objects = str(workspace.common_dir / "objects")
            source = _Source(
                fetched.repository, {**fetched.env, "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects}, fetched.tip
            )
            return source if first_parents_in(source.repository, head, source.env) else _not_pushed(source, head)
        if GitKind.NO_REF in fetched.kinds:
            note = f"no branch named '{target}' on the remote: is 'baseline:' in ciplug.yaml right?"
            return _Source(*here, tip, (note,), no_target=True)
        unseen = Unseen(Gap.NOT_FETCHED, f"the history could not be fetched ({fetched.words})")
        return _Source(*here, tip, (f"{unseen.words}, so the baseline may be missing",), unseen=unseen)
    if tip is None:
        return _Source(*here, None, (f"no branch named '{target}' here or on a remote",), no_target=True)
    return _Source(*here, tip)


def _not_pushed(source: _Source, head: str) -> _Source:
    unseen = Unseen(Gap.NOT_PUSHED, f"commit {head[:8]} is not on the remote yet, and this clone is shallow")
    return replace(source, notes=(f"{unseen.words}: no merge base",), unseen=unseen)


def _with_shallow(workspace: Workspace, source: _Source) -> _Source:
    if not workspace.shallow or source.repository != workspace.top:
        return source
    note = "this clone is shallow: ancestors beyond its depth are not seen"
    unseen = source.unseen or Unseen(Gap.SHALLOW, "this clone is shallow")
    return replace(source, notes=(*source.notes, note), unseen=unseen)


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
