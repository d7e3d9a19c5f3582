"""The forge: can this job reach it, and may its token comment and set statuses?"""

from __future__ import annotations

from ciplug.errors import PermissionDenied
from ciplug.forges import FORGES, Forge, Lack, NoForge, Right, forge_name
from ciplug.health import remedies
from ciplug.health.base import Examined, failure, skipped, warning
from ciplug.health.checkout import FORKED
from ciplug.steps.job_forge import forge_of
from ciplug.steps.session import Session


def forge(session: Session, before: Examined) -> str:
    opened = _open(session)
    if not isinstance(opened, NoForge):
        return opened.name
    context = session.context
    name = forge_name(context, session.env, session.remote_url)
    if context.host == "local" or name is None or not context.trusted:
        raise skipped(opened.reason if context.trusted else FORKED)
    severity = failure if context.pull_request is not None else warning
    if opened.lacks is Lack.TOKEN:
        raise severity(f"no comment and no status: {opened.reason}", remedies.token(context.host, name))
    raise severity(f"no comment and no status: {opened.message}", opened.hint or "")


def token(session: Session, before: Examined) -> str:
    forge = _need(session, before)
    facts = FORGES[forge.name].token
    value = session.env.get(facts.variable)
    if value and value in map(session.env.get, facts.cannot_comment):
        raise failure(
            f"{facts.variable} is the job's own token, which cannot write notes",
            remedies.token(session.context.host, forge.name),
        )
    try:
        rights = _rights(session)
    except PermissionDenied as problem:
        raise failure(problem.message, remedies.token(session.context.host, forge.name)) from None
    first = next(iter(rights), None)
    return f"accepted; {first.reason}" if facts.names_its_scopes and first else "accepted"


def pull_request(session: Session, before: Examined) -> str:
    forge, context = _accepted(session, before), session.context
    if context.pull_request is not None:
        return f"number {context.pull_request}, from the job's environment"
    if not _may_have_one(session):
        raise skipped("a commit of the default branch or of a tag has no pull request")
    try:
        number = _number(session)
    except PermissionDenied as problem:
        raise failure(problem.message, remedies.right(context.host, forge.name)) from None
    if number is None:
        raise skipped("this commit has no open pull request")
    return f"number {number}, by its commit"


def comment(session: Session, before: Examined) -> str:
    if _accepted(session, before) and before["pull-request"].state != "ok":
        raise skipped("there is no pull request to comment on")
    return _granted(session, "comment", "comments cannot be written")


def status(session: Session, before: Examined) -> str:
    _accepted(session, before)
    if session.head is None:
        raise skipped("there is no commit")
    return _granted(session, "status", "commit statuses cannot be set")


def _granted(session: Session, to: str, otherwise: str) -> str:
    forge = _open(session)
    right = next((right for right in _rights(session) if right.to == to), None)
    if right is None or right.granted is None or isinstance(forge, NoForge):
        raise skipped(f"the forge does not say: {right.reason}" if right else "the forge does not say")
    if not right.granted:
        raise failure(f"{otherwise}: {right.reason}", remedies.right(session.context.host, forge.name))
    return f"granted: {right.reason}"


def _need(session: Session, before: Examined) -> Forge:
    forge = _open(session)
    if isinstance(forge, NoForge) or before["forge"].state != "ok":
        raise skipped("there is no forge")
    if not session.context.trusted:
        raise skipped(FORKED)
    return forge


def _accepted(session: Session, before: Examined) -> Forge:
    forge = _need(session, before)
    if before["token"].state != "ok":
        raise skipped("the token is not accepted")
    return forge


def _open(session: Session) -> Forge | NoForge:
    return session.remember("forge", lambda: forge_of(session))


def _rights(session: Session) -> list[Right]:
    return session.remember("rights", lambda: _ask_rights(session))


def _ask_rights(session: Session) -> list[Right]:
    forge = _open(session)
    if isinstance(forge, NoForge):
        return []
    number = session.context.pull_request
    try:
        number = _number(session) if number is None and _may_have_one(session) else number
    except PermissionDenied:
        # The check of the pull request reports this.
        number = None
    return forge.rights(session.head, number)


def _number(session: Session) -> int | None:
    return session.remember("pull request", lambda: _find_number(session))


def _find_number(session: Session) -> int | None:
    forge, context = _open(session), session.context
    if isinstance(forge, NoForge) or session.head is None:
        return None
    request = forge.find_pull_request(session.head, context.branch, context.default_branch)
    return request.number if request else None


def _may_have_one(session: Session) -> bool:
    context = session.context
    return bool(session.head) and not context.tag and context.branch != context.default_branch
