"""The legs of a matrix, 16 processes at once in checkouts of their own: one comment in the end, with all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ciplug.reports.comment import MARKER
from tests.project import Project, git, measured
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi

pytestmark = pytest.mark.slow

LEGS = [f"leg-{number:02}" for number in range(16)]
_SECTION = "{metrics: metrics.json, gates: {accuracy: {higher_is_better: true, min: 0.8}}}"
_CONFIG = "version: 1\nmodels:\n" + "".join(f"  {leg}: {_SECTION}\n" for leg in LEGS)


@pytest.fixture
def project(tmp_path: Path, git_server: GitServer) -> Project:
    git_server.create("demo")
    project = Project.create(tmp_path / "work", remote=git_server.url("demo"), config=_CONFIG)
    project.branch("topic", {"accuracy": 0.86})
    project.push()
    return project


def run_legs(tmp_path: Path, git_server: GitServer, envs: dict[str, dict[str, str]]) -> None:
    """All legs at once; the last one's training is bad."""
    for leg in envs:
        git(tmp_path, "clone", "-q", "--depth=1", "-b", "topic", git_server.url("demo"), leg)
    bad = measured({"accuracy": 0.5})
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "ciplug", "ci", "--model", leg, "--", sys.executable, "train.py"],
            cwd=tmp_path / leg,
            env={**os.environ, **env, **(bad if leg == LEGS[-1] else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for leg, env in envs.items()
    ]
    logs = [process.communicate()[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert codes == [0] * 15 + [1], "\n".join(log for log, code in zip(logs, codes, strict=True) if code)


def assert_all_in(body: str) -> None:
    assert [leg for leg in LEGS if leg not in body] == []
    assert "1 failed" in body and "15 passed" in body


def test_on_github(tmp_path: Path, git_server: GitServer, github_api: GitHubApi, project: Project) -> None:
    granted = {"issues": "write", "statuses": "write", "pull-requests": "write"}
    github_api.add_token("job", "github-actions[bot]", app=True, permissions=granted)
    github_api.add_pull(7, branch="topic", commit=project.head)
    payload = {
        "number": 7,
        "pull_request": {
            "number": 7,
            "head": {"sha": project.head, "ref": "topic", "repo": {"full_name": "acme/demo"}},
            "base": {"sha": "b" * 40, "ref": "main", "repo": {"full_name": "acme/demo"}},
        },
        "repository": {"full_name": "acme/demo", "default_branch": "main"},
    }
    (tmp_path / "event.json").write_text(json.dumps(payload))
    env = {
        "GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_SHA": "d" * 40, "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_HEAD_REF": "topic", "GITHUB_BASE_REF": "main", "GITHUB_REPOSITORY": "acme/demo",
        "GITHUB_SERVER_URL": github_api.origin, "GITHUB_API_URL": github_api.url, "GITHUB_RUN_ID": "42",
        "GITHUB_TOKEN": "job",
    }  # fmt: skip
    run_legs(tmp_path, git_server, dict.fromkeys(LEGS, env))
    (comment,) = (c for c in github_api.comments[7] if MARKER in c["body"].splitlines())
    assert_all_in(comment["body"])
    assert github_api.statuses[project.head][-1]["state"] == "failure"
    assert sorted(run["model"] for run in project.json("runs", "list", "--commit", "HEAD", "--json")) == LEGS


def test_on_gitlab(tmp_path: Path, git_server: GitServer, gitlab_api: GitLabApi, project: Project) -> None:
    gitlab_api.add_merge_request(12, branch="topic", commit=project.head)
    env = {
        "GITLAB_CI": "true", "CI": "true", "CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_SHA": project.head,
        "CI_MERGE_REQUEST_IID": "12", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "topic",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_DEFAULT_BRANCH": "main", "CI_PROJECT_PATH": "acme/demo",
        "CI_PROJECT_ID": "7", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7", "CI_MERGE_REQUEST_PROJECT_ID": "7",
        "CI_SERVER_URL": gitlab_api.url, "CI_API_V4_URL": gitlab_api.api_url, "CIPLUG_GITLAB_TOKEN": "user-token",
    }  # fmt: skip
    jobs = {leg: {**env, "CI_JOB_URL": f"https://gitlab.example.com/-/jobs/{at}"} for at, leg in enumerate(LEGS)}
    run_legs(tmp_path, git_server, jobs)
    (note,) = (n for n in gitlab_api.comments[12] if MARKER in n["body"].splitlines())
    assert_all_in(note["body"])
    assert gitlab_api.statuses[project.head][-1]["status"] == "failed"
