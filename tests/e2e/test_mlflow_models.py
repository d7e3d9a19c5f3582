"""A model of each framework, saved here and loaded by its alias on another machine, predicts the same numbers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.test_mlflow_trainings import DATA, python  # noqa: F401
from tests.project import Project, git

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_every_framework_that_is_installed(
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PyTorch and TensorFlow are not among what the tests install: they are tried where they are there."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "ciplug:")
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config="version: 1\n")
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), "clone")
    predicted = {}
    for what, folder in (("save", "work"), ("load", "clone")):
        command = [python("newest"), str(DATA / "frameworks.py"), what]
        done = subprocess.run(command, cwd=tmp_path / folder, capture_output=True, text=True, timeout=580)
        assert done.returncode == 0, done.stderr[-3000:]
        predicted[what] = json.loads(done.stdout.splitlines()[-1])
    print("not installed:", sorted(name for name, found in predicted["save"].items() if found == "absent"))
    for framework in ("sklearn", "xgboost"):
        assert len(set(predicted["save"][framework])) > 1
    assert predicted["load"] == predicted["save"]
