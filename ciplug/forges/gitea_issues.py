"""The issues of a repository on Gitea or Forgejo. See `ciplug.forges.living_issue`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ciplug.forges.living_issue import Issue

if TYPE_CHECKING:
    from ciplug.forges.json_api import JsonApi


class Issues:
    """A `living_issue.Tracker`; `user` is the id of the account of the token."""

    def __init__(
        self,
        api: JsonApi,
        path: str,
        user: int,
        pages: Callable[..., Iterable[Mapping[str, Any]]],
        is_trusted: Callable[[str, int], bool],
    ) -> None:
        """
        Args:
            path: of the repository in the API.
            is_trusted: whether an account, by login and id, belongs to the repository.
        """
        self._api = api
        self._path = f"{path}/issues"
        self._user = user
        self._pages = pages
        self._is_trusted = is_trusted
        self._authors: dict[int, int] = {}

    def open_issues(self) -> Iterator[Issue]:
        found = self._pages(self._api, self._path, state="open", type="issues")
        return (self._issue(one) for one in found if one["user"] and not one.get("pull_request"))

    def trusts(self, issue: Issue) -> bool:
        author = self._authors[issue.number]
        return author == self._user or self._is_trusted(issue.author, author)

    def create(self, title: str, body: str) -> Issue:
        return self._issue(self._api.send("POST", self._path, {"title": title, "body": body}).json())

    def edit(self, issue: Issue, title: str, body: str, *, close: bool = False) -> None:
        data = {"title": title, "body": body, **({"state": "closed"} if close else {})}
        self._api.send("PATCH", f"{self._path}/{issue.number}", data)

    def _issue(self, shown: Mapping[str, Any]) -> Issue:
        user = shown["user"]
        self._authors[shown["number"]] = user["id"]
        return Issue(shown["number"], shown["title"], shown["body"] or "", shown["html_url"], user["login"])
