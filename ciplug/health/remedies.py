"""The line to add for each missing right, by CI host and forge: first where it goes, then the line itself."""

from __future__ import annotations

from ciplug.errors import Cause

PUSH_TOKEN = "CIPLUG_PUSH_TOKEN"  # noqa: S105
_PERMISSIONS = "permissions: {contents: write, pull-requests: write, statuses: write}"
"""All in one line: GitHub withdraws every permission that the line does not name."""
_GITHUB_JOB = f"in the job: {_PERMISSIONS}"

_KEEP = {
    "github_actions": "in the step of actions/checkout: with: {persist-credentials: true}",
    "gitea": "in the step of actions/checkout: with: {persist-credentials: true}",
    "azure": "in the steps: - {checkout: self, persistCredentials: true}",
}
"""How the checkout keeps its credential."""
_PUSH = {
    "github_actions": _GITHUB_JOB,
    "gitlab_ci": "Settings > CI/CD > Variables: {token}, a project access token, role Developer, scope "
    "write_repository; or Settings > CI/CD > Job token permissions: 'Allow Git push requests to the repository'",
    "jenkins": "around the step: withCredentials([string(credentialsId: 'ciplug-push', variable: '{token}')]) { … }",
    "gitea": "in the step: env: {{token}: '${{ secrets.{token} }}'}, a token with write:repository",
    "bitbucket": "Repository settings > Repository variables: {token}, an access token with repository:write",
    "azure": "Project settings > Repositories > Security > Build Service: Contribute = Allow",
}
"""How a job gets the right to push."""
_PUSH_ELSEWHERE = "export {token}=…, a token that may write to the repository"

_TOKENS = {
    "github": ("CIPLUG_GITHUB_TOKEN", "a token with pull-requests: write and statuses: write"),
    "gitlab": ("CIPLUG_GITLAB_TOKEN", "a project access token, role Developer, scope api"),
    "gitea": ("CIPLUG_GITEA_TOKEN", "an access token with write:issue, write:repository and read:user"),
    "bitbucket": ("CIPLUG_BITBUCKET_TOKEN", "a repository access token with pullrequest:write"),
}


def push(host: str, cause: Cause, *, by_token: bool) -> str:
    """For a push or a fetch that is refused.

    Args:
        by_token: whether CIPLUG_PUSH_TOKEN was the credential.
    """
    if cause in (Cause.PROTECTED, Cause.RULE, Cause.UNKNOWN):
        return ""
    if cause == Cause.NETWORK:
        return "check that this machine can reach the address: network, proxy, host name"
    if by_token:
        return f"{PUSH_TOKEN} = a valid token that may write to this repository"
    if cause in (Cause.NO_CREDENTIAL, Cause.NOT_FOUND) and host in _KEEP:
        return _KEEP[host]
    if cause == Cause.BAD_CREDENTIAL and host in _KEEP:
        return f"{_KEEP[host]}, in the job that runs ciplug; or {PUSH_TOKEN} for a store elsewhere"
    return _PUSH.get(host, _PUSH_ELSEWHERE).replace("{token}", PUSH_TOKEN)


def refs(branch: str) -> str:
    """For a host whose rules refuse refs."""
    return f"allow the account of this job to push to refs/{branch}/*, or to branches {branch}-*"


def branch(kind: str | None, branch: str) -> str:
    """For a branch that is protected, by the forge that holds it."""
    names = f"'{branch}' and '{branch}-series'"
    where = {
        "github": f"Settings > Rules > Rulesets, and Settings > Branches: exclude {names} from their rules",
        "gitlab": f"Settings > Repository > Protected branches: {names}: allowed to push = the role of the token",
        "gitea": f"Settings > Branches: {names}: whitelist the account of the token for push",
        "bitbucket": f"Repository settings > Branch restrictions: {names}: write access = the account of the token",
    }
    return where.get(kind or "", f"exempt the branches {names} for the account of this job")


def token(host: str, kind: str) -> str:
    """For a forge's token that is missing or rejected."""
    variable, what = _TOKENS[kind]
    if (host, kind) == ("github_actions", "github"):
        return "in the step: env: {GITHUB_TOKEN: '${{ github.token }}'}"
    if (host, kind) == ("gitea", "gitea"):
        return f"in the step: env: {{{variable}: '${{{{ github.token }}}}'}}"
    return f"{_variable(host, variable)}, {what}"


def right(host: str, kind: str) -> str:
    """For a token that lacks a right to comment, or to set statuses."""
    return _GITHUB_JOB if (host, kind) == ("github_actions", "github") else token(host, kind)


_VARIABLES = {
    "jenkins": "around the step: withCredentials([string(credentialsId: 'ciplug-comment', variable: '{name}')]) { … }",
    "gitlab_ci": "Settings > CI/CD > Variables: {name}",
    "bitbucket": "Repository settings > Repository variables: {name}",
    "azure": "in the step: env: {{name}: $(ciplug-comment)}",
    "github_actions": "in the step: env: {{name}: '${{ secrets.{name} }}'}",
    "gitea": "in the step: env: {{name}: '${{ secrets.{name} }}'}",
}
"""Where a host keeps a secret, and how a step gets it."""


def _variable(host: str, name: str) -> str:
    return _VARIABLES.get(host, "export {name}=…").replace("{name}", name)


_DEPTH = {
    "github_actions": "in the step of actions/checkout: with: {fetch-depth: 0}",
    "gitea": "in the step of actions/checkout: with: {fetch-depth: 0}",
    "gitlab_ci": "in the job: variables: {GIT__DEPTH: 0}",
    "bitbucket": "in the step: clone: {depth: full}",
    "azure": "in the steps: - {checkout: self, fetchDepth: 0}",
    "jenkins": "in the checkout: extensions: [cloneOption(shallow: false, noTags: false)]",
}
"""How to check out the complete history."""


def history(host: str) -> str:
    """For a history that cannot be fetched on demand."""
    return _DEPTH.get(host, "git fetch --unshallow")
