"""`ciplug gates audit` over the runs of a store."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ciplug.records.canonical import dumps
from ciplug.stores import open_store
from tests.project import Project

CONFIG = """\
model: wine
gates:
  accuracy: {higher_is_better: true, max_regression: 0.01}
  floor: {metric: accuracy, min: 0.8}
  total: {metric: accuracy, higher_is_better: true, trend: {since: 5, max_total: 0.1}}
"""


def record(number: int, commit: int, accuracy: float, **facts: Any) -> tuple[str, bytes]:
    run = {
        "id": f"{number:032x}",
        "model": "wine",
        "status": "finished",
        "commit": f"{commit:040x}",
        "started": f"2026-{1 + number // 672:02d}-{1 + number // 24 % 28:02d}T{number % 24:02d}:00:00.000Z",
        "ended": "2026-11-28T00:00:00.000Z",
        "schema": 1,
        "metrics": {"accuracy": accuracy},
        "params": {"depth": 3, "seed": number},
        "provenance": {"dirty": False, "context": {"branch": "main"}},
        **facts,
    }
    return f"runs/{run['commit']}-{run['id']}.json", dumps(run)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A store of 200 commits with noise, 40 of them with a second run, and runs that do not count."""
    uri = (tmp_path / "store").as_uri()
    draw = random.Random(4)
    records = [record(n, n, draw.gauss(0.9, 0.008)) for n in range(200)]
    records += [record(1000 + n, n, draw.gauss(0.9, 0.008)) for n in range(40)]
    records += [
        record(2000, 7, 0.1, provenance={"dirty": True, "context": {"branch": "main"}}),
        record(2001, 8, 0.1, status="failed"),
        record(2002, 9, 0.1, provenance={"dirty": False, "context": {"branch": "main", "trusted": False}}),
        record(2003, 10, 0.1, params={"depth": 4}, provenance={"dirty": False, "context": {"branch": "topic"}}),
        record(2004, 11, 0.1, model="beer"),
    ]
    open_store(uri, None, {"HOME": str(tmp_path)}).add(dict(records))
    return {"CIPLUG_STORE": uri}


def test_the_record_of_each_gate(tmp_path: Path, env: dict[str, str]) -> None:
    project = Project.create(tmp_path / "work", config=CONFIG)
    found = project.json("gates", "audit", "--format", "json", env=env)
    assert (found["model"], found["branch"], found["runs"], found["not_replayed"]) == ("wine", "main", 241, ["total"])
    accuracy, floor = found["gates"]
    assert (accuracy["gate"], accuracy["runs"], accuracy["repeated"], floor["gate"]) == ("accuracy", 200, 40, "floor")
    assert accuracy["checks"] + accuracy["catches"] + accuracy["open"] == 199 + 40
    assert accuracy["rate_low"] < 0.188 < accuracy["rate_high"]
    assert 0.015 < accuracy["proposed"] < 0.023 and accuracy["allowance"] == 0.01
    assert accuracy["sees"] > 0.015 and accuracy["flips"] > 5
    assert (floor["false_fails"], floor["catches"], floor.get("proposed")) == (0, 0, None)
    done = project.ciplug("gates", "audit", env=env)
    assert done.stdout.splitlines()[0].split() == [
        *("gate", "runs", "false", "fails", "95%", "interval", "caught", "flips", "sees", "allows", "proposed")
    ]
    assert "wine, by ciplug.yaml: 200 commits of main with a run, and repeats among 241 runs" in done.stderr
    assert "not replayed, as they judge more than one number a run: total" in done.stderr
    assert json.loads(project.ciplug("gates", "audit", "--offline", "--format", "json", env=env).stdout) == found


def test_what_cannot_be_audited(tmp_path: Path, env: dict[str, str]) -> None:
    project = Project.create(tmp_path / "work", config="model: cider\ngates: {a: {min: 1}}\n")
    assert "no run of 'cider' that counts is recorded" in project.ciplug("gates", "audit", env=env, code=2).stderr
    project = Project.create(tmp_path / "other", config="metrics: metrics.json\n")
    assert "there is no gate" in project.ciplug("gates", "audit", env=env, code=2).stderr
    project = Project.create(tmp_path / "new", config="model: wine\ngates: {recall: {min: 1}}\n")
    (gate,) = project.json("gates", "audit", "--branch", "none", "--format", "json", env=env)["gates"]
    assert (gate["runs"], gate["checks"], gate.get("rate_low")) == (0, 0, None)
