"""The remote of a checkout: its refs, and commits and files fetched from it into repositories of our own.

git runs in a repository of ours: in the checkout it would send the credentials that are handed over beside those that
the checkout keeps, and a host answers two with a 400.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ciplug.errors import ConfigError
from ciplug.git.bare import init_bare, own_refs, write_config
from ciplug.git.cache import cache_folder
from ciplug.git.credentials import push_token, without_password
from ciplug.git.failures import Failure, read_failure
from ciplug.git.run import run_git
from ciplug.git.transport import transport_environment
from ciplug.git.workspace import Workspace
from ciplug.locking import held

_QUIET = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--quiet")
_TARGET = "refs/history/target"


def url_of(workspace: Workspace) -> str:
    """Return the remote's URL from the configuration, which may contain a password; empty without a remote."""
    remotes = workspace.remotes
    return remotes.get("origin") or next(iter(remotes.values()), "")


def side_repository(workspace: Workspace, env: Mapping[str, str]) -> Path:
    """Return the repository on this machine for commits fetched from the remote."""
    name = hashlib.sha256(without_password(url_of(workspace)).encode()).hexdigest()[:16]
    return cache_folder(workspace, env) / "git" / f"history-{name}.git"


@dataclass(frozen=True)
class Listing:
    """The answer of `git ls-remote`."""

    text: str
    failure: Failure | None = None

    @property
    def first(self) -> str:
        """Return the object id, or the symbolic ref, in the first line; empty if there is no line."""
        return self.text.partition("\t")[0]


def list_refs(workspace: Workspace, env: Mapping[str, str], *names: str, symbolic: bool = False) -> Listing:
    """List these refs on the remote; with `symbolic`, a line `ref: TARGET` precedes a symbolic ref."""
    side = side_repository(workspace, env)
    with held(side.with_suffix(".lock")):
        init_bare(side, workspace.object_format)
        done = run_git(
            *("ls-remote", *(["--symref"] if symbolic else []), "--", without_password(url_of(workspace)), *names),
            cwd=side,
            env=_transport(workspace, env),
            check=False,
        )
    return Listing(done.stdout.decode(errors="replace"), read_failure(done.stderr) if done.returncode else None)


def why_unreachable(workspace: Workspace, env: Mapping[str, str]) -> Failure | None:
    """Return the reason why the remote cannot be read, or None if it can."""
    return list_refs(workspace, env, "HEAD").failure


def fetch_tip(workspace: Workspace, repository: Path, branch: str, env: Mapping[str, str]) -> str | Failure:
    """Fetch the last commit of a branch, with its folders and without files, into a repository of ours; its id."""
    ref = "refs/branches/tip"
    done = run_git(
        # With a "have", the server would assume that we have the files that were filtered out.
        *("-c", "fetch.negotiationAlgorithm=noop", "fetch", *_QUIET, "--depth=1", "--filter=blob:none", "--"),
        *(without_password(url_of(workspace)), f"+refs/heads/{branch}:{ref}"),
        cwd=repository,
        env=_transport(workspace, env),
        check=False,
    )
    write_config(repository, workspace.object_format)
    if done.returncode:
        return read_failure(done.stderr)
    tip = own_refs(repository, ref)[ref]
    # No ref is kept, as with an object that is fetched by its id.
    (repository / ref).unlink(missing_ok=True)
    return tip


def fetch_object(workspace: Workspace, repository: Path, oid: str, env: Mapping[str, str], *options: str) -> None:
    """Fetch an object by its id into a repository of ours, whose configuration stays empty. Raises GitError.

    No ref is kept there: a server that learns of one assumes that we have the files that were filtered out.
    """
    run_git(
        *("fetch", *_QUIET, *options, "--", without_password(url_of(workspace)), oid),
        cwd=repository,
        env=_transport(workspace, env),
    )
    write_config(repository, workspace.object_format)


@dataclass(frozen=True)
class Fetched:
    """Commits of the remote in a repository of ours."""

    repository: Path
    tip: str
    """The tip of the branch."""
    env: dict[str, str]
    """The environment for git in that repository."""


def fetch_commits(
    workspace: Workspace, head: str | None, branch: str, env: Mapping[str, str], tip: str | None = None
) -> Fetched | Failure:
    """Fetch the commits of a branch, and of `head` if the remote has it; no trees and no files.

    Args:
        tip: the tip of the branch, if the remote was asked for it a moment ago: it need not list its refs again.
    """
    repository = side_repository(workspace, env)
    transport = _transport(workspace, env)
    refspec = f"+refs/heads/{branch}:{_TARGET}"
    # The target branch is fetched also where head was never pushed.
    attempts = [[refspec, f"+{head}:refs/history/head"], [refspec]] if head else [[refspec]]
    if tip and head:
        attempts.insert(0, [f"+{tip}:{_TARGET}", f"+{head}:refs/history/head"])
    with held(repository.with_suffix(".lock")):
        init_bare(repository, workspace.object_format)
        for refspecs in attempts:
            done = run_git(
                *("fetch", *_QUIET, "--filter=tree:0", "--", without_password(url_of(workspace)), *refspecs),
                cwd=repository,
                env=transport,
                check=False,
            )
            write_config(repository, workspace.object_format)
            if done.returncode == 0:
                break
        else:
            return read_failure(done.stderr)
        tip = own_refs(repository, _TARGET)[_TARGET]
    return Fetched(repository, tip, transport)


def _transport(workspace: Workspace, env: Mapping[str, str]) -> dict[str, str]:
    url = url_of(workspace)
    try:
        token = push_token(env, url, url)
    except ConfigError:
        # The checkout is of another server than the job: its own credentials read it, if any can.
        token = None
    return transport_environment(workspace.config, url, token)
