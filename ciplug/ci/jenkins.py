"""Jenkins: a pipeline of a multibranch project (branches, pull requests, tags), or a plain job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ciplug.ci import base
from ciplug.ci.base import Checkout, number, place_of_remote, text
from ciplug.records.provenance import Context

name = "jenkins"
variables = (
    *("JENKINS_", "HUDSON_", "BUILD_", "CHANGE_", "BRANCH_", "JOB_", "STAGE_", "EXECUTOR_", "NODE_NAME", "NODE_LABELS"),
    *("TAG_", "WORKSPACE"),
)

_CHANGE_URL = re.compile(r"(https?://[^/]+)/(.+?)/(?:-/)?(?:pulls?|merge_requests|pull-requests)/\d+")


def detect(env: Mapping[str, str]) -> bool:
    # JENKINS_URL is missing until the server's address is configured.
    return bool(env.get("JENKINS_URL")) or env.get("BUILD_TAG", "").startswith("jenkins-")


def context(env: Mapping[str, str]) -> Context:
    """Jenkins names no event, no API of a forge, and the default branch only in its own builds.

    If Jenkins merges a pull request before the build, GIT_COMMIT is the merge: see `merged_head`. Whoever
    answered an `input` is the actor of later steps: the pipeline sets CIPLUG_APPROVER.
    """
    change, tag, built = text(env, "CHANGE_ID"), text(env, "TAG_NAME"), text(env, "GIT_COMMIT")
    server, repository = _forge(env)
    return Context(
        host=name,
        event="pull_request" if change else "tag" if tag else None,
        commit=None if change else built,
        # The merge, or the head itself where Jenkins had nothing to merge.
        merge_commit=built if change else None,
        branch=_branch(env),
        target_branch=text(env, "CHANGE_TARGET"),
        default_branch=text(env, "BRANCH_NAME") if env.get("BRANCH_IS_PRIMARY") == "true" else None,
        tag=tag,
        pull_request=number(env, "CHANGE_ID"),
        repository=repository,
        server_url=server,
        run_url=text(env, "BUILD_URL"),
        job=text(env, "JOB_NAME"),
        # Parallel branches share an agent only in workspaces of their own.
        job_id=":".join(filter(None, (text(env, "NODE_NAME"), text(env, "WORKSPACE")))) or None,
        actor=text(env, "CIPLUG_APPROVER") or text(env, "BUILD_USER_ID") or text(env, "CHANGE_AUTHOR"),
        trusted=text(env, "CHANGE_FORK") is None,
    )


def merged_head(checkout: Checkout) -> str | None:
    """Jenkins merges the target *into* the head, so the head is the first parent. A merge of a person's stays."""
    own = checkout.committer == "nobody@nowhere" and len(checkout.parents) == 2
    return checkout.parents[0] if own else None


def _branch(env: Mapping[str, str]) -> str | None:
    if text(env, "CHANGE_ID"):
        return text(env, "CHANGE_BRANCH")
    if text(env, "TAG_NAME"):
        return None
    remote_branch = env.get("GIT_BRANCH", "").removeprefix("refs/remotes/").removeprefix("origin/")
    if remote_branch == "detached":  # A plain job that builds a given commit.
        remote_branch = ""
    return text(env, "BRANCH_NAME") or text(env, "GIT_LOCAL_BRANCH") or remote_branch or None


def _forge(env: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Web address and repository of the forge: from the pull request's address, else from git's remote."""
    if match := _CHANGE_URL.match(env.get("CHANGE_URL", "")):
        return match[1], match[2]
    return place_of_remote(env.get("GIT_URL"))


def report_url(env: Mapping[str, str], file: Path) -> str | None:
    """Its address among the artifacts of the build, if they are archived."""
    top = text(env, "CIPLUG_ARCHIVED_FROM") or text(env, "WORKSPACE")
    build, path = text(env, "BUILD_URL"), base.below(top, file)
    return f"{build.rstrip('/')}/artifact/{path}" if build and path else None


def write_outputs(env: Mapping[str, str], outputs: Mapping[str, str]) -> bool:
    """Append to the file that the pipeline names in CIPLUG_OUTPUTS, for `readFile`."""
    return base.append_outputs(text(env, "CIPLUG_OUTPUTS"), outputs)


write_summary = base.no_summary
annotate = base.annotate
push_hint = base.PUSH_HINT
names_the_head = False
merges_into_head = True
target_tips = base.no_target_tips
workspace = "WORKSPACE"
advice = base.Advice(
    push="around the step: withCredentials([string(credentialsId: 'ciplug-push', variable: '{token}')]) { … }",
    variable="around the step: withCredentials([string(credentialsId: 'ciplug-comment', variable: '{name}')]) { … }",
    full_history="in the checkout: extensions: [cloneOption(shallow: false, noTags: false)]",
)
