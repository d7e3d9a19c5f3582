"""Runs that strangers record on the commit of somebody's pull request decide nothing about it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ciplug.comparison.reruns import others_of
from ciplug.comparison.run_that_counts import Facts, Rules
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
    assert "1 run of this commit has not been verified" in shown.stdout
    assert "| stranger | github_actions/mallory | a fork's job |" in shown.stdout
    for command in ("gate", "compare"):
        done = project.ciplug(command, code=None)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "They decide nothing" in done.stdout and "stranger" in done.stdout
    said = project.ciplug("compare", "--format", "csv")
    assert "stranger" not in said.stdout and "has not been verified" in said.stderr


def test_a_number_of_400_digits_and_many_models_are_ten_rows(scene: Scene) -> None:
    project = scene.project
    runs = [
        run_of(project.head, number, model=f"model-{number}", context=FORK, metrics={"accuracy": 0.1})
        for number in range(1, 61)
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
    report = project.json("report", "--format", "json")
    assert len(report["sections"]) == 1
    assert (len(report["unverified"]["runs"]), report["unverified"]["count"]) == (10, 59)
    assert len(done.stdout) < before + 3_000
    project.ciplug("gate")


def test_a_commit_with_runs_of_forks_alone_is_reported_in_bounds(scene: Scene) -> None:
    project = scene.project
    head = project.commit("of a fork")
    runs = [run_of(head, number, model=f"model-{number}", context=FORK) for number in range(1, 101)]
    scene.attacker.write(objects_of(*runs, run_of(head, 500, context=FORK)))
    sections = project.json("report", "--format", "json", code=None)["sections"]
    assert len(sections) == 10
    assert "wine" in {section["model"] for section in sections}


def test_the_section_of_strangers_is_bounded_and_means_only_itself(scene: Scene) -> None:
    """Long and hostile words in every field: rows and bytes are few, and nothing of them is code or markup."""
    project = scene.project
    words = "@team </details>|`x`\n::error::a\x1b[2J" * 500
    runs = [
        run_of(project.head, number, model=f"{number}{words}", context={**FORK, "actor": words}, metrics={words[:9]: 1})
        for number in range(1, 31)
    ]
    scene.attacker.write(objects_of(*runs))
    before = json.dumps(project.json("report", "--format", "json", code=None)["unverified"]["runs"])
    for command in (["report"], ["report", "--format", "html"], ["compare"]):
        shown = project.ciplug(*command, code=None).stdout
        part = shown[shown.rindex("30 runs of this commit have not been verified") :]
        assert len(part.encode()) < 20_000
        assert "\x1b" not in part and "\n::error" not in part
        if command[-1] == "report":
            assert "</details>|" not in part and "@team" not in part
    assert len(before) > 100_000, "the words were long"


def test_an_unsigned_run_weighs_nothing_beside_a_signed_one() -> None:
    """Its numbers do not make the commit's numbers flaky, and do not fail its gates."""
    own = Facts(id="a", dirty=False, pipeline=True)
    stranger = replace(own, id="b", signed=False)
    assert others_of(own, [own, stranger], Rules()) == []
    assert others_of(own, [own, replace(own, id="c")], Rules()) != []
    assert others_of(stranger, [stranger, replace(stranger, id="d")], Rules()) != []
