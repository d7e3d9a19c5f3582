"""Find the commit of this job, from the CI host and the git checkout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ciplug import ci
from ciplug.ci.base import Checkout
from ciplug.ci.job_commit import Identity, identify
from ciplug.git import commits, published_commits
from ciplug.git.workspace import Workspace, discover
from ciplug.records.provenance import Context, PublishedAt


def job_in(cwd: Path, env: Mapping[str, str]) -> Context:
    """The facts about the job of this environment and folder. Raises GitError for a repository that git refuses."""
    workspace = discover(cwd, ci.workspace_of(env))
    return context_of(env, workspace, identity_of(env, workspace, keeps_own_runs=True))


def identity_of(env: Mapping[str, str], workspace: Workspace | None, *, keeps_own_runs: bool) -> Identity | None:
    """Return the job's identity. The remote is contacted only if HEAD is not the commit that the CI host names."""
    if workspace is None:
        return None
    claim = ci.detect(env)
    host = ci.host_module(claim.host)
    return identify(
        claim,
        _checkout(workspace, of_host=claim.host != "local"),
        merged_head=host.merged_head,
        target_tips=host.target_tips(env),
        merges_into_head=host.merges_into_head,
        remote=_Remote(workspace, env),
        keeps_own_runs=keeps_own_runs,
    )


@dataclass(frozen=True)
class _Remote:
    """The remote of a checkout, asked through git."""

    workspace: Workspace
    env: Mapping[str, str]

    def published(self) -> PublishedAt:
        head = self.workspace.head
        return published_commits.published_at(self.workspace, head, self.env) if head else PublishedAt()

    def is_tip(self, commit: str, refs: Sequence[str]) -> bool:
        return published_commits.is_tip(self.workspace, commit, refs, self.env)

    def is_on_branch(self, commit: str, branch: str) -> bool:
        return published_commits.is_on_branch(self.workspace, commit, branch, self.env)


def _checkout(workspace: Workspace, *, of_host: bool) -> Checkout:
    """Return git's facts about HEAD; its parents only if a CI host may have created it."""
    parents, committer = commits.origin_of(workspace) if of_host else ((), "")
    remotes = workspace.remotes
    remote = remotes.get("origin") or next(iter(remotes.values()), None)
    return Checkout(workspace.head, parents, committer, workspace.branch, remote)


def context_of(env: Mapping[str, str], workspace: Workspace | None, identity: Identity | None) -> Context:
    """The job, completed by what the checkout knows."""
    if workspace is None or identity is None:
        return ci.detect(env)
    context = identity.context
    return replace(context, actor=context.actor or workspace.setting("user.email") or workspace.setting("user.name"))
