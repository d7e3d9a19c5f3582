"""MLflow's own client, server and web pages on a ciplug store."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_mlflow_trainings import await_server, python  # noqa: F401
from tests.project import Project, git
from tests.servers.program import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
CONFIG = "version: 1\nmodel: wine\ngates:\n  accuracy: {higher_is_better: true, min: 0.5}\n"
TRAIN = """\
import sys
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
mlflow.set_experiment("wine")
with mlflow.start_run(run_name="logistic") as run:
    model = LogisticRegression(max_iter=200).fit(X, y)
    mlflow.log_param("max_iter", 200)
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("accuracy", model.score(X, y))
    mlflow.log_text("a note", "notes/note.txt")
    registered = "wine" if "register" in sys.argv else None
    mlflow.sklearn.log_model(model, name="model", registered_model_name=registered)
print(run.info.run_id, model.predict(X).sum())
"""
LOAD = """\
import sys
import mlflow
from sklearn.datasets import load_iris
X, y = load_iris(return_X_y=True)
print(mlflow.sklearn.load_model(sys.argv[1]).predict(X).sum())
"""
LOAD_BY_CIPLUG = """\
import ciplug
from sklearn.datasets import load_iris
X, y = load_iris(return_X_y=True)
print(ciplug.load_model("models:/wine@production").predict(X).sum())
print(ciplug.load_model("wine@production", flavor="sklearn").predict(X).sum())
assert type(ciplug.model("wine").production.run.series("loss").values[0]) is float
"""
SWEEP = """\
import mlflow
mlflow.set_experiment("sweep")
with mlflow.start_run():
    for depth in range(10):
        with mlflow.start_run(nested=True):
            mlflow.log_metric("loss", depth)
    found = mlflow.search_runs(experiment_names=["sweep"], filter_string="metrics.loss >= 8")
    assert set(found["status"]) == {"FINISHED"} and len(found) == 2, found
    running = mlflow.search_runs(experiment_names=["sweep"], filter_string="status = 'RUNNING'")
    assert len(running) == 1
"""
PROJECT = """\
name: wine
entry_points:
  main:
    parameters:
      word: {type: string, default: plain}
    command: "python train.py {word}"
"""
REFUSED = """\
import mlflow
try:
    mlflow.MlflowClient().set_registered_model_alias("wine", "production", 1)
except mlflow.MlflowException as refused:
    print(refused.error_code, refused)
"""
NAMES = """\
import mlflow
client = mlflow.MlflowClient()
made = client.get_model_version("wine", 1)
client.create_registered_model("wine-classifier")
client.create_model_version("wine-classifier", made.source, made.run_id)
try:
    client.transition_model_version_stage("wine-classifier", "1", "Production")
except mlflow.MlflowException as refused:
    print(refused.error_code)
client.set_registered_model_alias("wine-classifier", "staging", "1")
print(client.get_model_version("wine-classifier", "1").current_stage)
for name in ("archive-of-wine", "wine"):
    copy = client.copy_model_version("models:/wine-classifier/1", name)
    print(copy.name, copy.version, copy.current_stage)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "ciplug:")
    project = Project.with_remote(tmp_path, config=CONFIG)
    files = {
        "train.py": TRAIN,
        "load.py": LOAD,
        "sweep.py": SWEEP,
        "refused.py": REFUSED,
        "names.py": NAMES,
        "MLproject": PROJECT,
    }
    for name, text in files.items():
        (project.folder / name).write_text(text)
    project.commit("a training with MLflow")
    project.push()
    monkeypatch.chdir(project.folder)
    return project


def _run(program: str, *words: str, cwd: Path) -> str:
    done = subprocess.run([program, *words], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _inbox(project: Project) -> int:
    return len(git(project.folder, "ls-remote", "origin", "refs/ciplug/inbox/*").splitlines())


def _fresh_clone(project: Project, tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    shutil.rmtree(folder, ignore_errors=True)
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), str(folder))
    return folder


def test_a_plain_script_and_its_model_on_another_machine(
    project: Project,
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    program = python("newest")
    run_id, predicted = _run(program, "train.py", "register", cwd=project.folder).split()[-2:]
    assert _inbox(project) == 1
    (run,) = project.json("runs", "list", "--json")
    assert (run["id"], run["name"], run["model"], run["params"]) == (run_id, "logistic", "wine", {"max_iter": "200"})
    clone = _fresh_clone(project, tmp_path)
    assert _run(program, "load.py", "models:/wine/1", cwd=clone).split() == [predicted]
    _run(program, "sweep.py", cwd=project.folder)
    assert _inbox(project) == 2


def test_gates_judge_and_the_registry_serves(
    project: Project,
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = python("newest")
    done = project.ciplug("ci", "--", program, "train.py", "register")
    predicted = re.findall(r"^[0-9a-f]{32} (\d+)$", done.stdout, re.MULTILINE)
    assert "PASS" in done.stdout
    said = _run(program, "refused.py", cwd=project.folder)
    assert "PERMISSION_DENIED" in said and "staging" in said.lower()
    project.ciplug("promote", "wine", "--to", "staging", "--version", "1")
    project.ciplug("promote", "wine", "--to", "production", "--version", "1")
    # The run of wine is judged under any name, and a copy into a judged name is a promotion.
    said = _run(program, "names.py", cwd=project.folder).splitlines()
    assert said == ["PERMISSION_DENIED", "Staging", "archive-of-wine 1 None", "wine 2 Staging"]
    clone = _fresh_clone(project, tmp_path)
    assert _run(program, "load.py", "models:/wine@production", cwd=clone).split() == predicted
    assert _run(program, "-c", LOAD_BY_CIPLUG, cwd=clone).split() == predicted * 2, "by either flavour"
    (clone / "in.json").write_text('{"inputs": [[5.1, 3.5, 1.4, 0.2]]}')
    words = ("models", "predict", "-m", "models:/wine@production", "-i", "in.json", "--env-manager", "local")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(program).parent), os.environ["PATH"]]))
    assert '"predictions": [0]' in _run(program, "-m", "mlflow", *words, cwd=clone)
    project_run = ("run", ".", "--env-manager", "local", "--experiment-name", "wine", "-P", "word=again")
    _run(program, "-m", "mlflow", *project_run, cwd=project.folder)
    newest = project.json("runs", "list", "--json")[0]
    assert newest["tags"]["mlflow.project.entryPoint"] == "main"
    assert (newest["commit"], newest["params"]["word"]) == (project.head, "again")


@pytest.fixture
def ui(project: Project, tmp_path: Path, python: Callable[[str], str]) -> Iterator[str]:  # noqa: F811
    (port,) = free_ports(1)
    env = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [python("newest"), "-m", "ciplug", "ui", "--port", str(port)]
    with (tmp_path / "ui.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=project.folder, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            await_server(f"http://127.0.0.1:{port}", process, tmp_path / "ui.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _post(base: str, path: str, body: dict[str, Any], method: str = "POST") -> dict[str, Any]:
    request = urllib.request.Request(
        f"{base}/api/2.0/mlflow/{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def test_the_web_pages_and_the_calls_of_r_and_java(
    project: Project,
    tmp_path: Path,
    ui: str,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    experiment = _post(ui, "experiments/create", {"name": "over HTTP"})["experiment_id"]
    run = _post(ui, "runs/create", {"experiment_id": experiment, "start_time": 1, "run_name": "from R"})["run"]["info"]
    named = {"run_id": run["run_id"]}
    _post(ui, "runs/log-parameter", {**named, "key": "depth", "value": "6"})
    for step in range(3):
        point = {"key": "loss", "value": 1 / (step + 1), "timestamp": 1_700_000_000_000 + step, "step": step}
        _post(ui, "runs/log-metric", {**named, **point})
    _post(ui, "runs/log-batch", {**named, "tags": [{"key": "team", "value": "red"}]})
    _post(ui, "runs/update", {**named, "status": "FINISHED", "end_time": 1_700_000_009_000})
    (found,) = _post(ui, "runs/search", {"experiment_ids": [experiment], "filter": "metrics.loss < 0.5"})["runs"]
    assert (found["info"]["run_name"], found["info"]["status"]) == ("from R", "FINISHED")
    _post(ui, "registered-models/create", {"name": "wine"})
    _post(ui, "model-versions/create", {"name": "wine", "source": "s3://elsewhere/model"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        _post(ui, "registered-models/alias", {"name": "wine", "alias": "production", "version": "1"})
    assert refused.value.code == 403
    assert "without a run" in json.load(refused.value)["message"]
    browser_path = shutil.which("chromium")
    if browser_path is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(f"{ui}/#/experiments/{experiment}/runs?workflowType=machine_learning")
        page.get_by_text("from R").first.wait_for(timeout=60_000)
        page.screenshot(path=tmp_path / "runs.png")
        page.goto(f"{ui}/#/experiments/{experiment}/runs/{run['run_id']}")
        page.get_by_text("depth").first.wait_for(timeout=60_000)
        page.screenshot(path=tmp_path / "run.png")
        page.goto(f"{ui}/#/models/wine")
        page.get_by_text("Version 1").first.wait_for(timeout=60_000)
        page.screenshot(path=tmp_path / "model.png")
        browser.close()
    # What came over HTTP is in the store a moment later.
    recorded = {one["id"] for one in project.json("runs", "list", "--json")}
    assert run["run_id"] in recorded
