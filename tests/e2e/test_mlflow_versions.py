"""A ciplug store under the oldest and the newest MLflow that the extras allow, each as mlflow-skinny alone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.test_mlflow_trainings import DATA, python  # noqa: F401
from tests.project import Project, git

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
METHODS = DATA / "methods.json"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name, value in (("MLFLOW_DISABLE_TELEMETRY", "true"), ("MLFLOW_TRACKING_URI", "ciplug:")):
        monkeypatch.setenv(name, value)
    project = Project.with_remote(tmp_path, config="version: 1\n")
    project.push()
    return project


def _run(program: str, *words: str, cwd: Path, code: int = 0) -> tuple[str, str]:
    done = subprocess.run([program, *words], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr[-3000:]
    return done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["first", "last"])
def test_a_store_and_its_garbage(
    project: Project,
    python: Callable[[str], str],  # noqa: F811
    version: str,
) -> None:
    program, folder = python(version), project.folder
    ids = json.loads(_run(program, str(DATA / "store_smoke.py"), cwd=folder)[0].splitlines()[-1])
    _run(program, str(DATA / "methods.py"), "check", str(METHODS), cwd=folder)

    gc = ("-m", "mlflow", "gc", "--backend-store-uri", "ciplug:")
    out, _ = _run(program, *gc, "--older-than", "30d", cwd=folder)
    assert "permanently" not in out
    # It goes through the runs of deleted experiments, too, in any order, until one is refused.
    first, said = _run(program, *gc, "--run-ids", ids["sweep"], cwd=folder, code=1)
    assert f"run {ids['sweep'][:12]} is kept: version 1 of 'forest' in the registry" in said
    rest, said = _run(program, *gc, cwd=folder)
    assert sorted((first + rest).splitlines()) == [
        f"Experiment with ID {ids['old']} has been permanently deleted.",
        *(f"Run with ID {id_} has been permanently deleted." for id_ in sorted([ids["batch"], ids["forgotten"]])),
    ]
    assert f"warning: run {ids['sweep'][:12]} is kept" in said
    assert "permanently" not in _run(program, *gc, cwd=folder)[0]

    listed = {run["id"] for run in project.json("runs", "list", "--all", "--children", "--json")}
    assert ids["sweep"] in listed and not listed & {ids["batch"], ids["forgotten"]}
    # A clone finds nothing of them, and the store is whole.
    clone = project.folder.parent / "clone"
    git(clone.parent, "clone", "-q", str(project.folder.parent / "remote.git"), str(clone))
    told = git(clone, "ls-remote", "origin", "refs/ciplug/*")
    git(clone, "fetch", "-q", "origin", *(line.split("\t")[1] for line in told.splitlines()), "ciplug")
    names = subprocess.run(
        ["git", "grep", "-l", ids["forgotten"], *(line.split("\t")[0] for line in told.splitlines())],
        cwd=clone, capture_output=True, text=True, env=dict(os.environ),
    )  # fmt: skip
    assert names.stdout == ""
    project.ciplug("fsck")


def test_odd_orders(
    project: Project,
    python: Callable[[str], str],  # noqa: F811
) -> None:
    _, said = _run(python("last"), str(DATA / "odd_orders.py"), cwd=project.folder)
    assert "Waiting" not in said
    project.ciplug("fsck")
