"""The action and the workflow to copy, run by act against our git server and our GitHub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.e2e.github_runner import Runner, local_actions
from tests.e2e.project import MARKER, Project
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi

pytestmark = pytest.mark.e2e

_TEMPLATE = (ROOT / "templates/github/train.yml").read_text()
_LATER = """\
        id: ciplug
      - name: A later step
        if: always()
        run: printf '%s\\n' "$RUN_ID" "$VERDICT" "$REPORT" "$COMMENT" > "$SEEN/outputs" && cp -r ciplug-report "$SEEN/"
        env:
          RUN_ID: ${{ steps.ciplug.outputs.run-id }}
          VERDICT: ${{ steps.ciplug.outputs.verdict }}
          REPORT: ${{ steps.ciplug.outputs.report }}
          COMMENT: ${{ steps.ciplug.outputs.comment-url }}
"""


@pytest.fixture
def workflow() -> str:
    return _TEMPLATE.replace("      - if: always()\n", f"{_LATER}      - if: always()\n", 1)


@pytest.fixture
def project(git_server: GitServer, tmp_path: Path, workflow: str) -> Project:
    return Project(git_server, tmp_path / "project", {".github/workflows/train.yml": workflow})


@pytest.fixture
def runner(
    tool: Callable[[str], str],
    project: Project,
    github_api: GitHubApi,
    source: Path,
    user_python: Path,
    pip_cache: str,
    tmp_path: Path,
) -> Runner:
    rights = {"contents": "write", "pull-requests": "write", "statuses": "write"}
    github_api.add_token("job-token", "github-actions[bot]", permissions=rights, app=True)
    options = ["--env", f"PIP_CACHE_DIR={pip_cache}"]
    options += local_actions(_TEMPLATE, tmp_path, source=source, python=user_python)
    return Runner(tool("act"), project, github_api, tmp_path, options)


def test_a_pull_request_is_recorded_compared_and_commented_on_once(
    runner: Runner, project: Project, github_api: GitHubApi, user_python: Path
) -> None:
    code, log, seen = runner.push(project.main)
    assert code == 0, log
    assert f"trained by {user_python.parent}" in log
    assert (seen / "outputs").read_text().splitlines()[3] == ""

    head = project.pull_request(7, "topic", 0.92)
    github_api.add_pull(7, branch="topic", commit=head)
    code, log, seen = runner.pull_request(7, "topic", head)
    assert code == 0, log
    [comment] = github_api.comments[7]
    assert MARKER in comment["body"].splitlines() and "0.92" in comment["body"]
    assert [status["state"] for status in github_api.statuses[head]] == ["success"]
    run_id, verdict, report, url = (seen / "outputs").read_text().splitlines()
    assert verdict == "PASS"
    assert run_id in "".join(project.stored(run_id))
    assert url == comment["html_url"]
    assert report.endswith("ciplug-report/report.html")
    assert {"report.html", "report.json", "report.md", "junit.xml", "metrics.txt"} == {
        f.name for f in (seen / "ciplug-report").iterdir()
    }
    assert "Summary - " in log
    assert project.inbox()
    # The run belongs to the pull request's head, though the merge is what was checked out.
    assert any(f'"commit":"{head}"' in text for text in project.stored(run_id))

    code, log, _ = runner.pull_request(7, "topic", head)
    assert code == 0, log
    [again] = github_api.comments[7]
    assert again["id"] == comment["id"]


def test_a_failing_gate_fails_the_job_and_says_so(
    runner: Runner, project: Project, github_api: GitHubApi, tmp_path: Path
) -> None:
    project.record_main(tmp_path / "main")
    head = project.pull_request(8, "worse", 0.7)
    github_api.add_pull(8, branch="worse", commit=head)
    code, log, seen = runner.pull_request(8, "worse", head)
    assert code != 0, log
    [comment] = github_api.comments[8]
    assert "accuracy" in comment["body"]
    assert github_api.statuses[head][-1]["state"] == "failure"
    assert (seen / "outputs").read_text().splitlines()[1] == "FAIL"
    assert "job-token" not in log


class TestPromotion:
    @pytest.fixture
    def workflow(self) -> str:
        return _TEMPLATE.replace("{command: python train.py}", "{command: python train.py, promote-to: staging}")

    def test_promotes_from_main_and_never_from_a_pull_request(
        self, runner: Runner, project: Project, github_api: GitHubApi
    ) -> None:
        head = project.pull_request(9, "topic", 0.95)
        github_api.add_pull(9, branch="topic", commit=head)
        code, log, _ = runner.pull_request(9, "topic", head)
        assert code == 0, log
        assert not project.stored("registry/")
        code, log, _ = runner.push(project.main)
        assert code == 0, log
        assert any('"promote"' in text for text in project.stored("registry/"))


def test_a_wrong_input_is_named(runner: Runner, project: Project) -> None:
    workflow = project.folder / ".github/workflows/train.yml"
    workflow.write_text(workflow.read_text().replace("train.py}", "train.py, comment: perhaps}"))
    project.main = project.commit("main", 0.9001)
    code, log, _ = runner.push(project.main)
    assert code != 0
    assert "input 'comment': 'perhaps' is neither true nor false" in log
