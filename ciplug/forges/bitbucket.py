"""Bitbucket Cloud: comments on pull requests, build statuses. Its comments show HTML as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, quote, urlsplit

from ciplug.errors import ForgeError
from ciplug.forges.account import Account
from ciplug.forges.address import address_in, token_in
from ciplug.forges.base import Lack, NoForge, OpenPullRequest, Place, Right, Token, preferred
from ciplug.forges.failures import cut
from ciplug.forges.json_api import JsonApi, Refused
from ciplug.forges.sticky_comment import AUTHORS, Comment, check_body, upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ciplug.forges.address import Job
    from ciplug.forges.base import State, StoredFile
    from ciplug.forges.merged_pull_request import MergedPullRequest

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
"""The scopes of access tokens and of API tokens, of which any one is enough; larger scopes include smaller ones."""


name = "bitbucket"
address_variable = "CIPLUG_BITBUCKET_URL"
protected_branch = "Repository settings > Branch restrictions: {names}: write access = the account of the token"
token = Token(
    variable="CIPLUG_BITBUCKET_TOKEN",
    needs="a repository access token with pullrequest:write",
    names_its_scopes=True,
)


def find_place(job: Job) -> Place | NoForge:
    """Find the place by the job's variables, else by the git remote."""
    env, repository = job.env, job.repository
    api = address_in(env, address_variable) or "https://api.bitbucket.org/2.0"
    value = token_in(env, token.variable)
    if not value:
        return NoForge(
            Lack.TOKEN,
            "no token for Bitbucket",
            "set CIPLUG_BITBUCKET_TOKEN to a repository access token with the scope pullrequest:write",
        )
    if repository.count("/") != 1:
        return NoForge(Lack.REPOSITORY, "neither the job nor the git remote names the repository as workspace/name")
    return Place(name, api.rstrip("/"), repository, value)


def connect(place: Place, job: Job) -> Bitbucket:
    return Bitbucket(place)


class Bitbucket:
    """A repository on Bitbucket Cloud."""

    name = name
    comment_limit = 32_200
    html = False

    def __init__(self, place: Place) -> None:
        self._api = JsonApi(place, "Bitbucket", "Bearer")
        self._repository = place.repository
        self._path = f"/repositories/{place.repository}"

    def find_pull_request(self, commit: str, branch: str | None, into: str | None = None) -> OpenPullRequest | None:
        params = {"state": "OPEN", "pagelen": "50"}
        if branch:
            name = branch.rpartition(":")[2].replace('"', '\\"')
            params["q"] = f'source.branch.name = "{name}" AND state = "OPEN"'
        with self._api.errors("look for the pull request", _HINT):
            pulls = _pages(self._api, f"{self._path}/pullrequests", params)
            ours = (p for p in pulls if _is_head(p, commit))
            requests = (OpenPullRequest(p["id"], commit, p["destination"]["branch"]["name"]) for p in ours)
            return preferred(requests, into)

    def head_of(self, number: int) -> str:
        """Bitbucket returns the first 12 digits of the id."""
        with self._api.errors(f"read pull request #{number}", _HINT):
            return str(self._api.get(f"{self._path}/pullrequests/{number}").json()["source"]["commit"]["hash"])

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        check_body(body, marker, self.comment_limit)
        with self._api.errors(f"comment on pull request #{number}", _HINT):
            path = f"{self._path}/pullrequests/{number}/comments"
            return upsert(_Comments(self._api, path, self._user()), marker, body)

    def keep_issue(self, marker: str, title: str, body: str, *, is_open: bool) -> str | None:
        raise ForgeError("Bitbucket has no issues that a job can keep")

    def set_status(self, commit: str, state: State, *, name: str, description: str, url: str | None) -> None:
        """Bitbucket takes no status without an address: that of the commit takes its place."""
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
        raise ForgeError("Bitbucket's pull requests have no labels")

    def record_deployment(self, commit: str, environment: str, *, description: str, url: str | None) -> None:
        raise ForgeError("Bitbucket takes deployments from the steps of its own pipelines only")

    def publish_release(self, tag: str, commit: str, *, title: str, body: str) -> str:
        raise ForgeError("Bitbucket has no releases")

    def link_artifacts(self, files: Collection[StoredFile]) -> None:
        raise ForgeError("Bitbucket has no list of linked artifacts")

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
        """Bitbucket does not tell a job who has let it run."""
        return None

    def merges_of(self, commit: str) -> list[int] | None:
        """Bitbucket is not asked who approved a pull request."""
        return None

    def merged_pull_request(self, number: int) -> MergedPullRequest | None:
        return None

    def protects(self, branch: str) -> bool | None:
        return None

    def runs_in(self, environment: str) -> bool | None:
        return None

    def guards(self, environment: str) -> bool | None:
        return None

    def actor(self, run_url: str | None, *, in_job: bool) -> Account | None:
        """Nobody: the tokens of a repository have no user."""
        return None

    def accounts(self, commit: str) -> set[str]:
        """The addresses of a commit are what git tells as well."""
        return set()

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        """Read the scopes of the token, which Bitbucket sends in a header of every answer."""
        with self._api.errors("read the repository", _HINT):
            header = self._api.get(f"/repositories/{self._repository}").headers.get("X-OAuth-Scopes")
        if not header:
            return [Right(to, None, "the answer names no scopes") for to, _ in _SCOPES]
        scopes = {scope.strip() for scope in header.split(",")}
        return [Right(to, not scopes.isdisjoint(enough), f"scopes: {cut(header, 100)}") for to, enough in _SCOPES]

    def _user(self) -> str | None:
        """Return the user of the token; None for one that may not ask, such as an access token of a repository."""
        try:
            return str(self._api.get("/user").json()["uuid"])
        except Refused as refusal:
            if refusal.status != 403:
                raise
            return None


class _Comments:
    """The comments below one pull request; `user` None: a token's that cannot learn its own name, but by writing."""

    def __init__(self, api: JsonApi, path: str, user: str | None) -> None:
        self._api = api
        self._path = path
        self._user = user
        self._authors: dict[int, dict[str, Any]] = {}
        """By id of the comment."""
        self._trusted: dict[str, bool] = {}
        """Account (uuid) → whether it is a member of the workspace."""

    def comments(self) -> Iterator[Comment]:
        for comment in _pages(self._api, self._path, {"pagelen": "100"}):
            # What is deleted stays in the list; a deleted account leaves comments without an author.
            user = comment.get("user")
            if user and not comment.get("deleted"):
                yield self._comment(comment)

    def is_mine(self, comment: Comment) -> bool:
        return bool(self._authors[comment.id]["uuid"] == self._user)

    def trusts(self, comment: Comment) -> bool:
        """An app is an access token of the repository or its workspace; of people, members of the workspace."""
        author = self._authors[comment.id]
        if author["type"] != "user":
            return True
        uuid = str(author["uuid"])
        if uuid not in self._trusted and len(self._trusted) < AUTHORS:
            workspace = self._path.split("/")[2]
            self._trusted[uuid] = self._api.allowed("GET", f"/workspaces/{workspace}/members/{quote(uuid, safe='')}")
        return self._trusted.get(uuid, False)

    def create(self, body: str) -> Comment:
        shown = self._api.send("POST", self._path, {"content": {"raw": body}}).json()
        self._user = shown["user"]["uuid"]
        return self._comment(shown)

    def edit(self, comment: Comment, body: str) -> None:
        self._api.send("PUT", f"{self._path}/{comment.id}", {"content": {"raw": body}})

    def try_edit(self, comment: Comment, body: str) -> bool:
        """Bitbucket lets nobody but its author edit a comment: then this is who we are."""
        allowed = self._api.allowed("PUT", f"{self._path}/{comment.id}", {"content": {"raw": body}})
        if allowed:
            self._user = str(self._authors[comment.id]["uuid"])
        return allowed

    def delete(self, comment: Comment) -> None:
        self._api.delete(f"{self._path}/{comment.id}")

    def hide(self, comment: Comment) -> None:
        """Bitbucket hides no comment."""

    def show(self, comment: Comment) -> None:
        """Bitbucket hides no comment."""

    def _comment(self, shown: dict[str, Any]) -> Comment:
        user = shown["user"]
        self._authors[shown["id"]] = user
        author = user.get("nickname") or user["uuid"]
        url = shown["links"]["html"]["href"]
        return Comment(shown["id"], shown["content"]["raw"], url, author)


def _is_head(pull: dict[str, Any], commit: str) -> bool:
    """Bitbucket shows a pull request's head by its first 12 digits; none where the fork is gone."""
    head = (pull["source"]["commit"] or {}).get("hash", "")
    return len(head) >= _SHORTEST_HASH and commit.startswith(head)


def _pages(api: JsonApi, path: str, params: dict[str, str]) -> Iterator[dict[str, Any]]:
    query: dict[str, str] | None = params
    while query:
        page = api.get(path, query).json()
        yield from page["values"]
        # Only the query of the next page's address is used, so an answer cannot send the token to another host.
        query = dict(parse_qsl(urlsplit(page.get("next", "")).query))
