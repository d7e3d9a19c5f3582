"""The CI host of this job, and what its environment says about the job.

To add a host: write a module with the functions of `base.Host`, and list it in HOSTS.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

from ciplug.ci import azure, bitbucket, gitea, github_actions, gitlab_ci, jenkins, local
from ciplug.ci.base import Host
from ciplug.records.provenance import Context

# GitHub's merge queue creates a branch to test. Other hosts build it like any branch.
_QUEUED = re.compile(r"gh-readonly-queue/(.+)/pr-\d+-[0-9a-f]+")

# The first match counts: Gitea's runner also sets GitHub's variables, and local matches everything.
HOSTS: dict[str, Host] = {h.name: h for h in (gitea, github_actions, gitlab_ci, bitbucket, azure, jenkins, local)}


def detect(env: Mapping[str, str], *, parents: Callable[[], list[str]] | None = None) -> Context:
    """The context of the job.

    `parents` returns the parents of the checked-out commit, if it is a merge that the host made for this job,
    else nothing. It is called only if the environment does not show it (a pull request in Jenkins).
    """
    host = next(host for host in HOSTS.values() if host.detect(env))
    context = host.context(env)
    queued = _QUEUED.fullmatch(context.branch or "")
    if queued and context.target_branch is None:
        return dataclasses.replace(context, target_branch=queued[1])
    if context.host == jenkins.name and context.pull_request is not None and parents is not None:
        return jenkins.look_through_merge(context, parents())
    return context


def host_module(name: str) -> Host:
    """The host that `Context.host` names; an unknown one counts as local."""
    return HOSTS.get(name, local)
