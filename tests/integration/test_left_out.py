"""What a file of metrics holds that is no metric: said once, counted, everywhere; and an ERROR for a gate on it."""

from __future__ import annotations

import json
import sys
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
    assert "metrics.json: kept as tags, because neither text nor a time is a metric: 'kind'" in said
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
        "accuracy": ("PASS", "0.9 is not below 0.5 (one number per run: no uncertainty)"),
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


REFUSED = """\
version: 1
model: wine
metrics:
  files:
    - metrics.json
    - h.csv
    - log.jsonl
    - {file: by_epoch.json, take: best, of: val/loss}
gates:
  accuracy: {min: 0.5}
  loss: {max: 1, on_missing: warn}
"""
H_CSV = "epoch,loss\n1,2,3\n4,5,6\n"
LOG = '{"step": 1, "lr": 0.1}\n{"step": 1, \n'
BY_EPOCH = '{"epoch": [1, 2], "val/loss": [0.4, 0.5]}'


@pytest.mark.slow
def test_a_file_that_was_refused_is_the_reason_of_each_metric_that_is_missing(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work", config=REFUSED)
    (project.folder / "metrics.json").write_text('{"accuracy": 0.9}')
    code = f"import pathlib as p; [p.Path(n).write_text(t) for n, t in {[('h.csv', H_CSV), ('log.jsonl', LOG)]}]"
    code += f"; p.Path('by_epoch.json').write_text({BY_EPOCH!r})"
    project.ciplug("run", "--", sys.executable, "-c", code, code=2)
    (run,) = json.loads(project.ciplug("runs", "list", "--json").stdout)
    assert [(one["name"], one["why"]) for one in run["left_out"]][-3:] == [
        ("metrics.json", "file"),
        ("h.csv", "file"),
        ("by_epoch.json", "file"),
    ]
    (verdict,) = json.loads(project.ciplug("gate", "--json", code=1).stdout)["verdicts"]
    for gate in verdict["gates"]:
        assert gate["outcome"] == "ERROR", gate
        assert "metrics.json is not recorded: the command did not write it" in gate["reason"]
        assert "h.csv is not recorded: 3 cells under 2 column names" in gate["reason"]
        assert "by_epoch.json is not recorded: which value of 'val/loss' is best is not known" in gate["reason"]
        assert "log.jsonl:2" in gate["reason"]
        assert "--allow-unchanged metrics.json" in gate["advice"]
    (section,) = json.loads(project.ciplug("report", "--format", "json").stdout)["sections"]
    noted = [one for one in section["comparison"]["notices"] if one["kind"] == "not_recorded"]
    assert [one["files"] for one in noted] == [["metrics.json"], ["h.csv"], ["by_epoch.json"]]
    assert "give a gate on it 'higher_is_better'" in noted[2]["remedy"]
    for form in ("table", "json"):
        assert "which value of 'val/loss' is best" in project.ciplug("compare", "--format", form).stdout, form


def test_a_run_whose_only_file_was_refused_has_that_reason(tmp_path: Path) -> None:
    config = "version: 1\nmodel: m\nmetrics: m.json\ngates: {a: {min: 0.5}}\n"
    project = Project.create(tmp_path / "work", config=config)
    (project.folder / "m.json").write_text('{"a": 0.9}')
    project.ciplug("run", "--", sys.executable, "-c", "pass", code=2)
    said = " ".join(project.ciplug("gate", code=1).stdout.split())
    assert "the run has no metric at all, and m.json is not recorded: the command did not write it" in said
    assert "name the file" not in said and "still write" not in said
    # Of a training that failed, a file that it did not write is not the problem.
    project.ciplug("run", "--", sys.executable, "-c", "raise SystemExit(3)", code=3)
    assert "left_out" not in json.loads(project.ciplug("runs", "list", "--limit", "1", "--json").stdout)[0]


@pytest.mark.slow
def test_a_rename_reaches_the_metric_that_chooses_the_step(tmp_path: Path) -> None:
    for of, gate in (("val/loss", "val_loss"), ("val_loss", "val_loss"), ("val_loss", "val/loss")):
        config = (
            "version: 1\nmodel: m\n"
            f"metrics: {{files: [{{file: h.json, take: best, of: {of}}}], rename: {{val_loss: val/loss}}}}\n"
            f"gates: {{{gate}: {{higher_is_better: false, max: 0.45}}}}\n"
        )
        project = Project.create(tmp_path / of.replace("/", ".") / gate.replace("/", "."), config=config)
        for name in ("val/loss", "val_loss"):
            by_epoch = {"epoch": [1, 2, 3], name: [0.5, 0.4, 0.6], "f1": [1, 2, 3]}
            (project.folder / "h.json").write_text(json.dumps(by_epoch))
            project.ciplug("record")
            (run,) = json.loads(project.ciplug("runs", "list", "--limit", "1", "--json").stdout)
            assert run["metrics"] == {name: 0.4, "f1": 2.0, "epoch": 2.0}
            project.ciplug("gate")


UNSURE = """\
version: 1
model: wine
metrics: [metrics.json, history.csv, table.csv]
gates:
  accuracy: {min: 0.5}
  loss: {max: 1}
  f1: {min: 0.5, on_missing: warn}
  recall: {min: 0.5}
"""


def test_what_is_not_surely_the_value_never_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A name that stands twice, steps in no order, and columns without names."""
    project = Project.create(tmp_path / "work", config=UNSURE)
    (project.folder / "metrics.json").write_text('{"accuracy": 0.9,\n"accuracy": 0.4, "recall": 0.8}')
    (project.folder / "history.csv").write_text("epoch,loss\n2,0.2\n4,0.4\n4,0.5\n1,0.1\n3,0.3\n")
    (project.folder / "table.csv").write_text("0.5,0.6\n0.7,0.8\n")
    monkeypatch.chdir(project.folder)
    assert cli.main(["record"]) == 0
    said = capfd.readouterr().err
    assert "metrics.json: 1 name is left out: 'accuracy' (several values)" in said
    assert "history.csv: 1 name is left out: 'loss' (steps that rise and fall)" in said
    assert "1 name is left out: 'header' (no names of columns: they are called 'column 1' to 'column 2')" in said
    assert cli.main(["gate", "--json"]) == 1
    (verdict,) = json.loads(capfd.readouterr().out)["verdicts"]
    header = "no names of columns: they are called 'column 1' to 'column 2' in table.csv:1"
    assert {gate["gate"]: (gate["outcome"], gate["reason"]) for gate in verdict["gates"]} == {
        "accuracy": ("ERROR", "the run has no metric 'accuracy', but several values in metrics.json"),
        "loss": ("ERROR", "the last value of 'loss' is not known: steps that rise and fall in history.csv"),
        "f1": ("ERROR", f"the run has no metric 'f1', but {header}"),
        "recall": ("PASS", "0.8 is not below 0.5 (one number per run: no uncertainty)"),
    }


@pytest.mark.slow
def test_a_file_of_parameters_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Else a report says that the parameters are gone."""
    project = Project.create(tmp_path / "work")
    project.numbers({"accuracy": 0.9})
    (project.folder / "params.yaml").write_text("depth: 3\n")
    project.commit("Parameters")
    record = ("run", "--params", "params.yaml", "--", sys.executable, "train.py")
    project.ciplug(*record)
    (project.folder / "params.yaml").write_text("depth: {a: 3}\ndepth/a: 1\n")
    project.commit("A name that is there twice")
    project.ciplug(*record, code=2)
    (left,) = project.json("runs", "show", "HEAD", "--json")["left_out"]
    assert (left["name"], left["why"], left["line"]) == ("params.yaml", "file", 2)
    assert "params.yaml" in project.ciplug("report").stdout.partition("changed parameter")[0]
