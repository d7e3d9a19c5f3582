"""A loss that is allowed in exchange for a gain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciplug.errors import ConfigError
from ciplug.gates.explain import explain
from ciplug.records.examples import Examples, means
from ciplug.records.left_out import LeftOut
from ciplug.records.verdict import GateResult, Outcome
from tests.policies import policy_of
from tests.unit.test_extend import read
from tests.unit.test_gates_with_evidence import judge, side

TRADE = {"max_regression": 0.005, "gate": "latency", "min_improvement": "20%"}
GATES: dict[str, Any] = {
    "accuracy": {"higher_is_better": True, "max_regression": 0, "trade_off": TRADE},
    "latency": {"higher_is_better": False, "max_regression": "10%"},
}
BEFORE = {"accuracy": 0.9, "latency": 100.0}


def accuracy(
    now: Mapping[str, Any], before: Mapping[str, Any] = BEFORE, *, gate: Mapping[str, Any] | None = None, **more: Any
) -> GateResult:
    gates = {**GATES, "accuracy": {**GATES["accuracy"], **(gate or {})}}
    verdict = judge({"gates": gates}, side("candidate", now), side("baseline", before), **more)
    assert all("\0" not in result.gate for result in verdict.gates)
    return next(result for result in verdict.gates if result.gate == "accuracy")


@pytest.mark.parametrize(
    ("now", "due", "words"),
    [
        ({"accuracy": 0.9, "latency": 120.0}, "PASS", "unchanged at 0.9"),
        ({"accuracy": 0.896, "latency": 80.0}, "PASS", "'latency' improves by 20%, which is shown (it is 20% better)"),
        ({"accuracy": 0.896, "latency": 80.1}, "FAIL", "which it has not (it is 19.9% better)"),
        ({"accuracy": 0.896, "latency": 105.0}, "FAIL", "which it has not (it is 5% worse)"),
        (
            {"accuracy": 0.894, "latency": 50.0},
            "FAIL",
            "at most 0.005 worse if 'latency' improves by 20%, which is shown",
        ),
        ({"accuracy": 0.896}, "FAIL", "which it has not (the run has no 'latency')"),
        ({"accuracy": 0.896, "latency": math.nan}, "FAIL", "(the 'latency' of the run is not a finite number)"),
        ({"accuracy": 0.896, "latency": -math.inf}, "FAIL", "(the 'latency' of the run is not a finite number)"),
        ({"accuracy": math.nan, "latency": 50.0}, "ERROR", "nan"),
        ({"latency": 50.0}, "FAIL", "the run has no metric 'accuracy'"),
    ],
)
def test_one_number_a_run(now: Mapping[str, float], due: Outcome, words: str) -> None:
    found = accuracy(now)
    assert (found.outcome, words.lower() in found.reason.lower()) == (due, True), found
    if due != "ERROR" and "accuracy" in now:
        assert found.rule == "at most 0 worse than the baseline, or at most 0.005 worse if 'latency' improves by 20%"


@pytest.mark.parametrize(
    ("before", "due"),
    [
        ({"accuracy": 0.9}, "FAIL"),
        ({"accuracy": 0.9, "latency": math.inf}, "FAIL"),
        ({"accuracy": 0.9, "latency": 0.0}, "FAIL"),
        ({"latency": 100.0}, "WARN"),
    ],
)
def test_what_the_baseline_lacks_is_no_gain(before: Mapping[str, float], due: Outcome) -> None:
    assert accuracy({"accuracy": 0.896, "latency": 0.0}, before).outcome == due


def test_a_gain_that_nobody_can_rely_on_is_none() -> None:
    now = {"accuracy": 0.896, "latency": 50.0}
    assert accuracy(now).outcome == "PASS"
    assert accuracy(now, changed={"c" * 32: {"latency": "eve"}}).outcome == "FAIL"
    unsure = {"latency": (LeftOut(name="latency", why="last_line", found=""),)}
    assert accuracy(now, left_out=unsure).outcome == "FAIL"
    # Of another gate, a narrower policy has none: the gate decides by its own allowance.
    verdict = judge({"gates": {"accuracy": GATES["accuracy"]}}, side("candidate", now), side("baseline", BEFORE))
    assert verdict.outcome == "FAIL"


@pytest.mark.parametrize(
    ("atol", "latency", "due"),
    [(0, 79.0, "PASS"), (5, 84.0, "FAIL"), (5, 79.0, "PASS"), (30, 79.0, "FAIL"), (30, 69.0, "PASS")],
)
def test_atol_adds_nothing_to_a_gain(atol: float, latency: float, due: Outcome) -> None:
    now = {"accuracy": 0.896, "latency": latency}
    gates = {**GATES, "latency": {**GATES["latency"], "atol": atol}}
    for policy in ({"gates": gates}, {"gates": {**GATES, "accuracy": {**GATES["accuracy"], "atol": 0}}}):
        defaults = {} if policy["gates"] is gates else {"defaults": {"atol": atol}}
        verdict = judge({**policy, **defaults}, side("candidate", now), side("baseline", BEFORE))
        assert {one.gate: one.outcome for one in verdict.gates} == {"accuracy": due, "latency": "PASS"}


def both(loss: float, faster: float, n: int = 1000, seed: int = 1) -> tuple[Examples, Examples]:
    draw = np.random.default_rng(seed)
    quality, slow = draw.normal(1, 1, n), draw.normal(100, 5, n)
    noise, lag = draw.normal(0, 0.1, n), draw.normal(0, 5, n)
    columns = [
        {"accuracy": quality - loss + noise - noise.mean(), "latency": slow * (1 - faster) + lag - lag.mean()},
        {"accuracy": quality, "latency": slow},
    ]
    ours, theirs = (
        Examples(source="p", ids=[f"{i:05}" for i in range(n)], scores={k: v.tolist() for k, v in one.items()})
        for one in columns
    )
    return ours, theirs


@pytest.mark.parametrize(
    ("loss", "faster", "due"),
    [
        (-0.02, 0.0, "PASS"),
        (0.02, 0.3, "PASS"),
        (0.02, 0.202, "INCONCLUSIVE"),
        (0.02, 0.1, "FAIL"),
        (0.028, 0.3, "INCONCLUSIVE"),
        (0.05, 0.3, "FAIL"),
        (0.001, 0.1, "INCONCLUSIVE"),
        (0.001, 0.3, "PASS"),
    ],
)
def test_example_by_example(loss: float, faster: float, due: Outcome) -> None:
    ours, theirs = both(loss, faster)
    policy = {
        "samples": "p.csv",
        "gates": {**GATES, "accuracy": {**GATES["accuracy"], "trade_off": {**TRADE, "max_regression": 0.03}}},
    }
    verdict = judge(policy, side("candidate", means(ours)), side("baseline", means(theirs)), examples=(ours, theirs))
    found = next(result for result in verdict.gates if result.gate == "accuracy")
    assert found.outcome == due, found
    assert found.confidence == pytest.approx(0.91) and found.p is not None and (due != "FAIL" or found.p < 0.05)
    if (loss, faster) == (0.02, 0.202):
        assert "which the data do not decide (it is 20.2% better): the data do not decide" in found.reason
        assert found.advice == "more examples or seeds would decide what is lost, or what is won for it"


def test_a_gain_by_examples_that_cannot_be_compared_leaves_a_loss_undecided() -> None:
    ours, theirs = both(0.02, 0.3)
    broken = replace(ours, scores={**ours.scores, "latency": [math.inf, *list(ours.scores["latency"])[1:]]})
    policy = {
        "samples": "p.csv",
        "gates": {**GATES, "accuracy": {**GATES["accuracy"], "trade_off": {**TRADE, "max_regression": 0.03}}},
    }
    sides = side("candidate", means(ours)), side("baseline", means(theirs))
    verdict = judge(policy, *sides, examples=(broken, theirs))
    assert [one.outcome for one in verdict.gates if one.gate == "accuracy"] == ["INCONCLUSIVE"]


def test_the_mean_of_reruns_that_decides_is_shown() -> None:
    reruns = {"accuracy": [0.88, 0.881], "latency": [99.0, 101.0]}
    found = accuracy({"accuracy": 0.896, "latency": 80.0}, reruns=reruns)
    assert (found.outcome, found.point) == ("INCONCLUSIVE", False)
    assert found.method == "noise between 3 runs of the commit" and "no uncertainty" not in found.reason
    assert "accuracy: the interval is about the mean of the 3 runs of this commit, 0.885667" in found.notes
    assert any(note.startswith("the gain of 'latency': the interval is about the mean") for note in found.notes)


def test_a_trade_off_has_no_error_rate_of_one_metric() -> None:
    history = {"accuracy": [0.9, 0.91, 0.89, 0.9, 0.92, 0.9, 0.89, 0.9, 0.91], "latency": [100.0] * 9}
    assert accuracy({"accuracy": 0.894, "latency": 80.0}, history=history).notes == ()
    alone = accuracy({"accuracy": 0.894, "latency": 80.0}, history=history, gate={"trade_off": None})
    assert any("this rule fails an unchanged candidate" in note for note in alone.notes)


def test_a_percentage_of_0_is_no_loss_in_exchange() -> None:
    trade = {"trade_off": {**TRADE, "max_regression": "5%"}}
    found = accuracy({"accuracy": -0.1, "latency": 50.0}, {"accuracy": 0.0, "latency": 100.0}, gate=trade)
    assert (found.outcome, found.advice) == ("INCONCLUSIVE", "add an absolute allowance: {rel: …, abs: …}")
    assert "the loss in exchange is undefined, as it is a percentage of the baseline 0" in found.reason


def test_equal_latencies_are_no_gain() -> None:
    """The same answers, which no other model gives, are no improvement."""
    ours, theirs = both(0.02, 0.3)
    same = replace(ours, scores={"accuracy": ours.scores["accuracy"], "latency": theirs.scores["latency"]})
    policy = {
        "samples": "p.csv",
        "gates": {**GATES, "accuracy": {**GATES["accuracy"], "trade_off": {**TRADE, "max_regression": 0.03}}},
    }
    verdict = judge(policy, side("candidate", means(same)), side("baseline", means(theirs)), examples=(same, theirs))
    assert [one.outcome for one in verdict.gates if one.gate == "accuracy"] == ["FAIL"]
    verdict = judge(
        policy, side("candidate", means(theirs)), side("baseline", means(theirs)), examples=(replace(theirs), theirs)
    )
    assert verdict.outcome == "PASS"


def test_seeds() -> None:
    now = {"accuracy": [0.896, 0.8961, 0.8959], "latency": [75.0, 76.0, 74.0]}
    before = {"accuracy": [0.9, 0.9001, 0.8999], "latency": [100.0, 101.0, 99.0]}
    policy = {"seeds": {"min_runs": 2}, "gates": GATES}
    for latency, due in (([75.0, 76, 74], "PASS"), ([80.0, 83, 77], "INCONCLUSIVE"), ([95.0, 96, 94], "FAIL")):
        verdict = judge(policy, side("candidate", {**now, "latency": latency}), side("baseline", before))
        assert next(one.outcome for one in verdict.gates if one.gate == "accuracy") == due


@pytest.mark.parametrize(
    ("gates", "due"),
    [
        (
            "a: {higher_is_better: true, min: 0.5, trade_off: T}\n  l: L",
            "trade_off: it allows more than max_regression does",
        ),
        ("a: {higher_is_better: true, max_regression: 0.02, trade_off: T}\n  l: L", "so the trade-off has no effect"),
        ("a: {higher_is_better: true, max_regression: 0, trade_off: T}\n  x: L", "trade_off.gate: unknown gate 'l'"),
        (
            "a: {higher_is_better: true, max_regression: 0, trade_off: T}\n  l: {max: 3}",
            "'l' does not compare its metric",
        ),
        ("l: {higher_is_better: true, max_regression: 0, trade_off: T}", "a metric cannot be traded for itself"),
        (
            "a: {higher_is_better: true, max_regression: 0, trade_off: T, baseline: production}\n  l: L",
            "the gate 'l' has another baseline",
        ),
        (
            "a: {higher_is_better: true, max_regression: 0, trade_off: {max_regression: 0.1, gate: l}}\n  l: L",
            "min_improvement",
        ),
        (
            "a: {higher_is_better: true, max_regression: 0, trade_off: {max_regression: 1, gate: l, "
            "min_improvement: 0}}\n  l: L",
            "an improvement above 0 is expected, like 20% or 5, not 0",
        ),
        (
            "l: L\n  d: {kind: drift, reference: r.csv, current: c.csv, trade_off: T}",
            "a gate of kind drift does not use it",
        ),
    ],
)
def test_a_trade_off_that_cannot_be(gates: str, due: str) -> None:
    text = gates.replace("T", "{max_regression: 0.01, gate: l, min_improvement: 20%}")
    text = text.replace("L", "{higher_is_better: false, max_regression: 5%}")
    with pytest.raises(ConfigError) as wrong:
        read({"ciplug.yaml": f"gates:\n  {text}\n"})
    assert due in str(wrong.value)


def test_a_stage_needs_both_gates() -> None:
    base = "gates:\n  a: {higher_is_better: true, max_regression: 0, trade_off: {max_regression: 0.01, gate: l, "
    base += "min_improvement: 20%}}\n  l: {higher_is_better: false, max_regression: 5%}\nstages:\n  production: "
    with pytest.raises(ConfigError, match="the trade-off of 'a' needs the gate 'l': add it"):
        read({"ciplug.yaml": f"{base}{{gates: [a]}}"})
    assert read({"ciplug.yaml": f"{base}{{gates: [a, l]}}"}) and read({"ciplug.yaml": f"{base}{{gates: [l]}}"})


BASE = """\
gates:
  a: {higher_is_better: true, max_regression: 0%s}
  l: {higher_is_better: false, max_regression: 5%%}
"""
BASE_TRADE = ", trade_off: {max_regression: 0.01, gate: l, min_improvement: 20%}"


@pytest.mark.parametrize(
    ("base", "child", "due"),
    [
        (
            "",
            "{max_regression: 0.01, gate: l, min_improvement: 20%}",
            "it lets a loss pass that max_regression does not",
        ),
        (BASE_TRADE, "{max_regression: 0.02, gate: l, min_improvement: 20%}", "'abs' 0.02 allows more than 0.01"),
        (BASE_TRADE, "{max_regression: 0.01, gate: l, min_improvement: 10%}", "0.1 is below 0.2"),
        (BASE_TRADE, "{max_regression: 0.01, gate: l, min_improvement: 2}", "it may not be changed"),
        (BASE_TRADE, "{max_regression: 0.01, gate: m, min_improvement: 20%}", "it may not be changed from l to m"),
        (BASE_TRADE, "{max_regression: 0.005, gate: l, min_improvement: 30%}", None),
        (BASE_TRADE, "null", None),
    ],
)
def test_who_extends_may_only_tighten(base: str, child: str, due: str | None) -> None:
    more = "\n  m: {higher_is_better: false, max_regression: 5%}"
    files = {"ciplug.yaml": f"extends: b.yaml\ngates:\n  a: {{trade_off: {child}}}{more}", "b.yaml": BASE % base}
    if due is None:
        assert read(files).gates["a"].max_regression
        return
    with pytest.raises(ConfigError) as wrong:
        read(files)
    assert due in str(wrong.value)


@pytest.mark.parametrize("key", ["n: nosuch", "history: {window: 99, min_samples: 99}"])
@pytest.mark.parametrize("severity", ["error", "warning"])
def test_a_gain_that_is_left_undecided_leaves_the_loss_undecided(key: str, severity: str) -> None:
    base = BASE.replace("5%%", f"5%%, severity: {severity}") % BASE_TRADE
    fails = ", on_inconclusive: fail" if severity == "error" else ""
    child = f"extends: b.yaml\ngates:\n  l: {{{key}{fails}}}"
    with pytest.raises(ConfigError, match=r"3: gates.l.\w+: it can leave the gate 'a' open where it would fail"):
        read({"ciplug.yaml": child, "b.yaml": base})
    assert read({"ciplug.yaml": f"{child}\n  a: {{on_inconclusive: fail}}", "b.yaml": base})
    assert read({"ciplug.yaml": f"{child}\n  a: {{trade_off: null}}", "b.yaml": base})


def test_it_is_explained() -> None:
    text = explain(policy_of({"gates": GATES}))
    assert (
        "- or it is at most 0.005 worse if 'latency' improves by 20%, by the same baseline, both of them beyond" in text
    )


def test_the_schema_has_it() -> None:
    schema = (Path(__file__).parents[2] / "docs" / "ciplug.schema.json").read_text()
    assert "trade_off" in schema and "min_improvement" in schema
