"""`ciplug run` of a training that logs with MLflow, played by copies of what MLflow has written (tests/data/mlflow)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project

DATA = Path(__file__).parent.parent / "data" / "mlflow"
TRAIN = """\
import json, os, pathlib, shutil, sys, urllib.parse, urllib.request
def log(place, name="file-3.17"):
    shutil.copytree(pathlib.Path(os.environ["DATA"]) / name, place)
    for tag in pathlib.Path(place).rglob("ciplug.run"):
        tag.write_text(json.loads(os.environ["MLFLOW_RUN_CONTEXT"])["ciplug.run"])
def given():
    return urllib.request.url2pathname(urllib.parse.urlsplit(os.environ["MLFLOW_TRACKING_URI"]).path)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DATA", str(DATA))
    # A path with a blank and a letter beyond ASCII is one that a URI escapes.
    project = Project.create(tmp_path / "wörk space", config="version: 1\nmodel: wine\n")
    (project.folder / ".gitignore").write_text("mlruns/\n*.db\nout/\nmetrics.json\n")
    return project


def _with_gate(project: Project) -> None:
    with (project.folder / "ciplug.yaml").open("a") as file:
        file.write("gates:\n  accuracy: {higher_is_better: true, max_regression: 0.01}\n")
    project.commit("a gate")


def _script(project: Project, body: str) -> None:
    (project.folder / "train.py").write_text(TRAIN + body)
    project.commit("a training")


def _run(project: Project, body: str, *options: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """Run this training; returns what ciplug says."""
    _script(project, body)
    return project.ciplug("run", *options, "--", sys.executable, "train.py", code=code, env=env).stderr


def _runs(project: Project) -> list[dict[str, Any]]:
    """The runs with their parents first."""
    listed = project.json("runs", "list", "--children", "--json")
    runs = [project.json("runs", "show", one["id"], "--json") for one in listed]
    return sorted(runs, key=lambda run: (run.get("parent") is not None, run.get("name") or ""))


@pytest.mark.slow
def test_the_run_of_mlflow_is_the_run(project: Project) -> None:
    said = _run(project, "log(given())")

    assert "4 metrics, 4 child runs" in said
    run, *children = _runs(project)
    assert run["name"] == "sweep" and run["status"] == "finished" and run["model"] == "wine"
    assert run["metrics"]["loss"] == pytest.approx(1 / 3)
    assert (run["params"]["lr"], run["params"]["depth"], run["params"]["shuffle"]) == (0.01, 6, True)
    assert run["tags"]["team"] == "vision ✓" and run["tags"]["mlflow.experiment"] == "wine"
    assert [data["name"] for data in run["inputs"]] == ["wine-red"]
    assert [model["id"][:2] for model in run["outputs"]] == ["m-"]
    assert {one["path"]: one.get("kind") for one in run["artifacts"]} == {"classes.json": None, "notes": "folder"}
    by_name = {child.get("name"): child for child in children}
    fold = by_name["fold-1"]
    assert fold["parent"] == run["id"] and by_name["inner"]["parent"] == fold["id"]
    assert fold["metrics"] == {"accuracy": 0.9} and fold["params"] == {"fold": 1}
    assert fold["id"] == fold["tags"]["mlflow.run_id"]
    assert sorted(child["status"] for child in children) == ["failed", "finished", "finished", "finished"]
    assert fold["provenance"]["command"] == run["provenance"]["command"]
    # Nothing is left behind.
    assert not (project.folder / "mlruns").exists() and not list((project.folder / ".git").rglob("meta.yaml"))


def test_a_training_without_mlflow_is_given_a_place_and_makes_none(project: Project) -> None:
    body = "pathlib.Path('metrics.json').write_text('{\"a\": 1}'); assert not os.path.exists(given())"
    said = _run(project, body, "--metrics", "metrics.json")

    assert "MLflow" not in said
    (run,) = _runs(project)
    assert run["metrics"] == {"a": 1} and not any(tag.startswith("mlflow") for tag in run.get("tags", {}))


@pytest.mark.slow
def test_the_store_that_the_training_names_is_respected(project: Project) -> None:
    body = "assert os.environ['MLFLOW_TRACKING_URI'] == 'out/runs'; log('out/runs')"
    _run(project, body, env={"MLFLOW_TRACKING_URI": "out/runs"})

    run, *children = _runs(project)
    assert run["name"] == "sweep" and len(children) == 4
    assert (project.folder / "out" / "runs").is_dir()


@pytest.mark.slow
def test_a_store_that_is_there_is_respected_and_only_own_runs_count(project: Project) -> None:
    _run(project, "log('mlruns')")
    before = _runs(project)
    body = "assert 'MLFLOW_TRACKING_URI' not in os.environ; pathlib.Path('metrics.json').write_text('{\"a\": 1}')"
    _run(project, body, "--metrics", "metrics.json")

    assert len(_runs(project)) == len(before) + 1


@pytest.mark.slow
def test_a_store_that_the_code_chooses_is_found(project: Project) -> None:
    """A new store in the folder or one level below, and one whose address stands in the script."""
    for place in ("runs", "out/mlruns"):
        _run(project, f"log({place!r})")
    _run(project, "def set_tracking_uri(uri): log('out/deep/er')\nset_tracking_uri('file:out/deep/er')")

    tops = [run for run in project.json("runs", "list", "--json") if "parent" not in run]
    assert [run["name"] for run in tops] == ["sweep"] * 3


@pytest.mark.slow
def test_a_sqlite_file_that_the_code_chooses_is_found(project: Project) -> None:
    body = "import sqlite3; d = sqlite3.connect('my.db')\n"
    body += "d.executescript(pathlib.Path(os.environ['DATA'], 'sqlite-3.17.sql').read_text())\n"
    body += "mark = json.loads(os.environ['MLFLOW_RUN_CONTEXT'])['ciplug.run']\n"
    body += "d.execute('UPDATE tags SET value = ? WHERE key = ?', (mark, 'ciplug.run')); d.commit(); d.close()"
    _run(project, body)

    run, *children = _runs(project)
    assert run["name"] == "sweep" and len(children) == 4


@pytest.mark.slow
def test_a_run_that_another_process_makes_meanwhile_is_named_and_not_taken(project: Project) -> None:
    """A store that was not there before is not the command's for this reason."""
    (project.folder / "ciplug.yaml").write_text("version: 1\ngates: {accuracy: {min: 0.8}}\n")
    said = _run(project, "log('mlruns')\nfor tag in pathlib.Path('mlruns').rglob('ciplug.run'): tag.unlink()")

    assert "mlruns: 5 runs of MLflow without the tag 'ciplug.run' not recorded: " in said and "'sweep'" in said
    (run,) = _runs(project)
    assert run["metrics"] == {}
    project.ciplug("gate", code=1)


@pytest.mark.slow
def test_several_runs_are_child_runs(project: Project) -> None:
    _with_gate(project)
    body = "log(given())\nfor tag in pathlib.Path(given()).rglob('mlflow.parentRunId'): tag.unlink()"
    said = _run(project, body)

    assert "the 5 runs of MLflow are child runs" in said
    run, *children = _runs(project)
    assert len(children) == 5 and {child["parent"] for child in children} == {run["id"]}
    assert run["metrics"] == {}
    assert "log the metrics to the run itself, not only to its child runs" in said and "--metrics" not in said

    (verdict,) = project.json("gate", "--json", code=1)["verdicts"]
    advice = "log the metrics to the run itself, not only to its 5 child runs"
    assert verdict["gates"][0]["advice"] == advice
    # The last of the child runs is not what the next commit is compared with.
    project.commit("next")
    _run(project, "log(given())")
    (comparison,) = project.json("compare", "--format", "json")["comparisons"]
    assert "run" not in comparison["baseline"] and "run" not in comparison["target"]
    assert [one["reason"] for one in comparison["baseline"]["passed_over"]] == ["child"]
    assert "is a child run" in project.ciplug("report").stdout


def test_a_child_run_whose_parent_is_deleted_stays_one(project: Project) -> None:
    body = "log(given())\nfor tags in pathlib.Path(given()).glob('*/*/tags'):\n"
    body += "    meta = tags.parent / 'meta.yaml'\n"
    body += "    if 'fold-1' in meta.read_text(): continue\n"
    body += "    meta.write_text(meta.read_text().replace('lifecycle_stage: active', 'lifecycle_stage: deleted'))"
    said = _run(project, body)

    assert "is a child run, and its parent is deleted" in said
    run, child = _runs(project)
    assert run["metrics"] == {} and (child["name"], child["parent"]) == ("fold-1", run["id"])


@pytest.mark.slow
def test_runs_in_a_circle_are_kept(project: Project) -> None:
    body = "log(given())\nfor run in pathlib.Path(given()).glob('*/*/tags'):\n"
    body += "    (run / 'mlflow.parentRunId').write_text(run.parent.name)"
    _run(project, body)

    assert len(_runs(project)) == 6


@pytest.mark.slow
def test_a_file_counts_before_mlflow_and_the_difference_is_said(project: Project) -> None:
    body = "log(given()); pathlib.Path('metrics.json').write_text('{\"accuracy\": 0.5}')"
    said = _run(project, body, "--metrics", "metrics.json")

    assert "the metric 'accuracy' was logged as 0.9, and its file says 0.5: the file counts" in said
    assert _runs(project)[0]["metrics"]["accuracy"] == 0.5


@pytest.mark.slow
def test_a_run_that_mlflow_has_as_failed_is_not_finished(project: Project) -> None:
    _with_gate(project)
    body = "log(given())\nfor meta in pathlib.Path(given()).glob('*/*/meta.yaml'):\n"
    body += "    meta.write_text(meta.read_text().replace('status: 3', 'status: 4'))"
    said = _run(project, body)

    assert "the run is FAILED in MLflow, although the command exited with 0: it is recorded as failed" in said
    assert _runs(project)[0]["status"] == "failed"
    (verdict,) = project.json("gate", "--json", code=1)["verdicts"]
    reason = "the run is FAILED in MLflow, although its exit code is 0: its numbers decide nothing"
    assert reason in [gate["reason"] for gate in verdict["gates"]]


@pytest.mark.slow
def test_a_failed_training_keeps_what_it_logged(project: Project) -> None:
    _run(project, "log(given()); sys.exit(3)", code=3)

    run = _runs(project)[0]
    assert (run["status"], run["metrics"]["accuracy"]) == ("failed", 0.9)


@pytest.mark.slow
def test_a_training_that_is_killed_keeps_what_it_logged(project: Project) -> None:
    _run(project, "log(given()); os.kill(os.getpid(), 9)", code=137)

    run, *children = _runs(project)
    assert (run["status"], run["metrics"]["accuracy"]) == ("killed", 0.9) and len(children) == 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_what_was_logged_is_recovered_after_ciplug_was_killed(project: Project) -> None:
    _script(project, "import time; log(given()); pathlib.Path('out').mkdir(); time.sleep(60)")
    command = [sys.executable, "-m", "ciplug", "run", "--", sys.executable, "train.py"]
    with subprocess.Popen(command, cwd=project.folder, start_new_session=True) as ciplug:
        deadline = time.monotonic() + 60
        while not (project.folder / "out").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(ciplug.pid, signal.SIGKILL)
    said = project.ciplug("record", "--spooled").stderr

    assert "it is recorded as killed, with what it had logged" in said
    run, *children = _runs(project)
    assert (run["status"], run["name"], run["metrics"]["accuracy"]) == ("killed", "sweep", 0.9)
    assert {child.get("name") for child in children} >= {"fold-0", "fold-1", "inner"}
    assert {artifact["path"]: artifact["store"] for artifact in run["artifacts"]} == {
        "classes.json": "git:",
        "notes": "git:",
    }


@pytest.mark.parametrize("uri", ["postgresql://u:secret@h/x", "http://127.0.0.1:9/", "http://[bad", "databricks"])
def test_a_place_that_cannot_be_read_costs_only_what_is_there(project: Project, uri: str) -> None:
    body = "pathlib.Path('metrics.json').write_text('{\"a\": 1}')"
    said = _run(project, body, "--metrics", "metrics.json", env={"MLFLOW_TRACKING_URI": uri})

    assert "the runs of MLflow that are there are not recorded here" in said and "secret" not in said
    assert _runs(project)[0]["metrics"] == {"a": 1}


@pytest.mark.slow
def test_a_run_within_a_run_is_recorded_once(project: Project) -> None:
    inner = project.folder / "inner.py"
    inner.write_text(TRAIN + "log(given())")
    command = [sys.executable, "-m", "ciplug", "run", "--name", "inner run", "--", sys.executable, "inner.py"]
    _run(project, f"import subprocess; subprocess.run({command!r}, check=True)")

    tops = [run for run in _runs(project) if "parent" not in run]
    assert {run.get("name"): len(run.get("metrics", {})) for run in tops} == {None: 0, "inner run": 4}


def test_a_gate_looks_at_what_mlflow_logged(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text("version: 1\nmodel: wine\ngates: {accuracy: {min: 0.95}}\n")
    _run(project, "log(given())")

    (verdict,) = json.loads(project.ciplug("gate", "--json", code=1).stdout)["verdicts"]
    assert [(gate["gate"], gate["outcome"]) for gate in verdict["gates"]] == [("accuracy", "FAIL")]


def test_a_torn_value_is_said_and_never_passes(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text("version: 1\nmodel: wine\ngates: {loss: {max: 0.9}}\n")
    body = "log(given())\nfor file in pathlib.Path(given()).rglob('metrics/loss'): file.open('a').write('17959 n/a')"
    said = _run(project, body)

    assert "1 name is left out: 'loss' (the text '17959 n/a')" in said
    (verdict,) = json.loads(project.ciplug("gate", "--json", code=None).stdout)["verdicts"]
    assert [gate["outcome"] for gate in verdict["gates"]] == ["ERROR"]


@pytest.mark.slow
def test_a_training_without_metrics_is_told_where_its_runs_of_mlflow_were_looked_for(project: Project) -> None:
    nothing = "if the training logs with MLflow: no run of it was found in "
    said = _run(project, "log(sys.argv[0].replace('train.py', '../elsewhere'))")
    assert nothing + "the store that ciplug gave it or its folder" in said
    assert "set MLFLOW_TRACKING_URI for the command" in said
    said = _run(project, "pass", env={"MLFLOW_TRACKING_URI": "sqlite:////srv/my.db"})
    assert nothing + "sqlite:////srv/my.db or its folder" in said
    assert "MlflowClient().create_run does not mark it" in said
    said = _run(project, "pass", env={"MLFLOW_TRACKING_URI": "ciplug:"})
    assert "have it start a run of its own" in said and "MlflowClient" not in said
    assert nothing not in _run(project, "log(given())")


def test_a_server_that_does_not_answer_has_a_remedy(project: Project) -> None:
    said = _run(project, "pass", env={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
    assert "http://127.0.0.1:9: Connection refused: the runs of MLflow that are there are not recorded here" in said
    assert "-> is the server running, and can this machine reach it?" in said and "Errno" not in said
