"""The checkout and the job: repository, configuration, policy, credentials, history, and what waits to be sent."""

from __future__ import annotations

import shlex
from collections import Counter

from ciplug import config as configuration
from ciplug.ci.job_commit import doubt, explain
from ciplug.config.policy import Policy
from ciplug.errors import Cause, counted
from ciplug.git import history as commits
from ciplug.git.credentials import redact, stored_credential
from ciplug.git.remote import why_unreachable
from ciplug.git.workspace import push_place
from ciplug.health import remedies
from ciplug.health.base import Examined, failure, skipped, warning
from ciplug.steps.branches import target_branch
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import FORK_PREFIX, Session, now
from ciplug.stores import is_git
from ciplug.stores.git.causes import cause_of

FORKED = "a fork's job must not write here: it hands over its run (docs/collect.md)"


def repository(session: Session, before: Examined) -> str:
    workspace = session.workspace
    if workspace is None:
        raise failure(f"{session.cwd} is not in a git repository", "run inside a checkout: runs are tied to commits")
    if session.head is None:
        raise failure(f"{workspace.top} has no commit yet", "commit first: runs are tied to commits")
    of_another = (
        ", which belongs to another user: ciplug tells only its own git calls that it is safe"
        if workspace.named_safe
        else ""
    )
    return f"{workspace.top}, commit {session.head[:8]}{of_another}"


def job(session: Session, before: Examined) -> str:
    context = session.context
    if context.host == "local":
        return "no CI job"
    what = f"{context.host}, {context.event or 'unknown event'}"
    if context.pull_request is not None:
        what += f", pull request {context.pull_request}"
    if not context.trusted:
        what += " of a fork or an unknown repository: nothing is expected to be writable"
    return what


def commit(session: Session, before: Examined) -> str:
    """Show the commit that a run of this job belongs to, with the reason, and the host's if it is another one."""
    identity = session.identity
    if identity is None or session.head is None:
        raise skipped("there is no commit")
    commit_line = f"{session.head[:8]}: {explain(identity)}"
    why = doubt(identity)
    if why:
        raise warning(f"{commit_line}; not trusted: {why}", remedies.unpublished(session.context.host))
    return commit_line


def config(session: Session, before: Examined) -> str:
    """The configuration in use. `ciplug doctor` itself reports a file that `open_session` could not read."""
    if session.config.path is None:
        raise warning(
            "there is no ciplug.yaml: only what options name is recorded, and nothing is judged", "ciplug init"
        )
    recorded = sum(len(section.metrics.files) for section in session.config.sections())
    files = {0: "no metric file, so the training must log its metrics itself", 1: "1 metric file"}.get(
        recorded, f"{recorded} metric files"
    )
    return f"{session.config.path}: {files}"


def mlflow(session: Session, before: Examined) -> str:
    """Name a file store of MLflow, which is in maintenance mode there. It is never opened: MLflow would write to it."""
    if not (session.cwd / "mlruns").is_dir():
        return "no ./mlruns here: there is nothing to import"
    return "./mlruns is a store of MLflow; copy its runs into this one: ciplug import mlflow ./mlruns"


def policy(session: Session, before: Examined) -> str:
    if session.config.path is None and session.context.target_branch is None:
        raise skipped("there is no ciplug.yaml")
    if before["configuration"].state == "failure":
        raise skipped("ciplug.yaml cannot be read")
    policies = read_policies(session)
    judging, source = (policies.base, policies.base_source) if policies.base else (policies.own, policies.own_source)
    if not policies.any_gate:
        where = judging.path or configuration.FILE
        raise warning(f"{source}: no gates, so nothing is judged", f"in {where}: gates: {{accuracy: {{min: 0.9}}}}")
    if policies.base_branch is not None and policies.base is None:
        raise warning(
            f"{policies.base_branch} has no {configuration.FILE}: this pull request is judged by its own policy",
            f"merge {configuration.FILE} into {policies.base_branch} first",
        )
    expired = sorted({gate for section in judging.sections() for gate in _expired(section.policy)})
    if expired:
        raise warning(f"{source}: the waivers for {', '.join(expired)} have expired", "remove them from waivers:")
    gates = sum(len(section.policy.gates) for section in judging.sections())
    return f"{source}: {gates} gate{'s' if gates != 1 else ''}"


def _expired(policy: Policy) -> list[str]:
    today = now().date()
    return [waiver.gate for waiver in policy.waivers if waiver.expires < today]


def spool(session: Session, before: Examined) -> str:
    if refused := session.spool.refused():
        are = "entry of the spool is" if len(refused) == 1 else "entries of the spool are"
        raise warning(
            f"{len(refused):,} {are} set aside: the store has other content under the same key: {refused[0]}",
            "compare refused.json in it with what the store has (ciplug runs show), then remove the folder",
        )
    waiting = Counter(sealed.store for sealed in session.spool.sealed())
    own = {address: count for address, count in waiting.items() if not address.startswith(FORK_PREFIX)}
    if not own:
        return "no run waits to be sent"
    count = sum(own.values())
    message = f"{counted(count, 'run')} {'waits' if count == 1 else 'wait'} to be sent to {', '.join(sorted(own))}"
    if before["configuration"].state == "failure":
        raise warning(message, "ciplug record --spooled")
    elsewhere = sorted(address for address in own if address != session.store.address)
    # Runs queued for a remote whose address has changed are sent with --from.
    raise warning(message, session.send_command + (f" --from {shlex.quote(elsewhere[0])}" if elsewhere else ""))


def credentials(session: Session, before: Examined) -> str:
    token = session.env.get(remedies.PUSH_TOKEN, "")
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise failure(
            f"{remedies.PUSH_TOKEN} is not a token: it contains spaces, line ends or special characters",
            f"set {remedies.PUSH_TOKEN} again, without a line end",
        )
    if session.workspace is None:
        raise skipped("there is no checkout")
    if not session.context.trusted:
        raise skipped(FORKED)
    if not is_git(session.store_uri):
        raise skipped("the store is not a git repository")
    if token:
        return f"{remedies.PUSH_TOKEN} is set"
    url = store_url(session)
    if url is None:
        return "none is needed: the repository itself is the store"
    if not url.startswith("http"):
        return "none is needed: the repository is on this disk" if url.startswith("file:") else "ssh keys"
    source = stored_credential(session.workspace.config, url)
    sources = {
        "header": "kept by the checkout",
        "url": "in the address of the remote",
        "helper": "from a credential helper of git",
    }
    if source:
        return sources[source]
    # git itself reads ~/.netrc and askpass programs: only a push shows whether they have a credential.
    raise skipped(
        f"no credential for {redact(url)} is stored in this checkout; "
        "the checks below show whether git finds one elsewhere"
    )


def remote(session: Session, before: Examined) -> str:
    if session.workspace is None:
        raise skipped("there is no checkout")
    url = session.remote_url
    if url is None:
        return "this repository has no remote"
    problem = why_unreachable(session.workspace, session.env)
    if problem:
        raise failure(f"{redact(url)}: {problem.words}", to_reach(session, url, cause_of(problem)))
    return redact(url)


def to_reach(session: Session, url: str, cause: Cause) -> str:
    """The remedy for a repository that refuses a fetch or a push."""
    by_token = bool(session.env.get(remedies.PUSH_TOKEN))
    kept = stored_credential(session.workspace.config, url) if session.workspace else None
    # After a rejected header, git asks for a user name, and does not report the rejection.
    if cause == Cause.NO_CREDENTIAL and (by_token or kept in ("header", "url")):
        cause = Cause.BAD_CREDENTIAL
    return remedies.push(session.context.host, cause, by_token=by_token)


def store_url(session: Session) -> str | None:
    """The address of a git store; None if the store is this repository itself."""
    if session.store_uri.startswith("git+"):
        return session.store_uri.removeprefix("git+").partition("?")[0]
    workspace = session.workspace
    remotes = workspace.remotes if workspace else {}
    if workspace is None or not remotes:
        return None
    return push_place(workspace, "origin" if "origin" in remotes else next(iter(remotes))).url


def history(session: Session, before: Examined) -> str:
    workspace = session.workspace
    if workspace is None or session.head is None:
        raise skipped("there is no commit")
    if before["remote"].state == "failure":
        raise skipped("the remote cannot be read")
    target = target_branch(session, workspace)
    snapshot = commits.history_of(workspace, session.head, target, session.env)
    readable = before["policy"].state in ("ok", "warning")
    for branch in read_policies(session).baseline_branches if readable else ():
        if branch and commits.history_of(workspace, session.head, branch, session.env).no_target:
            raise failure(
                f"there is no branch '{branch}', which the policy compares with",
                f"in {configuration.FILE}, name an existing branch: baseline: {target or 'main'}",
            )
    if snapshot.notices:
        raise warning(
            "; ".join(one.clause for one in snapshot.notices),
            remedies.history(session.context.host) if workspace.shallow else "",
        )
    seen = f"{counted(len(snapshot.target_commits), 'commit')} of {target}"
    if workspace.shallow:
        return f"this clone is shallow; history is fetched when needed, as commits without files: {seen}"
    return f"this clone is complete: {seen}"
