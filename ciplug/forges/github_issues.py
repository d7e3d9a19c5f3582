"""The issues of a repository on GitHub. See `ciplug.forges.living_issue`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from ciplug.forges.github_comments import MEMBERS
from ciplug.forges.living_issue import Issue

if TYPE_CHECKING:
    from github.Repository import Repository


class Issues:
    """A `living_issue.Tracker`; `login` None: of a bot that cannot learn its own name.

    The library would ask for each listed issue once more, whether it is a pull request.
    """

    def __init__(self, repository: Repository, login: str | None) -> None:
        self._ask = repository.requester.requestJsonAndCheck
        self._url = f"{repository.url}/issues"
        self._login = login
        self._shown: dict[int, Mapping[str, Any]] = {}

    def open_issues(self) -> Iterator[Issue]:
        for page in count(1):
            wanted = {"state": "open", "sort": "created", "direction": "asc", "per_page": 100, "page": page}
            _, found = self._ask("GET", self._url, parameters=wanted)
            if not found:
                return
            # A deleted account leaves issues without an author.
            yield from (self._keep(one) for one in found if "pull_request" not in one and one["user"])

    def trusts(self, issue: Issue) -> bool:
        shown = self._shown[issue.number]
        is_bot = shown["user"].get("type") == "Bot"
        return issue.author == self._login or is_bot or shown.get("author_association") in MEMBERS

    def create(self, title: str, body: str) -> Issue:
        _, created = self._ask("POST", self._url, input={"title": title, "body": body})
        self._login = created["user"]["login"]
        return self._keep(created)

    def edit(self, issue: Issue, title: str, body: str, *, close: bool = False) -> None:
        closing = {"state": "closed", "state_reason": "completed"} if close else {}
        self._ask("PATCH", f"{self._url}/{issue.number}", input={"title": title, "body": body, **closing})

    def _keep(self, shown: Mapping[str, Any]) -> Issue:
        self._shown[shown["number"]] = shown
        return Issue(shown["number"], shown["title"], shown["body"] or "", shown["html_url"], shown["user"]["login"])
