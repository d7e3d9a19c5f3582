"""The checkout and the job: repository, configuration, policy, credentials, history, and what waits to be sent."""

from __future__ import annotations

import shlex
from collections import Counter

from ciplug import config as configuration
from ciplug.config import Config
from ciplug.errors import Cause
from ciplug.git import history as commits
from ciplug.git.credentials import redact, stored_credential
from ciplug.git.remote import why_unreachable
from ciplug.health import remedies
from ciplug.health.base import Examined, failure, not_asked, warning
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import FORK, Session, now
from ciplug.stores import is_git
from ciplug.stores.git.causes import cause_of

FORKED = "a fork's job is not to write here: it hands its run over (docs/collect.md)"


def repository(session: Session, before: Examined) -> str:
    workspace = session.workspace
    if workspace is None:
        raise failure(f"{session.cwd} is in no git repository", "run inside a checkout: runs are tied to commits")
    if session.head is None:
        raise failure(f"{workspace.top} has no commit yet", "commit first: runs are tied to commits")
    return f"{workspace.top}, commit {session.head[:8]}"


def job(session: Session, before: Examined) -> str:
    context = session.context
    if context.host == "local":
        return "no CI job"
    what = f"{context.host}, {context.event or 'no event named'}"
    if context.pull_request is not None:
        what += f", pull request {context.pull_request}"
    if not context.trusted:
        what += " of a fork, or of a repository that is not known: nothing is expected to be writable"
    return what


def config(session: Session, before: Examined) -> str:
    """What `open_session` could not read is said by whoever opened it."""
    if session.config.path is None:
        raise warning(
            "there is no ciplug.yaml: nothing is recorded but what options name, and nothing is judged", "ciplug init"
        )
    parts = session.config.models.values() or (session.config,)
    recorded = sum(len(part.metrics) for part in parts)
    files = {0: "no metric file, so metrics are what the training logs itself", 1: "1 metric file"}.get(
        recorded, f"{recorded} metric files"
    )
    return f"{session.config.path}: {files}"


def policy(session: Session, before: Examined) -> str:
    if session.config.path is None and session.context.target_branch is None:
        raise not_asked("there is no ciplug.yaml")
    if before["configuration"].state == "failure":
        raise not_asked("ciplug.yaml cannot be read")
    policies = read_policies(session)
    judging, source = (policies.base, policies.base_source) if policies.base else (policies.own, policies.own_source)
    if not policies.any_gate:
        where = judging.path or configuration.FILE
        raise warning(
            f"{source}: there is no gate, so nothing is judged", f"in {where}: gates: {{accuracy: {{min: 0.9}}}}"
        )
    if policies.base_branch is not None and policies.base is None:
        raise warning(
            f"{policies.base_branch} has no {configuration.FILE}: this pull request is judged by its own policy",
            f"merge {configuration.FILE} into {policies.base_branch} first",
        )
    expired = sorted({gate for part in _parts(judging) for gate in _expired(part)})
    if expired:
        raise warning(f"{source}: the waivers for {', '.join(expired)} have expired", "take them out of waivers:")
    gates = sum(len(part.policy.get("gates") or {}) for part in _parts(judging))
    return f"{source}: {gates} gate{'s' if gates != 1 else ''}"


def _parts(config: Config) -> list[Config]:
    return list(config.models.values()) or [config]


def _expired(part: Config) -> list[str]:
    from ciplug.gates.reading import read

    today = now().date()
    return [waiver.gate for waiver in read(part).waivers if waiver.expires < today]


def spool(session: Session, before: Examined) -> str:
    waiting = Counter(sealed.store for sealed in session.spool.sealed())
    own = {address: count for address, count in waiting.items() if not address.startswith(FORK)}
    if not own:
        return "nothing waits to be sent"
    count = sum(own.values())
    said = f"{count} {'waits' if count == 1 else 'wait'} to be sent to {', '.join(sorted(own))}"
    if before["configuration"].state == "failure":
        raise warning(said, "ciplug record --spooled")
    elsewhere = sorted(address for address in own if address != session.store.address)
    # What waits for a remote that has another address by now is sent by name.
    raise warning(said, session.send_command + (f" --from {shlex.quote(elsewhere[0])}" if elsewhere else ""))


def credentials(session: Session, before: Examined) -> str:
    token = session.env.get(remedies.PUSH_TOKEN, "")
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise failure(
            f"{remedies.PUSH_TOKEN} holds no token: it has spaces, line ends or special characters",
            f"set {remedies.PUSH_TOKEN} anew, without a line end",
        )
    if session.workspace is None:
        raise not_asked("there is no checkout")
    if not session.context.trusted:
        raise not_asked(FORKED)
    if not is_git(session.store_uri):
        raise not_asked("the store is no git repository")
    if token:
        return f"{remedies.PUSH_TOKEN} is set"
    url = store_url(session)
    if url is None:
        return "none is needed: the repository itself is the store"
    if not url.startswith("http"):
        return "none is needed: the repository is on this disk" if url.startswith("file:") else "by ssh, with its keys"
    found = stored_credential(session.workspace.config, url)
    kept = {
        "header": "kept by the checkout",
        "url": "in the address of the remote",
        "helper": "a credential helper of git is asked",
    }
    if found:
        return kept[found]
    # ~/.netrc and askpass programs are git's own business: a push shows what they know.
    raise not_asked(f"this checkout keeps none for {redact(url)}; the checks below show whether git has another")


def remote(session: Session, before: Examined) -> str:
    if session.workspace is None:
        raise not_asked("there is no checkout")
    url = session.remote_url
    if url is None:
        return "this repository has no remote"
    problem = why_unreachable(session.workspace, session.env)
    if problem:
        raise failure(f"{redact(url)}: {problem.words}", to_reach(session, url, cause_of(problem)))
    return redact(url)


def to_reach(session: Session, url: str, cause: Cause) -> str:
    """What to do where a repository refuses a fetch or a push."""
    by_token = bool(session.env.get(remedies.PUSH_TOKEN))
    kept = stored_credential(session.workspace.config, url) if session.workspace else None
    # After a header that is not accepted, git asks for a name all the same, and does not say why.
    if cause == Cause.NO_CREDENTIAL and (by_token or kept in ("header", "url")):
        cause = Cause.BAD_CREDENTIAL
    return remedies.push(session.context.host, cause, by_token=by_token)


def store_url(session: Session) -> str | None:
    """The address of a store that is a git repository; None where it is this one."""
    if session.store_uri.startswith("git+"):
        return session.store_uri.removeprefix("git+").partition("?")[0]
    return session.remote_url


def history(session: Session, before: Examined) -> str:
    workspace, context = session.workspace, session.context
    if workspace is None or session.head is None:
        raise not_asked("there is no commit")
    if before["remote"].state == "failure":
        raise not_asked("the remote cannot be read")
    target = commits.target_branch(
        workspace,
        session.env,
        asked=None,
        context_target=context.target_branch,
        context_default=context.default_branch,
    )
    found = commits.history_of(workspace, session.head, target, session.env)
    known = before["policy"].state in ("ok", "warning")
    for branch in read_policies(session).baseline_branches if known else ():
        if branch and commits.history_of(workspace, session.head, branch, session.env).no_target:
            raise failure(
                f"there is no branch '{branch}', which the policy compares with",
                f"in {configuration.FILE}, name a branch that is there: baseline: {target or 'main'}",
            )
    if found.notes:
        raise warning("; ".join(found.notes), remedies.history(context.host) if workspace.shallow else "")
    seen = f"{len(found.target_commits)} commits of {target}"
    if workspace.shallow:
        return f"this clone is shallow, and the history is fetched when it is needed, as commits without files: {seen}"
    return f"this clone is whole: {seen}"
