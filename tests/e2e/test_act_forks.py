"""A fork's pull request, and a matrix, by act: what one workflow leaves is what the other one finds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bundles import a_run, packed, zipped
from tests.e2e import github_events as events
from tests.e2e.conftest import ROOT
from tests.e2e.github_runner import REPOSITORY, Runner, local_actions
from tests.e2e.project import MARKER, TOKEN, Project
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi

pytestmark = [pytest.mark.e2e]

WORKFLOWS = {name: (ROOT / f"templates/github/{name}.yml").read_text() for name in ("train", "collect", "matrix")}
RUN = 1  # act gives its runs no other number

TRAIN = """\
import json, os, pathlib, subprocess, sys

model = sys.argv[2] if len(sys.argv) > 2 else "wine"
quality = json.loads(pathlib.Path("params.json").read_text())["quality"]
quality += {"wine": 0, "ridge": 0, "forest": 0.01, "boosting": 0.02}[model]
pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": round(quality, 4)}))
pathlib.Path(os.environ.get("SEEN", "."), f"environment-{model}.json").write_text(json.dumps(dict(os.environ)))
"""
CONFIG = """\
version: 1
metrics: metrics.json
params: params.json
gates:
  accuracy: {higher_is_better: true, min: 0.5, max_regression: 0.01}
"""
PUSHES = """
refused = subprocess.run(
    ["git", "push", "origin", "HEAD:refs/heads/ciplug", "HEAD:refs/ciplug/inbox/1"], capture_output=True, text=True
)
pathlib.Path(os.environ["SEEN"], "push").write_text(refused.stderr)
"""


@pytest.fixture
def project(git_server: GitServer, tmp_path: Path) -> Project:
    files = {f".github/workflows/{name}.yml": text for name, text in WORKFLOWS.items()}
    git_server.reader = "fork-token"
    return Project(git_server, tmp_path / "project", {**files, "train.py": TRAIN, "ciplug.yaml": CONFIG})


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
    rights = {"actions": "read", "contents": "write", "pull-requests": "write", "statuses": "write"}
    github_api.add_token("job-token", "github-actions[bot]", permissions=rights, app=True)
    reads = {"actions": "read", "contents": "read", "pull-requests": "read", "statuses": "read"}
    github_api.add_token("fork-token", "github-actions[bot]", permissions=reads, app=True)
    options = ["--env", f"PIP_CACHE_DIR={pip_cache}"]
    options += local_actions("".join(WORKFLOWS.values()), tmp_path, source=source, python=user_python)
    return Runner(tool("act"), project, github_api, tmp_path, options)


def as_fork(runner: Runner, number: int, head: str, *, workflow: str = "train.yml") -> tuple[int, str, Path]:
    """The fork's own job: all that it is given is a token that reads."""
    return runner.pull_request(
        number, "topic", head, owner="stranger", workflow=workflow, token="fork-token", git_token="fork-token"
    )


def collect(
    runner: Runner, head: str, *, owner: str = "stranger", workflow: str = "collect.yml"
) -> tuple[int, str, Path]:
    """The workflow that follows: on the default branch, with the repository's own token."""
    head_repository = {"id": 2, "full_name": f"{owner}/demo", "fork": owner != "acme", "owner": {"login": owner}}
    run = {
        "id": RUN, "name": "train", "event": "pull_request", "status": "completed", "conclusion": "success",
        "head_branch": "topic", "head_sha": head, "run_number": 5, "run_attempt": 1, "workflow_id": 3,
        "pull_requests": [], "path": ".github/workflows/train.yml", "display_title": "::error::@octocat #1",
        "head_commit": {"id": head, "message": "$(touch pwned) `id` ::set-output name=a::b", "author": {"name": "x"}},
        "repository": {"id": 1, **REPOSITORY}, "head_repository": head_repository, "actor": {"login": owner},
    }  # fmt: skip
    payload: dict[str, Any] = {
        "action": "completed", "repository": {"id": 1, **REPOSITORY}, "workflow_run": run,
        "workflow": {"id": 3, "name": "train", "path": ".github/workflows/train.yml"}, "sender": {"login": owner},
    }  # fmt: skip
    return runner.run("workflow_run", payload, "main", workflow=workflow)


def tokens_seen(seen: Path, *tokens: str) -> list[str]:
    """Variables of a training that hold one of these, or are ours to hold one."""
    found = []
    for file in seen.glob("environment-*.json"):
        for name, value in json.loads(file.read_text()).items():
            if any(token in value for token in tokens) or re.fullmatch(r"CIPLUG_\w*TOKEN|CIPLUG_INPUT_\w+", name):
                found.append(name)
    return found


def test_a_fork_s_pull_request_from_its_job_to_the_comment(
    runner: Runner, project: Project, github_api: GitHubApi, tmp_path: Path
) -> None:
    code, log, seen = runner.push(project.main)
    assert code == 0, log
    assert (seen / "environment-wine.json").exists() and not tokens_seen(seen, "job-token", TOKEN)
    before = project.refs()
    github_api.artifacts.clear()

    head = project.fork(7, 0.92, {"train.py": TRAIN + PUSHES})
    github_api.add_pull(7, branch="topic", commit=head, owner="stranger")
    code, log, seen = as_fork(runner, 7, head)
    assert code == 0, log
    assert "a fork's job must not write the store" in log
    assert (seen / "environment-wine.json").exists() and not tokens_seen(seen, "job-token", TOKEN)
    # What its code tries with the credential of the checkout.
    assert "403" in (seen / "push").read_text()
    assert project.refs() == [*before, "refs/pull/7/head", "refs/pull/7/merge"]
    assert not github_api.comments[7] and head not in github_api.statuses
    [(_, about, _)] = github_api.artifacts.values()
    assert re.fullmatch("ciplug-run-[0-9a-f]{32}", about["name"])

    github_api.add_run(RUN, commit=head, owner="stranger")
    code, log, _ = collect(runner, head)
    assert code == 0, log
    assert "is not trusted" in log and "1 run of 1 bundle recorded" in log
    [comment] = github_api.comments[7]
    assert MARKER in comment["body"].splitlines() and "merge base" in comment["body"]
    assert re.search(r"accuracy.*\b0\.92\b.*\b0\.90?\b.*\b0\.02\b", comment["body"])
    assert [status["state"] for status in github_api.statuses[head]] == ["success"]
    [record] = [json.loads(text) for text in project.stored(f"runs/{head}-") if '"metrics"' in text]
    assert record["provenance"]["context"]["trusted"] is False and record["metrics"] == {"accuracy": 0.92}
    assert "job-token" not in log and not list(tmp_path.rglob("pwned"))

    # Once more, and nothing is new; a branch's own run is none of this workflow's business.
    code, log, _ = collect(runner, head)
    assert code == 0 and "1 run of 1 bundle was already recorded" in log, log
    assert [c["id"] for c in github_api.comments[7]] == [comment["id"]]
    posted = len(github_api.calls)
    code, log, _ = collect(runner, head, owner="acme")
    assert len(github_api.calls) == posted, log

    # The pull request moves on: what the old run left speaks for it no longer.
    newer = project.fork(7, 0.93)
    github_api.pulls[7]["head"]["sha"] = newer
    code, log, _ = collect(runner, head)
    assert code == 0 and f"pull request #7 has moved on to {newer[:8]}" in log, log
    assert github_api.comments[7] == [comment] and newer not in github_api.statuses


def only(job: str) -> tuple[str, dict[str, str]]:
    """A workflow of one job of train.yml, and the permissions of that job, which act does not enforce."""
    workflow = yaml.safe_load(WORKFLOWS["train"])
    of_job = workflow["jobs"][job]
    rights = {name: of_job["permissions"].get(name, "none") for name in ("contents", "pull-requests", "statuses")}
    alone = {name: value for name, value in of_job.items() if name not in ("needs", "if")}
    return yaml.safe_dump({"on": {"push": {}}, "permissions": {}, "jobs": {job: alone}}), rights


def test_the_training_has_no_token_that_writes(runner: Runner, project: Project, github_api: GitHubApi) -> None:
    """Each job by itself, with a token of just its permissions; the training tries to push with what it finds."""
    for job in ("train", "ciplug"):
        text, rights = only(job)
        (project.folder / f".github/workflows/only-{job}.yml").write_text(text)
        github_api.add_token(f"{job}-token", "github-actions[bot]", permissions=rights, app=True)
        assert (rights["contents"] == "write") == (job == "ciplug")
    (project.folder / "train.py").write_text(TRAIN + PUSHES)
    project.main = project.commit("main", 0.9)
    before = project.refs()
    project.server.reader = "train-token"
    job = runner.run(
        "push", events.push(project.main), workflow="only-train.yml", token="train-token", git_token="train-token"
    ).ok()
    assert "403" in (job.seen / "push").read_text() and not tokens_seen(job.seen, "train-token")
    assert project.refs() == before and not github_api.statuses
    runner.run("push", events.push(project.main), workflow="only-ciplug.yml", token="ciplug-token").ok()
    assert [status["state"] for status in github_api.statuses[project.main]] == ["success"]
    assert project.stored(f"runs/{project.main}-")


EVIL = """\
          bundle: ciplug-report/bundle.ndjson
      - name: The fork's own step
        if: always()
        run: python3 evil.py
      - if: always()
        uses: actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0
        with: {name: ciplug-report, path: ciplug-report}
"""
EVIL_PY = """\
import json, pathlib

file = pathlib.Path("ciplug-report/bundle.ndjson")
header, *lines = file.read_text().splitlines()
made = []
for line in map(json.loads, lines):
    record = json.loads(line["text"])
    if line["key"].startswith("runs/"):
        record["provenance"]["context"]["trusted"] = True
        record["provenance"]["context"]["pull_request"] = 1
        record["metrics"]["accuracy"] = 1.0
    made.append(json.dumps({"key": line["key"], "text": json.dumps(record)}, separators=(",", ":")))
file.write_text("\\n".join([header, *made, ""]))
for name in ("a\\n::set-output name=x::y\\n-bundle.ndjson", "$(touch pwned)-bundle.ndjson"):
    pathlib.Path("ciplug-report", name).write_text("::add-mask::x\\n")
pathlib.Path("ciplug-report/ciplug.yaml").write_text("version: 1\\ngates: {}\\n")
"""


def test_a_hostile_fork_changes_nothing_and_is_named(
    runner: Runner, project: Project, github_api: GitHubApi, tmp_path: Path
) -> None:
    """Its pull request changes the workflow, the gates and the training; what it uploads claims to be trusted."""
    project.record_main(tmp_path / "recorded")
    github_api.add_pull(1, branch="victim")
    train = (project.folder / ".github/workflows/train.yml").read_text()
    head = project.fork(
        7,
        0.4,
        {
            ".github/workflows/train.yml": train.replace('          hand-over: "true"\n', EVIL, 1),
            "ciplug.yaml": "version: 1\nmetrics: metrics.json\n",
            "evil.py": EVIL_PY,
        },
    )
    github_api.add_pull(7, branch="topic", commit=head, owner="stranger")
    code, log, _ = as_fork(runner, 7, head)
    assert len(github_api.artifacts) == 1, log
    refs, store = project.refs(), project.stored("")
    github_api.add_run(RUN, commit=head, owner="stranger")

    code, log, _ = collect(runner, head)
    assert code != 0, log
    assert "artifact ciplug-report (" in log and "it claims to be of a trusted job" in log
    assert "3 bundles refused" in log
    assert (project.refs(), project.stored("")) == (refs, store)
    assert not github_api.comments[7] and not github_api.comments[1] and not github_api.statuses
    assert not list(tmp_path.rglob("pwned"))
    assert not re.search(r"⚙ +::(set-output:: x=|add-mask|error)", log), "so act shows the commands that it obeys"

    # Had it told the truth, the gates of main would have judged it.
    github_api.artifacts.clear()
    honest = project.fork(7, 0.4, {"ciplug.yaml": "version: 1\nmetrics: metrics.json\n"})
    github_api.pulls[7]["head"]["sha"] = honest
    github_api.runs[RUN]["head_sha"] = honest
    as_fork(runner, 7, honest)
    code, log, _ = collect(runner, honest)
    assert code == 0, log
    assert [status["state"] for status in github_api.statuses[honest]] == ["failure"]
    assert "0.4" in github_api.comments[7][0]["body"] and not github_api.comments[1]


def test_a_matrix_on_main_on_a_branch_and_on_a_fork(runner: Runner, project: Project, github_api: GitHubApi) -> None:
    github_api.add_run(RUN, commit=project.main, branch="main")
    code, log, seen = runner.push(project.main, workflow="matrix.yml")
    assert code == 0, log
    names = {about["name"] for _, about, _ in github_api.artifacts.values()}
    assert len([name for name in names if name.startswith("ciplug-run-")]) == 3 and "ciplug-report" in names
    assert "3 runs of 3 bundles recorded" in log
    assert len(list(seen.glob("environment-*.json"))) == 3 and not tokens_seen(seen, "job-token", TOKEN)
    assert [status["state"] for status in github_api.statuses[project.main]] == ["success"]
    assert sum("/inbox/" in ref for ref in project.refs()) == 2, "three runs are one push, their verdicts another"

    github_api.artifacts.clear()
    head = project.pull_request(7, "topic", 0.93)
    github_api.add_pull(7, branch="topic", commit=head)
    github_api.add_run(RUN, commit=head)
    code, log, _ = runner.pull_request(7, "topic", head, workflow="matrix.yml")
    assert code == 0, log
    [comment] = github_api.comments[7]
    assert all(word in comment["body"] for word in ("ridge", "forest", "boosting", "0.93", "0.94", "0.95"))
    assert [status["state"] for status in github_api.statuses[head]] == ["success"]

    github_api.artifacts.clear()
    head = project.fork(8, 0.91)
    github_api.add_pull(8, branch="topic", commit=head, owner="stranger")
    code, log, seen = as_fork(runner, 8, head, workflow="matrix.yml")
    assert code == 0 and "the job that calls `ciplug collect` records its run" in log, log
    assert not tokens_seen(seen, "job-token", TOKEN) and not github_api.comments[8]
    github_api.add_run(RUN, commit=head, owner="stranger")
    code, log, _ = collect(runner, head)
    assert code == 0 and "3 runs of 3 bundles recorded" in log, log
    [comment] = github_api.comments[8]
    assert all(word in comment["body"] for word in ("ridge", "forest", "boosting", "0.91", "0.92", "0.93"))


COLLECT_CALLER = """\
name: caller
on:
  workflow_run: {workflows: [train], types: [completed]}
permissions: {}
jobs:
  call:
    permissions: {actions: read, contents: write, pull-requests: write, statuses: write}
    uses: ./.github/workflows/collect.yml
"""
MATRIX_CALLER = """\
name: caller
on: {push: {branches: [main]}}
permissions: {}
jobs:
  call:
    permissions: {contents: write, pull-requests: write, statuses: write}
    uses: ./.github/workflows/matrix.yml
    with: {models: '["forest"]', requirements: more.txt}
"""


def test_workflows_that_call_these(runner: Runner, project: Project, github_api: GitHubApi) -> None:
    for name, text in {
        "call-matrix.yml": MATRIX_CALLER,
        "call-collect.yml": COLLECT_CALLER,
        "../../more.txt": "",
    }.items():
        (project.folder / ".github/workflows" / name).write_text(text)
    project.main = project.commit("main", 0.9)
    github_api.add_run(RUN, commit=project.main, branch="main")
    code, log, _ = runner.push(project.main, workflow="call-matrix.yml")
    assert code == 0 and "1 run of 1 bundle recorded" in log, log

    github_api.artifacts.clear()
    head = project.fork(7, 0.92)
    github_api.add_pull(7, branch="topic", commit=head, owner="stranger")
    github_api.add_run(RUN, commit=head, owner="stranger")
    github_api.add_artifact(
        RUN, "ciplug", zipped({"bundle.ndjson": packed(a_run(head, trusted=False, model="forest"))})
    )
    code, log, _ = collect(runner, head, workflow="call-collect.yml")
    assert code == 0 and "1 run of 1 bundle recorded" in log, log
    assert "forest" in github_api.comments[7][0]["body"]
