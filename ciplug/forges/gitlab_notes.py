"""The notes below one merge request on GitLab, and whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ciplug.forges.sticky_comment import AUTHORS, Comment

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPORTER = 20


class Members:
    """The members of a project, with at least the role that a token needs to comment; tokens have accounts."""

    def __init__(self, project: Any) -> None:
        self._project = project
        self._known: dict[int, bool] = {}

    def has(self, account: int) -> bool:
        if account not in self._known and len(self._known) < AUTHORS:
            self._known[account] = self._is_member(account)
        return self._known.get(account, False)

    def _is_member(self, account: int) -> bool:
        import gitlab

        try:
            return int(self._project.members_all.get(account).access_level) >= _REPORTER
        except gitlab.GitlabError as error:
            if error.response_code not in (403, 404):
                raise
            return False


class Notes:
    """A `sticky.Thread`; `user` is the id of the account of the token."""

    def __init__(self, project: Any, merge_request: Any, user: int) -> None:
        self._project = project
        self._merge_request = merge_request
        self._user = user
        self._authors: dict[int, int] = {}
        """Note → account, by their ids."""
        self._members = Members(project)

    def comments(self) -> Iterator[Comment]:
        for note in self._merge_request.notes.list(iterator=True, per_page=100, sort="asc"):
            if not note.system:
                yield self._comment(note)

    def is_mine(self, comment: Comment) -> bool:
        return self._authors[comment.id] == self._user

    def trusts(self, comment: Comment) -> bool:
        """A member of the project, with at least the role that a token needs to comment; tokens have accounts."""
        return self._members.has(self._authors[comment.id])

    def create(self, body: str) -> Comment:
        return self._comment(self._merge_request.notes.create({"body": body}))

    def edit(self, comment: Comment, body: str) -> None:
        self._merge_request.notes.update(comment.id, {"body": body})

    def try_edit(self, comment: Comment, body: str) -> bool:
        import gitlab

        try:
            self.edit(comment, body)
        except gitlab.GitlabError as error:
            if error.response_code not in (403, 404):
                raise
            return False
        return True

    def delete(self, comment: Comment) -> None:
        import gitlab

        try:
            self._merge_request.notes.delete(comment.id)
        except gitlab.GitlabError as error:
            if error.response_code != 404:
                raise

    def hide(self, comment: Comment) -> None:
        """GitLab hides no note."""

    def show(self, comment: Comment) -> None:
        """GitLab hides no note."""

    def _comment(self, note: Any) -> Comment:
        author = note.author
        self._authors[note.id] = author["id"]
        url = f"{self._merge_request.web_url}#note_{note.id}"
        return Comment(note.id, note.body, url, author["username"])
