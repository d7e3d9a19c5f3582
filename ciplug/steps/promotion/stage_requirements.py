"""Requirements of a stage besides its gates: a clean tree, a signed commit, the approval of another person."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ciplug.comparison.run_that_counts import LOCAL
from ciplug.errors import ForgeError, PromotionRefused, Refusal, listed
from ciplug.git.failures import last_words
from ciplug.git.run import run_git
from ciplug.records.run import Run
from ciplug.steps.job_forge import forge_of
from ciplug.steps.promotion.merge_approval import Wanted, check_merge
from ciplug.steps.select import set_aside
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.config.stages import Requirement, Stage
    from ciplug.forges.account import Account
    from ciplug.forges.base import Forge

_NO_REPLY = re.compile(r"(?:\d+\+)?([^@]+)@users\.noreply\.")


def check_run(session: Session, name: str, stage: Stage, run: Run, section: str) -> tuple[str, ...]:
    """Check what the stage `name` requires of the run itself, besides its gates.

    Args:
        section: the model whose settings judge the run.

    Returns one sentence for each requirement, for the audit trail. Raises PromotionRefused for the first that is not
    met.
    """
    return tuple(_CHECKS[requirement](session, name, run, section) for requirement in stage.requirements)


def _check_clean_tree(session: Session, name: str, run: Run, section: str) -> str:
    dirty = run.provenance.dirty
    if dirty is None:
        raise PromotionRefused(
            Refusal.TREE_UNKNOWN,
            f"{name} requires a clean tree, and run {run.id[:12]} did not record whether its tree was clean",
            hint="record a run in a clone of the repository, with git installed, and promote that one",
        )
    if moved := run.provenance.moved:
        raise PromotionRefused(
            Refusal.DIRTY_TREE,
            f"{name} requires a clean tree, and run {run.id[:12]} {moved}",
            hint="check out the commit first, then train: ciplug run -- COMMAND",
        )
    if dirty:
        files = run.provenance.named_dirt()
        raise PromotionRefused(
            Refusal.DIRTY_TREE,
            f"{name} requires a clean tree, and run {run.id[:12]} was made with uncommitted changes"
            + (f": {files}" if files else ""),
            hint="commit them, or ignore files that a pipeline rewrites with `clean: {ignore: [FILE]}` in "
            "ciplug.yaml; then train again. `clean_tree: false` accepts any tree, and the registry records that",
        )
    if counted := set_aside(session, run, section):
        raise PromotionRefused(
            Refusal.SET_ASIDE,
            f"{name} requires a clean tree, and run {run.id[:12]} set files aside that differed from its commit, and "
            f"that the policy in force does not ignore: {listed(counted)}",
            hint="commit them, and train again; or add them to `clean: {ignore: [FILE]}` in ciplug.yaml",
        )
    ignored = run.provenance.ignored_files
    return f"clean tree, with changed files set aside: {listed(ignored)}" if ignored else "clean tree"


def _check_signature(session: Session, name: str, run: Run, section: str) -> str:
    commit = _commit_of(name, run, "a signed commit")
    done = run_git("verify-commit", commit, cwd=session.need_workspace().top, check=False)
    if done.returncode != 0:
        why = last_words(done.stderr) if done.stderr.strip() else "it has no signature"
        raise PromotionRefused(
            Refusal.NOT_SIGNED,
            f"{name} requires a signed commit, and git does not verify {commit[:12]}: {why}",
            hint="git decides which keys count: gpg.ssh.allowedSignersFile, or gpg's own keyring",
        )
    return f"git verifies the signature of {commit[:12]}"


_CHECKS: dict[Requirement, Callable[[Session, str, Run, str], str]] = {
    "clean_tree": _check_clean_tree,
    "signature": _check_signature,
}


class Approved(NamedTuple):
    """The approvals of a stage, all given."""

    sentences: tuple[str, ...] = ()
    actor: Account | None = None
    """Who promotes, where the stage asks for approvals and a forge confirms it."""
    pull_request: str | None = None
    """The address of the merged pull request that approved it."""


def check_approvals(session: Session, name: str, stage: Stage, run: Run, wanted: Wanted) -> Approved:
    """Return the approvals that the stage `name` requires. Raises PromotionRefused without one of them."""
    approvals = stage.approvals
    authors = _authors(session, name, run) if approvals.not_author else set()
    sentences: list[str] = []
    approved_by_others = False
    pull_request: str | None = None
    if approvals.environment:
        sentence, approved_by_others = _check_environment(session, name, approvals.environment, authors)
        sentences.append(sentence)
    if approvals.pull_request:
        merge = check_merge(session, _forge(session), approvals, wanted, authors)
        sentences.append(merge.sentence)
        pull_request = merge.url
    # Whoever approved has decided, not whoever started the job.
    if approvals.not_author and not approved_by_others and not pull_request:
        actor = _check_actor(session, name, authors)
        sentences.append(f"{actor.login} is not the author, by {actor.by}'s account")
        return Approved(tuple(sentences), actor)
    return Approved(tuple(sentences), _actor(session) if sentences else None, pull_request)


def _actor(session: Session) -> Account | None:
    """Who promotes, where a forge confirms it: where nothing depends on it, a token that may not ask is no obstacle."""
    forge = _forge(session)
    try:
        return forge.actor(session.context.run_url, in_job=session.context.host != LOCAL) if forge else None
    except ForgeError:
        return None


def _check_actor(session: Session, name: str, authors: set[str]) -> Account:
    claimed, required = session.context.actor, f"{name} must be promoted by somebody other than the author"
    forge = _forge(session)
    actor = forge.actor(session.context.run_url, in_job=session.context.host != LOCAL) if forge else None
    names = actor.known_as() if actor else {claimed.casefold()} if claimed else set()
    if names & authors:
        raise PromotionRefused(
            Refusal.ACTOR_IS_AUTHOR,
            f"{required}: {actor.login if actor else claimed} wrote the commit or trained the run",
            hint="have somebody else run the same ciplug promote",
        )
    if actor is not None:
        return actor
    hint = (
        "promote in a job of GitHub Actions with `actions: read`, or of GitLab with CIPLUG_GITLAB_TOKEN; or on a "
        "laptop with a token of your own for the forge"
    )
    if not claimed:
        raise PromotionRefused(Refusal.ACTOR_UNKNOWN, f"{required}: who promotes is unknown", hint=hint)
    raise PromotionRefused(
        Refusal.ACTOR_CLAIMED, f"{required}: no forge confirms that it is {claimed} who promotes", hint=hint
    )


def _check_environment(session: Session, name: str, environment: str, authors: set[str]) -> tuple[str, bool]:
    """Return what shows that the job may run in `environment`, and whether somebody other than the authors approved.

    What the job claims in a variable shows nothing. Raises PromotionRefused where the job runs in another one, nobody
    approved, or neither can be determined.
    """
    context = session.context
    if context.environment not in (None, environment):
        raise PromotionRefused(
            Refusal.OTHER_ENVIRONMENT,
            f"{name} requires the environment '{environment}', and this job runs in '{context.environment}'",
            hint=f"name it in the job that promotes: `environment: {environment}`",
        )
    forge = _forge(session)
    if forge and (runs_in := forge.runs_in(environment)) is not None:
        if runs_in:
            return _approved_deployment(session, name, forge, environment, authors)
        raise PromotionRefused(
            Refusal.OTHER_ENVIRONMENT,
            f"{name} requires the environment '{environment}', and the forge knows no deployment to it by this job",
            hint=f"name it in the job: `environment: {environment}`",
        )
    approvers = forge.approvers(context.run_url, environment) if forge else None
    if approvers is None:
        raise PromotionRefused(
            Refusal.ENVIRONMENT_UNKNOWN,
            f"{name} requires the environment '{environment}', and neither this job ({context.host}) nor its forge "
            "says who approved it to run there",
            hint="only GitLab and GitHub say this: GitHub needs a token with `actions: read`, GitLab "
            "CIPLUG_GITLAB_TOKEN; on other hosts, remove the key",
        )
    others = sorted(login for login in approvers if login.casefold() not in authors)
    if not others:
        who = f"only its author has given one ({', '.join(sorted(approvers))})" if approvers else "nobody has given one"
        raise PromotionRefused(
            Refusal.NOT_APPROVED,
            f"{name} requires an approval of the environment '{environment}' in this pipeline run, and {who}",
            hint="name the environment in the job, and give it required reviewers",
        )
    return f"environment {environment}, approved by {', '.join(others)}", True


def _approved_deployment(
    session: Session, name: str, forge: Forge, environment: str, authors: set[str]
) -> tuple[str, bool]:
    """As `_check_environment`, of a job that deploys to the environment: somebody approved it, or not everybody may."""
    approvers = forge.approvers(session.context.run_url, environment) or set()
    others = sorted(login for login in approvers if login.casefold() not in authors)
    if others:
        return f"environment {environment}, approved by {', '.join(others)}", True
    guarded = forge.guards(environment)
    if guarded:
        return f"environment {environment}, which GitLab protects", False
    other_way = "or require a pull request in its place: `approvals: {pull_request: promotions.yaml}`"
    if guarded is None:
        raise PromotionRefused(
            Refusal.ENVIRONMENT_UNKNOWN,
            f"{name} requires the environment '{environment}': nobody has approved this deployment, and GitLab "
            "does not tell this token whether the environment is protected",
            hint=f"give CIPLUG_GITLAB_TOKEN the role Maintainer; or let somebody approve the deployment; {other_way}",
        )
    raise PromotionRefused(
        Refusal.NOT_APPROVED,
        f"{name} requires the environment '{environment}': nobody has approved this deployment, and everybody who may "
        f"run a job may deploy to it, as GitLab does not protect it",
        hint="protect it, with approval rules if several people must agree: Settings > CI/CD > Protected environments; "
        + other_way,
    )


def _forge(session: Session) -> Forge | None:
    from ciplug.forges import NoForge

    forge = forge_of(session)
    return None if isinstance(forge, NoForge) else forge


def _authors(session: Session, name: str, run: Run) -> set[str]:
    """Names, addresses and accounts of those who wrote the commit or trained the run, in lower case.

    Raises PromotionRefused where the commit is not in this clone.
    """
    commit = _commit_of(name, run, "another author")
    shown = run_git("show", "-s", "--format=%an%n%ae%n%cn%n%ce", commit, cwd=session.need_workspace().top, check=False)
    if shown.returncode != 0:
        raise PromotionRefused(
            Refusal.AUTHOR_UNKNOWN,
            f"{name} must be promoted by someone other than the author, who is unknown: commit {commit[:12]} is not "
            "in this clone",
            hint=f"fetch it: git fetch origin {commit}",
        )
    authors = {line for line in shown.stdout.decode(errors="replace").splitlines() if line}
    authors |= {match[1] for address in authors if (match := _NO_REPLY.match(address))}
    if run.provenance.context.actor:
        authors.add(run.provenance.context.actor)
    if forge := _forge(session):
        authors |= forge.accounts(commit)
    return {author.casefold() for author in authors}


def _commit_of(name: str, run: Run, what: str) -> str:
    if run.commit is None:
        raise PromotionRefused(
            Refusal.NO_COMMIT,
            f"{name} requires {what}, and run {run.id[:12]} does not belong to a commit",
            hint="train a commit: ciplug run -- COMMAND, in a clone of the repository",
        )
    return run.commit
