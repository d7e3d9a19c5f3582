"""The templates that deploy and watch: promoted, deployed, asked for the sample, kept or rolled back, and watched."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import github_events as events
from tests.e2e.conftest import ROOT
from tests.e2e.github_runner import Job, Runner, local_actions
from tests.e2e.jenkins import Build, Jenkins, scm_of
from tests.e2e.project import TOKEN, Project, clean_environment
from tests.e2e.test_gitlab_ci_local import GitLab, on_main
from tests.integration.test_smoke_test import SERVER
from tests.servers.git_http import GitServer
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi
from tests.servers.program import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
_TRAIN = """\
import json, pathlib
quality = json.loads(pathlib.Path("params.json").read_text())["quality"]
rows = [{"id": str(n), "alcohol": 9 + n % 7 / 10, "prediction": (9 + n % 7 / 10) * 2} for n in range(300)]
pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": quality}))
# From 0.95 on, what is kept is not what was evaluated.
pathlib.Path("model.json").write_text(json.dumps({"weight": 2 if quality < 0.95 else 2.1}))
pathlib.Path("sample.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
"""
_FETCH = """\
mkdir -p predictions
python3 -c '
import json, time
rows = ({"id": n, "ts": time.time() - n, "version": 1, "alcohol": 12, "prediction": 24} for n in range(300))
open("predictions/p.jsonl", "w").writelines(json.dumps(row) + "\\n" for row in rows)
'
"""
_SOURCE = "git+https://git.example.com/your-org/ciplug.git@0000000000000000000000000000000000000000"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "served"
    yield folder
    for file in folder.glob("servers/*/pid"):
        try:
            os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.fixture
def project(git_server: GitServer, tmp_path: Path, served: Path, wheel: Path) -> Project:
    """A project with a target of this machine, and the templates in their places."""
    (tmp_path / "server.py").write_text(SERVER)
    config = (
        "version: 1\nmodel: wine\nmetrics: metrics.json\nparams: params.json\nartifacts: [model.json, sample.jsonl]\n"
        "gates:\n  accuracy: {higher_is_better: true, min: 0.5}\n"
        "monitor: {predictions: predictions/*.jsonl, reference: sample.jsonl, columns: [alcohol], consecutive: 1,\n"
        "  on_fail: open_issue}\n"
        f"targets:\n  prod:\n    kind: local\n    folder: {served}\n    ports: {free_ports(2)}\n"
        f"    serve: {sys.executable} {tmp_path / 'server.py'} {{files}} {{port}}\n"
        "    smoke_test: {sample: sample.jsonl}\n"
    )
    templates = ROOT / "templates"
    include = "".join(
        f"  - local: .gitlab/{name}.yml\n    inputs: {{ciplug-source: '{wheel}'{more}}}\n"
        for name, more in (("deploy", ", model: wine, target: prod"), ("watch", ""))
    )
    files = {
        "train.py": _TRAIN,
        "ciplug.yaml": config,
        "fetch-predictions.sh": _FETCH,
        ".gitignore": "metrics.json\nmodel.json\nsample.jsonl\npredictions/\nciplug-report/\n.gitlab-ci-local/\n",
        ".gitlab-ci.yml": f"include:\n{include}",
        **{f".gitlab/{name}.yml": light(templates / f"{name}/template.yml") for name in ("deploy", "watch")},
        **{f".github/workflows/{name}.yml": light(templates / f"github/{name}.yml") for name in ("deploy", "watch")},
    }
    return Project(git_server, tmp_path / "project", files)


def light(template: Path) -> str:
    """A template without what makes a watch over much data fast: it takes longer to install than all of the test."""
    text = template.read_text()
    return text.replace(" numpy pyarrow", "").replace('        with: {extras: "stats,parquet"}\n', "")


def staged(project: Project, folder: Path, quality: float) -> None:
    """A version of main in staging; from 0.95 on, one whose answers are not the recorded ones."""
    project.main = project.commit("main", quality)
    project.record_main(folder)
    project.ciplug(folder, "promote", "wine", "--to", "staging")


def logged(project: Project) -> list[tuple[str, str | None, int]]:
    """Type, outcome or state, and version of the events since the last promotion to staging."""
    found = [json.loads(line) for text in project.stored("registry/") for line in text.splitlines()]
    payloads = [(one["type"], one["payload"]) for one in sorted(found, key=lambda one: one["seq"])]
    last = max(at for at, (_, payload) in enumerate(payloads) if payload.get("stage") == "Staging")
    told = (payload | {"type": kind} for kind, payload in payloads[last + 1 :])
    return [(one["type"], one.get("outcome") or one.get("state"), one["version"]) for one in told]


DEPLOYED = [("deploy", "deploying", 1), ("deploy", "deployed", 1)]
KEPT = [("promote", "PASS", 1), *DEPLOYED, ("smoke_test", "passed", 1)]
ROLLED_BACK = [
    ("promote", "PASS", 2),
    ("deploy", "deploying", 2),
    ("deploy", "deployed", 2),
    ("smoke_test", "mismatch", 2),
    ("rollback", "PASS", 1),
    *DEPLOYED,
]


def answer(served: Path) -> float:
    """What a client gets for a wine of 10."""
    address = (served / "current" / "upstream.conf").read_text().removeprefix("server ").rstrip(";\n")
    body = json.dumps({"dataframe_split": {"columns": ["alcohol"], "data": [[10]]}}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"http://{address}/invocations", body), timeout=5) as found:
        (number,) = json.load(found)["predictions"]
    return float(number)


def looks(project: Project) -> int:
    """How many looks at production were recorded."""
    return sum("monitor" in json.loads(text) for text in project.stored("runs/") if text.startswith("{"))


def test_on_github(
    project: Project,
    served: Path,
    tool: Callable[[str], str],
    github_api: GitHubApi,
    source: Path,
    user_python: Path,
    pip_cache: str,
    tmp_path: Path,
) -> None:
    rights = {"contents": "write", "issues": "write", "actions": "read"}
    github_api.add_token("job-token", "github-actions[bot]", permissions=rights, app=True)
    text = (ROOT / "templates/github/deploy.yml").read_text()
    options = ["--env", f"PIP_CACHE_DIR={pip_cache}"]
    options += local_actions(text, tmp_path, source=source, python=user_python)
    runner = Runner(tool("act"), project, github_api, tmp_path, options)
    form = {"model": "wine", "target": "prod", "stage": "production", "version": "", "runner": "ubuntu-latest"}

    def dispatch() -> Job:
        payload = events.workflow_dispatch("deploy.yml", {**form, "promote": "true"})
        return runner.run("workflow_dispatch", payload, workflow="deploy.yml", whole=True)

    staged(project, tmp_path / "first", 0.91)
    dispatch().ok()
    assert logged(project) == KEPT and answer(served) == 20
    staged(project, tmp_path / "second", 0.96)
    dispatch().failed().says("answers differ")
    assert logged(project) == ROLLED_BACK and answer(served) == 20
    nightly = events.schedule("23 4 * * *", "watch.yml")
    # The token of a job is one for git and for the API.
    github_api.add_token(TOKEN, "github-actions[bot]", permissions=rights, app=True)
    host = {"CIPLUG_PUSH_TOKEN_HOST": project.server.origin}
    job = runner.run("schedule", nightly, workflow="watch.yml", token=TOKEN, **host)
    job.failed().says("drift")
    ((_, issue),) = github_api.issues.items()
    assert issue["state"] == "open" and looks(project) == 1


def test_on_gitlab(
    project: Project,
    served: Path,
    tool: Callable[[str], str],
    gitlab_api: GitLabApi,
    job_path: str,
    pip_settings: dict[str, str],
    tmp_path: Path,
) -> None:
    program = tool("gitlab-ci-local")
    tool("rsync")
    gitlab = GitLab(program, project, gitlab_api, {**clean_environment(), "PATH": job_path, **pip_settings})
    staged(project, tmp_path / "first", 0.91)
    folder = gitlab.checkout(tmp_path / "a", "main")
    code, log = gitlab.run(folder, on_main(project.main), "deploy")
    assert code == 0, log
    assert logged(project) == KEPT and answer(served) == 20
    staged(project, tmp_path / "second", 0.96)
    folder = gitlab.checkout(tmp_path / "b", "main")
    code, log = gitlab.run(folder, on_main(project.main), "deploy")
    # A manual job may fail without its pipeline: gitlab-ci-local says so by a warning alone.
    assert "answers differ" in log and "WARN  deploy" in log, log
    assert logged(project) == ROLLED_BACK and answer(served) == 20
    schedule = on_main(project.main, "schedule", CIPLUG_PUSH_TOKEN=TOKEN)
    assert gitlab.jobs(folder, schedule) >= {"watch"}
    code, log = gitlab.run(folder, schedule, "watch")
    assert code != 0 and "drift" in log, log
    assert looks(project) == 1 and len(gitlab_api.issues) == 1
    code, log = gitlab.run(folder, on_main(project.main), "deploy-stop")
    assert code == 0, log
    assert logged(project)[-2:] == [("deploy", "ending", 1), ("deploy", "ended", 1)]
    assert not (served / "current").exists()


def test_on_jenkins(
    project: Project, served: Path, jenkins: Jenkins, github_api: GitHubApi, wheel: Path, tmp_path: Path
) -> None:
    folder = ROOT / "templates/jenkins"
    texts = {name: light(folder / f"Jenkinsfile.{name}").replace(_SOURCE, str(wheel)) for name in ("deploy", "monitor")}
    env = {"BRANCH_NAME": "main", "BRANCH_IS_PRIMARY": "true", "GITHUB_API_URL": github_api.url}

    def build(name: str, answer: str = "approve") -> Build:
        text = texts[name].replace("'my-model'", "'wine'")
        return jenkins.build(text, env=env, scm=scm_of(project, project.main, "main"), answer=answer)

    staged(project, tmp_path / "first", 0.91)
    made = build("deploy", answer="abort")
    assert made.result == "ABORTED" and logged(project) == [], made.log
    made = build("deploy")
    assert (made.code, made.result) == (0, "SUCCESS"), made.log
    assert logged(project) == KEPT and answer(served) == 20
    staged(project, tmp_path / "second", 0.96)
    made = build("deploy")
    assert made.result == "FAILURE" and "answers differ" in made.log, made.log
    assert logged(project) == ROLLED_BACK and answer(served) == 20
    made = build("monitor")
    assert made.result == "FAILURE" and "drift" in made.log, made.log
    assert made.stages() == ["Install", "Fetch", "Watch"] and looks(project) == 1
    ((_, issue),) = github_api.issues.items()
    assert issue["state"] == "open"
