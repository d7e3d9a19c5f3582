"""Gitea and Forgejo: comments on pull requests, commit statuses."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from ciplug.errors import ForgeError
from ciplug.forges.base import Comment, OpenPullRequest, Right, check_body, cut, preferred, upsert
from ciplug.forges.rest import Refused, Rest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ciplug.forges.base import Place, State

_HINT = (
    "set CIPLUG_GITEA_TOKEN to an access token with the scopes write:issue, write:repository and read:user, "
    "of a user who may write to the repository"
)
_LABEL_COLOUR = "#6e7781"
_PAGE = 50
"""What a server gives at most, unless its owner has set another number."""


class Gitea:
    """A repository on Gitea or Forgejo."""

    name = "gitea"
    comment_limit = 65_000
    token_hint = _HINT
    html = True

    def __init__(self, place: Place) -> None:
        self._api = Rest(place, "Gitea", "token")
        self._path = f"/repos/{place.repository}"

    def find_pull_request(self, commit: str, branch: str | None, into: str | None = None) -> OpenPullRequest | None:
        """See Forge. There is no search by commit or branch: all open ones are looked at."""
        with self._api.errors("look for the pull request", _HINT):
            pulls = _pages(self._api, f"{self._path}/pulls", state="open")
            ours = (p for p in pulls if p["head"]["sha"] == commit)
            return preferred((OpenPullRequest(p["number"], commit, p["base"]["ref"]) for p in ours), into)

    def head_of(self, number: int) -> str:
        """See Forge."""
        with self._api.errors(f"read pull request #{number}", _HINT):
            return str(self._api.get(f"{self._path}/pulls/{number}").json()["head"]["sha"])

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        """See Forge."""
        check_body(body, marker, self.comment_limit)
        with self._api.errors(f"comment on pull request #{number}", _HINT):
            user = self._api.get("/user").json()["id"]
            return upsert(_Comments(self._api, self._path, number, user), marker, body)

    def set_status(self, commit: str, state: State, *, name: str, description: str, url: str | None) -> None:
        """See Forge."""
        data = {"state": state, "context": name, "description": cut(description, 255), "target_url": url or ""}
        with self._api.errors(f"set the status of {commit[:10]}", _HINT):
            self._api.send("POST", f"{self._path}/statuses/{commit}", data)

    def keep_label(self, number: int, label: str, among: Collection[str]) -> None:
        """See Forge. Gitea labels by ids, so a label that the repository does not have is made first."""
        with self._api.errors(f"label pull request #{number}", _HINT):
            labels = f"{self._path}/issues/{number}/labels"
            there = {found["name"]: found["id"] for found in self._api.get(labels).json()}
            if label not in there:
                known = {found["name"]: found["id"] for found in _pages(self._api, f"{self._path}/labels")}
                if label not in known:
                    made = {"name": label, "color": _LABEL_COLOUR}
                    known[label] = self._api.send("POST", f"{self._path}/labels", made).json()["id"]
                self._api.send("POST", labels, {"labels": [known[label]]})
            for other in there.keys() & set(among) - {label}:
                self._api.delete(f"{labels}/{there[other]}")

    def record_deployment(self, commit: str, environment: str, *, description: str, url: str | None) -> None:
        """See Forge."""
        raise ForgeError("Gitea has no deployments")

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
        """See Forge. Gitea has no environments that somebody approves."""
        return None

    def accounts(self, commit: str) -> set[str]:
        """See Forge. The addresses of a commit are what git tells as well."""
        return set()

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        """See Forge. By requests whose fields are of a wrong type: scopes and rights are looked at before those."""
        with self._api.errors("read the repository", _HINT):
            self._api.get(self._path)
            asked: list[tuple[Literal["comment", "status"], str, dict[str, Any]]] = []
            if number is not None:
                asked.append(("comment", f"{self._path}/issues/{number}/comments", {"body": []}))
            if commit is not None:
                asked.append(("status", f"{self._path}/statuses/{commit}", {"state": []}))
            return [self._tried(*one) for one in asked]

    def _tried(self, to: Literal["comment", "status"], path: str, data: dict[str, Any]) -> Right:
        try:
            self._api.send("POST", path, data)
        except Refused as refusal:
            if refusal.status not in (403, 404, 422):
                raise
            return Right(to, refusal.status == 422, f"{refusal.status}{refusal.said}")
        return Right(to, None, "Gitea has taken a request that it should have refused")


class _Comments:
    """The comments below one pull request, which is an issue, too."""

    def __init__(self, api: Rest, path: str, number: int, user: int) -> None:
        self._api = api
        self._path = f"{path}/issues"
        self._number = number
        self._user = user

    def mine(self) -> Iterator[Comment]:
        # Today's servers give all comments on one page.
        comments = _pages(self._api, f"{self._path}/{self._number}/comments")
        return (_comment(c) for c in comments if c["user"] and c["user"]["id"] == self._user)

    def create(self, body: str) -> Comment:
        return _comment(self._api.send("POST", f"{self._path}/{self._number}/comments", {"body": body}).json())

    def edit(self, comment: Comment, body: str) -> None:
        self._api.send("PATCH", f"{self._path}/comments/{comment.id}", {"body": body})

    def delete(self, comment: Comment) -> None:
        self._api.delete(f"{self._path}/comments/{comment.id}")


def _comment(shown: dict[str, Any]) -> Comment:
    return Comment(shown["id"], shown["body"], shown["html_url"], shown["user"]["login"])


def _pages(api: Rest, path: str, **params: str) -> Iterator[dict[str, Any]]:
    seen = 0
    for page in count(1):
        response = api.get(path, {**params, "page": page, "limit": _PAGE})
        items = response.json()
        yield from items
        seen += len(items)
        # Not by the Link header: it leads to the address that the server believes to have.
        if not items or seen >= int(response.headers["X-Total-Count"]):
            return
