"""Merged merge requests of GitLab, with those approvals that count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ciplug.forges.account import Account
from ciplug.forges.merged_pull_request import Approval, MergedPullRequest
from ciplug.records.moment import parse

if TYPE_CHECKING:
    from gitlab import Gitlab

_DEVELOPER = 30
_RETARGETED = re.compile(r"changed (automatically )?target branch|deleted the .* This merge request now targets")
_PUSHED = re.compile(r"added [\d,]+ (new )?commits?\b")


def merges_of(project: Any, commit: str) -> list[int]:
    """The numbers of the merged merge requests that a commit belongs to."""
    import gitlab

    try:
        found = project.commits.get(commit, lazy=True).merge_requests(get_all=True)
    except gitlab.GitlabError as error:
        if error.response_code == 404:
            return []
        raise
    return [int(one["iid"]) for one in found if one["state"] == "merged"]


def merged_merge_request(opened: Gitlab, project: Any, number: int) -> MergedPullRequest | None:
    """A merge request that was merged; None for another one."""
    found = project.mergerequests.get(number)
    facts = found.attributes
    if facts["state"] != "merged":
        return None
    notes = [note.attributes for note in found.notes.list(iterator=True, sort="asc", order_by="created_at")]
    system = [note for note in notes if note["system"]]
    approved = found.approvals.get().attributes.get("approved_by") or ()
    merger = facts.get("merge_user") or facts.get("merged_by") or {}
    # Pushes before it was opened are of whoever opened it: that person has proposed them.
    pushed = [note["author"] for note in system if _PUSHED.match(note["body"])]
    by_bot = any(_is_bot(opened, user) for user in {int(one["id"]) for one in (facts["author"], *pushed)})
    return MergedPullRequest(
        number=number,
        url=str(facts["web_url"]),
        base=str(facts["target_branch"]),
        start=str(facts["diff_refs"]["base_sha"]),
        head=str(facts["sha"]),
        # Without one of its own, it was merged by moving the branch to its last commit.
        commit=str(facts.get("merge_commit_sha") or facts.get("squash_commit_sha") or facts["sha"]),
        author=str(facts["author"]["username"]),
        merged_at=parse(str(facts["merged_at"])),
        merged_by=merger.get("username"),
        approvals=tuple(_approvals(opened, project, facts, system, [one["user"] for one in approved])),
        pushers=None if by_bot else frozenset(str(one["username"]) for one in pushed),
    )


def _approvals(
    opened: Gitlab,
    project: Any,
    facts: dict[str, Any],
    notes: Iterable[dict[str, Any]],
    approved: Iterable[dict[str, Any]],
) -> Iterator[Approval]:
    """Yield the approvals since the last push, of people who may write.

    GitLab keeps earlier ones unless a setting removes them, and does not say of which commit they are. What was
    approved for another target branch has shown another change.
    """
    since: set[int] = set()
    for note in notes:
        body, author = note["body"], int(note["author"]["id"])
        if _PUSHED.match(body) or _RETARGETED.match(body):
            since.clear()
        elif body.startswith("approved this merge request"):
            since.add(author)
        elif body.startswith("unapproved this merge request"):
            since.discard(author)
        elif body == "merged" or body.startswith("merged "):
            break
    for user in approved:
        if user["id"] in since and _may_write(opened, project, user["id"]):
            names = frozenset(str(user[key]) for key in ("name",) if user.get(key))
            account = Account(str(user["username"]), "GitLab", names)
            yield Approval(account, str(facts["sha"]), str(facts["diff_refs"]["base_sha"]))


def _may_write(opened: Gitlab, project: Any, user: int) -> bool:
    import gitlab

    with suppress(gitlab.GitlabGetError):
        return int(project.members_all.get(user).access_level) >= _DEVELOPER and not _is_bot(opened, user)
    return False


def _is_bot(opened: Gitlab, user: int) -> bool:
    """The token of a project acts as a bot, and each maintainer can make one. True for an account that is gone."""
    import gitlab

    try:
        about = opened.http_get(f"/users/{user}")
    except gitlab.GitlabError as error:
        if error.response_code == 404:
            return True
        raise
    return not isinstance(about, dict) or about.get("bot") is True
