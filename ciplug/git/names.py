"""Find the commits that names refer to, in this clone or on its remote."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from ciplug.errors import GitError
from ciplug.git.commits import commit_named
from ciplug.git.failures import Failure
from ciplug.git.objects import is_commit_id
from ciplug.git.remote import fetch_commits, list_refs
from ciplug.git.workspace import Workspace


def resolve(workspace: Workspace, name: str, env: Mapping[str, str]) -> str | None:
    """Return the commit of a name (branch, tag, HEAD~2, abbreviated id), here or on the remote; None if unknown."""
    for candidate in (name, f"refs/remotes/origin/{name}"):
        if commit := commit_named(workspace.top, candidate):
            return commit
    if is_commit_id(name):
        return name
    plain = not set(name) & set("~^:?*[\\ @{") and ".." not in name and not name.startswith("-")
    if workspace.remotes and plain:
        fetched = fetch_commits(workspace, None, name, env)
        if not isinstance(fetched, Failure):
            return fetched.tip
        with suppress(GitError):
            return tagged(workspace, name, env)
    return None


def tagged(workspace: Workspace, tag: str, env: Mapping[str, str]) -> str | None:
    """Return the commit of a tag, here or on the remote; None if there is no such tag.

    Raises GitError where the remote does not answer.
    """
    ref = f"refs/tags/{tag}"
    commit = commit_named(workspace.top, ref)
    if commit or not workspace.remotes:
        return commit
    listing = list_refs(workspace, env, ref, f"{ref}^{{}}")
    if listing.failure:
        raise GitError(
            f"the tag '{tag}' cannot be looked up on the remote: {listing.failure.words}",
            hint="is the remote reachable with this checkout's credentials?",
            kind=listing.failure.kind,
        )
    # An annotated tag has two lines, and the commit is in the last one.
    words = listing.text.split()
    return words[-2] if len(words) >= 2 and is_commit_id(words[-2]) else None
