"""GitLab, self-managed ones and ones below a path as well: notes on merge requests, commit statuses."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

from ciplug.errors import ForgeError, ForgeKind
from ciplug.forges import gitlab_merges
from ciplug.forges.account import Account
from ciplug.forges.address import address_in, below, token_in
from ciplug.forges.base import Lack, NoForge, OpenPullRequest, Place, Right, Token, preferred
from ciplug.forges.failures import cut, not_understood, refusal
from ciplug.forges.gitlab_client import client, errors, reply_of
from ciplug.forges.gitlab_issues import Issues
from ciplug.forges.gitlab_notes import Members, Notes
from ciplug.forges.living_issue import keep
from ciplug.forges.refusals import Reply
from ciplug.forges.sticky_comment import check_body, upsert

if TYPE_CHECKING:
    from collections.abc import Collection

    from gitlab import Gitlab

    from ciplug.forges.address import Job
    from ciplug.forges.base import State, StoredFile
    from ciplug.forges.merged_pull_request import MergedPullRequest

_TOKEN = "set CIPLUG_GITLAB_TOKEN to a project access token with scope `api` and role"  # noqa: S105
_COMMENTS = f"{_TOKEN} Reporter or above"
_STATUSES = f"{_TOKEN} Developer or above"
_REPORTER, _DEVELOPER = 20, 30
_ROLES = {10: "Guest", 15: "Planner", _REPORTER: "Reporter", _DEVELOPER: "Developer", 40: "Maintainer", 50: "Owner"}
_STATES = {"pending": "pending", "success": "success", "failure": "failed", "error": "failed"}


name = "gitlab"
address_variable = "CIPLUG_GITLAB_URL"
protected_branch = "Settings > Repository > Protected branches: {names}: allowed to push = the role of the token"
token = Token(
    variable="CIPLUG_GITLAB_TOKEN",
    needs="a project access token, role Developer, scope api",
    cannot_comment=("CI_JOB_TOKEN",),
    names_its_scopes=True,
)


def find_place(job: Job) -> Place | NoForge:
    """Find the place by the job's variables, else by the git remote."""
    context, env, server, repository = job.context, job.env, job.server, job.repository
    api = address_in(env, address_variable) or address_in(env, "CI_API_V4_URL") or context.api_url
    named = bool(api) or context.host == "gitlab_ci" or server is None or server.host == "gitlab.com"
    if not api and context.host == "gitlab_ci" and context.server_url:
        api = context.server_url
    api = (api or (server.origin if server else "https://gitlab.com")).rstrip("/").removesuffix("/api/v4")
    value = token_in(env, token.variable, *(("GITLAB_TOKEN",) if named else ()))
    if not value:
        what = "no token for GitLab"
        if env.get("CI_JOB_TOKEN"):
            what = "GitLab's job token (CI_JOB_TOKEN) cannot write merge request notes"
        return NoForge(Lack.TOKEN, what, "set CIPLUG_GITLAB_TOKEN to a project access token with scope api")
    if context.host != "gitlab_ci":
        repository = below(api, repository)
    if "/" not in repository:
        return NoForge(Lack.REPOSITORY, "neither the job nor the git remote names the GitLab project")
    return Place(name, api + "/api/v4", repository, value)


def connect(place: Place, job: Job) -> GitLab:
    """A status of the commit of this job joins the pipeline that the job is in."""
    pipeline, commit = job.env.get("CI_PIPELINE_ID"), job.env.get("CI_COMMIT_SHA")
    inside = job.context.host == "gitlab_ci"
    pipelines = {commit: pipeline} if inside and commit and pipeline else {}
    return GitLab(place, pipelines=pipelines, job_token=job.env.get("CI_JOB_TOKEN") if inside else None)


class GitLab:
    """A project on GitLab."""

    name = name
    comment_limit = 999_500
    html = True

    def __init__(self, place: Place, *, pipelines: dict[str, str] | None = None, job_token: str | None = None) -> None:
        """
        Args:
            pipelines: the pipeline (id) that we run in, by its commit; a status of that commit joins it.
            job_token: GitLab's own token of the job that we run in.
        """
        self._job_token = job_token
        self._place = place
        self._pipelines = pipelines or {}
        self._client: Gitlab | None = None

    def find_pull_request(self, commit: str, branch: str | None, into: str | None = None) -> OpenPullRequest | None:
        with self._errors("look for the merge request", _COMMENTS):
            project = self._project()
            if branch:
                source = branch.rpartition(":")[2]
                requests = project.mergerequests.list(get_all=True, state="opened", source_branch=source)
                candidates = [request.attributes for request in requests]
            else:
                candidates = project.commits.get(commit, lazy=True).merge_requests(get_all=True)
            open_ones = (m for m in candidates if m["state"] == "opened" and m["sha"] == commit)
            return preferred((OpenPullRequest(m["iid"], m["sha"], m["target_branch"]) for m in open_ones), into)

    def head_of(self, number: int) -> str:
        with self._errors(f"read merge request !{number}", _COMMENTS):
            return str(self._project().mergerequests.get(number).sha)

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        import gitlab

        check_body(body, marker, self.comment_limit)
        with self._errors(f"comment on merge request !{number}", _COMMENTS):
            user = self._open().http_get("/user")
            if not isinstance(user, dict):
                raise not_understood(self._place.api_url)
            project = self._project()
            merge_request = project.mergerequests.get(number)
            try:
                return upsert(Notes(project, merge_request, user["id"]), marker, body)
            except gitlab.GitlabError as error:
                reply = reply_of(error)
                kind = self._why(reply, merge_request)
                raise refusal(
                    "GitLab", self._place, f"comment on merge request !{number}", reply, _COMMENTS, kind
                ) from None

    def keep_issue(self, marker: str, title: str, body: str, *, is_open: bool) -> str | None:
        check_body(body, marker, self.comment_limit)
        with self._errors("keep the issue", _COMMENTS):
            user = self._open().http_get("/user")
            if not isinstance(user, dict):
                raise not_understood(self._place.api_url)
            project = self._project()
            members = Members(project)
            return keep(Issues(project, user["id"], members.has), marker, title, body, is_open=is_open)

    def set_status(self, commit: str, state: State, *, name: str, description: str, url: str | None) -> None:
        import gitlab

        data = {"state": _STATES[state], "name": name, "description": cut(description, 255)}
        if url:
            data["target_url"] = url
        if commit in self._pipelines:
            data["pipeline_id"] = self._pipelines[commit]
        with self._errors(f"set the status of {commit[:10]}", _STATUSES):
            try:
                self._project().commits.get(commit, lazy=True).statuses.create(data)
            except gitlab.GitlabError as error:
                # GitLab calls it an error that the status already is what it should be.
                if error.response_code != 400 or "Cannot transition status" not in str(error.error_message):
                    raise

    def keep_label(self, number: int, label: str, among: Collection[str]) -> None:
        """GitLab makes a label that the project does not have."""
        others = ",".join(sorted(set(among) - {label}))
        with self._errors(f"label merge request !{number}", _COMMENTS):
            self._project().mergerequests.update(number, {"add_labels": label, "remove_labels": others})

    def record_deployment(self, commit: str, environment: str, *, description: str, url: str | None) -> None:
        """GitLab's deployments have neither a description nor an address."""
        with self._errors(f"record the deployment to {environment}", _STATUSES):
            project = self._open().projects.get(self._place.repository)
            deployment = {"environment": environment, "sha": commit, "ref": project.default_branch, "tag": False}
            project.deployments.create({**deployment, "status": "success"})

    def publish_release(self, tag: str, commit: str, *, title: str, body: str) -> str:
        import gitlab

        with self._errors(f"publish the release {tag}", _STATUSES):
            project = self._project()
            try:
                release = project.releases.get(tag)
            except gitlab.GitlabGetError as error:
                if error.response_code not in (403, 404):
                    raise
                made = {"tag_name": tag, "ref": commit, "name": cut(title, 200), "description": body}
                release = project.releases.create(made)
            return str((release.attributes.get("_links") or {}).get("self") or tag)

    def link_artifacts(self, files: Collection[StoredFile]) -> None:
        raise ForgeError("GitLab has no list of linked artifacts")

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
        """Those who approved the deployment to the environment that this job is; None if it is none."""
        with self._errors(f"read who approved the deployment to {environment}", _STATUSES):
            deployment = self._own_deployment(environment)
            if deployment is None:
                return None
            found = self._project().deployments.get(deployment).attributes
            given = found.get("approvals") or ()
            return {str(one["user"]["username"]) for one in given if one.get("status") == "approved"}

    def merges_of(self, commit: str) -> list[int] | None:
        with self._errors(f"look for the merge request of commit {commit[:10]}", _COMMENTS):
            return gitlab_merges.merges_of(self._project(), commit)

    def merged_pull_request(self, number: int) -> MergedPullRequest | None:
        with self._errors(f"read who approved merge request !{number}", _COMMENTS):
            return gitlab_merges.merged_merge_request(self._open(), self._project(), number)

    def protects(self, branch: str) -> bool | None:
        with self._errors(f"read the branch {branch}", _STATUSES):
            return self._project().branches.get(branch).attributes.get("protected") is True

    def runs_in(self, environment: str) -> bool | None:
        """Whether a deployment to the environment is this job, which its job token names."""
        with self._errors(f"read the deployments to {environment}", _STATUSES):
            return None if self._own_job() is None else self._own_deployment(environment) is not None

    def guards(self, environment: str) -> bool | None:
        """Whether the environment is protected, which GitLab tells tokens with the role Maintainer."""
        import gitlab

        with self._errors(f"read whether {environment} is protected", _STATUSES):
            try:
                self._project().protected_environments.get(environment)
            except gitlab.GitlabError as error:
                if error.response_code == 404:
                    return False
                if error.response_code == 403:
                    return None
                raise
            return True

    def actor(self, run_url: str | None, *, in_job: bool) -> Account | None:
        """In a job, the user of its job token: no other token shows who started it."""
        with self._errors("read who started this job", _STATUSES):
            user = (self._own_job() or {}).get("user") if in_job else self._open().http_get("/user")
        if not isinstance(user, dict) or not user.get("username") or user.get("bot"):
            return None
        known = ("name", "email", "public_email", "commit_email")
        return Account(str(user["username"]), "GitLab", frozenset(str(user[key]) for key in known if user.get(key)))

    def accounts(self, commit: str) -> set[str]:
        """GitLab's commits know addresses, which git tells as well."""
        return set()

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        """Derive the permissions from the scopes of the token, and the role of its user."""
        import gitlab

        with self._errors("read what the token may do", _COMMENTS):
            token = self._open().http_get("/personal_access_tokens/self")
            if not isinstance(token, dict) or not {"scopes", "user_id"} <= token.keys():
                raise not_understood(self._place.api_url)
            try:
                role = int(self._project().members_all.get(token["user_id"]).access_level)
            except gitlab.GitlabError as error:
                if error.response_code not in (403, 404):
                    raise
                role = 0
        full = "api" in token["scopes"]
        named = max((least for least in _ROLES if least <= role), default=0)
        reason = f"scopes: {cut(', '.join(sorted(token['scopes'])), 100)}; role: {_ROLES.get(named, 'none')}"
        # Who has a lower role may comment where the merge request can be seen, which GitLab does not tell.
        return [
            Right("comment", (role >= _REPORTER or None) if full else False, reason),
            Right("status", full and role >= _DEVELOPER, reason),
        ]

    def _open(self) -> Gitlab:
        if self._client is None:
            self._client = client(self._place)
        return self._client

    def _own_job(self) -> dict[str, Any] | None:
        """The job that we run in, as its own token shows it; None outside of a job."""
        if not self._job_token:
            return None
        job = client(self._place, self._job_token).http_get("/job")
        return job if isinstance(job, dict) else None

    def _own_deployment(self, environment: str) -> int | None:
        """The deployment to an environment that this job is; None if it is none."""
        job = self._own_job()
        if job is None:
            return None
        found = self._project().deployments.list(
            environment=environment, order_by="id", sort="desc", per_page=50, get_all=False
        )
        own = (one for one in found if (one.attributes.get("deployable") or {}).get("id") == job.get("id"))
        return next((int(one.id) for one in own), None)

    def _project(self) -> Any:
        return self._open().projects.get(self._place.repository, lazy=True)

    def _errors(self, task: str, hint: str) -> AbstractContextManager[None]:
        return errors(self._place, task, hint)

    def _why(self, reply: Reply, merge_request: Any) -> ForgeKind | None:
        """Find the reason for a refusal, since GitLab only answers "403 Forbidden"."""
        import gitlab

        if reply.status not in (403, 404) or not re.fullmatch(r"40[34] (Forbidden|Not [Ff]ound)", reply.message):
            return None
        if getattr(merge_request, "discussion_locked", False):
            return ForgeKind.LOCKED
        with suppress(gitlab.GitlabError):
            if getattr(self._open().projects.get(self._place.repository), "archived", False):
                return ForgeKind.ARCHIVED
        return None
