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
from urllib.parse import urlencode

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
SYSTEM = """\
import time
import mlflow
from mlflow import MlflowClient
mlflow.enable_system_metrics_logging()
mlflow.set_system_metrics_sampling_interval(0.1)
mlflow.set_system_metrics_samples_before_logging(1)
with mlflow.start_run() as run:
    until = time.monotonic() + 120
    while not MlflowClient().get_metric_history(run.info.run_id, "system/cpu_utilization_percentage"):
        assert time.monotonic() < until
        time.sleep(0.1)
print(run.info.run_id)
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
client.create_registered_model("bought")
client.create_model_version("bought", "s3://models/net")
try:
    client.copy_model_version("models:/bought/1", "wine")
except mlflow.MlflowException as refused:
    print(refused.error_code, "without a run" in str(refused))
print(client.create_model_version("bought", f"runs:/{made.run_id}/", made.run_id).version)
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


def test_system_metrics(
    project: Project,
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    """The thread that samples the machine logs to the run of the training, and another clone has its points."""
    run_id = _run(python("newest"), "-c", SYSTEM, cwd=project.folder).split()[-1]
    words = f"import ciplug; print(*ciplug.run('{run_id}').series('system/cpu_utilization_percentage').values)"
    assert _run(python("newest"), "-c", words, cwd=_fresh_clone(project, tmp_path)).split()


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
    assert said == [
        "PERMISSION_DENIED",
        "Staging",
        "archive-of-wine 1 None",
        "wine 2 Staging",
        "PERMISSION_DENIED True",
        "2",
    ]
    bought, of_run = project.json("registry", "show", "bought", "--json")["versions"]
    assert "files" not in bought and of_run["files"], "the files that the address names"
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


def _get(base: str, call: str, **query: Any) -> dict[str, Any]:
    with urllib.request.urlopen(f"{base}/api/2.0/mlflow/{call}?{urlencode(query)}", timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _call_as_r_and_java(ui: str) -> None:
    """Make every request that the clients in R and Java make, each at least once."""
    one = _post(ui, "experiments/create", {"name": "by R", "tags": [{"key": "team", "value": "red"}]})
    named = {"experiment_id": one["experiment_id"]}
    _post(ui, "experiments/set-experiment-tag", {**named, "key": "kind", "value": "trial"})
    assert {tag["key"] for tag in _get(ui, "experiments/get", **named)["experiment"]["tags"]} == {"team", "kind"}
    _post(ui, "experiments/update", {**named, "new_name": "by Java"})
    assert _get(ui, "experiments/get-by-name", experiment_name="by Java")["experiment"]["name"] == "by Java"
    _post(ui, "experiments/delete", named)
    deleted = _post(ui, "experiments/search", {"max_results": 10, "view_type": "DELETED_ONLY"})["experiments"]
    assert [each["name"] for each in deleted] == ["by Java"]
    _post(ui, "experiments/restore", named)

    info = _post(ui, "runs/create", {**named, "start_time": 1, "user_id": "ada", "tags": []})["run"]["info"]
    run = {"run_id": info["run_id"], "run_uuid": info["run_id"]}
    _post(ui, "runs/set-tag", {**run, "key": "colour", "value": "red"})
    _post(ui, "runs/set-tag", {**run, "key": "gone", "value": "x"})
    _post(ui, "runs/delete-tag", {"run_id": info["run_id"], "key": "gone"})
    for step in range(2):
        _post(ui, "runs/log-metric", {**run, "key": "loss", "value": step, "timestamp": 5 + step, "step": step})
    dataset = {"name": "cellar", "digest": "abc", "source_type": "local", "source": "cellar.csv"}
    inputs = [{"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "training"}]}]
    _post(ui, "runs/log-inputs", {"run_id": info["run_id"], "datasets": inputs})
    model = {"artifact_path": "model", "run_id": info["run_id"], "utc_time_created": "2026-11-30 00:00:00.000000"}
    _post(
        ui, "runs/log-model", {"run_id": info["run_id"], "model_json": json.dumps({**model, "flavors": {"crate": {}}})}
    )
    history = _get(ui, "metrics/get-history", run_id=info["run_id"], metric_key="loss")["metrics"]
    assert [(point["step"], point["value"]) for point in history] == [(0, 0), (1, 1)]
    # Files go by HTTP, too: the server hands them on by the address of the run's artifacts.
    place = info["artifact_uri"].partition(":/")[2].lstrip("/")
    files = f"{ui}/api/2.0/mlflow-artifacts/artifacts"
    put = urllib.request.Request(f"{files}/{place}/notes/a.txt", data=b"hello", method="PUT")
    with urllib.request.urlopen(put, timeout=60) as answer:
        assert answer.status == 200
    listed = _get(ui, "artifacts/list", run_id=info["run_id"], path="notes")["files"]
    assert [(file["path"], file["file_size"]) for file in listed] in ([("notes/a.txt", 5)], [("notes/a.txt", "5")])
    with urllib.request.urlopen(f"{files}/{place}/notes/a.txt", timeout=60) as answer:
        assert answer.read() == b"hello"
    _post(ui, "runs/update", {**run, "status": "FAILED", "end_time": 9})
    found = _get(ui, "runs/get", run_id=info["run_id"])["run"]
    assert (found["info"]["status"], found["data"]["metrics"][0]["value"]) == ("FAILED", 1)
    assert "crate" in {tag["key"]: tag["value"] for tag in found["data"]["tags"]}["mlflow.log-model.history"]
    assert found["inputs"]["dataset_inputs"][0]["dataset"]["name"] == "cellar"
    _post(ui, "runs/delete", {"run_id": info["run_id"]})
    _post(ui, "runs/restore", {"run_id": info["run_id"]})

    _post(ui, "registered-models/create", {"name": "red", "description": "of R", "tags": []})
    made = _post(ui, "model-versions/create", {"name": "red", "source": f"runs:/{info['run_id']}/notes", **run})
    version = {"name": "red", "version": str(made["model_version"]["version"])}
    _post(ui, "model-versions/update", {**version, "description": "first"}, "PATCH")
    _post(ui, "model-versions/set-tag", {**version, "key": "checked", "value": "yes"})
    _post(ui, "model-versions/delete-tag", {**version, "key": "checked"}, "DELETE")
    _post(ui, "model-versions/transition-stage", {**version, "stage": "Archived", "archive_existing_versions": False})
    shown = _get(ui, "model-versions/get", **version)["model_version"]
    assert (shown["description"], shown["current_stage"]) == ("first", "Archived")
    assert _get(ui, "model-versions/get-download-uri", **version)["artifact_uri"]
    _post(ui, "registered-models/alias", {**version, "alias": "champion"})
    named_by = _get(ui, "registered-models/alias", name="red", alias="champion")["model_version"]
    assert named_by["version"] == shown["version"]
    _post(ui, "registered-models/alias", {"name": "red", "alias": "champion"}, "DELETE")
    _post(ui, "registered-models/set-tag", {"name": "red", "key": "team", "value": "a"})
    _post(ui, "registered-models/delete-tag", {"name": "red", "key": "team"}, "DELETE")
    _post(ui, "registered-models/update", {"name": "red", "description": "of Java"}, "PATCH")
    _post(ui, "registered-models/rename", {"name": "red", "new_name": "white"})
    assert _get(ui, "registered-models/get", name="white")["registered_model"]["description"] == "of Java"
    latest = _post(ui, "registered-models/get-latest-versions", {"name": "white", "stages": ["Archived"]})
    assert [each["version"] for each in latest["model_versions"]] == [shown["version"]]
    assert len(_get(ui, "registered-models/search", max_results=10)["registered_models"]) == 1
    assert len(_get(ui, "model-versions/search", filter="name='white'")["model_versions"]) == 1
    _post(ui, "model-versions/delete", {"name": "white", "version": version["version"]}, "DELETE")
    _post(ui, "registered-models/delete", {"name": "white"}, "DELETE")


def test_the_web_pages_and_the_calls_of_r_and_java(
    project: Project,
    tmp_path: Path,
    ui: str,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    _call_as_r_and_java(ui)
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
