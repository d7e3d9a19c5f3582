"""Gitea and Forgejo: comments on pull requests, commit statuses."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from ciplug.errors import ForgeError
from ciplug.forges import gitea_merges
from ciplug.forges.account import Account
from ciplug.forges.address import address_in, below, token_in
from ciplug.forges.base import Lack, NoForge, OpenPullRequest, Place, Right, Token, preferred
from ciplug.forges.failures import cut, words
from ciplug.forges.gitea_issues import Issues
from ciplug.forges.json_api import JsonApi, Refused
from ciplug.forges.living_issue import keep
from ciplug.forges.sticky_comment import AUTHORS, Comment, check_body, upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ciplug.forges.address import Job
    from ciplug.forges.base import State, StoredFile
    from ciplug.forges.merged_pull_request import MergedPullRequest

_HINT = (
    "set CIPLUG_GITEA_TOKEN to an access token with the scopes write:issue, write:repository and read:user, "
    "of a user who may write to the repository"
)
_LABEL_COLOUR = "#6e7781"
_JOBS = -2
"""The id of the account that jobs act as; no account that somebody makes has a negative one."""
_PAGE = 50
"""The page size limit of a server, unless its administrator has changed it."""


name = "gitea"
address_variable = "CIPLUG_GITEA_URL"
protected_branch = "Settings > Branches: {names}: whitelist the account of the token for push"
token = Token(
    variable="CIPLUG_GITEA_TOKEN",
    needs="an access token with write:issue, write:repository and read:user",
    of_job={"gitea": "in the step: env: {CIPLUG_GITEA_TOKEN: '${{ github.token }}'}"},
)


def find_place(job: Job) -> Place | NoForge:
    """Find the place by the job's variables, else by the git remote."""
    context, env, server, repository = job.context, job.env, job.server, job.repository
    inside = context.host == "gitea"
    api = address_in(env, address_variable) or context.api_url
    named = bool(api) or inside or (server is not None and server.host == "codeberg.org")
    api = (api or (server.origin if server else "")).rstrip("/").removesuffix("/api/v1")
    if not api:
        return NoForge(
            Lack.ADDRESS,
            "neither the job nor the git remote says where Gitea is",
            "set CIPLUG_GITEA_URL to its address",
        )
    others = ("GITEA_TOKEN", "FORGEJO_TOKEN", *(("GITHUB_TOKEN",) if inside else ()))
    value = token_in(env, token.variable, *(others if named else ()))
    if not value:
        what = "pass it ${{ github.token }}" if inside else "set it to an access token with the scope write:issue"
        return NoForge(Lack.TOKEN, "no token for Gitea in CIPLUG_GITEA_TOKEN", what)
    if not inside:
        repository = below(api, repository)
    if repository.count("/") != 1:
        return NoForge(Lack.REPOSITORY, "neither the job nor the git remote names the repository as owner/name")
    return Place(name, api + "/api/v1", repository, value)


def connect(place: Place, job: Job) -> Gitea:
    return Gitea(place)


class Gitea:
    """A repository on Gitea or Forgejo."""

    name = name
    comment_limit = 65_000
    html = True

    def __init__(self, place: Place) -> None:
        self._api = JsonApi(place, "Gitea", "token")
        self._path = f"/repos/{place.repository}"

    def find_pull_request(self, commit: str, branch: str | None, into: str | None = None) -> OpenPullRequest | None:
        """Read all open pull requests: Gitea has no search by commit or branch."""
        with self._api.errors("look for the pull request", _HINT):
            pulls = _pages(self._api, f"{self._path}/pulls", state="open")
            ours = (p for p in pulls if p["head"]["sha"] == commit)
            return preferred((OpenPullRequest(p["number"], commit, p["base"]["ref"]) for p in ours), into)

    def head_of(self, number: int) -> str:
        with self._api.errors(f"read pull request #{number}", _HINT):
            return str(self._api.get(f"{self._path}/pulls/{number}").json()["head"]["sha"])

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        check_body(body, marker, self.comment_limit)
        with self._api.errors(f"comment on pull request #{number}", _HINT):
            user = self._api.get("/user").json()["id"]
            return upsert(_Comments(self._api, self._path, number, user), marker, body)

    def keep_issue(self, marker: str, title: str, body: str, *, is_open: bool) -> str | None:
        check_body(body, marker, self.comment_limit)
        with self._api.errors("keep the issue", _HINT):
            user = self._api.get("/user").json()["id"]
            people = _People(self._api, self._path)
            issues = Issues(self._api, self._path, user, _pages, people.belong)
            return keep(issues, marker, title, body, is_open=is_open)

    def set_status(self, commit: str, state: State, *, name: str, description: str, url: str | None) -> None:
        data = {"state": state, "context": name, "description": cut(description, 255), "target_url": url or ""}
        with self._api.errors(f"set the status of {commit[:10]}", _HINT):
            self._api.send("POST", f"{self._path}/statuses/{commit}", data)

    def keep_label(self, number: int, label: str, among: Collection[str]) -> None:
        """Gitea labels by ids, so a label that the repository does not have is made first."""
        with self._api.errors(f"label pull request #{number}", _HINT):
            labels = f"{self._path}/issues/{number}/labels"
            on_pull = {shown["name"]: shown["id"] for shown in self._api.get(labels).json()}
            if label not in on_pull:
                of_repository = {shown["name"]: shown["id"] for shown in _pages(self._api, f"{self._path}/labels")}
                if label not in of_repository:
                    made = {"name": label, "color": _LABEL_COLOUR}
                    of_repository[label] = self._api.send("POST", f"{self._path}/labels", made).json()["id"]
                self._api.send("POST", labels, {"labels": [of_repository[label]]})
            for other in on_pull.keys() & set(among) - {label}:
                self._api.delete(f"{labels}/{on_pull[other]}")

    def record_deployment(self, commit: str, environment: str, *, description: str, url: str | None) -> None:
        raise ForgeError("Gitea has no deployments")

    def publish_release(self, tag: str, commit: str, *, title: str, body: str) -> str:
        with self._api.errors(f"publish the release {tag}", _HINT):
            try:
                found = self._api.get(f"{self._path}/releases/tags/{quote(tag, safe='')}").json()
            except Refused as refused:
                if refused.status != 404:
                    raise
                made = {"tag_name": tag, "target_commitish": commit, "name": cut(title, 200), "body": body}
                found = self._api.send("POST", f"{self._path}/releases", made).json()
            return str(found["html_url"])

    def link_artifacts(self, files: Collection[StoredFile]) -> None:
        raise ForgeError("Gitea has no list of linked artifacts")

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
        """Gitea has no environments that somebody approves."""
        return None

    def merges_of(self, commit: str) -> list[int] | None:
        with self._api.errors(f"look for the pull request that commit {commit[:10]} merged", _HINT):
            return gitea_merges.merges_of(self._api, self._path, commit)

    def merged_pull_request(self, number: int) -> MergedPullRequest | None:
        with self._api.errors(f"read who approved pull request #{number}", _HINT):
            return gitea_merges.merged_pull_request(self._api, self._path, number, lambda path: _pages(self._api, path))

    def protects(self, branch: str) -> bool | None:
        with self._api.errors(f"read the branch {branch}", _HINT):
            return self._api.get(f"{self._path}/branches/{branch}").json().get("protected") is True

    def runs_in(self, environment: str) -> bool | None:
        return None

    def guards(self, environment: str) -> bool | None:
        return None

    def actor(self, run_url: str | None, *, in_job: bool) -> Account | None:
        """Only on a laptop: the token of a job of Gitea Actions has no user."""
        if in_job:
            return None
        with self._api.errors("read whose token this is", _HINT):
            user = self._api.get("/user").json()
            names = frozenset(str(user[key]) for key in ("full_name", "email") if user.get(key))
            return Account(str(user["login"]), "Gitea", names)

    def accounts(self, commit: str) -> set[str]:
        """Return nothing: Gitea knows no more about a commit's authors than git does."""
        return set()

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        """Send requests with fields of a wrong type: Gitea checks scopes and permissions before the fields."""
        with self._api.errors("read the repository", _HINT):
            self._api.get(self._path)
            probes: list[tuple[Literal["comment", "status"], str, dict[str, Any]]] = []
            if number is not None:
                probes.append(("comment", f"{self._path}/issues/{number}/comments", {"body": []}))
            if commit is not None:
                probes.append(("status", f"{self._path}/statuses/{commit}", {"state": []}))
            return [self._tried(*probe) for probe in probes]

    def _tried(self, to: Literal["comment", "status"], path: str, data: dict[str, Any]) -> Right:
        try:
            self._api.send("POST", path, data)
        except Refused as refusal:
            if refusal.status not in (403, 404, 422):
                raise
            return Right(to, refusal.status == 422, f"{refusal.status}{words(refusal.reply.message)}")
        return Right(to, None, "unclear: Gitea accepted a test request that should be refused")


class _People:
    """Who belongs to the repository."""

    def __init__(self, api: JsonApi, path: str) -> None:
        self._api = api
        self._repository = path
        self._known: dict[str, bool] = {}

    def belong(self, author: str, ident: int) -> bool:
        """The account of all jobs, the owner, a collaborator, or a member of the organization that owns it."""
        owner = self._repository.split("/")[2]
        if ident == _JOBS or author.lower() == owner.lower():
            return True
        if author not in self._known and len(self._known) < AUTHORS:
            login = quote(author, safe="")
            self._known[author] = any(
                self._api.allowed("GET", path)
                for path in (f"{self._repository}/collaborators/{login}", f"/orgs/{owner}/members/{login}")
            )
        return self._known.get(author, False)


class _Comments:
    """The comments below one pull request, which is an issue, too."""

    def __init__(self, api: JsonApi, path: str, number: int, user: int) -> None:
        self._api = api
        self._repository = path
        self._path = f"{path}/issues"
        self._number = number
        self._user = user
        self._authors: dict[int, int] = {}
        """Comment → account, by their ids."""
        self._people = _People(api, path)

    def comments(self) -> Iterator[Comment]:
        # Today's servers give all comments on one page.
        comments = _pages(self._api, f"{self._path}/{self._number}/comments")
        return (self._comment(c) for c in comments if c["user"])

    def is_mine(self, comment: Comment) -> bool:
        return self._authors[comment.id] == self._user

    def trusts(self, comment: Comment) -> bool:
        return self._people.belong(comment.author, self._authors[comment.id])

    def create(self, body: str) -> Comment:
        return self._comment(self._api.send("POST", f"{self._path}/{self._number}/comments", {"body": body}).json())

    def edit(self, comment: Comment, body: str) -> None:
        self._api.send("PATCH", f"{self._path}/comments/{comment.id}", {"body": body})

    def try_edit(self, comment: Comment, body: str) -> bool:
        return self._api.allowed("PATCH", f"{self._path}/comments/{comment.id}", {"body": body})

    def delete(self, comment: Comment) -> None:
        self._api.delete(f"{self._path}/comments/{comment.id}")

    def hide(self, comment: Comment) -> None:
        """Gitea's API hides no comment."""

    def show(self, comment: Comment) -> None:
        """Gitea's API hides no comment."""

    def _comment(self, shown: dict[str, Any]) -> Comment:
        user = shown["user"]
        self._authors[shown["id"]] = user["id"]
        return Comment(shown["id"], shown["body"], shown["html_url"], user["login"])


def _pages(api: JsonApi, path: str, **params: str) -> Iterator[dict[str, Any]]:
    seen = 0
    for page in count(1):
        response = api.get(path, {**params, "page": page, "limit": _PAGE})
        items = response.json()
        yield from items
        seen += len(items)
        # Not by the Link header: it leads to the address that the server believes to have.
        if not items or seen >= int(response.headers["X-Total-Count"]):
            return
