"""The action and the workflows to copy, run by act on the payloads of real events, against our git server and GitHub.

act hides no secret, keeps no permission and asks no reviewer; those of the token are our GitHub's to keep, and the
reviews are what it is told.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import github_events as events
from tests.e2e.conftest import ROOT
from tests.e2e.github_runner import Job, Runner, local_actions
from tests.e2e.project import MARKER, Project
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi

pytestmark = pytest.mark.e2e

_WORKFLOWS = {
    f".github/workflows/{name}.yml": (ROOT / "templates/github" / f"{name}.yml").read_text()
    for name in ("train", "promote", "monitor")
}
_LATER = """\
      - name: A later step
        if: always()
        run: |
          printf '%s\\n' "$RUN_ID" "$VERDICT" "$REPORT" "$COMMENT" > "$SEEN/outputs"
          cp -r ciplug-report "$SEEN/" || true
        env:
          RUN_ID: ${{ steps.ciplug.outputs.run-id }}
          VERDICT: ${{ steps.ciplug.outputs.verdict }}
          REPORT: ${{ steps.ciplug.outputs.report }}
          COMMENT: ${{ steps.ciplug.outputs.comment-url }}
"""


def outputs(job: Job) -> list[str]:
    """run-id, verdict, report, comment-url: what the later step of train.yml was given."""
    return (job.seen / "outputs").read_text().splitlines()


def posted(api: GitHubApi) -> list[str]:
    """What was changed on GitHub, beside the artifacts, which a service of its own takes."""
    return [call.path for call in api.wrote() if not call.path.startswith("/uploads/")]


@pytest.fixture
def files() -> dict[str, str]:
    """The files of the project, beside those that every project has."""
    train = ".github/workflows/train.yml"
    return {
        **_WORKFLOWS,
        train: _WORKFLOWS[train].replace("      - if: always()\n", f"{_LATER}      - if: always()\n", 1),
    }


@pytest.fixture
def project(git_server: GitServer, tmp_path: Path, files: dict[str, str]) -> Project:
    return Project(git_server, tmp_path / "project", files)


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
    github_api.add_token("fork-token", "github-actions[bot]", permissions={"contents": "read"}, app=True)
    options = ["--env", f"PIP_CACHE_DIR={pip_cache}"]
    options += local_actions("".join(_WORKFLOWS.values()), tmp_path, source=source, python=user_python)
    return Runner(tool("act"), project, github_api, tmp_path, options)


class TestTrain:
    def test_a_pull_request_is_recorded_compared_and_commented_on_once(
        self, runner: Runner, project: Project, github_api: GitHubApi, user_python: Path
    ) -> None:
        job = runner.push(project.main).ok()
        job.says(f"trained by {user_python.parent}", "Python 3.12")
        assert outputs(job)[3] == ""

        head = project.pull_request(7, "topic", 0.92)
        github_api.add_pull(7, branch="topic", commit=head)
        job = runner.pull_request(7, "topic", head).ok()
        job.says("reused", "Summary - ")
        [comment] = github_api.comments[7]
        assert MARKER in comment["body"].splitlines() and "0.92" in comment["body"]
        assert [status["state"] for status in github_api.statuses[head]] == ["success"]
        run_id, verdict, report, url = outputs(job)
        assert verdict == "PASS"
        assert run_id in "".join(project.stored(run_id))
        assert url == comment["html_url"]
        assert report.endswith("ciplug-report/report.html")
        assert {"report.html", "report.json", "report.md", "junit.xml", "metrics.txt"} == {
            f.name for f in (job.seen / "ciplug-report").iterdir()
        }
        assert project.inbox()
        # The run belongs to the pull request's head, though the merge is what was checked out.
        assert any(f'"commit":"{head}"' in text for text in project.stored(run_id))
        # The model was handed over beside the record.
        [stored] = [json.loads(text) for text in project.stored(run_id) if '"metrics"' in text]
        assert [artifact["store"] for artifact in stored["artifacts"]] == ["git:"]

        runner.pull_request(7, "topic", head).ok()
        [again] = github_api.comments[7]
        assert again["id"] == comment["id"]

    def test_a_failing_gate_fails_the_job_and_says_so(
        self, runner: Runner, project: Project, github_api: GitHubApi, tmp_path: Path
    ) -> None:
        project.record_main(tmp_path / "main")
        head = project.pull_request(8, "worse", 0.7)
        github_api.add_pull(8, branch="worse", commit=head)
        job = runner.pull_request(8, "worse", head).failed()
        [comment] = github_api.comments[8]
        assert "accuracy" in comment["body"]
        assert github_api.statuses[head][-1]["state"] == "failure"
        assert outputs(job)[1] == "FAIL"

    @pytest.mark.parametrize(("quality", "verdict"), [(0.95, "PASS"), (0.7, "FAIL")])
    def test_a_fork_writes_nothing_and_is_told_all_the_same(
        self,
        runner: Runner,
        project: Project,
        github_api: GitHubApi,
        git_server: GitServer,
        tmp_path: Path,
        quality: float,
        verdict: str,
    ) -> None:
        project.record_main(tmp_path / "main")
        head = project.pull_request(9, "topic", quality)
        github_api.add_pull(9, branch="topic", commit=head, owner="stranger")
        git_server.reader = "fork-token"
        before, asked = project.refs(), len(git_server.requests)
        job = runner.pull_request(9, "topic", head, owner="stranger", token="fork-token", git_token="fork-token")
        assert (job.code == 0) == (verdict == "PASS"), job.log
        assert project.refs() == before
        assert not [r for r in git_server.requests[asked:] if r.service == "receive-pack"]
        assert posted(github_api) == []
        assert outputs(job) == ["", "NONE", "", ""]
        [(_, about, data)] = github_api.artifacts.values()
        assert re.fullmatch("ciplug-run-[0-9a-f]{32}", about["name"])
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
        assert {"bundle.ndjson", "report.html"} <= set(names) and not [n for n in names if n.startswith("files/")]
        kept = "a fork's job must not write the store: the run is in ciplug-report/bundle.ndjson"
        left = "a fork's job must not write the store: the job that calls `ciplug collect` records its run"
        job.says("Summary - ", kept, left)


_CALLER = """\
on: [push, merge_group]
jobs:
  train:
    uses: ./.github/workflows/train.yml
    with:
      command: |
        echo "quality as $(cat params.json)"
        python train.py
      baseline: {baseline}
      promote-to: staging
      requirements: more.txt
      python-version: "3.13"
      artifact: the-report
  after:
    needs: train
    runs-on: ubuntu-latest
    steps:
      - run: echo "after $VERDICT of $RUN_ID"
        env:
          VERDICT: ${{{{ needs.train.outputs.verdict }}}}
          RUN_ID: ${{{{ needs.train.outputs.run-id }}}}
"""


class TestCalled:
    @pytest.fixture
    def files(self) -> dict[str, str]:
        name = ".github/workflows/{}.yml"
        callers = {
            name.format("caller"): _CALLER.format(baseline="old"),
            name.format("lost"): _CALLER.format(baseline="new"),
        }
        return {**_WORKFLOWS, **callers, "more.txt": ""}

    def test_its_inputs_arrive_and_its_outputs_leave(
        self, runner: Runner, project: Project, github_api: GitHubApi, tmp_path: Path
    ) -> None:
        project.record_main(tmp_path / "main")
        # A tag, which a default checkout does not have.
        subprocess.run(["git", "push", "--quiet", "origin", "HEAD:refs/tags/old"], cwd=project.folder, check=True)
        project.main = project.commit("main", 0.92)
        job = runner.push(project.main, workflow="caller.yml").ok()
        assert "the-report" in [about["name"] for _, about, _ in github_api.artifacts.values()]
        job.says('quality as {"quality": 0.92}', "Python 3.13", "Compared with 'old' as asked for")
        [run_id] = re.findall(r"after PASS of (\w+)", job.log)
        assert project.stored(run_id)
        assert any('"promote"' in text for text in project.stored("registry/"))

        trained = len(project.stored("runs/"))
        job = runner.push(project.main, workflow="lost.yml").failed().says("no commit, branch or tag named 'new'")
        assert "quality as" not in job.log and len(project.stored("runs/")) == trained

    def test_nothing_is_promoted_from_the_merge_queue(self, runner: Runner, project: Project, tmp_path: Path) -> None:
        project.record_main(tmp_path / "main")
        subprocess.run(["git", "push", "--quiet", "origin", "HEAD:refs/tags/old"], cwd=project.folder, check=True)
        queue = f"gh-readonly-queue/main/pr-7-{project.main}"
        head = project.commit(queue, 0.92)
        job = runner.run("merge_group", events.merge_group(7, head, project.main), queue, workflow="caller.yml").ok()
        job.says("not promoted to staging")
        assert not project.stored("registry/")


_STAGES = """\
version: 1
model: wine
metrics: metrics.json
artifacts: model.json
gates:
  accuracy: {higher_is_better: true, min: 0.5, max_regression: 0.01}
stages:
  staging: {gates: all, approvals: {environment: staging, not_author: true}}
"""
_CALLS_PROMOTE = """\
on: pull_request
jobs:
  promote:
    uses: ./.github/workflows/promote.yml
    with: {model: wine, stage: staging}
"""


class TestPromote:
    @pytest.fixture
    def files(self) -> dict[str, str]:
        return {**_WORKFLOWS, "ciplug.yaml": _STAGES, ".github/workflows/caller.yml": _CALLS_PROMOTE}

    def test_a_reviewer_who_is_not_the_author_decides(
        self, runner: Runner, project: Project, github_api: GitHubApi, tmp_path: Path
    ) -> None:
        project.record_main(tmp_path / "main")
        github_api.authors[project.main] = "ada"
        [run] = [json.loads(text)["id"] for text in project.stored("runs/") if text.startswith("{")]
        # The model has moved on since, so the run is another commit's.
        project.commit("main", 0.91)
        form = {"model": "wine", "stage": "staging", "run": run, "version": "", "reason": 'it\'s "better" $(exit 1)'}

        def dispatch(number: int) -> Job:
            payload = events.workflow_dispatch("promote.yml", form)
            return runner.run(
                "workflow_dispatch", payload, workflow="promote.yml", whole=True, GITHUB_RUN_ID=str(number)
            )

        nobody = "requires an approval of the environment 'staging' in this pipeline run, and nobody has given one"
        dispatch(71).failed().says(nobody)
        github_api.reviews[72] = [("ada", "approved", "staging"), ("bob", "rejected", "staging")]
        dispatch(72).failed().says("only its author has given one (ada)")
        assert not project.stored("registry/")
        github_api.reviews[73] = [("bob", "approved", "staging")]
        dispatch(73).ok().says("wine version 1 is in Staging")
        [event] = [text for text in project.stored("registry/") if '"promote"' in text]
        assert "environment staging, approved by bob" in event
        assert json.loads(event)["payload"]["reason"] == form["reason"]

    def test_a_pull_request_gets_no_job(self, runner: Runner, project: Project, github_api: GitHubApi) -> None:
        head = project.pull_request(9, "topic", 0.95)
        job = runner.pull_request(9, "topic", head, workflow="caller.yml").ok()
        assert "Set up job" not in job.log
        assert github_api.calls == []


_MATRIX = """\
on: push
jobs:
  train:
    runs-on: ubuntu-latest
    strategy: {matrix: {noise: [0.01, 0.02]}, max-parallel: 1}
    env: {NOISE: "${{ matrix.noise }}"}
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with: {persist-credentials: true}
      - uses: your-org/ciplug@0000000000000000000000000000000000000000
        with: {command: python train.py, seed: "1"}
"""
_NOISY = """\
import json, os, pathlib

accuracy = 0.9 - float(os.environ["NOISE"])
pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": accuracy}))
pathlib.Path("model.json").write_text("a model")
"""


class TestMatrix:
    @pytest.fixture
    def files(self) -> dict[str, str]:
        return {**_WORKFLOWS, ".github/workflows/matrix.yml": _MATRIX, "train.py": _NOISY}

    def test_legs_that_only_a_variable_tells_apart_are_no_re_runs(
        self, runner: Runner, project: Project, tmp_path: Path
    ) -> None:
        runner.push(project.main, workflow="matrix.yml").ok()
        runs = [json.loads(text) for text in project.stored("runs/") if text.startswith("{")]
        legs = sorted((run["provenance"]["context"]["leg"], run["provenance"]["context"]["job"]) for run in runs)
        assert legs == [("noise=0.01", "train"), ("noise=0.02", "train")]
        project.checkout(tmp_path / "main", "main")
        shown = " ".join(project.ciplug(tmp_path / "main", "report").split())
        assert "FLAKY" not in shown and "they differ in leg of the matrix (noise=0.0" in shown


_NIGHTLY = """\
version: 1
models:
  wine:
    metrics: metrics.json
    params: params.json
    artifacts: model.json
    gates:
      accuracy: {higher_is_better: true, min: 0.5, max_regression: 0.01}
  wine-nightly:
    metrics: nightly.json
    datasets: production-model
    baseline: previous
    gates:
      accuracy: {higher_is_better: true, min: 0.5, max_regression: 0.02}
"""
_EVALUATE = """\
import json, os, pathlib, sys

quality = json.loads(pathlib.Path(sys.argv[1], "model.json").read_text())["quality"]
pathlib.Path("nightly.json").write_text(json.dumps({"accuracy": quality - float(os.environ["DRIFT"])}))
"""


class TestMonitor:
    @pytest.fixture
    def files(self) -> dict[str, str]:
        return {**_WORKFLOWS, "ciplug.yaml": _NIGHTLY, "evaluate.py": _EVALUATE}

    def test_what_is_in_production_is_judged_by_the_night_before(
        self, runner: Runner, project: Project, github_api: GitHubApi, tmp_path: Path
    ) -> None:
        project.record_main(tmp_path / "main", "--model", "wine")
        nightly = events.schedule("17 4 * * *", "monitor.yml")
        runner.run("schedule", nightly, workflow="monitor.yml", DRIFT="0").failed().says(
            "the registry has no model 'wine'"
        )
        for stage in ("staging", "production"):
            project.ciplug(tmp_path / "main", "promote", "wine", "--to", stage)

        # The commit is the same each night: what differs is the data.
        runner.run("schedule", nightly, workflow="monitor.yml", DRIFT="0").ok().says("0.9")
        runner.run("schedule", nightly, workflow="monitor.yml", DRIFT="0.01").ok()
        worse = "0.85 is 0.04 worse than the baseline's 0.89, allowed 0.02"
        runner.run("schedule", nightly, workflow="monitor.yml", DRIFT="0.05").failed().says(worse)
        runs = [json.loads(text) for text in project.stored("runs/") if text.startswith("{")]
        nights = [run for run in runs if run["model"] == "wine-nightly"]
        assert len(nights) == 3 == len(runs) - 1
        # The model that was evaluated stands in the record, by its digest.
        assert [d["path"] for run in nights for d in run["datasets"]] == ["production-model"] * 3
        assert len({d["digest"] for run in nights for d in run["datasets"]}) == 1
        # The trained model is compared with what was trained.
        shown = project.ciplug(tmp_path / "main", "compare", "--model", "wine", "--format", "json")
        assert "wine-nightly" not in shown
        assert posted(github_api) == []
