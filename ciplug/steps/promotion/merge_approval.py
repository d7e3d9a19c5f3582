"""The approval of a promotion by a merged pull request: what it proposed is in git, who approved it the forge says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ciplug.errors import CiplugError, ConfigError, PromotionRefused, Refusal, listed
from ciplug.git.branch_files import tree_of_commit
from ciplug.records import read
from ciplug.records.moment import parse
from ciplug.registry.events import payload_of
from ciplug.reports.untrusted import clean, clean_name
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion.proposed import Proposal, every_proposed
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ciplug.config.stages import Approvals
    from ciplug.forges.base import Forge
    from ciplug.forges.merged_pull_request import Approval, MergedPullRequest


class Wanted(NamedTuple):
    """The promotion to approve, and where its approval is looked for."""

    proposal: Proposal
    number: int | None = None
    """The pull request; None: those that the commit of this job merged."""
    earlier: tuple[str, ...] = ()
    """The keys of the events by which versions of the run were promoted to the stage, as far as they are the last."""


class MergeApproval(NamedTuple):
    """The approval by a merged pull request."""

    url: str
    sentence: str
    """What was established, and how."""


def check_merge(
    session: Session, forge: Forge | None, approvals: Approvals, wanted: Wanted, authors: Collection[str]
) -> MergeApproval:
    """Return the approval of a promotion by a merged pull request.

    The pull request must have brought the line that proposes it into the default branch, and that branch must still
    have it. Whoever approved must have seen that line, and neither have opened the pull request nor have pushed to it,
    so that nobody approves alone what he has written. Each pull request approves a promotion once.

    Args:
        authors: the names of those whose approval does not count, in lower case.

    Raises PromotionRefused.
    """
    path, proposal = approvals.pull_request or "", wanted.proposal
    branch = _default_branch(session, path, proposal)
    refusals: list[PromotionRefused] = []
    for merged in _candidates(session, forge, wanted, proposal, path):
        try:
            return _approval(session, merged, approvals, wanted, authors, branch)
        except PromotionRefused as refusal:
            refusals.append(refusal)
    raise refusals[0]


def _default_branch(session: Session, path: str, proposal: Proposal) -> str:
    """Return the name of the default branch. Raises PromotionRefused where its file does not propose the promotion."""
    source = read_policies(session).own_source
    if not proposal.is_in(_file(session, source.commit or "", path)):
        raise PromotionRefused(
            Refusal.NOT_PROPOSED,
            f"{proposal.stage} requires a merged pull request, and {path} of {source.branch} does not say "
            f"`{proposal.line}`",
            hint=f"propose it in {path} by a pull request; when that is approved and merged, promote again",
        )
    return source.branch or ""


def _candidates(
    session: Session, forge: Forge | None, wanted: Wanted, proposal: Proposal, path: str
) -> Iterator[MergedPullRequest]:
    """Yield the merged pull requests to look at, at least one. Raises PromotionRefused without one."""
    required = f"{proposal.stage} requires a merged pull request that changes {path}"
    commit = session.need_head()
    numbers = [wanted.number] if wanted.number is not None and forge else forge.merges_of(commit) if forge else None
    if numbers is None:
        raise PromotionRefused(
            Refusal.PULL_REQUEST_UNKNOWN,
            f"{required}, and no forge says who approved one",
            hint="promote in a job of GitHub, GitLab or Gitea, with a token that may read pull requests",
        )
    found = False
    for number in numbers:
        if merged := forge.merged_pull_request(number) if forge else None:
            found = True
            yield merged
    if not found:
        raise PromotionRefused(
            Refusal.PULL_REQUEST_UNKNOWN,
            f"{required}, and "
            + (f"#{wanted.number} is not merged" if wanted.number is not None else f"none merged {commit[:12]}"),
            hint="promote in the job of the merge, or name the pull request: --pull-request N",
        )


def _approval(
    session: Session,
    merged: MergedPullRequest,
    approvals: Approvals,
    wanted: Wanted,
    authors: Collection[str],
    branch: str,
) -> MergeApproval:
    path, proposal = approvals.pull_request or "", wanted.proposal
    if merged.base != branch or not _brings(session, merged.start, merged.commit, path, proposal):
        raise PromotionRefused(
            Refusal.NOT_PROPOSED,
            f"pull request #{merged.number} did not bring `{proposal.line}` into {path} of {branch}",
            hint="name the pull request that did: --pull-request N; or open another one",
        )
    if (used := _last_used(session, wanted, merged)) is not None:
        raise PromotionRefused(
            Refusal.APPROVAL_USED,
            f"pull request {used} has already approved a promotion of this version to {proposal.stage}, and "
            f"#{merged.number} was not opened and merged after that",
            hint=f"take the line out of {path}, and propose it again in another pull request",
        )
    counted = _counted(session, merged, path, proposal, authors)
    # Whoever pushed may be one of those who approved, where nobody knows who pushed.
    needed = approvals.min_approvals + (merged.pushers is None)
    if len(counted) < needed:
        raise PromotionRefused(
            Refusal.NOT_APPROVED,
            f"{proposal.stage} requires {_people(needed)} to approve pull request #{merged.number}"
            + ("" if merged.pushers is not None else " (one more, as the forge does not say which person pushed to it)")
            + f", and {_who(merged, counted)}",
            hint=f"an approval counts that was given before the merge, for this target branch, of a change that shows "
            f"the line in {path}, by somebody who may write, and who neither opened the pull request nor pushed to it; "
            "propose it again in another pull request",
        )
    return MergeApproval(merged.url, _sentence(merged, counted, path, proposal))


def _brings(session: Session, start: str | None, commit: str, path: str, proposal: Proposal) -> bool:
    """Whether a commit changed the file since another one so that it proposes the promotion.

    Where the file cannot be read at the start, nobody has seen the line come. Raises GitError without that commit.
    """
    if start is None or not proposal.is_in(_file(session, commit, path)):
        return False
    before = tree_of_commit(session.need_workspace(), start, session.env).read(path)
    try:
        every_proposed(before or b"", path)
    except ConfigError:
        return False
    return not proposal.is_in(before)


def _counted(
    session: Session, merged: MergedPullRequest, path: str, proposal: Proposal, authors: Collection[str]
) -> list[Approval]:
    """The approvals of commits that propose the promotion, by people who have no part in it."""
    shown = {(one.start, one.commit) for one in merged.approvals}
    seen = {(start, commit) for start, commit in shown if _brings(session, start, commit, path, proposal)}
    independent = (one for one in merged.independent() if not one.by.known_as() & set(authors))
    return [one for one in independent if (one.start, one.commit) in seen]


def _last_used(session: Session, wanted: Wanted, merged: MergedPullRequest) -> str | None:
    """The pull request that approved the last promotion of the version to the stage, unless this one came after it.

    A repository that was renamed has its numbers still, so its name is not compared.
    """
    events = [read.registry_event(data, key) for key, data in session.store.read(wanted.earlier).items()]
    kind = merged.url.split("/")[-2]
    for event in sorted(events, key=lambda one: one.seq, reverse=True):
        used = str(getattr(payload_of(event), "pull_request", None) or "")
        *_, used_kind, number = ("", *used.split("/"))
        earlier = used_kind == kind and number.isdigit() and merged.number <= int(number)
        if used and (earlier or merged.merged_at <= parse(event.created)):
            return f"#{number}"
    return None


def _file(session: Session, commit: str, path: str) -> bytes | None:
    """A file of a commit; None where there is none, or the commit is not to be had."""
    try:
        return tree_of_commit(session.need_workspace(), commit, session.env).read(path)
    except CiplugError:
        return None


def _sentence(merged: MergedPullRequest, counted: Collection[Approval], path: str, proposal: Proposal) -> str:
    by = listed([f"{clean_name(one.by.login)} at {one.commit[:12]}" for one in counted])
    merger = f", merged by {clean_name(merged.merged_by)}" if merged.merged_by else ""
    forge = next(iter(counted)).by.by
    return (
        f"pull request #{merged.number} ({clean(merged.url)}) brought `{proposal.line}` into {path} as "
        f"{merged.commit[:12]}: approved by {by}{merger}, as {forge} confirms"
    )


def _people(count: int) -> str:
    return "one person" if count == 1 else f"{count} people"


def _who(merged: MergedPullRequest, counted: Collection[Approval]) -> str:
    if counted:
        return f"only {listed([clean_name(one.by.login) for one in counted])} did"
    if merged.approvals:
        names = listed([clean_name(one.by.login) for one in merged.approvals])
        return f"no approval counts: {names} opened it, pushed to it, made the run, or saw another line"
    return "nobody did"
