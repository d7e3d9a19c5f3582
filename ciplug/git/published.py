"""Whether a commit is one of a repository's own: in a branch, or under a tag, of its remote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ciplug.git.remote import list_refs
from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace

_BRANCHES, _TAGS = "refs/heads/", "refs/tags/"


class Places(NamedTuple):
    """The branches and tags of a remote that have a commit."""

    own: bool
    """In a branch or under a tag; False where the remote does not answer, or this clone lacks the history to tell."""
    branches: tuple[str, ...]
    """The branches whose tip it is."""


def places_of(workspace: Workspace, commit: str, env: Mapping[str, str]) -> Places:
    """Where the remote has a commit; without a remote, where this repository has it.

    The remote itself is asked: a remote-tracking branch may be of a pull request that was fetched by hand.
    """
    refs = _refs(workspace, env)
    if refs is None:
        return Places(own=False, branches=())
    tips = tuple(sorted(ref.removeprefix(_BRANCHES) for ref, tip in refs.items() if tip == commit))
    own = commit in refs.values() or any(_shows(holder, refs) for holder in _holders(workspace, commit))
    return Places(own, tuple(name for name in tips if not name.startswith(_TAGS)))


def _refs(workspace: Workspace, env: Mapping[str, str]) -> dict[str, str] | None:
    """Branch or tag → its commit; None where the remote does not answer."""
    if workspace.remotes:
        listing = list_refs(workspace, env, "refs/heads/*", "refs/tags/*")
        text = None if listing.failure else listing.text
    else:
        text = run_git("show-ref", "--dereference", "--heads", "--tags", cwd=workspace.top, check=False).stdout.decode()
        text = text.replace(" ", "\t")
    if text is None:
        return None
    # The commit of an annotated tag comes after the tag, as `refs/tags/v1^{}`.
    pairs = (line.partition("\t") for line in text.splitlines())
    return {ref.removesuffix("^{}"): oid for oid, _, ref in pairs}


def _holders(workspace: Workspace, commit: str) -> list[tuple[str, str]]:
    """(ref, id) of what this clone has of branches and tags that contain the commit."""
    listed = run_git(
        *("for-each-ref", "--contains", commit, "--format=%(refname) %(objectname)"),
        *("refs/remotes", "refs/heads", "refs/tags"),
        cwd=workspace.top,
        check=False,
    ).stdout.decode()
    return [(ref, oid) for ref, _, oid in (line.partition(" ") for line in listed.splitlines())]


def _shows(holder: tuple[str, str], refs: Mapping[str, str]) -> bool:
    """Whether a ref of this clone shows that the remote has what it contains: by its tip, or by its name.

    A remote-tracking branch may be behind the remote's branch.
    """
    ref, oid = holder
    tracked = ref.startswith("refs/remotes/") and f"{_BRANCHES}{ref.split('/', 3)[-1]}" in refs
    return tracked or oid in refs.values()
