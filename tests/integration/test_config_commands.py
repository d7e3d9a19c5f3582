"""ciplug.yaml as the commands meet it: the same words from each, and a team's own stages from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import Project

WRONG = "version: 1\nmetrics: metrics.json\nsamples: {file: s.jsonl, ID: x}\ngates:\n  accuracy: {mim: 0.8}\n"
OWN_STAGES = """\
version: 1
model: wine
metrics: metrics.json
gates:
  accuracy: {higher_is_better: true, min: 0.8, max_regression: 0.01, baseline: production}
stages:
  dev:
  canary: {gates: [accuracy]}
  live: {gates: all}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project")


def test_every_command_reports_the_same_mistakes(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(WRONG)
    said = {
        project.ciplug(*args, code=2).stderr
        for args in (
            ("policy", "check"),
            ("record",),
            ("run", "--", "true"),
            ("ci", "--no-comment", "--", "true"),
            ("gate",),
            ("compare",),
            ("runs", "list"),
            ("promote", "wine", "--to", "staging"),
        )
    }
    (words,) = said
    assert words.replace(f"{project.folder}/", "") == (
        "ciplug: 2 mistakes in ciplug.yaml:\n"
        "  ciplug.yaml:3: samples.ID: unknown key (one of: file, format, id, label, prediction, cluster, weight)\n"
        "  ciplug.yaml:5: gates.accuracy.mim: unknown key (did you mean 'min'?)\n"
    )


@pytest.mark.slow
def test_mistakes_in_the_gates_cost_no_run_of_a_training_that_is_over(project: Project) -> None:
    gates = "version: 1\nmodel: wine\nmetrics: metrics.json\ngates:\n  accuracy: {mim: 0.8}\n"
    (project.folder / "ciplug.yaml").write_text(gates)
    (project.folder / "metrics.json").write_text('{"accuracy": 0.9}')
    recorded = project.ciplug("record", code=2)
    assert "wine, finished" in recorded.stderr
    assert "ciplug.yaml:5: gates.accuracy.mim: unknown key" in recorded.stderr
    script = "import ciplug; ciplug.log_metric('loss', 0.5); ciplug.end_run()"
    logged = subprocess.run(
        [sys.executable, "-c", script], cwd=project.folder, capture_output=True, text=True, check=True
    ).stderr
    assert "gates.accuracy.mim: unknown key" in logged and "recorded in" in logged
    started = project.ciplug("run", "--", "touch", "started", code=2)
    assert "gates.accuracy.mim: unknown key" in started.stderr
    assert not (project.folder / "started").exists()
    (project.folder / "ciplug.yaml").write_text(gates.replace("mim", "min"))
    assert [run["model"] for run in project.json("runs", "list", "--json")] == ["wine", "wine"]


@pytest.mark.slow
def test_the_stages_of_a_team(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text(OWN_STAGES)
    project.commit("stages of our own")
    first = project.train()
    project.ciplug("gate")
    unknown = project.ciplug("promote", "wine", "--to", "staging", code=2)
    assert "unknown stage 'staging'\n  -> one of: dev, canary, live" in unknown.stderr
    skipped = project.ciplug("promote", "wine", "--to", "canary", code=1)
    assert f"run {first[:12]} is not a version yet, and canary takes only versions from dev" in skipped.stderr
    for stage in ("dev", "canary", "live"):
        project.ciplug("promote", "wine", "--to", stage)
    # The baseline `production` is what is in the last stage.
    project.numbers({"accuracy": 0.81})
    project.commit("worse")
    project.train()
    lost = project.ciplug("gate", code=1)
    assert "live (v1)" in lost.stdout + lost.stderr
    (version,) = project.json("registry", "show", "wine", "--json")["versions"]
    assert (version["stage"], version["run"]) == ("live", first)
    assert "canary" in project.ciplug("registry", "list").stdout
    # Where there is no ciplug.yaml, the stages that versions are in are known.
    (project.folder / "ciplug.yaml").unlink()
    refused = project.ciplug("pull", "wine@canary", code=2)
    assert "'wine' has no stage or alias 'canary'" in refused.stderr
    assert "fetched: 1" in project.ciplug("pull", "wine@live", "--to", "live").stderr


@pytest.mark.slow
def test_a_version_in_a_stage_that_the_ladder_no_longer_has_starts_at_the_bottom(project: Project) -> None:
    project.train()
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    (project.folder / "ciplug.yaml").write_text(OWN_STAGES)
    project.commit("stages of our own")
    project.train()
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "dev")
    assert "Staging" in project.ciplug("registry", "show", "wine").stdout


def test_an_absolute_pattern_of_policy_tests_is_a_mistake(project: Project) -> None:
    (project.folder / "ciplug.yaml").write_text("policy_tests: /tmp/*.yaml\ngates: {accuracy: {min: 0.8}}\n")
    done = project.ciplug("policy", "test", code=2)
    assert "ciplug.yaml:1: policy_tests: Non-relative patterns are unsupported\n  -> like tests/policy" in done.stderr
