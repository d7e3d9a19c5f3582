"""Lists of runs for the eye, and the child runs of a sweep as one table."""

from __future__ import annotations

import csv
import sys

import pytest

from tests.project import Project
from tests.terminal import Terminal

pytestmark = pytest.mark.slow
TRAIN = """\
import json, pathlib, ciplug
pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": 0.9, "abc": 1.0, "zeal": 2.0, "bcd": 3.0, "cde": 4.0}))
with ciplug.start_run():
    for number, (lr, depth) in enumerate([(0.1, 3), (0.3, 3), (0.1, 6), (0.3, 6)]):
        try:
            with ciplug.start_run(nested=True, name=f"trial {number}"):
                ciplug.log_params({"lr": lr, "depth": depth, "optimizer": "sgd"})
                ciplug.log_metrics({"accuracy": 0.5 + number / 10, "zeal": 1.0 - number / 10})
                if number == 3:
                    raise RuntimeError
        except RuntimeError:
            pass
"""
CONFIG = """\
version: 1
model: wine
metrics: metrics.json
gates:
  zeal: {higher_is_better: false, max: 5}
  accuracy: {higher_is_better: true, min: 0.1}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("sweep") / "work", config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    project.commit("a sweep")
    project.ciplug("run", "--", sys.executable, "train.py")
    return project


def test_the_trials_of_a_sweep_are_one_table(project: Project) -> None:
    shown = project.ciplug("runs", "sweep", "HEAD")
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["run", "name", "depth", "lr", "zeal", "accuracy", "marks"]
    assert [line.split()[2] for line in lines[2:]] == ["3", "2", "1", "0"], "by the first gate, the lowest first"
    assert lines[2].endswith("failed") and lines[3].endswith("best"), "a failed trial is not the best"
    assert "the same in all of them: optimizer=sgd" in shown.stderr
    assert "the run that started them counts, with its own metrics" in shown.stderr
    found = project.json("runs", "sweep", "last", "--metric", "accuracy", "--format", "json")
    assert [run["metrics"]["accuracy"] for run in found["runs"]] == [0.8, 0.7, 0.6, 0.5]
    assert found["best"] == found["runs"][1]["id"] and found["counts_for_commit"] == found["parent"]
    table = list(csv.DictReader(project.ciplug("runs", "sweep", "HEAD", "--format", "csv").stdout.splitlines()))
    assert {row["params.lr"] for row in table} == {"0.1", "0.3"}
    assert "| best " in project.ciplug("runs", "sweep", "HEAD", "--format", "markdown").stdout
    child = found["best"]
    said = project.ciplug("runs", "sweep", child, code=2).stderr
    assert f"it is a child run itself: ciplug runs sweep {found['parent'][:12]}" in said
    said = project.ciplug("runs", "sweep", "HEAD", "--metric", "acuracy", code=2).stderr
    assert "did you mean 'accuracy'?" in said
    assert {run["id"] for run in project.json("runs", "list", "--parent", "HEAD", "--json")} == {
        run["id"] for run in found["runs"]
    }


def test_a_list_shows_gated_metrics_first_and_fits_the_terminal(project: Project) -> None:
    wide = project.ciplug("runs", "list").stdout.splitlines()[2]
    assert "finished, +4 children" in wide
    assert wide.split()[-4:] == ["zeal=2", "accuracy=0.9", "abc=1", "bcd=3"]
    for width in (60, 80, 120):
        terminal = Terminal.ciplug("runs", "list", cwd=project.folder, env={"COLUMNS": str(width)})
        assert terminal.end() == 0
        rows = [line for line in terminal.shown.splitlines() if "finished" in line]
        assert len(rows) == 1 and len(rows[0]) <= width, f"{width}: {rows}"
        assert "finished, +4 children" in rows[0], "marks are not cut"


def test_other_tables_fit_the_terminal_and_name_what_has_no_room(project: Project) -> None:
    for metric, *words in (("zeal", "runs", "sweep", "HEAD"), ("accuracy", "leaderboard", "--metric", "accuracy")):
        terminal = Terminal.ciplug(*words, cwd=project.folder, env={"COLUMNS": "60"})
        assert terminal.end() == 0
        table, _, rest = terminal.shown.replace("\r", "").partition("(too narrow for: ")
        assert rest and max(map(len, table.splitlines())) <= 60, terminal.shown
        assert metric in table and "run" in table.split()


def test_a_list_of_one_branch_and_of_alternatives(project: Project) -> None:
    assert len(project.json("runs", "list", "--branch", "main", "--json")) == 5
    assert project.json("runs", "list", "--branch", "other", "--json") == []
    either = project.json(
        "runs", "list", "--where", "params.depth = 6 OR (params.lr = 0.3 AND status = 'failed')", "--json"
    )
    assert sorted(run["name"] for run in either) == ["trial 2", "trial 3"]


def test_a_deleted_trial_is_left_out(project: Project) -> None:
    trials = project.json("runs", "sweep", "HEAD", "--format", "json")["runs"]
    first, rest = trials[0]["id"], [run["id"] for run in trials[1:]]
    project.ciplug("runs", "delete", first)
    try:
        shown = project.ciplug("runs", "sweep", "HEAD")
        assert first[:12] not in shown.stdout and "1 deleted: --all lists them too" in shown.stderr
        assert [run["id"] for run in project.json("runs", "sweep", "HEAD", "--format", "json")["runs"]] == rest
        assert f"{first[:12]}" in project.ciplug("runs", "sweep", "HEAD", "--all").stdout
    finally:
        project.ciplug("runs", "restore", first)
