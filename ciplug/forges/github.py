"""GitHub and GitHub Enterprise: comments on pull requests, commit statuses."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from ciplug.errors import ForgeKind
from ciplug.forges import github_merges
from ciplug.forges.account import Account
from ciplug.forges.address import address_in, token_in
from ciplug.forges.base import Lack, NoForge, OpenPullRequest, Place, Right, Token, preferred
from ciplug.forges.failures import cut, not_understood, words
from ciplug.forges.github_client import client, errors, reply_of
from ciplug.forges.github_comments import Comments, viewer
from ciplug.forges.github_issues import Issues
from ciplug.forges.living_issue import keep
from ciplug.forges.refusals import kind_of
from ciplug.forges.sticky_comment import check_body, upsert

if TYPE_CHECKING:
    from collections.abc import Collection

    from github.PullRequest import PullRequest
    from github.Repository import Repository

    from ciplug.forges.address import Job
    from ciplug.forges.base import State, StoredFile
    from ciplug.forges.merged_pull_request import MergedPullRequest

_COMMENTS = "give the job `permissions: pull-requests: write`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
_ISSUES = "give the job `permissions: issues: write`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
_STATUSES = "give the job `permissions: statuses: write`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
_APPROVALS = "give the job `permissions: actions: read`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
_DEPLOYMENTS = "give the job `permissions: deployments: write`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
_RELEASES = "give the job `permissions: contents: write`, or set CIPLUG_GITHUB_TOKEN to a token that has it"
_LINKED = "only organizations have them; give the job `permissions: {contents: write, artifact-metadata: write}`"
_READING = "give the job `permissions: pull-requests: read`, or set CIPLUG_GITHUB_TOKEN to a token that has it"


name = "github"
address_variable = "GITHUB_API_URL"
protected_branch = "Settings > Rules > Rulesets, and Settings > Branches: exclude {names} from their rules"
JOB_PERMISSIONS = "in the job: permissions: {contents: write, pull-requests: write, statuses: write}"
"""All in one line: GitHub withdraws every permission that the line does not name."""
token = Token(
    variable="CIPLUG_GITHUB_TOKEN",
    needs="a token with pull-requests: write and statuses: write",
    of_job={"github_actions": "in the step: env: {GITHUB_TOKEN: '${{ github.token }}'}"},
    rights_of_job={"github_actions": JOB_PERMISSIONS},
)


def find_place(job: Job) -> Place | NoForge:
    """Find the place by the job's variables, else by the git remote."""
    context, env, server, repository = job.context, job.env, job.server, job.repository
    api = address_in(env, address_variable) or context.api_url
    named = bool(api) or server is None or server.host == "github.com"
    if not api:
        api = "https://api.github.com" if named or server is None else f"{server.origin}/api/v3"
    value = token_in(env, token.variable, *(("GITHUB_TOKEN", "GH_TOKEN") if named else ()))
    if not value and not named:
        return NoForge(
            Lack.TOKEN, f"no token for {api}", "set CIPLUG_GITHUB_TOKEN, or name the server by GITHUB_API_URL"
        )
    if not value:
        return NoForge(Lack.TOKEN, "no token for GitHub", "pass GITHUB_TOKEN to the job as an environment variable")
    if repository.count("/") != 1:
        return NoForge(Lack.REPOSITORY, "neither the job nor the git remote names the repository as owner/name")
    return Place(name, api.rstrip("/"), repository, value)


def connect(place: Place, job: Job) -> GitHub:
    return GitHub(place)


class GitHub:
    """A repository on GitHub."""

    name = name
    comment_limit = 65_000
    html = True

    def __init__(self, place: Place) -> None:
        self._place = place
        self._repository: Repository | None = None

    def find_pull_request(self, commit: str, branch: str | None, into: str | None = None) -> OpenPullRequest | None:
        with self._errors("look for the pull request", _READING):
            repository = self._open()
            ours: list[PullRequest] = []
            if branch:
                owner = self._place.repository.split("/")[0]
                head = branch if ":" in branch else f"{owner}:{branch}"
                ours = [p for p in repository.get_pulls(state="open", head=head) if p.head.sha == commit]
            if not ours:
                pulls = repository.get_commit(commit).get_pulls()
                ours = [p for p in pulls if p.state == "open" and p.head.sha == commit]
            if not ours and branch is None:
                # Those of forks are not of the commit.
                ours = [p for p in repository.get_pulls(state="open") if p.head.sha == commit]
            return preferred((_seen(p) for p in ours), into)

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
        with self._errors(f"read pull request #{number}", _READING):
            return self._open().get_pull(number).head.sha

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        check_body(body, marker, self.comment_limit)
        with self._errors(f"comment on pull request #{number}", _COMMENTS):
            login = self._login()
            return upsert(Comments(self._open().get_pull(number), login), marker, body)

    def keep_issue(self, marker: str, title: str, body: str, *, is_open: bool) -> str | None:
        check_body(body, marker, self.comment_limit)
        with self._errors("keep the issue", _ISSUES):
            return keep(Issues(self._open(), self._login()), marker, title, body, is_open=is_open)

    def set_status(self, commit: str, state: State, *, name: str, description: str, url: str | None) -> None:
        optional = {"target_url": url} if url else {}
        with self._errors(f"set the status of {commit[:10]}", _STATUSES):
            self._open().get_commit(commit).create_status(
                state, description=cut(description, 140), context=name, **optional
            )

    def keep_label(self, number: int, label: str, among: Collection[str]) -> None:
        """GitHub makes a label that the repository does not have."""
        import github

        with self._errors(f"label pull request #{number}", _COMMENTS):
            pull = self._open().get_pull(number)
            labels = {label_of_pull.name for label_of_pull in pull.get_labels()}
            if label not in labels:
                pull.add_to_labels(label)
            for other in labels & set(among) - {label}:
                with suppress(github.UnknownObjectException):
                    pull.remove_from_labels(other)

    def record_deployment(self, commit: str, environment: str, *, description: str, url: str | None) -> None:
        """No check of the commit is waited for: the registry has decided."""
        short = cut(description, 140)
        with self._errors(f"record the deployment to {environment}", _DEPLOYMENTS):
            deployment = self._open().create_deployment(
                commit, auto_merge=False, required_contexts=[], environment=environment, description=short
            )
            deployment.create_status("success", target_url=url or "", environment=environment, description=short)

    def publish_release(self, tag: str, commit: str, *, title: str, body: str) -> str:
        import github

        with self._errors(f"publish the release {tag}", _RELEASES):
            repository = self._open()
            with suppress(github.UnknownObjectException):
                return str(repository.get_release(tag).html_url)
            made = repository.create_git_release(
                tag, cut(title, 200), cut(body, self.comment_limit), target_commitish=commit
            )
            return str(made.html_url)

    def link_artifacts(self, files: Collection[StoredFile]) -> None:
        """As storage records: https://docs.github.com/rest/orgs/artifact-metadata."""
        owner, _, repository = self._place.repository.partition("/")
        with self._errors(f"link artifacts with {owner}", _LINKED):
            page = self._open()
            for file in files:
                page.requester.requestJsonAndCheck(
                    "POST",
                    f"/orgs/{quote(owner)}/artifacts/metadata/storage-record",
                    input={
                        "name": cut(f"{file.model}/{file.path}", 256),
                        "version": file.version,
                        "digest": file.digest,
                        "registry_url": page.html_url,
                        "repository": repository,
                        "github_repository": repository,
                    },
                )

    def approvers(self, run_url: str | None, environment: str) -> set[str] | None:
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

    def merges_of(self, commit: str) -> list[int] | None:
        with self._errors(f"look for the pull request that commit {commit[:10]} merged", _READING):
            return github_merges.merges_of(self._open(), commit)

    def merged_pull_request(self, number: int) -> MergedPullRequest | None:
        with self._errors(f"read who approved pull request #{number}", _READING):
            return github_merges.merged_pull_request(self._open(), number)

    def protects(self, branch: str) -> bool | None:
        with self._errors(f"read the branch {branch}", _APPROVALS):
            repository = self._open()
            _, found = repository.requester.requestJsonAndCheck("GET", f"{repository.url}/branches/{branch}")
            return found.get("protected") is True if isinstance(found, dict) else None

    def runs_in(self, environment: str) -> bool | None:
        return None

    def guards(self, environment: str) -> bool | None:
        return None

    def actor(self, run_url: str | None, *, in_job: bool) -> Account | None:
        """In a job, who started the workflow run that goes on: its own token has no user."""
        with self._errors("read who started this run", _APPROVALS):
            user = self._token_user()
            if not in_job:
                is_person = user is not None and user.get("type") != "Bot"
                return _account(user) if user and is_person else None
            run = re.search(r"/actions/runs/(\d+)", run_url or "")
            if run is None:
                return None
            repository = self._open()
            _, about = repository.requester.requestJsonAndCheck("GET", f"{repository.url}/actions/runs/{run[1]}")
            if not isinstance(about, dict):
                raise not_understood(self._place.api_url)
            starter = about.get("triggering_actor") or about.get("actor") or {}
            # A token of a person may name any run as its own.
            if about.get("status") != "in_progress" or (user and user["login"] != starter.get("login")):
                return None
            return _account(starter)

    def accounts(self, commit: str) -> set[str]:
        with self._errors(f"look for the author of {commit[:10]}", _READING):
            shown = self._open().get_commit(commit)
            return {user.login for user in (shown.author, shown.committer) if user is not None}

    def rights(self, commit: str | None, number: int | None) -> list[Right]:
        """Send requests with invalid content, since no API call lists the permissions of GITHUB_TOKEN.

        GitHub checks the permission first (403, or 404 for a user without it), then the content (422).
        """
        with self._errors("read the repository", _READING):
            repository = self._open()
            headers, _ = repository.requester.requestJsonAndCheck("GET", repository.url)
        scopes = headers.get("x-oauth-scopes")
        probes: list[tuple[Literal["comment", "status"], str, dict[str, str]]] = []
        if number is not None:
            probes.append(("comment", f"issues/{number}/comments", {"body": ""}))
        if commit is not None:
            probes.append(("status", f"statuses/{commit}", {"state": "", "context": "ciplug"}))
        return [self._tried(repository, *probe, scopes) for probe in probes]

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
                reason = f"{error.status}{words(reply_of(error).message)}{of}"
                if error.status == 422:
                    return Right(to, True, reason)
                if error.status in (403, 404):
                    return Right(to, False, reason)
                raise
        return Right(to, None, "unclear: GitHub accepted a test request that should be refused")

    def _open(self) -> Repository:
        if self._repository is None:
            self._repository = client(self._place).get_repo(self._place.repository)
        return self._repository

    def _login(self) -> str | None:
        """Return the user of the token; None if unknown."""
        user = self._token_user()
        return viewer(self._open().requester) if user is None else str(user["login"])

    def _token_user(self) -> dict[str, Any] | None:
        """Return the user of the token; None for an installation's, such as GITHUB_TOKEN, which has no user."""
        import github

        try:
            _, user = self._open().requester.requestJsonAndCheck("GET", "/user")
        except github.GithubException as error:
            if error.status == 403 and kind_of(reply_of(error)) is ForgeKind.PERMISSION:
                return None
            raise
        if not isinstance(user, dict) or "login" not in user:
            raise not_understood(self._place.api_url)
        return user

    def _errors(self, task: str, hint: str) -> AbstractContextManager[None]:
        return errors(self._place, task, hint)


def _account(user: dict[str, Any]) -> Account | None:
    names = frozenset(str(user[key]) for key in ("name", "email") if user.get(key))
    return Account(str(user["login"]), "GitHub", names) if user.get("login") else None


def _seen(pull: PullRequest) -> OpenPullRequest:
    return OpenPullRequest(pull.number, pull.head.sha, pull.base.ref)
