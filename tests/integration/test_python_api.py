"""The Python API in programs of their own: real processes, a real remote."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ciplug.steps.session import Session, open_session
from tests.project import git

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", tmp_path / "remote.git", "work")
    git(tmp_path / "work", "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path / "work", "push", "-q", "origin", "HEAD:main")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def script(code: str, *arguments: str, expect: int = 0) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stderr
    return done.stderr


def recorded(session: Session) -> list[Any]:
    runs = session.runs()
    return runs.load(runs.recorded())


@pytest.mark.parametrize("store", ["git:", "folder"])
def test_the_example_of_the_readme_ends_at_exit_and_keeps_its_artifact(folder: Path, store: str) -> None:
    """No thread can be started while the interpreter ends, which is when this run is sent."""
    (example,) = re.findall(r"```python\n(import ciplug\n.*?)```", README.read_text(encoding="utf-8"), re.S)
    (folder / "model.joblib").write_bytes(b"a model")
    if store == "folder":
        (folder / "ciplug.yaml").write_text(f"version: 1\nstore: {(folder.parent / 'store').as_uri()}\n")
    said = script(f"train = lambda: [0.5, 0.25]\n{example}")
    assert "recorded in" in said, said
    session = open_session()
    (run,) = recorded(session)
    assert (run.status, run.metrics, run.params) == ("finished", {"loss": 0.25}, {"depth": 6})
    (artifact,) = run.artifacts
    assert artifact.path == "model.joblib" and artifact.store is not None
    assert session.files is not None
    (folder / "back").mkdir()
    session.files_at(artifact.store).get([artifact.digest], folder / "back", lambda count: None, 10)
    assert session.spool.sealed() == [] and session.spool.abandoned() == []
