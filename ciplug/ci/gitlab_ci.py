"""GitLab CI/CD: its predefined variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ciplug.ci import base
from ciplug.ci.base import number, text
from ciplug.records.provenance import Context

name = "gitlab_ci"
variables = ("CI_", "GITLAB_")


def detect(env: Mapping[str, str]) -> bool:
    return env.get("GITLAB_CI") == "true"


def context(env: Mapping[str, str]) -> Context:
    """A pipeline for a pull request on GitHub, in a project that mirrors it, has no merge request.

    The number of the pull request is GitHub's, so it stays unknown here; the target branch is known.
    """
    built = text(env, "CI_COMMIT_SHA")
    # Set in merged-results pipelines and merge trains only, where CI_COMMIT_SHA is a merge commit.
    head = text(env, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or built
    return Context(
        host=name,
        event=text(env, "CI_PIPELINE_SOURCE"),
        commit=head,
        merge_commit=built if built != head else None,
        branch=text(env, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME") or text(env, "CI_COMMIT_BRANCH"),
        target_branch=text(env, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
        or text(env, "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME"),
        default_branch=text(env, "CI_DEFAULT_BRANCH"),
        tag=text(env, "CI_COMMIT_TAG"),
        environment=text(env, "CI_ENVIRONMENT_NAME"),
        pull_request=number(env, "CI_MERGE_REQUEST_IID"),
        # The project that holds the merge request: a fork's pipeline may run in the fork.
        repository=text(env, "CI_MERGE_REQUEST_PROJECT_PATH") or text(env, "CI_PROJECT_PATH"),
        server_url=text(env, "CI_SERVER_URL"),
        api_url=text(env, "CI_API_V4_URL"),
        run_url=text(env, "CI_PIPELINE_URL"),
        job=text(env, "CI_JOB_NAME"),
        image=text(env, "CI_JOB_IMAGE"),
        actor=text(env, "GITLAB_USER_LOGIN"),
        trusted=_trusted(env),
    )


def _trusted(env: Mapping[str, str]) -> bool:
    """Whether source, target and running project of a merge request are the same; False if one is unknown."""
    if text(env, "CI_EXTERNAL_PULL_REQUEST_IID") is not None:
        source = text(env, "CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY")
        return source is not None and source == text(env, "CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY")
    if text(env, "CI_MERGE_REQUEST_IID") is None:
        return True
    here = text(env, "CI_PROJECT_ID")
    source = text(env, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID")
    target = text(env, "CI_MERGE_REQUEST_PROJECT_ID") or here
    return source is not None and source == here == target


def target_tips(env: Mapping[str, str]) -> tuple[str, ...]:
    """Set in merged-results pipelines and merge trains only."""
    tip = text(env, "CI_MERGE_REQUEST_TARGET_BRANCH_SHA")
    return (tip,) if tip else ()


def report_url(env: Mapping[str, str], file: Path) -> str | None:
    """Its address among the artifacts of the job, if they are kept."""
    job, path = text(env, "CI_JOB_URL"), base.below(text(env, "CI_PROJECT_DIR"), file)
    return f"{job}/artifacts/file/{path}" if job and path else None


write_summary = base.no_summary


def write_outputs(env: Mapping[str, str], outputs: Mapping[str, str]) -> bool:
    """Append to the file that the job reports as `dotenv`, if it names one."""
    return base.append_outputs(text(env, "CIPLUG_OUTPUTS"), outputs)


annotate = base.annotate
push_hint = (
    "a job token may push once Settings > CI/CD > Job token permissions > 'Allow Git push requests' is on; "
    "else set CIPLUG_PUSH_TOKEN to a project access token with write_repository"
)
names_the_head = True
merges_into_head = False
merged_head = base.second_parent
workspace = "CI_PROJECT_DIR"
advice = base.Advice(
    push="Settings > CI/CD > Variables: {token}, a project access token, role Developer, scope write_repository; "
    "or Settings > CI/CD > Job token permissions: 'Allow Git push requests to the repository'",
    variable="Settings > CI/CD > Variables: {name}",
    full_history="in the job: variables: {GIT__DEPTH: 0}",
)
