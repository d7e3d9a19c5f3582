"""`ciplug runs show`: which runs it takes by name, and the outline for the eye."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.project import Project

TRAIN = """\
import json, pathlib, ciplug
dataset = {"name": "rows", "digest": "ab12cd34", "source_type": "s3", "source": '{"uri": "s3://b/rows"}'}
pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": 0.9, "f1": "93%", "loss": float("inf")}))
pathlib.Path("h.json").write_text(json.dumps({"epoch": [1, 2], "val": [0.7, 0.5]}))
with ciplug.start_run():
    ciplug.log_input(dataset, context="training")
    with ciplug.start_run(name="fold 1", nested=True):
        ciplug.log_metric("accuracy", 0.8)
"""
CONFIG = """\
version: 1
model: wine
metrics: {files: [metrics.json, {file: h.json, take: max}]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.create(tmp_path / "work", config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / ".gitignore").write_text("metrics.json\nh.json\n")
    project.commit("a training with a fold")
    project.ciplug("run", "--", sys.executable, "train.py")
    return project


def test_the_outline_is_for_the_eye_and_names_the_child_runs(project: Project) -> None:
    shown = project.ciplug("runs", "show", "HEAD").stdout
    assert "  loss: inf\n" in shown
    assert "  val: 0.7; at the highest step, 2, it is 0.5\n" in shown
    assert "left_out:\n  - f1: the text '93%' in metrics.json:1\n" in shown
    assert "inputs:\n  - rows (ab12cd34, s3, training)\n" in shown
    (child,) = project.json("runs", "list", "--where", "parent LIKE '%'", "--json")
    assert f"children:\n  - {child['id'][:12]} (fold 1, finished): accuracy=0.8\n" in shown
    assert "children:" not in project.ciplug("runs", "show", child["id"]).stdout
    assert project.json("runs", "show", "HEAD", "--json")["children"] == [
        {"id": child["id"], "name": "fold 1", "status": "finished", "metrics": {"accuracy": 0.8}}
    ]
    assert project.json("runs", "show", child["id"], "--json")["children"] == []


@pytest.mark.slow
def test_a_run_is_shown_by_its_commit(project: Project) -> None:
    (run,) = (one for one in project.json("runs", "list", "--json") if "parent" not in one)
    for name in ("HEAD", "main", project.head, project.head[:9], run["id"][:8]):
        assert json.loads(project.ciplug("runs", "show", name, "--json").stdout)["id"] == run["id"], name
    assert "no run 'nothing'" in project.ciplug("runs", "show", "nothing", code=2).stderr
    assert "wine" in project.ciplug("runs", "show", run["id"], "--model", "other", code=2).stderr
    assert "did you mean 'wine'?" in project.ciplug("runs", "show", "last", "--model", "wnie", code=2).stderr


@pytest.mark.slow
def test_a_run_is_shown_with_its_verdict_its_series_and_its_images(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(
        CONFIG + "gates: {accuracy: {min: 0.5}}\nartifacts: [curve.png, m.bin, plots, none.bin]\n"
    )
    with (project.folder / "train.py").open("a") as file:
        file.write("for name in ('curve.png', 'm.bin'): pathlib.Path(name).write_bytes(b'abc')\n")
        file.write("pathlib.Path('plots').mkdir()\npathlib.Path('plots/a b.png').write_bytes(b'abc')\n")
    with (project.folder / ".gitignore").open("a") as file:
        file.write("curve.png\nm.bin\nnone.bin\nplots/\n")
    project.commit("an image")
    (project.folder / "none.bin").write_bytes(b"old")
    project.ciplug("run", "--", sys.executable, "train.py", code=2)
    project.ciplug("gate", "--dry-run")
    project.ciplug("gate")
    shown = project.ciplug("runs", "show", "last").stdout
    assert "\ndirty: " not in shown
    run = project.json("runs", "show", "last", "--json")
    assert re.search(
        r"^verdict: PASS \(20\S+ \S+, by ciplug.yaml\)\n  accuracy: PASS\nearlier verdicts:\n  - PASS .*dry run\)$",
        shown,
        re.M,
    )
    assert "  val: █▁ 2 steps, last 0.5, 0.5 to 0.7\n" in shown.partition("series:\n")[2]
    pull = f"ciplug pull {run['id'][:12]}"
    assert f"images:\n  - curve.png (3 B): {pull} curve.png\n  - plots/a b.png: {pull} 'plots/a b.png'\n" in shown
    assert "\n  - none.bin: the command did not write it\n" in shown
    assert "  - m.bin sha256:" in shown
    assert [(one["outcome"], one["dry_run"], one["gates"]) for one in run["verdicts"]] == [
        ("PASS", False, {"accuracy": "PASS"}),
        ("PASS", True, {"accuracy": "PASS"}),
    ]
    assert run["series"]["val"] == {"steps": 2, "last_step": 2, "last": 0.5, "min": 0.5, "max": 0.7}
