"""Bitbucket Cloud: comments on pull requests, build statuses. Its comments show HTML as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from ciplug.errors import ForgeError
from ciplug.forges.base import Comment, OpenPullRequest, Right, check_body, cut, preferred, upsert
from ciplug.forges.rest import Refused, Rest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ciplug.forges.base import Place, State

_HINT = "set CIPLUG_BITBUCKET_TOKEN to a repository access token with the scope pullrequest:write"
_STATES = {"pending": "INPROGRESS", "success": "SUCCESSFUL", "failure": "FAILED", "error": "FAILED"}
_SHORTEST_HASH = 12
_SCOPES: tuple[tuple[Literal["comment", "status"], frozenset[str]], ...] = (
    ("comment", frozenset({"pullrequest:write", "write:pullrequest:bitbucket"})),
    (
        "status",
        frozenset(
            {
                *("pullrequest", "pullrequest:write", "repository", "repository:write", "repository:admin"),
                *("read:repository:bitbucket", "write:repository:bitbucket"),
            }
        ),
    ),
)
"""What lets a token do it, any one: the scopes of access tokens, and of API tokens; a larger one has the smaller."""


class Bitbucket:
    """A repository on Bitbucket Cloud."""

    name = "bitbucket"
    comment_limit = 32_768
    token_hint = _HINT
    html = False

    def __init__(self, place: Place) -> None:
        self._api = Rest(place, "Bitbucket", "Bearer")
        self._repository = place.repository
        self._path = f"/repositories/{place.repository}"

    def find_pull_request(self, commit: str, branch: str | None, into: str | None = None) -> OpenPullRequest | None:
        """See Forge."""
        params = {"state": "OPEN", "pagelen": "50"}
        if branch:
            name = branch.rpartition(":")[2].replace('"', '\\"')
            params["q"] = f'source.branch.name = "{name}" AND state = "OPEN"'
        with self._api.errors("look for the pull request", _HINT):
            pulls = _pages(self._api, f"{self._path}/pullrequests", params)
            ours = (p for p in pulls if _is_head(p, commit))
            found = (OpenPullRequest(p["id"], commit, p["destination"]["branch"]["name"]) for p in ours)
            return preferred(found, into)

    def head_of(self, number: int) -> str:
        """See Forge. Bitbucket tells twelve digits."""
        with self._api.errors(f"read pull request #{number}", _HINT):
            return str(self._api.get(f"{self._path}/pullrequests/{number}").json()["source"]["commit"]["hash"])

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        """See Forge."""
        check_body(body, marker, self.comment_limit)
        with self._api.errors(f"comment on pull request #{number}", _HINT):
            path = f"{self._path}/pullrequests/{number}/comments"
            return upsert(_Comments(self._api, path, self._user()), marker, body)

    def set_status(self, commit: str, state: State, *, name: str, description: str, url: str | None) -> None:
        """See Forge. Bitbucket takes no status without an address: that of the commit takes its place."""
        data = {
            "key": cut(name, 40),
            "name": cut(name, 255),
            "state": _STATES[state],
            "description": cut(description, 255),
            "url": url or f"https://bitbucket.org/{self._repository}/commits/{commit}",
        }
        with self._api.errors(f"set the status of {commit[:10]}", _HINT):
            self._api.send("POST", f"{self._path}/commit/{commit}/statuses/build", data)

    def keep_label(self, number: int, label: str, among: Collection[str]) -> None:
        """See Forge."""
        raise ForgeError("Bitbucket's pull requests have no labels")

    def record_deployment(self, commit: str, environment: str, *, description: str, url: str | None) -> None:
        """See Forge."""
        raise ForgeError("Bitbucket takes deployments from the steps of its own pipelines only")

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
        """See Forge. Bitbucket does not tell a job who has let it run."""
        return None

    def accounts(self, commit: str) -> set[str]:
        """See Forge. The addresses of a commit are what git tells as well."""
        return set()

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        """See Forge. Bitbucket says the scopes of a token in a header of every answer."""
        with self._api.errors("read the repository", _HINT):
            said = self._api.get(f"/repositories/{self._repository}").headers.get("X-OAuth-Scopes")
        if not said:
            return [Right(to, None, "the answer names no scopes") for to, _ in _SCOPES]
        scopes = {scope.strip() for scope in said.split(",")}
        return [Right(to, not scopes.isdisjoint(enough), f"scopes: {cut(said, 100)}") for to, enough in _SCOPES]

    def _user(self) -> str | None:
        """Whose token this is. None for one that may not ask, such as an access token of a repository."""
        try:
            return str(self._api.get("/user").json()["uuid"])
        except Refused as refusal:
            if refusal.status != 403:
                raise
            return None


class _Comments:
    """The comments below one pull request; `user` None: a token's that cannot learn its own name, but by writing."""

    def __init__(self, api: Rest, path: str, user: str | None) -> None:
        self._api = api
        self._path = path
        self._user = user

    def mine(self) -> Iterator[Comment]:
        for comment in _pages(self._api, self._path, {"pagelen": "100"}):
            # What is deleted stays in the list; a deleted account leaves comments without an author.
            user = comment.get("user")
            if user and not comment.get("deleted") and self._is_me(user):
                yield _comment(comment)

    def create(self, body: str) -> Comment:
        shown = self._api.send("POST", self._path, {"content": {"raw": body}}).json()
        self._user = shown["user"]["uuid"]
        return _comment(shown)

    def edit(self, comment: Comment, body: str) -> None:
        self._api.send("PUT", f"{self._path}/{comment.id}", {"content": {"raw": body}})

    def delete(self, comment: Comment) -> None:
        self._api.delete(f"{self._path}/{comment.id}")

    def _is_me(self, user: dict[str, Any]) -> bool:
        # An access token acts as an app, not as a person.
        if self._user is None:
            return bool(user["type"] != "user")
        return bool(user["uuid"] == self._user)


def _is_head(pull: dict[str, Any], commit: str) -> bool:
    """Bitbucket shows a pull request's head by its first 12 digits; none where the fork is gone."""
    head = (pull["source"]["commit"] or {}).get("hash", "")
    return len(head) >= _SHORTEST_HASH and commit.startswith(head)


def _comment(shown: dict[str, Any]) -> Comment:
    author = shown["user"].get("nickname") or shown["user"]["uuid"]
    return Comment(shown["id"], shown["content"]["raw"], shown["links"]["html"]["href"], author)


def _pages(api: Rest, path: str, params: dict[str, str]) -> Iterator[dict[str, Any]]:
    query: dict[str, str] | None = params
    while query:
        page = api.get(path, query).json()
        yield from page["values"]
        # Of the next page's address the query only: no answer chooses where the token goes.
        query = dict(parse_qsl(urlsplit(page.get("next", "")).query))
