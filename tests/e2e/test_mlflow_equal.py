"""What MLflow shows of twenty-one trainings is the same on a ciplug store as on SQLite, field by field."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.test_mlflow_trainings import DATA, python  # noqa: F401
from tests.project import Project, git

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
# Autologging stays on once a training has begun it, for both stores alike.
# fmt: off
TRAININGS = [
    "quickstart", "parent_child", "tags", "client", "datasets",
    "odd_values", "failing", "resumed", "checkpoints", "several_runs",
    "registry", "many_steps", "processes", "elastic_net", "pyfunc_model",
    "evaluate", "figures", "sweep", "autolog_pipeline", "sklearn_autolog", "xgboost_autolog",
]
# fmt: on


def test_twenty_one_trainings(
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process a store: runs, parameters, metrics, histories, tags, inputs, outputs, files, models, registry."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config="version: 1\n")
    scripts = [str(DATA / "scripts" / f"{name}.py") for name in TRAININGS]
    started = {
        uri: subprocess.Popen(
            [python("newest"), str(DATA / "both.py"), uri, str(tmp_path / f"{name}.json"), *scripts],
            cwd=project.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, uri in (("ciplug", "ciplug:"), ("sqlite", f"sqlite:///{tmp_path}/mlflow.db"))
    }
    for uri, process in started.items():
        said = process.communicate(timeout=580)[1]
        assert process.returncode == 0, f"{uri}\n{said[-3000:]}"
    ours, theirs = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("ciplug", "sqlite"))
    for part in theirs:
        assert ours[part] == theirs[part], part
    assert sum(map(len, theirs["runs"].values())) > 40
    assert len(theirs["registry"]) == 1 and len(theirs["models"]) > 5
