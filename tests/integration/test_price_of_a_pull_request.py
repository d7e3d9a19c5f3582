"""What the job of a pull request costs is counted: requests of git and of the forge, and processes of git."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from tests.project import Project, git
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi

REQUESTS, CALLS, PROCESSES = 16, 8, 20


@pytest.fixture
def clone(tmp_path: Path, git_server: GitServer, github_api: GitHubApi) -> Project:
    """The clone of a pull request's job, one commit deep; the tip of main has a run."""
    git_server.create("acme/demo")
    project = Project.create(tmp_path / "project", remote=git_server.url("acme/demo"))
    project.train()
    project.ciplug("compact")
    project.branch("topic", {"accuracy": 0.86})
    project.push()
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", "--branch=topic", git_server.url("acme/demo"), str(folder))
    (folder / "metrics.json").write_text(json.dumps({"accuracy": 0.86}))
    github_api.add_token("job", "github-actions[bot]", app=True)
    github_api.add_pull(7, branch="topic", commit=project.head)
    return Project(folder)


def job(clone: Project, api: GitHubApi, folder: Path) -> dict[str, str]:
    """The environment of the job, with a git that notes each of its calls in `calls`."""
    programs, calls, program = folder / "programs", folder / "calls", shutil.which("git")
    programs.mkdir()
    assert program
    (programs / "git").write_text(f'#!/bin/sh\necho "$*" >> {shlex.quote(str(calls))}\nexec {program} "$@"\n')
    (programs / "git").chmod(0o755)
    here = {"full_name": "acme/demo", "fork": False}
    pull = {
        "number": 7,
        "head": {"sha": clone.head, "ref": "topic", "repo": here},
        "base": {"sha": "b" * 40, "ref": "main", "repo": here},
    }
    event = folder / "event.json"
    event.write_text(json.dumps({"number": 7, "pull_request": pull, "repository": {**here, "default_branch": "main"}}))
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SHA": "d" * 40, "GITHUB_REF": "refs/pull/7/merge", "GITHUB_REF_NAME": "7/merge",
        "GITHUB_HEAD_REF": "topic", "GITHUB_BASE_REF": "main", "GITHUB_REPOSITORY": "acme/demo",
        "GITHUB_SERVER_URL": api.origin, "GITHUB_API_URL": api.url, "GITHUB_RUN_ID": "42", "GITHUB_ACTOR": "octocat",
        "GITHUB_TOKEN": "job",
    }  # fmt: skip


@pytest.mark.slow
def test_requests_and_processes_of_the_job(
    tmp_path: Path, clone: Project, git_server: GitServer, github_api: GitHubApi
) -> None:
    env = job(clone, github_api, tmp_path)
    before = len(git_server.requests)
    done = clone.ciplug("ci", env=env)
    assert "PASS" in done.stdout and github_api.comments[7]
    asked = git_server.requests[before:]
    started = (tmp_path / "calls").read_text().splitlines()
    assert len(asked) <= REQUESTS, asked
    assert len(github_api.calls) <= CALLS, github_api.calls
    assert len(started) <= PROCESSES, "\n".join(started)


def test_a_base_that_moves_during_the_training_is_seen(
    tmp_path: Path, clone: Project, git_server: GitServer, github_api: GitHubApi
) -> None:
    """Its tip is asked for once for the policy, and not once more for the commits to compare with: but a training
    may take hours.
    """
    other = Project(tmp_path / "project")
    git(other.folder, "checkout", "-q", "main")
    later = tmp_path / "later.sh"
    later.write_text(
        f"set -e\ncd {shlex.quote(str(other.folder))}\ngit commit -q --allow-empty -m later\ngit push -q origin main\n"
    )
    clone.ciplug("ci", "--", "sh", str(later), env=job(clone, github_api, tmp_path), code=None)
    side = next((clone.folder / ".git" / "ciplug" / "git").glob("history-*.git"))
    assert git(side, "rev-parse", "refs/history/target") == other.head
