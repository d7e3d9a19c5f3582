"""The GitLab component, run by gitlab-ci-local against our git server and our GitLab."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.e2e.project import MARKER, Project, clean_environment, git
from tests.servers.git_http import GitServer
from tests.servers.gitlab_api import GitLabApi

pytestmark = pytest.mark.e2e

_PIPELINE = """\
include:
  - {include}
    inputs:
      ciplug-source: {source}
      tags: ["pipeline=$CI_PIPELINE_SOURCE"]
      command:
        - |
          set -u
          test "$HOME" != '$HOME'
        - python3 train.py
"""
_FORMS = {
    "local": "local: templates/ciplug/template.yml",
    "component": "component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/ciplug@$CI_COMMIT_SHA",
}


class Pipeline:
    """Merge request pipelines of a project, by gitlab-ci-local with a shell."""

    def __init__(self, program: str, project: Project, api: GitLabApi, env: dict[str, str]) -> None:
        self._program, self._project, self._api, self._env = program, project, api, env

    def command(self, iid: int, commit: str, branch: str, *extra: str) -> list[str]:
        variables = {
            "GITLAB_CI": "true",
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_API_V4_URL": self._api.api_url,
            "CI_PROJECT_ID": "7",
            "CI_MERGE_REQUEST_IID": str(iid),
            "CI_MERGE_REQUEST_PROJECT_ID": "7",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": branch,
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_COMMIT_SHA": commit,
            "CIPLUG_GITLAB_TOKEN": "user-token",
        }
        options = [f"--variable={name}={value}" for name, value in variables.items()]
        return [self._program, "--force-shell-executor", "--shell-isolation", *options, *extra]

    def run(self, iid: int, commit: str, branch: str) -> tuple[int, str]:
        git("checkout", "--quiet", branch, cwd=self._project.folder)
        done = subprocess.run(
            self.command(iid, commit, branch),
            cwd=self._project.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout


@pytest.fixture(params=["local"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(git_server: GitServer, tmp_path: Path, source: Path, form: str) -> Project:
    files = {
        ".gitlab-ci.yml": _PIPELINE.format(include=_FORMS[form], source=json.dumps(str(source))),
        "templates/ciplug/template.yml": (ROOT / "templates/ciplug/template.yml").read_text(),
    }
    return Project(git_server, tmp_path / "project", files)


@pytest.fixture
def pipeline(
    tool: Callable[[str], str], project: Project, gitlab_api: GitLabApi, user_python: Path, pip_cache: str
) -> Pipeline:
    program = tool("gitlab-ci-local")
    tool("rsync")
    path = f"{user_python}{os.pathsep}{os.environ['PATH']}"
    return Pipeline(program, project, gitlab_api, {**clean_environment(), "PATH": path, "PIP_CACHE_DIR": pip_cache})


@pytest.mark.parametrize("form", list(_FORMS), indirect=True)
def test_a_merge_request_is_recorded_compared_and_commented_on_once(
    pipeline: Pipeline, project: Project, gitlab_api: GitLabApi, tmp_path: Path, form: str
) -> None:
    project.record_main(tmp_path / "main")
    head = project.commit("topic", 0.92)
    gitlab_api.add_merge_request(12, branch="topic", commit=head)
    code, log = pipeline.run(12, head, "topic")
    assert code == 0, log
    [note] = gitlab_api.comments[12]
    assert MARKER in note["body"].splitlines() and "0.92" in note["body"]
    assert [status["status"] for status in gitlab_api.statuses[head]] == ["success"]
    report = project.folder / "ciplug-report"
    assert {"report.html", "report.json", "report.md", "junit.xml"} == {f.name for f in report.iterdir()}
    assert any('"pipeline":"merge_request_event"' in text for text in project.stored("runs/"))
    if form == "local":
        code, log = pipeline.run(12, head, "topic")
        assert code == 0, log
        assert [again["id"] for again in gitlab_api.comments[12]] == [note["id"]]


def test_a_failing_gate_fails_the_job_and_says_so(
    pipeline: Pipeline, project: Project, gitlab_api: GitLabApi, tmp_path: Path
) -> None:
    project.record_main(tmp_path / "main")
    head = project.commit("worse", 0.7)
    gitlab_api.add_merge_request(13, branch="worse", commit=head)
    code, log = pipeline.run(13, head, "worse")
    assert code != 0, log
    assert len(gitlab_api.comments[13]) == 1
    assert gitlab_api.statuses[head][-1]["status"] == "failed"
    assert "<failure" in (project.folder / "ciplug-report/junit.xml").read_text()


def test_the_expanded_pipeline_is_valid(pipeline: Pipeline, project: Project, tool: Callable[[str], str]) -> None:
    command = pipeline.command(1, project.main, "main", "--preview")
    preview = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True).stdout
    file = project.folder / "preview.yml"
    file.write_text("---" + preview.partition("---")[2])
    check = [tool("check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", str(file)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_input_that_the_component_does_not_have_is_refused(pipeline: Pipeline, project: Project) -> None:
    file = project.folder / ".gitlab-ci.yml"
    file.write_text(file.read_text().replace("tags: [", "fail-on: perhaps\n      tags: ["))
    code, log = pipeline.run(1, project.main, "main")
    assert code != 0
    assert "perhaps" in log
