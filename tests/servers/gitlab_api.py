"""A small GitLab: merge request notes, commit statuses, artifacts of jobs, also below a sub-path, with refusals."""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote

from tests.servers.loopback import Answer, Call, JsonApi, route, stand_alone

Role = Literal["guest", "reporter", "developer", "maintainer"]
_ROLES: dict[Role, int] = {"guest": 10, "reporter": 20, "developer": 30, "maintainer": 40}


@dataclass(frozen=True)
class Token:
    login: str
    id: int
    scopes: frozenset[str]
    role: Role
    job: bool
    """A CI job token: it may read a little, and may not write notes or statuses."""

    @property
    def author(self) -> dict[str, Any]:
        return {"id": self.id, "username": self.login, "name": self.login, "state": "active"}


class GitLabApi(JsonApi):
    """GitLab's REST API with one project. `comments`, `merge_requests` and `statuses` are its state.

    `sub_path="/gitlab"` serves it as a self-managed instance below a path: `server.url` + `/api/v4`.
    """

    default_per_page = 20

    def __init__(
        self,
        project: str = "acme/demo",
        *,
        sub_path: str = "",
        port: int = 0,
        latency: float = 0.0,
    ) -> None:
        super().__init__(prefix=f"{sub_path}/api/v4", port=port, latency=latency)
        self.api_url = self.origin + self.prefix
        self.url = self.origin + sub_path
        self.project = project
        self.project_id = 7
        self.tokens: dict[str, Token] = {}
        self.archived = False
        self.comments: dict[int, list[dict[str, Any]]] = defaultdict(list)
        """Notes by iid of the merge request, oldest first."""
        self.merge_requests: dict[int, dict[str, Any]] = {}
        self.approved_by: dict[int, list[dict[str, Any]]] = defaultdict(list)
        """Those who approve merge requests, by iid."""
        self.protected_environments: set[str] = set()
        self.issues: dict[int, dict[str, Any]] = {}
        """By iid."""
        self.deployments: list[dict[str, Any]] = []
        self.releases: dict[str, dict[str, Any]] = {}
        """By tag."""
        self.statuses: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """By commit, oldest first."""
        self.pipelines: dict[int, dict[str, Any]] = {}
        self.jobs: dict[int, dict[str, Any]] = {}
        self.archives: dict[int, bytes] = {}
        """Zip files by job."""
        self.forks: set[str] = set()
        """Projects whose pipelines can be read too."""

    # -- what tests prepare

    def add_token(
        self,
        token: str,
        login: str = "tanuki",
        *,
        scopes: tuple[str, ...] = ("api",),
        role: Role = "developer",
        job: bool = False,
    ) -> None:
        """Let `token` in as `login`; with `job=True` it is a job token (header JOB-TOKEN)."""
        self.tokens[token] = Token(login, sum(login.encode()), frozenset(scopes), role, job)

    def add_merge_request(
        self,
        iid: int,
        *,
        branch: str = "topic",
        commit: str = "c" * 40,
        state: str = "opened",
        target: str = "main",
        source: int | None = None,
    ) -> dict[str, Any]:
        """Open a merge request; `source` is the id of the fork's project, if it comes from one."""
        merge_request = {
            "id": self.new_id(),
            "iid": iid,
            "project_id": self.project_id,
            "source_project_id": source or self.project_id,
            "target_project_id": self.project_id,
            "state": state,
            "title": f"Merge request {iid}",
            "source_branch": branch,
            "target_branch": target,
            "sha": commit,
            "web_url": f"{self.url}/{self.project}/-/merge_requests/{iid}",
        }
        self.merge_requests[iid] = merge_request
        return merge_request

    def add_comments(
        self,
        iid: int,
        count: int = 1,
        *,
        body: str = "Looks good.",
        login: str = "visitor",
        system: bool = False,
    ) -> list[dict[str, Any]]:
        """Put `count` notes by `login` under a merge request, as if they had been there before."""
        author = Token(login, sum(login.encode()), frozenset(), "guest", False)
        return [self._note(iid, author, body, system) for _ in range(count)]

    def add_pipeline(
        self, pipeline: int, *, commit: str, ref: str = "main", source: str = "push", project: str | None = None
    ) -> None:
        """A pipeline, of this project or of a fork."""
        if project:
            self.forks.add(project)
        self.pipelines[pipeline] = {
            "id": pipeline,
            "project": project or self.project,
            "sha": commit,
            "ref": ref,
            "source": source,
            "status": "success",
        }

    def add_job(self, pipeline: int, name: str, archive: bytes | None = None) -> int:
        """A job of a pipeline, with the zip file of its artifacts if it has any; returns its id."""
        ident = self.new_id()
        job: dict[str, Any] = {"id": ident, "name": name, "status": "success", "pipeline": {"id": pipeline}}
        if archive is not None:
            job["artifacts_file"] = {"filename": "artifacts.zip", "size": len(archive)}
            self.archives[ident] = archive
        self.jobs[ident] = job
        return ident

    def rate_limit_next(self, retry_after: int = 1, **which: Any) -> None:
        """Answer the next request with 429."""
        self.fail_next(429, body="Retry later\n", headers={"Retry-After": str(retry_after)}, **which)

    # -- access

    def token_of(self, headers: Any) -> str:
        bearer = (headers.get("Authorization") or "").partition(" ")[2]
        return headers.get("PRIVATE-TOKEN") or headers.get("JOB-TOKEN") or bearer

    def page_headers(self, total: int, size: int, number: int, last: int) -> list[tuple[str, str]]:
        return [
            ("X-Total", str(total)),
            ("X-Total-Pages", str(last)),
            ("X-Page", str(number)),
            ("X-Per-Page", str(size)),
            ("X-Next-Page", str(number + 1) if number < last else ""),
            ("X-Prev-Page", str(number - 1) if number > 1 else ""),
        ]

    def not_found(self) -> Answer:
        return Answer(404, {"error": "404 Not Found"})

    def check(self, call: Call) -> None:
        if call.path.startswith(f"{self.prefix}/blobs/"):
            return
        unauthorized = Answer(401, {"message": "401 Unauthorized"})
        token = self.tokens.get(call.token)
        if token is None:
            raise unauthorized
        by_job = any(name.lower() == "job-token" for name in call.headers)
        if by_job != token.job or (token.job and ("/notes" in call.path or call.method != "GET")):
            raise unauthorized
        needed = {"api"} if call.method != "GET" else {"api", "read_api"}
        if not token.job and not token.scopes & needed:
            raise Answer(
                403,
                {
                    "error": "insufficient_scope",
                    "error_description": "The request requires higher privileges than provided by the access token.",
                    "scope": "api" if call.method != "GET" else "api read_api",
                },
            )

    def _enter(self, call: Call, project: str, role: Role = "guest") -> Token:
        if unquote(project) not in (self.project, str(self.project_id), *self.forks):
            raise Answer(404, {"message": "404 Project Not Found"})
        token = self.tokens[call.token]
        if _ROLES[token.role] < _ROLES[role] or (self.archived and call.method != "GET"):
            raise Answer(403, {"message": "403 Forbidden"})
        return token

    def _merge_request(self, iid: str) -> dict[str, Any]:
        try:
            return self.merge_requests[int(iid)]
        except KeyError:
            raise Answer(404, {"message": "404 Not found"}) from None

    # -- users and the project

    @route("GET", "/user")
    def _user(self, call: Call) -> Answer:
        return Answer(200, self.tokens[call.token].author)

    @route("GET", "/personal_access_tokens/self")
    def _token_itself(self, call: Call) -> Answer:
        token = self.tokens[call.token]
        return Answer(200, {"id": 1, "scopes": sorted(token.scopes), "user_id": token.id, "active": True})

    @route("GET", r"/projects/([^/]+)/members/all/(\d+)")
    def _member(self, call: Call, project: str, user: str) -> Answer:
        self._enter(call, project)
        found = next((t for t in self.tokens.values() if t.id == int(user)), None)
        if found is None:
            return Answer(404, {"message": "404 Not found"})
        return Answer(200, {**found.author, "access_level": _ROLES[found.role]})

    @route("GET", "/projects/([^/]+)")
    def _project(self, call: Call, project: str) -> Answer:
        self._enter(call, project)
        return Answer(
            200,
            {
                "id": self.project_id,
                "path_with_namespace": self.project,
                "default_branch": "main",
                "archived": self.archived,
                "web_url": f"{self.url}/{self.project}",
                "_links": {"self": f"{self.api_url}/projects/{quote(self.project, safe='')}"},
            },
        )

    # -- notes

    def _note(self, iid: int, author: Token, body: str, system: bool = False) -> dict[str, Any]:
        with self.lock:
            note = {
                "id": self.new_id(),
                "body": body,
                "author": author.author,
                "system": system,
                "noteable_type": "MergeRequest",
                "noteable_iid": iid,
                "created_at": "2026-11-23T19:24:00.000Z",
                "updated_at": "2026-11-23T19:24:00.000Z",
            }
            self.comments[iid].append(note)
            return note

    def _checked_body(self, call: Call) -> str:
        body = (call.body or {}).get("body")
        if body is None:
            raise Answer(400, {"error": "body is missing"})
        if not body.strip():
            raise Answer(400, {"message": '400 Bad request - Note {:note=>["can\'t be blank"]}'})
        if len(body) > 1_000_000:
            raise Answer(400, {"message": '400 Bad request - Note {:note=>["is too long"]}'})
        return str(body)

    def _find_note(self, iid: str, ident: str) -> dict[str, Any]:
        self._merge_request(iid)
        for note in self.comments[int(iid)]:
            if note["id"] == int(ident):
                return note
        raise Answer(404, {"message": "404 Not found"})

    def _own_note(self, call: Call, project: str, iid: str, ident: str) -> dict[str, Any]:
        token, note = self._enter(call, project), self._find_note(iid, ident)
        if note["author"]["id"] != token.id and token.role != "maintainer":
            raise Answer(403, {"message": "403 Forbidden"})
        return note

    @route("GET", r"/projects/([^/]+)/merge_requests/(\d+)/notes")
    def _list_notes(self, call: Call, project: str, iid: str) -> Answer:
        self._enter(call, project)
        self._merge_request(iid)
        notes = list(self.comments[int(iid)])
        return self.page(call, notes if call.query.get("sort") == "asc" else notes[::-1])

    @route("POST", r"/projects/([^/]+)/merge_requests/(\d+)/notes")
    def _create_note(self, call: Call, project: str, iid: str) -> Answer:
        author = self._enter(call, project)
        if self._merge_request(iid).get("discussion_locked") and author.role == "guest":
            return Answer(403, {"message": "403 Forbidden"})
        return Answer(201, dict(self._note(int(iid), author, self._checked_body(call))))

    @route("GET", r"/projects/([^/]+)/merge_requests/(\d+)/notes/(\d+)")
    def _get_note(self, call: Call, project: str, iid: str, ident: str) -> Answer:
        self._enter(call, project)
        return Answer(200, dict(self._find_note(iid, ident)))

    @route("PUT", r"/projects/([^/]+)/merge_requests/(\d+)/notes/(\d+)")
    def _edit_note(self, call: Call, project: str, iid: str, ident: str) -> Answer:
        note = self._own_note(call, project, iid, ident)
        note |= {"body": self._checked_body(call), "updated_at": "2026-11-23T20:00:00.000Z"}
        return Answer(200, dict(note))

    @route("DELETE", r"/projects/([^/]+)/merge_requests/(\d+)/notes/(\d+)")
    def _delete_note(self, call: Call, project: str, iid: str, ident: str) -> Answer:
        self.comments[int(iid)].remove(self._own_note(call, project, iid, ident))
        return Answer(204)

    # -- merge requests

    @route("GET", "/projects/([^/]+)/merge_requests")
    def _list_merge_requests(self, call: Call, project: str) -> Answer:
        self._enter(call, project)
        state, branch = call.query.get("state", "all"), call.query.get("source_branch")
        found = [
            m
            for m in sorted(self.merge_requests.values(), key=lambda m: -m["iid"])
            if state in ("all", m["state"]) and branch in (None, m["source_branch"])
        ]
        return self.page(call, found)

    @route("GET", r"/projects/([^/]+)/merge_requests/(\d+)")
    def _get_merge_request(self, call: Call, project: str, iid: str) -> Answer:
        self._enter(call, project)
        return Answer(200, self._merge_request(iid))

    @route("GET", "/projects/([^/]+)/repository/commits/([^/]+)/merge_requests")
    def _merge_requests_of_commit(self, call: Call, project: str, commit: str) -> Answer:
        self._enter(call, project)
        return self.page(call, [m for m in self.merge_requests.values() if m["sha"] == commit])

    @route("GET", r"/projects/([^/]+)/merge_requests/(\d+)/approvals")
    def _approvals(self, call: Call, project: str, iid: str) -> Answer:
        self._enter(call, project)
        return Answer(200, {"iid": int(iid), "approved_by": [{"user": user} for user in self.approved_by[int(iid)]]})

    @route("GET", r"/users/(\d+)")
    def _user_by_id(self, call: Call, user: str) -> Answer:
        found = next((t for t in self.tokens.values() if t.id == int(user)), None)
        if found is None:
            return Answer(404, {"message": "404 User Not Found"})
        return Answer(200, {**found.author, "bot": "_bot" in found.login})

    @route("PUT", r"/projects/([^/]+)/merge_requests/(\d+)")
    def _edit_merge_request(self, call: Call, project: str, iid: str) -> Answer:
        """Its labels only: `add_labels` and `remove_labels`, with commas between them."""
        self._enter(call, project, "reporter")
        request = self._merge_request(iid)
        labels = request.setdefault("labels", [])
        gone = (call.body.get("remove_labels") or "").split(",")
        labels[:] = [label for label in labels if label not in gone]
        labels += [label for label in call.body["add_labels"].split(",") if label not in labels]
        return Answer(200, request)

    # -- jobs, as their own tokens show them

    @route("GET", "/job")
    def _own_job(self, call: Call) -> Answer:
        token = self.tokens[call.token]
        found = next((job for job in self.jobs.values() if job.get("token") == call.token), None)
        if not token.job or found is None:
            return Answer(404, {"message": "404 Not found"})
        return Answer(200, {**{k: v for k, v in found.items() if k != "token"}, "user": token.author})

    def start_job(self, token: str, login: str, environment: str | None = None) -> int:
        """A job that runs now, started by `login`, with its job token; one with an environment is a deployment."""
        self.add_token(token, login, job=True)
        ident = self.add_job(1, "promote")
        self.jobs[ident] |= {"status": "running", "token": token}
        if environment:
            self.deployments.append(
                {"id": self.new_id(), "environment": environment, "status": "running", "deployable": {"id": ident}}
            )
        return ident

    # -- deployments

    @route("GET", "/projects/([^/]+)/deployments")
    def _list_deployments(self, call: Call, project: str) -> Answer:
        self._enter(call, project, "reporter")
        wanted = call.query.get("environment")
        return self.page(call, [d for d in self.deployments[::-1] if wanted in (None, d["environment"])])

    @route("GET", r"/projects/([^/]+)/deployments/(\d+)")
    def _get_deployment(self, call: Call, project: str, ident: str) -> Answer:
        self._enter(call, project, "reporter")
        return Answer(200, next(d for d in self.deployments if d["id"] == int(ident)))

    @route("GET", "/projects/([^/]+)/protected_environments/([^/]+)")
    def _protected_environment(self, call: Call, project: str, name: str) -> Answer:
        self._enter(call, project, "maintainer")
        if unquote(name) not in self.protected_environments:
            return Answer(404, {"message": "404 Not found"})
        return Answer(200, {"name": unquote(name), "deploy_access_levels": [{"access_level": 40}]})

    @route("POST", "/projects/([^/]+)/deployments")
    def _create_deployment(self, call: Call, project: str) -> Answer:
        self._enter(call, project, "developer")
        missing = {"environment", "sha", "ref", "tag", "status"} - call.body.keys()
        if missing:
            return Answer(400, {"error": ", ".join(f"{name} is missing" for name in sorted(missing))})
        self.deployments.append(dict(call.body))
        return Answer(201, {"id": self.new_id(), **call.body})

    # -- issues

    @route("GET", "/projects/([^/]+)/issues")
    def _list_issues(self, call: Call, project: str) -> Answer:
        self._enter(call, project)
        wanted = call.query.get("state")
        return self.page(call, [one for one in self.issues.values() if wanted in (None, "all", one["state"])])

    @route("POST", "/projects/([^/]+)/issues")
    def _create_issue(self, call: Call, project: str) -> Answer:
        author = self._enter(call, project)
        with self.lock:
            iid = len(self.issues) + 1
            self.issues[iid] = {
                "id": self.new_id(),
                "iid": iid,
                "title": call.body["title"],
                "description": call.body.get("description"),
                "state": "opened",
                "author": author.author,
                "web_url": f"{self.url}/{self.project}/-/issues/{iid}",
            }
        return Answer(201, dict(self.issues[iid]))

    @route("PUT", r"/projects/([^/]+)/issues/(\d+)")
    def _edit_issue(self, call: Call, project: str, iid: str) -> Answer:
        self._enter(call, project, "reporter")
        issue = self.issues[int(iid)]
        issue |= {name: call.body[name] for name in ("title", "description") if name in call.body}
        if event := call.body.get("state_event"):
            issue["state"] = {"close": "closed", "reopen": "opened"}[event]
        return Answer(200, dict(issue))

    # -- releases

    @route("GET", "/projects/([^/]+)/releases/([^/]+)")
    def _get_release(self, call: Call, project: str, tag: str) -> Answer:
        self._enter(call, project, "reporter")
        release = self.releases.get(unquote(tag))
        return Answer(200, release) if release else Answer(404, {"message": "404 Not Found"})

    @route("POST", "/projects/([^/]+)/releases")
    def _create_release(self, call: Call, project: str) -> Answer:
        self._enter(call, project, "developer")
        tag = call.body["tag_name"]
        if tag in self.releases:
            return Answer(409, {"message": "Release already exists"})
        links = {"self": f"{self.origin}/acme/demo/-/releases/{tag}"}
        self.releases[tag] = {**call.body, "_links": links}
        return Answer(201, self.releases[tag])

    # -- statuses

    @route("POST", "/projects/([^/]+)/statuses/([^/]+)")
    def _create_status(self, call: Call, project: str, commit: str) -> Answer:
        author = self._enter(call, project, "developer")
        given = {**call.query, **(call.body or {})}
        state, name = given.get("state"), given.get("name") or given.get("context") or "default"
        if state not in ("pending", "running", "success", "failed", "canceled", "skipped"):
            return Answer(400, {"error": "state does not have a valid value"})
        if len(given.get("description") or "") > 255:
            return Answer(400, {"message": {"description": ["is too long (maximum is 255 characters)"]}})
        same = [s for s in self.statuses[commit] if s["name"] == name]
        if same and same[-1]["status"] == state:
            event = {"pending": "enqueue", "running": "run", "failed": "drop"}.get(state, state)
            return Answer(
                400,
                {
                    "message": f"Cannot transition status via :{event} from :{state} "
                    f'(Reason(s): Status cannot transition via "{event}")'
                },
            )
        status = {
            "id": self.new_id(),
            "sha": commit,
            "status": state,
            "name": name,
            "description": given.get("description"),
            "target_url": given.get("target_url"),
            "pipeline_id": given.get("pipeline_id"),
            "author": author.author,
        }
        self.statuses[commit].append(status)
        return Answer(201, status)

    @route("GET", "/projects/([^/]+)/repository/commits/([^/]+)/statuses")
    def _list_statuses(self, call: Call, project: str, commit: str) -> Answer:
        self._enter(call, project)
        latest = {s["name"]: s for s in self.statuses[commit]}
        return self.page(call, self.statuses[commit] if call.query.get("all") else list(latest.values()))

    # -- pipelines

    def _pipeline(self, project: str, pipeline: str) -> dict[str, Any]:
        found = self.pipelines.get(int(pipeline))
        if found is None or unquote(project) not in (found["project"], str(self.project_id)):
            raise Answer(404, {"message": "404 Not found"})
        return found

    @route("GET", r"/projects/([^/]+)/pipelines/(\d+)")
    def _get_pipeline(self, call: Call, project: str, pipeline: str) -> Answer:
        self._enter(call, project, "reporter")
        return Answer(200, self._pipeline(project, pipeline))

    @route("GET", r"/projects/([^/]+)/pipelines/(\d+)/jobs")
    def _list_jobs(self, call: Call, project: str, pipeline: str) -> Answer:
        self._enter(call, project, "reporter")
        self._pipeline(project, pipeline)
        return self.page(call, [j for j in self.jobs.values() if j["pipeline"]["id"] == int(pipeline)][::-1])

    @route("GET", r"/projects/([^/]+)/jobs/(\d+)/artifacts")
    def _get_archive(self, call: Call, project: str, job: str) -> Answer:
        self._enter(call, project, "reporter")
        if int(job) not in self.archives:
            return Answer(404, {"message": "404 Not found"})
        return self.elsewhere(self.archives[int(job)])

    @route("GET", r"/projects/([^/]+)/jobs/(\d+)/artifacts/(.+)")
    def _get_artifact(self, call: Call, project: str, job: str, path: str) -> Answer:
        self._enter(call, project, "reporter")
        with zipfile.ZipFile(io.BytesIO(self.archives[int(job)])) as archive:
            if unquote(path) not in archive.namelist():
                return Answer(404, {"message": "404 Not found"})
            return Answer(200, archive.read(unquote(path)))


if __name__ == "__main__":

    def _make(args: Any) -> GitLabApi:
        server = GitLabApi(args.repository, port=args.port)
        server.add_token(args.token)
        server.add_merge_request(1)
        return server

    stand_alone(_make)
