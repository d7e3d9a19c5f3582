"""The issues of a project on GitLab. See `ciplug.forges.living_issue`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ciplug.forges.living_issue import Issue


class Issues:
    """A `living_issue.Tracker`; `user` is the id of the account of the token."""

    def __init__(self, project: Any, user: int, is_member: Callable[[int], bool]) -> None:
        """
        Args:
            is_member: whether an account has a role in the project by which it may edit issues.
        """
        self._project = project
        self._user = user
        self._is_member = is_member
        self._authors: dict[int, int] = {}
        """Issue → account, by their ids."""

    def open_issues(self) -> Iterator[Issue]:
        for issue in self._project.issues.list(
            iterator=True, per_page=100, state="opened", order_by="created_at", sort="asc"
        ):
            yield self._issue(issue)

    def trusts(self, issue: Issue) -> bool:
        author = self._authors[issue.number]
        return author == self._user or self._is_member(author)

    def create(self, title: str, body: str) -> Issue:
        return self._issue(self._project.issues.create({"title": title, "description": body}))

    def edit(self, issue: Issue, title: str, body: str, *, close: bool = False) -> None:
        closing = {"state_event": "close"} if close else {}
        self._project.issues.update(issue.number, {"title": title, "description": body, **closing})

    def _issue(self, issue: Any) -> Issue:
        self._authors[issue.iid] = issue.author["id"]
        return Issue(issue.iid, issue.title, issue.description or "", issue.web_url, issue.author["username"])
