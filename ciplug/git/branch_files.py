"""Read the files of commits on the remote, such as the tip of a branch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ciplug.errors import GitError, GitKind
from ciplug.git.bare import init_bare
from ciplug.git.commits import has_commit, local_tip
from ciplug.git.failures import Failure
from ciplug.git.objects import is_commit_id, parse_tree, read_sound
from ciplug.git.remote import fetch_object, fetch_tip, list_refs, side_repository
from ciplug.git.workspace import Workspace
from ciplug.locking import held

_FOLDER, _SUBMODULE = "40000", "160000"
_SYMBOLIC = "ref: refs/heads/"


@dataclass(frozen=True)
class Tree:
    """The files of a commit, in the checkout or in a repository of ciplug's own."""

    workspace: Workspace
    repository: Path
    commit: str
    env: Mapping[str, str]

    def read(self, path: str) -> bytes | None:
        """Content of the file at `path`, from the top of the repository; None where the commit has no such file.

        Each object on the way there is one whose content has its id: whoever can write into `.git` can put any file
        under any id, and git reads it. Raises GitError when the file cannot be fetched, or an object is another.
        """
        blob = self._blob_at(path)
        if blob is None:
            return None
        entry = self._objects(blob).get(blob) or self._in_checkout(blob)
        if entry is None and self.repository != self.workspace.top:
            fetch_object(self.workspace, self.repository, blob, self.env)
            entry = self._objects(blob).get(blob)
        if entry is None:
            raise GitError(f"{path} of commit {self.commit[:8]} cannot be fetched", hint="fetch the branch first")
        kind, data = entry
        return data if kind == "blob" else None

    def _blob_at(self, path: str) -> str | None:
        """The id of the file at `path`; None where there is no file."""
        kind, data = self._objects(self.commit).get(self.commit, ("", b""))
        header = data.partition(b"\n")[0].decode(errors="replace")
        if kind != "commit" or not header.startswith("tree "):
            raise self._unreadable()
        mode, oid = _FOLDER, header.removeprefix("tree ")
        for name in path.split("/"):
            if mode != _FOLDER:
                return None
            kind, data = self._objects(oid).get(oid, ("", b""))
            if kind != "tree":
                raise self._unreadable()
            mode, oid = parse_tree(data, self.workspace.object_format).get(name, ("", ""))
        return oid if mode.startswith("1") and mode != _SUBMODULE else None

    def _objects(self, oid: str) -> dict[str, tuple[str, bytes]]:
        try:
            return read_sound(self.repository, [oid])
        except GitError as problem:
            if problem.kind is GitKind.DAMAGED and self.repository != self.workspace.top:
                problem.hint = f"delete this folder, which is fetched anew: {self.repository}"
            raise

    def _in_checkout(self, blob: str) -> tuple[str, bytes] | None:
        """The file in the checkout, where most pull requests leave it as it is."""
        with contextlib.suppress(GitError):
            return read_sound(self.workspace.top, [blob]).get(blob)
        return None

    def _unreadable(self) -> GitError:
        return GitError(f"commit {self.commit[:8]} cannot be read", hint=f"git fetch origin {self.commit}")


def tree_of_branch(workspace: Workspace, branch: str, env: Mapping[str, str]) -> Tree:
    """Return the tip of a branch on the remote; if the remote does not answer, the tip that this clone knows.

    Raises GitError where there is no such branch.
    """
    tip = local_tip(workspace, branch)
    if not workspace.remotes:
        return _local(workspace, branch, tip, env)
    if workspace.shallow:
        return _fetched(workspace, branch, tip, env)
    listing = list_refs(workspace, env, f"refs/heads/{branch}")
    if listing.failure:
        return _unanswered(workspace, branch, tip, env, listing.failure)
    remote_tip = listing.first
    if not is_commit_id(remote_tip):
        return _local(workspace, branch, tip, env)
    return tree_of_commit(workspace, remote_tip, env)


def _fetched(workspace: Workspace, branch: str, tip: str | None, env: Mapping[str, str]) -> Tree:
    """The tip of a branch for a shallow clone, which rarely has it: one fetch, without asking for its id first."""
    side = _side(workspace, env)
    with held(side.with_suffix(".lock")):
        init_bare(side, workspace.object_format)
        fetched = fetch_tip(workspace, side, branch, env)
    if not isinstance(fetched, Failure):
        return Tree(workspace, side, fetched, env)
    if GitKind.NO_REF in fetched.kinds:
        return _local(workspace, branch, tip, env)
    return _unanswered(workspace, branch, tip, env, fetched)


def _unanswered(workspace: Workspace, branch: str, tip: str | None, env: Mapping[str, str], failure: Failure) -> Tree:
    if tip is None:
        raise GitError(
            f"the branch '{branch}' cannot be read from the remote: {failure.words}",
            hint="is the remote reachable with this checkout's credentials?",
            kind=failure.kind,
        )
    return _local(workspace, branch, tip, env)


def _side(workspace: Workspace, env: Mapping[str, str]) -> Path:
    return side_repository(workspace, env).with_name("branches.git")


def tree_of_default_branch(workspace: Workspace, env: Mapping[str, str]) -> tuple[str, Tree]:
    """Return name and tip of the default branch, as the remote itself names them now.

    Raises GitError where the remote does not answer, or names none.
    """
    listing = list_refs(workspace, env, "HEAD", symbolic=True)
    if listing.failure:
        raise GitError(
            f"the remote does not answer: {listing.failure.words}",
            hint="is it reachable with this checkout's credentials?",
            kind=listing.failure.kind,
        )
    lines = [line.partition("\t")[0] for line in listing.text.splitlines()]
    branch = next((line.removeprefix(_SYMBOLIC) for line in lines if line.startswith(_SYMBOLIC)), None)
    tip = next((line for line in lines if is_commit_id(line)), None)
    if branch is None or tip is None:
        raise GitError(
            "the remote names no default branch with a commit", hint="set its default branch", kind=GitKind.NO_REF
        )
    return branch, tree_of_commit(workspace, tip, env)


def has_branches(workspace: Workspace, env: Mapping[str, str], but: str) -> bool:
    """Whether the remote has any branch, besides those whose name begins with `but`; True where it does not answer."""
    listing = list_refs(workspace, env, "refs/heads/*")
    if listing.failure:
        return True
    names = [line.partition("\t")[2] for line in listing.text.splitlines()]
    return any(name and not name.startswith(f"refs/heads/{but}") for name in names)


def tree_of_commit(workspace: Workspace, commit: str, env: Mapping[str, str]) -> Tree:
    """Return a commit, fetched from the remote if this clone does not have it. Raises GitError where it cannot be."""
    if not is_commit_id(commit):
        raise GitError("a commit is named by its whole id", kind=GitKind.UNKNOWN_OBJECT)
    if has_commit(workspace.top, commit):
        return Tree(workspace, workspace.top, commit, env)
    side = _side(workspace, env)
    with held(side.with_suffix(".lock")):
        init_bare(side, workspace.object_format)
        fetch_object(workspace, side, commit, env, "--depth=1", "--filter=blob:none")
    return Tree(workspace, side, commit, env)


def _local(workspace: Workspace, branch: str, tip: str | None, env: Mapping[str, str]) -> Tree:
    if tip is None:
        raise GitError(
            f"no branch named '{branch}', on the remote or in this clone",
            hint="is it the pull request's target?",
            kind=GitKind.NO_REF,
        )
    return Tree(workspace, workspace.top, tip, env)
