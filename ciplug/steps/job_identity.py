"""Find the commit of this job, from the CI host and the git checkout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ciplug import ci
from ciplug.ci.base import Checkout
from ciplug.ci.identity import Identity, Published, identify
from ciplug.git import commits
from ciplug.git.published import places_of
from ciplug.git.workspace import Workspace
from ciplug.records.provenance import Context


def identity_of(env: Mapping[str, str], workspace: Workspace | None, *, keeps_own_runs: bool) -> Identity | None:
    """Return the job's identity. The remote is contacted only if HEAD is not the commit that the CI host names."""
    if workspace is None:
        return None
    claim, head = ci.detect(env), workspace.head
    return identify(
        claim,
        _checkout(workspace, of_host=claim.host != "local"),
        merged_head=ci.host_module(claim.host).merged_head,
        published=lambda: Published(*places_of(workspace, head, env)) if head else Published(),
        keeps_own_runs=keeps_own_runs,
    )


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
