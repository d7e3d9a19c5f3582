"""GitLab, self-managed ones and ones below a path as well: notes on merge requests, commit statuses."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from ciplug.errors import ForgeError, PermissionDenied
from ciplug.forges.base import (
    RETRIES,
    TIMEOUT,
    Comment,
    OpenPullRequest,
    Right,
    check_body,
    check_wait,
    cut,
    not_understood,
    preferred,
    unreachable,
    upsert,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from gitlab import Gitlab

    from ciplug.forges.base import Place, State

_TOKEN = "set CIPLUG_GITLAB_TOKEN to a project access token with scope `api` and role"  # noqa: S105
_COMMENTS = f"{_TOKEN} Reporter or above"
_STATUSES = f"{_TOKEN} Developer or above"
_REPORTER, _DEVELOPER = 20, 30
_ROLES = {10: "Guest", 15: "Planner", _REPORTER: "Reporter", _DEVELOPER: "Developer", 40: "Maintainer", 50: "Owner"}
_STATES = {"pending": "pending", "success": "success", "failure": "failed", "error": "failed"}


class GitLab:
    """A project on GitLab."""

    name = "gitlab"
    comment_limit = 1_000_000
    token_hint = _COMMENTS
    html = True

    def __init__(self, place: Place, *, pipelines: dict[str, str] | None = None) -> None:
        """`pipelines`: the pipeline (id) that we run in, by its commit; a status of that commit joins it."""
        self._place = place
        self._pipelines = pipelines or {}
        self._client: Gitlab | None = None

    def find_pull_request(self, commit: str, branch: str | None, into: str | None = None) -> OpenPullRequest | None:
        """See Forge."""
        with self._errors("look for the merge request", _COMMENTS):
            project = self._project()
            if branch:
                source = branch.rpartition(":")[2]
                requests = project.mergerequests.list(get_all=True, state="opened", source_branch=source)
                found = [request.attributes for request in requests]
            else:
                found = project.commits.get(commit, lazy=True).merge_requests(get_all=True)
            open_ones = (m for m in found if m["state"] == "opened" and m["sha"] == commit)
            return preferred((OpenPullRequest(m["iid"], m["sha"], m["target_branch"]) for m in open_ones), into)

    def head_of(self, number: int) -> str:
        """See Forge."""
        with self._errors(f"read merge request !{number}", _COMMENTS):
            return str(self._project().mergerequests.get(number).sha)

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        """See Forge."""
        check_body(body, marker, self.comment_limit)
        with self._errors(f"comment on merge request !{number}", _COMMENTS):
            user = self._open().http_get("/user")
            if not isinstance(user, dict):
                raise not_understood(self._place.api_url)
            return upsert(_Notes(self._project().mergerequests.get(number), user["id"]), marker, body)

    def set_status(self, commit: str, state: State, *, name: str, description: str, url: str | None) -> None:
        """See Forge."""
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
        """See Forge. GitLab makes a label that the project does not have."""
        others = ",".join(sorted(set(among) - {label}))
        with self._errors(f"label merge request !{number}", _COMMENTS):
            self._project().mergerequests.update(number, {"add_labels": label, "remove_labels": others})

    def record_deployment(self, commit: str, environment: str, *, description: str, url: str | None) -> None:
        """See Forge. GitLab's deployments have neither a description nor an address."""
        with self._errors(f"record the deployment to {environment}", _STATUSES):
            project = self._open().projects.get(self._place.repository)
            said = {"environment": environment, "sha": commit, "ref": project.default_branch, "tag": False}
            project.deployments.create({**said, "status": "success"})

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
        """See Forge. GitLab tells the job its environment instead."""
        return None

    def accounts(self, commit: str) -> set[str]:
        """See Forge. GitLab's commits know addresses, which git tells as well."""
        return set()

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        """See Forge. By the scopes of the token, and the role of whom it acts as."""
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
        whole = "api" in token["scopes"]
        known = max((least for least in _ROLES if least <= role), default=0)
        said = f"scopes: {cut(', '.join(sorted(token['scopes'])), 100)}; role: {_ROLES.get(known, 'none')}"
        # Who has a lower role may comment where the merge request can be seen, which GitLab does not tell.
        return [
            Right("comment", (role >= _REPORTER or None) if whole else False, said),
            Right("status", whole and role >= _DEVELOPER, said),
        ]

    def _open(self) -> Gitlab:
        if self._client is None:
            self._client = client(self._place)
        return self._client

    def _project(self) -> Any:
        return self._open().projects.get(self._place.repository, lazy=True)

    def _errors(self, task: str, hint: str) -> AbstractContextManager[None]:
        return errors(self._place, task, hint)


class _Notes:
    """The notes below one merge request."""

    def __init__(self, merge_request: Any, user: int) -> None:
        self._merge_request = merge_request
        self._user = user

    def mine(self) -> Iterator[Comment]:
        for note in self._merge_request.notes.list(iterator=True, per_page=100, sort="asc"):
            if note.author["id"] == self._user and not note.system:
                yield self._comment(note)

    def create(self, body: str) -> Comment:
        return self._comment(self._merge_request.notes.create({"body": body}))

    def edit(self, comment: Comment, body: str) -> None:
        self._merge_request.notes.update(comment.id, {"body": body})

    def delete(self, comment: Comment) -> None:
        import gitlab

        try:
            self._merge_request.notes.delete(comment.id)
        except gitlab.GitlabError as error:
            if error.response_code != 404:
                raise

    def _comment(self, note: Any) -> Comment:
        return Comment(note.id, note.body, f"{self._merge_request.web_url}#note_{note.id}", note.author["username"])


@contextmanager
def errors(place: Place, task: str, hint: str) -> Iterator[None]:
    """Turn the library's exceptions into ours: one line, no token, no dump."""
    import gitlab
    import requests

    try:
        yield
    except gitlab.GitlabError as error:
        status, said = error.response_code, words(error.error_message)
        if status == 401:
            raise PermissionDenied(f"cannot {task}: GitLab does not accept the token{said}", hint=hint) from None
        if status == 403:
            raise PermissionDenied(f"cannot {task}: GitLab refuses{said}", hint=hint) from None
        if status == 404:
            message = f"cannot {task}: GitLab shows it, or {place.repository}, to this token as not found"
            raise PermissionDenied(message, hint=hint) from None
        if status == 429:
            message = f"cannot {task}: GitLab's rate limit is reached"
            raise ForgeError(message, hint="try again later") from None
        if status is None:
            raise not_understood(place.api_url) from None
        raise ForgeError(f"cannot {task}: GitLab answers {status}{said}") from None
    except requests.RequestException as error:
        unreachable(place.api_url, error)


def client(place: Place) -> Gitlab:
    """python-gitlab with bounds on how often and how long it waits."""
    import gitlab
    import requests

    class Session(requests.Session):
        def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
            """Artifacts lie in an object store, to which GitLab redirects; the token is none of its business."""
            super().rebuild_auth(prepared_request, response)
            if self.should_strip_auth(response.request.url, prepared_request.url):
                for name in ("PRIVATE-TOKEN", "JOB-TOKEN"):
                    prepared_request.headers.pop(name, None)

    class Client(gitlab.Gitlab):
        def http_request(self, *args: Any, **kwargs: Any) -> Any:
            return super().http_request(*args, **{"max_retries": RETRIES, **kwargs})

    made = Client(
        place.api_url.removesuffix("/api/v4"),
        private_token=place.token,
        timeout=TIMEOUT,
        retry_transient_errors=True,
        keep_base_url=True,
        session=Session(),
    )
    made.session.hooks["response"].append(_bound_wait)
    return made


def _bound_wait(response: Any, **_: Any) -> None:
    """python-gitlab sleeps for as long as it is told in whole seconds; this is where we get a word in."""
    from urllib3 import Retry
    from urllib3.exceptions import InvalidHeader

    limited, headers = response.status_code == 429, response.headers
    if not limited and response.status_code < 500:
        return
    told, reset = headers.pop("Retry-After", None), headers.pop("RateLimit-Reset", None)
    try:
        if told:
            wait = math.ceil(Retry().parse_retry_after(told))
        elif reset and limited:
            wait = math.ceil(float(reset) - time.time())
        else:
            return
    except (ValueError, OverflowError, InvalidHeader):
        return
    check_wait("GitLab", wait)
    headers["Retry-After"] = str(max(wait, 0))
