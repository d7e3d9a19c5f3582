"""What a run could not record is named in the terminal, the comment, the page and JSON alike, with what to do."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from ciplug.reports.untrusted import escape_markdown
from tests.project import Project

CONFIG = """\
version: 1
model: wine
metrics: [metrics.json, "logs/*.csv"]
artifacts: [large.bin, gone.bin, old.bin, made.bin]
artifact_limit: 1 kB
gates: {accuracy: {min: 0.8}, recall: {min: 0.5, on_missing: warn}}
"""
TRAIN = """\
import ciplug
ciplug.log_metric("accuracy", 0.5)
open("metrics.json", "w").write('{"accuracy": 0.9}')
open("large.bin", "w").write("x" * 2000)
open("made.bin", "w").write("x")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("states")
    project = Project.with_remote(folder, config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / ".gitignore").write_text("*.bin\nmetrics.json\n")
    (project.folder / "old.bin").write_text("of last week")
    project.commit("train")
    project.push()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    project.ciplug("run", "--", sys.executable, "train.py", env=env, code=2)
    return project


def notices(project: Project) -> list[dict[str, Any]]:
    section = project.json("report", "--format", "json")["sections"][0]
    found: list[dict[str, Any]] = section["comparison"]["notices"]
    return found


@pytest.mark.slow
def test_json_names_every_state(project: Project) -> None:
    named = {(one["kind"], *one.get("files", one.get("metrics", []))) for one in notices(project)}
    assert named >= {
        ("not_kept", "large.bin"),
        ("not_kept", "gone.bin"),
        ("not_kept", "old.bin"),
        ("two_values", "accuracy"),
        ("not_recorded", "logs/*.csv"),
    }
    (server,) = [one for one in notices(project) if one["kind"] == "not_recorded" and "MLflow" in one["files"][0]]
    assert server["files"][0].startswith("MLflow's store http://127.0.0.1:")
    assert not any("made.bin" in one.get("files", ()) for one in notices(project))


def test_each_rendering_names_the_same_with_what_to_do(project: Project) -> None:
    terminal = " ".join(project.ciplug("compare").stdout.split())
    comment = project.ciplug("report").stdout
    told = [one for one in notices(project) if one["kind"] in ("not_kept", "two_values", "not_recorded")]
    assert len(told) == 6
    for one in told:
        line = f"{one['message']} → {one['remedy']}"
        assert line in terminal and escape_markdown(line) in comment, one
    assert str(project.folder) not in comment


def test_a_gate_on_what_a_silent_store_may_hold_is_an_error(project: Project) -> None:
    verdict = project.json("gate", "--json", code=1)["verdicts"][0]
    (recall,) = [one for one in verdict["gates"] if one["gate"] == "recall"]
    assert recall["outcome"] == "ERROR" and "is not recorded" in recall["reason"]


def test_the_record_keeps_the_reasons(project: Project) -> None:
    (run,) = project.json("runs", "list", "--json")
    why = {one["name"]: one["why"] for one in run["left_out"]}
    assert {why[name] for name in ("large.bin", "gone.bin", "old.bin")} == {"output"}
    assert (why["accuracy"], run["metrics"]["accuracy"]) == ("logged", 0.9)
    assert {Path(one["path"]).name for one in run["artifacts"]} == {"large.bin", "made.bin"}
