"""What a stage requires beside its gates: a clean tree, a signed commit, somebody else's agreement."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from ciplug import git
from ciplug.errors import PromotionRefused
from ciplug.records.run import Run
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.forges.base import Forge
    from ciplug.config.stages import Stage

_NO_REPLY = re.compile(r"(?:\d+\+)?([^@]+)@users\.noreply\.")


def fulfilled(session: Session, name: str, stage: Stage, run: Run) -> tuple[str, ...]:
    """What was found, in sentences for the audit trail. Raises PromotionRefused for the first that does not hold."""
    found: list[str] = []
    for need in stage.require:
        if need == "clean_tree":
            if run.provenance.dirty is not False:
                state = "a dirty tree" if run.provenance.dirty else "a tree of which nothing is known"
                raise PromotionRefused(f"{name} requires a clean tree, and run {run.id[:12]} was made from {state}")
            found.append("clean tree")
        else:
            found.append(_signature(session, name, run))
    found += _approvals(session, name, stage, run)
    return tuple(found)


def _signature(session: Session, name: str, run: Run) -> str:
    commit = _commit(session, name, run, "a signed commit")
    done = git.git("verify-commit", commit, cwd=session.need_workspace().top, check=False)
    if done.returncode != 0:
        said = git.last_words(done.stderr) if done.stderr.strip() else "it has no signature"
        raise PromotionRefused(
            f"{name} requires a signed commit, and git does not verify {commit[:12]}: {said}",
            hint="the keys that count are git's: gpg.ssh.allowedSignersFile, or gpg's own",
        )
    return f"git verifies the signature of {commit[:12]}"


def _approvals(session: Session, name: str, stage: Stage, run: Run) -> Iterator[str]:
    asked, context = stage.approvals, session.context
    authors = _authors(session, name, run) if asked.not_author else set()
    if asked.environment:
        others = yield from _environment(session, name, asked.environment, authors)
        if others:
            # Whoever let the job into the environment has decided, not whoever started it.
            return
    if asked.not_author:
        if not context.actor:
            raise PromotionRefused(f"{name} is not for the author to decide, and it is not known who promotes")
        if context.actor.casefold() in authors:
            raise PromotionRefused(
                f"{name} is not for the author to decide: {context.actor} has written the commit or trained the run",
                hint="have somebody else promote it",
            )
        yield f"{context.actor} is not the author"


def _environment(session: Session, name: str, environment: str, authors: set[str]) -> Generator[str, None, bool]:
    """Whether it is known that somebody other than the authors has let the job into its environment."""
    context = session.context
    if context.environment is not None:
        if context.environment != environment:
            raise PromotionRefused(
                f"{name} asks for the environment '{environment}', and this job runs in '{context.environment}'"
            )
        yield f"environment {environment}"
        return False
    forge = _forge(session)
    approvers = forge.approvers(context.run_url, environment) if forge else None
    if approvers is None:
        raise PromotionRefused(
            f"{name} asks for the environment '{environment}', and neither this job ({context.host}) nor its forge "
            "says who let it run there",
            hint="GitLab and GitHub do, the latter by a token with `actions: read`; elsewhere take the key out",
        )
    others = sorted(login for login in approvers if login.casefold() not in authors)
    if not others:
        who = f"only its author has ({', '.join(sorted(approvers))})" if approvers else "nobody has"
        raise PromotionRefused(
            f"{name} asks for an approval of the environment '{environment}' in this run, and {who}",
            hint="name the environment in the job, and give it required reviewers",
        )
    yield f"environment {environment}, approved by {', '.join(others)}"
    return True


def _forge(session: Session) -> Forge | None:
    from ciplug.forges import open_forge

    return open_forge(session.context, session.env, session.remote_url)


def _authors(session: Session, name: str, run: Run) -> set[str]:
    """Names, addresses and accounts of who wrote the commit and who trained the run, in lower case."""
    commit = _commit(session, name, run, "another author")
    shown = git.git("show", "-s", "--format=%an%n%ae%n%cn%n%ce", commit, cwd=session.need_workspace().top, check=False)
    if shown.returncode != 0:
        raise PromotionRefused(
            f"{name} is not for the author to decide, and commit {commit[:12]} is not in this clone: "
            "its author is not known",
            hint=f"fetch it: git fetch origin {commit}",
        )
    found = {line for line in shown.stdout.decode(errors="replace").splitlines() if line}
    found |= {match[1] for address in found if (match := _NO_REPLY.match(address))}
    if run.provenance.context.actor:
        found.add(run.provenance.context.actor)
    if session.context.host == "github_actions" and (forge := _forge(session)):
        found |= forge.accounts(commit)
    return {author.casefold() for author in found}


def _commit(session: Session, name: str, run: Run, what: str) -> str:
    if run.commit is None:
        raise PromotionRefused(f"{name} requires {what}, and run {run.id[:12]} is of no commit")
    return run.commit
