"""Gates whose data say how uncertain they are; slices, drift, waivers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug.comparison.repeats import mean
from ciplug.config.allowance import Allowance
from ciplug.config.gate import METRIC_TESTS, Gate
from ciplug.config.policy import Policy
from ciplug.errors import counted
from ciplug.gates import reason_text
from ciplug.gates.by_example import ByExample
from ciplug.gates.choice_of_test import Pair, best_test
from ciplug.gates.evaluate import evaluate
from ciplug.gates.evidence import Evidence
from ciplug.gates.reason_text import POINT
from ciplug.records.comparison import Side
from ciplug.records.examples import Examples
from ciplug.records.notice import Kind, Notice
from ciplug.records.run import Run
from ciplug.records.verdict import GateResult, Outcome, PolicySource, Verdict
from ciplug.stats.drift_tests import categorical, numeric
from ciplug.stats.intervals import Interval, Rule, Undecided
from ciplug.stats.joined_examples import take
from ciplug.stats.power import more_needed
from ciplug.stats.sample import Sample
from tests import generated
from tests.policies import data_of, policy_of

COMMIT = "1a2b3c4d" * 5
UP = {"higher_is_better": True}


def side(role: Any, values: Mapping[str, float | Sequence[float]], **more: Any) -> Side:
    repeats = {name: tuple(v) for name, v in values.items() if not isinstance(v, (int, float))}
    count = max(map(len, repeats.values()), default=1)
    return Side(
        role=role,
        label="merge base",
        how="merge base with main",
        run=role[0] * 32,
        metrics={name: mean(repeats[name]) if name in repeats else float(v) for name, v in values.items()},  # type: ignore[arg-type]
        repeats=repeats,
        runs=tuple(f"{role}{n}" for n in range(count)) if count > 1 else (),
        **more,
    )


def judge(
    policy: Policy | Mapping[str, Any],
    candidate: Side,
    baseline: Side,
    *,
    examples: tuple[Examples | None, Examples | None] = (None, None),
    of_runs: Mapping[str, Examples] | None = None,
    **more: Any,
) -> Verdict:
    found = policy if isinstance(policy, Policy) else policy_of(policy)
    held = dict(of_runs or {}) or {
        s.run: e for s, e in zip((candidate, baseline), examples, strict=True) if e is not None and s.run
    }
    evidence = Evidence(candidate=candidate, baselines=dict.fromkeys(found.gates, baseline), examples=held, **more)
    run = Run(id=candidate.run or "", model="m", commit=COMMIT, status="finished", started="", ended="")
    return evaluate(found, evidence, run, created="", policy_source=PolicySource(file="ciplug.yaml"))


def one(verdict: Verdict) -> GateResult:
    (result,) = verdict.gates
    return result


def table(right: Sequence[bool], **slices: Sequence[str]) -> Examples:
    return Examples(
        source="predictions.jsonl",
        ids=[f"{n:05}" for n in range(len(right))],
        labels=["1"] * len(right),
        predictions=["1" if ok else "0" for ok in right],
        slices=slices,
    )


def share(examples: Examples) -> float:
    return sum(p == "1" for p in examples.predictions or ()) / len(examples)


def turned(right: Sequence[bool], lost: int, won: int = 0) -> list[bool]:
    """The answers with some that were right now wrong, and others the other way round."""
    found = list(right)
    for n in [n for n, ok in enumerate(right) if ok][:lost]:
        found[n] = False
    for n in [n for n, ok in enumerate(right) if not ok][:won]:
        found[n] = True
    return found


_DRAW = random.Random(3)
RIGHT = [_DRAW.random() < 0.85 for _ in range(1000)]


# --- seeds


@pytest.mark.parametrize(
    ("new", "old", "due"),
    [
        ([0.90, 0.91, 0.92], [0.90, 0.91, 0.92], "PASS"),
        ([0.80, 0.81, 0.82], [0.90, 0.91, 0.92], "FAIL"),
        ([0.80, 0.91, 0.99], [0.90, 0.91, 0.99], "INCONCLUSIVE"),
        ([0.80, 0.80, 0.80], [0.90, 0.90, 0.90], "FAIL"),
        ([0.90, 0.91], [0.90, 0.91, 0.92], "INCONCLUSIVE"),
        ([0.90, 0.91, 0.92], [0.90], "INCONCLUSIVE"),
        ([0.90, float("nan"), 0.92], [0.90, 0.91, 0.92], "ERROR"),
    ],
)
def test_seeds(new: list[float], old: list[float], due: str) -> None:
    policy = {"seeds": {"min_runs": 3}, "gates": {"a": {**UP, "max_regression": 0.05}}}
    verdict = judge(policy, side("candidate", {"a": new}), side("baseline", {"a": old if len(old) > 1 else old[0]}))
    assert verdict.outcome == due
    if due in ("PASS", "FAIL"):
        assert one(verdict).method == "Welch's t-test on seed means"
        # Seeds that change nothing may never have reached the training.
        alike = "the 3 seeds gave the same number: does the training use its seed?"
        assert (alike in one(verdict).notes) == (len(set(new)) == 1)
        assert verdict.runs == ("candidate0", "candidate1", "candidate2")


def test_a_seed_of_the_baseline_without_the_metric_is_no_first_run() -> None:
    """However large the loss, "no baseline" would be a warning, and be promoted."""
    policy = {"seeds": {"min_runs": 2}, "gates": {"a": {**UP, "max_regression": 0.05}}}
    before = replace(side("baseline", {"b": [1.0, 1.0]}), lacking={"a": ("baseline1",)})
    result = one(judge(policy, side("candidate", {"a": [0.1, 0.2]}), before))
    assert (result.outcome, result.reason) == (
        "INCONCLUSIVE",
        "1 of the baseline's 2 runs has no metric 'a': baseline1",
    )
    assert result.advice == "record these seeds of the baseline again, or withdraw their runs"
    strict = {**policy, "defaults": {"on_inconclusive": "fail"}}
    assert judge(strict, side("candidate", {"a": [0.1, 0.2]}), before).outcome == "FAIL"


def test_an_open_verdict_says_what_would_settle_it() -> None:
    policy = {"seeds": {}, "gates": {"a": {**UP, "max_regression": 0.01}}}
    result = one(
        judge(policy, side("candidate", {"a": [0.88, 0.90, 0.92]}), side("baseline", {"a": [0.89, 0.90, 0.88]}))
    )
    assert result.outcome == "INCONCLUSIVE"
    assert "the data do not decide" in result.reason
    assert "more runs with other seeds, on each side, would decide" in (result.advice or "")
    assert result.low is not None and result.high is not None
    assert result.low < (result.change or 0) < result.high


def test_lower_is_better_turns_the_interval_round() -> None:
    policy = {"seeds": {}, "gates": {"a": {"higher_is_better": False, "max_regression": 1}}}
    result = one(judge(policy, side("candidate", {"a": [15, 16, 17]}), side("baseline", {"a": [10, 11, 12]})))
    assert (result.outcome, result.change) == ("FAIL", 5.0)
    assert result.low is not None and result.high is not None
    assert 0 < result.low < 5 < result.high


# --- examples


def test_examples_decide_beside_the_noise() -> None:
    base = table(RIGHT)
    policy = {"samples": "p.jsonl", "gates": {"accuracy": {**UP, "max_regression": 0.01}}}

    def outcome(right: Sequence[bool], **gate: Any) -> GateResult:
        new = table(right)
        asked = {**policy, "gates": {"accuracy": {**policy["gates"]["accuracy"], **gate}}}  # type: ignore[index]
        sides = side("candidate", {"accuracy": share(new)}), side("baseline", {"accuracy": share(base)})
        return one(judge(asked, *sides, examples=(new, base)))

    assert outcome(RIGHT).outcome == "PASS"
    assert outcome(turned(RIGHT, 60)).outcome == "FAIL"
    undecided = outcome(turned(RIGHT, 60, 42))
    assert (undecided.outcome, undecided.method) == ("INCONCLUSIVE", "Tango's score interval for paired proportions")
    assert "more examples would decide" in (undecided.advice or "")
    # One number beside the other fails on what may be noise.
    assert outcome(turned(RIGHT, 60, 42), test="point").outcome == "FAIL"
    assert outcome(turned(RIGHT, 60), max_regression=0).method == "exact McNemar test"
    assert outcome(turned(RIGHT, 60), severity="warning").outcome == "WARN"
    assert outcome(turned(RIGHT, 60, 42), on_inconclusive="fail").outcome == "FAIL"


@pytest.mark.parametrize("test", [test for test in METRIC_TESTS if test not in ("auto", "point")])
def test_a_gate_is_judged_by_the_test_that_it_names(test: str) -> None:
    """Two numbers without an uncertainty are compared only where the gate asks for it."""
    base, new = table(RIGHT), table(turned(RIGHT, 60))
    gate = {**UP, "max_regression": 0, "test": test}
    policy: dict[str, Any] = {"gates": {"accuracy": gate}, **({"seeds": {}} if test == "welch" else {})}
    runs = 2 if test == "welch" else 1
    sides = [side(role, {"accuracy": [share(x)] * runs}) for role, x in (("candidate", new), ("baseline", base))]
    result = one(judge({"samples": "p.jsonl", **policy}, *sides, examples=(new, base)))
    assert result.outcome == "FAIL" and result.method and result.method != POINT


def test_a_named_test_that_nothing_runs_decides_nothing() -> None:
    """A name in the policy without its code in `gates` and `stats`: not a comparison of two numbers instead."""
    gate = Gate(higher_is_better=True, max_regression=Allowance(abs=1.0), test="toy")  # type: ignore[arg-type]
    policy = Policy(gates={"a": gate})
    gate = policy.resolved("a")
    evidence = Evidence(candidate=side("candidate", {"a": 1}), baselines={"a": side("baseline", {"a": 1})})
    pair = Pair("a", gate, 1.0, 1.0, Rule(higher_is_better=True))
    tested = best_test(pair, evidence, ByExample(policy, evidence), None)
    assert tested.result == Undecided("the test 'toy' cannot compare two runs")


def test_a_metric_that_its_examples_do_not_bear_out_is_undecided() -> None:
    base = table(RIGHT)
    policy = {"samples": "p.jsonl", "gates": {"accuracy": {**UP, "max_regression": 0.01}}}
    sides = side("candidate", {"accuracy": 0.99}), side("baseline", {"accuracy": share(base)})
    result = one(judge(policy, *sides, examples=(table(turned(RIGHT, 60)), base)))
    assert result.outcome == "INCONCLUSIVE"
    assert "they are not of the same evaluation" in result.reason


def test_a_number_and_examples_that_both_fail_are_a_failure_though_they_differ() -> None:
    """A metric that is rounded to one digit switched the gate off, whatever was lost."""
    base, new = table(RIGHT), table(turned(RIGHT, 600))
    for rules, due, number in (
        ({"max_regression": 0.01}, "FAIL", 0.3),
        ({"max_regression": 0.01}, "INCONCLUSIVE", 0.9),
        ({"min": 0.5}, "FAIL", 0.3),
        ({"min": 0.5}, "INCONCLUSIVE", 0.9),
    ):
        policy = {"samples": "p.jsonl", "gates": {"accuracy": {**UP, **rules}}}
        sides = side("candidate", {"accuracy": number}), side("baseline", {"accuracy": share(base)})
        result = one(judge(policy, *sides, examples=(new, base)))
        assert result.outcome == due
        said = result.notes[0] if due == "FAIL" else result.reason
        assert "they are not of the same evaluation" in said


def test_another_evaluation_set_is_undecided() -> None:
    base = table(RIGHT)
    new = replace(base, ids=[f"new{n}" for n in range(len(base))])
    policy = {"samples": "p.jsonl", "gates": {"accuracy": {**UP, "max_regression": 0.5}}}
    sides = side("candidate", {"accuracy": share(new)}), side("baseline", {"accuracy": share(base)})
    result = one(judge(policy, *sides, examples=(new, base)))
    assert (result.outcome, "the evaluation sets differ" in result.reason) == ("INCONCLUSIVE", True)


def without(examples: Examples, count: int, *, right: bool) -> Examples:
    """The examples without some that are right, or wrong."""
    rows = [n for n, said in enumerate(examples.predictions or ()) if (said == "1") == right][:count]
    return take(examples, [n for n in range(len(examples)) if n not in rows])


@pytest.mark.parametrize(
    ("lost", "worse", "due"), [(1, 200, "FAIL"), (1, 0, "PASS"), (8, 0, "PASS"), (30, 0, "INCONCLUSIVE")]
)
def test_lost_rows_are_taken_for_the_worst_and_for_the_best(lost: int, worse: int, due: Outcome) -> None:
    """One id of 1,000 missing switched the gate off."""
    base, new = table(RIGHT), without(table(turned(RIGHT, worse)), lost, right=True)
    policy = {"samples": "p.jsonl", "gates": {"accuracy": {**UP, "max_regression": 0.02}}}
    sides = side("candidate", {"accuracy": share(new)}), side("baseline", {"accuracy": share(base)})
    result = one(judge(policy, *sides, examples=(new, base)))
    assert result.outcome == due
    assert f"the run lacks {counted(lost, 'example')} of the baseline" in result.notes[-1]
    if due == "INCONCLUSIVE":
        assert result.advice == "evaluate the 30 examples of the baseline that the run lacks"


def as_it_was(examples: Examples) -> Examples:
    return examples


def silent(examples: Examples) -> Examples:
    """The first example has no prediction."""
    return replace(examples, predictions=[None, *(examples.predictions or ())[1:]])


def repeated(examples: Examples) -> Examples:
    """The first example is there twice."""
    return take(examples, [0, *range(len(examples))])


def relabelled(examples: Examples) -> Examples:
    return replace(examples, labels=["0", *(examples.labels or ())[1:]])


def elsewhere(examples: Examples) -> Examples:
    return replace(examples, slices={"country": ["xx", *WHERE[1:]]})


@pytest.mark.parametrize("worse", [0, 200])
@pytest.mark.parametrize(
    ("spoil_new", "spoil_old", "why"),
    [
        (silent, as_it_was, "1 example has no answer for 'accuracy' on a side, the first is '00000'"),
        (as_it_was, silent, "1 example has no answer for 'accuracy' on a side, the first is '00000'"),
        (repeated, as_it_was, "1 id of the candidate appears more than once (predictions.jsonl): '00000'"),
        (as_it_was, repeated, "1 id of the baseline appears more than once (predictions.jsonl): '00000'"),
        (relabelled, as_it_was, "1 id with another label: '00000'"),
        (elsewhere, as_it_was, "1 id with another 'country': '00000'"),
    ],
    ids=["no prediction", "none before", "an id twice", "twice before", "another label", "another slice"],
)
def test_one_row_without_a_known_answer_switches_no_gate_off(
    spoil_new: Callable[[Examples], Examples], spoil_old: Callable[[Examples], Examples], why: str, worse: int
) -> None:
    base = spoil_old(table(RIGHT, country=WHERE))
    new = spoil_new(table(turned(RIGHT, worse), country=WHERE))
    sides = side("candidate", {"accuracy": share(new)}), side("baseline", {"accuracy": share(base)})
    for rules, due in (
        ({"max_regression": 0.02}, "FAIL" if worse else "PASS"),
        ({"max_regression": 0.003}, "FAIL" if worse else "INCONCLUSIVE"),
        ({"min": 0.8}, "FAIL" if worse else "PASS"),
    ):
        policy = {"samples": "p.jsonl", "gates": {"accuracy": {**UP, **rules}}}
        result = one(judge(policy, *sides, examples=(new, base)))
        assert result.outcome == due
        if "min" not in rules:
            assert result.notes[-1].startswith(f"{why}: the interval holds for the worst and for the best")
        if due == "INCONCLUSIVE":
            assert result.advice == (
                "give each example of the evaluation set one answer: 1 example has none that is known"
            )


def test_a_share_at_its_highest_bound_is_no_matter_of_more_data() -> None:
    policy = {"gates": {"a": {"min": 1.0, "n": "rows"}}}
    result = one(judge(policy, side("candidate", {"a": 1.0, "rows": 1000.0}), side("baseline", {})))
    assert (result.outcome, result.advice) == ("INCONCLUSIVE", reason_text.AT_THE_BOUND)


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("loss", "due"), [(0.0, "INCONCLUSIVE"), (3.0, "FAIL")])
def test_a_number_that_is_none_never_passes_and_hides_no_loss(nothing: float, loss: float, due: Outcome) -> None:
    old = [math.sin(n) + 5 for n in range(500)]
    new = [value + loss + 0.01 * math.cos(7 * n) for n, value in enumerate(old)]
    new[3] = nothing
    ours, theirs = (replace(table(RIGHT[:500]), scores={"loss": column}) for column in (new, old))
    policy = {"samples": "p.jsonl", "gates": {"loss": {"higher_is_better": False, "max_regression": 0.5}}}
    sides = side("candidate", {"loss": 5.0 + loss}), side("baseline", {"loss": 5.0})
    result = one(judge(policy, *sides, examples=(ours, theirs)))
    assert result.outcome == due
    if due == "INCONCLUSIVE":
        assert "'loss' is not a number in 1 of 500 examples of the candidate, the first is '00003'" in result.reason


def test_an_evaluation_set_that_grew_is_compared_on_what_both_have() -> None:
    new = table(turned([*RIGHT, *[True] * 200], 60))
    base = table(RIGHT)
    policy = {"samples": "p.jsonl", "gates": {"accuracy": {**UP, "max_regression": 0.01}}}
    sides = side("candidate", {"accuracy": share(new)}), side("baseline", {"accuracy": share(base)})
    result = one(judge(policy, *sides, examples=(new, base)))
    both = (sum(RIGHT) - 60) / 1000
    assert (result.outcome, result.n) == ("FAIL", 1000)
    assert result.notes[0] == (
        f"compared on the 1,000 examples that both have, where the run has {both:g}; 200 are only in the run"
    )


def test_without_examples_of_the_baseline_the_next_best_decides_and_that_is_said() -> None:
    policy = {"samples": "p.jsonl", "gates": {"accuracy": {**UP, "max_regression": 0.5}}}
    sides = side("candidate", {"accuracy": 0.8}), side("baseline", {"accuracy": 0.8})
    result = one(judge(policy, *sides, examples=(table(RIGHT), None)))
    assert (result.outcome, result.method, result.point) == ("PASS", "one number per run", True)
    assert result.notes == ("not compared example by example: the baseline has no samples",)
    asked = {"samples": "p.jsonl", "gates": {"accuracy": {**UP, "max_regression": 0.5, "test": "bootstrap"}}}
    assert one(judge(asked, *sides, examples=(table(RIGHT), None))).outcome == "INCONCLUSIVE"


@pytest.mark.parametrize("metric", ["accuracy", "points"])
def test_a_run_that_lost_its_samples_does_not_pass_by_its_number(metric: str) -> None:
    columns = table(RIGHT) if metric == "accuracy" else replace(table(RIGHT), scores={"points": [1.0] * 1000})
    other = None if metric == "accuracy" else table(RIGHT)
    sides = side("candidate", {metric: 0.99, "n": 1000.0}), side("baseline", {metric: 0.8, "n": 1000.0})
    gate = {**UP, "max_regression": 0.02}
    policy = {"samples": "p.jsonl", "gates": {metric: gate}}
    result = one(judge(policy, *sides, examples=(other, columns)))
    assert (result.outcome, result.point) == ("INCONCLUSIVE", False)
    assert f"the run has no samples of '{metric}', and the baseline has" in result.reason
    worse = side("candidate", {metric: 0.7, "n": 1000.0}), sides[1]
    assert one(judge(policy, *worse, examples=(other, columns))).outcome == "FAIL"
    for other_data in ({"test": "point"}, {"n": "n"}):
        policy["gates"] = {metric: {**gate, **other_data}}
        assert one(judge(policy, *sides, examples=(other, columns))).outcome == "PASS"
    for bound in ({"min": 0.9}, {"higher_is_better": False, "max": 0.995}):
        policy["gates"] = {metric: bound}
        result = one(judge(policy, *sides, examples=(other, columns)))
        assert (result.outcome, result.point) == ("INCONCLUSIVE", False)
        assert f"the run has no samples of '{metric}', and the baseline has" in result.reason
        policy["gates"] = {metric: {**bound, "test": "point"}}
        assert one(judge(policy, *sides, examples=(other, columns))).outcome == "PASS"
    policy["gates"] = {metric: {"min": 0.995}}
    assert one(judge(policy, *sides, examples=(other, columns))).outcome == "FAIL"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("gate", "change", "words", "advice"),
    [
        ({}, {"ids": ["00000"] * 1000}, "1 id of the candidate appears more than once (p.jsonl)", "an id of its own"),
        ({}, {"weights": [1.0] * 999 + [2.0]}, "have weights, and those of", "the same weights"),
        ({}, {"scores": {"s": [1e308, -1e308] * 500}}, "beyond 1e+100 in 1,000 of 1,000 examples", "find this number"),
        ({}, {"scores": {"s": [1e-200] * 1000}}, "too large or too small", "find this number"),
    ],
    ids=["an id twice", "weights on one side", "a number beyond every other", "smaller than any other"],
)
def test_advice_is_about_what_is_wrong(gate: dict[str, Any], change: dict[str, Any], words: str, advice: str) -> None:
    columns = replace(table(RIGHT), scores={"s": [0.0] * 1000}, source="/home/alice/p.jsonl")
    sides = side("candidate", {"s": 0.0}), side("baseline", {"s": 0.0})
    policy = {"samples": "p.jsonl", "gates": {"s": {**UP, "max_regression": 0.02, **gate}}}
    result = one(judge(policy, *sides, examples=(replace(columns, **change), columns)))
    assert (result.outcome, words in result.reason, advice in (result.advice or "")) == ("INCONCLUSIVE", True, True)
    assert "/home/alice" not in result.reason


@pytest.mark.parametrize(
    ("absurd", "others", "outcome"),
    [
        (1e150, 0.0, "ERROR"),  # the mean is absurd, too
        (1e101, 0.0, "INCONCLUSIVE"),
        (1e101, 0.5, "FAIL"),  # whatever this number should have been
        (-1e101, 0.0, "INCONCLUSIVE"),  # it is no gain, either
    ],
)
def test_one_absurd_number_switches_no_gate_off(absurd: float, others: float, outcome: str) -> None:
    before = [0.5 + 0.001 * (i % 100) for i in range(1000)]
    after = [absurd, *(value + others for value in before[1:])]
    ours, theirs = (replace(table(RIGHT), scores={"s": each}) for each in (after, before))
    sides = side("candidate", {"s": mean(after)}), side("baseline", {"s": mean(before)})
    policy = {"samples": "p.jsonl", "gates": {"s": {"higher_is_better": False, "max_regression": 0.05}}}
    assert one(judge(policy, *sides, examples=(ours, theirs))).outcome == outcome


def test_a_bound_on_an_absurd_number_is_an_error() -> None:
    """The examples cannot decide about it, and an undecided gate would stop no job."""
    examples = replace(table(RIGHT), scores={"s": [1e150] * 1000})
    policy = {"samples": "p.jsonl", "gates": {"s": {"higher_is_better": True, "min": 0.5}}}
    sides = side("candidate", {"s": 1e150}), side("baseline", {"s": 1.0})
    assert one(judge(policy, *sides, examples=(examples, None))).outcome == "ERROR"


def test_what_was_tested_together_is_corrected() -> None:
    """One of ten tests that would fail alone by a hair does not fail beside nine others."""
    gate = {**UP, "max_regression": 0.0, "history": {"min_samples": 8}}
    past = [0.89, 0.90, 0.91, 0.90, 0.89, 0.90, 0.91, 0.92, 0.91]

    def outcomes(count: int, **defaults: Any) -> str:
        gates = {f"m{n}": gate for n in range(count)}
        values = {"m0": 0.872, **{f"m{n}": 0.9 for n in range(1, count)}}
        history = dict.fromkeys(values, past)
        sides = side("candidate", values), side("baseline", dict.fromkeys(values, 0.9))
        return judge({"gates": gates, "defaults": defaults}, *sides, history=history).gates[0].outcome

    assert outcomes(1) == "FAIL"
    assert outcomes(10) == "INCONCLUSIVE"
    assert outcomes(10, correction="none") == "FAIL"


def test_a_gate_that_only_warns_makes_no_other_gate_weaker() -> None:
    """Holm corrects over the tests that can fail the run; those of severity warning are none of its family."""
    past = [0.89, 0.90, 0.91, 0.90, 0.89, 0.90, 0.91, 0.92, 0.91]
    gate = {**UP, "max_regression": 0.0, "history": {"min_samples": 8}}

    def result(severity: str) -> GateResult:
        gates = {"m0": gate, **{f"m{n}": {**gate, "severity": severity} for n in range(1, 10)}}
        values = {"m0": 0.872, **{f"m{n}": 0.9 for n in range(1, 10)}}
        sides = side("candidate", values), side("baseline", dict.fromkeys(values, 0.9))
        return judge({"gates": gates}, *sides, history=dict.fromkeys(values, past)).gates[0]

    alone, beside = result("warning"), result("error")
    assert (alone.outcome, beside.outcome) == ("FAIL", "INCONCLUSIVE")
    assert beside.p == pytest.approx(10 * (alone.p or 0))


def test_a_gate_that_only_warns_is_not_corrected_itself() -> None:
    past = [0.89, 0.90, 0.91, 0.90, 0.89, 0.90, 0.91, 0.92, 0.91]
    gate = {**UP, "max_regression": 0.0, "history": {"min_samples": 8}}
    gates = {"warns": {**gate, "severity": "warning"}, **{f"m{n}": gate for n in range(9)}}
    values = {"warns": 0.872, **{f"m{n}": 0.9 for n in range(9)}}
    sides = side("candidate", values), side("baseline", dict.fromkeys(values, 0.9))
    warned = judge({"gates": gates}, *sides, history=dict.fromkeys(values, past)).gates[0]
    assert warned.outcome == "WARN" and warned.p is not None and warned.p < 0.05


def test_history_takes_the_newest_runs() -> None:
    """The window ends at the newest run: `history` is given oldest first."""
    gate = {"gates": {"a": {**UP, "max_regression": 0.01, "history": {"window": 8, "min_samples": 8}}}}
    old, new = [0.5, 0.7] * 10, [0.90, 0.901, 0.899, 0.9, 0.9, 0.901, 0.9, 0.899]
    sides = side("candidate", {"a": 0.88}), side("baseline", {"a": 0.90})
    result = one(judge(gate, *sides, history={"a": [*old, *new]}))
    assert (result.outcome, result.method) == ("FAIL", "noise from the successive differences of 8 earlier runs")
    assert result.p == one(judge(gate, *sides, history={"a": new})).p
    assert one(judge(gate, *sides, history={"a": [*new, *old]})).p != result.p


def test_clusters_and_not_examples_settle_a_comparison_of_clusters() -> None:
    interval = Interval(
        estimate=0.0,
        low=-0.1,
        high=0.1,
        p=0.5,
        method="",
        n=20,
        unit="cluster",
        rule=Rule(higher_is_better=True, allowed=0.05),
    )
    advice = reason_text.settled_by(interval.unit, more_needed(interval), 0.1)
    assert advice.endswith(" more clusters of examples would decide")


def test_history_is_asked_once_there_is_enough() -> None:
    gate = {"gates": {"a": {**UP, "max_regression": 0.01, "history": {"min_samples": 8}}}}
    sides = side("candidate", {"a": 0.88}), side("baseline", {"a": 0.90})
    short = one(judge(gate, *sides, history={"a": [0.9] * 3}))
    assert (short.outcome, short.notes) == ("FAIL", ("3 runs of the 8 that 'history' asks for",))
    noisy = one(judge(gate, *sides, history={"a": [0.86, 0.94, 0.90, 0.87, 0.93, 0.90, 0.91, 0.89]}))
    assert (noisy.outcome, noisy.method) == ("INCONCLUSIVE", "noise from the successive differences of 8 earlier runs")
    still = one(judge(gate, *sides, history={"a": [0.90, 0.901, 0.899, 0.9, 0.9, 0.901, 0.9, 0.899]}))
    assert still.outcome == "FAIL"


def test_two_numbers_are_compared_with_how_often_that_errs() -> None:
    """Each run differs by 0.02 from the next; the allowance of 0.01 is half of it: Φ(-0.5) = 31%."""
    gate = {"gates": {"a": {**UP, "max_regression": 0.01}}}
    result = one(
        judge(gate, side("candidate", {"a": 0.9}), side("baseline", {"a": 0.9}), history={"a": [0.89, 0.91] * 10})
    )
    assert result.point and "from the next by 0.02 (standard deviation)" in result.notes[0]
    assert "fails an unchanged candidate in 31% of cases" in result.notes[0]


def test_a_baseline_whose_value_was_changed_after_its_end_compares_with_nothing() -> None:
    sides = side("candidate", {"a": 0.9}), side("baseline", {"a": 0.9})
    changed = {"b" * 32: {"a": "mallory"}}
    compared = one(judge({"gates": {"a": {**UP, "max_regression": 0.1}}}, *sides, changed=changed))
    assert compared.outcome == "ERROR" and "the baseline's 'a'" in compared.reason
    assert judge({"gates": {"a": {**UP, "min": 0.5}}}, *sides, changed=changed).outcome == "PASS"


def test_proportions() -> None:
    gate = {"gates": {"a": {**UP, "max_regression": 0.01, "n": "rows"}}}

    def outcome(new: float, rows: float) -> GateResult:
        return one(judge(gate, side("candidate", {"a": new, "rows": rows}), side("baseline", {"a": 0.9, "rows": rows})))

    assert outcome(0.87, 100).outcome == "INCONCLUSIVE"
    assert outcome(0.87, 100_000).outcome == "FAIL"
    assert outcome(0.87, 100_000).method == "Newcombe's interval for two proportions"
    assert outcome(0.87, 0).outcome == "INCONCLUSIVE"
    assert outcome(1.5, 100).outcome == "INCONCLUSIVE"


def test_a_baseline_that_is_too_old_decides_nothing() -> None:
    stale = Notice(kind=Kind.STALE, of="baseline", day="2026-10-14", max_age_days=30)
    why = "the baseline is from 2026-10-14, and at most 30 days of age are allowed"
    policy = {"gates": {"a": {**UP, "min": 0.5, "max_regression": 0.01}}}
    verdict = judge(policy, side("candidate", {"a": 0.9}), side("baseline", {"a": 0.9}, problem=stale))
    assert [(g.outcome, g.reason) for g in verdict.gates] == [
        ("PASS", "0.9 is not below 0.5 (one number per run: no uncertainty)"),
        ("INCONCLUSIVE", why),
    ]
    broken = judge(policy, side("candidate", {"a": 0.9}), side("baseline", {"a": float("nan")}, problem=stale))
    assert broken.outcome == "ERROR"


@pytest.mark.parametrize(
    ("value", "rows", "outcome"), [(0.9, 1000, "PASS"), (0.8, 1000, "FAIL"), (0.85, 40, "INCONCLUSIVE")]
)
def test_a_bound_on_a_proportion_is_exact(value: float, rows: int, outcome: Outcome) -> None:
    policy = {"gates": {"a": {**UP, "min": 0.84, "n": "rows"}}}
    nothing = Side(role="baseline", label="", how="no run")
    result = one(judge(policy, side("candidate", {"a": value, "rows": rows}), nothing))
    assert (result.outcome, result.method) == (outcome, "exact interval of a proportion")
    missing = one(judge(policy, side("candidate", {"a": value}), nothing))
    assert missing.outcome == "INCONCLUSIVE" and "the run has no metric 'rows'" in missing.reason


# --- slices

COUNTRY = ["fr", "it", "de", "es"]
WHERE = [COUNTRY[n % 4] if n < 990 else "mt" for n in range(1000)]


def sliced(
    new: Examples | None,
    base: Examples | None,
    *,
    stated: Mapping[str, float] | None = None,
    gate: Mapping[str, str] | None = None,
    **slices: Any,
) -> Verdict:
    of_slices = {"by": "country", "min_samples": 100, **slices}
    policy = {
        "samples": "p.jsonl",
        "gates": {"accuracy": {**UP, "min": 0.1, **(gate or {}), "slices": of_slices}},
    }
    value = share(new) if new else 0.85
    before = side("baseline", stated or {"accuracy": 0.85}) if base else Side(role="baseline", label="", how="no run")
    return judge(policy, side("candidate", {"accuracy": value}), before, examples=(new, base))


def test_one_slice_that_falls_fails_though_the_whole_does_not() -> None:
    right = list(RIGHT)
    for n, country in enumerate(WHERE):
        if country == "it" and n % 3 == 0:
            right[n] = False
    verdict = sliced(table(right, country=WHERE), table(RIGHT, country=WHERE), max_regression=0.05)
    whole, worst, rest = verdict.gates
    assert (whole.outcome, whole.slice) == ("PASS", None)
    assert (worst.outcome, worst.slice) == ("FAIL", "country = it")
    assert worst.reason.startswith("country = it: ")
    assert (rest.outcome, rest.reason.startswith("3 slices: pass, the worst is ")) == ("PASS", True)
    assert any("1 slice has fewer than 100 examples, and is not judged" in gate.notes for gate in verdict.gates)
    relative = sliced(table(right, country=WHERE), table(RIGHT, country=WHERE), max_regression="5%")
    assert relative.gates[1].limit == pytest.approx(0.05 * (worst.baseline or 0))


def test_a_percentage_of_a_slice_is_of_the_slice() -> None:
    italian = [n for n, country in enumerate(WHERE) if country == "it" and RIGHT[n]]
    right = [ok and n not in italian[:8] for n, ok in enumerate(RIGHT)]
    base, new = table(RIGHT, country=WHERE), table(right, country=WHERE)
    assert sliced(new, base, max_regression="20%").outcome == "PASS"
    assert sliced(new, base, max_regression={"abs": 0.001, "rel": "20%"}).outcome == "PASS"
    assert sliced(new, base, max_regression=0.001).outcome != "PASS"


def test_bounds_of_slices_need_no_baseline() -> None:
    verdict = sliced(table(RIGHT, country=WHERE), None, min=0.99)
    assert [g.outcome for g in verdict.gates] == ["PASS", *["FAIL"] * 4]
    assert sliced(table(RIGHT, country=WHERE), None, min=0.5).outcome == "PASS"
    none = sliced(table(RIGHT, country=WHERE), None, max_regression=0.1)
    assert (none.outcome, none.gates[-1].reason) == ("WARN", "no slices to compare with: no run")


@pytest.mark.parametrize("stated, expected", [({}, "FAIL"), ({"on_missing": "warn"}, "WARN")])
def test_a_slice_that_is_gone_is_named(stated: Mapping[str, str], expected: Outcome) -> None:
    """Its examples are gone, or are in another slice now."""
    kept = [n for n, country in enumerate(WHERE) if country != "it"]
    fewer = take(table(RIGHT, country=WHERE), kept)
    renamed = table(RIGHT, country=[("fr" if c == "it" else c) for c in WHERE])
    for candidate in (fewer, renamed):
        verdict = sliced(candidate, table(RIGHT, country=WHERE), gate=stated, max_regression=0.9)
        (lost,) = (gate for gate in verdict.gates if gate.slice == "country = it")
        assert (lost.outcome, lost.reason) == (
            expected,
            "the slice country = it is gone: the baseline had examples of it, the run has none",
        )
        assert lost.advice == "does the evaluation still read all of its data?"
        # The slices of the baseline are compared, without a known answer to what is in another slice now.
        assert not [gate for gate in verdict.gates if gate.reason.startswith("no slices")]
        others = {gate.slice for gate in verdict.gates if gate.slice is not None}
        assert len(others) == 2, "what is left is compared"


def test_slices_that_are_not_there_are_said() -> None:
    few = table(RIGHT[:500], country=["fr"] * 500)
    verdict = sliced(few, None, max_regression=0.9, min_samples=1000)
    assert (verdict.outcome, verdict.gates[-1].reason) == (
        "INCONCLUSIVE",
        "no slice has 1,000 examples, the largest has 500",
    )
    assert sliced(table(RIGHT), None, min=0.1).gates[-1].reason == "no slices: the samples have no column 'country'"
    assert sliced(table(RIGHT), None, min=0.1).outcome == "FAIL"
    assert sliced(None, None, min=0.1).gates[-1].reason == "no slices: the run has no samples"


SMALL = "1 slice has fewer than 100 examples, and is not judged"


def test_slices_that_pass_are_one_result_which_counts_each_once_and_keeps_the_notes() -> None:
    found = sliced(table(RIGHT, country=WHERE), None, min=0.5, max=0.99)
    _, rest = found.gates
    assert (rest.slice, rest.reason, rest.notes) == (
        "country = de",
        "4 slices: pass, the worst is country = de: 0.8583 is not above 0.99; 91% interval 0.815268 to 0.894399: "
        "within the bound",
        (SMALL,),
    )
    wrong = [ok and country != "it" for ok, country in zip(RIGHT, WHERE, strict=True)]
    _, fails, rest = sliced(table(wrong, country=WHERE), None, min=0.5).gates
    assert (fails.outcome, fails.reason) == (
        "FAIL",
        "country = it: 0 is below 0.5; 91% interval 0 to 0.0124266: beyond the bound, and more than noise",
    )
    assert rest.reason.startswith("3 slices: pass, the worst is country = fr: 0.83871 is not below 0.5; 91% interval ")


@pytest.mark.parametrize(
    "metric, why", [("roc_auc", "all are of one class"), ("dice", "is neither a column of numbers")]
)
@pytest.mark.parametrize("stated, expected", [({}, "INCONCLUSIVE"), ({"on_inconclusive": "fail"}, "FAIL")])
def test_each_slice_without_a_value_says_why(
    metric: str, why: str, stated: Mapping[str, str], expected: Outcome
) -> None:
    rules = {"by": "country", "min_samples": 100, "min": 0.5, "max": 0.9}
    policy = {"samples": "p.jsonl", "gates": {metric: {**UP, "min": 0.1, **stated, "slices": rules}}}
    examples = table(RIGHT, country=WHERE)
    whole, *of_slices = judge(
        policy, side("candidate", {metric: 0.8}), Side(role="baseline", label="", how=""), examples=(examples, None)
    ).gates
    assert whole.outcome == (expected if metric == "roc_auc" else "PASS") and {one.slice for one in of_slices} == {
        f"country = {c}" for c in set(WHERE) - {"mt"}
    }
    assert all(why in one.reason and one.outcome == expected for one in of_slices)
    if metric == "roc_auc":
        assert len(of_slices) == 8, "each of the two rules is undecided in each slice"


def test_slices_of_a_run_without_the_column_follow_on_missing() -> None:
    reason = "no slices: the samples have no column 'country'"
    for stated, expected in (({}, "FAIL"), ({"on_missing": "warn"}, "WARN")):
        for before in (None, table(RIGHT, country=WHERE)):
            gates = sliced(table(RIGHT), before, gate=stated, min=0.1).gates
            assert [one.outcome for one in gates if one.reason == reason] == [expected]


@pytest.mark.parametrize("higher, worst", [(True, "b"), (False, "c")])
def test_the_worst_of_the_slices_that_pass_is_that_with_the_largest_loss(higher: bool, worst: str) -> None:
    """The changes are +0.01, -0.02 and +0.03, each the same in every example."""
    country = [name for name in "abc" for _ in range(100)]
    change = {"a": 0.01, "b": -0.02, "c": 0.03}
    before = replace(table([True] * 300, country=country), scores={"points": [0.5] * 300})
    after = replace(before, scores={"points": [0.5 + change[name] for name in country]})
    rules = {"by": "country", "min_samples": 100, "max_regression": 0.1}
    policy = {"samples": "p.jsonl", "gates": {"points": {"higher_is_better": higher, "min": 0.1, "slices": rules}}}
    sides = side("candidate", {"points": 0.5}), side("baseline", {"points": 0.5})
    *_, passed = judge(policy, *sides, examples=(after, before)).gates
    assert passed.reason.startswith(f"3 slices: pass, the worst is country = {worst}: ")


def by_country(shares: Mapping[str, int], of: int = 100) -> Examples:
    """So many right answers of each country, `of` so many."""
    right = [n < count for count in shares.values() for n in range(of)]
    return table(right, country=[country for country in shares for _ in range(of)])


def test_a_slice_is_judged_from_its_smallest_size_and_at_its_bound() -> None:
    point = {"test": "point"}
    verdict = sliced(by_country({"fr": 80, "it": 79, "de": 90}), None, gate=point, min=0.8)
    worst, *rest = verdict.gates[1:]
    assert (worst.slice, worst.outcome, worst.n) == ("country = it", "FAIL", 100)
    assert (worst.candidate, worst.limit, worst.rule) == (0.79, 0.8, "at least 0.8 in each country")
    # Exactly at the bound holds; of those that passed, the nearest to it is the worst.
    assert [(r.slice, r.outcome, r.candidate) for r in rest] == [("country = fr", "PASS", 0.8)]
    assert rest[0].reason.startswith("2 slices: pass, the worst is country = fr: ")
    verdict = sliced(by_country({"fr": 80, "it": 81, "de": 70}), None, gate=point, max=0.8)
    worst, *rest = verdict.gates[1:]
    assert (worst.slice, worst.outcome, worst.rule) == ("country = it", "FAIL", "at most 0.8 in each country")
    assert rest[0].slice == "country = fr"
    # Without the word of the gate, 79 of 100 are not known to be too few.
    undecided = sliced(by_country({"fr": 80, "it": 79, "de": 97}), None, min=0.8).gates[1:]
    assert [(r.slice, r.outcome) for r in undecided] == [
        ("country = it", "INCONCLUSIVE"),
        ("country = fr", "INCONCLUSIVE"),
        ("country = de", "PASS"),
    ]
    # One example fewer than asked for is too few.
    small = sliced(by_country({"fr": 80, "it": 81}, of=99), None, min=0.5)
    assert small.gates[-1].reason == "no slice has 100 examples, the largest has 99"
    assert small.gates[-1].outcome == "INCONCLUSIVE"


def test_ten_of_many_slices_are_shown_the_worst_first() -> None:
    shares = {f"c{n:02}": 10 + n for n in range(13)}
    verdict = sliced(by_country(dict(reversed(shares.items()))), None, min=0.5)
    shown = verdict.gates[1:]
    assert [gate.slice for gate in shown[:10]] == [f"country = c{n:02}" for n in range(10)]
    assert len(shown) == 11
    assert shown[10].reason.startswith("3 more slices: fail, the worst is country = c10: ")
    # A single one that is left speaks for itself.
    shown = sliced(by_country(dict(list(shares.items())[:11])), None, min=0.5).gates[1:]
    assert [gate.slice for gate in shown] == [f"country = c{n:02}" for n in range(11)]
    assert shown[10].reason.startswith("country = c10: ")


def test_slices_of_a_run_and_its_baseline_are_compared_one_by_one() -> None:
    before = {"fr": 90, "it": 90, "de": 50, "es": 60}
    after = {"fr": 90, "it": 40, "de": 10, "es": 72}
    verdict = sliced(by_country(after), by_country(before), stated={"accuracy": 0.725}, max_regression=0.02, min=0.3)
    results = {(gate.slice, gate.rule): gate for gate in verdict.gates}
    it = results["country = it", "at most 0.02 worse than the baseline in each country"]
    assert (it.outcome, it.candidate, it.baseline, it.limit) == ("FAIL", 0.4, 0.9, 0.02)
    assert it.change == pytest.approx(-0.5)
    assert (it.baseline_run, it.baseline_label) == ("b" * 32, "merge base")
    assert results["country = de", "at least 0.3 in each country"].outcome == "FAIL"
    # Of two rules that fail, the one that is missed by more comes first.
    worst = [gate for gate in verdict.gates[1:] if gate.outcome == "FAIL"]
    assert [(gate.slice, gate.rule.partition(" ")[2][:4]) for gate in worst] == [
        ("country = it", "most"),
        ("country = de", "most"),
        ("country = de", "leas"),
    ]


# --- drift


def test_drift() -> None:
    draw = random.Random(5)
    same = [[draw.gauss(0, 1) for _ in range(2000)] for _ in range(3)]
    moved = [value + 1 for value in same[2]]
    gate = {"gates": {"data": {"kind": "drift", "reference": "train.csv", "current": "now.csv"}}}

    def outcome(columns: Any) -> GateResult:
        empty = side("candidate", {"x": 1.0})
        return one(judge(gate, empty, side("baseline", {}), drift={"data": data_of(columns)}))

    calm = outcome(
        {
            "age": numeric(Sample(same[0]), Sample(same[1])),
            "country": categorical({"a": 500, "b": 500}, {"b": 500, "a": 500}),
        }
    )
    assert calm.outcome == "PASS"
    assert calm.reason.startswith("none of 2 columns has drifted; most has ")
    drifted = outcome(
        {"age": numeric(Sample(same[0]), Sample(moved)), "country": categorical({"a": 500}, {"a": 400, "c": 100})}
    )
    assert drifted.outcome == "FAIL"
    assert "2 of 2 columns have drifted: " in drifted.reason
    assert drifted.notes[-1] == "country has values that the reference never had: 'c'"
    assert outcome({"age": numeric(Sample(same[0]), Sample())}).outcome == "INCONCLUSIVE"
    assert outcome(Undecided("now.csv: there is no such file")).outcome == "FAIL"
    assert outcome({}).outcome == "INCONCLUSIVE"


# --- waivers

WAIVER = {
    "gate": "a",
    "limit": 0.05,
    "commit": COMMIT[:8],
    "expires": date(2026, 12, 31),
    "reason": "label fix",
    "approved_by": "alice",
    "issue": "ML-42",
}


def waived(
    value: float, gate: Mapping[str, Any] | None = None, today: date = date(2026, 12, 31), **change: Any
) -> Verdict:
    policy = {"gates": {"a": gate or {**UP, "max_regression": 0.01}}, "waivers": [{**WAIVER, **change}]}
    return judge(policy, side("candidate", {"a": value}), side("baseline", {"a": 0.9}), today=today)


def test_a_waiver_is_bounded_tied_to_a_commit_and_expires() -> None:
    verdict = waived(0.86)
    result = one(verdict)
    assert (verdict.outcome, verdict.passed) == ("WARN", True)
    assert "waived up to 0.05 until 2026-12-31 by alice's waiver (label fix, ML-42)" in result.reason
    assert result.waived is not None and result.waived.approved_by == "alice"
    assert verdict.waived == ("a up to 0.05 until 2026-12-31 by alice: label fix, ML-42",)
    beyond = waived(0.80)
    assert (beyond.outcome, "beyond alice's waiver" in beyond.gates[0].reason) == ("FAIL", True)
    late = waived(0.86, today=date(2027, 1, 1))
    assert late.outcome == "FAIL"
    assert late.notes == ("The waiver of 'a' by alice has expired on 2026-12-31: take it out, or renew it.",)
    other = waived(0.86, commit="fffffff")
    assert other.outcome == "FAIL"
    assert other.notes == ("The waiver of 'a' by alice is for commit fffffff, and not for this one.",)
    # What passes needs none, and nothing is said of it.
    assert (waived(0.9).outcome, waived(0.9).notes, one(waived(0.9)).waived) == ("PASS", (), None)


def test_waivers_of_bounds() -> None:
    assert waived(0.75, {"min": 0.8}, limit=0.7).outcome == "WARN"
    assert waived(0.65, {"min": 0.8}, limit=0.7).outcome == "FAIL"
    assert waived(0.85, {"max": 0.8}, limit=0.9).outcome == "WARN"
    both = {"min": 0.8, "max": 0.95}
    assert waived(0.75, both, limit=0.7, rule="min").outcome == "WARN"
    assert waived(0.97, both, limit=0.7, rule="min").outcome == "FAIL"


def test_an_error_is_never_waived() -> None:
    assert waived(float("nan")).outcome == "ERROR"
    assert waived(float("-inf"), limit=1e9).outcome == "ERROR"


def test_a_waiver_moves_the_limit_that_an_interval_is_held_against() -> None:
    base, new = table(RIGHT), table(turned(RIGHT, 60))
    policy = {
        "samples": "p.jsonl",
        "gates": {"accuracy": {**UP, "max_regression": 0.01}},
        "waivers": [{**WAIVER, "gate": "accuracy", "limit": 0.08}],
    }
    sides = side("candidate", {"accuracy": share(new)}), side("baseline", {"accuracy": share(base)})
    assert judge(policy, *sides, examples=(new, base)).outcome == "WARN"
    narrow = {**policy, "waivers": [{**WAIVER, "gate": "accuracy", "limit": 0.061}]}
    assert judge(narrow, *sides, examples=(new, base)).outcome == "FAIL"


def test_every_failure_says_what_to_do() -> None:
    policy = {"gates": {"a": {**UP, "min": 0.95, "max_regression": 0.01}, "b": {"max": 1}}}
    verdict = judge(policy, side("candidate", {"a": 0.8}), side("baseline", {"a": 0.9, "b": 0.5}))
    assert verdict.outcome == "FAIL"
    for result in verdict.gates:
        assert result.outcome == "FAIL"
        assert result.advice
    compared = verdict.gates[1]
    assert (compared.baseline_run, compared.baseline_label, compared.limit) == ("b" * 32, "merge base", 0.01)
    labelled = judge(policy, side("candidate", {"a": 0.8}), replace(side("baseline", {"a": 0.9}), commit=COMMIT))
    assert labelled.gates[1].baseline_label == "merge base 1a2b3c4d"


NUMBERS = st.floats() | st.sampled_from([0.0, 0.9, math.nan, math.inf, -math.inf])


@settings(max_examples=generated.examples(300), deadline=None)
@given(
    st.lists(NUMBERS, min_size=1, max_size=4),
    st.lists(NUMBERS, min_size=1, max_size=4),
    st.lists(NUMBERS, max_size=12),
    st.sampled_from(["auto", "point", "welch", "newcombe"]),
    st.sampled_from([0.0, 0.01, 1e300, "10%", "1000%"]),
    st.booleans(),
)
def test_no_input_whatever_makes_a_nan_pass(
    new: list[float], old: list[float], past: list[float], test: str, allowed: float | str, seeds: bool
) -> None:
    gate: dict[str, Any] = {**UP, "max_regression": allowed, "test": test}
    if test in ("auto", "newcombe"):
        gate["n"] = "rows"
    if test == "auto":
        gate["history"] = {"min_samples": 2}
    lenient = {"on_missing": "warn", "on_no_baseline": "warn", "on_inconclusive": "warn", "severity": "warning"}
    policy: dict[str, Any] = {"gates": {"a": gate}, "defaults": lenient}
    if seeds or test == "welch":
        policy["seeds"] = {}
    sides = [
        side(role, {"a": values if len(values) > 1 else values[0], "rows": 100.0})
        for role, values in (("candidate", new), ("baseline", old))
    ]
    verdict = judge(policy, *sides, history={"a": past})
    finite = [math.isfinite(s.metrics["a"]) for s in sides]
    if not finite[0]:
        assert verdict.outcome == "ERROR"
    elif not all(finite):
        assert verdict.outcome in ("ERROR", "INCONCLUSIVE")
    elif not all(map(math.isfinite, (*new, *old))):
        assert verdict.outcome != "PASS"


# --- other runs of the commit


@pytest.mark.parametrize(
    ("value", "others", "outcome", "point"),
    [
        (0.95, [0.80, 0.80], "INCONCLUSIVE", False),
        (0.95, [0.95, 0.949], "PASS", True),
        (0.80, [0.95, 0.95], "FAIL", True),
    ],
)
def test_only_a_run_that_passes_beside_one_that_does_not_may_be_lucky(
    value: float, others: list[float], outcome: str, point: bool
) -> None:
    policy = {"gates": {"a": {**UP, "max_regression": 0.01}}}
    before = side("baseline", {"a": 0.95})
    result = one(judge(policy, side("candidate", {"a": value}), before, looks=3, reruns={"a": others}))
    assert (result.outcome, result.point) == (outcome, point)


def test_a_commit_that_is_compared_with_the_run_before_is_looked_at_once() -> None:
    gate = {**UP, "max_regression": 0.01}
    new, old = side("candidate", {"a": [0.80, 0.81, 0.82]}), side("baseline", {"a": [0.90, 0.91, 0.92]})
    outcomes = [
        judge({"seeds": {}, "gates": {"a": {**gate, "baseline": ref}}}, new, old, looks=30).outcome
        for ref in ("previous", "target")
    ]
    assert outcomes == ["FAIL", "INCONCLUSIVE"]
