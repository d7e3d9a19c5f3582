"""The example that speaks MLflow alone, as its README walks through it: record, compare, gate, promote, load."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.test_mlflow_trainings import python  # noqa: F401
from tests.integration.test_docs import blocks
from tests.project import Project, git

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "wine"


def test_the_walk_of_its_readme(
    tmp_path: Path,
    python: Callable[[str], str],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    # As a user has it: one environment with MLflow and ciplug.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(python("newest")).parent), os.environ["PATH"]]))
    folder = tmp_path / "wine"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "report"))
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "origin.git")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Tell wines apart")
    git(folder, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(folder, "push", "-q", "-u", "origin", "main")

    (walk,) = [one.text for one in blocks(EXAMPLE / "README.md") if one.language == "bash"]
    done = subprocess.run(["bash", "-eu", "-c", walk], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "class_0 class_0 class_0"
    assert "wine  PASS  3 passed" in done.stdout
    comment = (folder / "report" / "report.md").read_text()
    assert "log_loss" in comment and "alpha" in comment

    runs = Project(folder).json("runs", "list", "--json")
    assert [run["params"]["alpha"] for run in runs] == ["0.1", "0.5"]
    (version,) = Project(folder).json("registry", "show", "wine", "--json")["versions"]
    assert (version["stage"], version["run"]) == ("Production", runs[0]["id"])
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), str(clone))
    env = {**os.environ, "MLFLOW_TRACKING_URI": "ciplug:"}
    again = subprocess.run(["python", "predict.py"], cwd=clone, env=env, capture_output=True, text=True, timeout=300)
    assert again.stdout.splitlines() == ["class_0 class_0 class_0"], again.stderr[-3000:]
