"""What a pull request gets from `ciplug ci`: one comment, a status, a summary, on each CI host and forge."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from ciplug.reports.comment import MARKER, PLAIN_MARKER
from tests.project import CONFIG, MODEL, Project, git
from tests.servers.bitbucket_api import BitbucketApi
from tests.servers.git_http import GitServer
from tests.servers.gitea_api import GiteaApi
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi

CI = ("ci", "--", sys.executable, "train.py")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A remote and its clone, made once: each test has a copy."""
    folder = tmp_path_factory.mktemp("template")
    project = Project.with_remote(folder)
    project.train()
    project.branch("topic", {"accuracy": 0.86})
    project.push()
    return folder


@pytest.fixture
def project(tmp_path: Path, template: Path) -> Project:
    return Project.copy(template, tmp_path)


def github(tmp_path: Path, api: GitHubApi, project: Project, *, token: str, fork: bool = False) -> dict[str, str]:
    """The environment of a pull request's job, as GitHub's runner sets it."""
    owner = "stranger" if fork else "acme"
    payload = {
        "number": 7,
        "pull_request": {
            "number": 7,
            "head": {"sha": project.head, "ref": "topic", "repo": {"full_name": f"{owner}/demo", "fork": fork}},
            "base": {"sha": "b" * 40, "ref": "main", "repo": {"full_name": "acme/demo"}},
        },
        "repository": {"full_name": "acme/demo", "default_branch": "main"},
    }
    event = tmp_path / "event.json"
    event.write_text(json.dumps(payload))
    return {
        "GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SHA": "d" * 40, "GITHUB_REF": "refs/pull/7/merge", "GITHUB_REF_NAME": "7/merge",
        "GITHUB_HEAD_REF": "topic", "GITHUB_BASE_REF": "main", "GITHUB_REPOSITORY": "acme/demo",
        "GITHUB_SERVER_URL": api.origin, "GITHUB_API_URL": api.url, "GITHUB_RUN_ID": "42",
        "GITHUB_ACTOR": "octocat", "GITHUB_TOKEN": token,
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "GITHUB_OUTPUT": str(tmp_path / "output"),
    }  # fmt: skip


def outputs(tmp_path: Path) -> dict[str, str]:
    lines = (tmp_path / "output").read_text().splitlines()
    return {lines[i].partition("<<")[0]: lines[i + 1] for i in range(0, len(lines) - 2, 3)}


@pytest.mark.slow
def test_github_one_comment_that_stays_current(tmp_path: Path, github_api: GitHubApi, project: Project) -> None:
    granted = {"issues": "write", "statuses": "write", "pull-requests": "write"}
    github_api.add_token("job", "github-actions[bot]", app=True, permissions=granted)
    github_api.add_pull(7, branch="topic", commit=project.head)
    github_api.add_comments(7, 120)
    env = github(tmp_path, github_api, project, token="job")
    done = project.ciplug(*CI, env=env)
    ours = [c for c in github_api.comments[7] if MARKER in c["body"].splitlines()]
    assert len(ours) == 1
    assert "0.86" in ours[0]["body"]
    assert "merge base" in ours[0]["body"]
    assert ours[0]["html_url"] in done.stderr
    status = github_api.statuses[project.head][-1]
    assert (status["state"], status["context"]) == ("success", "ciplug")
    assert "0.86" in (tmp_path / "summary.md").read_text()
    said = outputs(tmp_path)
    assert said["verdict"] == "PASS"
    assert said["comment-url"] == ours[0]["html_url"]
    assert len(said["run-id"]) == 32

    project.numbers({"accuracy": 0.5})
    project.commit("worse")
    project.push()
    github_api.add_pull(7, branch="topic", commit=project.head)
    project.ciplug(*CI, env=github(tmp_path, github_api, project, token="job"), code=1)
    ours = [c for c in github_api.comments[7] if MARKER in c["body"].splitlines()]
    assert len(ours) == 1
    assert "0.5" in ours[0]["body"]
    assert github_api.statuses[project.head][-1]["state"] == "failure"
    # Posting again what is there already writes nothing.
    wrote = len([c for c in github_api.wrote() if "comments" in c.path])
    project.ciplug("report", "--post", env=github(tmp_path, github_api, project, token="job"))
    assert len([c for c in github_api.wrote() if "comments" in c.path]) == wrote


@pytest.mark.slow
def test_a_comment_that_passed_does_not_stand_beside_one_that_failed(
    tmp_path: Path, github_api: GitHubApi, project: Project
) -> None:
    granted = {"issues": "write", "statuses": "write", "pull-requests": "write"}
    github_api.add_token("job", "github-actions[bot]", app=True, permissions=granted)
    github_api.add_token("person", "octocat")
    github_api.add_pull(7, branch="topic", commit=project.head)
    project.ciplug(*CI, env=github(tmp_path, github_api, project, token="job"))
    project.numbers({"accuracy": 0.5})
    project.commit("worse")
    project.push()
    github_api.add_pull(7, branch="topic", commit=project.head)
    github_api.own_only.add("person")
    project.ciplug(*CI, env=github(tmp_path, github_api, project, token="person"), code=1)
    passed, failed = (comment["body"] for comment in github_api.comments[7])
    assert "failed" in failed and f"[1]({github_api.comments[7][0]['html_url']})" in failed and "failed" not in passed
    github_api.own_only.clear()
    project.ciplug("report", "--post", env=github(tmp_path, github_api, project, token="person"))
    (one,) = github_api.comments[7]
    assert "failed" in one["body"] and "supersedes" not in one["body"]


def test_a_locked_conversation_is_named(tmp_path: Path, github_api: GitHubApi, project: Project) -> None:
    granted = {"issues": "write", "statuses": "write", "pull-requests": "write"}
    github_api.add_token("job", "github-actions[bot]", app=True, permissions=granted)
    github_api.add_pull(7, branch="topic", commit=project.head)
    github_api.locked.add(7)
    done = project.ciplug(*CI, env=github(tmp_path, github_api, project, token="job"))
    assert "the conversation is locked" in done.stderr and "unlock" in done.stderr
    assert "pull-requests: write" not in done.stderr
    assert github_api.statuses[project.head][-1]["state"] == "success"


@pytest.mark.slow
def test_two_runs_of_a_model_are_one_annotation(tmp_path: Path, github_api: GitHubApi, project: Project) -> None:
    github_api.add_token("job", "octocat")
    project.numbers({"accuracy": 0.5})
    project.commit("worse")
    project.push()
    github_api.add_pull(7, branch="topic", commit=project.head)
    env = github(tmp_path, github_api, project, token="job")
    for _ in range(2):
        done = project.ciplug(*CI, env=env, code=1)
    assert done.stderr.count("::error") == 2
    assert "wine: accuracy: FAIL" in done.stderr


def test_a_slow_job_does_not_overwrite_the_comment_on_a_newer_commit(
    tmp_path: Path, github_api: GitHubApi, project: Project
) -> None:
    github_api.add_token("job", "octocat")
    github_api.add_pull(7, branch="topic", commit="e" * 40)
    done = project.ciplug(*CI, env=github(tmp_path, github_api, project, token="job"))
    assert "no comment: pull request #7 has moved on to eeeeeeee" in done.stderr
    assert github_api.comments[7] == []
    assert github_api.statuses[project.head][-1]["state"] == "success"


@pytest.mark.slow
def test_a_push_job_says_what_the_job_of_its_pull_request_says(tmp_path: Path, github_api: GitHubApi) -> None:
    """`on: [push, pull_request]` starts both for one commit, and they have one comment and one status."""
    project = Project.with_remote(tmp_path)
    project.train()
    project.branch("next", {"accuracy": 0.9})
    project.push()
    project.train()
    # It goes into `next`, and would be judged by thresholds of its own.
    (project.folder / "ciplug.yaml").write_text(CONFIG.replace("min: 0.8, max_regression: 0.01", "min: 0.1"))
    project.branch("topic", {"accuracy": 0.86}, start="next")
    project.push()
    github_api.add_token("job", "octocat")
    github_api.add_pull(7, branch="topic", commit=project.head, base="next")
    of_pull = github(tmp_path, github_api, project, token="job")
    event = json.loads(Path(of_pull["GITHUB_EVENT_PATH"]).read_text())
    event["pull_request"]["base"]["ref"] = "next"
    Path(of_pull["GITHUB_EVENT_PATH"]).write_text(json.dumps(event))
    of_pull["GITHUB_BASE_REF"] = "next"
    payload = tmp_path / "push.json"
    payload.write_text(json.dumps({"repository": event["repository"], "ref": "refs/heads/topic"}))
    taken = ("GITHUB_HEAD_REF", "GITHUB_BASE_REF")
    of_push = {name: value for name, value in of_pull.items() if name not in taken}
    of_push |= {
        "GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": str(payload), "GITHUB_SHA": project.head,
        "GITHUB_REF": "refs/heads/topic", "GITHUB_REF_NAME": "topic",
    }  # fmt: skip

    done = project.ciplug(*CI, env=of_push)
    assert "treats this commit as part of pull request #7, and uses the gates of next" in done.stderr
    (ours,) = github_api.comments[7]
    assert "ciplug.yaml of next" in ours["body"]
    assert github_api.statuses[project.head][-1]["state"] == "failure"
    for env in (of_pull, of_push):
        project.ciplug("report", "--post", env=env)
    assert [comment["body"] for comment in github_api.comments[7]] == [ours["body"]]
    assert {status["description"] for status in github_api.statuses[project.head]} == {"fail: accuracy"}

    git(tmp_path / "remote.git", "branch", "-D", "next")
    git(project.folder, "branch", "-D", "next")
    git(project.folder, "update-ref", "-d", "refs/remotes/origin/next")
    done = project.ciplug("report", "--post", env=of_push, code=None)
    assert "no comment and no commit status: no branch named 'next', on the remote or in this clone" in done.stderr
    assert done.returncode != 0


def test_github_without_permission_gives_one_line_and_the_summary(
    tmp_path: Path, github_api: GitHubApi, project: Project
) -> None:
    github_api.add_token("job", "github-actions[bot]", app=True, permissions={"contents": "write"})
    github_api.add_pull(7, branch="topic", commit=project.head)
    done = project.ciplug(*CI, env=github(tmp_path, github_api, project, token="job"))
    assert github_api.comments[7] == []
    assert "pull-requests: write" in done.stderr
    assert "Traceback" not in done.stderr
    assert "{" not in done.stderr
    assert "0.86" in (tmp_path / "summary.md").read_text()
    assert outputs(tmp_path)["verdict"] == "PASS"


def test_a_fork_s_job_writes_nothing_and_still_sees_the_comparison(
    tmp_path: Path, github_api: GitHubApi, project: Project
) -> None:
    github_api.add_token("job", "github-actions[bot]", app=True, permissions={"contents": "read"})
    github_api.add_pull(7, branch="topic", commit=project.head, owner="stranger")
    before = git(project.folder, "ls-remote", "origin")
    env = github(tmp_path, github_api, project, token="job", fork=True)
    done = project.ciplug(*CI, env=env)
    assert git(project.folder, "ls-remote", "origin") == before
    assert "fork" in done.stderr
    assert "PASS" in done.stdout
    assert "0.86" in (tmp_path / "summary.md").read_text()
    assert "must not promote" in project.ciplug("promote", "wine", "--to", "staging", env=env, code=1).stderr


@pytest.mark.slow
def test_a_pull_request_never_promotes_and_main_does(tmp_path: Path, github_api: GitHubApi, project: Project) -> None:
    github_api.add_token("job", "octocat")
    github_api.add_pull(7, branch="topic", commit=project.head)
    env = github(tmp_path, github_api, project, token="job")
    command = ("ci", *MODEL, "--promote-to", "staging", "--", sys.executable, "train.py")
    assert "never promotes" in project.ciplug(*command, env=env).stderr
    assert project.json("registry", "list", "--json") == []
    assert "is in Staging" in project.ciplug(*command).stderr


@pytest.mark.slow
def test_gitlab_note_status_and_files(tmp_path: Path, gitlab_api: GitLabApi, project: Project) -> None:
    gitlab_api.add_merge_request(12, branch="topic", commit=project.head)
    env = {
        "GITLAB_CI": "true", "CI": "true", "CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_SHA": project.head,
        "CI_MERGE_REQUEST_IID": "12", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "topic",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_DEFAULT_BRANCH": "main", "CI_PROJECT_PATH": "acme/demo",
        "CI_PROJECT_ID": "7", "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7", "CI_MERGE_REQUEST_PROJECT_ID": "7",
        "CI_SERVER_URL": gitlab_api.url, "CI_API_V4_URL": gitlab_api.api_url, "CI_JOB_URL": "https://x/-/jobs/1",
        "CIPLUG_GITLAB_TOKEN": "user-token",
    }  # fmt: skip
    project.ciplug("ci", "--output-dir", "out", "--", sys.executable, "train.py", env=env)
    notes = [n for n in gitlab_api.comments[12] if MARKER in n["body"].splitlines()]
    assert len(notes) == 1
    assert gitlab_api.statuses[project.head][-1]["status"] == "success"
    out = project.folder / "out"
    assert sorted(p.name for p in out.iterdir()) == [
        "junit.xml",
        "metrics.txt",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert ElementTree.parse(out / "junit.xml").getroot().tag == "testsuites"
    assert json.loads((out / "report.json").read_text())["sections"][0]["verdict"]["outcome"] == "PASS"

    # With the job token alone there is no note, and one line says what to set.
    env = {**env, "CIPLUG_GITLAB_TOKEN": "", "CI_JOB_TOKEN": "job"}
    done = project.ciplug(*CI, env=env)
    assert "CIPLUG_GITLAB_TOKEN" in done.stderr
    assert len(gitlab_api.comments[12]) == 1


@pytest.mark.slow
def test_gitea_one_comment_that_stays_current(tmp_path: Path, gitea_api: GiteaApi, project: Project) -> None:
    gitea_api.add_token("job", "gitea-actions", scopes=None)
    gitea_api.add_pull(7, branch="topic", commit=project.head)
    gitea_api.add_comments(7, 60)

    def env() -> dict[str, str]:
        payload = {
            "pull_request": {
                "number": 7,
                "head": {"sha": project.head, "ref": "topic", "repo": {"full_name": "acme/demo"}},
                "base": {"sha": "b" * 40, "ref": "main", "repo": {"full_name": "acme/demo"}},
            },
            "repository": {"full_name": "acme/demo", "default_branch": "main"},
        }
        (tmp_path / "event.json").write_text(json.dumps(payload))
        return {
            "GITEA_ACTIONS": "true", "GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_SHA": project.head,
            "GITHUB_REF": "refs/pull/7/head", "GITHUB_HEAD_REF": "topic", "GITHUB_BASE_REF": "main",
            "GITHUB_REPOSITORY": "acme/demo", "GITHUB_SERVER_URL": gitea_api.url, "GITHUB_RUN_NUMBER": "3",
            "GITHUB_API_URL": gitea_api.api_url, "GITHUB_OUTPUT": str(tmp_path / "output"),
            "CIPLUG_GITEA_TOKEN": "job",
        }  # fmt: skip

    done = project.ciplug(*CI, env=env())
    (ours,) = (c for c in gitea_api.comments[7] if MARKER in c["body"].splitlines())
    assert "0.86" in ours["body"]
    assert ours["html_url"] in done.stderr
    assert outputs(tmp_path)["comment-url"] == ours["html_url"]
    status = gitea_api.statuses[project.head][-1]
    assert (status["status"], status["context"]) == ("success", "ciplug")

    project.numbers({"accuracy": 0.5})
    project.commit("worse")
    project.push()
    gitea_api.add_pull(7, branch="topic", commit=project.head)
    project.ciplug(*CI, env=env(), code=1)
    (again,) = (c for c in gitea_api.comments[7] if MARKER in c["body"].splitlines())
    assert again["id"] == ours["id"]
    assert "0.5" in again["body"]
    assert gitea_api.statuses[project.head][-1]["status"] == "failure"

    # With a token that may not comment there is one line, and the verdict is the same.
    gitea_api.add_token("less", "ada", scopes=("read:user",))
    done = project.ciplug(*CI, env={**env(), "CIPLUG_GITEA_TOKEN": "less"}, code=1)
    assert "write:issue" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_bitbucket_one_comment_without_html(tmp_path: Path, bitbucket_api: BitbucketApi, project: Project) -> None:
    bitbucket_api.add_pull(7, branch="topic", commit=project.head)
    bitbucket_api.add_comments(7, 120)

    def env() -> dict[str, str]:
        return {
            "BITBUCKET_BUILD_NUMBER": "3", "CI": "true", "BITBUCKET_COMMIT": project.head, "BITBUCKET_BRANCH": "topic",
            "BITBUCKET_PR_ID": "7", "BITBUCKET_PR_DESTINATION_BRANCH": "main", "BITBUCKET_REPO_FULL_NAME": "acme/demo",
            "BITBUCKET_PIPELINES_VARIABLES_PATH": str(tmp_path / "variables"),
            "CIPLUG_BITBUCKET_TOKEN": "access-token", "CIPLUG_BITBUCKET_URL": bitbucket_api.url,
        }  # fmt: skip

    done = project.ciplug(*CI, env=env())
    (ours,) = (c for c in bitbucket_api.comments[7] if PLAIN_MARKER in c["content"]["raw"].splitlines())
    assert "0.86" in ours["content"]["raw"]
    assert "<" not in ours["content"]["raw"]
    assert ours["links"]["html"]["href"] in done.stderr
    assert "verdict=PASS\n" in (tmp_path / "variables").read_text()
    status = bitbucket_api.statuses[project.head]["ciplug"]
    assert (status["state"], status["url"]) == ("SUCCESSFUL", ours["links"]["html"]["href"])

    # Later, from a branch's pipeline, which is told of no pull request.
    project.numbers({"accuracy": 0.5})
    bitbucket_api.pulls[7]["source"]["commit"]["hash"] = project.commit("worse")[:12]
    project.push()
    project.ciplug(*CI, env={**env(), "BITBUCKET_PR_ID": "", "BITBUCKET_PR_DESTINATION_BRANCH": ""}, code=1)
    (again,) = (c for c in bitbucket_api.comments[7] if PLAIN_MARKER in c["content"]["raw"].splitlines())
    assert again["id"] == ours["id"]
    assert "0.5" in again["content"]["raw"]
    assert bitbucket_api.statuses[project.head]["ciplug"]["state"] == "FAILED"


@pytest.mark.slow
def test_azure_comments_on_github_and_hands_over(tmp_path: Path, github_api: GitHubApi, project: Project) -> None:
    github_api.add_pull(7, branch="topic", commit=project.head)
    env = {
        "TF_BUILD": "True", "BUILD_REASON": "PullRequest", "BUILD_SOURCEBRANCH": "refs/pull/7/merge",
        "BUILD_SOURCEVERSION": "d" * 40, "BUILD_REPOSITORY_PROVIDER": "GitHub",
        "BUILD_REPOSITORY_URI": "https://github.com/acme/demo", "SYSTEM_PULLREQUEST_ISFORK": "False",
        "SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "7", "SYSTEM_PULLREQUEST_SOURCECOMMITID": project.head,
        "SYSTEM_PULLREQUEST_SOURCEBRANCH": "topic", "SYSTEM_PULLREQUEST_TARGETBRANCH": "main",
        "AGENT_TEMPDIRECTORY": str(tmp_path), "GITHUB_API_URL": github_api.url, "CIPLUG_GITHUB_TOKEN": "user-token",
    }  # fmt: skip
    done = project.ciplug(*CI, env=env)
    done = project.ciplug(*CI, env=env)
    assert len(github_api.comments[7]) == 1
    assert "##vso[task.setvariable variable=verdict;isOutput=true]PASS\n" in done.stderr
    summary = Path(done.stderr.partition("##vso[task.uploadsummary]")[2].partition("\n")[0])
    assert "0.86" in summary.read_text()
    assert "##vso" not in done.stdout


@pytest.mark.slow
def test_jenkins_comments_on_the_forge_when_it_has_a_token(
    tmp_path: Path, github_api: GitHubApi, project: Project
) -> None:
    github_api.add_pull(7, branch="topic", commit=project.head)
    env = {
        "JENKINS_URL": "http://jenkins.example/", "BUILD_URL": "http://jenkins.example/job/demo/1/",
        "GIT_COMMIT": project.head, "BRANCH_NAME": "PR-7", "CHANGE_ID": "7", "CHANGE_TARGET": "main",
        "CHANGE_BRANCH": "topic", "CHANGE_URL": f"{github_api.origin}/acme/demo/pull/7",
        "GITHUB_API_URL": github_api.url,
    }  # fmt: skip
    command = ("ci", "--output-dir", "out", "--", sys.executable, "train.py")
    done = project.ciplug(*command, env=env)
    assert "no comment" in done.stderr
    assert (project.folder / "out/junit.xml").exists()
    project.ciplug(*command, env={**env, "GITHUB_TOKEN": "user-token"})
    assert len(github_api.comments[7]) == 1
    assert github_api.comments[7][0]["body"].count("Verdict") <= 1
    assert github_api.statuses[project.head][-1]["target_url"]


def test_a_store_that_cannot_be_read_is_not_a_missing_baseline(
    tmp_path: Path, git_server: GitServer, github_api: GitHubApi
) -> None:
    git_server.create("remote")
    project = Project.create(tmp_path / "work", remote=git_server.url("remote"))
    github_api.add_token("job", "octocat")
    github_api.add_pull(7, branch="topic", commit=project.head)
    git_server.token = "needed-now"
    env = github(tmp_path, github_api, project, token="job")
    done = project.ciplug(*CI, env=env, code=3)
    assert "cannot read the store" in done.stderr
    assert github_api.comments[7] == []
    assert outputs(tmp_path)["verdict"] == "ERROR"
    assert len(list((project.folder / ".git/ciplug/spool").glob("*/sealed.json"))) == 1


SEVERAL = """\
version: 1
models:
  wine:
    metrics: metrics.json
    gates:
      accuracy: {higher_is_better: true, min: 0.8, max_regression: 0.01}
      rows: {kind: drift, reference: before.csv, current: after.csv, test: psi}
  beer:
    metrics: metrics.json
    gates:
      accuracy: {higher_is_better: true, min: 0.8, max_regression: 0.01}
  cider:
    metrics: metrics.json
"""


@pytest.mark.slow
def test_the_status_is_pending_until_every_gated_model_has_a_run(tmp_path: Path, github_api: GitHubApi) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    section = "{metrics: metrics.json, gates: {accuracy: {min: 0.1}}}"
    config = f"models:\n  wine: {section}\n  beer: {section}\n"
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=config)
    project.branch("topic", {"accuracy": 0.86})
    project.push()
    github_api.add_token("job", "github-actions[bot]", app=True, permissions={"issues": "write", "statuses": "write"})
    github_api.add_pull(7, branch="topic", commit=project.head)
    env = github(tmp_path, github_api, project, token="job")
    states = []
    for model in ("wine", "beer"):
        project.ciplug("ci", "--model", model, "--", sys.executable, "train.py", env=env)
        states.append(github_api.statuses[project.head][-1])
    assert [status["state"] for status in states] == ["pending", "success"]
    assert states[0]["description"].startswith("no run of 'beer' on this commit, and ciplug.yaml of main (")
    (comment,) = github_api.comments[7]
    assert "without a run" not in comment["body"]


@pytest.mark.slow
def test_whichever_job_posts_the_comment_says_the_same(tmp_path: Path, github_api: GitHubApi) -> None:
    """Legs of a matrix have names, files, troubles and clocks of their own: none of that is in the comment."""
    project = Project.with_remote(tmp_path, config=SEVERAL)
    before, after = project.folder / "before.csv", project.folder / "after.csv"
    (project.folder / ".git/info/exclude").write_text("*.csv\n")
    for path in (before, after):
        path.write_text("x\n" + "".join(f"{i % 10}\n" for i in range(1000)))
    project.train("--model", "wine")
    project.train("--model", "beer")
    project.branch("topic", {"accuracy": 0.86})
    project.push()
    github_api.add_token("job", "github-actions[bot]", app=True, permissions={"issues": "write", "statuses": "write"})
    github_api.add_pull(7, branch="topic", commit=project.head)
    env = github(tmp_path, github_api, project, token="job")

    def leg(model: str, number: int, *more: str, code: int = 0) -> None:
        own = {**env, "GITHUB_JOB": f"train-{model}", "GITHUB_RUN_ID": str(number)}
        project.ciplug("ci", "--model", model, *more, "--", sys.executable, "train.py", env=own, code=code)

    leg("wine", 101, "--output-dir", "out")
    # The other job has neither the files of the drift gate, nor all of its own inputs.
    for path in (before, after):
        path.unlink()
    leg("beer", 202, "--params", "none.json", code=2)
    (ours,) = (c for c in github_api.comments[7] if MARKER in c["body"].splitlines())
    body = ours["body"]
    assert "## ✅ 2 models: 2 passed" in body
    assert body.count("none.json is not recorded") == 1, "the record of the run says so, to whichever job reads it"
    assert f"[run]({github_api.origin}/acme/demo/actions/runs/101)" in body
    assert f"[full report]({github_api.origin}/acme/demo/actions/runs/101#artifacts)" in body
    assert f"[run]({github_api.origin}/acme/demo/actions/runs/202)" in body
    wrote = len([c for c in github_api.wrote() if "comments" in c.path])
    for number in (303, 404):
        own = {**env, "GITHUB_JOB": "report", "GITHUB_RUN_ID": str(number)}
        project.ciplug("report", "--post", env=own)
    assert len([c for c in github_api.wrote() if "comments" in c.path]) == wrote

    # A model without gates takes nothing from what is said of the others.
    project.ciplug("record", "--model", "cider", env=env)
    project.ciplug("report", "--post", env=env)
    (ours,) = (c for c in github_api.comments[7] if MARKER in c["body"].splitlines())
    assert "## ✅ 3 models: 2 passed, 1 not judged" in ours["body"]
    assert "No gates are set for this model" in ours["body"]
