"""The commits around a run: merge base, first parents, tip of the target branch. Commits only, never trees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ciplug.errors import GitError
from ciplug.git.bare import init_bare, write_config
from ciplug.git.cache import cache_folder
from ciplug.git.credentials import transport_environment, without_password
from ciplug.git.environment import git_environment
from ciplug.git.failures import last_words
from ciplug.git.objects import is_commit_id, read_objects
from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace
from ciplug.locking import held

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
    no_target: bool = False
    """There is no branch of that name, here or on the remote."""
    unseen: str | None = None
    """Why there may be ancestors that are not known here."""


def target_branch(
    workspace: Workspace,
    env: Mapping[str, str],
    *,
    asked: str | None,
    context_target: str | None,
    context_default: str | None,
) -> str | None:
    """The branch to compare with: as asked for, else the pull request's, else the default branch.

    A clone of one branch does not know the default branch, so then the remote is asked; None where it does not say.
    """
    if asked or context_target or context_default:
        return asked or context_target or context_default
    for remote in ("origin", *workspace.remotes):
        done = run_git("symbolic-ref", "-q", f"refs/remotes/{remote}/HEAD", cwd=workspace.top, check=False)
        if done.returncode == 0:
            return done.stdout.decode().strip().removeprefix(f"refs/remotes/{remote}/")
    local = next((name for name in ("main", "master") if _local_tip(workspace, name)), None)
    if local or not workspace.remotes:
        return local or workspace.branch
    listed, _ = _ls_remote(workspace, env, "HEAD", "--symref")
    head = listed.partition("\t")[0]
    return head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else None


def look(workspace: Workspace, head: str, target: str | None, env: Mapping[str, str]) -> History:
    """The history of `head`. In a shallow clone, the commits are fetched into a repository of ours."""
    notes: list[str] = []
    no_target, unseen = False, None
    tip = _local_tip(workspace, target) if target else None
    repository, environment = workspace.top, git_environment()
    if target and (tip is None or workspace.shallow or not _has(workspace.top, head)) and workspace.remotes:
        fetched = _fetch(workspace, head, target, env)
        if isinstance(fetched, str) and "couldn't find remote ref" in fetched:
            no_target = True
            notes.append(f"there is no branch '{target}' on the remote: is 'baseline:' in ciplug.yaml right?")
        elif isinstance(fetched, str):
            unseen = f"the history could not be fetched ({fetched})"
            notes.append(f"{unseen}, so the baseline may be missing")
        else:
            repository, tip, environment = fetched
            # Commits that are not pushed yet are in this clone only.
            environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(workspace.common_dir / "objects")
            if not _first_parents(repository, head, environment):
                unseen = f"commit {head[:8]} is not on the remote yet, and this clone is shallow"
                notes.append(f"{unseen}: no merge base")
    if target is None:
        notes.append("the default branch is not known: name the branch to compare with as 'baseline:' in ciplug.yaml")
    if target and tip is None and not notes:
        no_target = True
        notes.append(f"there is no branch '{target}' here, nor on a remote")
    if workspace.shallow and repository == workspace.top:
        unseen = unseen or "this clone is shallow"
        notes.append("this clone is shallow: ancestors beyond its depth are not seen")

    commits = _first_parents(repository, tip, environment) if tip else ()
    # Commits of the target branch that are not pushed yet; a commit of another branch is none of them.
    unpushed = (
        tip is not None
        and workspace.branch == target
        and _is_ancestor(repository, tip, head)
        and _is_ancestor(workspace.top, head, "HEAD")
    )
    base = _merge_base(repository, head, tip, environment) if tip and not unpushed else None
    if base == head:
        base = _before_merge(repository, head, commits, environment)
    ancestors = _first_parents(repository, base or head, environment)
    return History(
        head=head,
        target=target,
        merge_base=base,
        ancestors=ancestors if base else ancestors[1:],
        target_commits=commits,
        notes=tuple(notes),
        no_target=no_target,
        unseen=unseen,
    )


def unreachable(workspace: Workspace, env: Mapping[str, str]) -> str | None:
    """git's last words where the remote that history is fetched from does not answer; None where it does."""
    return _ls_remote(workspace, env, "HEAD")[1]


def resolve(workspace: Workspace, name: str, env: Mapping[str, str]) -> str | None:
    """The commit that a name (branch, tag, HEAD~2, abbreviated id) stands for, here or on the remote."""
    for candidate in (name, f"refs/remotes/origin/{name}"):
        found = _parse(workspace.top, candidate)
        if found:
            return found
    if is_commit_id(name):
        return name
    plain = not set(name) & set("~^:?*[\\ @{") and ".." not in name and not name.startswith("-")
    if workspace.remotes and plain:
        fetched = _fetch(workspace, None, name, env)
        if not isinstance(fetched, str):
            return fetched[1]
        with suppress(GitError):
            return tagged(workspace, name, env)
    return None


def tagged(workspace: Workspace, tag: str, env: Mapping[str, str]) -> str | None:
    """The commit that a tag stands for, here or on the remote; None where there is no such tag.

    Raises GitError where the remote does not answer.
    """
    ref = f"refs/tags/{tag}"
    found = _parse(workspace.top, ref)
    if found or not workspace.remotes:
        return found
    listed, failure = _ls_remote(workspace, env, ref, f"{ref}^{{}}")
    if failure:
        raise GitError(
            f"the tag '{tag}' cannot be asked of the remote: {failure}",
            hint="is the remote reachable with this checkout's credentials?",
        )
    # Of an annotated tag, the line of what it points at comes last.
    lines = listed.split()
    return lines[-2] if len(lines) >= 2 and is_commit_id(lines[-2]) else None


def first_parents(workspace: Workspace, commit: str, env: Mapping[str, str]) -> tuple[str, ...]:
    """The commit and its first parents, nearest first, at most 1,000 back; the commit alone where no more is known."""
    own = _first_parents(workspace.top, commit, git_environment())
    fetched = _side_repository(workspace, env)
    if (workspace.shallow or not own) and fetched.exists():
        own = max(own, _first_parents(fetched, commit, git_environment()), key=len)
    return own or (commit,)


@dataclass(frozen=True)
class Tree:
    """The files of a branch's tip, wherever they can be had."""

    workspace: Workspace
    repository: Path
    commit: str
    env: Mapping[str, str]

    def read(self, path: str) -> bytes | None:
        """Content of the file at `path`, from the top of the repository; None where the tip has no such file.

        Raises GitError when it has one that cannot be fetched.
        """
        name = f"{self.commit}:{path}"
        found = read_objects(self.repository, [name]).get(name)
        if found is None:
            listed = run_git("ls-tree", "-z", self.commit, "--", path, cwd=self.repository, check=False).stdout.split()
            if len(listed) < 3 or listed[1] != b"blob":
                return None
            blob = listed[2].decode()
            if self.repository != self.workspace.top:
                _fetch_into(self.workspace, self.repository, blob, self.env)
            found = read_objects(self.repository, [blob]).get(blob)
        if found is None:
            raise GitError(f"{path} of commit {self.commit[:8]} cannot be fetched", hint="fetch the branch first")
        return found[1] if found[0] == "blob" else None


def tree_of_branch(workspace: Workspace, branch: str, env: Mapping[str, str]) -> Tree:
    """The tip of a branch as the remote has it; where that does not answer, as this clone knows it.

    Raises GitError where there is no such branch.
    """
    known = _local_tip(workspace, branch)
    ref = f"refs/heads/{branch}"
    failure: str | None = None
    if workspace.remotes:
        listed, failure = _ls_remote(workspace, env, ref)
        tip = listed.partition("\t")[0]
        if failure is None and is_commit_id(tip) and tip != known and not _has(workspace.top, tip):
            side = _side_repository(workspace, env).with_name("branches.git")
            with held(side.with_suffix(".lock")):
                init_bare(side, workspace.object_format)
                _fetch_into(workspace, side, tip, env, "--depth=1", "--filter=blob:none")
            return Tree(workspace, side, tip, env)
        if failure is None and is_commit_id(tip):
            known = tip
    if known is None and failure:
        raise GitError(
            f"the branch '{branch}' cannot be read from the remote: {failure}",
            hint="is the remote reachable with this checkout's credentials?",
        )
    if known is None:
        raise GitError(f"the branch '{branch}' is not on the remote, nor here", hint="is it the pull request's target?")
    return Tree(workspace, workspace.top, known, env)


def _ls_remote(workspace: Workspace, env: Mapping[str, str], *asked: str) -> tuple[str, str | None]:
    """What the remote says of refs, and git's last words where it failed.

    Asked from a repository of ours: in the checkout, the credentials that are handed over would be sent beside those
    that it holds, and two are answered with a 400.
    """
    url = _remote(workspace)
    side = _side_repository(workspace, env)
    options = [word for word in asked if word.startswith("--")]
    with held(side.with_suffix(".lock")):
        init_bare(side, workspace.object_format)
        done = run_git(
            *("ls-remote", *options, "--", without_password(url)),
            *(word for word in asked if word not in options),
            cwd=side,
            env=transport_environment(workspace.config, url, env.get("CIPLUG_PUSH_TOKEN") or None),
            check=False,
        )
    return done.stdout.decode(errors="replace"), last_words(done.stderr) if done.returncode else None


def _fetch_into(workspace: Workspace, repository: Path, name: str, env: Mapping[str, str], *options: str) -> None:
    """Fetch an object by its id into a repository of ours, without leaving a word in its configuration.

    No ref is kept there: to a server that knows what we have, a file that was filtered out is had already.
    """
    url = _remote(workspace)
    quiet = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--quiet")
    run_git(
        *("fetch", *quiet, *options, "--", without_password(url), name),
        cwd=repository,
        env=transport_environment(workspace.config, url, env.get("CIPLUG_PUSH_TOKEN") or None),
    )
    write_config(repository, workspace.object_format)


def _parse(repository: Path, name: str) -> str | None:
    done = run_git(
        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", cwd=repository, check=False
    )
    return done.stdout.decode().split()[-1] if done.returncode == 0 and done.stdout.strip() else None


def _local_tip(workspace: Workspace, branch: str) -> str | None:
    """Where the branch is, as far as this clone knows: the remote's word counts more than a local branch."""
    remotes = [f"refs/remotes/{name}/{branch}" for name in workspace.remotes]
    return next((tip for ref in (*remotes, f"refs/heads/{branch}") if (tip := _parse(workspace.top, ref))), None)


def _has(repository: Path, commit: str) -> bool:
    return run_git("cat-file", "-e", f"{commit}^{{commit}}", cwd=repository, check=False).returncode == 0


def _is_ancestor(repository: Path, commit: str, of: str) -> bool:
    return run_git("merge-base", "--is-ancestor", commit, of, cwd=repository, check=False).returncode == 0


def _merge_base(repository: Path, head: str, tip: str, env: Mapping[str, str]) -> str | None:
    done = run_git("merge-base", head, tip, cwd=repository, env=env, check=False)
    return done.stdout.decode().split()[0] if done.returncode == 0 and done.stdout.strip() else None


def _before_merge(repository: Path, head: str, line: Sequence[str], env: Mapping[str, str]) -> str | None:
    """Where the branch of a `head` that is merged had left the target branch; None if head lies on its `line`."""
    if head in line:
        return None
    done = run_git("rev-list", "--ancestry-path", f"{head}..{line[0]}", cwd=repository, env=env, check=False)
    after = set(done.stdout.decode().split())
    merge = max((number for number, commit in enumerate(line) if commit in after), default=len(line))
    return _merge_base(repository, head, line[merge + 1], env) if merge + 1 < len(line) else None


def _first_parents(repository: Path, commit: str, env: Mapping[str, str]) -> tuple[str, ...]:
    done = run_git(
        "rev-list", "--first-parent", f"--max-count={DEPTH + 1}", commit, cwd=repository, env=env, check=False
    )
    return tuple(done.stdout.decode().split())


def _remote(workspace: Workspace) -> str:
    """Its URL as it stands in the configuration: there may be a password in it."""
    remotes = workspace.remotes
    return remotes.get("origin") or next(iter(remotes.values()), "")


def _side_repository(workspace: Workspace, env: Mapping[str, str]) -> Path:
    name = hashlib.sha256(without_password(_remote(workspace)).encode()).hexdigest()[:16]
    return cache_folder(workspace, env) / "git" / f"history-{name}.git"


def _fetch(
    workspace: Workspace, head: str | None, target: str, env: Mapping[str, str]
) -> tuple[Path, str, dict[str, str]] | str:
    """Fetch the commits of head and target, and nothing else; returns where they are, or git's last words."""
    url = _remote(workspace)
    repository = _side_repository(workspace, env)
    environment = transport_environment(workspace.config, url, env.get("CIPLUG_PUSH_TOKEN") or None)
    options = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--quiet")
    branch = f"+refs/heads/{target}:refs/history/target"
    # A head that was never pushed is no reason to go without the target branch.
    attempts = [[branch, f"+{head}:refs/history/head"], [branch]] if head else [[branch]]
    with held(repository.with_suffix(".lock")):
        init_bare(repository, workspace.object_format)
        for refspecs in attempts:
            done = run_git(
                *("fetch", *options, "--filter=tree:0", "--", without_password(url), *refspecs),
                cwd=repository,
                env=environment,
                check=False,
            )
            write_config(repository, workspace.object_format)
            if done.returncode == 0:
                break
        else:
            return last_words(done.stderr)
        tip = run_git("rev-parse", "refs/history/target", cwd=repository).stdout.decode().strip()
    return repository, tip, environment
