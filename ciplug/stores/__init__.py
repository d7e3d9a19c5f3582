"""Where records are kept: `open_store` turns a URI into a Store."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from ciplug import git
from ciplug.errors import ConfigError
from ciplug.stores.base import Head, Problem, Store

__all__ = ["Head", "Problem", "Store", "cache_folder", "open_store"]

DEFAULT_URI = "git:"
DEFAULT_BRANCH = "ciplug"
_LATER = ("file://", "s3://", "gs://", "az://", "mlflow+http")


def cache_folder(workspace: git.Workspace | None, env: Mapping[str, str]) -> Path:
    """A folder of ours, beside nothing of the user's: in the repository's .git if we may, else in the user's cache."""
    if workspace is not None and os.access(workspace.common_dir, os.W_OK):
        return workspace.common_dir / "ciplug"
    home = Path(env.get("HOME") or env.get("USERPROFILE") or Path.home())
    if sys.platform == "win32":
        base = Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "ciplug"


def open_store(
    uri: str, workspace: git.Workspace | None, env: Mapping[str, str] | None = None, *, may_fold: bool = True
) -> Store:
    """The store that a URI names. Nothing is contacted yet.

    `git:` is the remote of the enclosing repository (or the repository itself, if it has none);
    `git+https://…`, `git+ssh://…`, `git+file://…` name another; `?branch=NAME` another branch than "ciplug".

    Raises ConfigError for a URI of a kind that this version does not know.
    """
    env = os.environ if env is None else env
    named = git.redact(uri)
    scheme, _, rest = uri.partition(":")
    if scheme != "git" and not scheme.startswith("git+"):
        if uri.startswith(_LATER):
            raise ConfigError(
                f"store '{named}': this version keeps runs in git only", hint="use 'git:' or 'git+https://…'"
            )
        raise ConfigError(
            f"store '{named}' is no store that ciplug knows",
            hint="use 'git:', 'git+https://…', 'git+ssh://…' or 'git+file://…'",
        )
    address, _, query = rest.partition("?")
    branch = _branch(named, query)
    if scheme == "git":
        if address:
            raise ConfigError(
                f"store '{named}': 'git:' takes no address", hint="name another repository by git+https://…"
            )
        url = _own_remote(workspace)
    else:
        transport = scheme.removeprefix("git+")
        if transport not in ("https", "http", "ssh", "file"):
            raise ConfigError(f"store '{named}': git is not reached by '{transport}'", hint="https, ssh or file")
        if not address.startswith("//"):
            raise ConfigError(f"store '{named}': an address is expected after '{scheme}:'", hint=f"{scheme}://…")
        url = f"{transport}:{address}"
    from ciplug.stores.git_branch import GitBranchStore

    return GitBranchStore(
        url,
        uri=uri,
        branch=branch,
        cache=cache_folder(workspace, env) / "git",
        config=workspace.config if workspace else git.configuration(Path.cwd()),
        token=env.get("CIPLUG_PUSH_TOKEN") or None,
        object_format=workspace.object_format if workspace and scheme == "git" else "sha1",
        may_fold=may_fold,
    )


def _branch(named: str, query: str) -> str:
    options = dict(parse_qsl(query, keep_blank_values=True))
    branch = options.pop("branch", DEFAULT_BRANCH)
    if options:
        raise ConfigError(f"store '{named}': unknown option '{min(options)}'", hint="the only option is ?branch=NAME")
    bad = not branch or branch.startswith(("-", "/")) or branch.endswith(("/", ".", ".lock"))
    if bad or ".." in branch or any(c in branch for c in " ~^:?*[\\"):
        raise ConfigError(f"store '{named}': '{branch}' is no name for a branch")
    return branch


def _own_remote(workspace: git.Workspace | None) -> str:
    if workspace is None:
        raise ConfigError(
            "the store 'git:' is the enclosing repository, and this folder is in none",
            hint="run inside a checkout, or name a repository: --store git+https://…",
        )
    remotes = workspace.remotes
    if not remotes:
        return git.file_url(workspace.common_dir)
    if "origin" in remotes:
        return remotes["origin"]
    if len(remotes) == 1:
        return next(iter(remotes.values()))
    raise ConfigError(
        f"the store 'git:' is the remote 'origin', and this repository has only {', '.join(sorted(remotes))}",
        hint="name the repository: --store git+https://…",
    )
