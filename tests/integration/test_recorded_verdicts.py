"""Verdicts that only another job could give, in the report of this one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.records.canonical import dumps
from ciplug.records.keys import run_key, verdict_object
from ciplug.records.provenance import Context
from ciplug.records.run import Run
from ciplug.records.verdict import Verdict
from ciplug.steps.reporting.report import judged_for_report
from tests.team import Team, team_in


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return team_in(tmp_path)


def recorded(team: Team, run: Run, outcome: Any, created: str, **changes: Any) -> None:
    """A verdict of a project whose ciplug.yaml is not here."""
    verdict = Verdict(
        run=run.id, model=run.model, commit=run.commit, outcome=outcome, created=created, policy_digest="sha256:1",
        policy_file="beer/ciplug.yaml",
    )  # fmt: skip
    key, data = verdict_object(replace(verdict, **changes))
    team.session.store.add({key: data})


def shown(team: Team, run: Run) -> str | None:
    (judged,) = judged_for_report(team.session, team.session.runs(), [run])
    return judged.verdict.outcome if judged.verdict else None


@pytest.mark.parametrize("outcomes", [("PASS", "FAIL"), ("FAIL", "PASS"), ("PASS", "FAIL", "WARN")])
def test_the_last_recorded_verdict_counts(team: Team, outcomes: tuple[str, ...]) -> None:
    run = team.run(model="beer")
    for day, outcome in enumerate(outcomes, start=10):
        recorded(team, run, outcome, f"2026-11-{day}T00:00:00.000Z")
    assert shown(team, run) == outcomes[-1]


def test_dry_runs_and_promotions_do_not_count(team: Team) -> None:
    run = team.run(model="beer")
    recorded(team, run, "FAIL", "2026-11-10T00:00:00.000Z")
    recorded(team, run, "PASS", "2026-11-11T00:00:00.000Z", dry_run=True)
    recorded(team, run, "PASS", "2026-11-12T00:00:00.000Z", stage="staging")
    assert shown(team, run) == "FAIL"


def test_a_fork_s_run_has_none(team: Team) -> None:
    run = team.run(model="beer", provenance={"context": Context(trusted=False)})
    recorded(team, run, "PASS", "2026-11-10T00:00:00.000Z")
    assert shown(team, run) is None


@pytest.mark.parametrize("change", [{"run": "e" * 32}, {"commit": "f" * 40}, {"model": "wine"}])
def test_a_verdict_that_is_not_of_its_key_is_named_and_never_counted(team: Team, change: dict[str, str]) -> None:
    run = team.run(model="beer")
    recorded(team, run, "FAIL", "2026-11-10T00:00:00.000Z")
    foreign = Verdict(
        run=run.id, model=run.model, commit=run.commit, outcome="PASS", created="2026-11-11T00:00:00.000Z",
        policy_digest="sha256:1", policy_file="beer/ciplug.yaml",
    )  # fmt: skip
    key = f"{run_key(run).verdicts}0123456789ab.json"
    team.session.store.add({key: dumps(replace(foreign, **change))})
    (judged,) = judged_for_report(team.session, team.session.runs(), [run])
    assert judged.verdict and judged.verdict.outcome == "FAIL"
    (note,) = (notice.message for notice in judged.section.comparison.notices if key in notice.message)
    assert "it holds a verdict on the run" in note and next(iter(change.values())) in note
