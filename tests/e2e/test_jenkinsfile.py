"""The Jenkinsfile and the shared step, run by Groovy on a small stand-in for Jenkins (jenkins_dsl.groovy)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT
from tests.e2e.project import MARKER, TOKEN, Project
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi

pytestmark = pytest.mark.e2e

_JENKINSFILE = ROOT / "templates/jenkins/Jenkinsfile"
_DSL = ROOT / "tests/e2e/jenkins_dsl.groovy"
_SOURCE = "git+https://git.example.com/your-org/ciplug.git@0000000000000000000000000000000000000000"


@dataclass
class Build:
    code: int
    log: str
    result: str
    events: list[dict[str, Any]]
    archive: set[str]

    def stages(self) -> list[str]:
        return [e["stage"] for e in self.events if "stage" in e and "skipped" not in e]

    def steps(self, name: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e.get("step") == name]


class Jenkins:
    def __init__(self, groovy: str, java: str, folder: Path, env: dict[str, str]) -> None:
        self._groovy, self._folder, self._env = groovy, folder, env
        # Debian's groovy looks for Java in a place that is empty when only one Java is installed.
        self._java_home = str(Path(java).resolve().parents[1])
        self._number = 0

    def build(
        self,
        text: str,
        *,
        env: dict[str, str] | None = None,
        scm: dict[str, str] | None = None,
        answer: str = "approve",
        credentials: dict[str, str] | None = None,
    ) -> Build:
        self._number += 1
        folder = self._folder / f"build{self._number}"
        folder.mkdir()
        (folder / "Jenkinsfile").write_text(text)
        config = {
            "jenkinsfile": str(folder / "Jenkinsfile"),
            "folder": str(folder),
            "vars": str(ROOT / "templates/jenkins/vars"),
            "env": {**self._env, **(env or {})},
            "scm": scm,
            "input": answer,
            "credentials": {"ciplug-push": TOKEN, "ciplug-comment": "user-token"}
            if credentials is None
            else credentials,
        }
        (folder / "build.json").write_text(json.dumps(config))
        done = subprocess.run(
            [self._groovy, str(_DSL), str(folder / "build.json")],
            env={**os.environ, "JAVA_HOME": self._java_home},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        told = json.loads((folder / "events.json").read_text()) if (folder / "events.json").exists() else {}
        archive = folder / "archive"
        return Build(
            done.returncode,
            done.stdout,
            told.get("result", ""),
            told.get("events", []),
            {str(f.relative_to(archive)) for f in archive.rglob("*") if f.is_file()},
        )


@pytest.fixture
def jenkins(tool: Callable[[str], str], tmp_path: Path, user_python: Path, pip_cache: str) -> Jenkins:
    env = {
        "PATH": f"{user_python}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        "GIT_CONFIG_GLOBAL": os.environ["GIT_CONFIG_GLOBAL"],
        "GIT_CONFIG_NOSYSTEM": "1",
        "PIP_CACHE_DIR": pip_cache,
        "no_proxy": "127.0.0.1",
        "JENKINS_URL": "https://jenkins.example.com/",
        "BUILD_URL": "https://jenkins.example.com/job/demo/1/",
        "JOB_NAME": "demo",
    }
    return Jenkins(tool("groovy"), tool("java"), tmp_path, env)


@pytest.fixture
def project(git_server: GitServer, tmp_path: Path) -> Project:
    return Project(git_server, tmp_path / "project")


@pytest.fixture
def jenkinsfile(source: Path) -> str:
    text = _JENKINSFILE.read_text()
    assert _SOURCE in text
    return text.replace(_SOURCE, str(source)).replace("'my-model'", "'wine'")


def _scm(project: Project, commit: str, branch: str) -> dict[str, str]:
    return {"url": project.url, "commit": commit, "branch": branch, "header": project.header}


def _change(api: GitHubApi, number: int, branch: str) -> dict[str, str]:
    return {
        "BRANCH_NAME": f"PR-{number}",
        "CHANGE_ID": str(number),
        "CHANGE_BRANCH": branch,
        "CHANGE_TARGET": "main",
        "CHANGE_URL": f"{api.origin}/acme/demo/pull/{number}",
        "GITHUB_API_URL": api.url,
    }


def test_main_is_recorded_gated_and_promoted_once_somebody_says_so(
    jenkins: Jenkins, jenkinsfile: str, project: Project, github_api: GitHubApi
) -> None:
    env = {"BRANCH_NAME": "main", "BRANCH_IS_PRIMARY": "true", "GITHUB_API_URL": github_api.url}
    scm = _scm(project, project.main, "main")
    build = jenkins.build(jenkinsfile, env=env, scm=scm, answer="abort")
    assert (build.code, build.result) == (1, "ABORTED"), build.log
    assert build.stages() == ["Train", "Record", "Gate"]
    assert not project.stored("registry/")

    build = jenkins.build(jenkinsfile, env=env, scm=scm)
    assert (build.code, build.result) == (0, "SUCCESS"), build.log
    assert build.stages() == ["Train", "Record", "Gate", "Promote"]
    assert [e["answer"] for e in build.events if "input" in e] == ["approve"]
    assert any('"promote"' in text for text in project.stored("registry/"))
    [junit] = build.steps("junit")
    assert junit["tests"] >= 1 and junit["failures"] == 0
    assert build.archive == {f"ciplug-report/{name}" for name in ("junit.xml", "report.html", "report.md")}


def test_a_pull_request_that_is_worse_fails_and_says_so(
    jenkins: Jenkins, jenkinsfile: str, project: Project, github_api: GitHubApi, tmp_path: Path
) -> None:
    project.record_main(tmp_path / "main")
    head = project.commit("worse", 0.7)
    github_api.add_pull(5, branch="worse", commit=head)
    build = jenkins.build(jenkinsfile, env=_change(github_api, 5, "worse"), scm=_scm(project, head, "PR-5"))
    assert (build.code, build.result) == (1, "FAILURE"), build.log
    assert build.stages() == ["Train", "Record", "Gate"]
    [comment] = github_api.comments[5]
    assert MARKER in comment["body"].splitlines() and "accuracy" in comment["body"]
    assert github_api.statuses[head][-1]["state"] == "failure"
    assert build.steps("junit")[0]["failures"] == 1
    assert TOKEN not in build.log and "user-token" not in build.log


_SHARED = """\
pipeline {
    agent any
    stages {
        stage('Train') {
            steps {
                ciplug source: '%s', model: 'wine', tags: ['from=jenkins', 'quote=a "b" $HOME'],
                       command: 'test "$MODEL_HOME" = "two  words" && python3 train.py', githubToken: 'ciplug-comment',
                       pushToken: 'ciplug-push'
            }
        }
    }
}
"""


def test_the_shared_step_is_the_whole_walk(
    jenkins: Jenkins, project: Project, github_api: GitHubApi, source: Path, tmp_path: Path
) -> None:
    project.record_main(tmp_path / "main")
    head = project.commit("topic", 0.92)
    github_api.add_pull(6, branch="topic", commit=head)
    env = {**_change(github_api, 6, "topic"), "MODEL_HOME": "two  words"}
    build = jenkins.build(_SHARED % source, env=env, scm=_scm(project, head, "PR-6"))
    assert (build.code, build.result) == (0, "SUCCESS"), build.log
    [comment] = github_api.comments[6]
    assert "0.92" in comment["body"]
    assert github_api.statuses[head][-1]["state"] == "success"
    assert "ciplug-report/report.html" in build.archive
    assert any(json.loads(run).get("tags", {}).get("quote") == 'a "b" $HOME' for run in project.stored("runs/"))
    assert TOKEN not in build.log and "user-token" not in build.log


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("source: 'x', metric: 'm.json'", "unknown setting 'metric'"),
        ("command: 'true'", "'source' is missing"),
        ("source: 'x', pushToken: 'absent'", "Could not find credentials entry"),
    ],
)
def test_a_wrong_setting_of_the_shared_step_is_named(
    jenkins: Jenkins, project: Project, settings: str, words: str
) -> None:
    text = f"pipeline {{ agent any; stages {{ stage('Train') {{ steps {{ ciplug {settings} }} }} }} }}"
    build = jenkins.build(text, env={"BRANCH_NAME": "main"}, scm=_scm(project, project.main, "main"))
    assert (build.code, build.result) == (1, "FAILURE"), build.log
    assert words in build.log


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pipeline { agent none; stages { } }", "at least one stage"),
        ("pipeline { stages { stage('a') { steps { echo 'x' } } } }", "'agent' is required"),
        ("pipeline { agent none; stage('a') { } }", "pipeline: unknown: stage"),
        ("pipeline { agent none; stages { stage('a') { step { } } } }", "stage 'a': unknown: step"),
        ("pipeline { agent none; stages { stage('a') { steps { shell 'x' } } } }", "steps: unknown: shell"),
        ("pipeline { agent none; options { fast() }; stages { } }", "options: unknown: fast"),
        ("pipeline { agent none; stages { stage('a') { steps { sh scrpt: 'x' } } } }", "sh: unknown argument: scrpt"),
        ("pipeline { agent none; stages { stage('a') { when { brnch 'x' }; steps { } } } }", "when: unknown: brnch"),
        (
            "pipeline { agent none; stages { stage('a') { steps { echo 'x' }; post { never { } } } } }",
            "unknown condition",
        ),
    ],
)
def test_the_stand_in_refuses_what_jenkins_does_not_know(jenkins: Jenkins, text: str, words: str) -> None:
    build = jenkins.build(text)
    assert build.code == 2, build.log
    assert words in build.log
