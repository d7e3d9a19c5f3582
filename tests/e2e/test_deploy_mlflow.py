"""The target `mlflow`: MLflow itself, with a plugin that is installed beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.e2e.test_mlflow_trainings import python  # noqa: F401
from tests.project import Project, git

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
CONFIG = """\
version: 1
model: wine
metrics: metrics.json
artifacts: model
gates:
  accuracy: {higher_is_better: true, min: 0.5}
targets:
  told: {kind: mlflow, plugin: 'toy:/told', name: red, config: {tags: {sum: '{digest}', version: '{version}'}}}
  mute: {kind: mlflow, plugin: 'toy:/mute', name: red}
  none: {kind: mlflow, plugin: no-such-plugin, name: red}
"""
FIT = """\
import json, pathlib
folder = pathlib.Path("model")
folder.mkdir(exist_ok=True)
(folder / "MLmodel").write_text("flavors: {{}}\\n")
(folder / "weights").write_text("weights {number}")
pathlib.Path("metrics.json").write_text(json.dumps({{"accuracy": 0.8{number}}}))
"""
LOOP = """\
import contextlib, io, json, os, sys
from ciplug.cli import main
for line in sys.stdin:
    words, env = json.loads(line)
    os.environ.update(env)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    for name in env:
        del os.environ[name]
    print(json.dumps({"returncode": code, "stdout": out.getvalue(), "stderr": err.getvalue()}), flush=True)
"""
"""One process for all commands: an import of MLflow takes seconds."""
TOY = """\
import json, os
from pathlib import Path
from mlflow.deployments import BaseDeploymentClient
from mlflow.exceptions import MlflowException


def run_local(name, model_uri, flavor=None, config=None):
    raise NotImplementedError


def target_help():
    return "keeps deployments in files"


class Client(BaseDeploymentClient):
    def __init__(self, target_uri):
        super().__init__(target_uri)
        self.folder = Path(os.environ["TOY"], target_uri.partition("/")[2])
        self.folder.mkdir(parents=True, exist_ok=True)

    def create_deployment(self, name, model_uri, flavor=None, config=None, endpoint=None):
        if (self.folder / name).exists():
            raise MlflowException(f"{name} exists")
        return self.update_deployment(name, model_uri, flavor, config)

    def update_deployment(self, name, model_uri=None, flavor=None, config=None, endpoint=None):
        if os.environ.get("TOY_FAILS"):
            raise MlflowException("no capacity; the key is " + os.environ["API_TOKEN"])
        print("deploying")
        said = {"name": name, "model": Path(model_uri, "weights").read_text(), "config": config}
        (self.folder / name).write_text(json.dumps(said))
        return said

    def delete_deployment(self, name, config=None, endpoint=None):
        (self.folder / name).unlink()

    def list_deployments(self, endpoint=None):
        return [{"name": one.name} for one in self.folder.iterdir()]

    def get_deployment(self, name, endpoint=None):
        return json.loads((self.folder / name).read_text())

    def predict(self, deployment_name=None, inputs=None, endpoint=None): ...
"""


def _plugin(folder: Path) -> Path:
    """A package with an entry point, as pip leaves it."""
    about = folder / "toy_deploy-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "toy_deploy.py").write_text(TOY)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-deploy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[mlflow.deployments]\ntoy = toy_deploy\n")
    return folder


def test_a_plugin_gets_the_very_files_and_its_answer_is_compared(
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=CONFIG)
    (project.folder / ".gitignore").write_text("model/\nmetrics.json\n")
    for number in (1, 2):
        (project.folder / "fit.py").write_text(FIT.format(number=number))
        project.commit(f"training {number}")
        project.push()
        project.ciplug("run", "--", sys.executable, "fit.py")
        project.ciplug("gate")
        project.ciplug("promote", "wine", "--to", "staging")
        if number == 1:
            project.ciplug("promote", "wine", "--to", "production")
    env = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": os.pathsep.join([str(_plugin(tmp_path / "plugin")), str(Path(__file__).parents[2])]),
        "TOY": str(tmp_path / "toy"),
        "API_TOKEN": "correct-horse-battery",
    }

    with subprocess.Popen(
        [python("newest"), "-c", LOOP],
        cwd=project.folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        _check(project, tmp_path / "toy", process)
        process.kill()


def _check(project: Project, toy: Path, process: subprocess.Popen[str]) -> None:
    def ciplug(*words: str, code: int = 0, **more: str) -> SimpleNamespace:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps([words, more]) + "\n")
        process.stdin.flush()
        done = SimpleNamespace(**json.loads(process.stdout.readline()))
        assert done.returncode == code, done.stdout + done.stderr[-3000:]
        return done

    def deploy(target: str, code: int = 0, **more: str) -> SimpleNamespace:
        return ciplug("deploy", "models:/wine@production", "--to", target, code=code, **more)

    def states() -> dict[str, Any]:
        found = ciplug("deployments", "status", "wine", "--json", code=3)
        return {one["target"]: one["state"] for one in json.loads(found.stdout)}

    done = deploy("told")
    kept = json.loads((toy / "told" / "red").read_text())
    assert kept["model"] == "weights 1" and kept["config"]["tags"]["version"] == "1"
    assert done.stdout.strip() == f"toy:/told#red@{kept['config']['tags']['sum']}"
    deploy("mute")
    assert states() == {"mute": "unchecked", "none": "unreachable", "told": "served"}
    project.ciplug("promote", "wine", "--to", "production", "--version", "2")
    failed = deploy("told", 3, TOY_FAILS="1")
    assert "no capacity" in failed.stderr and "correct-horse-battery" not in failed.stderr
    for target in ("told", "mute"):
        deploy(target)
        assert json.loads((toy / target / "red").read_text())["model"] == "weights 2"
    (toy / "told" / "red").write_text(json.dumps(kept))
    assert states() == {"mute": "unchecked", "none": "unreachable", "told": "other"}
    assert "No plugin found" in deploy("none", 3).stderr
    ciplug("undeploy", "wine", "--from", "told")
    assert not (toy / "told" / "red").exists()
