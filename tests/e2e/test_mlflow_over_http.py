"""MLflow's programs on a git server over HTTP: what a sweep costs there, and a project that is run by its address."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.test_mlflow_trainings import python  # noqa: F401
from tests.project import Project
from tests.servers.git_http import GitServer

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SWEEP = """\
import sys
import mlflow
mlflow.set_experiment("sweep")
with mlflow.start_run() as parent:
    for depth in range(50):
        with mlflow.start_run(nested=True):
            mlflow.log_param("depth", depth)
            mlflow.log_metric("loss", 1 / (depth + 1))
            if "files" in sys.argv:
                mlflow.log_text(str(depth), "depth.txt")
print(parent.info.run_id)
"""
TRAIN = """\
import os, sys
import mlflow
with mlflow.start_run():
    mlflow.log_param("seen", sys.argv[1])
    mlflow.log_metric("accuracy", 0.9)
    mlflow.log_text(os.getcwd(), "where.txt")
"""
PROJECT = """\
name: wine
entry_points:
  main:
    parameters:
      word: {type: string, default: plain}
    command: "python train.py {word}"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "served") as server:
        server.create("wine")
        yield server


@pytest.fixture
def project(tmp_path: Path, server: GitServer, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name, value in (("MLFLOW_DISABLE_TELEMETRY", "true"), ("MLFLOW_TRACKING_URI", "ciplug:")):
        monkeypatch.setenv(name, value)
    project = Project.create(tmp_path / "work", remote=server.url("wine"), config="version: 1\nmodel: wine\n")
    for name, text in {"train.py": TRAIN, "sweep.py": SWEEP, "MLproject": PROJECT}.items():
        (project.folder / name).write_text(text)
    project.commit("a training with MLflow")
    project.push()
    return project


def _run(program: str, *words: str, cwd: Path) -> str:
    env = {**os.environ, "PATH": os.pathsep.join([str(Path(program).parent), os.environ["PATH"]])}
    done = subprocess.run([program, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


def test_a_sweep_of_fifty_is_one_push(
    project: Project,
    server: GitServer,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    for words in (("files",), ()):
        server.requests.clear()
        parent = _run(python("last"), "sweep.py", *words, cwd=project.folder).split()[-1]
        posted = [one for one in server.requests if one.method == "POST" and one.service == "receive-pack"]
        assert len(posted) == 1, words
    runs = project.json("runs", "list", "--children", "--all", "--limit", "0", "--json")
    assert len(runs) == 102 and sum(run.get("parent") == parent for run in runs) == 50


def test_a_training_in_the_default_experiment_reads_no_store(
    project: Project,
    server: GitServer,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    """All that it asks of the server is its own push."""
    words = "import mlflow\nwith mlflow.start_run() as run:\n    mlflow.log_metric('loss', 1)\nprint(run.info.run_id)"
    server.requests.clear()
    run_id = _run(python("last"), "-c", words, cwd=project.folder).split()[-1]
    asked = [(one.method, one.service) for one in server.requests]
    assert asked == [("GET", "receive-pack"), ("POST", "receive-pack")]
    (run,) = project.json("runs", "list", "--json")
    assert (run["id"], run["metrics"]) == (run_id, {"loss": 1.0})


def test_a_project_by_its_address(
    project: Project,
    server: GitServer,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    first = project.head
    (project.folder / "train.py").write_text("raise SystemExit('the wrong commit')\n")
    project.commit("later")
    words = ("run", server.url("wine"), "--version", "main", "--env-manager", "local", "-P", "word=again")
    _run(python("newest"), "-m", "mlflow", *words, cwd=project.folder)
    (run,) = project.json("runs", "list", "--json")
    assert (run["status"], run["metrics"]["accuracy"]) == ("finished", 0.9)
    assert run["params"] == {"word": "again", "seen": "again"}
    tags = run["tags"]
    assert (tags["mlflow.project.entryPoint"], tags["mlflow.source.git.commit"]) == ("main", first)
    assert tags["mlflow.source.git.repoURL"] == server.url("wine")
    assert run["commit"] == first
