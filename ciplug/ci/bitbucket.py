"""Bitbucket Pipelines: the default variables of a step."""

from __future__ import annotations

from collections.abc import Mapping

from ciplug.ci import base
from ciplug.ci.base import append_outputs, number, text
from ciplug.records.provenance import Context

name = "bitbucket"
variables = ("BITBUCKET_",)
push_hint = (
    "a step may push with the credentials of its checkout, unless a branch restriction forbids it; "
    "else set CIPLUG_PUSH_TOKEN to a repository access token with scope repository:write"
)

_SERVER = "https://bitbucket.org"


def detect(env: Mapping[str, str]) -> bool:
    return bool(env.get("BITBUCKET_BUILD_NUMBER"))


def context(env: Mapping[str, str]) -> Context:
    """A push, a schedule and a start by hand look the same here, so their event stays unknown.

    A pull request's pipeline runs for branches of the same repository only: a fork has its own pipelines. The
    step merges the destination into the checkout; BITBUCKET_COMMIT stays the head of the pull request.
    """
    repository, build = text(env, "BITBUCKET_REPO_FULL_NAME"), text(env, "BITBUCKET_BUILD_NUMBER")
    change, tag = number(env, "BITBUCKET_PR_ID"), text(env, "BITBUCKET_TAG")
    return Context(
        host=name,
        event="pull_request" if change is not None else "tag" if tag else None,
        commit=text(env, "BITBUCKET_COMMIT"),
        branch=text(env, "BITBUCKET_BRANCH"),
        target_branch=text(env, "BITBUCKET_PR_DESTINATION_BRANCH"),
        tag=tag,
        pull_request=change,
        repository=repository,
        server_url=_SERVER,
        run_url=f"{_SERVER}/{repository}/pipelines/results/{build}" if repository and build else None,
        actor=text(env, "BITBUCKET_STEP_TRIGGERER_UUID"),
    )


def target_tips(env: Mapping[str, str]) -> tuple[str, ...]:
    tip = text(env, "BITBUCKET_PR_DESTINATION_COMMIT")
    return (tip,) if tip else ()


def write_outputs(env: Mapping[str, str], outputs: Mapping[str, str]) -> bool:
    """Append to the step's shared variables, ; later steps see those that the step lists in `output-variables`."""
    return append_outputs(text(env, "BITBUCKET_PIPELINES_VARIABLES_PATH"), outputs)


report_url = base.no_report_url
write_summary = base.no_summary
annotate = base.annotate
names_the_head = True
merges_into_head = True
merged_head = base.second_parent
workspace = "BITBUCKET_CLONE_DIR"
advice = base.Advice(
    push="Repository settings > Repository variables: {token}, an access token with repository:write",
    variable="Repository settings > Repository variables: {name}",
    full_history="in the step: clone: {depth: full}",
)
