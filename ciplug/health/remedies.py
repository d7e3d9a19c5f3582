"""The line to add for each missing right, by CI host and forge: first where it goes, then the line itself."""

from __future__ import annotations

from ciplug import ci
from ciplug.errors import Cause
from ciplug.forges import FORGES

PUSH_TOKEN = "CIPLUG_PUSH_TOKEN"  # noqa: S105


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
    advice = ci.host_module(host).advice
    if cause in (Cause.NO_CREDENTIAL, Cause.NOT_FOUND) and advice.keep_credential:
        return advice.keep_credential
    if cause == Cause.BAD_CREDENTIAL and advice.keep_credential:
        return f"{advice.keep_credential}, in the job that runs ciplug; or {PUSH_TOKEN} for a store elsewhere"
    return advice.push.replace("{token}", PUSH_TOKEN)


def refs(branch: str) -> str:
    """For a host whose rules refuse refs."""
    return f"allow the account of this job to push to refs/{branch}/*, or to branches {branch}-*"


def branch(forge: str | None, branch: str) -> str:
    """For a branch that is protected, by the forge that holds it."""
    names = f"'{branch}' and '{branch}-series'"
    if forge is None:
        return f"exempt the branches {names} for the account of this job"
    return FORGES[forge].protected_branch.replace("{names}", names)


def token(host: str, forge: str) -> str:
    """For a forge's token that is missing or rejected."""
    token = FORGES[forge].token
    return token.of_job.get(host) or f"{_variable(host, token.variable)}, {token.needs}"


def right(host: str, forge: str) -> str:
    """For a token that lacks a right to comment, or to set statuses."""
    return FORGES[forge].token.rights_of_job.get(host) or token(host, forge)


def history(host: str) -> str:
    """For a history that cannot be fetched on demand."""
    return ci.host_module(host).advice.full_history


def unpublished(host: str) -> str:
    """For a commit that the remote is not shown to have in a branch."""
    return f"push the commit to a branch first; an older commit of a branch needs the history: {history(host)}"


def _variable(host: str, name: str) -> str:
    return ci.host_module(host).advice.variable.replace("{name}", name)
