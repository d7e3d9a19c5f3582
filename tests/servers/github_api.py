"""A small GitHub: comments on pull requests, statuses, and the artifacts of workflow runs, with real refusals.

Reading is open, as on a public repository, unless the server is `private`; writing follows the token's
permissions in the words of GitHub's own API: `{"issues": "write", "pull_requests": "read"}`.
"""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests.servers.loopback import Answer, Call, JsonApi, route, stand_alone

_DOCS = "https://docs.github.com/rest"
_SCORE = {"none": 0, "read": 1, "write": 2, "admin": 3}


@dataclass(frozen=True)
class Token:
    login: str
    id: int
    permissions: Mapping[str, str] | None
    """None: every permission."""
    app: bool
    """An installation token, as GITHUB_TOKEN in Actions is: it acts as a bot and has no user."""
    scopes: str | None = None
    """Of a classic token, as the server names them in a header."""

    @property
    def author(self) -> dict[str, Any]:
        return {"login": self.login, "id": self.id, "type": "Bot" if self.app else "User"}


class GitHubApi(JsonApi):
    """GitHub's REST API with one repository. `comments`, `pulls`, `statuses` and `runs` are its state, open to tests.

    `prefix="/api/v3"` serves it as GitHub Enterprise does.
    """

    default_per_page = 30

    def __init__(
        self,
        repository: str = "acme/demo",
        *,
        prefix: str = "",
        private: bool = False,
        port: int = 0,
        latency: float = 0.0,
    ) -> None:
        super().__init__(prefix=prefix, port=port, latency=latency)
        self.repository = repository
        self.private = private
        self.of_organization = True
        """Whether the owner of the repository is one, and no user."""
        self.tokens: dict[str, Token] = {}
        self.comments: dict[int, list[dict[str, Any]]] = defaultdict(list)
        """By number of the pull request, oldest first."""
        self.pulls: dict[int, dict[str, Any]] = {}
        self.members: set[str] = set()
        """Logins that GitHub calls members of the organization, besides those of tokens of people."""
        self.minimized: set[int] = set()
        """Ids of the comments that are hidden as outdated."""
        self.locked: set[int] = set()
        """Numbers of pull requests whose conversation is locked."""
        self.protected: set[str] = set()
        """Branches that only some may push to."""
        self.archived = False
        self.saml = False
        """Whether tokens of people are not authorized for the organization's single sign-on."""
        self.allow_list = False
        """Whether the address of the caller is not on the IP allow list."""
        self.own_only: set[str] = set()
        """Tokens that may edit no comments but their own."""
        self.labels: dict[int, list[str]] = defaultdict(list)
        self.issues: dict[int, dict[str, Any]] = {}
        """By number of the pull request."""
        self.deployments: dict[int, dict[str, Any]] = {}
        """By id, each with its `statuses`."""
        self.releases: dict[str, dict[str, Any]] = {}
        """By tag."""
        self.storage_records: list[dict[str, Any]] = []
        """Of the organization that owns the repository, oldest first."""
        self.statuses: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """By commit, oldest first."""
        self.authors: dict[str, str] = {}
        """Commit → login of its author."""
        self.reviews: dict[int, list[tuple[str, str, str]]] = defaultdict(list)
        """Workflow run → (login, approved or rejected, environment), oldest first."""
        self.pull_reviews: dict[int, list[dict[str, Any]]] = defaultdict(list)
        """Of pull requests by number, oldest first."""
        self.names: dict[str, str] = {}
        """Login → the full name."""
        self.writers: set[str] = set()
        """Logins that may write, of those who review."""
        self.pushes: list[tuple[str, str, str, str]] = []
        """Branch, the commit afterwards, login, and type of each activity, oldest first."""
        self.parents: dict[str, str] = {}
        """Commit → its first parent."""
        self.starts: dict[str, str] = {}
        """Commit → where it left its base, if that is not the base that is asked about."""
        self.timelines: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self.tells_pushes = True
        self.runs: dict[int, dict[str, Any]] = {}
        """Workflow runs by id."""
        self.artifacts: dict[int, tuple[int, dict[str, Any], bytes]] = {}
        """Run, description and zip file of each artifact, by its id."""

    # -- what tests prepare

    def add_token(
        self,
        token: str,
        login: str = "octocat",
        *,
        permissions: Mapping[str, str] | None = None,
        app: bool = False,
        scopes: str | None = None,
    ) -> None:
        """Let `token` in as `login`; give `github-actions[bot]` with `app=True` for a job's GITHUB_TOKEN."""
        named = None if permissions is None else {k.replace("-", "_"): v for k, v in permissions.items()}
        self.tokens[token] = Token(login, sum(login.encode()), named, app, scopes)

    def add_pull(
        self,
        number: int,
        *,
        branch: str = "topic",
        commit: str = "c" * 40,
        owner: str | None = None,
        state: str = "open",
        base: str = "main",
    ) -> dict[str, Any]:
        """Open a pull request; `owner` is the fork's, if it comes from one."""
        here, name = self.repository.split("/")
        owner = owner or here
        url = f"{self.url}/repos/{self.repository}"
        pull = {
            "number": number,
            "id": self.new_id(),
            "state": state,
            "title": f"Pull request {number}",
            "created_at": "2026-11-23T10:00:00Z",
            "url": f"{url}/pulls/{number}",
            "issue_url": f"{url}/issues/{number}",
            "comments_url": f"{url}/issues/{number}/comments",
            "html_url": f"{self.origin}/{self.repository}/pull/{number}",
            "head": {
                "ref": branch,
                "sha": commit,
                "label": f"{owner}:{branch}",
                "repo": {"full_name": f"{owner}/{name}", "fork": owner != here},
            },
            "base": {"ref": base, "sha": "b" * 40, "label": f"{here}:{base}"},
        }
        self.pulls[number] = pull
        return pull

    def merge_pull(self, number: int, commit: str, *, start: str, by: str = "octocat") -> None:
        """Merge a pull request of the topic's owner: `start` is where it left its base."""
        pull = self.pulls[number]
        self.parents[commit] = start
        pull |= {
            "state": "closed",
            "user": pull.get("user") or {"login": "octocat", "type": "User"},
            "merged_at": "2026-11-23T12:00:00Z",
            "merged_by": {"login": by, "type": "User"},
            "merge_commit_sha": commit,
        }

    def review(
        self, number: int, login: str, commit: str, *, state: str = "APPROVED", at: str = "11:00", kind: str = "User"
    ) -> None:
        """A review of the commit that a pull request has come to."""
        self.pull_reviews[number].append(
            {
                "id": self.new_id(),
                "user": {"login": login, "type": kind},
                "state": state,
                "commit_id": commit,
                "submitted_at": f"2026-11-23T{at}:00Z",
            }
        )

    def add_comments(
        self,
        number: int,
        count: int = 1,
        *,
        body: str = "Looks good.",
        login: str = "visitor",
        app: bool = False,
    ) -> list[dict[str, Any]]:
        """Put `count` comments by `login` under a pull request, as if they had been there before."""
        author = Token(login, sum(login.encode()), None, app)
        return [self._comment(number, author, body) for _ in range(count)]

    def start_run(self, run: int, actor: str, *, commit: str = "c" * 40) -> None:
        """A workflow run that goes on, started by `actor`."""
        self.add_run(run, commit=commit, branch="main")
        self.runs[run] |= {
            "event": "push",
            "status": "in_progress",
            "conclusion": None,
            "triggering_actor": {"login": actor},
        }

    def add_run(self, run: int, *, commit: str, branch: str = "topic", owner: str | None = None) -> dict[str, Any]:
        """A workflow run for a pull request; `owner` is the fork's if it comes from one, "" if that is gone."""
        here, name = self.repository.split("/")
        url = f"{self.url}/repos/{self.repository}"
        head = None if owner == "" else {"full_name": f"{owner or here}/{name}", "fork": bool(owner)}
        self.runs[run] = {
            "id": run,
            "name": "train",
            "event": "pull_request",
            "status": "completed",
            "conclusion": "success",
            "head_branch": branch,
            "head_sha": commit,
            "url": f"{url}/actions/runs/{run}",
            "artifacts_url": f"{url}/actions/runs/{run}/artifacts",
            "repository": {"full_name": self.repository},
            "head_repository": head,
        }
        return self.runs[run]

    def add_artifact(self, run: int, name: str, data: bytes, *, expired: bool = False) -> int:
        """An artifact of a run, `data` being its zip file; returns its id."""
        ident = self.new_id()
        about = {
            "id": ident,
            "name": name,
            "size_in_bytes": len(data),
            "url": f"{self.url}/repos/{self.repository}/actions/artifacts/{ident}",
            "archive_download_url": f"{self.url}/repos/{self.repository}/actions/artifacts/{ident}/zip",
            "expired": expired,
        }
        self.artifacts[ident] = (run, about, data)
        return ident

    def rate_limit_next(self, retry_after: int | None = 1, **which: Any) -> None:
        """Answer the next request with a secondary rate limit; None leaves the Retry-After header out."""
        self.fail_next(
            403,
            body={
                "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
                "documentation_url": f"{_DOCS}/overview/rate-limits-for-the-rest-api",
            },
            headers={} if retry_after is None else {"Retry-After": str(retry_after)},
            **which,
        )

    def wrote(self) -> list[Call]:
        """The calls that were meant to change something through the REST API."""
        return [call for call in super().wrote() if not call.path.endswith("/graphql")]

    # -- access

    def token_of(self, headers: Any) -> str:
        return (headers.get("Authorization") or "").partition(" ")[2]

    def not_found(self) -> Answer:
        return Answer(404, {"message": "Not Found", "documentation_url": _DOCS, "status": "404"})

    def check(self, call: Call) -> None:
        if "User-Agent" not in call.headers:
            raise Answer(403, "Request forbidden by administrative rules.")
        if call.token and call.token not in self.tokens:
            raise Answer(401, {"message": "Bad credentials", "documentation_url": _DOCS, "status": "401"})
        if self.allow_list:
            owner = self.repository.split("/")[0]
            said = f"the `{owner}` organization has an IP allow list enabled, and your IP address is not permitted"
            raise Answer(
                403, {"message": f"Although you appear to have the correct authorization credentials, {said}."}
            )
        token = self.tokens.get(call.token)
        if self.saml and token and not token.app and call.path.startswith(f"{self.prefix}/repos/"):
            message = "Resource protected by organization SAML enforcement."
            sso = "required; url=https://github.com/orgs/acme/sso?authorization_request=secret"
            raise Answer(403, {"message": message}, [("X-GitHub-SSO", sso)])
        if self.archived and call.method != "GET" and not call.path.endswith("/graphql"):
            raise Answer(403, {"message": "Repository was archived so is read-only.", "documentation_url": _DOCS})

    def _allow(self, call: Call, level: str, *permissions: str) -> Token:
        """The caller, if one of the permissions reaches `level`."""
        token = self.tokens.get(call.token)
        if token is None:
            if level == "read" and not self.private:
                return Token("", 0, {}, False)
            raise Answer(401, {"message": "Requires authentication", "documentation_url": _DOCS})
        if token.permissions is None or (level == "read" and not self.private):
            return token
        best = max(_SCORE[token.permissions.get(p, "none")] for p in permissions)
        if best < _SCORE[level]:
            whose = "integration" if token.app else "personal access token"
            raise Answer(
                403,
                {
                    "message": f"Resource not accessible by {whose}",
                    "documentation_url": f"{_DOCS}/issues/comments",
                    "status": "403",
                },
            )
        return token

    def _check_repository(self, name: str) -> None:
        if name.lower() != self.repository.lower():
            raise self.not_found()

    # -- users and the repository

    @route("GET", "/users/([^/]+)")
    def _get_person(self, call: Call, login: str) -> Answer:
        return Answer(200, {"login": login, "name": self.names.get(login), "email": None})

    @route("GET", "/user")
    def _user(self, call: Call) -> Answer:
        token = self.tokens.get(call.token)
        if token is None:
            return Answer(401, {"message": "Requires authentication", "documentation_url": _DOCS})
        if token.app:
            return Answer(403, {"message": "Resource not accessible by integration", "documentation_url": _DOCS})
        return Answer(200, token.author)

    @route("GET", "/repos/([^/]+/[^/]+)/branches/(.+)")
    def _branch(self, call: Call, name: str, branch: str) -> Answer:
        self._check_repository(name)
        return Answer(200, {"name": branch, "protected": branch in self.protected})

    @route("GET", "/repos/([^/]+/[^/]+)")
    def _repository(self, call: Call, name: str) -> Answer:
        self._check_repository(name)
        owner, short = self.repository.split("/")
        token = self.tokens.get(call.token)
        scopes = [("X-OAuth-Scopes", token.scopes)] if token and token.scopes is not None else []
        return Answer(
            200,
            {
                "id": 1,
                "name": short,
                "full_name": self.repository,
                "private": self.private,
                "default_branch": "main",
                "owner": {"login": owner, "type": "Organization"},
                "url": f"{self.url}/repos/{self.repository}",
                "html_url": f"{self.origin}/{self.repository}",
            },
            scopes,
        )

    # -- comments

    def _comment(self, number: int, author: Token, body: str) -> dict[str, Any]:
        with self.lock:
            ident = self.new_id()
            comment = {
                "id": ident,
                "url": f"{self.url}/repos/{self.repository}/issues/comments/{ident}",
                "html_url": f"{self.origin}/{self.repository}/pull/{number}#issuecomment-{ident}",
                "issue_url": f"{self.url}/repos/{self.repository}/issues/{number}",
                "body": body,
                "node_id": f"IC_{ident}",
                "author_association": self._association(author),
                "user": author.author,
                "created_at": "2026-11-23T19:24:00Z",
                "updated_at": "2026-11-23T19:24:00Z",
            }
            self.comments[number].append(comment)
            return comment

    def _association(self, author: Token) -> str:
        people = {token.login for token in self.tokens.values() if not token.app}
        return "MEMBER" if not author.app and author.login in self.members | people else "NONE"

    @route("POST", "/graphql")
    def _graphql(self, call: Call) -> Answer:
        """Who the caller is, also for an installation, and the two mutations that hide a comment and show it."""
        token = self.tokens.get(call.token)
        if token is None:
            return Answer(401, {"message": "Requires authentication", "documentation_url": _DOCS})
        query, variables = call.body["query"], call.body["variables"]
        if "viewer" in query:
            return Answer(200, {"data": {"viewer": {"login": token.login}}})
        name = "unminimizeComment" if "unminimizeComment" in query else "minimizeComment"
        _, comment = self._find_comment(variables["input"]["subjectId"].removeprefix("IC_"))
        if call.token in self.own_only and comment["user"]["login"] != token.login:
            return Answer(200, {"data": None, "errors": [{"type": "FORBIDDEN", "message": f"{name} is forbidden"}]})
        hidden = name == "minimizeComment"
        (self.minimized.add if hidden else self.minimized.discard)(comment["id"])
        key = "minimizedComment" if hidden else "unminimizedComment"
        return Answer(200, {"data": {name: {key: {"isMinimized": hidden}}}})

    def _checked_body(self, call: Call) -> str:
        body = (call.body or {}).get("body")
        errors = None
        if not body:
            errors = {"code": "missing_field", "field": "body"}
        elif len(body) > 65536:
            errors = {
                "code": "unprocessable",
                "field": "data",
                "message": "Body is too long (maximum is 65536 characters)",
            }
        if errors:
            raise Answer(422, {"message": "Validation Failed", "errors": [errors | {"resource": "IssueComment"}]})
        return str(body)

    def _find_comment(self, ident: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        for thread in self.comments.values():
            for comment in thread:
                if comment["id"] == int(ident):
                    return thread, comment
        raise self.not_found()

    @route("GET", r"/repos/([^/]+/[^/]+)/issues/(\d+)/comments")
    def _list_comments(self, call: Call, name: str, number: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "issues", "pull_requests")
        if int(number) not in self.pulls:
            return self.not_found()
        return self.page(call, self.comments[int(number)])

    @route("POST", r"/repos/([^/]+/[^/]+)/issues/(\d+)/comments")
    def _create_comment(self, call: Call, name: str, number: str) -> Answer:
        self._check_repository(name)
        author = self._allow(call, "write", "issues", "pull_requests")
        if int(number) not in self.pulls:
            return self.not_found()
        if int(number) in self.locked and author.permissions is not None:
            said = "Unable to create comment because issue is locked."
            return Answer(403, {"message": said, "documentation_url": "https://docs.github.com/articles/locking/"})
        return Answer(201, dict(self._comment(int(number), author, self._checked_body(call))))

    @route("GET", r"/repos/([^/]+/[^/]+)/issues/comments/(\d+)")
    def _get_comment(self, call: Call, name: str, ident: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "issues", "pull_requests")
        return Answer(200, dict(self._find_comment(ident)[1]))

    @route("PATCH", r"/repos/([^/]+/[^/]+)/issues/comments/(\d+)")
    def _edit_comment(self, call: Call, name: str, ident: str) -> Answer:
        self._check_repository(name)
        author = self._allow(call, "write", "issues", "pull_requests")
        _, comment = self._find_comment(ident)
        if call.token in self.own_only and comment["user"]["login"] != author.login:
            return Answer(403, {"message": "Must have admin rights to Repository.", "documentation_url": _DOCS})
        comment |= {"body": self._checked_body(call), "updated_at": "2026-11-23T20:00:00Z"}
        return Answer(200, dict(comment))

    @route("DELETE", r"/repos/([^/]+/[^/]+)/issues/comments/(\d+)")
    def _delete_comment(self, call: Call, name: str, ident: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "write", "issues", "pull_requests")
        thread, comment = self._find_comment(ident)
        thread.remove(comment)
        return Answer(204)

    # -- issues

    @route("GET", "/repos/([^/]+/[^/]+)/issues")
    def _list_issues(self, call: Call, name: str) -> Answer:
        """A pull request is an issue, too."""
        self._check_repository(name)
        self._allow(call, "read", "issues")
        wanted = call.query.get("state", "open")
        pulls = [{**pull, "pull_request": {"url": pull["url"]}} for pull in self.pulls.values()]
        return self.page(call, [one for one in [*pulls, *self.issues.values()] if one["state"] == wanted])

    @route("POST", "/repos/([^/]+/[^/]+)/issues")
    def _create_issue(self, call: Call, name: str) -> Answer:
        self._check_repository(name)
        author = self._allow(call, "write", "issues")
        with self.lock:
            number = len(self.issues) + 501
            self.issues[number] = {
                "id": self.new_id(),
                "number": number,
                "title": call.body["title"],
                "body": call.body["body"],
                "state": "open",
                "user": author.author,
                "author_association": self._association(author),
                "html_url": f"{self.origin}/{self.repository}/issues/{number}",
            }
            return Answer(201, dict(self.issues[number]))

    @route("PATCH", r"/repos/([^/]+/[^/]+)/issues/(\d+)")
    def _edit_issue(self, call: Call, name: str, number: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "write", "issues")
        self.issues[int(number)] |= call.body
        return Answer(200, dict(self.issues[int(number)]))

    # -- labels

    def _labelled(self, number: str) -> list[str]:
        if int(number) not in self.pulls:
            raise self.not_found()
        return self.labels[int(number)]

    @staticmethod
    def _shown_labels(names: list[str]) -> list[dict[str, Any]]:
        return [{"id": sum(name.encode()), "name": name, "color": "ededed"} for name in names]

    @route("GET", r"/repos/([^/]+/[^/]+)/issues/(\d+)/labels")
    def _list_labels(self, call: Call, name: str, number: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "issues", "pull_requests")
        return self.page(call, self._shown_labels(self._labelled(number)))

    @route("POST", r"/repos/([^/]+/[^/]+)/issues/(\d+)/labels")
    def _add_labels(self, call: Call, name: str, number: str) -> Answer:
        """A list, or a mapping with one; a label that is new to the repository is made."""
        self._check_repository(name)
        self._allow(call, "write", "issues", "pull_requests")
        labels = self._labelled(number)
        given = call.body.get("labels", []) if isinstance(call.body, dict) else call.body
        labels += [label for label in given if label not in labels]
        return Answer(200, self._shown_labels(labels))

    @route("DELETE", r"/repos/([^/]+/[^/]+)/issues/(\d+)/labels/([^/]+)")
    def _remove_label(self, call: Call, name: str, number: str, label: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "write", "issues", "pull_requests")
        labels = self._labelled(number)
        if unquote(label) not in labels:
            return self.not_found()
        labels.remove(unquote(label))
        return Answer(200, self._shown_labels(labels))

    # -- deployments

    @route("POST", "/repos/([^/]+/[^/]+)/deployments")
    def _create_deployment(self, call: Call, name: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "write", "deployments")
        ident = self.new_id()
        url = f"{self.url}/repos/{self.repository}/deployments/{ident}"
        kept = {key: call.body.get(key) for key in ("ref", "environment", "description")}
        self.deployments[ident] = {"id": ident, "url": url, "statuses_url": f"{url}/statuses", **kept, "statuses": []}
        return Answer(201, self.deployments[ident])

    @route("POST", r"/repos/([^/]+/[^/]+)/deployments/(\d+)/statuses")
    def _create_deployment_status(self, call: Call, name: str, ident: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "write", "deployments")
        if int(ident) not in self.deployments:
            return self.not_found()
        self.deployments[int(ident)]["statuses"].append(dict(call.body))
        return Answer(201, {"id": self.new_id(), **call.body})

    # -- releases

    @route("GET", r"/repos/([^/]+/[^/]+)/releases/tags/([^/]+)")
    def _get_release(self, call: Call, name: str, tag: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "contents")
        release = self.releases.get(unquote(tag))
        return Answer(200, release) if release else self.not_found()

    @route("POST", "/repos/([^/]+/[^/]+)/releases")
    def _create_release(self, call: Call, name: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "write", "contents")
        tag, ident = call.body["tag_name"], self.new_id()
        if tag in self.releases:
            errors = [{"resource": "Release", "code": "already_exists", "field": "tag_name"}]
            return Answer(422, {"message": "Validation Failed", "errors": errors})
        url = f"{self.origin}/{self.repository}/releases/tag/{tag}"
        kept = {key: call.body.get(key) for key in ("tag_name", "name", "body", "target_commitish")}
        self.releases[tag] = {"id": ident, "url": f"{self.url}/releases/{ident}", "html_url": url, **kept}
        return Answer(201, self.releases[tag])

    # -- artifact metadata

    @route("POST", "/orgs/([^/]+)/artifacts/metadata/storage-record")
    def _create_storage_record(self, call: Call, owner: str) -> Answer:
        if owner.lower() != self.repository.partition("/")[0].lower() or not self.of_organization:
            return self.not_found()
        self._allow(call, "write", "artifact_metadata")
        required = {"name", "digest", "registry_url"}
        if required - call.body.keys() or not re.fullmatch("sha256:[0-9a-f]{64}", call.body["digest"]):
            return Answer(422, {"message": "Invalid request.", "documentation_url": _DOCS})
        self.storage_records.append(dict(call.body))
        return Answer(200, {"total_count": 1, "storage_records": [{"id": self.new_id(), **call.body}]})

    # -- pull requests

    @route("GET", r"/repos/([^/]+/[^/]+)/pulls/(\d+)")
    def _get_pull(self, call: Call, name: str, number: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "pull_requests")
        pull = self.pulls.get(int(number))
        return Answer(200, pull) if pull else self.not_found()

    @route("GET", "/repos/([^/]+/[^/]+)/pulls")
    def _list_pulls(self, call: Call, name: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "pull_requests")
        state, head, base = (call.query.get(k) for k in ("state", "head", "base"))
        found = [
            p
            for p in sorted(self.pulls.values(), key=lambda p: -p["number"])
            if state == "all" or p["state"] == (state or "open")
            # A head without an owner filters nothing on GitHub.
            if not head or ":" not in head or p["head"]["label"] == head
            if not base or p["base"]["ref"] == base
        ]
        return self.page(call, found)

    @route("GET", "/repos/([^/]+/[^/]+)/commits/([^/]+)/pulls")
    def _pulls_of_commit(self, call: Call, name: str, commit: str) -> Answer:
        """The pull requests with this head, those of forks excepted, as on GitHub; and those merged as this commit."""
        self._check_repository(name)
        self._allow(call, "read", "pull_requests")
        found = [
            {"merged_at": None, **p}
            for p in self.pulls.values()
            if (p["head"]["sha"] == commit and not p["head"]["repo"]["fork"]) or p.get("merge_commit_sha") == commit
        ]
        return self.page(call, found)

    @route("GET", r"/repos/([^/]+/[^/]+)/pulls/(\d+)/reviews")
    def _list_reviews(self, call: Call, name: str, number: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "pull_requests")
        return self.page(call, self.pull_reviews[int(number)])

    @route("GET", r"/repos/([^/]+/[^/]+)/issues/(\d+)/timeline")
    def _timeline(self, call: Call, name: str, number: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "issues", "pull_requests")
        return self.page(call, self.timelines[int(number)])

    @route("GET", "/repos/([^/]+/[^/]+)/git/commits/([0-9a-f]+)")
    def _get_git_commit(self, call: Call, name: str, commit: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "contents")
        return Answer(200, {"sha": commit, "parents": [{"sha": self.parents.get(commit, "b" * 40)}]})

    @route("GET", "/repos/([^/]+/[^/]+)/collaborators/([^/]+)/permission")
    def _permission(self, call: Call, name: str, login: str) -> Answer:
        self._check_repository(name)
        return Answer(200, {"permission": "write" if unquote(login) in self.writers else "read"})

    @route("GET", r"/repos/([^/]+/[^/]+)/compare/([0-9a-f]+)\.\.\.([0-9a-f]+)")
    def _compare(self, call: Call, name: str, base: str, head: str) -> Answer:
        """The base is where the head left it, as long as nothing else was merged."""
        self._check_repository(name)
        return Answer(200, {"merge_base_commit": {"sha": self.starts.get(head, base)}})

    @route("GET", "/repos/([^/]+/[^/]+)/activity")
    def _activity(self, call: Call, name: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "contents")
        if not self.tells_pushes:
            return self.not_found()
        found = [
            {
                "ref": f"refs/heads/{branch}",
                "after": after,
                "actor": {"login": login, "type": "Bot" if login.endswith("[bot]") else "User"},
                "activity_type": kind,
                "timestamp": "2026-11-23T09:00:00Z",
            }
            for branch, after, login, kind in self.pushes[::-1]
            if call.query.get("ref") in (None, f"refs/heads/{branch}")
        ]
        return self.page(call, found)

    # -- statuses

    @route("GET", "/repos/([^/]+/[^/]+)/commits/([0-9a-f]{40})")
    def _get_commit(self, call: Call, name: str, commit: str) -> Answer:
        self._check_repository(name)
        login = self.authors.get(commit)
        user = {"login": login, "id": sum(login.encode()), "type": "User"} if login else None
        return Answer(
            200,
            {
                "sha": commit,
                "url": f"{self.url}/repos/{self.repository}/commits/{commit}",
                "author": user,
                "committer": user,
            },
        )

    @route("GET", r"/repos/([^/]+/[^/]+)/actions/runs/(\d+)/approvals")
    def _approvals(self, call: Call, name: str, run: str) -> Answer:
        """The reviews of a run's deployments: one list, without pages, as GitHub gives it."""
        self._check_repository(name)
        self._allow(call, "read", "actions")
        return Answer(
            200,
            [
                {"state": state, "comment": "", "environments": [{"name": environment}], "user": {"login": login}}
                for login, state, environment in self.reviews[int(run)]
            ],
        )

    @route("POST", "/repos/([^/]+/[^/]+)/statuses/([^/]+)")
    def _create_status(self, call: Call, name: str, commit: str) -> Answer:
        self._check_repository(name)
        author = self._allow(call, "write", "statuses")
        given = call.body or {}
        problem = None
        if len(commit) != 40:
            problem = f"No commit found for SHA: {commit}"
        elif given.get("state") not in ("pending", "success", "failure", "error"):
            problem = "State is not included in the list"
        elif len(given.get("description") or "") > 140:
            problem = "Description is too long (maximum is 140 characters)"
        if problem:
            return Answer(422, {"message": f"Validation Failed: {problem}", "errors": [{"message": problem}]})
        status = {
            "id": self.new_id(),
            "url": f"{self.url}/repos/{self.repository}/statuses/{commit}",
            "state": given["state"],
            "context": given.get("context") or "default",
            "description": given.get("description"),
            "target_url": given.get("target_url"),
            "creator": author.author,
        }
        self.statuses[commit].append(status)
        return Answer(201, status)

    @route("GET", "/repos/([^/]+/[^/]+)/commits/([^/]+)/statuses")
    def _list_statuses(self, call: Call, name: str, commit: str) -> Answer:
        self._check_repository(name)
        return self.page(call, self.statuses[commit][::-1])

    @route("GET", "/repos/([^/]+/[^/]+)/commits/([^/]+)/status")
    def _combined_status(self, call: Call, name: str, commit: str) -> Answer:
        self._check_repository(name)
        latest = list({s["context"]: s for s in self.statuses[commit]}.values())
        states = {s["state"] for s in latest}
        state = "success" if states == {"success"} else "pending"
        if states & {"failure", "error"}:
            state = "failure"
        return Answer(200, {"sha": commit, "state": state, "total_count": len(latest), "statuses": latest})

    # -- workflow runs

    @route("GET", r"/repos/([^/]+/[^/]+)/actions/runs/(\d+)")
    def _get_run(self, call: Call, name: str, run: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "actions")
        return Answer(200, self.runs[int(run)]) if int(run) in self.runs else self.not_found()

    @route("GET", r"/repos/([^/]+/[^/]+)/actions/runs/(\d+)/artifacts")
    def _list_artifacts(self, call: Call, name: str, run: str) -> Answer:
        self._check_repository(name)
        self._allow(call, "read", "actions")
        found = [about for of, about, _ in self.artifacts.values() if of == int(run)]
        page = self.page(call, found)
        return Answer(200, {"total_count": len(found), "artifacts": page.body}, page.headers)

    @route("POST", r"/uploads/(\d+)")
    def _upload(self, call: Call, run: str) -> Answer:
        """No part of GitHub's API: how the tests' stand-in for actions/upload-artifact leaves the zip file of a run."""
        return Answer(201, {"id": self.add_artifact(int(run), call.body["name"], base64.b64decode(call.body["zip"]))})

    @route("GET", r"/uploads/(\d+)")
    def _uploaded(self, call: Call, run: str) -> Answer:
        """What that left, for the stand-in for actions/download-artifact."""
        of_run = [(about["name"], data) for of, about, data in self.artifacts.values() if of == int(run)]
        return Answer(200, [{"name": name, "zip": base64.b64encode(data).decode()} for name, data in of_run])

    @route("GET", r"/repos/([^/]+/[^/]+)/actions/artifacts/(\d+)/zip")
    def _download_artifact(self, call: Call, name: str, ident: str) -> Answer:
        self._check_repository(name)
        token = self.tokens.get(call.token)
        if token is None:  # also of a public repository
            return Answer(401, {"message": "Requires authentication", "documentation_url": _DOCS})
        if token.permissions is not None and token.permissions.get("actions", "none") == "none":
            return Answer(403, {"message": "Resource not accessible by integration", "documentation_url": _DOCS})
        if int(ident) not in self.artifacts:
            return self.not_found()
        _, about, data = self.artifacts[int(ident)]
        return Answer(410, {"message": "Artifact has expired"}) if about["expired"] else self.elsewhere(data)


if __name__ == "__main__":

    def _make(args: Any) -> GitHubApi:
        server = GitHubApi(args.repository, port=args.port)
        server.add_token(args.token)
        server.add_pull(1)
        return server

    stand_alone(_make)
