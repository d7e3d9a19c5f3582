"""The commits around a run: merge base, first parents, tip of the target branch. Commits only, never trees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ciplug import git
from ciplug.locking import held
from ciplug.stores import cache_folder

DEPTH = 1000


@dataclass(frozen=True)
class History:
    head: str
    target: str | None
    """Name of the target branch."""
    merge_base: str | None
    """None where head lies on the target branch, or no common commit is known."""
    ancestors: tuple[str, ...]
    """First parents, nearest first: of the merge base and with it, or, without one, of head and without it."""
    target_commits: tuple[str, ...]
    """First parents from the tip of the target branch, at most 1,000."""
    notes: tuple[str, ...] = ()
    """What the reader must know: a shallow clone, a branch that is not there."""


def target_branch(
    workspace: git.Workspace, *, asked: str | None, context_target: str | None, context_default: str | None
) -> str | None:
    """The branch to compare with: as asked for, else the pull request's, else the default branch."""
    if asked or context_target or context_default:
        return asked or context_target or context_default
    for remote in ("origin", *workspace.remotes):
        done = git.git("symbolic-ref", "-q", f"refs/remotes/{remote}/HEAD", cwd=workspace.top, check=False)
        if done.returncode == 0:
            return done.stdout.decode().strip().removeprefix(f"refs/remotes/{remote}/")
    return next((name for name in ("main", "master") if _local_tip(workspace, name)), workspace.branch)


def look(workspace: git.Workspace, head: str, target: str | None, env: Mapping[str, str]) -> History:
    """The history of `head`. In a shallow clone, the commits are fetched into a repository of ours."""
    notes: list[str] = []
    tip = _local_tip(workspace, target) if target else None
    repository, environment = workspace.top, git.environment()
    if target and (tip is None or workspace.shallow or not _has(workspace.top, head)) and workspace.remotes:
        fetched = _fetch(workspace, head, target, env)
        if isinstance(fetched, str):
            notes.append(f"the history could not be fetched ({fetched}), so the baseline may be missing")
        else:
            repository, tip, environment = fetched
            if not _has(repository, head):
                notes.append(f"commit {head[:8]} is not on the remote yet, and this clone is shallow: no merge base")
    if target and tip is None and not notes:
        notes.append(f"there is no branch '{target}' here, nor on a remote")
    if workspace.shallow and repository == workspace.top:
        notes.append("this clone is shallow: ancestors beyond its depth are not seen")

    on_target = bool(tip) and workspace.branch == target and (head == tip or _is_ancestor(repository, tip or "", head))
    base = _merge_base(repository, head, tip, environment) if tip and not on_target else None
    if base == head:
        base = None
    ancestors = _first_parents(repository, base or head, environment)
    commits = _first_parents(repository, tip, environment) if tip else ()
    return History(
        head=head,
        target=target,
        merge_base=base,
        ancestors=ancestors if base else ancestors[1:],
        target_commits=commits,
        notes=tuple(notes),
    )


def resolve(workspace: git.Workspace, name: str) -> str | None:
    """The commit that a name (branch, tag, HEAD~2, abbreviated id) stands for here, or None."""
    for candidate in (name, f"refs/remotes/origin/{name}"):
        done = git.git(
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            f"{candidate}^{{commit}}",
            cwd=workspace.top,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout.decode().strip()
    return name if git.is_commit_id(name) else None


def first_parents(workspace: git.Workspace, commit: str) -> tuple[str, ...]:
    """The commit and its first parents, nearest first, at most 1,000 back; the commit alone where no more is known."""
    return _first_parents(workspace.top, commit, git.environment()) or (commit,)


def _local_tip(workspace: git.Workspace, branch: str) -> str | None:
    """Where the branch is, as far as this clone knows: the remote's word counts more than a local branch."""
    remotes = [f"refs/remotes/{name}/{branch}" for name in workspace.remotes]
    for ref in (*remotes, f"refs/heads/{branch}"):
        done = git.git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", cwd=workspace.top, check=False)
        if done.returncode == 0:
            return done.stdout.decode().strip()
    return None


def _has(repository: Path, commit: str) -> bool:
    return git.git("cat-file", "-e", f"{commit}^{{commit}}", cwd=repository, check=False).returncode == 0


def _is_ancestor(repository: Path, commit: str, of: str) -> bool:
    return git.git("merge-base", "--is-ancestor", commit, of, cwd=repository, check=False).returncode == 0


def _merge_base(repository: Path, head: str, tip: str, env: Mapping[str, str]) -> str | None:
    done = git.git("merge-base", head, tip, cwd=repository, env=env, check=False)
    return done.stdout.decode().split()[0] if done.returncode == 0 and done.stdout.strip() else None


def _first_parents(repository: Path, commit: str, env: Mapping[str, str]) -> tuple[str, ...]:
    done = git.git(
        "rev-list", "--first-parent", f"--max-count={DEPTH + 1}", commit, cwd=repository, env=env, check=False
    )
    return tuple(done.stdout.decode().split())


def _fetch(
    workspace: git.Workspace, head: str, target: str, env: Mapping[str, str]
) -> tuple[Path, str, dict[str, str]] | str:
    """Fetch the commits of head and target, and nothing else; returns where they are, or git's last words."""
    remotes = workspace.remotes
    url = remotes.get("origin") or next(iter(remotes.values()))
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    repository = cache_folder(workspace, env) / "git" / f"history-{name}.git"
    environment = git.transport_environment(workspace.config, url, env.get("CIPLUG_PUSH_TOKEN") or None)
    options = (
        "--no-tags",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
        "--no-auto-maintenance",
        "--quiet",
    )
    branch = f"+refs/heads/{target}:refs/history/target"
    with held(repository.with_suffix(".lock")):
        git.init_bare(repository, workspace.object_format)
        # A head that was never pushed is no reason to go without the target branch.
        for refspecs in ([branch, f"+{head}:refs/history/head"], [branch]):
            done = git.git(
                *("fetch", *options, "--filter=tree:0", url, *refspecs),
                cwd=repository,
                env=environment,
                check=False,
            )
            git.write_config(repository, workspace.object_format)
            if done.returncode == 0:
                break
        else:
            return git.last_words(done.stderr)
        tip = git.git("rev-parse", "refs/history/target", cwd=repository).stdout.decode().strip()
    return repository, tip, environment
