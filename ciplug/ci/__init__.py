"""The CI host of this job, and the facts about the job in its environment.

To add a host: write a module with the functions of `base.Host`, and list it in HOSTS.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping

from ciplug.ci import azure, base, bitbucket, gitea, github_actions, gitlab_ci, jenkins, local
from ciplug.ci.base import Host
from ciplug.records.provenance import Context

# GitHub's merge queue creates a branch to test. Other hosts build it like any branch.
_QUEUED = re.compile(r"gh-readonly-queue/(.+)/pr-\d+-[0-9a-f]+")

# The first match counts: Gitea's runner also sets GitHub's variables, and local matches everything.
HOSTS: dict[str, Host] = {h.name: h for h in (gitea, github_actions, gitlab_ci, bitbucket, azure, jenkins, local)}


def detect(env: Mapping[str, str]) -> Context:
    """Return the host's facts about the job. `job_commit.identify` decides which of them describe the checkout."""
    host = host_of(env)
    context = dataclasses.replace(host.context(env), leg=leg_of(env.get("CIPLUG_MATRIX", "")))
    if image := base.text(env, "CIPLUG_IMAGE"):
        context = dataclasses.replace(context, image=image)
    queued = _QUEUED.fullmatch(context.branch or "")
    if queued and context.target_branch is None:
        return dataclasses.replace(context, target_branch=queued[1])
    return context


def leg_of(matrix: str) -> str | None:
    """Return the leg of a matrix as one text: `{"python": "3.12", "os": "linux"}` is `os=linux, python=3.12`.

    A text that is not JSON is a leg itself; null and what is empty are none.
    """
    try:
        legs = json.loads(matrix)
    except ValueError:
        return " ".join(matrix.split()) or None
    if not isinstance(legs, dict):
        return None if legs is None else matrix.strip()
    values = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in sorted(legs.items()))
    return ", ".join(values) or None


def host_of(env: Mapping[str, str]) -> Host:
    """The host whose job has this environment."""
    return next(host for host in HOSTS.values() if host.detect(env))


def workspace_of(env: Mapping[str, str]) -> str | None:
    """The folder that the host names as the checkout of this job; None outside of a job."""
    host = host_of(env)
    return base.text(env, host.workspace) if host.workspace else None


def host_module(name: str) -> Host:
    """The host that `Context.host` names; an unknown one counts as local."""
    return HOSTS.get(name, local)


def is_of_host(variable: str) -> bool:
    """Whether a CI host sets a variable of this name in its jobs."""
    return variable == "CI" or variable.startswith(tuple(one for host in HOSTS.values() for one in host.variables))
