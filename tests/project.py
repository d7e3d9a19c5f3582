"""A user's project in a scratch folder: a real clone of a real remote, and ciplug called as a user calls it."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests import forkserver

TRAIN = """\
import json, os, pathlib, sys
numbers = os.environ.get("MEASURED") or pathlib.Path("numbers.json").read_text()
pathlib.Path("metrics.json").write_text(numbers)
pathlib.Path("model.txt").write_text(f"the model of {numbers}")
"""
MODEL = ("--artifact", "model.txt")
"""The options that record the model of TRAIN: a promotion takes no run without a file."""
CONFIG = """\
version: 1
model: wine
metrics: metrics.json
gates:
  accuracy: {higher_is_better: true, min: 0.8, max_regression: 0.01}
"""


def measured(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The environment in which the training of a clean checkout measures other numbers than the committed ones."""
    return {"MEASURED": json.dumps(metrics)}


def git(cwd: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Project:
    """A checkout with a training script that writes the numbers it is given as metrics."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, *, remote: str | Path | None = None, config: str = CONFIG) -> Project:
        """A repository with one commit on main, pushed to `remote` if there is one."""
        shutil.copytree(_first_commit(config, _git_settings()), folder)
        git(folder, "update-index", "--refresh")  # it knows the files by their inodes, too
        project = cls(folder)
        if remote is not None:
            git(folder, "remote", "add", "origin", str(remote))
            project.push()
        return project

    @classmethod
    def with_remote(cls, folder: Path, config: str = CONFIG) -> Project:
        """The same in `work`, a clone of the bare repository `remote.git`; both are made in the folder."""
        project = cls.copy(_first_push(config, _git_settings()), folder)
        git(project.folder, "update-index", "--refresh")
        return project

    @classmethod
    def copy(cls, template: Path, folder: Path) -> Project:
        """A copy of `remote.git` and its clone `work` in `template`, which many tests share."""
        for name in ("remote.git", "work"):
            shutil.copytree(template / name, folder / name, symlinks=True)
        git(folder / "work", "remote", "set-url", "origin", str(folder / "remote.git"))
        return cls(folder / "work")

    def numbers(self, metrics: Mapping[str, Any]) -> None:
        """Change what the training measures. Until that is committed, the tree is dirty, and no run of it counts."""
        (self.folder / "numbers.json").write_text(json.dumps(metrics))

    def commit(self, message: str) -> str:
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "--allow-empty", "-m", message)
        return self.head

    def push(self) -> None:
        git(self.folder, "push", "-q", "-u", "origin", "HEAD")

    @property
    def head(self) -> str:
        return git(self.folder, "rev-parse", "HEAD")

    def branch(self, name: str, metrics: Mapping[str, Any] | None = None, start: str = "main") -> str:
        """A new branch from `start`, with a commit that changes the numbers; returns the commit."""
        git(self.folder, "checkout", "-q", "-b", name, start)
        if metrics is not None:
            self.numbers(metrics)
        return self.commit(name)

    def ciplug(
        self, *args: str, env: Mapping[str, str] | None = None, code: int | None = 0, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Call the command line; fails the test when the exit code is not `code` (None: any)."""
        done = forkserver.ciplug(*args, cwd=cwd or self.folder, env={**os.environ, **(env or {})})
        assert code is None or done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *args: str, env: Mapping[str, str] | None = None, code: int | None = 0) -> Any:
        """What a command prints as JSON: alone on stdout, so all of it is parsed."""
        return json.loads(self.ciplug(*args, env=env, code=code).stdout)

    def train(self, *args: str, env: Mapping[str, str] | None = None, code: int | None = 0) -> str:
        """`ciplug run` the training; returns the run's id. The model of `create`'s script is recorded."""
        made = (self.folder / "train.py").read_text() == TRAIN and "artifact" not in self._settings(*args)
        done = self.ciplug("run", *(MODEL if made else ()), *args, "--", sys.executable, "train.py", env=env, code=code)
        return str(re.findall(r"\brun (\w{32}) \(", done.stderr)[-1])

    def _settings(self, *args: str) -> str:
        """What the command line and ciplug.yaml say."""
        file = self.folder / "ciplug.yaml"
        return " ".join([*args, file.read_text() if file.is_file() else ""])


def _git_settings() -> tuple[str, ...]:
    """All that the environment says about the repositories that git makes."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("GIT_")}
    if file := variables.pop("GIT_CONFIG_GLOBAL", None):
        variables["global"] = Path(file).read_text()
    return tuple(f"{name}={value}" for name, value in sorted(variables.items()))


@cache
def _first_commit(config: str, settings: tuple[str, ...]) -> Path:
    """What a project begins with, made once for all that begin alike."""
    folder = _scratch() / "work"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    project = Project(folder)
    (folder / "train.py").write_text(TRAIN)
    (folder / "ciplug.yaml").write_text(config)
    (folder / ".gitignore").write_text("metrics.json\nmodel.txt\n")
    project.numbers({"accuracy": 0.85})
    project.commit("first")
    return folder


@cache
def _first_push(config: str, settings: tuple[str, ...]) -> Path:
    """The same as `work`, and where it is pushed to: `remote.git`."""
    folder = _scratch()
    git(folder, "init", "-q", "--bare", "-b", "main", "remote.git")
    Project.create(folder / "work", remote=folder / "remote.git", config=config)
    return folder


def _scratch() -> Path:
    scratch = tempfile.mkdtemp(prefix="ciplug-tests-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return Path(scratch)
