"""Merged pull requests of Gitea and Forgejo, with those reviews that count as approvals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from ciplug.forges.account import Account
from ciplug.forges.json_api import Refused
from ciplug.forges.merged_pull_request import Approval, MergedPullRequest
from ciplug.records.moment import parse

if TYPE_CHECKING:
    from datetime import datetime

    from ciplug.forges.json_api import JsonApi

_PAGE = 50

Pages = Callable[[str], Iterable[dict[str, Any]]]
"""Reads all pages of a list."""


def merges_of(api: JsonApi, path: str, commit: str) -> list[int]:
    """The number of the pull request that a commit merged."""
    try:
        pull = api.get(f"{path}/commits/{commit}/pull").json()
    except Refused as refused:
        if refused.status == 404:
            return []
        raise
    return [int(pull["number"])] if pull["merged"] else []


def merged_pull_request(api: JsonApi, path: str, number: int, pages: Pages) -> MergedPullRequest | None:
    """A pull request that was merged; None for another one."""
    pull = api.get(f"{path}/pulls/{number}").json()
    if not pull["merged"]:
        return None
    merger, start = pull.get("merged_by") or {}, str(pull["merge_base"])
    merged = parse(pull["merged_at"])
    events = list(_timeline(api, path, number))
    pushed = [event.get("user") for event in events if event["type"] == "pull_push"]
    # Jobs and deleted accounts: nobody knows which person that was.
    known = all(map(_is_person, (pull["user"], *pushed)))
    moves = (parse(event["created_at"]) for event in events if event["type"] == "change_target_branch")
    retargeted = max((at for at in moves if at <= merged), default=None)
    return MergedPullRequest(
        number=number,
        url=str(pull["html_url"]),
        base=str(pull["base"]["ref"]),
        start=start,
        head=str(pull["head"]["sha"]),
        commit=str(pull["merge_commit_sha"]),
        author=str(pull["user"]["login"]),
        merged_at=merged,
        merged_by=merger.get("login"),
        approvals=tuple(
            Approval(account, commit, start)
            for account, commit in _approvals(pages(f"{path}/pulls/{number}/reviews"), retargeted, merged)
        ),
        pushers=frozenset(str(one["login"]) for one in pushed if one) if known else None,
    )


def _timeline(api: JsonApi, path: str, number: int) -> Iterator[dict[str, Any]]:
    """Yield what happened to a pull request. Until a page is empty: the count in the header is that of the page."""
    for page in count(1):
        events = api.get(f"{path}/issues/{number}/timeline", {"page": page, "limit": _PAGE}).json()
        if not events:
            return
        yield from events


def _is_person(user: dict[str, Any] | None) -> bool:
    """Jobs act as an account with a negative id, and so does what a deleted account has done."""
    return int((user or {}).get("id", 0)) > 0


def _approvals(
    reviews: Iterable[dict[str, Any]], retargeted: datetime | None, merged: datetime
) -> Iterator[tuple[Account, str]]:
    """Yield the last review of each account, where it approves and counts: the account and the commit.

    `official` are reviews of those who may write, and `stale` those of another change than the present one. What was
    approved for another target branch has shown another change, too.
    """
    last: dict[str, dict[str, Any]] = {}
    for review in sorted(reviews, key=lambda one: int(one["id"])):
        user = review.get("user") or {}
        if not _is_person(user) or review["state"] not in ("APPROVED", "REQUEST_CHANGES"):
            continue
        at = parse(review["submitted_at"])
        # A review after the merge approves nothing.
        if at <= merged and (retargeted is None or at > retargeted):
            last[str(user["login"])] = review
    for login, review in last.items():
        counts = review["official"] and not review["dismissed"] and not review["stale"]
        if review["state"] == "APPROVED" and counts:
            names = frozenset(str(review["user"][key]) for key in ("full_name", "email") if review["user"].get(key))
            yield Account(login, "Gitea", names), str(review["commit_id"])
