"""The Jenkinsfile and the shared step, run by Groovy on a small stand-in for Jenkins (jenkins_dsl.groovy)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.e2e.jenkins import Build, Jenkins, scm_of
from tests.e2e.project import MARKER, TOKEN, Project, git, real_installation
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi
from tests.servers.jenkins_api import JenkinsApi

pytestmark = pytest.mark.e2e

_JENKINSFILE = ROOT / "templates/jenkins/Jenkinsfile"
_SOURCE = "git+https://git.example.com/your-org/ciplug.git@0000000000000000000000000000000000000000"


@pytest.fixture
def project(git_server: GitServer, tmp_path: Path) -> Project:
    return Project(git_server, tmp_path / "project")


@pytest.fixture
def jenkinsfile(wheel: Path) -> str:
    text = _JENKINSFILE.read_text()
    assert _SOURCE in text
    return text.replace(_SOURCE, str(wheel)).replace("'my-model'", "'wine'")


def _change(api: GitHubApi, number: int, branch: str) -> dict[str, str]:
    return {
        "BRANCH_NAME": f"PR-{number}",
        "CHANGE_ID": str(number),
        "CHANGE_BRANCH": branch,
        "CHANGE_TARGET": "main",
        "CHANGE_URL": f"{api.origin}/acme/demo/pull/{number}",
        "GITHUB_API_URL": api.url,
    }


@real_installation
def test_main_is_recorded_gated_and_promoted_once_somebody_says_so(
    jenkins: Jenkins, jenkinsfile: str, project: Project, github_api: GitHubApi
) -> None:
    env = {"BRANCH_NAME": "main", "BRANCH_IS_PRIMARY": "true", "GITHUB_API_URL": github_api.url}
    scm = scm_of(project, project.main, "main")
    build = jenkins.build(jenkinsfile, env=env, scm=scm, answer="abort")
    assert (build.code, build.result) == (1, "ABORTED"), build.log
    assert build.stages() == ["Train", "Install", "Run", "Judge"]
    assert not project.stored("registry/")

    build = jenkins.build(jenkinsfile, env=env, scm=scm)
    assert (build.code, build.result) == (0, "SUCCESS"), build.log
    assert build.stages() == ["Train", "Install", "Run", "Judge", "Promote"]
    assert [e["answer"] for e in build.events if "input" in e] == ["approve"]
    [event] = [event for text in project.stored("registry/") if (event := json.loads(text))["type"] == "promote"]
    assert (event["actor"], event["actor_source"]) == ("grace", "jenkins"), "who answered, and not who pushed"
    assert event["payload"]["reason"] == "approved in https://jenkins.example.com/job/demo/2/"
    [junit] = build.steps("junit")
    assert junit["tests"] >= 1 and junit["failures"] == 0
    assert build.description == "⚠️ wine: WARN, accuracy 0.9"
    files = ("junit.xml", "metrics.txt", "report.html", "report.json", "report.md", "summary.txt")
    assert set(build.archive) == {f"ciplug-report/{name}" for name in files}
    assert b'href="https://jenkins.example.com/job/demo/2/"' in build.archive["ciplug-report/report.html"]


def test_a_pull_request_that_is_worse_fails_and_says_so(
    jenkins: Jenkins, jenkinsfile: str, project: Project, github_api: GitHubApi, tmp_path: Path
) -> None:
    project.record_main(tmp_path / "main")
    head = project.commit("worse", 0.7)
    github_api.add_pull(5, branch="worse", commit=head)
    build = jenkins.build(jenkinsfile, env=_change(github_api, 5, "worse"), scm=scm_of(project, head, "PR-5"))
    assert (build.code, build.result) == (1, "FAILURE"), build.log
    assert build.stages() == ["Train", "Install", "Run", "Judge"]
    assert build.description == "❌ wine: FAIL, accuracy 0.7 (−0.2)"
    [comment] = github_api.comments[5]
    assert MARKER in comment["body"].splitlines() and "accuracy" in comment["body"]
    assert github_api.statuses[head][-1]["state"] == "failure"
    assert build.steps("junit")[0]["failures"] == 1
    assert TOKEN not in build.log and "user-token" not in build.log


def test_a_training_that_fails_is_said_too(
    jenkins: Jenkins, jenkinsfile: str, project: Project, github_api: GitHubApi, tmp_path: Path
) -> None:
    project.record_main(tmp_path / "main")
    head = project.commit("broken", 0.95)
    github_api.add_pull(5, branch="broken", commit=head)
    text = jenkinsfile.replace("-- python3 train.py", "-- sh -c 'python3 train.py; exit 3'".replace("'", "\\'"))
    build = jenkins.build(text, env=_change(github_api, 5, "broken"), scm=scm_of(project, head, "PR-5"))
    assert (build.code, build.result) == (1, "FAILURE"), build.log
    assert build.stages() == ["Train", "Install", "Run", "Judge"]
    [comment] = github_api.comments[5]
    assert "exit code 3" in comment["body"]
    assert github_api.statuses[head][-1]["state"] == "failure"
    assert "ciplug-report/report.html" in build.archive


def test_a_forks_build_gets_no_credential_and_hands_its_run_over(
    jenkins: Jenkins,
    jenkinsfile: str,
    project: Project,
    github_api: GitHubApi,
    jenkins_api: JenkinsApi,
    wheel: Path,
    tmp_path: Path,
) -> None:
    jenkins_api.add_user("user", "jenkins-token")
    project.record_main(tmp_path / "main")
    head = project.commit("forked", 0.93)
    # The branch is the fork's: here is only the head of its pull request.
    git("push", "--quiet", "origin", ":refs/heads/forked", f"{head}:refs/pull/8/head", cwd=project.folder)
    github_api.add_pull(8, branch="forked", commit=head)
    before = project.refs()
    env = {**_change(github_api, 8, "forked"), "CHANGE_FORK": "mallory"}
    scm = scm_of(project, head, "PR-8")
    build = jenkins.build(jenkinsfile, env=env, scm=scm, credentials={})
    assert (build.code, build.result) == (0, "SUCCESS"), build.log
    assert build.stages() == ["Train", "Install", "Hand over"]
    assert set(build.archive) == {"ciplug-report/bundle.ndjson"}
    assert project.refs() == before and not github_api.comments.get(8)

    # A job of the repository's own takes it over.
    address = jenkins_api.add_build("demo/PR-8", 1, build.archive)
    collect = (ROOT / "templates/jenkins/Jenkinsfile.collect").read_text().replace(_SOURCE, str(wheel))
    build = jenkins.build(
        collect,
        env={
            "JENKINS_URL": f"{jenkins_api.url}/",
            "BUILD_URL": f"{jenkins_api.url}/job/collect/1/",
            "GITHUB_API_URL": github_api.url,
        },
        scm=scm_of(project, project.main, "main"),
        parameters={"FORK_BUILD": address, "FORK_HEAD": head},
        credentials={"ciplug-push": TOKEN, "ciplug-comment": "user-token", "jenkins-api": "jenkins-token"},
    )
    assert (build.code, build.result) == (0, "SUCCESS"), build.log
    [comment] = github_api.comments[8]
    assert "0.93" in comment["body"]
    assert github_api.statuses[head][-1]["state"] == "success" and project.main not in github_api.statuses
    assert any('"trusted":false' in text and head in text for text in project.stored("runs/"))


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
_TWICE = """\
pipeline {
    agent any
    stages {
        stage('Train') {
            steps {
                script {
                    def first = ciplug(source: '%(source)s', model: 'wine', command: 'python3 train.py', comment: false,
                                       store: 'jenkins:', jenkinsLogin: 'jenkins-api', failOn: 'never')
                    echo "the verdict is ${first.verdict}, of run ${first.run_id}"
                    ciplug source: '%(source)s', name: 'again', command: 'python3 train.py', comment: false,
                           store: 'jenkins:', jenkinsLogin: 'jenkins-api', failOn: 'never'
                }
            }
        }
    }
}
"""


@real_installation
def test_the_shared_step_is_the_whole_walk(
    jenkins: Jenkins, project: Project, github_api: GitHubApi, wheel: Path, tmp_path: Path
) -> None:
    project.record_main(tmp_path / "main")
    head = project.commit("topic", 0.92)
    github_api.add_pull(6, branch="topic", commit=head)
    env = {**_change(github_api, 6, "topic"), "MODEL_HOME": "two  words"}
    build = jenkins.build(_SHARED % wheel, env=env, scm=scm_of(project, head, "PR-6"))
    assert (build.code, build.result) == (0, "SUCCESS"), build.log
    [comment] = github_api.comments[6]
    assert "0.92" in comment["body"]
    assert github_api.statuses[head][-1]["state"] == "success"
    assert "ciplug-report/report.html" in build.archive
    assert any(json.loads(run).get("tags", {}).get("quote") == 'a "b" $HOME' for run in project.stored("runs/"))
    assert TOKEN not in build.log and "user-token" not in build.log


def test_without_a_push_builds_are_compared_with_what_builds_have_archived(
    jenkins: Jenkins, project: Project, jenkins_api: JenkinsApi, wheel: Path
) -> None:
    def build(job: str, commit: str, **more: str) -> Build:
        address = jenkins_api.add_build(f"demo/{job}", result=None)
        env = {"JENKINS_URL": f"{jenkins_api.url}/", "BUILD_URL": address, "BRANCH_NAME": job, **more}
        made = jenkins.build(
            _TWICE % {"source": wheel},
            env=env,
            scm=scm_of(project, commit, job),
            credentials={"jenkins-api": "jenkins-token"},
        )
        number = int(address.rstrip("/").rpartition("/")[2])
        jenkins_api.add_build(f"demo/{job}", number, made.archive, result=made.result)
        assert "jenkins-token" not in made.log
        return made

    jenkins_api.add_user("user", "jenkins-token")
    refs = project.refs()
    first = build("main", project.main)
    assert (first.code, first.result) == (0, "SUCCESS"), first.log
    assert "the verdict is WARN, of run " in first.log
    head = project.commit("topic", 0.92)
    change = {"CHANGE_ID": "6", "CHANGE_BRANCH": "topic", "CHANGE_TARGET": "main"}
    second = build("PR-6", head, **change)
    assert (second.code, second.result) == (0, "SUCCESS"), second.log
    assert second.description == "; ".join(["✅ wine: PASS, accuracy 0.92 (+0.02)"] * 2)
    assert "artifact/ciplug-report/report.html" in second.log
    assert project.refs() == [*refs, "refs/heads/topic"]

    # The same step in a fork's build: no login, so nothing to compare with, and a run that is handed over.
    third = build("PR-7", head, **{**change, "CHANGE_ID": "7", "CHANGE_FORK": "mallory"})
    assert "ciplug-report/bundle.ndjson" in third.archive, third.log


def test_a_wrong_setting_of_the_shared_step_is_named(jenkins: Jenkins, project: Project) -> None:
    wrong = {
        "source: 'x', metric: 'm.json'": "unknown setting 'metric'",
        "command: 'true'": "'source' is missing",
        "source: 'x', pushToken: 'absent'": "Could not find credentials entry",
    }
    texts = [f"pipeline {{ agent any; stages {{ stage('Train') {{ steps {{ ciplug {s} }} }} }} }}" for s in wrong]
    builds = jenkins.builds(*texts, env={"BRANCH_NAME": "main"}, scm=scm_of(project, project.main, "main"))
    for build, words in zip(builds, wrong.values(), strict=True):
        assert (build.code, build.result) == (1, "FAILURE"), build.log
        assert words in build.log


def test_the_stand_in_refuses_what_jenkins_does_not_know(jenkins: Jenkins) -> None:
    wrong = {
        "pipeline { agent none; stages { } }": "at least one stage",
        "pipeline { stages { stage('a') { steps { echo 'x' } } } }": "'agent' is required",
        "pipeline { agent none; stage('a') { } }": "pipeline: unknown: stage",
        "pipeline { agent none; stages { stage('a') { step { } } } }": "stage 'a': unknown: step",
        "pipeline { agent none; stages { stage('a') { steps { shell 'x' } } } }": "steps: unknown: shell",
        "pipeline { agent none; options { fast() }; stages { } }": "options: unknown: fast",
        "pipeline { agent none; stages { stage('a') { steps { sh scrpt: 'x' } } } }": "sh: unknown argument: scrpt",
        "pipeline { agent none; stages { stage('a') { when { brnch 'x' }; steps { } } } }": "when: unknown: brnch",
        "pipeline { agent none; stages { stage('a') { steps { echo 'x' }; post { never { } } } } }": "condition: never",
    }
    for build, words in zip(jenkins.builds(*wrong), wrong.values(), strict=True):
        assert build.code == 2, build.log
        assert words in build.log
