"""GitHub and GitHub Enterprise: comments on pull requests, commit statuses."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

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

    from github.IssueComment import IssueComment
    from github.PullRequest import PullRequest
    from github.Repository import Repository

    from ciplug.forges.base import Place, State

_COMMENTS = "give the job `permissions: pull-requests: write`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
_STATUSES = "give the job `permissions: statuses: write`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
_APPROVALS = "give the job `permissions: actions: read`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
_DEPLOYMENTS = "give the job `permissions: deployments: write`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
_READING = "give the job `permissions: pull-requests: read`, or set CIPLUG_GITHUB_TOKEN to a token that has it"


class GitHub:
    """A repository on GitHub."""

    name = "github"
    comment_limit = 65_000
    token_hint = _COMMENTS
    html = True

    def __init__(self, place: Place) -> None:
        self._place = place
        self._repository: Repository | None = None

    def find_pull_request(self, commit: str, branch: str | None, into: str | None = None) -> OpenPullRequest | None:
        """See Forge."""
        with self._errors("look for the pull request", _READING):
            repository = self._open()
            found: list[PullRequest] = []
            if branch:
                owner = self._place.repository.split("/")[0]
                head = branch if ":" in branch else f"{owner}:{branch}"
                found = [p for p in repository.get_pulls(state="open", head=head) if p.head.sha == commit]
            if not found:
                pulls = repository.get_commit(commit).get_pulls()
                found = [p for p in pulls if p.state == "open" and p.head.sha == commit]
            if not found and branch is None:
                # Those of forks are none of the commit's.
                found = [p for p in repository.get_pulls(state="open") if p.head.sha == commit]
            return preferred((_seen(p) for p in found), into)

    def pull_requests_from(self, repository: str, branch: str) -> list[OpenPullRequest]:
        """The open pull requests from a branch of a repository, this one or a fork."""
        with self._errors("look for the pull request", _READING):
            # By its owner alone GitHub mistakes a branch for one of the same name in the owner's other repositories.
            head = f"{repository.partition('/')[0]}:{branch}"
            return [
                _seen(p)
                for p in self._open().get_pulls(state="open", head=head)
                if p.head.repo is not None and p.head.repo.full_name.lower() == repository.lower()
            ]

    def head_of(self, number: int) -> str:
        """See Forge."""
        with self._errors(f"read pull request #{number}", _READING):
            return self._open().get_pull(number).head.sha

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        """See Forge."""
        check_body(body, marker, self.comment_limit)
        with self._errors(f"comment on pull request #{number}", _COMMENTS):
            login = self._login()
            return upsert(_Comments(self._open().get_pull(number), login), marker, body)

    def set_status(self, commit: str, state: State, *, name: str, description: str, url: str | None) -> None:
        """See Forge."""
        optional = {"target_url": url} if url else {}
        with self._errors(f"set the status of {commit[:10]}", _STATUSES):
            self._open().get_commit(commit).create_status(
                state, description=cut(description, 140), context=name, **optional
            )

    def keep_label(self, number: int, label: str, among: Collection[str]) -> None:
        """See Forge. GitHub makes a label that the repository does not have."""
        import github

        with self._errors(f"label pull request #{number}", _COMMENTS):
            pull = self._open().get_pull(number)
            there = {found.name for found in pull.get_labels()}
            if label not in there:
                pull.add_to_labels(label)
            for other in there & set(among) - {label}:
                with suppress(github.UnknownObjectException):
                    pull.remove_from_labels(other)

    def record_deployment(self, commit: str, environment: str, *, description: str, url: str | None) -> None:
        """See Forge. No check of the commit is waited for: the registry has decided."""
        said = cut(description, 140)
        with self._errors(f"record the deployment to {environment}", _DEPLOYMENTS):
            deployment = self._open().create_deployment(
                commit, auto_merge=False, required_contexts=[], environment=environment, description=said
            )
            deployment.create_status("success", target_url=url or "", environment=environment, description=said)

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
        """See Forge."""
        run = re.search(r"/actions/runs/(\d+)", run_url or "")
        if run is None:
            return None
        with self._errors("read who approved this run", _APPROVALS):
            repository = self._open()
            _, reviews = repository.requester.requestJsonAndCheck(
                "GET", f"{repository.url}/actions/runs/{run[1]}/approvals"
            )
            if not isinstance(reviews, list):
                raise not_understood(self._place.api_url)
            return {
                review["user"]["login"]
                for review in reviews
                if review["state"] == "approved" and environment in [e["name"] for e in review["environments"]]
            }

    def accounts(self, commit: str) -> set[str]:
        """See Forge."""
        with self._errors(f"look for the author of {commit[:10]}", _READING):
            found = self._open().get_commit(commit)
            return {user.login for user in (found.author, found.committer) if user is not None}

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        """See Forge. No request tells what GITHUB_TOKEN may do, so one is sent that is refused for what it says.

        GitHub asks for the permission first (403, or 404 for a user without the right), and for the content then (422).
        """
        with self._errors("read the repository", _READING):
            repository = self._open()
            headers, _ = repository.requester.requestJsonAndCheck("GET", repository.url)
        scopes = headers.get("x-oauth-scopes")
        asked: list[tuple[Literal["comment", "status"], str, dict[str, str]]] = []
        if number is not None:
            asked.append(("comment", f"issues/{number}/comments", {"body": ""}))
        if commit is not None:
            asked.append(("status", f"statuses/{commit}", {"state": "", "context": "ciplug"}))
        return [self._tried(repository, *one, scopes) for one in asked]

    def _tried(
        self, repository: Repository, to: Literal["comment", "status"], path: str, data: dict[str, str], scopes: Any
    ) -> Right:
        import github

        of = f"; scopes of the token: {cut(scopes, 100)}" if scopes else ""
        with self._errors(f"ask whether this token may {to}", _READING):
            try:
                repository.requester.requestJsonAndCheck("POST", f"{repository.url}/{path}", input=data)
            except github.RateLimitExceededException:
                raise
            except github.GithubException as error:
                said = f"{error.status}{_said(error.data)}{of}"
                if error.status == 422:
                    return Right(to, True, said)
                if error.status in (403, 404):
                    return Right(to, False, said)
                raise
        return Right(to, None, "GitHub has taken a request that it should have refused")

    def _open(self) -> Repository:
        if self._repository is None:
            self._repository = client(self._place).get_repo(self._place.repository)
        return self._repository

    def _login(self) -> str | None:
        """Whose token this is. None for an installation's, such as GITHUB_TOKEN: it has no user."""
        import github

        try:
            _, user = self._open().requester.requestJsonAndCheck("GET", "/user")
        except github.GithubException as error:
            if error.status == 403 and not isinstance(error, github.RateLimitExceededException):
                return None
            raise
        if not isinstance(user, dict) or "login" not in user:
            raise not_understood(self._place.api_url)
        return str(user["login"])

    def _errors(self, task: str, hint: str) -> AbstractContextManager[None]:
        return errors(self._place, task, hint)


@contextmanager
def errors(place: Place, task: str, hint: str) -> Iterator[None]:
    """Turn the library's exceptions into ours: one line, no token, no dump."""
    import github
    import requests

    try:
        yield
    except github.GithubException as error:
        said = _said(error.data)
        if error.status == 429 or isinstance(error, github.RateLimitExceededException):
            raise ForgeError(f"cannot {task}: GitHub's rate limit is reached", hint="try again later") from None
        if error.status == 401:
            message = f"cannot {task}: GitHub does not accept the token{said}"
            raise PermissionDenied(message, hint="the token has expired, or is not for this server") from None
        if error.status == 403:
            raise PermissionDenied(f"cannot {task}: GitHub refuses{said}", hint=hint) from None
        if error.status == 404:
            message = f"cannot {task}: GitHub shows it, or {place.repository}, to this token as not found"
            raise PermissionDenied(message, hint=hint) from None
        raise ForgeError(f"cannot {task}: GitHub answers {error.status}{said}") from None
    except requests.RequestException as error:
        unreachable(place.api_url, error)
    except (AssertionError, AttributeError, TypeError) as error:
        # So PyGithub trips over an answer of another shape.
        raise not_understood(place.api_url) from error


def _seen(pull: PullRequest) -> OpenPullRequest:
    return OpenPullRequest(pull.number, pull.head.sha, pull.base.ref)


def _said(data: Any) -> str:
    """GitHub's own words: the message, or the particular one of a validation."""
    if not isinstance(data, dict):
        return ""
    errors = data.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return words(first.get("message") or data.get("message"))


class _Comments:
    """The comments below one pull request; `login` None: a bot's that cannot learn its own name."""

    def __init__(self, pull: PullRequest, login: str | None) -> None:
        self._pull = pull
        self._login = login
        self._objects: dict[int, IssueComment] = {}

    def mine(self) -> Iterator[Comment]:
        for comment in self._pull.get_issue_comments():
            # A deleted account leaves comments without an author.
            user = comment.user
            if user and (user.login == self._login if self._login else user.type == "Bot"):
                yield self._keep(comment)

    def create(self, body: str) -> Comment:
        comment = self._keep(self._pull.create_issue_comment(body))
        self._login = comment.author
        return comment

    def edit(self, comment: Comment, body: str) -> None:
        self._objects[comment.id].edit(body)

    def delete(self, comment: Comment) -> None:
        import github

        with suppress(github.UnknownObjectException):
            self._objects[comment.id].delete()

    def _keep(self, comment: IssueComment) -> Comment:
        self._objects[comment.id] = comment
        return Comment(comment.id, comment.body or "", comment.html_url, comment.user.login)


def client(place: Place) -> Any:
    """PyGithub with bounds: it retries comments too, since the sticky logic clears up after a doubled one."""
    import logging

    import github

    # It prints each refusal, and raises it as well.
    github.set_log_level(logging.WARNING)

    class Retry(github.GithubRetry):
        def sleep(self, response: Any = None) -> None:
            wait = (self.get_retry_after(response) if response else None) or self.get_backoff_time()
            check_wait("GitHub", wait)
            super().sleep(response)

    return github.Github(
        base_url=place.api_url,
        auth=github.Auth.Token(place.token),
        lazy=True,
        timeout=TIMEOUT,
        per_page=100,
        retry=Retry(
            total=RETRIES,
            backoff_factor=0.5,
            allowed_methods={"GET", "POST", "PATCH", "DELETE"},
        ),
        # Its own throttle of a second between writes is for crawlers; ours are one or two.
        seconds_between_requests=0,
        seconds_between_writes=0,
    )
