"""Find the commit of a job's run, from git's checkout and the facts of the CI host.

The host's word serves to understand HEAD, never to contradict it. A job may check out another ref than the host built
(`ref: develop` in a nightly job, a comment on a pull request, a second repository), and then nothing that the host says
of commit, branch, tag and pull request is about the numbers of this job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from ciplug.ci.base import Checkout, place_of_remote
from ciplug.records.provenance import Context

_SHORTEST_ID = 7
"""Digits of a shortened commit id: Bitbucket gives 12."""


class Standing(Enum):
    """The relation of HEAD to the host's facts."""

    NO_HOST = auto()
    NO_COMMIT = auto()
    """There is no checkout, or HEAD has no commit yet."""
    NAMED = auto()
    """HEAD is the commit that the host names, or the host names none and does not contradict git."""
    MERGE = auto()
    """HEAD merges the head of the pull request with its target."""
    OTHER_COMMIT = auto()
    """HEAD is another commit than the host names."""
    OTHER_REPOSITORY = auto()
    """HEAD is of another repository than the job."""


@dataclass(frozen=True)
class Published:
    """The relation of HEAD to the branches and tags of the remote."""

    own: bool = False
    """HEAD is in a branch or under a tag of the remote. False where that cannot be shown."""
    branches: tuple[str, ...] = ()
    """The branches whose tip is HEAD."""


@dataclass(frozen=True)
class Identity:
    """The commit that a job's runs belong to, and why."""

    context: Context
    """The job, with the host's commit, branch and pull request if they are about HEAD."""
    claim: Context
    """The host's facts."""
    standing: Standing
    published: Published = Published()
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
        return f"HEAD, which {claim.host} names" if claim.commit or claim.merge_commit else "HEAD"
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
    parts = [
        commit[:8] if commit else "",
        f"of {claim.branch}" if claim.branch else f"with tag {claim.tag}" if claim.tag else "",
        f"(pull request {claim.pull_request})" if claim.pull_request is not None else "",
    ]
    return " ".join(filter(None, parts)) or "another commit"


def identify(
    claim: Context,
    checkout: Checkout,
    *,
    merged_head: Callable[[Checkout], str | None],
    published: Callable[[], Published],
    keeps_own_runs: bool,
) -> Identity:
    """Return the identity of a job.

    Trust is never raised here: it is the host's, and where the host does not name HEAD, only a commit that the remote
    has in a branch or under a tag is trusted. A fork's head that such a job has checked out is not.

    Args:
        claim: what the host says of the job.
        merged_head: the head that a merge commit of the host's own making has, if HEAD is one.
        published: asks the remote. It is called only where HEAD is not what the host names.
        keeps_own_runs: whether runs go to the repository that is checked out. In a second repository of the job,
            no other place is written with trust.
    """
    if claim.host == "local":
        found = replace(claim, commit=checkout.head, branch=checkout.branch)
        return Identity(found, claim, Standing.NO_HOST)
    if checkout.head is None:
        return Identity(replace(claim, commit=None, merge_commit=None), claim, Standing.NO_COMMIT)
    head = _head_of_claim(claim, checkout, merged_head)
    if head is not None:
        merge = None if head == checkout.head else checkout.head
        context = replace(claim, commit=head, merge_commit=merge, branch=claim.branch or checkout.branch)
        return Identity(context, claim, Standing.MERGE if merge else Standing.NAMED)
    return _elsewhere(claim, checkout, published(), keeps_own_runs=keeps_own_runs)


def _head_of_claim(claim: Context, checkout: Checkout, merged_head: Callable[[Checkout], str | None]) -> str | None:
    """The commit under review, where HEAD is what the host speaks of; None where HEAD is something else."""
    head = checkout.head or ""
    # A merge on the target branch is one of its own commits: the pull request has gone in.
    merges = len(checkout.parents) == 2 and claim.proposed and checkout.branch != claim.target_branch
    named = next((parent for parent in checkout.parents if _is(parent, claim.commit)), None) if merges else None
    if _is(head, claim.merge_commit):
        return named or merged_head(checkout) or head
    if _is(head, claim.commit):
        return head
    if claim.commit is None and claim.merge_commit is None and not _contradicted(claim, checkout):
        return (merged_head(checkout) if claim.pull_request is not None else None) or head
    return named


def _contradicted(claim: Context, checkout: Checkout) -> bool:
    """Whether git is on another branch, or in another repository, than the host's."""
    branches = {claim.branch, *(f"{kind}-{claim.pull_request}" for kind in ("PR", "MR"))}
    elsewhere = claim.branch is not None and checkout.branch is not None and checkout.branch not in branches
    return elsewhere or _of_another_repository(claim, checkout)


def _elsewhere(claim: Context, checkout: Checkout, published: Published, *, keeps_own_runs: bool) -> Identity:
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


def _branch_of(published: Published, claim: Context) -> str | None:
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
