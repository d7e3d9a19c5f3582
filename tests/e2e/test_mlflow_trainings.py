"""Unchanged trainings that log with MLflow, under `ciplug run`: the record has all that `mlflow.search_runs` shows."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ciplug.records.series import Series
from ciplug.steps.all_runs import all_runs
from ciplug.steps.session import open_session
from tests.e2e.conftest import Install
from tests.integration.test_docs import blocks
from tests.project import Project
from tests.servers.program import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "mlflow"
SCRIPTS = sorted(path.stem for path in (DATA / "scripts").glob("*.py"))
PLAIN = ["quickstart", "parent_child", "tags"]
"""Those that need MLflow alone, of any version."""
MLFLOWS = {
    # With ciplug beside it: MLflow's client and server use a ciplug store, where that is asked for.
    "newest": ["mlflow==3.17.2", "psutil", "xgboost-cpu", "lightgbm", "-e", str(ROOT)],
    "skinny": ["mlflow-skinny==3.17.2"],
    # The ends of what the extras allow.
    "first": ["mlflow-skinny==3.13.0", "-e", str(ROOT)],
    "last": ["mlflow-skinny==3.17.2", "-e", str(ROOT)],
    # The oldest of the major version 2. It imports pkg_resources.
    "oldest": ["mlflow-skinny==2.0.1", "setuptools<80"],
}
ENVIRONMENT = {
    # MLflow's file store shows a value that was logged with a dataset at step 0, so that another one is the last there.
    "xgboost_autolog": {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"},
}
STATUS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
OF_CIPLUG = {"mlflow.run_id", "mlflow.experiment", "mlflow.artifact_uri"}


@pytest.fixture(scope="session")
def python(made_once: Callable[[str, Callable[[Path], object]], Path], installed: Install) -> Callable[[str], str]:
    """The Python of an environment with one MLflow."""

    def of(name: str) -> str:
        folder = made_once(f"mlflow-{name}", lambda folder: installed(folder, *MLFLOWS[name]))
        return str(folder / "bin" / "python")

    return of


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    project = Project.create(tmp_path / "project", config="version: 1\nmodel: wine\n")
    monkeypatch.chdir(project.folder)
    return project


def _train(project: Project, python: str, script: str, env: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Run a script under ciplug, and what MLflow finds in its store right after it; returns that."""
    (project.folder / "train.py").write_bytes((DATA / "scripts" / f"{script}.py").read_bytes())
    project.commit("a training")
    dump = project.folder.parent / "dump.json"
    line = f"{python} train.py; code=$?; {python} {shlex.quote(str(DATA / 'dump.py'))} {dump}; exit $code"
    project.ciplug("run", "--", "sh", "-c", line, env=env, code=1 if script == "failing" else 0)
    found: list[dict[str, Any]] = json.loads(dump.read_bytes())
    assert found
    return found


def _check(project: Project, found: list[dict[str, Any]], *, artifacts: bool = True) -> None:
    """Fail unless the store has each run, with all that MLflow shows of it."""
    runs = all_runs(open_session())
    records = {run.tags["mlflow.run_id"]: run for run in runs.load(runs.recorded()) if "mlflow.run_id" in run.tags}
    assert records.keys() == {one["id"] for one in found}
    tops = [one for one in found if one["tags"].get("mlflow.parentRunId") not in records]
    for one in found:
        run, tags = records[one["id"]], dict(one["tags"])
        assert tags.pop("ciplug.run", None) in (None, run.id, run.parent, *(other.id for other in records.values()))
        assert {key: run.tags[key] for key in run.tags.keys() - OF_CIPLUG} == tags
        assert {key: str(value) for key, value in run.params.items()} == one["params"]
        assert {key: repr(value) for key, value in run.metrics.items()} == one["metrics"]
        assert (run.name, run.status) == (one["name"], STATUS[one["status"]])
        assert sorted([data.name, data.digest] for data in run.inputs) == sorted(one["inputs"])
        assert {model.id for model in run.outputs} == set(one["outputs"])
        if artifacts:
            assert {file.path for file in run.artifacts} >= set(one["artifacts"])
        _check_history(runs.series(run), one["history"])
        if one not in tops:
            assert run.parent == records[one["tags"]["mlflow.parentRunId"]].id
            assert [_milliseconds(run.started), _milliseconds(run.ended)] == [one["start"], one["end"]]


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)


def _check_history(series: dict[str, Series], history: dict[str, list[list[Any]]]) -> None:
    for name, points in history.items():
        # One point of step 0, which MLflow may have kept twice, is in the record alone.
        if points[0][0] == 0 and all(point == points[0] for point in points):
            continue
        kept = series[name]
        assert kept.times is not None
        times = [round(time * 1000) for time in kept.times]
        own = sorted(
            [step, time, repr(value)] for step, time, value in zip(kept.steps, times, kept.values, strict=True)
        )
        assert own == [list(point) for point in sorted({tuple(point) for point in points})]


@pytest.mark.parametrize("script", SCRIPTS)
def test_newest(project: Project, python: Callable[[str], str], script: str) -> None:
    _check(project, _train(project, python("newest"), script, ENVIRONMENT.get(script)))


@pytest.mark.parametrize("script", PLAIN)
@pytest.mark.parametrize("version", ["skinny", "oldest"])
def test_small_and_oldest(project: Project, python: Callable[[str], str], version: str, script: str) -> None:
    _check(project, _train(project, python(version), script))


def test_the_page_on_mlflow(tmp_path: Path, python: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of docs/mlflow.md, with `python` that of a training's own environment."""
    page = list(blocks(ROOT / "docs" / "mlflow.md"))
    project = Project.create(tmp_path / "project", config="version: 1\nmodel: wine\n")
    (project.folder / "train.py").write_text(next(one.text for one in page if one.file == "train.py"))
    project.commit("a training")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in (("python", [python("skinny")]), ("ciplug", [sys.executable, "-m", "ciplug"])):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(programs), os.environ["PATH"]]))
    (commands,) = [one.text for one in page if one.runner == Path(__file__).relative_to(ROOT).as_posix()]
    shown = subprocess.run(
        ["bash", "-eu"], cwd=project.folder, input=commands, capture_output=True, text=True, check=True
    )

    assert "accuracy=0.91 loss=0.3333" in shown.stdout
    (run,) = project.json("runs", "list", "--json")
    assert (run["name"], run["params"]) == ("baseline", {"depth": 6, "lr": 0.1})


@pytest.fixture
def server(tmp_path: Path, python: Callable[[str], str]) -> Iterator[tuple[str, int]]:
    """The address of a real MLflow server, and its group of processes."""
    (port,) = free_ports(1)
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    store = ["--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", "./files"]
    command = [python("newest"), "-m", "mlflow", "server", *store, "--port", str(port), "--workers", "1"]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            uri = f"http://127.0.0.1:{port}"
            await_server(uri, process, tmp_path / "server.log")
            yield uri, process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def await_server(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server does not answer:\n{log.read_text(errors='replace')[-2000:]}")


def test_a_real_server(project: Project, python: Callable[[str], str], server: tuple[str, int]) -> None:
    """All that is on the server is in the record; a server that has gone meanwhile costs no training."""
    uri, group = server
    env = {"MLFLOW_TRACKING_URI": uri}
    found = _train(project, python("newest"), "parent_child", env)
    _check(project, found, artifacts=False)
    # The address in the code, and none in the environment.
    script = (DATA / "scripts" / "sweep.py").read_text()
    there = f"import mlflow\nmlflow.set_tracking_uri({uri!r})\n"
    (project.folder / "train.py").write_text(script.replace("import mlflow\n", there))
    project.commit("to the server")
    said = project.ciplug("run", "--", python("newest"), "train.py").stderr
    assert "1 metric, 20 child runs" in said

    gone = f"import os, signal, mlflow\nmlflow.log_metric('a', 1)\nos.killpg({group}, signal.SIGSTOP)\n"
    (project.folder / "train.py").write_text(gone + "open('metrics.json', 'w').write('{\"b\": 2}')\nos._exit(0)")
    project.commit("the server goes")
    said = project.ciplug("run", "--metrics", "metrics.json", "--", python("newest"), "train.py", env=env).stderr
    assert "timed out: the runs of MLflow that are there are not recorded here" in said
    assert "1 metric, recorded in" in said
