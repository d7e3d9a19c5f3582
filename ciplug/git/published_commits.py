"""Where a repository has a commit: in a branch, under a tag, or at another ref, of its remote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ciplug.git.commits import commit_named, first_parents_in, has_commit
from ciplug.git.environment import git_environment
from ciplug.git.failures import Failure
from ciplug.git.remote import fetch_commits, list_refs
from ciplug.git.run import run_git
from ciplug.git.workspace import Workspace
from ciplug.records.provenance import PublishedAt

_BRANCHES, _TAGS = "refs/heads/", "refs/tags/"


def published_at(workspace: Workspace, commit: str, env: Mapping[str, str]) -> PublishedAt:
    """Where the remote has a commit; without a remote, where this repository has it.

    The remote itself is asked: a remote-tracking branch may be of a pull request that was fetched by hand.
    """
    refs = _refs(workspace, env)
    if refs is None:
        return PublishedAt()
    tips = tuple(sorted(ref.removeprefix(_BRANCHES) for ref, tip in refs.items() if tip == commit))
    own = commit in refs.values() or any(_shows(holder, refs) for holder in _holders(workspace, commit))
    return PublishedAt(own, tuple(name for name in tips if not name.startswith(_TAGS)))


def is_tip(workspace: Workspace, commit: str, refs: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether one of the remote's refs (`refs/heads/main`) is at a commit.

    What this clone has fetched of them is looked at first: the ref may have moved on since, and a job often has no
    credential to ask with.
    """
    return commit in _fetched(workspace, refs) or commit in (_refs(workspace, env, *refs) or {}).values()


def is_on_branch(workspace: Workspace, commit: str, branch: str, env: Mapping[str, str]) -> bool:
    """Whether a commit is one of a branch's own on the remote: its tip, or one of the tip's first parents.

    Where the branch has moved on since it was cloned, its commits are fetched. False where nothing can be shown.
    """
    ref = f"{_BRANCHES}{branch}"
    if any(_follows(workspace, tip, commit) for tip in _fetched(workspace, [ref])):
        return True
    tips = (_refs(workspace, env, ref) or {}).values()
    if any(_follows(workspace, tip, commit) for tip in tips):
        return True
    if not workspace.remotes or all(has_commit(workspace.top, tip) for tip in tips):
        return False
    fetched = fetch_commits(workspace, None, branch, env)
    return not isinstance(fetched, Failure) and commit in first_parents_in(fetched.repository, fetched.tip, fetched.env)


def _fetched(workspace: Workspace, refs: Sequence[str]) -> Iterator[str]:
    """The commits that this clone has for refs of its remotes."""
    for ref in refs:
        short = ref.removeprefix(_BRANCHES).removeprefix("refs/")
        tracked = [f"refs/remotes/{name}/{short}" for name in workspace.remotes]
        for name in [ref] if ref.startswith(_TAGS) or not tracked else tracked:
            if tip := commit_named(workspace.top, name):
                yield tip


def _follows(workspace: Workspace, tip: str, commit: str) -> bool:
    return commit == tip or commit in first_parents_in(workspace.top, tip, git_environment())


def _refs(workspace: Workspace, env: Mapping[str, str], *names: str) -> dict[str, str] | None:
    """Ref → its commit, of all branches and tags or of the named refs; None where the remote does not answer."""
    if workspace.remotes:
        # The commit of an annotated tag is listed under a name of its own, which a full name leaves out.
        peeled = [f"{name}^{{}}" for name in names if name.startswith(_TAGS)]
        listing = list_refs(workspace, env, *(names + tuple(peeled) or (f"{_BRANCHES}*", f"{_TAGS}*")))
        text = None if listing.failure else listing.text
    else:
        selected = ["--", *names] if names else ["--heads", "--tags"]
        text = run_git("show-ref", "--dereference", *selected, cwd=workspace.top, check=False).stdout.decode()
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
