"""What a file of metrics holds that is no metric: said once, counted, everywhere; and an ERROR for a gate on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ciplug import cli
from tests.project import Project

CONFIG = """\
version: 1
model: wine
metrics: [metrics.json, more.json]
gates:
  accuracy: {min: 0.5}
  f1: {min: 0.5, on_missing: warn}
  kind: {min: 0.5, on_missing: warn}
  loss: {max: 1, severity: warning}
"""
METRICS = {"accuracy": 0.9, "f1": None, "kind": "rf", "loss": 0.5, "classes": ["a", "b"], "a\nb": 1}


def test_what_is_left_out_is_said_and_never_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project.create(tmp_path / "work", config=CONFIG)
    (project.folder / "metrics.json").write_text(json.dumps(METRICS))
    (project.folder / "more.json").write_text('{"loss": 0.4, "recall": 0.8}')
    monkeypatch.chdir(project.folder)
    assert cli.main(["record"]) == 0
    said = capfd.readouterr().err
    assert "metrics.json: 3 names are left out: 'f1' (null), 'classes'" in said
    assert "metrics.json: kept as tags, because text is not a metric: 'kind'" in said
    assert "more.json: 1 name is left out: 'loss' (another value than in metrics.json)" in said
    assert r"'a\nb' (not a name for a metric)" in said

    assert cli.main(["runs", "list", "--json"]) == 0
    (run,) = json.loads(capfd.readouterr().out)
    assert (run["metrics"], run["tags"]) == ({"accuracy": 0.9, "recall": 0.8}, {"kind": "rf"})
    assert cli.main(["runs", "show", run["id"], "--json"]) == 0
    left_out = json.loads(capfd.readouterr().out)["left_out"]
    assert [(one["name"], one["why"]) for one in left_out] == [
        ("f1", "null"),
        ("classes", "list"),
        ("a\nb", "name"),
        ("loss", "files"),
    ]

    assert cli.main(["gate", "--json"]) == 1
    (verdict,) = json.loads(capfd.readouterr().out)["verdicts"]
    assert {gate["gate"]: (gate["outcome"], gate["reason"]) for gate in verdict["gates"]} == {
        "accuracy": ("PASS", "0.9 is not below 0.5"),
        "f1": ("ERROR", "the run has no metric 'f1', but null in metrics.json:1"),
        "kind": ("ERROR", "the run has no metric 'kind', but the text 'rf'"),
        "loss": ("ERROR", "the run has no metric 'loss', but different values in metrics.json and more.json"),
    }
    for form in ("markdown", "html", "json"):
        cli.main(["report", "--format", form])
        out = capfd.readouterr().out
        # JSON has the facts, and the sentence that is made of them.
        assert out.count("4 names are left out") == (2 if form == "json" else 1), form
    cli.main(["report"])
    assert "4 names are left out: 'f1' (null)" in " ".join(capfd.readouterr().out.split())


BROKEN = """\
version: 1
model: wine
metrics: [metrics.json, history.csv, log.jsonl]
gates:
  accuracy: {min: 0.5}
  loss: {max: 1}
  f1: {min: 0.5, on_missing: warn}
"""


def test_what_a_broken_file_may_have_held_never_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Project.create(tmp_path / "work", config=BROKEN)
    (project.folder / "metrics.json").write_text('{"accuracy": 0.9}')
    (project.folder / "history.csv").write_text("epoch,loss\n1,0.5\n2,0.4\n3\n")
    (project.folder / "log.jsonl").write_text('{"step": 1, "lr": 0.1}\n{"step": 1, \n{"step": 2, "lr": 0.2}\n')
    monkeypatch.chdir(project.folder)
    assert cli.main(["record"]) == 0
    said = capfd.readouterr().err
    assert (
        "history.csv: 2 names are left out: 'line 4' (a line that cannot be read: 1 cell under 2 column names)" in said
    )
    assert "log.jsonl: 1 name is left out: 'line 2' (a line that cannot be read: not JSON" in said
    assert cli.main(["gate", "--json"]) == 1
    (verdict,) = json.loads(capfd.readouterr().out)["verdicts"]
    outcomes = {gate["gate"]: (gate["outcome"], gate["reason"]) for gate in verdict["gates"]}
    assert outcomes["accuracy"][0] == "PASS"
    assert outcomes["loss"][0] == outcomes["f1"][0] == "ERROR"
    assert outcomes["loss"][1].startswith("the last value of 'loss' may be lost: in a line that cannot be read")
    assert "history.csv:4" in outcomes["loss"][1]
    assert outcomes["f1"][1].startswith("the run has no metric 'f1', but a line that cannot be read: ")
