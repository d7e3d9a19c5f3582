"""A store of MLflow, copied into a store of ciplug and back: MLflow shows the same of each, field by field."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_mlflow_trainings import DATA, python  # noqa: F401
from tests.project import Project, git

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", config="version: 1\n")


def _call(program: str, *words: str, cwd: Path, code: int = 0) -> str:
    env = {**os.environ, **SETTINGS}
    done = subprocess.run([program, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def _look(program: str, uri: str, cwd: Path) -> Any:
    file = cwd.parent / "looked.json"
    _call(program, str(DATA / "look.py"), uri, str(file), cwd=cwd)
    return json.loads(file.read_bytes())


def _refs(project: Project) -> str:
    return git(project.folder, "for-each-ref", "refs/ciplug")


def test_a_store_is_copied_once_and_shows_the_same(
    project: Project,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    program, folder = python("store"), project.folder
    _call(program, str(DATA / "history.py"), "./mlruns", cwd=folder)
    theirs = _look(program, "./mlruns", folder)
    before = _tree(folder / "mlruns")
    # The artifacts of a store that was moved are where the store is.
    shutil.move(folder / "mlruns", folder.parent / "moved")
    said = _call(program, "-m", "ciplug", "import", "mlflow", "../moved", cwd=folder)
    assert "7 new runs (2 of them deleted), 0 known" in said
    assert "1 run still RUNNING in MLflow" in said
    assert _tree(folder.parent / "moved") == before
    refs = _refs(project)
    said = _call(program, "-m", "ciplug", "import", "mlflow", "../moved", cwd=folder)
    assert "0 new runs, 7 known" in said
    assert _refs(project) == refs
    assert "1 new run, 7 known" in _call(
        program, "-m", "ciplug", "import", "mlflow", "../moved", "--unfinished", cwd=folder
    )
    ours = _look(program, "ciplug:", folder)
    assert ours["ids"] == theirs["ids"]
    assert _comparable(ours) == _comparable(theirs)


def _comparable(looked: Any) -> Any:
    return {name: one for name, one in looked["found"].items() if one["runs"] or one["tags"]}


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
