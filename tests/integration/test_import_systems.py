"""`ciplug import` of runs that W&B, Trackio, TensorBoard and Neptune's exporter have written, and of folders of JSON.

tests/data/imports has the scripts that recorded them, with the versions. docs/coming-from.md says what is promised.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import InputError
from ciplug.interop.wandb_log import records
from ciplug.records.series import Series
from ciplug.steps.session import open_session
from tests.project import Project, git

DATA = Path(__file__).parents[1] / "data" / "imports"
BAD_FILE = InputError.exit_code


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", config="version: 1\n")


def _runs(project: Project) -> dict[str, Any]:
    return {run.get("name", ""): run for run in project.json("runs", "list", "--json")}


def _series(project: Project, run_id: str) -> dict[str, Series]:
    runs = open_session(cwd=project.folder, env=os.environ).runs()
    return runs.series(runs.get(run_id))


def _again(project: Project, system: str, source: str, count: int) -> None:
    """A second import adds nothing, from another place either."""
    refs = git(project.folder, "for-each-ref")
    shutil.move(project.folder / source, project.folder / "moved")
    assert f"0 new runs, {count} known, 0 files sent" in project.ciplug("import", system, "moved").stdout
    assert git(project.folder, "for-each-ref") == refs


@pytest.mark.slow
def test_a_run_of_which_no_time_is_known_says_so(project: Project) -> None:
    folder = project.folder / "numbers"
    folder.mkdir()
    (folder / "timeless.json").write_text('{"name": "timeless", "metrics": {"accuracy": 0.9}}')
    (folder / "later.json").write_text('{"name": "later", "metrics": {"accuracy": 0.8}, "started": "2026-01-31"}')
    assert "2 new runs" in project.ciplug("import", "json", "numbers").stdout
    runs = _runs(project)
    assert "started" not in runs["timeless"] or not runs["timeless"]["started"]
    *_, later, timeless = project.ciplug("runs", "list").stdout.splitlines()
    assert "2026-01-31 00:00" in later and "no time known" in timeless
    *_, first, last = project.ciplug("runs", "list", "--order-by", "start_time").stdout.splitlines()
    assert "2026-01-31" in first and "no time known" in last, "it is listed last in both directions"
    # It is neither before nor after any time.
    for where in ("start_time < '2026-01-31'", "start_time > '2026-01-31'", "end_time < '2020-01-01'"):
        assert "none of 2 runs matches" in project.ciplug("runs", "list", "--where", where).stderr, where
    shown = project.ciplug("runs", "show", runs["timeless"]["id"]).stdout
    assert "started: no time known\nended: no time known\n" in shown
    project.ciplug("export", "csv", "runs.csv")
    project.ciplug("runs", "diff", runs["timeless"]["id"], runs["later"]["id"])
    everything = (
        shown
        + (project.folder / "runs.csv").read_text()
        + project.ciplug("leaderboard", "--metric", "accuracy", "--higher-is-better").stdout
    )
    assert "1970" not in everything


def test_offline_runs_of_wandb(project: Project) -> None:
    shutil.copytree(DATA / "wandb", project.folder / "wandb")
    assert "ciplug import wandb wandb" in project.ciplug("import").stdout
    assert "2 new runs, 0 known, 1 file sent" in project.ciplug("import", "wandb", "wandb").stdout
    runs = _runs(project)
    assert (runs["good0"]["status"], runs["good1"]["status"]) == ("finished", "failed")
    for run in runs.values():
        assert run["model"] == "wine" and run["commit"] == "970a653b96adb8fb9f8fc6735fdbb696cd52928e"
        assert run["params"] == {
            "flag": True, "lr": 0.1, "none": "None", "opt/betas": "[0.9, 0.99]", "opt/name": "adam",
        }  # fmt: skip
        # The summary says another value than the last.
        assert run["metrics"] == {"bad": "NaN", "up": "Infinity", "best": 0.75, "train/loss": 0.2, "val/acc": 0.75}
        assert run["left_out"] == [{"name": "hist", "why": "list", "found": "histogram"}]
        assert run["artifacts"][0]["path"] == "note.txt"
        assert (run["tags"]["wandb.tags"], run["tags"]["wandb.group"], run["tags"]["word"]) == ("a, b", "g", "good")
        loss = _series(project, run["id"])["train/loss"]
        assert loss.steps == (0, 1, 2, 3) and loss.values == (1.0, 0.5, 1 / 3, 0.25) and loss.times is not None
    assert runs["good0"]["provenance"]["command"][0] == "train.py"
    _again(project, "wandb", "wandb", 2)


def test_a_run_of_wandb_that_was_cut_off_has_what_was_written(project: Project) -> None:
    shutil.copytree(DATA / "wandb", project.folder / "wandb")
    cut, other = sorted((project.folder / "wandb").rglob("*.wandb"))
    cut.write_bytes(cut.read_bytes()[:3000])
    empty = other.with_name("run-killed.wandb")
    empty.write_bytes(other.read_bytes()[:7])
    done = project.ciplug("import", "wandb", "wandb", code=BAD_FILE)
    assert "2 new runs" in done.stdout
    assert f"imported without a part: {cut}: record" in done.stderr and f"{empty}: no record in it" in done.stderr
    run = _runs(project)["good0"]
    assert run["status"] == "killed" and run["left_out"][0]["why"] == "line" and "train/loss" in run["metrics"]
    # A run that goes on later is named, and stays as it was imported.
    shutil.copy(next((DATA / "wandb").rglob(cut.name)), cut)
    empty.unlink()
    assert "1 run went on since the import" in project.ciplug("import", "wandb", "wandb").stderr
    assert _runs(project)["good0"] == run


def test_any_cut_of_a_file_of_wandb_is_noticed(tmp_path: Path) -> None:
    whole = next((DATA / "wandb").rglob("*0.wandb")).read_bytes()
    file = tmp_path / "run-x.wandb"
    file.write_bytes(whole)
    every = list(records(file, pytest.fail))
    for size in range(8, len(whole), 41):
        problems: list[InputError] = []
        file.write_bytes(whole[:size])
        read = list(records(file, problems.append))
        assert read == every[: len(read)] and (problems or len(read) < len(every))
        changed = bytearray(whole)
        changed[size] ^= 255
        file.write_bytes(bytes(changed))
        problems.clear()
        list(records(file, problems.append))
        assert problems and str(file) in problems[0].message


def test_projects_of_trackio(project: Project) -> None:
    folder = project.folder / "trackio"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "wine.db")) as database:
        database.executescript((DATA / "trackio" / "wine.sql").read_text())
    (folder / "broken.db").write_bytes((folder / "wine.db").read_bytes()[:5000])
    (folder / "no.db").write_text("not a database, and longer than the header of one would be: " + "x" * 100)
    done = project.ciplug("import", "trackio", "trackio", code=BAD_FILE)
    assert "2 new runs, 0 known" in done.stdout and "2 of the new runs name no commit" in done.stderr
    for name in ("broken.db", "no.db"):
        assert f"not imported: {folder / name}: not a project of Trackio, or damaged" in done.stderr
        (folder / name).unlink()
    run = _runs(project)["first"]
    assert run["model"] == "wine" and run["status"] == "unknown" and "commit" not in run
    assert run["params"] == {"lr": 0.1, "opt/betas": "[0.9, 0.99]", "opt/name": "adam"}
    assert run["metrics"] == {"bad": "NaN", "up": "Infinity", "train/loss": 1 / 3, "val/acc": 0.5}
    assert run["started"] < run["ended"]
    assert _series(project, run["id"])["bad"].steps == (7,)
    _again(project, "trackio", "trackio", 2)


def test_folders_of_tensorboard(project: Project) -> None:
    pytest.importorskip("tensorboard")
    shutil.copytree(DATA / "tensorboard", project.folder / "runs")
    assert "ciplug import tensorboard runs" in project.ciplug("import").stdout
    cut = project.folder / "runs" / "cut"
    cut.mkdir()
    first = next((DATA / "tensorboard" / "first" / "train").iterdir())
    (cut / "events.out.tfevents.1.cut").write_bytes(first.read_bytes()[:150])
    (project.folder / "runs" / "events.out.tfevents.2.empty").write_bytes(first.read_bytes()[:20])
    done = project.ciplug("import", "tensorboard", "runs", code=BAD_FILE)
    assert "3 new runs" in done.stdout
    assert "tfevents.1.cut: record" in done.stderr and "tfevents.2.empty: no event in it" in done.stderr
    runs = _runs(project)
    assert {
        name: round(one, 6) if isinstance(one, float) else one for name, one in runs["first"]["metrics"].items()
    } == {
        f"{part}/{name}": value
        for part in ("train", "validation")
        for name, value in (("loss", 0.333333), ("bad", "NaN"))
    }
    assert runs["second"]["params"] == {"lr": 0.1, "name": "adam", "flag": True}
    assert runs["second"]["metrics"] == {"loss": 0.5, "score": 0.75}
    assert runs["second"]["left_out"] == [{"name": "weights", "why": "list", "found": "histograms"}]
    assert runs["cut"]["metrics"] and any(one["why"] == "line" for one in runs["cut"]["left_out"])
    (project.folder / "runs" / "events.out.tfevents.2.empty").unlink()
    _again(project, "tensorboard", "runs", 3)


@pytest.mark.slow
def test_an_export_of_neptune(project: Project) -> None:
    pytest.importorskip("pyarrow")
    shutil.copytree(DATA / "neptune", project.folder / "export")
    assert "2 new runs, 0 known, 2 files sent" in project.ciplug("import", "neptune", "export").stdout
    runs = _runs(project)
    run = runs["run of WIN-1"]
    assert (run["status"], runs["run of WIN-2"]["status"]) == ("finished", "failed")
    assert run["model"] == "wine" and run["commit"] == "0123456789abcdef0123456789abcdef01234567"
    assert run["params"]["parameters/lr"] == 0.1 and run["params"]["parameters/depth"] == 6
    assert run["metrics"] == {"metrics/final": 0.93, "metrics/loss": 1 / 3, "metrics/half": "NaN"}
    assert (run["started"], run["ended"]) == ("2026-01-31T12:00:00.000Z", "2026-01-31T12:30:00.000Z")
    assert run["provenance"]["context"]["actor"] == "ann" and run["artifacts"][0]["path"] == "model/note"
    series = _series(project, run["id"])
    assert series["metrics/loss"].steps == (0, 1, 2) and series["metrics/half"].steps == (0, 500_000, 1_000_000)
    _again(project, "neptune", "export", 2)
    part = next((project.folder / "moved").rglob("WIN-1*.parquet"))
    part.write_bytes(part.read_bytes()[:4000])
    done = project.ciplug("import", "neptune", "moved", code=BAD_FILE)
    assert "1 known" in done.stdout and f"not imported: {part}: not Parquet, or damaged" in done.stderr


def test_json_of_any_documented_shape(project: Project) -> None:
    folder = project.folder / "results"
    (folder / "fold").mkdir(parents=True)
    odd = {
        "": 1.0,
        "x" * 251: 2.0,
        "line\nbreak": 3.0,
        "nan": "NaN",
        "inf": float("inf"),
        "none": None,
        "deep": {"a": 1},
    }
    files = {
        "one.json": {
            "id": "mine", "name": "one", "commit": "a" * 40, "metrics": odd,
            "params": {"a": {"b": [1, 2]}, "y" * 251: 1},
            "history": [{"epoch": 1, "loss": 0.5, "time": 1767225600}, {"epoch": 2, "loss": 0.25, "time": 1767225601}],
            "started": "2026-01-01T00:00:00Z", "artifacts": ["model.txt", "gone.txt"],
        },
        "several.json": [{"name": "two", "metrics": {"loss": [3, 2, 1]}}, {"name": "three", "metrics": {"acc": 1}}],
        "fold/metrics.json": {"accuracy": 0.5},
        "fold/params.json": {"depth": 3},
        "fold/run.json": {"name": "four", "commit": "short", "status": "failed"},
        "bad-field.json": {"metrics": {"a": 1}, "colour": "red"},
        "flat.json": {"a": 1},
        "again.json": {"id": "mine", "metrics": {"a": 1}},
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "half.json").write_text('{"metrics": {"a": 1')
    (folder / "lines.jsonl").write_text(
        '{"name": "five", "metrics": {"a": 1}}\n{"name": \n{"name": "six", "metrics": {"a": 2}}\n'
    )
    (folder / "model.txt").write_text("model")
    done = project.ciplug("import", "json", "results", code=BAD_FILE)
    assert "6 new runs, 0 known, 0 files sent" in done.stdout
    for words in (
        f"{folder}/bad-field.json: 'colour': unknown field of a run",
        f"{folder}/flat.json: not a run: no 'metrics' among 'a'\n  -> a run is {{",
        f"{folder}/half.json:1: not JSON",
        f"{folder}/lines.jsonl:2: not JSON",
        "one.json: the same run as again.json",
    ):
        assert words in done.stderr, done.stderr
    # The first of two files with one id, by their names, is the run.
    (folder / "again.json").unlink()
    runs = _runs(project)
    assert runs["two"]["metrics"] == {"loss": 1.0} and _series(project, runs["two"]["id"])["loss"].steps == (0, 1, 2)
    assert runs["four"]["params"] == {"depth": 3} and runs["four"]["tags"]["json.commit"] == "short"
    assert (runs["four"]["status"], runs["four"]["metrics"]) == ("failed", {"accuracy": 0.5})
    other = Project.create(project.folder.parent / "other", config="version: 1\n")
    done = other.ciplug("import", "json", "../project/results/one.json")
    assert "1 new run, 0 known, 1 file sent" in done.stdout
    one = _runs(other)["one"]
    assert one["commit"] == "a" * 40 and one["params"] == {"a/b": "[1, 2]"}
    assert one["metrics"] == {"nan": "NaN", "inf": "Infinity", "deep/a": 1.0, "loss": 0.25}
    assert one["last"]["loss"] == {"step": 2, "value": 0.25, "time": 1767225601000}
    left = {(part["name"][:10], part["why"]) for part in one["left_out"]}
    assert left == {
        ("", "name"), ("x" * 10, "name"), ("line\nbreak", "name"), ("y" * 10, "param"), ("none", "null"),
        ("gone.txt", "output"),
    }  # fmt: skip
    # What ciplug prints of a run is a run.
    (other.folder / "printed.json").write_text(json.dumps(one))
    assert "0 new runs, 1 known" in other.ciplug("import", "json", "printed.json").stdout


def test_a_source_that_is_not_there_or_has_nothing(project: Project) -> None:
    (project.folder / "empty").mkdir()
    for system in ("dvc", "json", "tensorboard", "trackio", "wandb", "neptune"):
        assert "there is no" in project.ciplug("import", system, "nowhere", code=2).stderr
        assert f"{project.folder / 'empty'}: no " in project.ciplug("import", system, "empty", code=BAD_FILE).stderr


def test_a_metric_without_any_number_is_left_out_alone(project: Project) -> None:
    run = {"name": "one", "metrics": {"accuracy": "high", "steps": ["low"], "loss": "big", "f1": [0.5, "diverged"]}}
    (project.folder / "run.json").write_text(json.dumps({**run, "history": [{"loss": 1}]}))
    project.ciplug("import", "json", "run.json")
    found = _runs(project)["one"]
    # A text after numbers is a value that is not known: what was before it does not count.
    assert (found["metrics"], [*found["last"]]) == ({"f1": "NaN"}, ["f1"])
    assert {one["name"] for one in found["left_out"]} == {"accuracy", "steps", "loss", "f1"}
