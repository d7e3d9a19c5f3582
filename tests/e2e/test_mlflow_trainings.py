"""Unchanged trainings that log with MLflow, under `ciplug run`: the record has all that `mlflow.search_runs` shows."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ciplug.locking import held
from ciplug.records.series import Series
from ciplug.steps.all_runs import all_runs
from ciplug.steps.session import open_session
from tests.project import Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "mlflow"
SCRIPTS = sorted(path.stem for path in (DATA / "scripts").glob("*.py"))
PLAIN = ["quickstart", "parent_child", "several_runs", "tags", "odd_values", "resumed"]
"""Those that need MLflow alone, of any version."""
MLFLOWS = {
    "newest": ["mlflow==3.17.2", "psutil"],
    "skinny": ["mlflow-skinny==3.17.2"],
    # The oldest of the major version 2. It imports pkg_resources.
    "oldest": ["mlflow-skinny==2.0.1", "setuptools<80"],
}
STATUS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
OF_CIPLUG = {"mlflow.run_id", "mlflow.experiment"}


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory, pip_cache: str) -> Callable[[str], str]:
    """The Python of an environment with one MLflow, made once for all tests, in whatever process they run."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent

    def of(name: str) -> str:
        venv = shared / f"mlflow-{name}"
        with held(shared / f"mlflow-{name}.lock"):
            if not (venv / "whole").exists():
                env = {**os.environ, "PIP_CACHE_DIR": pip_cache}
                subprocess.run([sys.executable, "-m", "venv", venv], check=True)
                command = [venv / "bin/pip", "install", "--quiet", *MLFLOWS[name]]
                subprocess.run(command, env=env, check=True, timeout=900)
                (venv / "whole").touch()
        return str(venv / "bin" / "python")

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
        if len(points) == 1 and points[0][0] == 0:
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
    _check(project, _train(project, python("newest"), script))


@pytest.mark.parametrize("script", PLAIN)
@pytest.mark.parametrize("version", ["skinny", "oldest"])
def test_small_and_oldest(project: Project, python: Callable[[str], str], version: str, script: str) -> None:
    _check(project, _train(project, python(version), script))
