"""Runs that strangers record on the commit of somebody's pull request decide nothing about it."""

from __future__ import annotations

import json

import pytest

from ciplug.records.canonical import dumps
from tests.attacks.attacker import objects_of, run_of
from tests.attacks.conftest import Scene

pytestmark = pytest.mark.slow

FORK = {"trusted": False, "event": "pull_request"}


def test_a_forks_run_of_another_model_turns_no_status_red(scene: Scene) -> None:
    project = scene.project
    file = project.folder / "ciplug.yaml"
    # The gates are for every model.
    file.write_text(file.read_text().replace("model: wine\n", ""))
    project.commit("gates for all")
    project.train("--model", "wine")
    bad = run_of(project.head, 1, model="stranger", metrics={"accuracy": 0.1}, context=FORK)
    scene.attacker.write(objects_of(bad))
    before = project.json("report", "--format", "json", code=None)
    assert [section["model"] for section in before["sections"]] == ["wine"]
    shown = project.ciplug("report", code=None)
    assert "stranger" in shown.stdout and "decide nothing" in shown.stdout
    gate = project.ciplug("gate", code=None)
    assert gate.returncode == 0, gate.stdout + gate.stderr


def test_a_number_of_400_digits_and_a_thousand_models_are_one_line(scene: Scene) -> None:
    project = scene.project
    runs = [
        run_of(project.head, number, model=f"model-{number}", context=FORK, metrics={"accuracy": 0.1})
        for number in range(1, 301)
    ]
    objects = objects_of(*runs)
    key = min(objects)
    huge = json.loads(objects[key])
    huge["provenance"]["peak_memory_bytes"] = 1
    objects[key] = dumps(huge).replace(b'"peak_memory_bytes":1', b'"peak_memory_bytes":1' + b"0" * 400)
    scene.attacker.write(objects)
    before = len(scene.clone().ciplug("compare").stdout)
    done = project.ciplug("report")
    assert "Traceback" not in done.stderr
    assert len(project.json("report", "--format", "json")["sections"]) == 1
    assert len(done.stdout) < before + 2_000
    project.ciplug("gate")


def test_a_commit_with_runs_of_forks_alone_is_reported_in_bounds(scene: Scene) -> None:
    project = scene.project
    head = project.commit("of a fork")
    runs = [run_of(head, number, model=f"model-{number}", context=FORK) for number in range(1, 101)]
    scene.attacker.write(objects_of(*runs, run_of(head, 500, context=FORK)))
    sections = project.json("report", "--format", "json", code=None)["sections"]
    assert len(sections) == 10
    assert "wine" in {section["model"] for section in sections}
