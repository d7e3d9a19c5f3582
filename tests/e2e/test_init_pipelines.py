"""What `ciplug init` writes is clean, and works at the first try: on GitHub by act, on GitLab by gitlab-ci-local."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.e2e.github_runner import Runner, local_actions
from tests.e2e.project import MARKER, Project, clean_environment
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi

pytestmark = pytest.mark.e2e

_WORKFLOW = ".github/workflows/train.yml"
_TRAINING = "python -IS train.py"


@pytest.fixture
def project(git_server: GitServer, tmp_path: Path) -> Project:
    """A project that does not know ciplug yet."""
    made = Project(git_server, tmp_path / "project")
    (made.folder / "ciplug.yaml").unlink()
    return made


def init(project: Project, *words: str) -> None:
    """Set the project up, and push it to main."""
    command = [sys.executable, "-m", "ciplug", "init", "--yes", "--run", "--command", _TRAINING, *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=project.folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (project.folder / "ciplug.yaml").read_text()
    assert "accuracy: {higher_is_better: true, min: 0.85, max_regression: 0.01}" in text
    project.main = project.commit("main", 0.9)


def test_the_workflow_records_compares_and_passes(
    project: Project,
    tool: Callable[[str], str],
    github_api: GitHubApi,
    source: Path,
    user_python: Path,
    pip_cache: str,
    tmp_path: Path,
) -> None:
    act = tool("act")
    init(project, "--ci", "github", "--source", "acme/ciplug@v1")
    rights = {"contents": "write", "pull-requests": "write", "statuses": "write"}
    github_api.add_token("job-token", "github-actions[bot]", permissions=rights, app=True)
    workflow = (project.folder / _WORKFLOW).read_text()
    options = ["--env", f"PIP_CACHE_DIR={pip_cache}"]
    options += local_actions(workflow, tmp_path, source=source, python=user_python)
    runner = Runner(act, project, github_api, tmp_path, options)
    code, log, _ = runner.push(project.main)
    assert code == 0, log
    head = project.pull_request(7, "topic", 0.9001)
    github_api.add_pull(7, branch="topic", commit=head)
    code, log, _ = runner.pull_request(7, "topic", head)
    assert code == 0, log
    [comment] = github_api.comments[7]
    assert MARKER in comment["body"].splitlines()
    assert "demo: passed" in comment["body"]
    assert github_api.statuses[head][-1]["state"] == "success"


def test_the_pipeline_of_gitlab_records_compares_and_passes(
    project: Project,
    tool: Callable[[str], str],
    gitlab_api: GitLabApi,
    source: Path,
    user_python: Path,
    pip_cache: str,
    tmp_path: Path,
) -> None:
    program = tool("gitlab-ci-local")
    tool("rsync")
    init(project, "--ci", "gitlab", "--source", str(source))
    project.record_main(tmp_path / "main")
    head = project.commit("topic", 0.9001)
    gitlab_api.add_merge_request(12, branch="topic", commit=head)
    variables = {
        "GITLAB_CI": "true",
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_API_V4_URL": gitlab_api.api_url,
        "CI_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_IID": "12",
        "CI_MERGE_REQUEST_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "topic",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_COMMIT_SHA": head,
        "CIPLUG_GITLAB_TOKEN": "user-token",
    }
    done = subprocess.run(
        [
            *(program, "--force-shell-executor", "--shell-isolation"),
            *(f"--variable={name}={value}" for name, value in variables.items()),
        ],
        cwd=project.folder,
        env={**clean_environment(), "PATH": f"{user_python}:{os.environ['PATH']}", "PIP_CACHE_DIR": pip_cache},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    [note] = gitlab_api.comments[12]
    assert "demo: passed" in note["body"]


@pytest.mark.parametrize(
    ("host", "file", "schema"),
    [
        ("github", _WORKFLOW, "vendor.github-workflows"),
        ("gitea", ".gitea/workflows/train.yml", "vendor.github-workflows"),
        ("bitbucket", "bitbucket-pipelines.yml", "vendor.bitbucket-pipelines"),
        ("azure", "azure-pipelines.yml", "vendor.azure-pipelines"),
    ],
)
def test_what_is_written_fits_the_schema_of_its_host(
    project: Project, tool: Callable[[str], str], host: str, file: str, schema: str
) -> None:
    check = tool("check-jsonschema")
    init(project, "--ci", host)
    path = str(project.folder / file)
    commands = [[check, "--regex-variant", "nonunicode", "--builtin-schema", schema, path]]
    if host == "github":
        commands.append([tool("actionlint"), path])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
