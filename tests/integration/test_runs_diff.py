"""`ciplug runs diff`: two runs of one commit, and runs of several, side by side."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.project import Project, git

TRAIN = """\
import json, os, pathlib, ciplug
numbers = json.loads(os.environ["NUMBERS"])
pathlib.Path("metrics.json").write_text(json.dumps(numbers["metrics"]))
pathlib.Path("model.txt").write_text(f"model {numbers}")
with ciplug.start_run():
    ciplug.log_params(numbers["params"])
    for step, value in enumerate(numbers["loss"]):
        ciplug.log_metric("loss", value, step=step)
"""
pytestmark = pytest.mark.slow
CONFIG = """\
version: 1
model: wine
metrics: metrics.json
artifacts: [model.txt]
datasets: [data.csv]
gates: {accuracy: {higher_is_better: true, min: 0.1}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Runs `one` and `two` of one commit, and `three` of the next, whose code and data differ."""
    project = Project.create(tmp_path_factory.mktemp("diff") / "work", config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / "data.csv").write_text("a,b\n1,2\n")
    project.commit("train")
    train(project, "one", {"accuracy": 0.9, "f1": 0.5}, {"depth": 6, "lr": 0.1}, [0.9, 0.3])
    train(project, "two", {"accuracy": 0.95, "f1": 0.5}, {"depth": 9, "lr": 0.1}, [0.9, 0.3, 0.2])
    (project.folder / "data.csv").write_text("a,b\n1,3\n")
    git(project.folder, "mv", "numbers.json", "old | numbers.json")
    (project.folder / "blob.bin").write_bytes(b"\0\1")
    project.commit("other data")
    train(project, "three", {"accuracy": float("nan"), "recall": 0.7}, {"depth": 6, "lr": 0.1}, [0.9, 0.3])
    return project


def train(project: Project, name: str, metrics: object, params: object, loss: object) -> None:
    numbers = json.dumps({"metrics": metrics, "params": params, "loss": loss})
    project.ciplug("run", "--name", name, "--", sys.executable, "train.py", env={"NUMBERS": numbers})


def ids(project: Project) -> dict[str, str]:
    return {run["name"]: run["id"] for run in project.json("runs", "list", "--json")}


def test_two_runs_of_one_commit(project: Project) -> None:
    run = ids(project)
    found = project.json("runs", "diff", run["one"], run["two"], "--format", "json")
    assert [one["id"] for one in found["runs"]] == [run["one"], run["two"]]
    parts = found["parts"]
    assert parts["params"] == {"depth": [6, 9]}
    assert parts["metrics"] == {"accuracy": [0.9, 0.95], "loss": [0.3, 0.2]}
    assert parts["series"]["loss"][1] == {"steps": 3, "last_step": 2, "last": 0.2, "min": 0.2, "max": 0.9}
    assert set(parts["artifacts"]) == {"model.txt"} and parts["artifacts"]["model.txt"][0]["size"] > 0
    assert "datasets" not in parts and found["same"]["datasets"] == 1
    assert found["code"][0]["files"] == [] and found["code"][0].get("problem") is None
    shown = project.ciplug("runs", "diff", run["one"][:9], "best:accuracy").stdout
    assert f"best:accuracy ({run['two'][:12]})" in shown
    assert re.search(r"accuracy +0\.90 +0\.95 +\+0\.05 \(\+5\.6%\)", shown), shown
    assert f"code: all are of commit {project.json('runs', 'show', run['one'], '--json')['commit'][:8]}" in shown
    assert "alike in all runs: " in shown and "1 metric, " in shown and "f1 " not in shown
    assert "f1 " in project.ciplug("runs", "diff", run["one"], run["two"], "--all").stdout


def test_runs_of_several_commits(project: Project) -> None:
    run = ids(project)
    found = project.json("runs", "diff", run["one"], run["two"], "HEAD", "--format", "json")
    assert found["parts"]["metrics"]["accuracy"] == [0.9, 0.95, "NaN"]
    assert found["parts"]["metrics"]["recall"] == [None, None, 0.7]
    assert [one["size"] for one in found["parts"]["datasets"]["data.csv"]] == [8, 8, 8]
    code = {file["path"]: file for file in found["code"][1]["files"]}
    assert code["data.csv"]["added"] == code["data.csv"]["removed"] == 1
    assert code["old | numbers.json"]["before"] == "numbers.json"
    assert code["blob.bin"].get("added") is None
    shown = project.ciplug("runs", "diff", "HEAD~1", "HEAD", "--format", "markdown").stdout
    assert "| code, " in shown and "| data.csv " in shown and "+1 −1" in shown
    assert "numbers.json → old &#124; numbers.json" in shown, "a name breaks no table"
    assert "blob.bin" in shown and "binary" in shown


def test_what_is_changed_in_the_environment(project: Project, tmp_path: Path) -> None:
    """The packages of a second record are changed by hand: no test installs some."""
    from dataclasses import replace

    from ciplug.steps.session import open_session
    from ciplug.tracking.run_objects import run_objects

    session = open_session(cwd=project.folder)
    run = session.runs().get(ids(project)["one"])
    packages = {**run.provenance.packages, "scikit-learn": "1.4", "numpy": "2.0"}
    other = replace(run, id="e" * 32, provenance=replace(run.provenance, packages=packages, python="3.99.0"))
    older = replace(run, id="d" * 32, provenance=replace(other.provenance, packages={**packages, "numpy": "1.9"}))
    session.store.add({**run_objects(other), **run_objects(older)})
    found = project.json("runs", "diff", "dddd", "eeee", "--format", "json")
    assert found["parts"]["packages"] == {"numpy": ["1.9", "2.0"]}
    assert found["same"]["packages"] == len(packages) - 1
    found = project.json("runs", "diff", run.id, "eeee", "--format", "json")
    assert found["parts"]["environment"] == {"python": [run.provenance.python, "3.99.0"]}


def test_bad_names(project: Project) -> None:
    assert "two runs are needed" in project.ciplug("runs", "diff", "HEAD", code=2).stderr
    assert "'HEAD' and 'main' are the same run" in project.ciplug("runs", "diff", "HEAD", "main", code=2).stderr
    assert "no run 'zzz'" in project.ciplug("runs", "diff", "HEAD", "zzz", code=2).stderr
