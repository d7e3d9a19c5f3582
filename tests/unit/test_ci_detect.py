"""Environments of real jobs, and the whole of what is read out of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ciplug import ci
from ciplug.ci import github_actions
from ciplug.records.provenance import Context

HEAD = "1" * 40
MERGE = "2" * 40
BASE = "3" * 40
QUEUE = f"gh-readonly-queue/main/pr-5-{BASE}"
"""The branch that GitHub's merge queue makes for a pull request, on top of BASE."""

Env = dict[str, str]

GITHUB: Env = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_ACTOR": "ada",
    "GITHUB_TRIGGERING_ACTOR": "ada",
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_BASE_REF": "",
    "GITHUB_HEAD_REF": "",
    "GITHUB_JOB": "train",
    "GITHUB_REPOSITORY": "acme/wine",
    "GITHUB_RUN_ID": "901",
    "GITHUB_RUN_NUMBER": "17",
    "GITHUB_SERVER_URL": "https://github.com",
}
GITHUB_CONTEXT: dict[str, Any] = {
    "host": "github_actions",
    "repository": "acme/wine",
    "server_url": "https://github.com",
    "api_url": "https://api.github.com",
    "run_url": "https://github.com/acme/wine/actions/runs/901",
    "default_branch": "main",
    "job": "train",
    "actor": "ada",
}
REPOSITORY = {"full_name": "acme/wine", "default_branch": "main"}


def pull_request(head_repository: str | None, **more: object) -> dict[str, Any]:
    repo = None if head_repository is None else {"full_name": head_repository}
    head = {"ref": "faster", "sha": HEAD, "repo": repo}
    base = {"ref": "main", "sha": BASE, "repo": {"full_name": "acme/wine"}}
    return {"pull_request": {"number": 5, "head": head, "base": base}, "repository": REPOSITORY, **more}


GITHUB_PR: Env = {
    "GITHUB_EVENT_NAME": "pull_request",
    "GITHUB_SHA": MERGE,
    "GITHUB_REF": "refs/pull/5/merge",
    "GITHUB_REF_NAME": "5/merge",
    "GITHUB_REF_TYPE": "branch",
    "GITHUB_HEAD_REF": "faster",
    "GITHUB_BASE_REF": "main",
}
GITHUB_PR_CONTEXT: dict[str, Any] = {
    "event": "pull_request",
    "commit": HEAD,
    "merge_commit": MERGE,
    "branch": "faster",
    "target_branch": "main",
    "pull_request": 5,
}


def on(ref: str, kind: str = "branch", **more: str) -> Env:
    return {"GITHUB_SHA": HEAD, "GITHUB_REF_NAME": ref, "GITHUB_REF_TYPE": kind, **more}


GITHUB_CASES: dict[str, tuple[Env, dict[str, Any], dict[str, Any]]] = {
    "push": (
        on("main", GITHUB_EVENT_NAME="push", GITHUB_REF="refs/heads/main"),
        {"ref": "refs/heads/main", "repository": REPOSITORY},
        {"event": "push", "commit": HEAD, "branch": "main"},
    ),
    "pull request of a branch": (GITHUB_PR, pull_request("acme/wine"), GITHUB_PR_CONTEXT),
    "pull request of a branch, other letters": (GITHUB_PR, pull_request("Acme/Wine"), GITHUB_PR_CONTEXT),
    "pull request of a fork": (
        GITHUB_PR,
        pull_request("mallory/wine"),
        {**GITHUB_PR_CONTEXT, "trusted": False},
    ),
    "pull request of a deleted fork": (GITHUB_PR, pull_request(None), {**GITHUB_PR_CONTEXT, "trusted": False}),
    "pull_request_target of a fork": (
        {**GITHUB_PR, "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_SHA": BASE, "GITHUB_REF_NAME": "main"},
        pull_request("mallory/wine"),
        {**GITHUB_PR_CONTEXT, "event": "pull_request_target", "merge_commit": None, "trusted": False},
    ),
    "review of a pull request": (
        {**GITHUB_PR, "GITHUB_EVENT_NAME": "pull_request_review", "GITHUB_HEAD_REF": "", "GITHUB_BASE_REF": ""},
        pull_request("acme/wine"),
        {**GITHUB_PR_CONTEXT, "event": "pull_request_review"},
    ),
    "pull request that was merged": (
        {**GITHUB_PR, "GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"},
        pull_request("acme/wine", action="closed"),
        {"event": "pull_request", "commit": MERGE, "branch": "main"},
    ),
    "comment on a pull request": (
        on("main", GITHUB_EVENT_NAME="issue_comment", GITHUB_REF="refs/heads/main"),
        {"issue": {"number": 5, "pull_request": {}}, "comment": {"body": "/retrain"}, "repository": REPOSITORY},
        {"event": "issue_comment", "commit": HEAD, "branch": "main"},
    ),
    "pull request, run again by another": (
        {**GITHUB_PR, "GITHUB_TRIGGERING_ACTOR": "bob"},
        pull_request("acme/wine", action="synchronize"),
        {**GITHUB_PR_CONTEXT, "actor": "bob"},
    ),
    "pull request without its payload": (
        GITHUB_PR,
        {},
        {**GITHUB_PR_CONTEXT, "commit": None, "default_branch": None, "trusted": False},
    ),
    "tag": (
        on("v1.2", "tag", GITHUB_EVENT_NAME="push", GITHUB_REF="refs/tags/v1.2"),
        {"repository": REPOSITORY},
        {"event": "push", "commit": HEAD, "tag": "v1.2"},
    ),
    "release": (
        on("v1.2", "tag", GITHUB_EVENT_NAME="release", GITHUB_REF="refs/tags/v1.2"),
        {"action": "published", "release": {"tag_name": "v1.2"}, "repository": REPOSITORY},
        {"event": "release", "commit": HEAD, "tag": "v1.2"},
    ),
    "schedule": (
        on("main", GITHUB_EVENT_NAME="schedule"),
        {"schedule": "0 4 * * *", "repository": REPOSITORY},
        {"event": "schedule", "commit": HEAD, "branch": "main"},
    ),
    "workflow_dispatch, run again by another": (
        on("faster", GITHUB_EVENT_NAME="workflow_dispatch", GITHUB_TRIGGERING_ACTOR="bob"),
        {"inputs": {"stage": "Production"}, "repository": REPOSITORY},
        {"event": "workflow_dispatch", "commit": HEAD, "branch": "faster", "actor": "bob"},
    ),
    "schedule in a fork": (
        on("main", GITHUB_EVENT_NAME="schedule", GITHUB_REPOSITORY="mallory/wine"),
        {"schedule": "0 4 * * *", "repository": {"full_name": "mallory/wine", "default_branch": "main", "fork": True}},
        {
            "event": "schedule",
            "commit": HEAD,
            "branch": "main",
            "repository": "mallory/wine",
            "run_url": "https://github.com/mallory/wine/actions/runs/901",
        },
    ),
    "workflow_dispatch on a tag": (
        on("v1.2", "tag", GITHUB_EVENT_NAME="workflow_dispatch", GITHUB_REF="refs/tags/v1.2"),
        {"inputs": None, "repository": REPOSITORY},
        {"event": "workflow_dispatch", "commit": HEAD, "tag": "v1.2"},
    ),
    "workflow_run": (
        on("main", GITHUB_EVENT_NAME="workflow_run"),
        {"workflow_run": {"id": 900, "event": "pull_request", "head_sha": MERGE}, "repository": REPOSITORY},
        {"event": "workflow_run", "commit": HEAD, "branch": "main"},
    ),
    "merge queue": (
        on(QUEUE, GITHUB_EVENT_NAME="merge_group"),
        {"merge_group": {"head_sha": HEAD, "base_ref": "refs/heads/main"}, "repository": REPOSITORY},
        {"event": "merge_group", "commit": HEAD, "branch": QUEUE, "target_branch": "main"},
    ),
    "merge queue, taken for a push": (
        on(QUEUE, GITHUB_EVENT_NAME="push", GITHUB_REF=f"refs/heads/{QUEUE}"),
        {"ref": f"refs/heads/{QUEUE}", "repository": REPOSITORY},
        {"event": "push", "commit": HEAD, "branch": QUEUE, "target_branch": "main"},
    ),
    "merge queue of a branch with a slash": (
        on(QUEUE.replace("main", "release/1.x"), GITHUB_EVENT_NAME="push"),
        {"repository": REPOSITORY},
        {
            "event": "push",
            "commit": HEAD,
            "branch": QUEUE.replace("main", "release/1.x"),
            "target_branch": "release/1.x",
        },
    ),
    "pull request on Enterprise": (
        {
            **GITHUB_PR,
            "GITHUB_API_URL": "https://github.acme.org/api/v3",
            "GITHUB_SERVER_URL": "https://github.acme.org",
        },
        pull_request("acme/wine"),
        {
            **GITHUB_PR_CONTEXT,
            "api_url": "https://github.acme.org/api/v3",
            "server_url": "https://github.acme.org",
            "run_url": "https://github.acme.org/acme/wine/actions/runs/901",
        },
    ),
}


@pytest.mark.parametrize("case", GITHUB_CASES)
def test_github_actions(case: str, tmp_path: Path) -> None:
    env, payload, expected = GITHUB_CASES[case]
    event = tmp_path / "event.json"
    event.write_text(json.dumps(payload))
    assert ci.detect({**GITHUB, **env, "GITHUB_EVENT_PATH": str(event)}) == Context(**(GITHUB_CONTEXT | expected))


@pytest.mark.parametrize(
    "content", [None, b"", b"no json", b"[]", b"[" * 100_000, b"\xff", b'{"repository": 3, "pull_request": []}']
)
def test_github_actions_with_an_unreadable_payload_knows_less(content: bytes | None, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    if content is not None:
        event.write_bytes(content)
    env = GITHUB | on("main", GITHUB_EVENT_NAME="push") | {"GITHUB_EVENT_PATH": str(event)}
    expected = {**GITHUB_CONTEXT, "default_branch": None, "event": "push", "commit": HEAD, "branch": "main"}
    assert ci.detect(env) == Context(**expected)


def test_github_actions_payload_of_any_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": REPOSITORY}))
    env = {"GITHUB_EVENT_PATH": str(event)}
    assert github_actions.event_payload(env)
    monkeypatch.setattr(github_actions, "MAX_EVENT_BYTES", 10)
    assert github_actions.event_payload(env) == {}


def test_github_actions_triggering_run(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    env = {"GITHUB_EVENT_PATH": str(event)}
    run: dict[str, Any] = {"id": 900, "event": "pull_request", "head_sha": HEAD, "head_branch": "faster"}
    event.write_text(json.dumps({"workflow_run": {**run, "head_repository": {"full_name": "mallory/wine"}}}))
    assert github_actions.triggering_run(env) == github_actions.TriggeringRun(
        id=900, event="pull_request", head_commit=HEAD, head_branch="faster", head_repository="mallory/wine"
    )
    event.write_text(json.dumps({"workflow_run": {**run, "id": "900"}}))
    assert github_actions.triggering_run(env) is None
    assert github_actions.triggering_run({}) is None


GITEA: Env = {
    **GITHUB,
    "GITEA_ACTIONS": "true",
    "GITHUB_API_URL": "https://codeberg.org/api/v1",
    "GITHUB_SERVER_URL": "https://codeberg.org",
}
GITEA_CONTEXT: dict[str, Any] = {
    **GITHUB_CONTEXT,
    "host": "gitea",
    "server_url": "https://codeberg.org",
    "api_url": "https://codeberg.org/api/v1",
    "run_url": "https://codeberg.org/acme/wine/actions/runs/17?by_index=1",
}
# It checks the head of a pull request out, not a merge.
GITEA_PR: Env = {**GITHUB_PR, "GITHUB_SHA": HEAD, "GITHUB_REF": "refs/pull/5/head", "GITHUB_REF_NAME": "5/head"}
GITEA_PR_CONTEXT: dict[str, Any] = {**GITHUB_PR_CONTEXT, "merge_commit": None}
GITEA_CASES: dict[str, tuple[Env, dict[str, Any], dict[str, Any]]] = {
    "push": (
        on("main", GITHUB_EVENT_NAME="push", GITHUB_REF="refs/heads/main"),
        {"ref": "refs/heads/main", "repository": REPOSITORY},
        {"event": "push", "commit": HEAD, "branch": "main"},
    ),
    "pull request of a branch": (GITEA_PR, pull_request("acme/wine"), GITEA_PR_CONTEXT),
    "pull request of a branch in Forgejo": (
        {**GITEA_PR, "GITEA_ACTIONS": "", "FORGEJO_ACTIONS": "true"},
        pull_request("acme/wine"),
        GITEA_PR_CONTEXT,
    ),
    "pull request of a branch in Forgejo, which says that it is Gitea too": (
        {**GITEA_PR, "FORGEJO_ACTIONS": "true"},
        pull_request("acme/wine"),
        GITEA_PR_CONTEXT,
    ),
    "pull request of a fork": (GITEA_PR, pull_request("mallory/wine"), {**GITEA_PR_CONTEXT, "trusted": False}),
    "pull request of a deleted fork": (GITEA_PR, pull_request(None), {**GITEA_PR_CONTEXT, "trusted": False}),
    "pull request pushed to refs/for/main, by whoever may read": (
        {**GITEA_PR, "GITHUB_HEAD_REF": "refs/pull/5/head"},
        pull_request("acme/wine"),
        {**GITEA_PR_CONTEXT, "branch": None, "trusted": False},
    ),
    "pull_request_target of a fork": (
        on("main", **{**GITEA_PR, "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_SHA": BASE}),
        pull_request("mallory/wine"),
        {**GITEA_PR_CONTEXT, "event": "pull_request_target", "trusted": False},
    ),
    "push, run again by another": (
        on("main", GITHUB_EVENT_NAME="push", GITHUB_TRIGGERING_ACTOR="bob"),
        {"repository": REPOSITORY},
        {"event": "push", "commit": HEAD, "branch": "main", "actor": "bob"},
    ),
    "below a path, which ends in a slash": (
        on(
            "main",
            GITHUB_EVENT_NAME="push",
            GITHUB_API_URL="https://acme.org/git/api/v1",
            GITHUB_SERVER_URL="https://acme.org/git/",
            GITHUB_TRIGGERING_ACTOR="",
        ),
        {"repository": REPOSITORY},
        {
            "event": "push",
            "commit": HEAD,
            "branch": "main",
            "api_url": "https://acme.org/git/api/v1",
            "server_url": "https://acme.org/git",
            "run_url": "https://acme.org/git/acme/wine/actions/runs/17?by_index=1",
        },
    ),
    "tag": (
        on("v1.2", "tag", GITHUB_EVENT_NAME="push", GITHUB_REF="refs/tags/v1.2"),
        {"repository": REPOSITORY},
        {"event": "push", "commit": HEAD, "tag": "v1.2"},
    ),
    "schedule": (
        on("main", GITHUB_EVENT_NAME="schedule"),
        {"schedule": "0 4 * * *", "repository": REPOSITORY},
        {"event": "schedule", "commit": HEAD, "branch": "main"},
    ),
    "workflow_dispatch": (
        on("faster", GITHUB_EVENT_NAME="workflow_dispatch"),
        {"inputs": {}, "repository": REPOSITORY},
        {"event": "workflow_dispatch", "commit": HEAD, "branch": "faster"},
    ),
}


@pytest.mark.parametrize("case", GITEA_CASES)
def test_gitea_and_forgejo_actions(case: str, tmp_path: Path) -> None:
    env, payload, expected = GITEA_CASES[case]
    event = tmp_path / "event.json"
    event.write_text(json.dumps(payload))
    assert ci.detect({**GITEA, **env, "GITHUB_EVENT_PATH": str(event)}) == Context(**(GITEA_CONTEXT | expected))


GITLAB: Env = {
    "CI": "true",
    "GITLAB_CI": "true",
    "CI_API_V4_URL": "https://gitlab.com/api/v4",
    "CI_COMMIT_SHA": HEAD,
    "CI_DEFAULT_BRANCH": "main",
    "CI_JOB_NAME": "train",
    "CI_PIPELINE_ID": "77001",
    "CI_PIPELINE_URL": "https://gitlab.com/acme/ml/wine/-/pipelines/77001",
    "CI_PROJECT_ID": "42",
    "CI_PROJECT_PATH": "acme/ml/wine",
    "CI_SERVER_URL": "https://gitlab.com",
    "GITLAB_USER_LOGIN": "ada",
}
GITLAB_CONTEXT: dict[str, Any] = {
    "host": "gitlab_ci",
    "commit": HEAD,
    "repository": "acme/ml/wine",
    "server_url": "https://gitlab.com",
    "api_url": "https://gitlab.com/api/v4",
    "run_url": "https://gitlab.com/acme/ml/wine/-/pipelines/77001",
    "default_branch": "main",
    "job": "train",
    "actor": "ada",
}
GITLAB_MR: Env = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_COMMIT_REF_NAME": "faster",
    "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
    "CI_MERGE_REQUEST_ID": "880055",
    "CI_MERGE_REQUEST_IID": "5",
    "CI_MERGE_REQUEST_PROJECT_ID": "42",
    "CI_MERGE_REQUEST_PROJECT_PATH": "acme/ml/wine",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "42",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "faster",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": BASE,
}
GITLAB_MR_CONTEXT: dict[str, Any] = {
    "event": "merge_request_event",
    "branch": "faster",
    "target_branch": "main",
    "pull_request": 5,
}
GITLAB_MERGED: Env = {
    **GITLAB_MR,
    "CI_MERGE_REQUEST_EVENT_TYPE": "merged_result",
    "CI_COMMIT_SHA": MERGE,
    "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD,
}

GITLAB_MIRROR: Env = {
    "CI_PIPELINE_SOURCE": "external_pull_request_event",
    "CI_COMMIT_BRANCH": "faster",
    "CI_COMMIT_REF_NAME": "faster",
    "CI_EXTERNAL_PULL_REQUEST_IID": "5",
    "CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME": "faster",
    "CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_SHA": HEAD,
    "CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY": "acme/wine",
    "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA": BASE,
    "CI_EXTERNAL_PULL_REQUEST_TARGET_REPOSITORY": "acme/wine",
}

GITLAB_CASES: dict[str, tuple[Env, dict[str, Any]]] = {
    "branch": (
        {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_REF_NAME": "main"},
        {"event": "push", "branch": "main"},
    ),
    "merge request, its head alone (detached)": (GITLAB_MR, GITLAB_MR_CONTEXT),
    "merged results": (GITLAB_MERGED, {**GITLAB_MR_CONTEXT, "merge_commit": MERGE}),
    "fork's merge request, run by a member in the project": (
        {**GITLAB_MERGED, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "666"},
        {**GITLAB_MR_CONTEXT, "merge_commit": MERGE, "trusted": False},
    ),
    "fork's merge request, run in the fork": (
        {
            **GITLAB_MR,
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "666",
            "CI_PROJECT_ID": "666",
            "CI_PROJECT_PATH": "mallory/wine",
        },
        {**GITLAB_MR_CONTEXT, "trusted": False},
    ),
    "merge request of a deleted project": (
        {**GITLAB_MR, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": ""},
        {**GITLAB_MR_CONTEXT, "trusted": False},
    ),
    "merge train": (
        {**GITLAB_MERGED, "CI_MERGE_REQUEST_EVENT_TYPE": "merge_train"},
        {**GITLAB_MR_CONTEXT, "merge_commit": MERGE},
    ),
    "tag": (
        {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "v1.2", "CI_COMMIT_REF_NAME": "v1.2"},
        {"event": "push", "tag": "v1.2"},
    ),
    "schedule": (
        {"CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_BRANCH": "main"},
        {"event": "schedule", "branch": "main"},
    ),
    "manual": (
        {"CI_PIPELINE_SOURCE": "web", "CI_COMMIT_BRANCH": "faster", "GITLAB_USER_LOGIN": "bob"},
        {"event": "web", "branch": "faster", "actor": "bob"},
    ),
    "child pipeline of a merge request": (
        {**GITLAB_MERGED, "CI_PIPELINE_SOURCE": "parent_pipeline"},
        {**GITLAB_MR_CONTEXT, "event": "parent_pipeline", "merge_commit": MERGE},
    ),
    "pull request on GitHub, of which this is a mirror": (
        GITLAB_MIRROR,
        {"event": "external_pull_request_event", "branch": "faster", "target_branch": "main"},
    ),
    "pull request of a fork on GitHub, of which this is a mirror": (
        {**GITLAB_MIRROR, "CI_EXTERNAL_PULL_REQUEST_SOURCE_REPOSITORY": "mallory/wine"},
        {"event": "external_pull_request_event", "branch": "faster", "target_branch": "main", "trusted": False},
    ),
    "merge queue on GitHub, of which this is a mirror": (
        {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": QUEUE},
        {"event": "push", "branch": QUEUE, "target_branch": "main"},
    ),
    "in an environment": (
        {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main", "CI_ENVIRONMENT_NAME": "production"},
        {"event": "push", "branch": "main", "environment": "production"},
    ),
    "triggered through the API": (
        {"CI_PIPELINE_SOURCE": "trigger", "CI_COMMIT_BRANCH": "main"},
        {"event": "trigger", "branch": "main"},
    ),
    "triggered by another project": (
        {"CI_PIPELINE_SOURCE": "pipeline", "CI_COMMIT_BRANCH": "main"},
        {"event": "pipeline", "branch": "main"},
    ),
    "self-managed below a path": (
        {
            "CI_PIPELINE_SOURCE": "push",
            "CI_COMMIT_BRANCH": "main",
            "CI_API_V4_URL": "https://acme.org/gitlab/api/v4",
            "CI_SERVER_URL": "https://acme.org/gitlab",
            "CI_PIPELINE_URL": "https://acme.org/gitlab/acme/ml/wine/-/pipelines/77001",
        },
        {
            "event": "push",
            "branch": "main",
            "api_url": "https://acme.org/gitlab/api/v4",
            "server_url": "https://acme.org/gitlab",
            "run_url": "https://acme.org/gitlab/acme/ml/wine/-/pipelines/77001",
        },
    ),
}


@pytest.mark.parametrize("case", GITLAB_CASES)
def test_gitlab_ci(case: str) -> None:
    env, expected = GITLAB_CASES[case]
    assert ci.detect({**GITLAB, **env}) == Context(**(GITLAB_CONTEXT | expected))


JENKINS: Env = {
    "BUILD_NUMBER": "12",
    "BUILD_TAG": "jenkins-wine-PR-5-12",
    "BUILD_URL": "https://ci.acme.org/job/wine/job/PR-5/12/",
    "GIT_COMMIT": HEAD,
    "GIT_URL": "https://github.com/acme/wine.git",
    "JENKINS_URL": "https://ci.acme.org/",
    "JOB_NAME": "wine/PR-5",
}
JENKINS_CONTEXT: dict[str, Any] = {
    "host": "jenkins",
    "commit": HEAD,
    "repository": "acme/wine",
    "server_url": "https://github.com",
    "run_url": "https://ci.acme.org/job/wine/job/PR-5/12/",
    "job": "wine/PR-5",
}
JENKINS_PR: Env = {
    "BRANCH_NAME": "PR-5",
    "CHANGE_AUTHOR": "ada",
    "CHANGE_BRANCH": "faster",
    "CHANGE_ID": "5",
    "CHANGE_TARGET": "main",
    "CHANGE_URL": "https://github.com/acme/wine/pull/5",
}
JENKINS_PR_CONTEXT: dict[str, Any] = {
    "event": "pull_request",
    # Whether GIT_COMMIT is a merge that Jenkins has made, git shows.
    "commit": None,
    "merge_commit": HEAD,
    "branch": "faster",
    "target_branch": "main",
    "pull_request": 5,
    "actor": "ada",
}

JENKINS_CASES: dict[str, tuple[Env, dict[str, Any]]] = {
    "multibranch, pull request": (JENKINS_PR, JENKINS_PR_CONTEXT),
    "multibranch, pull request of a fork": (
        {**JENKINS_PR, "CHANGE_FORK": "mallory"},
        {**JENKINS_PR_CONTEXT, "trusted": False},
    ),
    "multibranch, pull request, no GIT_COMMIT in the pipeline": (
        {**JENKINS_PR, "GIT_COMMIT": "", "GIT_URL": ""},
        {**JENKINS_PR_CONTEXT, "merge_commit": None},
    ),
    "multibranch, merge request in GitLab": (
        {**JENKINS_PR, "CHANGE_URL": "https://gitlab.acme.org/ml/team/wine/-/merge_requests/5"},
        {**JENKINS_PR_CONTEXT, "repository": "ml/team/wine", "server_url": "https://gitlab.acme.org"},
    ),
    "multibranch, pull request in Bitbucket": (
        {**JENKINS_PR, "CHANGE_URL": "https://bitbucket.org/acme/wine/pull-requests/5"},
        {**JENKINS_PR_CONTEXT, "repository": "acme/wine", "server_url": "https://bitbucket.org"},
    ),
    "multibranch, pull request in Gitea": (
        {**JENKINS_PR, "CHANGE_URL": "https://codeberg.org/acme/wine/pulls/5"},
        {**JENKINS_PR_CONTEXT, "repository": "acme/wine", "server_url": "https://codeberg.org"},
    ),
    "multibranch, default branch": (
        {"BRANCH_NAME": "main", "BRANCH_IS_PRIMARY": "true", "GIT_BRANCH": "main"},
        {"branch": "main", "default_branch": "main"},
    ),
    "multibranch, branch, by a push, a timer or by hand": ({"BRANCH_NAME": "faster"}, {"branch": "faster"}),
    "multibranch, merge queue": ({"BRANCH_NAME": QUEUE}, {"branch": QUEUE, "target_branch": "main"}),
    "multibranch, tag": ({"BRANCH_NAME": "v1.2", "TAG_NAME": "v1.2"}, {"event": "tag", "tag": "v1.2"}),
    "plain job": ({"GIT_BRANCH": "origin/main", "BUILD_USER_ID": "bob"}, {"branch": "main", "actor": "bob"}),
    "plain job, told to build a commit": ({"GIT_BRANCH": "detached"}, {}),
    "plain job, a branch checked out by name": (
        {"GIT_BRANCH": "refs/remotes/origin/feature/x", "GIT_LOCAL_BRANCH": "feature/x"},
        {"branch": "feature/x"},
    ),
    "plain job, no GIT_COMMIT in the pipeline": (
        {"GIT_COMMIT": "", "GIT_URL": ""},
        {"commit": None, "repository": None, "server_url": None},
    ),
    "multibranch, branch with a slash, in an organization's folder": (
        {"BRANCH_NAME": "feature/x", "JOB_NAME": "acme/wine/feature%2Fx"},
        {"branch": "feature/x", "job": "acme/wine/feature%2Fx"},
    ),
    "an input was answered": (
        {"BRANCH_NAME": "main", "BUILD_USER_ID": "bob", "CIPLUG_APPROVER": "grace"},
        {"branch": "main", "actor": "grace"},
    ),
    "plain job, address of Jenkins not set": ({"JENKINS_URL": "", "GIT_BRANCH": "origin/main"}, {"branch": "main"}),
    "remote by ssh": ({"GIT_URL": "git@github.com:acme/wine.git"}, {}),
    "remote by ssh with a port": (
        {"GIT_URL": "ssh://git@gitlab.acme.org:2222/ml/wine.git"},
        {"repository": "ml/wine", "server_url": "https://gitlab.acme.org"},
    ),
    "remote with a token": ({"GIT_URL": "https://x:secret@github.com/acme/wine"}, {}),
    "remote on disk": ({"GIT_URL": "/srv/git/wine.git"}, {"repository": None, "server_url": None}),
}


@pytest.mark.parametrize("case", JENKINS_CASES)
def test_jenkins(case: str) -> None:
    env, expected = JENKINS_CASES[case]
    assert ci.detect({**JENKINS, **env}) == Context(**(JENKINS_CONTEXT | expected))


BITBUCKET: Env = {
    "BITBUCKET_BUILD_NUMBER": "17",
    "BITBUCKET_COMMIT": HEAD,
    "BITBUCKET_GIT_HTTP_ORIGIN": "http://bitbucket.org/acme/wine",
    "BITBUCKET_PIPELINE_UUID": "{5a1f1d3e-0000-4000-8000-000000000001}",
    "BITBUCKET_REPO_FULL_NAME": "acme/wine",
    "BITBUCKET_REPO_SLUG": "wine",
    "BITBUCKET_STEP_TRIGGERER_UUID": "{5a1f1d3e-0000-4000-8000-00000000ada0}",
    "BITBUCKET_WORKSPACE": "acme",
    "CI": "true",
}
BITBUCKET_CONTEXT: dict[str, Any] = {
    "host": "bitbucket",
    "commit": HEAD,
    "repository": "acme/wine",
    "server_url": "https://bitbucket.org",
    "run_url": "https://bitbucket.org/acme/wine/pipelines/results/17",
    "actor": "{5a1f1d3e-0000-4000-8000-00000000ada0}",
}
BITBUCKET_CASES: dict[str, tuple[Env, dict[str, Any]]] = {
    "push, schedule, or started by hand": ({"BITBUCKET_BRANCH": "main"}, {"branch": "main"}),
    "custom pipeline of a commit": ({}, {}),
    "pull request": (
        {
            "BITBUCKET_BRANCH": "faster",
            "BITBUCKET_PR_ID": "5",
            "BITBUCKET_PR_DESTINATION_BRANCH": "main",
            "BITBUCKET_PR_DESTINATION_COMMIT": BASE[:12],
        },
        {"event": "pull_request", "branch": "faster", "target_branch": "main", "pull_request": 5},
    ),
    "tag": ({"BITBUCKET_TAG": "v1.2"}, {"event": "tag", "tag": "v1.2"}),
    "push in a fork": (
        {"BITBUCKET_BRANCH": "faster", "BITBUCKET_REPO_FULL_NAME": "mallory/wine"},
        {
            "branch": "faster",
            "repository": "mallory/wine",
            "run_url": "https://bitbucket.org/mallory/wine/pipelines/results/17",
        },
    ),
}


@pytest.mark.parametrize("case", BITBUCKET_CASES)
def test_bitbucket_pipelines(case: str) -> None:
    env, expected = BITBUCKET_CASES[case]
    assert ci.detect({**BITBUCKET, **env}) == Context(**(BITBUCKET_CONTEXT | expected))


AZURE: Env = {
    "AGENT_JOBNAME": "Job",
    "BUILD_BUILDID": "901",
    "BUILD_BUILDNUMBER": "20261104.3",
    "BUILD_REPOSITORY_NAME": "wine",
    "BUILD_REPOSITORY_PROVIDER": "TfsGit",
    "BUILD_REPOSITORY_URI": "https://acme@dev.azure.com/acme/ML%20team/_git/wine",
    "BUILD_REQUESTEDFOR": "Ada Lovelace",
    "BUILD_SOURCEVERSION": HEAD,
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/",
    "SYSTEM_JOBDISPLAYNAME": "train",
    "SYSTEM_TEAMPROJECT": "ML team",
    "TF_BUILD": "True",
}
AZURE_CONTEXT: dict[str, Any] = {
    "host": "azure",
    "commit": HEAD,
    "repository": "acme/ML%20team/_git/wine",
    "server_url": "https://dev.azure.com",
    "run_url": "https://dev.azure.com/acme/ML%20team/_build/results?buildId=901",
    "job": "train",
    "actor": "Ada Lovelace",
}
AZURE_PR: Env = {
    "BUILD_REASON": "PullRequest",
    "BUILD_SOURCEBRANCH": "refs/pull/5/merge",
    "BUILD_SOURCEBRANCHNAME": "merge",
    "BUILD_SOURCEVERSION": MERGE,
    "SYSTEM_PULLREQUEST_ISFORK": "False",
    "SYSTEM_PULLREQUEST_PULLREQUESTID": "5",
    "SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/ada/faster",
    "SYSTEM_PULLREQUEST_SOURCECOMMITID": HEAD,
    "SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/main",
}
AZURE_PR_CONTEXT: dict[str, Any] = {
    "event": "PullRequest",
    "merge_commit": MERGE,
    "branch": "ada/faster",
    "target_branch": "main",
    "pull_request": 5,
}
ON_GITHUB: Env = {
    "BUILD_REPOSITORY_NAME": "acme/wine",
    "BUILD_REPOSITORY_PROVIDER": "GitHub",
    "BUILD_REPOSITORY_URI": "https://github.com/acme/wine",
}
ON_GITHUB_CONTEXT: dict[str, Any] = {"repository": "acme/wine", "server_url": "https://github.com"}
AZURE_GITHUB_PR: Env = {
    **AZURE_PR,
    **ON_GITHUB,
    "SYSTEM_PULLREQUEST_PULLREQUESTID": "540266026",
    "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "5",
    "SYSTEM_PULLREQUEST_SOURCEBRANCH": "ada/faster",
    "SYSTEM_PULLREQUEST_TARGETBRANCH": "main",
}

AZURE_CASES: dict[str, tuple[Env, dict[str, Any]]] = {
    "push": (
        {"BUILD_REASON": "IndividualCI", "BUILD_SOURCEBRANCH": "refs/heads/main"},
        {"event": "IndividualCI", "branch": "main"},
    ),
    "push of a branch with a slash": (
        {
            "BUILD_REASON": "BatchedCI",
            "BUILD_SOURCEBRANCH": "refs/heads/ada/faster",
            "BUILD_SOURCEBRANCHNAME": "faster",
        },
        {"event": "BatchedCI", "branch": "ada/faster"},
    ),
    "tag": (
        {"BUILD_REASON": "IndividualCI", "BUILD_SOURCEBRANCH": "refs/tags/v1.2"},
        {"event": "IndividualCI", "tag": "v1.2"},
    ),
    "schedule": (
        {"BUILD_REASON": "Schedule", "BUILD_SOURCEBRANCH": "refs/heads/main"},
        {"event": "Schedule", "branch": "main"},
    ),
    "manual": (
        {"BUILD_REASON": "Manual", "BUILD_SOURCEBRANCH": "refs/heads/main"},
        {"event": "Manual", "branch": "main"},
    ),
    "pull request": (AZURE_PR, AZURE_PR_CONTEXT),
    "pull request of a fork": (
        {**AZURE_PR, "SYSTEM_PULLREQUEST_ISFORK": "True"},
        {**AZURE_PR_CONTEXT, "trusted": False},
    ),
    "pull request of nobody knows where": (
        {**AZURE_PR, "SYSTEM_PULLREQUEST_ISFORK": ""},
        {**AZURE_PR_CONTEXT, "trusted": False},
    ),
    "pull request, started by hand": (
        {
            "BUILD_REASON": "Manual",
            "BUILD_SOURCEBRANCH": "refs/pull/5/merge",
            "BUILD_SOURCEVERSION": MERGE,
            "SYSTEM_PULLREQUEST_ISFORK": "",
        },
        {"event": "Manual", "commit": None, "merge_commit": MERGE, "pull_request": 5, "trusted": False},
    ),
    "pull request, head not said": (
        {**AZURE_PR, "SYSTEM_PULLREQUEST_SOURCECOMMITID": ""},
        {**AZURE_PR_CONTEXT, "commit": None},
    ),
    "pull request on GitHub": (AZURE_GITHUB_PR, AZURE_PR_CONTEXT | ON_GITHUB_CONTEXT),
    "pull request on GitHub, of a fork": (
        {**AZURE_GITHUB_PR, "SYSTEM_PULLREQUEST_ISFORK": "True"},
        {**AZURE_PR_CONTEXT, **ON_GITHUB_CONTEXT, "trusted": False},
    ),
    "merge queue on GitHub": (
        {**ON_GITHUB, "BUILD_REASON": "IndividualCI", "BUILD_SOURCEBRANCH": f"refs/heads/{QUEUE}"},
        {**ON_GITHUB_CONTEXT, "event": "IndividualCI", "branch": QUEUE, "target_branch": "main"},
    ),
    "tag on GitHub": (
        {**ON_GITHUB, "BUILD_REASON": "IndividualCI", "BUILD_SOURCEBRANCH": "refs/tags/v1.2"},
        {**ON_GITHUB_CONTEXT, "event": "IndividualCI", "tag": "v1.2"},
    ),
    "pull request on Bitbucket": (
        {
            **AZURE_GITHUB_PR,
            "BUILD_REPOSITORY_PROVIDER": "Bitbucket",
            "BUILD_REPOSITORY_URI": "https://bitbucket.org/acme/wine.git",
            "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "",
        },
        {**AZURE_PR_CONTEXT, "repository": "acme/wine", "server_url": "https://bitbucket.org"},
    ),
    "push on GitHub Enterprise": (
        {
            "BUILD_REASON": "IndividualCI",
            "BUILD_REPOSITORY_PROVIDER": "GitHubEnterprise",
            "BUILD_REPOSITORY_URI": "https://github.acme.org:8443/acme/wine.git",
            "BUILD_SOURCEBRANCH": "refs/heads/main",
        },
        {
            "event": "IndividualCI",
            "branch": "main",
            "repository": "acme/wine",
            "server_url": "https://github.acme.org:8443",
        },
    ),
    "server of one's own, no address of the repository": (
        {
            "BUILD_REASON": "Manual",
            "BUILD_REPOSITORY_URI": "",
            "BUILD_SOURCEBRANCH": "refs/heads/main",
            "SYSTEM_COLLECTIONURI": "",
            "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI": "https://tfs.acme.org/tfs/Default/",
        },
        {
            "event": "Manual",
            "branch": "main",
            "repository": None,
            "server_url": None,
            "run_url": "https://tfs.acme.org/tfs/Default/ML%20team/_build/results?buildId=901",
        },
    ),
}


@pytest.mark.parametrize("case", AZURE_CASES)
def test_azure_pipelines(case: str) -> None:
    env, expected = AZURE_CASES[case]
    assert ci.detect({**AZURE, **env}) == Context(**(AZURE_CONTEXT | expected))


@pytest.mark.parametrize("env", [{}, {"CI": "true", "USER": "ada"}, {"GITHUB_ACTIONS": "false"}])
def test_local(env: Env) -> None:
    assert ci.detect(env) == Context(host="local")


def test_every_host_is_found_by_the_name_that_its_context_bears() -> None:
    envs = {
        "gitea": {**GITHUB, "GITEA_ACTIONS": "true"},
        "github_actions": GITHUB,
        "gitlab_ci": GITLAB,
        "bitbucket": BITBUCKET,
        "azure": AZURE,
        "jenkins": JENKINS,
        "local": {},
    }
    assert list(ci.HOSTS) == list(envs)
    for name, env in envs.items():
        assert ci.detect(env).host == name
        assert ci.host_module(name) is ci.HOSTS[name]
    assert ci.host_module("a later one") is ci.HOSTS["local"]


@pytest.mark.parametrize(
    ("matrix", "leg"),
    [
        ("", None),
        ("null", None),
        ("{}", None),
        ('{"python": "3.12", "os": "linux"}', "os=linux, python=3.12"),
        ('{"data": {"name": "a"}, "fold": 1}', 'data={"name": "a"}, fold=1'),
        (" linux ", "linux"),
        ("3.12", "3.12"),
    ],
)
def test_the_leg_of_a_matrix(matrix: str, leg: str | None) -> None:
    assert ci.detect({"CIPLUG_MATRIX": matrix}).leg == ci.leg_of(matrix) == leg


def test_jobs_of_one_attempt_that_the_host_names_alike() -> None:
    attempt = {"RUNNER_TRACKING_ID": "github_1", "GITHUB_RUN_ATTEMPT": "2"}
    found = ci.detect({"GITHUB_ACTIONS": "true", **attempt})
    assert (found.job_id, found.attempt) == ("github_1", 2)
    found = ci.detect({"JENKINS_URL": "http://j", "NODE_NAME": "agent", "WORKSPACE": "/w/wine@2"})
    assert (found.job_id, found.attempt) == ("agent:/w/wine@2", None)
