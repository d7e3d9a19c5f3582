"""Which failures a waiver covers: those of its gate, its rule and its commit, up to its limit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from ciplug.gates.evaluate import evaluate
from ciplug.gates.evidence import Evidence
from ciplug.records.comparison import Side
from ciplug.records.examples import Examples
from ciplug.records.run import Run
from ciplug.records.verdict import PolicySource, Verdict
from tests.policies import policy_of

COMMIT = "1a2b3c4d" * 5
TODAY = date(2026, 11, 1)
HIGHER = {"higher_is_better": True, "max_regression": 0.01}
LOWER = {"higher_is_better": False, "max_regression": 0.01}


def waiver(gate: str = "a", limit: float = 0.05, **fields: Any) -> dict[str, Any]:
    base = {"commit": COMMIT[:8], "expires": date(2026, 12, 31), "reason": "labels", "approved_by": "alice"}
    return {"gate": gate, "limit": limit, **base, **fields}


def judged(
    gates: Mapping[str, Any],
    waivers: list[dict[str, Any]],
    now: Mapping[str, float],
    before: Mapping[str, float],
    commit: str | None = COMMIT,
) -> Verdict:
    policy = policy_of({"gates": gates, "waivers": waivers})
    candidate, baseline = (
        Side(role=role, label="x", how="x", run=role[0] * 32, metrics=metrics)  # type: ignore[arg-type]
        for role, metrics in (("candidate", now), ("baseline", before))
    )
    evidence = Evidence(candidate=candidate, baselines=dict.fromkeys(gates, baseline), today=TODAY)
    run = Run(id="c" * 32, model="m", commit=commit, status="finished", started="", ended="")
    return evaluate(policy, evidence, run, created="", policy_source=PolicySource(file="ciplug.yaml"))


def outcomes(verdict: Verdict) -> list[str]:
    return [result.outcome for result in verdict.gates]


def test_a_waiver_is_for_one_gate() -> None:
    gates = {"a": HIGHER, "b": HIGHER}
    worse, before = {"a": 0.86, "b": 0.86}, {"a": 0.9, "b": 0.9}
    verdict = judged(gates, [waiver("a")], worse, before)
    assert {result.gate: result.outcome for result in verdict.gates} == {"a": "WARN", "b": "FAIL"}


@pytest.mark.parametrize(
    ("gate", "now", "before", "outcome"),
    [
        (HIGHER, 0.86, 0.90, "WARN"),
        (HIGHER, 0.85, 0.90, "WARN"),
        (HIGHER, 0.84, 0.90, "FAIL"),
        (LOWER, 3.04, 3.00, "WARN"),
        (LOWER, 3.05, 3.00, "WARN"),
        (LOWER, 3.06, 3.00, "FAIL"),
        (LOWER, -1.96, -2.00, "WARN"),
        (LOWER, -1.90, -2.00, "FAIL"),
    ],
)
def test_the_limit_is_the_allowed_loss_by_the_direction_of_the_metric(
    gate: Mapping[str, Any], now: float, before: float, outcome: str
) -> None:
    assert outcomes(judged({"a": gate}, [waiver()], {"a": now}, {"a": before})) == [outcome]


@pytest.mark.parametrize(("bound", "limit"), [("min", 0.8), ("max", 0.9)])
def test_the_limit_of_a_bound_is_itself_allowed(bound: str, limit: float) -> None:
    gate = {bound: 0.85}
    beyond = limit + (0.001 if bound == "max" else -0.001)
    assert outcomes(judged({"a": gate}, [waiver(limit=limit)], {"a": limit}, {"a": 0.85})) == ["WARN"]
    assert outcomes(judged({"a": gate}, [waiver(limit=limit)], {"a": beyond}, {"a": 0.85})) == ["FAIL"]


def test_what_has_no_value_is_not_waived() -> None:
    gate = {**HIGHER, "on_missing": "fail"}
    assert outcomes(judged({"a": gate}, [waiver()], {"b": 1.0}, {"a": 0.9})) == ["FAIL"]
    gate = {**HIGHER, "on_no_baseline": "fail"}
    assert outcomes(judged({"a": gate}, [waiver()], {"a": 0.9}, {})) == ["FAIL"]


def test_a_run_without_a_commit_is_not_waived() -> None:
    assert outcomes(judged({"a": HIGHER}, [waiver()], {"a": 0.86}, {"a": 0.9}, commit=None)) == ["FAIL"]


def test_of_several_waivers_the_first_that_holds_counts() -> None:
    expired, other = waiver(expires=date(2026, 10, 31)), waiver(commit="fffffff")
    last_day = waiver(expires=TODAY, limit=0.06)
    verdict = judged({"a": HIGHER}, [expired, other, last_day, waiver(limit=0.02)], {"a": 0.845}, {"a": 0.9})
    assert outcomes(verdict) == ["WARN"]
    (result,) = verdict.gates
    assert result.waived and (result.waived.limit, result.waived.expires) == (0.06, "2026-11-01")
    narrow = judged({"a": HIGHER}, [waiver(limit=0.02), last_day], {"a": 0.845}, {"a": 0.9})
    assert outcomes(narrow) == ["FAIL"]
    assert "beyond alice's waiver" in narrow.gates[0].reason


def test_a_waiver_of_another_commit_is_named_only_where_its_gate_fails() -> None:
    gates = {"a": HIGHER, "b": HIGHER}
    before, other = {"a": 0.9, "b": 0.9}, [waiver("a", commit="fffffff")]
    assert judged(gates, other, {"a": 0.9, "b": 0.8}, before).notes == ()
    assert judged(gates, other, {"a": 0.8, "b": 0.9}, before).notes == (
        "The waiver of 'a' by alice is for commit fffffff, and not for this one.",
    )
    assert judged(gates, [waiver("a")], {"a": 0.88, "b": 0.9}, before).notes == ()
    assert judged(gates, [waiver("a", expires=TODAY)], {"a": 0.9, "b": 0.9}, before).notes == ()


def test_a_failed_slice_is_not_waived() -> None:
    """A limit for the whole metric may hide the fall of a part."""
    before, now = ([n % 10 < 9 for n in range(200)] + [n % 10 < share for n in range(200)] for share in (9, 2))
    gate = {**HIGHER, "slices": {"by": ["country"], "max_regression": 0.01}}
    policy = policy_of({"samples": "p.jsonl", "gates": {"accuracy": gate}, "waivers": [waiver("accuracy", 0.9)]})
    sides = {
        role: Side(role=role, label="x", how="x", run=role[0] * 32, metrics={"accuracy": sum(right) / 400})  # type: ignore[arg-type]
        for role, right in (("candidate", now), ("baseline", before))
    }
    examples = {
        run * 32: Examples(
            source="p.jsonl",
            ids=[f"{n:03}" for n in range(400)],
            labels=["1"] * 400,
            predictions=["1" if ok else "0" for ok in right],
            slices={"country": ["de"] * 200 + ["fr"] * 200},
        )
        for run, right in (("c", now), ("b", before))
    }
    evidence = Evidence(
        candidate=sides["candidate"], baselines={"accuracy": sides["baseline"]}, examples=examples, today=TODAY
    )
    run = Run(id="c" * 32, model="m", commit=COMMIT, status="finished", started="", ended="")
    verdict = evaluate(policy, evidence, run, created="", policy_source=PolicySource(file="ciplug.yaml"))
    by_slice = {result.slice: result.outcome for result in verdict.gates}
    assert (by_slice[None], by_slice["country = fr"]) == ("WARN", "FAIL")
