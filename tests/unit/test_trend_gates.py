"""Gates on the loss over many commits together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ciplug.config import parse
from ciplug.errors import ConfigError
from ciplug.gates.evaluate import evaluate
from ciplug.gates.evidence import Evidence, Trail
from ciplug.gates.explain import explain
from ciplug.records.comparison import Side
from ciplug.records.notice import Kind, Notice
from ciplug.records.run import Run
from ciplug.records.verdict import GateResult, PolicySource
from tests.policies import policy_of

STARTED = Side(role="baseline", label="tag v1", how="as asked for", run="b" * 32, commit="0" * 40, metrics={"a": 0.9})
TREND = {"higher_is_better": True, "trend": {"since": "tag:v1", "max_total": 0.02}}


def judge(values: Sequence[float], start: Side = STARTED, gate: Any = TREND, **defaults: Any) -> GateResult:
    """The result on the last of the values, after a start at 0.9."""
    policy = policy_of({"gates": {"a": gate}, "defaults": defaults})
    candidate = Side(role="candidate", label="this commit", how="", run="c" * 32, metrics={"a": values[-1]})
    before = values[:-1]
    trail = Trail(start=start, commits=[f"{i:08x}".ljust(40, "0") for i in range(1, len(before) + 1)], values=before)
    absent = Side(role="baseline", label="merge base", how="no run")
    evidence = Evidence(candidate=candidate, baselines={"a": absent}, trails={"a": trail})
    run = Run(id="c" * 32, model="m", status="finished", started="", ended="", metrics={"a": values[-1]})
    verdict = evaluate(policy, evidence, run, created="", policy_source=PolicySource(file="ciplug.yaml"))
    (result,) = verdict.gates
    return result


def test_eight_small_steps_fail_together() -> None:
    found = judge([0.9 - 0.009 * i for i in range(1, 9)])
    assert (found.outcome, found.rule) == ("FAIL", "at most 0.02 worse in total since the tag v1")
    assert found.reason.startswith("0.828 is 0.072 worse than the baseline's 0.9, allowed 0.02")
    assert found.notes == ("a steady change of −0.009 a run over 9 runs, the level fell most at commit 00000004",)
    assert found.baseline_label == "tag v1 00000000" and found.low is not None


def test_a_step_is_named_by_its_commit() -> None:
    found = judge([0.901, 0.899, 0.9, 0.86, 0.861, 0.859, 0.86, 0.86])
    assert found.outcome == "FAIL"
    assert found.notes[0].startswith("the level fell at commit 00000004: on average 0.9")


def test_few_runs_are_compared_as_they_are() -> None:
    found = judge([0.89, 0.879])
    assert (found.outcome, found.point) == ("FAIL", True)
    assert found.reason.endswith("(one number per run: no uncertainty)")
    assert judge([0.89, 0.881]).outcome == "PASS"
    assert "this commit" in judge([0.9, 0.9, 0.8]).notes[0]
    assert judge([0.89, 0.95]).notes == ()


@pytest.mark.parametrize("far", [1e308, -1e308])
def test_a_number_too_large_to_compute_with(far: float) -> None:
    small = [0.9, 0.899, 0.901, 0.9, 0.9, 0.898, 0.902]
    assert judge([far, *small, 0.9]).outcome == judge([*small, 0.9]).outcome
    assert judge([*small, far, 0.8]).outcome == "FAIL"
    assert judge([*small, far]).outcome == ("PASS" if far > 0 else "FAIL")


def test_noise_is_not_a_trend() -> None:
    found = judge([0.93, 0.87, 0.92, 0.88, 0.93, 0.87, 0.92, 0.87])
    assert found.outcome == "INCONCLUSIVE"
    assert judge([0.93, 0.87, 0.92, 0.88, 0.93, 0.87, 0.92, 0.87], on_inconclusive="fail").outcome == "FAIL"


@pytest.mark.parametrize(
    ("start", "outcome", "reason"),
    [
        (
            Side.absent("baseline", "production", Notice(kind=Kind.NO_HOLDER, model="m", name="production")),
            "WARN",
            "no baseline to compare with",
        ),
        (Side.absent("baseline", "tag v9", Notice(kind=Kind.NO_TAG, name="v9")), "ERROR", "there is no tag 'v9'"),
        (replace(STARTED, metrics={"a": float("nan")}), "ERROR", "the baseline's 'a' is nan and cannot be compared"),
        (replace(STARTED, metrics={}), "WARN", "the baseline has no metric 'a'"),
        (
            replace(STARTED, problem=Notice(kind=Kind.OTHER_EVALUATION, run="b" * 32, path="t.csv")),
            "INCONCLUSIVE",
            "t.csv",
        ),
    ],
)
def test_a_start_that_cannot_be_compared_with(start: Side, outcome: str, reason: str) -> None:
    found = judge([0.5], start)
    assert found.outcome == outcome and reason in found.reason


def test_a_percentage_of_nothing() -> None:
    gate = {"higher_is_better": True, "trend": {"since": 5, "max_total": "10%"}}
    found = judge([0.5], replace(STARTED, metrics={"a": 0.0}), gate)
    assert (found.outcome, found.rule) == ("INCONCLUSIVE", "at most 10% worse in total since 5 runs ago")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{trend: {since: 5, max_total: 1}}", "a trend compares, so the direction is needed"),
        ("{higher_is_better: true, trend: {since: 1, max_total: 1}}", "gates.a.trend.since: a whole number from 2 up"),
        ("{higher_is_better: true, trend: {since: yesterday, max_total: 1}}", "'last-promotion', 'tag:NAME' or"),
        ("{higher_is_better: true, trend: {since: 'tag: ', max_total: 1}}", "'last-promotion', 'tag:NAME' or"),
        ("{higher_is_better: true, trend: {since: 5}}", "gates.a.trend.max_total: this key is missing"),
    ],
)
def test_trends_that_are_refused(text: str, says: str, tmp_path: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"gates:\n  a: {text}", tmp_path / "ciplug.yaml")
    assert says in caught.value.message


def test_a_trend_is_explained() -> None:
    words = explain(policy_of({"gates": {"a": TREND}}))
    assert "- since the tag v1 it has become at most 0.02 worse in total, over all commits together" in words
    assert "no baseline: warn; undecided: inconclusive" in words or "undecided" in words
