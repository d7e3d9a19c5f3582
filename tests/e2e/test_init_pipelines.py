"""What `ciplug init` writes is clean, and works at the first try: on GitHub by act, on GitLab by gitlab-ci-local."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.e2e.github_runner import Runner, local_actions
from tests.e2e.jenkins import Jenkins, scm_of
from tests.e2e.project import MARKER, Project, clean_environment
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi

pytestmark = pytest.mark.e2e

_WORKFLOW = ".github/workflows/train.yml"
_TRAINING = "python -IS train.py"


@pytest.fixture
def project(git_server: GitServer, tmp_path: Path) -> Project:
    return unknown(git_server, tmp_path / "project")


def unknown(git_server: GitServer, folder: Path, name: str = "acme/demo") -> Project:
    """A project that does not know ciplug yet."""
    made = Project(git_server, folder, name=name)
    (made.folder / "ciplug.yaml").unlink()
    return made


_FOLDER = "services/wine model"


def move(project: Project) -> None:
    """The training lies in a folder of a repository of several projects."""
    inner = project.folder / _FOLDER
    inner.mkdir(parents=True)
    text = (project.folder / "train.py").read_text().replace('"params.json"', '"../../params.json"')
    (project.folder / "train.py").unlink()
    (inner / "train.py").write_text(text)
    (project.folder / "requirements.txt").rename(inner / "requirements.txt")


def init(project: Project, *words: str, folder: str = ".") -> None:
    """Set the project up, and push it to main."""
    command = [sys.executable, "-m", "ciplug", "init", "--yes", "--run", "--command", _TRAINING, *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=project.folder / folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (project.folder / folder / "ciplug.yaml").read_text()
    assert "accuracy: {higher_is_better: true, min: 0.85, max_regression: 0.01}" in text
    project.main = project.commit("main", 0.9)


@pytest.mark.parametrize("folder", [".", _FOLDER])
def test_the_workflow_records_compares_and_passes(
    folder: str,
    project: Project,
    tool: Callable[[str], str],
    github_api: GitHubApi,
    source: Path,
    user_python: Path,
    pip_cache: str,
    tmp_path: Path,
) -> None:
    act = tool("act")
    if folder != ".":
        move(project)
    init(project, "--ci", "github", "--source", "acme/ciplug@v1", folder=folder)
    file, model = (_WORKFLOW, "demo") if folder == "." else (".github/workflows/train-wine-model.yml", "wine model")
    rights = {"contents": "write", "pull-requests": "write", "statuses": "write"}
    github_api.add_token("job-token", "github-actions[bot]", permissions=rights, app=True)
    workflow = (project.folder / file).read_text()
    options = ["--env", f"PIP_CACHE_DIR={pip_cache}"]
    options += local_actions(workflow, tmp_path, source=source, python=user_python)
    runner = Runner(act, project, github_api, tmp_path, options)
    code, log, _ = runner.push(project.main, workflow=Path(file).name)
    assert code == 0, log
    head = project.pull_request(7, "topic", 0.9001)
    github_api.add_pull(7, branch="topic", commit=head)
    code, log, _ = runner.pull_request(7, "topic", head, workflow=Path(file).name)
    assert code == 0, log
    [comment] = github_api.comments[7]
    assert MARKER in comment["body"].splitlines()
    assert f"{model}: passed" in comment["body"]
    assert github_api.statuses[head][-1]["state"] == "success"


@pytest.mark.parametrize("folder", [".", _FOLDER])
def test_the_pipeline_of_gitlab_records_compares_and_passes(
    folder: str,
    project: Project,
    tool: Callable[[str], str],
    gitlab_api: GitLabApi,
    wheel: Path,
    job_path: str,
    pip_settings: dict[str, str],
    tmp_path: Path,
) -> None:
    program = tool("gitlab-ci-local")
    tool("rsync")
    if folder != ".":
        move(project)
    init(project, "--ci", "gitlab", "--source", str(wheel), folder=folder)
    if folder == ".":
        project.record_main(tmp_path / "main")
    if folder != ".":
        (project.folder / folder / "notes.txt").write_text("what changes elsewhere only starts no job")
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
        env={**clean_environment(), "PATH": job_path, **pip_settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    [note] = gitlab_api.comments[12]
    assert ("demo: passed" if folder == "." else "wine model: passed with warnings") in note["body"]


@pytest.mark.parametrize("folder", [".", _FOLDER])
def test_the_jenkinsfile_records_compares_and_passes(
    folder: str, project: Project, jenkins: Jenkins, github_api: GitHubApi, wheel: Path
) -> None:
    if folder != ".":
        move(project)
    init(project, "--ci", "jenkins", "--source", str(wheel), folder=folder)
    text = (project.folder / "Jenkinsfile").read_text()
    env = {"BRANCH_NAME": "main", "BRANCH_IS_PRIMARY": "true", "GITHUB_API_URL": github_api.url}
    build = jenkins.build(text, env=env, scm=scm_of(project, project.main, "main"), answer="abort")
    assert build.result == "ABORTED", build.log
    model = "demo" if folder == "." else "wine model"
    [run] = [json.loads(found) for found in project.stored("runs/") if '"metrics"' in found]
    assert (run["model"], run["commit"], run["metrics"]["accuracy"]) == (model, project.main, 0.9)
    head = project.commit("topic", 0.9001)
    github_api.add_pull(7, branch="topic", commit=head)
    change = {"CHANGE_ID": "7", "CHANGE_BRANCH": "topic", "CHANGE_TARGET": "main"}
    change["CHANGE_URL"] = f"{github_api.origin}/acme/demo/pull/7"
    env = {"BRANCH_NAME": "PR-7", "GITHUB_API_URL": github_api.url, **change}
    build = jenkins.build(text, env=env, scm=scm_of(project, head, "PR-7"))
    assert (build.code, build.result) == (0, "SUCCESS"), build.log
    assert build.description.startswith(f"✅ {model}: PASS, accuracy 0.9001")
    assert "ciplug-report/report.html" in build.archive
    [comment] = github_api.comments[7]
    assert f"{model}: passed" in comment["body"]
    assert github_api.statuses[head][-1]["state"] == "success"


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
    git_server: GitServer, tmp_path: Path, tool: Callable[[str], str], host: str, file: str, schema: str
) -> None:
    paths = []
    for number, folder in enumerate((".", _FOLDER)):
        project = unknown(git_server, tmp_path / f"project-{number}", name=f"acme/demo-{number}")
        if folder != ".":
            move(project)
            file = file.replace("train.yml", "train-wine-model.yml")
        init(project, "--ci", host, folder=folder)
        paths.append(str(project.folder / file))
    check = [tool("check-jsonschema"), "--regex-variant", "nonunicode", "--disable-formats", "uri", "--builtin-schema"]
    commands = [[*check, schema, *paths]]
    if host == "github":
        commands.append([tool("actionlint"), *paths])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
