"""A small Bitbucket Cloud: comments on pull requests, build statuses, paging by `next`, the refusals of scopes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode

from tests.servers.loopback import Answer, Call, JsonApi, route, stand_alone

LIMIT = 32_768
"""Characters of a comment."""


@dataclass(frozen=True)
class Token:
    login: str
    scopes: frozenset[str]
    app: bool
    """An access token of the repository: it acts as an app and may not ask who it is."""

    @property
    def author(self) -> dict[str, Any]:
        uuid = f"{{{sum(self.login.encode()):08x}-0000-4000-8000-000000000000}}"
        return {"uuid": uuid, "nickname": self.login, "type": "app_user" if self.app else "user"}


class BitbucketApi(JsonApi):
    """Bitbucket's REST API 2.0 with one repository. `comments`, `pulls` and `statuses` are its state."""

    def __init__(self, repository: str = "acme/demo", *, port: int = 0, latency: float = 0.0) -> None:
        super().__init__(prefix="/2.0", port=port, latency=latency)
        self.repository = repository
        self.tokens: dict[str, Token] = {}
        self.comments: dict[int, list[dict[str, Any]]] = defaultdict(list)
        """By id of the pull request, oldest first; what is deleted stays, and says so."""
        self.pulls: dict[int, dict[str, Any]] = {}
        self.members: set[str] = set()
        """Accounts (uuid) of the workspace."""
        self.statuses: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        """By commit and key."""

    # -- what tests prepare

    def add_token(
        self, token: str, login: str = "ada", *, scopes: tuple[str, ...] = ("pullrequest:write",), app: bool = False
    ) -> None:
        """Let `token` in as `login`; `app=True` for an access token of the repository."""
        self.tokens[token] = Token(login, frozenset(scopes), app)

    def add_pull(
        self, number: int, *, branch: str = "topic", commit: str | None = "c" * 40, state: str = "OPEN"
    ) -> dict[str, Any]:
        """Open a pull request; `commit=None`: its source is gone."""
        pull = {
            "id": number,
            "state": state,
            "source": {"branch": {"name": branch}, "commit": {"hash": commit[:12]} if commit else None},
            "destination": {"branch": {"name": "main"}, "commit": {"hash": "b" * 12}},
        }
        self.pulls[number] = pull
        return pull

    def add_comments(
        self, number: int, count: int = 1, *, body: str = "Looks good.", login: str = "visitor", app: bool = False
    ) -> list[dict[str, Any]]:
        """Put `count` comments by `login` under a pull request, as if they had been there before."""
        return [self._comment(number, Token(login, frozenset(), app), body) for _ in range(count)]

    def alive(self, number: int) -> list[str]:
        """The texts of the comments that are shown."""
        return [c["content"]["raw"] for c in self.comments[number] if not c["deleted"]]

    def rate_limit_next(self, retry_after: int = 1, **which: Any) -> None:
        """Answer the next request with 429."""
        said = {"type": "error", "error": {"message": "Rate limit for this resource has been exceeded"}}
        self.fail_next(429, body=said, headers={"Retry-After": str(retry_after)}, **which)

    # -- access

    def token_of(self, headers: Any) -> str:
        scheme, _, token = (headers.get("Authorization") or "").partition(" ")
        return token if scheme == "Bearer" else ""

    def _error(self, status: int, message: str) -> Answer:
        return Answer(status, {"type": "error", "error": {"message": message}})

    def not_found(self) -> Answer:
        return self._error(404, "Resource not found")

    def check(self, call: Call) -> None:
        if call.token not in self.tokens:
            raise self._error(401, "Token is invalid, expired, or not supported for this endpoint.")

    def _enter(self, call: Call, scope: str, repository: str) -> Token:
        token = self.tokens[call.token]
        implied = {
            "pullrequest:write": {"pullrequest", "repository", "repository:write"},
            "pullrequest": {"repository"},
        }
        granted = token.scopes.union(*(implied.get(s, set()) for s in token.scopes))
        if scope not in granted:
            raise self._error(403, "Your credentials lack one or more required privilege scopes.")
        if repository != self.repository:
            raise self.not_found()
        return token

    def _page(self, call: Call, items: Sequence[Any], most: int) -> Answer:
        size = int(call.query.get("pagelen", 10))
        if size > most:
            raise self._error(400, "Invalid pagelen")
        number = int(call.query.get("page", 1))
        answer: dict[str, Any] = {"values": list(items[(number - 1) * size : number * size]), "pagelen": size}
        if number * size < len(items):
            # At its own address, whatever way the request has come.
            query = urlencode({**call.query, "page": number + 1})
            answer["next"] = f"https://api.bitbucket.example{call.path}?{query}"
        return Answer(200, answer)

    @route("GET", "/user")
    def _me(self, call: Call) -> Answer:
        token = self.tokens[call.token]
        if token.app or "account" not in token.scopes:
            return self._error(403, "Your credentials lack one or more required privilege scopes.")
        return Answer(200, token.author)

    @route("GET", "/workspaces/([^/]+)/members/([^/]+)")
    def _member(self, call: Call, workspace: str, account: str) -> Answer:
        if "account" not in self.tokens[call.token].scopes:
            return self._error(403, "Your credentials lack one or more required privilege scopes.")
        return Answer(200, {"type": "workspace_membership"}) if unquote(account) in self.members else self.not_found()

    @route("GET", "/repositories/([^/]+/[^/]+)")
    def _repository(self, call: Call, repository: str) -> Answer:
        token = self._enter(call, "repository", repository)
        return Answer(200, {"full_name": repository}, [("X-OAuth-Scopes", ", ".join(sorted(token.scopes)))])

    # -- pull requests and their comments

    @route("GET", "/repositories/([^/]+/[^/]+)/pullrequests")
    def _list_pulls(self, call: Call, repository: str) -> Answer:
        self._enter(call, "pullrequest", repository)
        found = [p for p in self.pulls.values() if p["state"] == call.query.get("state", "OPEN")]
        if query := call.query.get("q"):
            asked = re.fullmatch(r'source\.branch\.name = "((?:[^"\\]|\\.)*)" AND state = "OPEN"', query)
            if asked is None:
                return self._error(400, "Invalid query")
            name = asked[1].replace('\\"', '"')
            found = [p for p in found if p["source"]["branch"]["name"] == name]
        return self._page(call, found, 50)

    def _pull(self, number: str) -> int:
        if int(number) not in self.pulls:
            raise self.not_found()
        return int(number)

    def _comment(self, number: int, author: Token, body: str) -> dict[str, Any]:
        ident = self.new_id()
        url = f"https://bitbucket.org/{self.repository}/pull-requests/{number}/_/diff#comment-{ident}"
        comment = {
            "id": ident,
            "content": {"raw": body, "markup": "markdown"},
            "user": author.author,
            "deleted": False,
            "links": {"html": {"href": url}},
        }
        self.comments[number].append(comment)
        return comment

    def _body(self, call: Call) -> str:
        raw: str = call.body["content"]["raw"]
        if len(raw) > LIMIT:
            raise self._error(400, "content: Ensure this value has at most 32768 characters.")
        return raw

    @route("GET", r"/repositories/([^/]+/[^/]+)/pullrequests/(\d+)")
    def _get_pull(self, call: Call, repository: str, number: str) -> Answer:
        self._enter(call, "pullrequest", repository)
        return Answer(200, self.pulls[self._pull(number)])

    @route("GET", r"/repositories/([^/]+/[^/]+)/pullrequests/(\d+)/comments")
    def _list_comments(self, call: Call, repository: str, number: str) -> Answer:
        self._enter(call, "pullrequest", repository)
        return self._page(call, self.comments[self._pull(number)], 100)

    @route("POST", r"/repositories/([^/]+/[^/]+)/pullrequests/(\d+)/comments")
    def _create_comment(self, call: Call, repository: str, number: str) -> Answer:
        author = self._enter(call, "pullrequest:write", repository)
        return Answer(201, self._comment(self._pull(number), author, self._body(call)))

    def _own_comment(self, call: Call, repository: str, number: str, ident: str) -> dict[str, Any]:
        author = self._enter(call, "pullrequest:write", repository)
        found = next((c for c in self.comments[self._pull(number)] if c["id"] == int(ident)), None)
        if found is None or found["deleted"]:
            raise self.not_found()
        if found["user"]["uuid"] != author.author["uuid"]:
            raise self._error(403, "You are not the author of this comment.")
        return found

    @route("PUT", r"/repositories/([^/]+/[^/]+)/pullrequests/(\d+)/comments/(\d+)")
    def _edit_comment(self, call: Call, repository: str, number: str, ident: str) -> Answer:
        comment = self._own_comment(call, repository, number, ident)
        comment["content"]["raw"] = self._body(call)
        return Answer(200, comment)

    @route("DELETE", r"/repositories/([^/]+/[^/]+)/pullrequests/(\d+)/comments/(\d+)")
    def _delete_comment(self, call: Call, repository: str, number: str, ident: str) -> Answer:
        comment = self._own_comment(call, repository, number, ident)
        comment["deleted"] = True
        comment["content"]["raw"] = ""
        return Answer(204)

    # -- statuses

    @route("POST", "/repositories/([^/]+/[^/]+)/commit/([^/]+)/statuses/build")
    def _create_status(self, call: Call, repository: str, commit: str) -> Answer:
        self._enter(call, "repository", repository)
        given = call.body
        if given.get("state") not in ("INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"):
            return self._error(400, "state: Not a valid choice.")
        if not given.get("url") or not given.get("key") or len(given["key"]) > 40:
            return self._error(400, "Required fields are missing.")
        self.statuses[commit][given["key"]] = dict(given)
        return Answer(201, given)


if __name__ == "__main__":

    def _make(args: Any) -> BitbucketApi:
        server = BitbucketApi(args.repository, port=args.port)
        server.add_token(args.token)
        server.add_pull(1)
        return server

    stand_alone(_make)
