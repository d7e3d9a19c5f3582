"""Merged pull requests of GitHub, with those reviews that count as approvals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ciplug.forges.account import Account
from ciplug.forges.merged_pull_request import Approval, MergedPullRequest
from ciplug.records.moment import parse

if TYPE_CHECKING:
    from github.Repository import Repository

_PAGE = 100
_PUSHES = 1000
"""Activities of a branch that are looked through, the last ones first."""
_RETARGETED = ("base_ref_changed", "automatic_base_change_succeeded")
_WRITERS = ("admin", "write")
"""`maintain` is among them: GitHub gives it as `write`."""


def merges_of(repository: Repository, commit: str) -> list[int]:
    """The numbers of the merged pull requests that brought a commit into their base."""
    import github

    try:
        _, found = repository.requester.requestJsonAndCheck("GET", f"{repository.url}/commits/{commit}/pulls")
    except github.GithubException as error:
        # A commit that GitHub does not have.
        if error.status in (404, 422):
            return []
        raise
    return [int(pull["number"]) for pull in _list(found) if pull["merged_at"]]


def merged_pull_request(repository: Repository, number: int) -> MergedPullRequest | None:
    """A pull request that was merged; None for another one."""
    _, pull = repository.requester.requestJsonAndCheck("GET", f"{repository.url}/pulls/{number}")
    if not isinstance(pull, dict) or not pull.get("merged_at"):
        return None
    head, merger = pull["head"], pull.get("merged_by") or {}
    # `base.sha` is the base at the last push, or even before the base was changed to another branch.
    _, made = repository.requester.requestJsonAndCheck(
        "GET", f"{repository.url}/git/commits/{pull['merge_commit_sha']}"
    )
    before = str(made["parents"][0]["sha"]) if made["parents"] else ""
    start = _start(repository, before, str(head["sha"]))
    if start is None:
        raise TypeError("a common commit is expected")
    return MergedPullRequest(
        number=number,
        url=str(pull["html_url"]),
        base=str(pull["base"]["ref"]),
        start=start,
        head=str(head["sha"]),
        commit=str(pull["merge_commit_sha"]),
        author=_login(pull.get("user")),
        merged_at=parse(str(pull["merged_at"])),
        merged_by=merger.get("login"),
        approvals=tuple(
            Approval(Account(login, "GitHub", _names(repository, login)), commit, _start(repository, before, commit))
            for login, commit in _approvals(repository, number, str(pull["merged_at"]))
        ),
        pushers=None if _is_bot(pull.get("user")) else _pushers(repository, pull),
    )


def _start(repository: Repository, base: str, commit: str) -> str | None:
    """Where a commit left its base; None for one that is not there any more."""
    import github

    try:
        _, compared = repository.requester.requestJsonAndCheck(
            "GET", f"{repository.url}/compare/{base}...{commit}", parameters={"per_page": 1}
        )
    except github.UnknownObjectException:
        return None
    return str(compared["merge_base_commit"]["sha"])


def _approvals(repository: Repository, number: int, merged: str) -> Iterator[tuple[str, str]]:
    """Yield the last review of each person who may write, where it approves: the account and the commit.

    Bots have no say. What was approved for another base has shown another change.
    """
    retargeted = max(
        (
            str(event["created_at"])
            for event in _pages(repository, f"{repository.url}/issues/{number}/timeline")
            if event.get("event") in _RETARGETED and str(event["created_at"]) <= merged
        ),
        default="",
    )
    last: dict[str, dict[str, Any]] = {}
    for review in _pages(repository, f"{repository.url}/pulls/{number}/reviews"):
        user = review.get("user") or {}
        # A review after the merge approves nothing. A comment does not take an approval back.
        counts = retargeted < str(review.get("submitted_at") or "9") <= merged
        if counts and user.get("type") == "User" and review["state"] != "COMMENTED":
            last[user["login"]] = review
    for login, review in last.items():
        if review["state"] == "APPROVED" and review.get("commit_id") and _may_write(repository, login):
            yield login, str(review["commit_id"])


def _names(repository: Repository, login: str) -> frozenset[str]:
    """What else GitHub shows a person by: the author of a commit may have another address than the account."""
    import github

    try:
        _, user = repository.requester.requestJsonAndCheck("GET", f"/users/{quote(login, safe='')}")
    except github.UnknownObjectException:
        return frozenset()
    return frozenset(str(user[key]) for key in ("name", "email") if user.get(key))


def _may_write(repository: Repository, login: str) -> bool:
    """Anybody who can see a repository can approve its pull requests."""
    import github

    try:
        _, found = repository.requester.requestJsonAndCheck(
            "GET", f"{repository.url}/collaborators/{quote(login, safe='')}/permission"
        )
    except github.UnknownObjectException:
        return False
    return isinstance(found, dict) and found.get("permission") in _WRITERS


def _pushers(repository: Repository, pull: dict[str, Any]) -> frozenset[str] | None:
    """Who pushed to the branch, from its creation to its last commit.

    A branch that was made again, after the pull request was opened or merged, hides nobody who pushed before.
    """
    import github

    head = pull["head"]
    source = head.get("repo")
    if not source:
        return None
    # A fork has its own.
    url = f"/repos/{source['full_name']}"
    pushers: set[str] = set()
    found = False
    try:
        for seen, one in enumerate(_pages(repository, f"{url}/activity", ref=f"refs/heads/{head['ref']}")):
            at = str(one["timestamp"])
            found = found or (one["after"] == head["sha"] and at <= str(pull["merged_at"]))
            if found and one["activity_type"] != "branch_deletion":
                # Who makes a bot push, it does not say.
                if not one.get("actor") or _is_bot(one["actor"]):
                    return None
                pushers.add(_login(one["actor"]))
            if found and one["activity_type"] == "branch_creation" and at <= str(pull["created_at"]):
                return frozenset(pushers)
            if seen >= _PUSHES:
                return None
    except github.GithubException as error:
        # A fork that this token may not read, and servers that are too old.
        if error.status not in (403, 404):
            raise
    return None


def _pages(repository: Repository, url: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    address: str | None = url
    wanted: dict[str, Any] | None = {**parameters, "per_page": _PAGE}
    while address:
        headers, found = repository.requester.requestJsonAndCheck("GET", address, parameters=wanted)
        yield from _list(found)
        address, wanted = _next(headers.get("link") or ""), None


def _next(links: str) -> str | None:
    for link in links.split(","):
        address, _, relation = link.partition(";")
        if 'rel="next"' in relation:
            return address.strip().strip("<>")
    return None


def _list(found: Any) -> list[dict[str, Any]]:
    if not isinstance(found, list):
        raise TypeError("a list is expected")
    return found


def _is_bot(user: Any) -> bool:
    return (user or {}).get("type") == "Bot"


def _login(user: Any) -> str:
    return str((user or {}).get("login") or "")
