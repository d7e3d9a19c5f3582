"""The comments below one pull request on GitHub, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ciplug.errors import ForgeError, ForgeKind
from ciplug.forges.github_client import reply_of
from ciplug.forges.refusals import kind_of
from ciplug.forges.sticky_comment import Comment

if TYPE_CHECKING:
    from github.IssueComment import IssueComment
    from github.PullRequest import PullRequest

MEMBERS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
"""GitHub's names for authors who belong to the repository or its organization."""


def viewer(requester: Any) -> str | None:
    """The login of an installation, which only GraphQL tells; None where it does not."""
    import github

    try:
        _, answer = requester.graphql_query("query { viewer { login } }", {})
        return str(answer["data"]["viewer"]["login"])
    except (github.GithubException, AssertionError, KeyError, TypeError):
        return None


class Comments:
    """A `sticky.Thread`; `login` None: of a bot that cannot learn its own name, but by writing."""

    def __init__(self, pull: PullRequest, login: str | None) -> None:
        self._pull = pull
        self._login = login
        self._objects: dict[int, IssueComment] = {}

    def comments(self) -> Iterator[Comment]:
        for comment in self._pull.get_issue_comments():
            # A deleted account leaves comments without an author.
            if comment.user:
                yield self._keep(comment)

    def is_mine(self, comment: Comment) -> bool:
        return comment.author == self._login

    def trusts(self, comment: Comment) -> bool:
        """Whether to trust an author: a bot was installed by an owner; for people, GitHub names their role."""
        shown = self._objects[comment.id]
        return shown.user.type == "Bot" or getattr(shown, "author_association", None) in MEMBERS

    def create(self, body: str) -> Comment:
        created = self._pull.create_issue_comment(body)
        self._login = created.user.login
        return self._keep(created)

    def edit(self, comment: Comment, body: str) -> None:
        self._objects[comment.id].edit(body)

    def try_edit(self, comment: Comment, body: str) -> bool:
        import github

        try:
            self.edit(comment, body)
        except github.GithubException as error:
            if error.status not in (403, 404) or kind_of(reply_of(error)) is ForgeKind.RATE_LIMIT:
                raise
            return False
        return True

    def delete(self, comment: Comment) -> None:
        import github

        with suppress(github.UnknownObjectException):
            self._objects[comment.id].delete()

    def hide(self, comment: Comment) -> None:
        with _best_effort():
            self._objects[comment.id].minimize("OUTDATED")

    def show(self, comment: Comment) -> None:
        with _best_effort():
            self._objects[comment.id].unminimize()

    def _keep(self, comment: IssueComment) -> Comment:
        self._objects[comment.id] = comment
        return Comment(comment.id, comment.body or "", comment.html_url, comment.user.login)


@contextmanager
def _best_effort() -> Iterator[None]:
    """Let any trouble with the forge pass: what matters is written by then."""
    import github
    import requests

    with suppress(github.GithubException, requests.RequestException, ForgeError, AssertionError, KeyError, TypeError):
        yield
