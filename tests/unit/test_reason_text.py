"""The sentences of verdicts, made from facts: what a person reads, to the letter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from ciplug.config.gate import ResolvedGate
from ciplug.errors import counted
from ciplug.gates import drift_gate, reason_text, slices
from ciplug.gates.checks import Check, RuleKey, Traded, limit_of, rule_of, settled, tolerance
from ciplug.gates.number_text import exact, p_value, percent, shown, signed
from ciplug.records.verdict import GateResult, Outcome
from ciplug.stats.drift_tests import ColumnDrift, DataDrift, Drift, DriftTest, share
from ciplug.stats.intervals import Decision, Interval, Rule, Undecided, Unit
from tests.policies import data_of, policy_of


def result(**facts: Any) -> GateResult:
    return GateResult(**{"gate": "a", "metric": "a", "rule": "", "outcome": "ERROR", "reason": "", **facts})


def gate(**keys: Any) -> ResolvedGate:
    return policy_of({"gates": {"a": {"higher_is_better": True, "max_regression": 0.1, **keys}}}).resolved("a")


@pytest.mark.parametrize(
    ("value", "beside", "text"),
    [
        (0.1 + 0.2, (), "0.3"),
        (1234567.0, (), "1234567"),
        (123456.7, (), "123457"),
        (1e16, (), "1e+16"),
        (0.85, (math.nextafter(0.85, 0),), "0.85"),
        (0.8500001, (0.85,), "0.8500001"),
        (math.nan, (), "nan"),
        (math.inf, (), "inf"),
    ],
)
def test_shown(value: float, beside: tuple[float, ...], text: str) -> None:
    assert shown(value, *beside) == text


def test_numbers_in_words() -> None:
    assert [exact(v) for v in (0.1 + 0.2, 1e-3, 100.0)] == ["0.3", "0.001", "100"]
    assert [signed(v) for v in (0.0123456, -0.5, math.inf, -math.inf)] == ["+0.0123", "−0.5", "inf", "-inf"]
    assert [counted(n, "run") for n in (0, 1, 1200)] == ["0 runs", "1 run", "1,200 runs"]


@pytest.mark.parametrize(
    ("up", "candidate", "slice", "text"),
    [
        (True, 0.9, None, "0.9 is 0.1 better than the baseline's 0.8"),
        (True, 0.7, None, "0.7 is 0.1 worse than the baseline's 0.8, allowed 0.05"),
        (False, 0.9, None, "0.9 is 0.1 worse than the baseline's 0.8, allowed 0.05"),
        (False, 0.7, "country = fr", "country = fr: 0.7 is 0.1 better than the baseline's 0.8"),
        (True, 0.8 + 1e-12, "country = fr", "country = fr: unchanged at 0.8"),
    ],
)
def test_comparison(up: bool, candidate: float, slice: str | None, text: str) -> None:
    facts = result(candidate=candidate, baseline=0.8, limit=0.05, slice=slice)
    rule = Rule(higher_is_better=up, allowed=0.05, tolerance=1e-9)
    assert reason_text.comparison(facts, rule, facts.limit) == text
    assert reason_text.point(text) == f"{text} (one number per run: no uncertainty)"


def interval(
    low: float, high: float, *, up: bool = True, unit: Unit = "example", notes: tuple[str, ...] = ()
) -> Interval:
    return Interval(
        estimate=(low + high) / 2,
        low=low,
        high=high,
        p=0.01,
        method="a test",
        n=100,
        unit=unit,
        rule=Rule(higher_is_better=up, allowed=0.1),
        notes=notes,
    )


def decided(of: Interval, *, adjusted_p: float | None = None, **keys: Any) -> GateResult:
    up = of.rule.higher_is_better
    facts = result(candidate=0.5, baseline=0.8, limit=0.1, advice="look", notes=("first",))
    return settled(Check(gate=gate(higher_is_better=up, **keys), result=facts, interval=of), adjusted_p)


def test_a_fail_by_an_interval() -> None:
    failed = decided(interval(-0.4, -0.2, notes=("second",)))
    assert failed == result(
        candidate=0.5,
        baseline=0.8,
        limit=0.1,
        outcome="FAIL",
        advice="look",
        reason="0.5 is 0.3 worse than the baseline's 0.8, allowed 0.1; 90% interval of the change −0.4 to −0.2: "
        "more than is allowed, and more than noise",
        method="a test",
        confidence=0.9,
        low=-0.4,
        high=-0.2,
        p=0.01,
        n=100,
        notes=("first", "second"),
    )
    assert decided(interval(-0.4, -0.2), severity="warning").outcome == "WARN"


def test_the_interval_of_the_change_where_lower_is_better() -> None:
    passed = decided(interval(-0.05, 0.2, up=False))
    assert (passed.outcome, passed.low, passed.high, passed.advice) == ("PASS", -0.2, 0.05, None)
    assert passed.reason.endswith("90% interval of the change −0.2 to +0.05: no more than is allowed")


def test_an_undecided_interval_says_what_would_settle_it() -> None:
    undecided = decided(interval(-0.35, -0.05, unit="cluster"))
    assert undecided.outcome == "INCONCLUSIVE" and undecided.reason.endswith(": the data do not decide")
    assert (undecided.advice or "").endswith(" more clusters of examples would decide")
    assert decided(interval(-0.35, -0.05), on_inconclusive="fail").outcome == "FAIL"
    chance = decided(interval(-0.4, -0.2), adjusted_p=0.5)
    assert (chance.outcome, chance.p) == ("INCONCLUSIVE", 0.5)
    assert (chance.advice or "").startswith(
        "this test fails on its own, but with several tests in one run that may be chance"
    )
    just = decided(interval(-0.3, 0.1))
    assert (just.advice or "").startswith(
        "the change is too close to the limit for any amount of data: these data show only a loss of 0.4"
    )
    history = decided(interval(-0.35, -0.05, unit="run"))
    assert (history.advice or "").startswith("more history cannot decide it")


def test_an_interval_is_shown_with_the_digits_that_tell_it_from_the_allowance() -> None:
    """−0.1000004 is beyond an allowance of 0.1, and its interval must not read as if it ended there."""
    near = decided(interval(-0.1000004, 0.05))
    assert "90% interval of the change −0.1000004 to +0.05: the data do not decide" in near.reason
    sharp = replace(interval(-0.4, -0.2), rule=Rule(higher_is_better=True, allowed=0.1, alpha=0.001))
    assert "; 99.8% interval of the change" in decided(sharp).reason
    rounded = result(candidate=0.89, baseline=0.9, limit=0.01)
    rule = Rule(higher_is_better=True, allowed=0.01, tolerance=1e-9)
    assert (
        reason_text.comparison(rounded, rule, rounded.limit)
        == "0.89 is 0.01 worse than the baseline's 0.9, allowed 0.01"
    )
    assert [p_value(p) for p in (0.0, 1e-16, 0.0123, 0.5)] == ["< 1e-15", "< 1e-15", "0.012", "0.5"]
    assert [percent(p) for p in (0.0, 0.0123, 0.267)] == ["less than 0.1%", "1.2%", "27%"]


@pytest.mark.parametrize(
    ("unit", "words"),
    [("example", "examples"), ("cluster", "clusters of examples"), ("rare example", "examples of the rarest class")],
)
def test_the_unit_of_what_is_missing(unit: Unit, words: str) -> None:
    assert reason_text.settled_by(unit, 1200, 0.1) == f"about 1,200 more {words} would decide"


def test_allowances() -> None:
    allowed = gate(max_regression={"abs": 2, "rel": "10%"}).max_regression
    assert allowed is not None
    assert [limit_of(allowed, value) for value in (0.0, 10.0, -50.0, 1e308 * 10)] == [
        2,
        2,
        5,
        pytest.approx(1.797e308, rel=1e-3),
    ]
    relative = gate(max_regression="10%").max_regression
    assert relative is not None and limit_of(relative, 0.0) is None and limit_of(relative, -30.0) == 3
    assert tolerance(gate(atol=0.5), 3.0, -4.0) == 0.5 + 4e-9
    assert tolerance(gate()) == 0


# --- Drift ---------------------------------------------------------------------------------------------------------


def column(effect: float, p: float, test: DriftTest = "psi", new: tuple[str, ...] = ()) -> Drift:
    shares = None if test in ("psi", "ks", "chi2") else (0.0, effect)
    return Drift(test=test, statistic=effect, p=p, effect=effect, shares=shares, new=new)


def drift(columns: Any, **keys: Any) -> GateResult:
    policy = {"gates": {"data": {"kind": "drift", "reference": "train.csv", "current": "now.csv", **keys}}}
    (check,) = drift_gate.checks("data", policy_of(policy).resolved("data"), data_of(columns))
    assert check.rule is None
    return check.result


def test_a_drift_names_the_surest_first() -> None:
    columns = {
        f"c{i}": column(0.1 + i / 10, 1e-6, "chi2" if i else "ks", new=("x",) if i == 6 else ()) for i in range(7)
    }
    found = drift({**columns, "calm": column(0.01, 0.5)})
    assert found.outcome == "FAIL" and found.rule == "no drift from train.csv"
    first = "7 of 8 columns have drifted: c6 (Cramér's V 0.7, p 8e-06); c5 (Cramér's V 0.6, p 8e-06)"
    assert found.reason.startswith(first) and found.reason.endswith("c2 (Cramér's V 0.3, p 8e-06) and 2 more")
    assert found.method == "chi2 and ks and psi, Holm over 8 tests of 8 columns"
    assert found.notes == (
        "compared as numbers, as in the reference: c0, c1, c2, c3, c4 and 3 more",
        "c6 has values that the reference never had: 'x'",
    )
    assert found.advice == "look at where these columns come from, or train on newer data"
    assert drift(columns, severity="warning").outcome == "WARN"


def test_no_drift() -> None:
    calm = drift({"a": column(0.01, 0.5), "b": column(0.02, 0.04, "ks")})
    assert (calm.outcome, calm.advice) == ("PASS", None)
    assert calm.reason == "none of 2 columns has drifted; most has b (KS distance 0.02, p 0.08)"
    # 0.04 is below α; corrected over two columns it is not. The effect is above the floor.
    assert drift({"a": column(0.3, 0.04), "b": column(0.3, 0.5)}).outcome == "PASS"
    assert drift({"a": column(0.3, 0.04), "b": column(0.3, 0.5)}, alpha=0.1).outcome == "FAIL"
    assert drift({"a": column(0.3, 0.04)}).outcome == "FAIL"


@pytest.mark.parametrize(
    ("test", "default"), [("psi", 0.02), ("ks", 0.05), ("chi2", 0.05), ("missing", 0.01), ("new", 0.01)]
)
def test_the_smallest_drift_that_counts_is_set_by_the_policy(test: DriftTest, default: float) -> None:
    def outcome(effect: float, **keys: Any) -> str:
        return drift({"a": column(effect, 0.0, test)}, **keys).outcome

    assert (outcome(default), outcome(default * 0.99)) == ("FAIL", "PASS")
    assert (outcome(0.1, min_effect=0.1), outcome(0.0999, min_effect=0.1)) == ("FAIL", "PASS")
    key = test if test in ("psi", "ks", "chi2") else "share"
    assert (outcome(0.3, min_effect={key: 0.4}), outcome(0.001, min_effect={key: 0})) == ("PASS", "FAIL")


def test_columns_of_one_side_only_are_outcomes() -> None:
    policy = {"gates": {"data": {"kind": "drift", "reference": "train.csv", "current": "now.csv"}}}
    gate = policy_of(policy).resolved("data")
    same = ColumnDrift(kind="numbers", tests=(column(0.0, 1.0),))
    data = DataDrift(columns={"a": same}, gone=("b", "c"), added=("d",), ids=("id",))
    gone, added, rest = (check.result for check in drift_gate.checks("data", gate, data))
    assert (gone.outcome, gone.reason) == ("FAIL", "2 columns of the reference are gone: b, c")
    assert (added.outcome, added.reason) == ("WARN", "1 column that the reference does not have: d; not compared")
    assert (rest.outcome, rest.notes[1]) == (
        "PASS",
        "not compared, as nearly all values are different, like those of an id: id",
    )
    lenient = replace(gate, on_missing="warn")
    assert next(drift_gate.checks("data", lenient, data)).result.outcome == "WARN"


def test_shares_are_said_as_such() -> None:
    stray = replace(ColumnDrift(kind="numbers", tests=(share("not_numbers", (0, 100), (50, 100)),)), stray="N/A")
    policy = {"gates": {"data": {"kind": "drift", "reference": "train.csv", "current": "now.csv"}}}
    gate = policy_of(policy).resolved("data")
    (check,) = drift_gate.checks("data", gate, DataDrift(columns={"age": stray}))
    assert check.result.reason.startswith("1 of 1 column has drifted: age (not a number 0% → 50%, p ")
    assert check.result.notes[-1] == "age is a column of numbers, and has other values, like 'N/A'"


def test_drift_that_cannot_be_decided() -> None:
    some = {f"c{i}": Undecided("it is empty") for i in range(7)}
    undecided = drift({**some, "a": column(0.01, 0.5)})
    assert undecided.outcome == "INCONCLUSIVE"
    assert undecided.reason == "; ".join(f"c{i}: it is empty" for i in range(5))
    assert drift(some, on_inconclusive="fail").outcome == "FAIL"
    assert drift({}).reason == "no column is in both files"
    missing = drift(Undecided("now.csv: there is no such file"))
    assert (missing.outcome, missing.method) == ("FAIL", None)
    assert (missing.reason, missing.advice) == (
        "now.csv: there is no such file",
        "does the pipeline still write the file?",
    )
    assert drift(Undecided("x"), on_missing="warn").outcome == "WARN"
    assert drift({"a": column(0.5, 0.0), **some}).reason.startswith(
        "1 of 8 columns has drifted: a (PSI 0.5, p < 1e-15)"
    )


# --- Slices --------------------------------------------------------------------------------------------------------


def of_slice(name: str, rule: RuleKey, up: bool = True, **facts: Any) -> tuple[Check, GateResult]:
    found = result(slice=name, reason=name, **facts)
    return Check(gate=gate(higher_is_better=up), result=found, rule=rule), found


def test_the_worst_slices_come_first() -> None:
    """By the distance to the limit, in the direction of the rule; a slice without a value before all others."""
    judged = [
        of_slice("far above min", "min", outcome="FAIL", candidate=0.5, limit=0.7),
        of_slice("just below min", "min", outcome="FAIL", candidate=0.69, limit=0.7),
        of_slice("above max", "max", outcome="FAIL", candidate=0.4, limit=0.1),
        of_slice("lost", "max_regression", outcome="FAIL", candidate=0.4, change=-0.25, limit=0.1),
        of_slice("lower is better", "max_regression", False, outcome="FAIL", candidate=0.4, change=0.5, limit=0.1),
        of_slice("undefined", "min", outcome="FAIL", candidate=math.nan, limit=0.7),
        of_slice("error", "min", outcome="ERROR", candidate=0.9, limit=0.1),
    ]
    order = [found.slice for found in slices.shortened(judged)]
    assert order == [
        "error", "undefined", "lower is better", "above max", "far above min", "lost", "just below min",
    ]  # fmt: skip


def test_many_slices_are_shortened() -> None:
    passed = [
        of_slice(f"p{i}", "min", outcome="PASS", candidate=0.9 - i / 100, limit=0.5, notes=(f"n{i}",)) for i in range(3)
    ]
    failed = [of_slice(f"f{i:02}", "min", outcome="FAIL", candidate=i / 100, limit=0.5) for i in range(12)]
    shown = list(slices.shortened([*passed, *failed]))
    assert [found.slice for found in shown] == [*(f"f{i:02}" for i in range(10)), "f10", "p2"]
    assert shown[10].reason == "2 more slices: fail, the worst is f10"
    assert shown[11].reason == "3 slices: pass, the worst is p2" and shown[11].notes == ("n2", "n1", "n0")
    assert [found.slice for found in slices.shortened(passed[:1])] == ["p0"]


def test_a_baseline_of_zero_is_a_number() -> None:
    facts = result(candidate=0.25, baseline=0.0, limit=0.0)
    assert (
        reason_text.comparison(facts, Rule(higher_is_better=True), facts.limit)
        == "0.25 is 0.25 better than the baseline's 0"
    )


@pytest.mark.parametrize(
    ("decision", "adjusted_p", "due"),
    [
        ("FAIL", None, "FAIL"),
        ("FAIL", 0.01, "FAIL"),
        ("FAIL", 0.5, "INCONCLUSIVE"),
        ("PASS", None, "PASS"),
        ("PASS", 0.5, "PASS"),
        ("INCONCLUSIVE", 0.01, "INCONCLUSIVE"),
    ],
)
def test_a_failed_trade_off_is_corrected_like_any_test(
    decision: Decision, adjusted_p: float | None, due: Outcome
) -> None:
    facts = result(candidate=0.5, baseline=0.8, limit=0.1)
    traded = Traded(decision=decision, p=0.01, clause="'b' has gained nothing")
    check = Check(gate=gate(), result=facts, interval=interval(-0.4, -0.2), traded=traded)
    assert settled(check, adjusted_p).outcome == due


@pytest.mark.parametrize(
    ("up", "reference", "scale"), [(True, 10.0, 0.9), (False, 10.0, 1.1), (True, -10.0, 1.1), (True, 0.0, 1.0)]
)
def test_a_percentage_scales_the_baseline(up: bool, reference: float, scale: float) -> None:
    relative = gate(higher_is_better=up, max_regression="10%")
    assert relative.max_regression is not None
    assert rule_of(relative, relative.max_regression, 1.0, reference).scale == pytest.approx(scale)
    both = gate(max_regression={"abs": 2, "rel": "10%"})
    assert both.max_regression is not None
    assert [rule_of(both, both.max_regression, limit, 10.0).scale for limit in (2.0, 3.0)] == [1.0, 0.9]


@pytest.mark.parametrize(
    ("least", "better", "words"),
    [
        ("20%", 0.25, "it is 50% better"),
        ("20%", -0.25, "it is 50% worse"),
        (0.2, 0.25, "it is 0.25 better"),
        (0.2, -0.25, "it is 0.25 worse"),
    ],
)
def test_a_gain_in_words(least: float | str, better: float, words: str) -> None:
    trade_off = gate(trade_off={"max_regression": 0.2, "gate": "b", "min_improvement": least}).trade_off
    assert trade_off is not None and reason_text.gained(trade_off, better, 0.5) == words


def test_a_stray_value_is_cut() -> None:
    assert reason_text.stray_value("age", "x" * 50).endswith(f"like '{'x' * 40}'")
