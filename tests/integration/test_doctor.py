"""`ciplug doctor` in broken worlds: the check that fails, the line that mends it, and nothing left behind."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ciplug import cli
from ciplug.commands import doctor
from tests.project import CONFIG, Project, git
from tests.servers.bitbucket_api import BitbucketApi
from tests.servers.git_http import GitServer
from tests.servers.gitea_api import GiteaApi
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi

SECRET = "s3cret-token-of-today"
ALL = {"contents": "write", "pull-requests": "write", "statuses": "write"}
PERMISSIONS = "permissions: {contents: write, pull-requests: write, statuses: write}"


@dataclass
class World:
    """A project on a git server, the forges beside it, and the environment of a job."""

    project: Project
    server: GitServer
    api: GitHubApi
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    said: str = ""

    def set(self, **env: str) -> None:
        for name, value in env.items():
            self.monkeypatch.setenv(name, value)

    def configure(self, text: str) -> None:
        (self.project.folder / "ciplug.yaml").write_text(text)

    def on_github(self, token: str = "", *, pull_request: bool = True, fork: bool = False, **granted: str) -> None:
        """The environment of a job of GitHub Actions, whose token may do what is `granted`, or all of it."""
        owner = "stranger" if fork else "acme"
        head = {"sha": self.project.head, "ref": "topic", "repo": {"full_name": f"{owner}/demo"}}
        base = {"sha": "b" * 40, "ref": "main", "repo": {"full_name": "acme/demo"}}
        payload = {"pull_request": {"number": 7, "head": head, "base": base}} if pull_request else {}
        event = self.project.folder.parent / "event.json"
        event.write_text(json.dumps({**payload, "repository": {"default_branch": "main"}}))
        self.api.add_pull(7, branch="topic", commit=self.project.head)
        if token:
            permissions = {name.replace("_", "-"): level for name, level in granted.items()} or ALL
            self.api.add_token(token, "github-actions[bot]", app=True, permissions=permissions)
            self.set(GITHUB_TOKEN=token)
        self.set(
            GITHUB_ACTIONS="true",
            GITHUB_EVENT_NAME="pull_request" if pull_request else "push",
            GITHUB_EVENT_PATH=str(event),
            GITHUB_SHA=self.project.head,
            GITHUB_REPOSITORY="acme/demo",
            GITHUB_SERVER_URL=self.api.origin,
            GITHUB_API_URL=self.api.url,
            **({"GITHUB_HEAD_REF": "topic", "GITHUB_BASE_REF": "main"} if pull_request else {}),
        )

    def refs(self) -> str:
        return git(self.server.path("demo"), "for-each-ref")

    def doctor(self, *args: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """The exit code, and what each check has found; the forge and the git server are as they were before."""
        before, pending = self.refs(), dict(self.api.comments)
        self.monkeypatch.chdir(self.project.folder)
        self.capsys.readouterr()
        code = cli.main(["doctor", "--json", *args])
        self.said, errors = self.capsys.readouterr()
        assert errors == ""
        assert self.refs() == before
        assert dict(self.api.comments) == pending
        assert not any(self.api.statuses.values())
        assert SECRET not in self.said
        shown = json.loads(self.said)
        assert shown["exit_code"] == code
        return code, {finding["check"]: finding for finding in shown["checks"]}


@pytest.fixture
def world(
    tmp_path: Path,
    git_server: GitServer,
    github_api: GitHubApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> World:
    git_server.create("demo")
    project = Project.create(tmp_path / "work", remote=git_server.url("demo"))
    return World(project, git_server, github_api, monkeypatch, capsys)


def failing(found: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, finding in found.items() if finding["state"] == "failure"]


# Each breaks one thing, and returns the check that fails, words of what it says, and words of the remedy.
Broken = Callable[[World], tuple[str, str, str]]


def no_credential(world: World) -> tuple[str, str, str]:
    world.on_github("job-token-0001")
    world.server.token = SECRET
    return "remote store", "could not read Username", "persist-credentials: true"


def expired_push_token(world: World) -> tuple[str, str, str]:
    world.server.token = "another-token"
    world.set(CIPLUG_PUSH_TOKEN=SECRET)
    return "remote store", "could not read Username", "CIPLUG_PUSH_TOKEN = a valid token"


def expired_credential_of_the_checkout(world: World) -> tuple[str, str, str]:
    world.on_github("job-token-0001")
    world.server.token = "another-token"
    _keep_credential(world, SECRET)
    return "remote store", "could not read Username", "in the job that runs ciplug"


def push_token_with_a_line_end(world: World) -> tuple[str, str, str]:
    world.set(CIPLUG_PUSH_TOKEN=SECRET + "\n")
    return "credentials", "line ends", "without a line end"


def read_only(world: World) -> tuple[str, str, str]:
    world.on_github("job-token-0001")
    world.server.token, world.server.reader = "writer", SECRET
    _keep_credential(world, SECRET)
    return "write", "403", PERMISSIONS


def read_only_on_gitlab(world: World) -> tuple[str, str, str]:
    world.set(GITLAB_CI="true", CI_PROJECT_PATH="acme/demo", CI_SERVER_URL=world.server.origin, CI_COMMIT_BRANCH="main")
    world.server.token, world.server.reader = "writer", SECRET
    _keep_credential(world, SECRET)
    return "write", "403", "CIPLUG_PUSH_TOKEN, a project access token, role Developer"


def read_only_in_jenkins(world: World) -> tuple[str, str, str]:
    world.set(JENKINS_URL="https://ci.example.com/", BRANCH_NAME="main")
    world.server.token, world.server.reader = "writer", SECRET
    _keep_credential(world, SECRET)
    return "write", "403", "withCredentials([string(credentialsId: 'ciplug-push', variable: 'CIPLUG_PUSH_TOKEN')])"


def protected_branch(world: World) -> tuple[str, str, str]:
    world.server.protect("demo", "ciplug")
    return "branch", "GH006: Protected branch", "exempt the branches 'ciplug' and 'ciplug-series'"


def protected_by_a_hook(world: World) -> tuple[str, str, str]:
    world.project.train()
    world.project.ciplug("compact")
    _hook(
        world, "while read o n ref; do [ $ref = refs/heads/ciplug ] && { echo 'not this one'; exit 1; }; done; exit 0"
    )
    world.on_github("job-token-0001")
    return "branch", "pre-receive hook declined", "Settings > Rules > Rulesets"


def every_push_declined(world: World) -> tuple[str, str, str]:
    _hook(world, "echo 'the repository is archived' >&2; exit 1")
    return "write", "archived", "allow the account of this job to push to refs/ciplug/*"


def unreachable(world: World) -> tuple[str, str, str]:
    git(world.project.folder, "remote", "set-url", "origin", "http://127.0.0.1:1/demo.git")
    return "remote store", "Failed to connect", "network"


def broken_yaml(world: World) -> tuple[str, str, str]:
    world.configure("metrics: [\n")
    return "configuration", "ciplug.yaml:", ""


def broken_policy(world: World) -> tuple[str, str, str]:
    world.configure(CONFIG.replace("min: 0.8", "min: high"))
    return "policy", "ciplug.yaml:5", ""


def no_statuses(world: World) -> tuple[str, str, str]:
    world.on_github(SECRET, contents="write", pull_requests="write")
    return "status", "Resource not accessible by integration", PERMISSIONS


def no_pull_requests(world: World) -> tuple[str, str, str]:
    world.on_github(SECRET, contents="write", statuses="write")
    return "comment", "Resource not accessible by integration", PERMISSIONS


def expired_token(world: World) -> tuple[str, str, str]:
    world.on_github(SECRET)
    del world.api.tokens[SECRET]
    return "token", "Bad credentials", "GITHUB_TOKEN: '${{ github.token }}'"


def no_token(world: World) -> tuple[str, str, str]:
    world.on_github()
    return "forge", "no token for GitHub", "GITHUB_TOKEN: '${{ github.token }}'"


def missing_library(world: World) -> tuple[str, str, str]:
    import importlib.util

    real = importlib.util.find_spec
    hide = lambda name, *more: None if name == "pyarrow" else real(name, *more)  # noqa: E731
    world.monkeypatch.setattr(importlib.util, "find_spec", hide)
    world.configure(CONFIG + "samples: {file: predictions.parquet}\n")
    return "libraries", "Parquet files", "pip install 'ciplug[parquet]'"


def a_bug(world: World) -> tuple[str, str, str]:
    world.monkeypatch.setitem(doctor.CHECKS, "spool", lambda session, before: f"{1 / 0}")
    return "spool", "a bug in ciplug: ZeroDivisionError", "report"


def _keep_credential(world: World, token: str) -> None:
    """As actions/checkout keeps it."""
    import base64

    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    key = f"http.{world.server.origin}/.extraheader"
    git(world.project.folder, "config", key, f"AUTHORIZATION: basic {basic}")


def _hook(world: World, script: str) -> None:
    hook = world.server.path("demo") / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


QUICK = (no_credential, read_only, protected_branch, no_statuses)
WHOLE = (
    *(expired_push_token, expired_credential_of_the_checkout, push_token_with_a_line_end),
    *(read_only_on_gitlab, read_only_in_jenkins, protected_by_a_hook, broken_policy),
    *(every_push_declined, unreachable, broken_yaml, no_pull_requests, expired_token, no_token, missing_library, a_bug),
)


@pytest.mark.parametrize(
    "broken", [*QUICK, *(pytest.param(one, marks=pytest.mark.slow) for one in WHOLE)], ids=lambda one: one.__name__
)
def test_what_is_broken_fails_and_the_line_is_named(world: World, broken: Broken) -> None:
    checks, said, remedy = broken(world)
    code, found = world.doctor()
    assert failing(found) == checks.split()
    assert code == (2 if broken in (broken_policy, broken_yaml) else 3)
    for check in checks.split():
        assert said in found[check]["message"]
        assert remedy in (found[check]["remedy"] or "")


@pytest.mark.slow
def test_a_whole_world_is_well(world: World) -> None:
    world.project.train()
    world.on_github(SECRET)
    world.server.token = SECRET
    _keep_credential(world, SECRET)
    code, found = world.doctor()
    assert code == 0
    assert {name: finding["state"] for name, finding in found.items() if finding["state"] != "ok"} == {}


@pytest.mark.slow
def test_a_laptop_needs_no_token(world: World) -> None:
    code, found = world.doctor()
    assert code == 0
    assert {name for name, finding in found.items() if finding["state"] == "skipped"} == {
        *("forge", "token", "pull-request", "comment", "status"),
        "credentials",
    }


def test_a_fork_is_told_what_it_is(world: World) -> None:
    world.on_github(SECRET, fork=True, contents="read")
    world.server.token, world.server.reader = "writer", SECRET
    _keep_credential(world, SECRET)
    world.server.requests.clear()
    code, found = world.doctor()
    assert code == 0, failing(found)
    assert "nothing is expected to be writable" in found["job"]["message"]
    for name in ("write", "branch", "token", "comment", "status"):
        assert found[name]["state"] == "skipped"
        assert "fork" in found[name]["message"] or "no forge" in found[name]["message"]
    assert world.api.wrote() == []
    assert all(request.service != "receive-pack" for request in world.server.requests)


@pytest.mark.slow
def test_refs_outside_of_heads_refused_is_a_warning(world: World) -> None:
    world.server.create("custom", custom_refs=False)
    git(world.project.folder, "remote", "set-url", "origin", world.server.url("custom"))
    code, found = world.doctor()
    assert code == 0
    assert found["write"]["state"] == "warning"
    assert "refs/heads/ciplug-trial/" in found["write"]["message"]
    assert git(world.server.path("custom"), "for-each-ref") == ""


@pytest.mark.slow
def test_a_shallow_clone_is_said_and_its_history_is_fetched(world: World, tmp_path: Path) -> None:
    for number in range(3):
        world.project.commit(f"commit {number}")
    world.project.push()
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=1", world.server.url("demo"), str(shallow)], check=True)
    world.project = Project(shallow)
    _, found = world.doctor()
    assert found["history"]["state"] == "ok"
    assert re.search(r"shallow; .* 4 commits of main", found["history"]["message"])


@pytest.mark.slow
def test_a_store_of_mlflow_is_named_and_not_opened(world: World) -> None:
    store = world.project.folder / "mlruns"
    store.mkdir()
    _, found = world.doctor()
    assert found["mlflow"]["message"].endswith("ciplug import mlflow ./mlruns")
    assert not list(store.iterdir())


@pytest.mark.slow
def test_what_waits_in_the_spool_is_named(world: World) -> None:
    _hook(world, "exit 1")
    world.project.train(code=3)
    _, found = world.doctor()
    assert found["spool"]["state"] == "warning"
    assert found["spool"]["message"].startswith("1 run waits to be sent")
    assert found["spool"]["remedy"] == "ciplug record --spooled"
    git(world.project.folder, "remote", "set-url", "origin", str(world.project.folder / "elsewhere.git"))
    _, found = world.doctor()
    assert found["spool"]["remedy"].startswith("ciplug record --spooled --from ")


@pytest.mark.slow
def test_a_look_folds_nothing(world: World) -> None:
    from ciplug.stores import open_store

    store = open_store(f"git+{world.server.url('demo')}", None, may_fold=False)
    for number in range(64):
        store.add({f"runs/{'a' * 40}-{number:032x}.json": b"{}"})
    _, found = world.doctor()
    assert "with 64 objects" in found["store"]["message"]


@pytest.mark.slow
def test_without_a_file_of_settings_init_is_named(world: World) -> None:
    (world.project.folder / "ciplug.yaml").unlink()
    code, found = world.doctor()
    assert code == 0
    assert found["configuration"]["state"] == "warning"
    assert found["configuration"]["remedy"] == "ciplug init"
    assert found["policy"]["state"] == "skipped"


@pytest.mark.slow
def test_without_git_the_rest_is_skipped(world: World, tmp_path: Path) -> None:
    before = world.refs()
    world.monkeypatch.setenv("PATH", str(tmp_path))
    world.monkeypatch.chdir(world.project.folder)
    assert cli.main(["doctor", "--json"]) == 3
    found = {f["check"]: f for f in json.loads(world.capsys.readouterr().out)["checks"]}
    assert failing(found) == ["git", "repository"]
    assert found["store"]["state"] == "skipped"
    world.monkeypatch.undo()
    assert world.refs() == before


@pytest.mark.slow
def test_what_a_server_says_starts_no_command_and_shows_no_token(world: World) -> None:
    world.set(CIPLUG_PUSH_TOKEN=SECRET)
    _hook(world, f"printf '::error::owned\\n##[group]x {SECRET}\\n' >&2; exit 1")
    world.monkeypatch.chdir(world.project.folder)
    assert cli.main(["doctor"]) == 3
    said = world.capsys.readouterr().out
    assert "owned" in said
    assert SECRET not in said
    assert not [line for line in said.splitlines() if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.slow
def test_an_object_store_is_tried_and_left_as_it_was(world: World, tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    store = (tmp_path / "bucket").as_uri()
    code, found = world.doctor("--store", store)
    assert code == 0
    assert found["write"]["state"] == "ok"
    assert found["branch"]["state"] == "skipped"
    assert [path for path in (tmp_path / "bucket").rglob("*") if path.is_file()] == []
    world.project.ciplug("record", "--metrics", "numbers.json", "--store", store)
    (tmp_path / "bucket" / "objects").mkdir(exist_ok=True)
    for folder in (tmp_path / "bucket", tmp_path / "bucket" / "objects"):
        folder.chmod(0o555)
    try:
        code, found = world.doctor("--store", store)
    finally:
        for folder in (tmp_path / "bucket", tmp_path / "bucket" / "objects"):
            folder.chmod(0o755)
    # As root a folder is always writable.
    if (tmp_path / "bucket").stat().st_uid != 0:
        assert failing(found) == ["write"]


@pytest.mark.slow
def test_gitlab_by_scopes_and_role(world: World, gitlab_api: GitLabApi) -> None:
    world.set(
        GITLAB_CI="true", CI_PROJECT_PATH="acme/demo", CI_SERVER_URL=gitlab_api.url, CI_API_V4_URL=gitlab_api.api_url,
        CI_COMMIT_SHA=world.project.head, CI_MERGE_REQUEST_IID="7", CI_MERGE_REQUEST_PROJECT_PATH="acme/demo",
        CI_MERGE_REQUEST_SOURCE_PROJECT_ID="7", CI_MERGE_REQUEST_PROJECT_ID="7", CI_PROJECT_ID="7",
        CI_MERGE_REQUEST_TARGET_BRANCH_NAME="main", CI_JOB_TOKEN="job-token-of-gitlab",
    )  # fmt: skip
    gitlab_api.add_merge_request(7, commit=world.project.head)
    code, found = world.doctor()
    assert failing(found) == ["forge"]
    assert "CIPLUG_GITLAB_TOKEN, a project access token, role Developer, scope api" in found["forge"]["remedy"]
    for token, scopes, role, expected in (
        ("whole-token", ("api",), "developer", []),
        ("reading-token", ("read_api",), "developer", ["comment", "status"]),
        ("reporter-token", ("api",), "reporter", ["status"]),
        ("guest-token", ("api",), "guest", ["status"]),
        ("job-token-of-gitlab", ("api",), "developer", ["token"]),
    ):
        gitlab_api.add_token(token, token, scopes=scopes, role=role)  # type: ignore[arg-type]
        world.set(CIPLUG_GITLAB_TOKEN=token)
        code, found = world.doctor()
        assert failing(found) == expected, token
        assert code == (3 if expected else 0)
    assert gitlab_api.wrote() == []


@pytest.mark.slow
def test_gitea_by_requests_that_are_refused(world: World, gitea_api: GiteaApi) -> None:
    gitea_api.add_pull(7, branch="main", commit=world.project.head)
    world.set(CIPLUG_GITEA_URL=gitea_api.url, BRANCH_NAME="topic", JENKINS_URL="https://ci.example.com/")
    world.set(
        CHANGE_ID="7", CHANGE_BRANCH="main", CHANGE_TARGET="main", CHANGE_URL=f"{gitea_api.url}/acme/demo/pulls/7"
    )
    for token, scopes, writer, expected in (
        ("whole-token", ("write:issue", "write:repository", "read:user"), True, []),
        ("no-issues-token", ("write:repository", "read:user"), True, ["comment"]),
        ("strangers-token", ("write:issue", "write:repository"), False, ["status"]),
    ):
        gitea_api.add_token(token, token, scopes=scopes, writer=writer)
        world.set(CIPLUG_GITEA_TOKEN=token)
        _, found = world.doctor()
        assert failing(found) == expected, token
        for check in expected:
            assert "withCredentials" in found[check]["remedy"]
    assert not any(gitea_api.comments.values())
    assert not any(gitea_api.statuses.values())


@pytest.mark.slow
def test_bitbucket_by_its_header(world: World, bitbucket_api: BitbucketApi) -> None:
    bitbucket_api.add_pull(7, commit=world.project.head)
    world.set(
        BITBUCKET_BUILD_NUMBER="1", BITBUCKET_COMMIT=world.project.head, BITBUCKET_PR_ID="7", BITBUCKET_BRANCH="topic",
        BITBUCKET_PR_DESTINATION_BRANCH="main", BITBUCKET_REPO_FULL_NAME="acme/demo",
        CIPLUG_BITBUCKET_URL=bitbucket_api.url,
    )  # fmt: skip
    for token, scopes, expected in (
        ("whole-token", ("pullrequest:write",), []),
        ("reading-token", ("repository",), ["comment"]),
    ):
        bitbucket_api.add_token(token, token, scopes=scopes, app=True)
        world.set(CIPLUG_BITBUCKET_TOKEN=token)
        _, found = world.doctor()
        assert failing(found) == expected, token
    assert bitbucket_api.wrote() == []


def test_the_page_lists_every_check() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == [*doctor.MACHINE, *doctor.CHECKS]
