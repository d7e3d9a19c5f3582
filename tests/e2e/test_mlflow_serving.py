"""A version that serves: a plugin of `mlflow deployments`, a Dockerfile, a scoring server. Bytes are verified first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.test_mlflow_trainings import python  # noqa: F401
from tests.project import Project, git
from tests.servers.program import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
CONFIG = """\
version: 1
model: wine
gates:
  accuracy: {higher_is_better: true, min: 0.5}
"""
TRAIN = """\
import mlflow
class Twice(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [2 * one for one in model_input["a"]]
with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.9)
    mlflow.pyfunc.log_model(name="m", python_model=Twice(), registered_model_name="wine", pip_requirements=["mlflow"])
"""
SKLEARN = """\
import json, shutil
import mlflow.sklearn
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
x, y = load_wine(return_X_y=True, as_frame=True)
model = LogisticRegression(max_iter=1000).fit(x[["alcohol", "hue"]], y)
shutil.rmtree("model", ignore_errors=True)
mlflow.sklearn.save_model(model, "model", pip_requirements=["scikit-learn"], serialization_format="cloudpickle")
said = model.predict(x[["alcohol", "hue"]][:3]).tolist()
json.dump({"accuracy": model.score(x[["alcohol", "hue"]], y)}, open("metrics.json", "w"))
json.dump({"asked": x[["alcohol", "hue"]][:3].to_dict("records"), "said": said}, open("said.json", "w"))
"""
DAMAGED = "it is not what was recorded, and is not used"
TOY = """\
import json
from pathlib import Path
import mlflow
from mlflow.deployments import BaseDeploymentClient


def run_local(name, model_uri, flavor=None, config=None):
    raise NotImplementedError


def target_help():
    return "writes what the model says into a file"


class Client(BaseDeploymentClient):
    def create_deployment(self, name, model_uri, flavor=None, config=None, endpoint=None):
        said = mlflow.pyfunc.load_model(model_uri).predict({"a": [1, 2]})
        Path(f"{name}.json").write_text(json.dumps({"uri": model_uri, "said": said}))
        return {"name": name, "flavor": "python_function"}

    def update_deployment(self, name, model_uri=None, flavor=None, config=None, endpoint=None): ...
    def delete_deployment(self, name, config=None, endpoint=None): ...
    def list_deployments(self, endpoint=None): return []
    def get_deployment(self, name, endpoint=None): ...
    def predict(self, deployment_name=None, inputs=None, endpoint=None): ...
"""


def _plugin(folder: Path) -> Path:
    """A package with an entry point, as pip leaves it."""
    (folder / "toy_deploy.py").write_text(TOY)
    about = folder / "toy_deploy-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-deploy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[mlflow.deployments]\ntoy = toy_deploy\n")
    return folder


def _run(program: str, *words: str, cwd: Path, code: int = 0) -> str:
    done = subprocess.run([program, *words], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_what_serves_was_verified(
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = python("newest")
    (tmp_path / "plugin").mkdir()
    settings = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": "ciplug:",
        "PYTHONPATH": str(_plugin(tmp_path / "plugin")),
        "PATH": os.pathsep.join([str(Path(program).parent), os.environ["PATH"]]),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    project.commit("a training")
    project.push()
    project.ciplug("ci", "--", program, "train.py")
    for stage in ("staging", "production"):
        project.ciplug("promote", "wine", "--to", stage, "--version", "1")
    clone, uri = tmp_path / "clone", "models:/wine@production"
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), str(clone))

    deploy = ("-m", "mlflow", "deployments", "create", "-t", "toy", "--name", "red", "-m", uri)
    assert "python_function deployment red is created" in _run(program, *deploy, cwd=clone)
    assert json.loads((clone / "red.json").read_text()) == {"uri": uri, "said": [2, 4]}
    words = ("-m", "mlflow", "models", "generate-dockerfile", "-m", uri, "-d", "image", "--env-manager", "local")
    _run(program, *words, cwd=clone)
    assert "FROM" in (clone / "image" / "Dockerfile").read_text()
    assert (clone / "image" / "model_dir" / "MLmodel").exists()
    (port,) = free_ports(1)
    words = ("models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port), "-w", "1")
    with (tmp_path / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [program, "-m", "mlflow", *words], cwd=clone, stdout=log, stderr=log, start_new_session=True
        )
        try:
            assert _asked(port, {"dataframe_records": [{"a": 5}]}) == {"predictions": [10]}
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    # One byte of the model is another one: nothing loads it.
    assert _forge(tmp_path / "remote.git", b"Twice", b"Trice") == 1
    clone = tmp_path / "later"
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), str(clone))
    for words in (deploy, ("-m", "mlflow", "models", "predict", "-m", uri, "--env-manager", "local", "-i", "x.json")):
        (clone / "x.json").write_text('{"dataframe_records": [{"a": 5}]}')
        said = _run(program, *words, cwd=clone, code=1)
        assert DAMAGED in said, said[-2000:]
    assert not (clone / "red.json").exists()


def test_a_deployed_version_serves_by_mlflow_s_own_server(
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = python("newest")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(program).parent), os.environ["PATH"]]))
    folder = tmp_path / "served"
    target = f"{{kind: local, folder: {folder}, ports: {free_ports(2)}, supervisor: process}}"
    config = f"{CONFIG}metrics: metrics.json\nartifacts: model\ntargets: {{onprem: {target}}}\n"
    project = Project.with_remote(tmp_path, config=config)
    (project.folder / "train.py").write_text(SKLEARN)
    (project.folder / ".gitignore").write_text("model\nmetrics.json\nsaid.json\n")
    project.commit("a training")
    project.push()
    project.ciplug("ci", "--", program, "train.py")
    for stage in ("staging", "production"):
        project.ciplug("promote", "wine", "--to", stage)
    try:
        project.ciplug("deploy", "models:/wine@production", "--to", "onprem")
        (served,) = project.json("deployments", "status", "--json")
        assert served["state"] == "served"
        said = json.loads((project.folder / "said.json").read_text())
        port = int(served["live"]["endpoint"].rpartition(":")[2])
        assert _asked(port, {"dataframe_records": said["asked"]}) == {"predictions": said["said"]}
    finally:
        for file in folder.glob("servers/*/pid"):
            os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)


def _forge(remote: Path, old: bytes, new: bytes) -> int:
    """Put other bytes under the names of the files of a git store that hold `old`; returns how many."""
    count = 0
    env = {**os.environ, "GIT_INDEX_FILE": str(remote / "forged")}

    def call(*words: str, data: bytes | None = None) -> bytes:
        return subprocess.run(["git", *words], cwd=remote, env=env, input=data, capture_output=True, check=True).stdout

    for line in call("for-each-ref", "--format=%(refname)", "refs/ciplug/files").decode().split():
        call("read-tree", line)
        for entry in call("ls-files", "-s").decode().splitlines():
            about, path = entry.split("\t")
            data = call("cat-file", "blob", about.split()[1])
            if old in data:
                forged = call("hash-object", "-w", "--stdin", data=data.replace(old, new)).decode().strip()
                call("update-index", "--cacheinfo", f"100644,{forged},{path}")
                count += 1
        tree = call("write-tree").decode().strip()
        call("update-ref", line, call("commit-tree", tree, "-m", "forged").decode().strip())
    return count


def _asked(port: int, body: object) -> object:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except ConnectionError:
            assert time.monotonic() < deadline
        except OSError as problem:
            assert "refused" in str(problem) and time.monotonic() < deadline, problem
        time.sleep(0.5)
