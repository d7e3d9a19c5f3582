"""Find the commit of a job's run, from git's checkout and the facts of the CI host.

The host's word serves to understand HEAD, never to contradict it. A job may check out another ref than the host built
(`ref: develop` in a nightly job, a comment on a pull request, a second repository), and then nothing that the host says
of commit, branch, tag and pull request is about the numbers of this job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Protocol

from ciplug.ci.base import Checkout, place_of_remote
from ciplug.records.provenance import Context, PublishedAt

_SHORTEST_ID = 7
"""Digits of a shortened commit id: Bitbucket gives 12."""


class Standing(Enum):
    """The relation of HEAD to the host's facts."""

    NO_HOST = auto()
    NO_COMMIT = auto()
    """There is no checkout, or HEAD has no commit yet."""
    NAMED = auto()
    """HEAD is the commit that the host names; where it names none, the tip of the branch, tag or pull request that it
    names."""
    MERGE = auto()
    """HEAD merges the head of the pull request with its target."""
    OTHER_COMMIT = auto()
    """HEAD is another commit than the host names."""
    OTHER_REPOSITORY = auto()
    """HEAD is of another repository than the job."""


class Remote(Protocol):
    """What git knows of the repository that the checkout is of. A question may contact the remote."""

    def published(self) -> PublishedAt:
        """Return where it has HEAD."""
        ...

    def is_tip(self, commit: str, refs: Sequence[str]) -> bool:
        """Return whether one of these full refs is at the commit; False where that cannot be shown."""
        ...

    def is_on_branch(self, commit: str, branch: str) -> bool:
        """Return whether the commit is one of the branch's own, its first parents; False where that is not shown."""
        ...


@dataclass(frozen=True)
class Identity:
    """The commit that a job's runs belong to, and why."""

    context: Context
    """The job, with the host's commit, branch and pull request if they are about HEAD."""
    claim: Context
    """The host's facts."""
    standing: Standing
    published: PublishedAt = field(default_factory=PublishedAt)
    """The place of HEAD on the remote, if the remote was contacted."""

    @property
    def elsewhere(self) -> bool:
        """Whether HEAD is not what the host speaks of."""
        return self.standing in (Standing.OTHER_COMMIT, Standing.OTHER_REPOSITORY)


def explain(identity: Identity) -> str:
    """Explain the choice of this commit, and which facts of the host are not used, in one clause."""
    claim, context = identity.claim, identity.context
    standing = identity.standing
    if standing == Standing.MERGE:
        return f"the head that HEAD, the merge {(context.merge_commit or '')[:8]}, brings in"
    if standing == Standing.NAMED:
        if claim.commit or claim.merge_commit:
            return f"HEAD, which {claim.host} names"
        return f"HEAD, the tip of the ref that {claim.host} names" if _refs_of(claim) else "HEAD"
    if standing not in (Standing.OTHER_COMMIT, Standing.OTHER_REPOSITORY):
        return "HEAD"
    where = f"HEAD of {context.branch}" if context.branch else "HEAD"
    if standing == Standing.OTHER_REPOSITORY:
        return (
            f"{where}, in {context.repository or 'another repository'}: what {claim.host} says is about "
            f"{claim.repository}, and nothing is posted there"
        )
    return f"{where}; {claim.host} names {_named(claim)}, which is not checked out"


def doubt(identity: Identity) -> str | None:
    """Return why a job that the host trusts is not trusted; None if it is, or if the host does not trust it either."""
    if not identity.claim.trusted or identity.context.trusted:
        return None
    if identity.published.own:
        return "runs of a second repository are recorded with trust only in that repository, the store 'git:'"
    return "it is not shown to be in a branch or under a tag of the remote, so it may be a fork's"


def _named(claim: Context) -> str:
    """Return the host's commit and branch, for people."""
    commit = claim.commit or claim.merge_commit
    of, tagged = ("of ", "with tag ") if commit else ("", "the tag ")
    parts = [
        commit[:8] if commit else "",
        f"{of}{claim.branch}" if claim.branch else f"{tagged}{claim.tag}" if claim.tag else "",
        f"(pull request {claim.pull_request})" if claim.pull_request is not None else "",
    ]
    return " ".join(filter(None, parts)) or "another commit"


def identify(
    claim: Context,
    checkout: Checkout,
    *,
    merged_head: Callable[[Checkout], str | None],
    target_tips: Sequence[str],
    merges_into_head: bool,
    remote: Remote,
    keeps_own_runs: bool,
) -> Identity:
    """Return the identity of a job.

    Trust is never raised here: it is the host's, and where the host does not name HEAD, only a commit that the remote
    has in a branch or under a tag is trusted. A fork's head that such a job has checked out is not.

    Args:
        claim: what the host says of the job.
        merged_head: the head that a merge commit of the host's own making has, if HEAD is one.
        target_tips: the commits that the host names as the tip of the pull request's target; they may be shortened.
        merges_into_head: whether the host merges the target into the head of a pull request, without naming the merge.
        remote: it is asked only where HEAD is not a commit that the host names.
        keeps_own_runs: whether runs go to the repository that is checked out. In a second repository of the job,
            no other place is written with trust.
    """
    if claim.host == "local":
        identity = replace(claim, commit=checkout.head, branch=checkout.branch)
        return Identity(identity, claim, Standing.NO_HOST)
    if checkout.head is None:
        return Identity(replace(claim, commit=None, merge_commit=None), claim, Standing.NO_COMMIT)
    head = _head_of_claim(claim, checkout, merged_head, target_tips, remote, merges_into_head=merges_into_head)
    if head is not None:
        merge = None if head == checkout.head else checkout.head
        context = replace(claim, commit=head, merge_commit=merge, branch=claim.branch or checkout.branch)
        return Identity(context, claim, Standing.MERGE if merge else Standing.NAMED)
    return _elsewhere(claim, checkout, remote.published(), keeps_own_runs=keeps_own_runs)


def _head_of_claim(
    claim: Context,
    checkout: Checkout,
    merged_head: Callable[[Checkout], str | None],
    target_tips: Sequence[str],
    remote: Remote,
    *,
    merges_into_head: bool,
) -> str | None:
    """The commit under review, where HEAD is what the host speaks of; None where HEAD is something else."""
    head = checkout.head or ""
    named = next((parent for parent in checkout.parents if _is(parent, claim.commit)), None)
    # A merge on the target branch is one of its own commits: the pull request has gone in.
    merges = len(checkout.parents) == 2 and claim.proposed and checkout.branch != claim.target_branch
    if _is(head, claim.merge_commit):
        return (named if merges else None) or merged_head(checkout) or head
    if _is(head, claim.commit):
        return head
    if claim.commit is None and claim.merge_commit is None:
        return _tip_of_claim(claim, checkout, merged_head, remote)
    if not merges or named is None:
        return None
    is_of_both = _merges_with_target(named, claim, checkout, target_tips, remote, merges_into_head=merges_into_head)
    return named if is_of_both else None


def _merges_with_target(
    named: str,
    claim: Context,
    checkout: Checkout,
    target_tips: Sequence[str],
    remote: Remote,
    *,
    merges_into_head: bool,
) -> bool:
    """Whether HEAD, which the host does not name, merges the head under review with its target, and nothing else.

    Any other branch may have merged that head, too: a merge is of this pull request only if the other parent is the
    target's. HEAD itself may be the target's: the pull request has gone in. Or it is a commit of the pull request's own
    branch: somebody has merged the target into it, perhaps with other changes, since the host named its head.
    """
    target = claim.target_branch
    if named == checkout.parents[0] and not merges_into_head:
        return False
    other = next((parent for parent in checkout.parents if parent != named), "")
    if not any(_is(other, tip) for tip in target_tips) and not (target and remote.is_on_branch(other, target)):
        return False
    return not any(remote.is_on_branch(checkout.head or "", branch) for branch in (target, claim.branch) if branch)


def _tip_of_claim(
    claim: Context, checkout: Checkout, merged_head: Callable[[Checkout], str | None], remote: Remote
) -> str | None:
    """The commit under review, where the host names no commit: what git has for the ref that the host names.

    A branch of the right name in this clone shows nothing: the job may have put another commit there.
    """
    if _contradicted(claim, checkout):
        return None
    head, refs = checkout.head or "", _refs_of(claim)
    merged = merged_head(checkout) if claim.pull_request is not None else None
    return next((commit for commit in (merged, head) if commit and (not refs or remote.is_tip(commit, refs))), None)


def _refs_of(claim: Context) -> tuple[str, ...]:
    """The refs that may have the head of the tag, pull request or branch that the host names."""
    if claim.tag is not None:
        return (f"refs/tags/{claim.tag}",)
    # The branch of a fork is not in this repository.
    branch = (f"refs/heads/{claim.branch}",) if claim.branch and claim.trusted else ()
    if claim.pull_request is None:
        return branch
    number = claim.pull_request
    return (
        # Jenkins fetches a pull request as a branch of this name.
        f"refs/heads/PR-{number}",
        f"refs/heads/MR-{number}",
        f"refs/pull/{number}/head",
        f"refs/merge-requests/{number}/head",
        f"refs/pull-requests/{number}/from",
        *branch,
    )


def _contradicted(claim: Context, checkout: Checkout) -> bool:
    """Whether git is on another branch, or in another repository, than the host's."""
    branches = {claim.branch, *(f"{kind}-{claim.pull_request}" for kind in ("PR", "MR"))}
    elsewhere = claim.branch is not None and checkout.branch is not None and checkout.branch not in branches
    return elsewhere or _of_another_repository(claim, checkout)


def _elsewhere(claim: Context, checkout: Checkout, published: PublishedAt, *, keeps_own_runs: bool) -> Identity:
    """The identity of a HEAD that the host does not speak of."""
    context = replace(
        claim,
        commit=checkout.head,
        merge_commit=None,
        branch=checkout.branch or _branch_of(published, claim),
        target_branch=None,
        tag=None,
        pull_request=None,
        trusted=claim.trusted and published.own,
    )
    if not _of_another_repository(claim, checkout):
        return Identity(context, claim, Standing.OTHER_COMMIT, published)
    server, repository = place_of_remote(checkout.remote_url)
    context = replace(
        context,
        repository=repository,
        server_url=server,
        api_url=None,
        default_branch=None,
        trusted=context.trusted and keeps_own_runs,
    )
    return Identity(context, claim, Standing.OTHER_REPOSITORY, published)


def _branch_of(published: PublishedAt, claim: Context) -> str | None:
    """The branch of a detached HEAD, where it is clear."""
    if claim.branch in published.branches:
        return claim.branch
    return published.branches[0] if len(published.branches) == 1 else None


def _of_another_repository(claim: Context, checkout: Checkout) -> bool:
    """Whether the remote is another repository than the job's; False where one of the two is not known."""
    _, repository = place_of_remote(checkout.remote_url)
    if claim.repository is None or not checkout.remote_url:
        return False
    if repository is None or "/" not in repository:
        # A folder on this disk has no owner, nor has a mirror at the top of a server: its name has to tell.
        return _name(checkout.remote_url) != _name(claim.repository)
    return not f"/{repository}".lower().endswith(f"/{claim.repository.strip('/')}".lower())


def _name(address: str) -> str:
    """The last part of an address, without `.git`."""
    return address.rstrip("/").rpartition("/")[2].removesuffix(".git").lower()


def _is(commit: str, named: str | None) -> bool:
    """Whether a name, which may be shortened, is that of the commit."""
    return named is not None and len(named) >= _SHORTEST_ID and commit.startswith(named.lower())
