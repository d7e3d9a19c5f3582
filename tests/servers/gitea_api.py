"""A small Gitea: comments on pull requests and commit statuses, with the refusals of its scopes.

As in the real one, comments come on one page whatever is asked for, and all other lists by `page` and `limit`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests.servers.loopback import Answer, Call, JsonApi, route, stand_alone


@dataclass(frozen=True)
class Token:
    login: str
    id: int
    scopes: frozenset[str] | None
    """None: a job's own token, which has no scopes."""
    writer: bool

    @property
    def author(self) -> dict[str, Any]:
        return {"id": self.id, "login": self.login}


class GiteaApi(JsonApi):
    """Gitea's REST API with one repository. `comments`, `pulls` and `statuses` are its state.

    `sub_path="/git"` serves it below a path: `server.url` + `/api/v1`.
    """

    def __init__(
        self,
        repository: str = "acme/demo",
        *,
        sub_path: str = "",
        port: int = 0,
        latency: float = 0.0,
        most: int = 50,
    ) -> None:
        """`most` is how many items a page has at most, whatever is asked for."""
        super().__init__(prefix=f"{sub_path}/api/v1", port=port, latency=latency)
        self.api_url = self.origin + self.prefix
        self.url = self.origin + sub_path
        self.repository = repository
        self.most = most
        self.tokens: dict[str, Token] = {}
        self.comments: dict[int, list[dict[str, Any]]] = defaultdict(list)
        """By number of the pull request, oldest first."""
        self.pulls: dict[int, dict[str, Any]] = {}
        self.issues: dict[int, dict[str, Any]] = {}
        self.collaborators: set[str] = set()
        self.members: set[str] = set()
        """Logins of the organization that owns the repository."""
        self.locked: set[int] = set()
        """Numbers of pull requests whose conversation is locked."""
        self.archived = False
        self.releases: dict[str, dict[str, Any]] = {}
        """By tag."""
        self.known_labels: dict[str, int] = {}
        """The repository's labels, by name."""
        self.labels: dict[int, list[str]] = defaultdict(list)
        """By number of the pull request."""
        self.statuses: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """By commit, oldest first."""

    # -- what tests prepare

    def add_token(
        self,
        token: str,
        login: str = "ada",
        *,
        scopes: tuple[str, ...] | None = ("write:issue", "write:repository", "read:user"),
        writer: bool = True,
    ) -> None:
        """Let `token` in as `login`; `scopes=None` for a job's own token, of a user with a negative id."""
        ident = -2 if scopes is None else sum(login.encode())
        self.tokens[token] = Token(login, ident, None if scopes is None else frozenset(scopes), writer)

    def add_pull(
        self, number: int, *, branch: str = "topic", commit: str = "c" * 40, state: str = "open"
    ) -> dict[str, Any]:
        pull = {
            "id": self.new_id(),
            "number": number,
            "state": state,
            "head": {"ref": branch, "sha": commit},
            "base": {"ref": "main", "sha": "b" * 40},
            "html_url": f"{self.url}/{self.repository}/pulls/{number}",
        }
        self.pulls[number] = pull
        return pull

    def add_comments(
        self, number: int, count: int = 1, *, body: str = "Looks good.", login: str = "visitor"
    ) -> list[dict[str, Any]]:
        """Put `count` comments by `login` under a pull request, as if they had been there before."""
        author = Token(login, sum(login.encode()), None, False)
        return [self._comment(number, author, body) for _ in range(count)]

    def rate_limit_next(self, retry_after: int = 1, **which: Any) -> None:
        """Answer the next request as a proxy before the server does that counts."""
        self.fail_next(429, body="Too many\n", headers={"Retry-After": str(retry_after)}, **which)

    # -- access

    def token_of(self, headers: Any) -> str:
        scheme, _, token = (headers.get("Authorization") or "").partition(" ")
        return token if scheme.lower() == "token" else ""

    def not_found(self) -> Answer:
        return Answer(404, {"message": "The target couldn't be found.", "url": f"{self.url}/api/swagger"})

    def check(self, call: Call) -> None:
        if call.token not in self.tokens:
            raise Answer(401, {"message": "invalid username, password or token", "url": f"{self.url}/api/swagger"})

    def _enter(self, call: Call, category: str, repository: str | None = None, *, writer: bool = False) -> Token:
        token = self.tokens[call.token]
        level = "read" if call.method == "GET" else "write"
        if token.scopes is not None and not token.scopes & {f"{level}:{category}", f"write:{category}"}:
            needed = f"token does not have at least one of required scope(s): [{level}:{category}]"
            raise Answer(403, {"message": needed, "url": f"{self.url}/api/swagger"})
        if repository not in (None, self.repository):
            raise self.not_found()
        if self.archived and call.method != "GET":
            raise Answer(423, {"message": f"{self.repository.split('/')[1]} is archived"})
        if writer and not token.writer:
            raise Answer(403, {"message": "user should be an owner or a collaborator with write access"})
        return token

    def _page(self, call: Call, items: Sequence[Any]) -> Answer:
        size = min(int(call.query.get("limit", 30)), self.most)
        first = (int(call.query.get("page", 1)) - 1) * size
        # The Link header names the address that the server believes to have.
        link = f'<http://gitea.internal{call.path}?page=2>; rel="next"'
        return Answer(200, list(items[first : first + size]), [("X-Total-Count", str(len(items))), ("Link", link)])

    @route("GET", "/user")
    def _me(self, call: Call) -> Answer:
        return Answer(200, self._enter(call, "user").author)

    @route("GET", "/repos/([^/]+/[^/]+)")
    def _repository(self, call: Call, repository: str) -> Answer:
        token = self._enter(call, "repository", repository)
        return Answer(200, {"full_name": repository, "permissions": {"pull": True, "push": token.writer}})

    @route("GET", "/repos/([^/]+/[^/]+)/collaborators/([^/]+)")
    def _is_collaborator(self, call: Call, repository: str, login: str) -> Answer:
        self._enter(call, "repository", repository)
        return Answer(204) if unquote(login) in self.collaborators else self.not_found()

    @route("GET", "/orgs/([^/]+)/members/([^/]+)")
    def _is_member(self, call: Call, owner: str, login: str) -> Answer:
        return Answer(204) if unquote(login) in self.members else self.not_found()

    @staticmethod
    def _bound(call: Call, *names: str) -> None:
        """Fields of a wrong type are refused before the work is looked at, and after the caller is."""
        for name in names:
            if not isinstance(call.body.get(name, ""), str):
                raise Answer(
                    422, {"message": f"json: cannot unmarshal array into Go struct field .{name} of type string"}
                )

    # -- pull requests and their comments

    @route("GET", "/repos/([^/]+/[^/]+)/pulls")
    def _list_pulls(self, call: Call, repository: str) -> Answer:
        self._enter(call, "repository", repository)
        wanted = call.query.get("state", "open")
        return self._page(call, [p for p in self.pulls.values() if wanted in ("all", p["state"])][::-1])

    @route("GET", r"/repos/([^/]+/[^/]+)/pulls/(\d+)")
    def _get_pull(self, call: Call, repository: str, number: str) -> Answer:
        self._enter(call, "repository", repository)
        return Answer(200, self.pulls[self._pull(number)])

    def _pull(self, number: str) -> int:
        if int(number) not in self.pulls:
            raise self.not_found()
        return int(number)

    def _comment(self, number: int, author: Token, body: str) -> dict[str, Any]:
        ident = self.new_id()
        comment = {
            "id": ident,
            "body": body,
            "user": author.author,
            "html_url": f"{self.url}/{self.repository}/pulls/{number}#issuecomment-{ident}",
        }
        self.comments[number].append(comment)
        return comment

    @route("GET", r"/repos/([^/]+/[^/]+)/issues/(\d+)/comments")
    def _list_comments(self, call: Call, repository: str, number: str) -> Answer:
        self._enter(call, "issue", repository)
        found = self.comments[self._pull(number)]
        return Answer(200, list(found), [("X-Total-Count", str(len(found)))])

    @route("POST", r"/repos/([^/]+/[^/]+)/issues/(\d+)/comments")
    def _create_comment(self, call: Call, repository: str, number: str) -> Answer:
        author = self._enter(call, "issue", repository)
        if int(number) in self.locked and not author.writer:
            return Answer(403, {"message": "You cannot comment on a locked issue."})
        self._bound(call, "body")
        return Answer(201, self._comment(self._pull(number), author, call.body["body"]))

    def _own_comment(self, call: Call, repository: str, ident: str) -> tuple[int, dict[str, Any]]:
        author = self._enter(call, "issue", repository)
        for number, comments in self.comments.items():
            for comment in comments:
                if comment["id"] == int(ident):
                    if comment["user"]["id"] != author.id and not author.writer:
                        raise Answer(403, None)
                    return number, comment
        raise self.not_found()

    @route("PATCH", r"/repos/([^/]+/[^/]+)/issues/comments/(\d+)")
    def _edit_comment(self, call: Call, repository: str, ident: str) -> Answer:
        _, comment = self._own_comment(call, repository, ident)
        comment["body"] = call.body["body"]
        return Answer(200, comment)

    @route("DELETE", r"/repos/([^/]+/[^/]+)/issues/comments/(\d+)")
    def _delete_comment(self, call: Call, repository: str, ident: str) -> Answer:
        number, comment = self._own_comment(call, repository, ident)
        self.comments[number].remove(comment)
        return Answer(204)

    # -- issues

    def add_issue(self, *, body: str, login: str = "visitor", title: str = "An issue") -> dict[str, Any]:
        return self._issue(Token(login, sum(login.encode()), None, False), {"title": title, "body": body})

    def _issue(self, author: Token, content: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            number = len(self.issues) + 101
            issue = {
                "id": self.new_id(),
                "number": number,
                "title": content["title"],
                "body": content["body"],
                "state": "open",
                "user": author.author,
                "pull_request": None,
                "html_url": f"{self.url}/{self.repository}/issues/{number}",
            }
            self.issues[number] = issue
            return issue

    @route("GET", "/repos/([^/]+/[^/]+)/issues")
    def _list_issues(self, call: Call, repository: str) -> Answer:
        self._enter(call, "issue", repository)
        wanted = call.query.get("state", "open")
        return self._page(call, [one for one in self.issues.values() if one["state"] == wanted][::-1])

    @route("POST", "/repos/([^/]+/[^/]+)/issues")
    def _create_issue(self, call: Call, repository: str) -> Answer:
        return Answer(201, dict(self._issue(self._enter(call, "issue", repository), call.body)))

    @route("PATCH", r"/repos/([^/]+/[^/]+)/issues/(\d+)")
    def _edit_issue(self, call: Call, repository: str, number: str) -> Answer:
        author = self._enter(call, "issue", repository)
        issue = self.issues[int(number)]
        if issue["user"]["id"] != author.id and not author.writer:
            return Answer(403, {"message": "user should be the author or have write access"})
        issue |= {name: call.body[name] for name in ("title", "body", "state") if name in call.body}
        return Answer(201, dict(issue))

    # -- releases

    @route("GET", r"/repos/([^/]+/[^/]+)/releases/tags/([^/]+)")
    def _get_release(self, call: Call, repository: str, tag: str) -> Answer:
        self._enter(call, "repository", repository)
        release = self.releases.get(unquote(tag))
        return Answer(200, release) if release else self.not_found()

    @route("POST", "/repos/([^/]+/[^/]+)/releases")
    def _create_release(self, call: Call, repository: str) -> Answer:
        self._enter(call, "repository", repository, writer=True)
        tag = call.body["tag_name"]
        if tag in self.releases:
            return Answer(409, {"message": "Release is has no Tag"})
        self.releases[tag] = {**call.body, "html_url": f"{self.origin}/{self.repository}/releases/tag/{tag}"}
        return Answer(201, self.releases[tag])

    # -- statuses

    @route("GET", "/repos/([^/]+/[^/]+)/labels")
    def _list_known_labels(self, call: Call, repository: str) -> Answer:
        self._enter(call, "issue", repository)
        return self._page(call, [{"id": ident, "name": name} for name, ident in self.known_labels.items()])

    @route("POST", "/repos/([^/]+/[^/]+)/labels")
    def _create_label(self, call: Call, repository: str) -> Answer:
        self._enter(call, "issue", repository, writer=True)
        self._bound(call, "name", "color")
        ident = self.known_labels.setdefault(call.body["name"], self.new_id())
        return Answer(201, {"id": ident, "name": call.body["name"]})

    @route("GET", r"/repos/([^/]+/[^/]+)/issues/(\d+)/labels")
    def _list_labels(self, call: Call, repository: str, number: str) -> Answer:
        self._enter(call, "issue", repository)
        return Answer(200, self._labels_of(number))

    @route("POST", r"/repos/([^/]+/[^/]+)/issues/(\d+)/labels")
    def _add_labels(self, call: Call, repository: str, number: str) -> Answer:
        self._enter(call, "issue", repository, writer=True)
        labels = self.labels[self._pull(number)]
        labels += [name for name, ident in self.known_labels.items() if ident in call.body["labels"]]
        return Answer(200, self._labels_of(number))

    @route("DELETE", r"/repos/([^/]+/[^/]+)/issues/(\d+)/labels/(\d+)")
    def _remove_label(self, call: Call, repository: str, number: str, ident: str) -> Answer:
        self._enter(call, "issue", repository, writer=True)
        labels = self.labels[self._pull(number)]
        labels[:] = [name for name in labels if self.known_labels[name] != int(ident)]
        return Answer(204)

    def _labels_of(self, number: str) -> list[dict[str, Any]]:
        return [{"id": self.known_labels[name], "name": name} for name in self.labels[self._pull(number)]]

    @route("POST", "/repos/([^/]+/[^/]+)/statuses/([^/]+)")
    def _create_status(self, call: Call, repository: str, commit: str) -> Answer:
        self._enter(call, "repository", repository, writer=True)
        self._bound(call, "state", "context", "description", "target_url")
        if call.body.get("state") not in ("pending", "success", "error", "failure", "warning"):
            return Answer(422, {"message": "invalid state"})
        status = {"id": self.new_id(), "sha": commit, "status": call.body["state"], **call.body}
        self.statuses[commit].append(status)
        return Answer(201, status)


if __name__ == "__main__":

    def _make(args: Any) -> GiteaApi:
        server = GiteaApi(args.repository, port=args.port)
        server.add_token(args.token)
        server.add_pull(1)
        return server

    stand_alone(_make)
