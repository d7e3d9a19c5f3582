"""The policy that a recorded verdict was made by, as the commits of this repository have it.

The log of a model names the commit of that policy. A repository that lacks it, or has another policy there, did not
judge: another one did, and its gates are no gates of this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ciplug.config.stages import Stage
from ciplug.errors import CiplugError, GitError, GitKind
from ciplug.git.branch_files import Tree, tree_of_commit
from ciplug.git.commits import commit_named, has_commit
from ciplug.records.registry_event import Promote
from ciplug.records.verdict import Verdict
from ciplug.registry.evidence_chain import Finding, Link, policy_faults
from ciplug.steps.committed_settings import settings_in
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session
from ciplug.stores import DEFAULT_URI

_NOT_THERE = frozenset({GitKind.UNKNOWN_OBJECT, GitKind.NO_REF, GitKind.MISSING_OBJECTS})
"""What a remote answers that has no such commit."""


@dataclass(frozen=True)
class JudgedPolicy:
    """A policy in a commit of this repository."""

    file: str
    commit: str
    digest: str
    rules: Stage | None
    """Its rules for the stage that was asked about."""


class PolicyUnknown(GitError):
    """The commit of a policy is not in this clone, and the remote could not be asked for it."""


def judged_policy(
    session: Session, verdict: Verdict, model: str, stage: str, *, fetch: bool = False
) -> JudgedPolicy | None:
    """The policy of a verdict in a commit that it names, or in HEAD if that has the very same one.

    Where none has it, the one that stands in the commit that the verdict names; None where this repository has no
    such commit.

    Args:
        model: the registered name that the verdict was used for.
        fetch: ask the remote for a commit that this clone lacks. Raises PolicyUnknown where it cannot be asked.
    """
    named = _named_commits(verdict)
    found = list(filter(None, (_policy_in(session, verdict, commit, model, stage) for commit in named)))
    if same := _same(found, verdict):
        return same
    workspace = session.workspace
    head = commit_named(workspace.top, "HEAD") if workspace else None
    if head and (same := _same([_policy_in(session, verdict, head, model, stage)], verdict)):
        return same
    for commit in named if fetch else ():
        if workspace and not has_commit(workspace.top, commit):
            found += filter(None, [_policy_in(session, verdict, commit, model, stage, fetch=True)])
    return _same(found, verdict) or next(iter(found), None)


def policy_finding(
    session: Session,
    model: str,
    promotion: Promote,
    verdict: Verdict,
    facts: Mapping[str, Any],
    *,
    fetch: bool = False,
) -> Finding:
    """What is wrong with the policy that the verdict of a promotion was made by, if anything is.

    Args:
        facts: what else the words of a finding name: the number of the `event`.
        fetch: as for `judged_policy`. Raises PolicyUnknown.
    """
    policy = judged_policy(session, verdict, model, promotion.stage, fetch=fetch)
    commit = policy.commit if policy else verdict.policy_commit or verdict.commit or ""
    of_policy = {"policy": verdict.policy_digest, "file": verdict.policy_file, "commit": commit[:12]}
    return Finding(
        link=Link.POLICY,
        fault=next(policy_faults(promotion, verdict, policy.digest if policy else None), None),
        facts={**facts, **of_policy, "verdict": promotion.verdict},
    )


def judges_here(session: Session, section: str, stage: str) -> bool:
    """Whether versions come into a stage of this session's registry by the policy of this repository.

    The store that a command names for itself with --store can be that of another repository.
    """
    given, own = session.options.store, session.env.get("CIPLUG_STORE") or session.config.store or DEFAULT_URI
    return session.workspace is not None and given in (None, own) and stage in session.config.gated_stages(section)


def _named_commits(verdict: Verdict) -> list[str]:
    # Without a branch it was read in a checkout, whose commit may never have been pushed: the run's may have it, too.
    commits = [verdict.policy_commit, None if verdict.policy_branch else verdict.commit]
    return list(dict.fromkeys(filter(None, commits)))


def _same(found: Iterable[JudgedPolicy | None], verdict: Verdict) -> JudgedPolicy | None:
    return next((policy for policy in found if policy and policy.digest == verdict.policy_digest), None)


def _policy_in(
    session: Session, verdict: Verdict, commit: str, model: str, stage: str, *, fetch: bool = False
) -> JudgedPolicy | None:
    workspace = session.workspace
    if workspace is None:
        return None
    tree = _fetched(session, commit) if fetch else Tree(workspace, workspace.top, commit, session.env)
    if tree is None:
        return None
    try:
        settings = settings_in(tree, Path(verdict.policy_file), commit[:8])
        if settings is None:
            return None
        own = settings[0].names(model) and settings[0].gated_stages(model)
        section = model if own else verdict.model
        in_force = read_policies(session).in_force(settings[0], verdict.policy_source, section)
    except CiplugError:
        return None
    if in_force is None:
        return None
    return JudgedPolicy(verdict.policy_file, commit, in_force.digest, in_force.policy.stages.get(stage.lower()))


def _fetched(session: Session, commit: str) -> Tree | None:
    """A commit of the remote; None where it has none of that id. Raises PolicyUnknown where it does not answer."""
    workspace = session.need_workspace()
    if not workspace.remotes:
        return None
    if session.offline:
        raise PolicyUnknown(f"commit {commit[:12]} is not in this clone")
    try:
        return tree_of_commit(workspace, commit, session.env)
    except GitError as problem:
        if problem.kind in _NOT_THERE:
            return None
        raise PolicyUnknown(
            f"commit {commit[:12]} is not in this clone, and cannot be fetched: {problem.message}", kind=problem.kind
        ) from None
