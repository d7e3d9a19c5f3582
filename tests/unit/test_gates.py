from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ciplug.errors import ConfigError
from ciplug.gates import reason_text
from ciplug.gates.evaluate import evaluate
from ciplug.gates.evidence import Evidence
from ciplug.records.comparison import Side
from ciplug.records.left_out import LeftOut
from ciplug.records.notice import Kind, Notice
from ciplug.records.run import Run, Status
from ciplug.records.verdict import SEVERITY, Outcome, PolicySource, Verdict, worst
from ciplug.steps.judge import exit_code
from tests.policies import policy_of

NAN, INF = math.nan, math.inf
UP = {"higher_is_better": True}
DOWN = {"higher_is_better": False}


def judge(
    gates: Mapping[str, Any],
    candidate: Mapping[str, float],
    baseline: Mapping[str, float] | None,
    *,
    status: Status = "finished",
    dry_run: bool = False,
    left_out: Sequence[LeftOut] = (),
    refused: Sequence[LeftOut] = (),
    newer: Sequence[Notice] = (),
    before: Side | None = None,
    **defaults: Any,
) -> Verdict:
    """The verdict on a run with these metrics; `baseline` None: there is no baseline run."""
    run = Run(
        id="c" * 32,
        model="m",
        commit="1a2b3c4d" * 5,
        status=status,
        started="",
        ended="",
        metrics=candidate,
    )
    before = before or Side(role="baseline", label="merge base", how="no run of 'm' on the merge base")
    if baseline is not None:
        before = replace(before, run="b" * 32, how="merge base with main", metrics=baseline)
    policy = policy_of({"gates": gates, "defaults": defaults})
    evidence = Evidence(
        candidate=Side(role="candidate", label="this commit", how="", run=run.id, metrics=candidate),
        baselines=dict.fromkeys(gates, before),
        left_out={one.name: (one,) for one in left_out},
        refused=refused,
        newer=newer,
    )
    return evaluate(policy, evidence, run, created="", policy_source=PolicySource(file="ciplug.yaml"), dry_run=dry_run)


def outcome(
    gate: Mapping[str, Any], candidate: float | None, baseline: float | str | None = "no run", **defaults: Any
) -> Outcome:
    """The outcome of one gate on the metric `a`; a baseline of None is a run without the metric."""
    before = None if isinstance(baseline, str) else {} if baseline is None else {"a": baseline}
    metrics = {"other": 1.0} if candidate is None else {"other": 1.0, "a": candidate}
    return judge({"a": gate}, metrics, {"a_too": 1.0, **before} if before else before, **defaults).outcome


OUTCOMES: list[tuple[str, Mapping[str, Any], float | None, float | str | None, Outcome]] = [
    ("min, above", {"min": 0.8}, 0.9, "no run", "PASS"),
    ("min, on it", {"min": 0.8}, 0.8, "no run", "PASS"),
    ("min, below by a hair", {"min": 0.8}, math.nextafter(0.8, 0), "no run", "FAIL"),
    ("max, below", {"max": 50}, 49.0, "no run", "PASS"),
    ("max, on it", {"max": 50}, 50.0, "no run", "PASS"),
    ("max, above", {"max": 50}, 50.1, "no run", "FAIL"),
    ("a band, inside", {"min": 1, "max": 2}, 1.5, "no run", "PASS"),
    ("a band, outside", {"min": 1, "max": 2}, 2.5, "no run", "FAIL"),
    ("severity warning", {"min": 0.8, "severity": "warning"}, 0.7, "no run", "WARN"),
    ("regression, better", {**UP, "max_regression": 0.01}, 0.9, 0.8, "PASS"),
    ("regression, within", {**UP, "max_regression": 0.01}, 0.795, 0.8, "PASS"),
    ("regression, exactly the allowance in floats", {**UP, "max_regression": 0.1}, 0.7, 0.8, "PASS"),
    ("regression, beyond", {**UP, "max_regression": 0.01}, 0.78, 0.8, "FAIL"),
    ("regression, lower is better", {**DOWN, "max_regression": 1}, 11.5, 10.0, "FAIL"),
    ("regression, lower is better, better", {**DOWN, "max_regression": 1}, 5.0, 10.0, "PASS"),
    ("regression, nothing allowed, equal", {**UP, "max_regression": 0}, 0.8, 0.8, "PASS"),
    ("regression, nothing allowed, worse", {**UP, "max_regression": 0}, 0.799, 0.8, "FAIL"),
    ("regression, warning", {**UP, "max_regression": 0.01, "severity": "warning"}, 0.7, 0.8, "WARN"),
    ("percent, within", {**DOWN, "max_regression": "10%"}, 109.0, 100.0, "PASS"),
    ("percent, beyond", {**DOWN, "max_regression": "10%"}, 111.0, 100.0, "FAIL"),
    ("percent of a negative baseline, within", {**UP, "max_regression": "10%"}, -109.0, -100.0, "PASS"),
    ("percent of a negative baseline, beyond", {**UP, "max_regression": "10%"}, -111.0, -100.0, "FAIL"),
    ("percent of 0, worse", {**DOWN, "max_regression": "10%"}, 1.0, 0.0, "INCONCLUSIVE"),
    ("percent of 0, better", {**DOWN, "max_regression": "10%"}, -1.0, 0.0, "PASS"),
    ("percent of 0, unchanged", {**DOWN, "max_regression": "10%"}, 0.0, 0.0, "PASS"),
    ("percent of -0", {**DOWN, "max_regression": "10%"}, 1.0, -0.0, "INCONCLUSIVE"),
    ("percent of 0 may fail", {**DOWN, "max_regression": "10%", "on_inconclusive": "fail"}, 1.0, 0.0, "FAIL"),
    ("abs decides at 0", {**DOWN, "max_regression": {"rel": "10%", "abs": 2}}, 1.0, 0.0, "PASS"),
    ("abs decides at 0, beyond", {**DOWN, "max_regression": {"rel": "10%", "abs": 2}}, 3.0, 0.0, "FAIL"),
    ("only abs exceeded", {**DOWN, "max_regression": {"rel": "10%", "abs": 2}}, 105.0, 100.0, "PASS"),
    ("only rel exceeded", {**DOWN, "max_regression": {"rel": "10%", "abs": 2}}, 11.5, 10.0, "PASS"),
    ("both exceeded", {**DOWN, "max_regression": {"rel": "10%", "abs": 2}}, 111.0, 100.0, "FAIL"),
    ("a tiny error, beyond", {**DOWN, "max_regression": "5%"}, 5.98e-09, 5.0172572763074186e-09, "FAIL"),
    ("a tiny error, 80 times as large", {**DOWN, "max_regression": "5%"}, 8e-10, 1e-11, "FAIL"),
    ("a tiny error, within", {**DOWN, "max_regression": "5%"}, 5.2e-09, 5.0e-09, "PASS"),
    ("a tiny error, abs beyond", {**DOWN, "max_regression": 1e-12}, 5.2e-09, 5.0e-09, "FAIL"),
    ("a tiny score, beyond", {**UP, "max_regression": "5%"}, 1e-11, 8e-10, "FAIL"),
    ("a tiny negative score, beyond", {**UP, "max_regression": "5%"}, -8e-10, -1e-11, "FAIL"),
    ("a tiny error that the user calls noise", {**DOWN, "max_regression": "5%", "atol": 1e-6}, 8e-10, 1e-11, "PASS"),
    ("a tiny error, nothing allowed", {**DOWN, "max_regression": 0}, 1.1e-300, 1e-300, "FAIL"),
    ("rounding alone, tiny", {**DOWN, "max_regression": 0}, (0.1 + 0.2) * 2.0**-100, 0.3 * 2.0**-100, "PASS"),
    ("rounding alone, huge", {**DOWN, "max_regression": 0}, (0.1 + 0.2) * 2.0**1000, 0.3 * 2.0**1000, "PASS"),
    ("denormals", {**DOWN, "max_regression": "5%"}, 1e-323, 5e-324, "FAIL"),
    ("huge, beyond", {**DOWN, "max_regression": "5%"}, 1.1e300, 1e300, "FAIL"),
    ("nothing allowed beside 0", {**DOWN, "max_regression": 0}, 5e-324, 0.0, "FAIL"),
    ("a tiny max", {"max": 5e-9}, 5.1e-9, "no run", "FAIL"),
    ("a tiny min", {"min": 5e-9}, 4.9e-9, "no run", "FAIL"),
    ("missing", {"min": 0.8}, None, 0.8, "FAIL"),
    ("missing, the baseline had it", {**UP, "max_regression": 1}, None, 0.8, "FAIL"),
    ("missing may warn", {"min": 0.8, "on_missing": "warn"}, None, 0.8, "WARN"),
    ("missing, severity warning", {"min": 0.8, "severity": "warning"}, None, 0.8, "WARN"),
    ("a loss that no float holds", {**UP, "max_regression": "150%"}, -1.7e308, 1.7e308, "FAIL"),
    ("first run", {**UP, "max_regression": 0.01}, 0.8, "no run", "WARN"),
    ("first run may fail", {**UP, "max_regression": 0.01, "on_no_baseline": "fail"}, 0.8, "no run", "FAIL"),
    ("first run, absolute rules decide", {**UP, "max_regression": 0.01, "min": 0.9}, 0.8, "no run", "FAIL"),
    ("the baseline lacks it", {**UP, "max_regression": 0.01}, 0.8, None, "WARN"),
    ("the baseline lacks it, may fail", {**UP, "max_regression": 0.01, "on_no_baseline": "fail"}, 0.8, None, "FAIL"),
    ("NaN", {"min": 0.8}, NAN, "no run", "ERROR"),
    ("inf is not above min", {"min": 0.8}, INF, "no run", "ERROR"),
    ("-inf is not below max", {"max": 0.8}, -INF, "no run", "ERROR"),
    ("NaN as a warning", {"min": 0.8, "severity": "warning"}, NAN, "no run", "ERROR"),
    ("NaN beside all that is lenient", {"min": 0, "severity": "warning", "on_missing": "warn"}, NAN, NAN, "ERROR"),
    ("a NaN baseline", {**UP, "max_regression": 0.01}, 0.8, NAN, "ERROR"),
    ("an infinite baseline", {**DOWN, "max_regression": 0.01}, 0.8, INF, "ERROR"),
    ("an infinite baseline, percent", {**UP, "max_regression": "10%", "severity": "warning"}, 0.8, -INF, "ERROR"),
    ("a NaN baseline that no rule looks at", {"min": 0.5}, 0.8, NAN, "PASS"),
]


@pytest.mark.parametrize(
    ("gate", "candidate", "baseline", "due"), [o[1:] for o in OUTCOMES], ids=[o[0] for o in OUTCOMES]
)
def test_outcomes(gate: Mapping[str, Any], candidate: float | None, baseline: float | str | None, due: Outcome) -> None:
    assert outcome(gate, candidate, baseline) == due


@pytest.mark.parametrize(
    ("key", "candidate", "baseline"),
    [("on_missing", None, 1.0), ("on_no_baseline", 1.0, "no run"), ("on_inconclusive", -1.0, 0.0)],
)
def test_an_action_of_the_gate_counts_more_than_the_default(
    key: str, candidate: float | None, baseline: float | str
) -> None:
    gate = {**UP, "max_regression": "10%"}
    lenient = "INCONCLUSIVE" if key == "on_inconclusive" else "WARN"
    for default, own, due in (
        ("fail", None, "FAIL"),
        ("warn", None, lenient),
        ("fail", "warn", lenient),
        ("warn", "fail", "FAIL"),
    ):
        assert outcome({**gate, **({key: own} if own else {})}, candidate, baseline, **{key: default}) == due


def test_the_worst_gate_counts_and_each_rule_has_a_line() -> None:
    verdict = judge(
        {"a": {**UP, "min": 0.5, "max_regression": 0.1}, "b": {"max": 1}, "c": {"min": 0}},
        {"a": 0.9, "b": 2.0, "c": NAN},
        {"a": 0.9},
    )
    assert [(g.gate, g.outcome) for g in verdict.gates] == [("a", "PASS"), ("a", "PASS"), ("b", "FAIL"), ("c", "ERROR")]
    assert verdict.outcome == "ERROR"
    with pytest.raises(ValueError, match="empty"):
        worst([])


def test_reasons_carry_the_numbers() -> None:
    (result,) = judge({"a": {**UP, "max_regression": "5%"}}, {"a": 0.7}, {"a": 0.8}).gates
    assert result.rule == "at most 5% worse than the baseline"
    assert "0.7 is 0.1 worse than the baseline's 0.8, allowed 0.04" in result.reason
    assert (result.candidate, result.baseline, result.baseline_run) == (0.7, 0.8, "b" * 32)
    assert (result.change, result.limit) == (pytest.approx(-0.1), pytest.approx(0.04))
    (result,) = judge({"a": {"min": 0.5}}, {"b": 0.7}, {"a": 0.8}).gates
    assert result.reason == "the run has no metric 'a'; the baseline had 0.8"
    (result,) = judge({"a": {**UP, "max_regression": 1}}, {"a": 0.7}, None).gates
    assert result.reason == "no baseline to compare with: no run of 'm' on the merge base"


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (LeftOut(name="a", why="null", file="m.json", line=3), "null in m.json:3"),
        (LeftOut(name="a", why="null", file="m.csv", found=""), "an empty cell in m.csv"),
        (LeftOut(name="a", why="text", found="good"), "the text 'good'"),
        (LeftOut(name="a", why="list", file="m.json"), "a list without numbers in m.json"),
        (LeftOut(name="a", why="twice", file="m.json"), "several values in m.json"),
        (LeftOut(name="a", why="files", file="m.json", found="n.json"), "different values in n.json and m.json"),
    ],
)
def test_what_stands_in_the_place_of_a_number_is_an_error_whatever_the_policy_allows(one: LeftOut, words: str) -> None:
    for action in ("fail", "warn"):
        verdict = judge(
            {"a": {"min": 0.5, "on_missing": action, "severity": "warning"}}, {"b": 1}, None, left_out=[one]
        )
        (result,) = verdict.gates
        assert (result.outcome, result.reason) == ("ERROR", f"the run has no metric 'a', but {words}")
        assert result.advice == "have the training write a number"
    (result,) = judge({"a": {"min": 0.5}}, {"b": 0.7}, {"a": 0.8}, left_out=[one]).gates
    assert result.reason == f"the run has no metric 'a', but {words}; the baseline had 0.8"
    assert judge({"a": {"min": 0.5}}, {"a": 0.7}, None, left_out=[one]).outcome == "PASS"


def test_a_number_just_beyond_a_bound_is_not_said_to_equal_it() -> None:
    value = math.nextafter(0.85, 0)
    (result,) = judge({"a": {"min": 0.85}}, {"a": value}, None).gates
    assert (result.outcome, result.reason) == (
        "FAIL",
        f"{value!r} is below 0.85 (one number per run: no uncertainty)",
    )


@pytest.mark.parametrize("status", ["failed", "killed"])
def test_a_training_that_did_not_finish_decides_nothing(status: Status) -> None:
    verdict = judge({"a": {"min": 0.5}}, {"a": 0.9}, {"a": 0.9}, status=status)
    assert (verdict.outcome, verdict.passed) == ("ERROR", False)
    ended = {"failed": "the run failed", "killed": "the run was killed"}[status]
    assert ended in verdict.gates[0].reason
    assert judge({"a": {"min": 0.5, "on_missing": "warn"}}, {}, None, status=status).outcome == "ERROR"


def test_gates_that_match_nothing_are_a_mistake() -> None:
    with pytest.raises(
        ConfigError, match="no gate matches a metric: gates look at 'acuracy', the run has 'accuracy'"
    ) as none:
        judge({"acuracy": {"min": 0.5, "on_missing": "warn"}}, {"accuracy": 0.9}, {"accuracy": 0.9})
    assert none.value.hint == "name the metric in the gate: 'metric: NAME'"
    with pytest.raises(ConfigError, match="there is no gate"):
        judge({}, {"accuracy": 0.9}, None)
    assert judge({"accuracy": {"min": 0.5}}, {"other": 1.0}, {"accuracy": 0.9}).outcome == "FAIL"
    assert judge({"accuracy": {"min": 0.5}}, {}, None).outcome == "FAIL"


def test_a_run_without_any_metric_does_not_pass_however_lenient_its_gates_are() -> None:
    for baseline in (None, {"accuracy": 0.9}):
        verdict = judge({"accuracy": {"min": 0.5, "on_missing": "warn", "severity": "warning"}}, {}, baseline)
        assert verdict.outcome == "FAIL"
        assert verdict.gates[0].reason == "the run has no metric at all: there is nothing to judge"


def test_a_dry_run_has_the_same_verdict_and_allows_nothing() -> None:
    wet, dry = (judge({"a": {"min": 0.5}}, {"a": 0.9}, None, dry_run=dry) for dry in (False, True))
    assert replace(dry, dry_run=False) == wet
    assert (wet.passed, dry.passed) == (True, False)


@pytest.mark.parametrize(
    ("due", "passed", "fail", "warn"),
    [
        ("PASS", True, 0, 0),
        ("WARN", True, 0, 1),
        ("INCONCLUSIVE", False, 0, 1),
        ("FAIL", False, 1, 1),
        ("ERROR", False, 1, 1),
    ],
)
def test_exit_codes_and_what_may_be_promoted(due: Outcome, passed: bool, fail: int, warn: int) -> None:
    verdict = replace(judge({"a": {"min": 0}}, {"a": 1.0}, None), outcome=due)
    assert verdict.passed == passed
    passing = replace(verdict, outcome="PASS")
    for verdicts in ([verdict], [passing, verdict, passing]):
        assert [exit_code(verdicts, "fail"), exit_code(verdicts, "warn"), exit_code(verdicts, "never")] == [
            fail,
            warn,
            0,
        ]


# Properties

NUMBER = st.floats(-1e9, 1e9) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-12])
ANYTHING = st.floats() | st.sampled_from([NAN, INF, -INF, 0.0, -0.0, 1e308, -1e308, 5e-324])
BROKEN = st.sampled_from([NAN, INF, -INF])
AMOUNT = st.floats(0, 1e9)
ALLOWANCE = st.fixed_dictionaries({"abs": AMOUNT}, optional={"rel": st.floats(0, 1)}) | st.fixed_dictionaries(
    {"rel": st.floats(0, 1)}
)
ACTIONS = {
    "severity": st.sampled_from(["error", "warning"]),
    "on_missing": st.sampled_from(["fail", "warn"]),
    "on_no_baseline": st.sampled_from(["fail", "warn"]),
    "on_inconclusive": st.sampled_from(["fail", "warn"]),
    "atol": AMOUNT,
}
GATE = st.one_of(
    st.fixed_dictionaries({"min": NUMBER}, optional=ACTIONS),
    st.fixed_dictionaries({"max": NUMBER}, optional=ACTIONS),
    st.fixed_dictionaries(
        {"higher_is_better": st.booleans(), "max_regression": ALLOWANCE}, optional={"min": NUMBER, **ACTIONS}
    ),
)
BASELINE = st.none() | st.just("no run") | ANYTHING


@given(GATE, BROKEN, BASELINE, st.fixed_dictionaries({}, optional=ACTIONS))
def test_what_is_not_a_number_never_passes(
    gate: dict[str, Any], candidate: float, baseline: float | str | None, defaults: dict[str, Any]
) -> None:
    assert outcome(gate, candidate, baseline, **defaults) == "ERROR"


@given(GATE, ANYTHING, BROKEN, st.fixed_dictionaries({}, optional=ACTIONS))
def test_a_baseline_that_is_not_a_number_never_passes_a_rule_that_compares(
    gate: dict[str, Any], candidate: float, baseline: float, defaults: dict[str, Any]
) -> None:
    assume("max_regression" in gate)
    assert outcome(gate, candidate, baseline, **defaults) == "ERROR"


@given(GATE, st.none() | ANYTHING, BASELINE, st.fixed_dictionaries({}, optional=ACTIONS))
@example({**UP, "max_regression": {"rel": 1.0}}, -1.7e308, 1.7e308, {})
def test_a_pass_is_earned(
    gate: dict[str, Any], candidate: float | None, baseline: float | str | None, defaults: dict[str, Any]
) -> None:
    """Said over again from the words of the rule, in exact arithmetic."""
    try:
        verdict = judge(
            {"a": gate},
            {} if candidate is None else {"a": candidate},
            None if isinstance(baseline, str) else {} if baseline is None else {"a": baseline},
            **defaults,
        )
    except ConfigError:
        assert candidate is None
        return
    if verdict.outcome != "PASS":
        return
    assert candidate is not None
    c = Fraction(candidate)
    assert c >= Fraction(gate.get("min", candidate)) and c <= Fraction(gate.get("max", candidate))
    if "max_regression" in gate:
        assert isinstance(baseline, float)
        b = Fraction(baseline)
        worse = b - c if gate["higher_is_better"] else c - b
        parts = [
            Fraction(gate["max_regression"].get("abs", 0)),
            Fraction(gate["max_regression"].get("rel", 0)) * abs(b),
        ]
        atol = Fraction(gate.get("atol", defaults.get("atol", 0)))
        slack = 2 * Fraction(1e-9) * max(abs(c), abs(b)) + atol + Fraction(5e-324)
        assert worse <= max(parts) * (1 + Fraction(1e-9)) + slack


@given(GATE, NUMBER, NUMBER, st.none() | st.just("no run") | NUMBER)
def test_a_better_candidate_never_does_worse(
    gate: dict[str, Any], one: float, two: float, baseline: float | str | None
) -> None:
    higher = gate.get("higher_is_better", "min" in gate)
    if not higher and "min" in gate:
        gate = {**{k: v for k, v in gate.items() if k != "min"}, "max": gate["min"]}
    worse, better = sorted([one, two], reverse=not higher)
    assert SEVERITY[outcome(gate, better, baseline)] <= SEVERITY[outcome(gate, worse, baseline)]


@given(st.booleans(), ALLOWANCE, NUMBER, NUMBER)
def test_up_and_down_are_mirror_images(
    up: bool, allowance: dict[str, float], candidate: float, baseline: float
) -> None:
    one = outcome({"higher_is_better": up, "max_regression": allowance}, candidate, baseline)
    other = outcome({"higher_is_better": not up, "max_regression": allowance}, -candidate, -baseline)
    assert one == other


@given(st.booleans(), ALLOWANCE, NUMBER, NUMBER, st.integers(-20, 20))
def test_the_unit_of_a_metric_does_not_matter(
    up: bool, allowance: dict[str, float], candidate: float, baseline: float, power: int
) -> None:
    unit = 2.0**power
    assume(all(x == 0 or abs(x) > 1e-200 for x in (candidate, baseline, *allowance.values())))
    scaled = {k: v * unit if k == "abs" else v for k, v in allowance.items()}
    direction = {"higher_is_better": up}
    one = outcome({**direction, "max_regression": allowance, "atol": 1e-9}, candidate, baseline)
    other = outcome({**direction, "max_regression": scaled, "atol": 1e-9 * unit}, candidate * unit, baseline * unit)
    assert one == other


@given(st.booleans(), AMOUNT, st.floats(0, 1), NUMBER, NUMBER)
def test_two_allowances_fail_only_together(
    up: bool, abs_: float, rel: float, candidate: float, baseline: float
) -> None:
    def of(allowance: dict[str, float]) -> Outcome:
        return outcome({"higher_is_better": up, "max_regression": allowance}, candidate, baseline)

    both, singles = of({"abs": abs_, "rel": rel}), {of({"abs": abs_}), of({"rel": rel})}
    assert (both == "FAIL") == ("PASS" not in singles)
    assert both in ("PASS", "FAIL")


@pytest.mark.parametrize("stated, expected", [({}, "INCONCLUSIVE"), ({"on_inconclusive": "fail"}, "FAIL")])
def test_what_a_newer_ciplug_amended_passes_no_gate(stated: Mapping[str, Any], expected: Outcome) -> None:
    newer = Notice(kind=Kind.NEWER_AMENDMENT, run="c" * 32, schema=9)
    verdict = judge({"a": {"min": 0.8, **stated}}, {"a": 0.9}, None, newer=[newer])
    assert [(one.gate, one.outcome) for one in verdict.gates] == [("run", expected), ("a", "PASS")]
    assert verdict.outcome == expected and not verdict.passed


def absent(kind: Kind, **facts: Any) -> Side:
    return Side.absent("baseline", "merge base", Notice(kind=kind, of="baseline", **facts))


DEEPER = "check out with the whole history (fetch-depth: 0)"
UNSEEN = "the baseline could not be determined: this clone is shallow: ancestors beyond its depth are not seen"
FOUND = Side(role="baseline", label="merge base", how="merge base with main", run="b" * 32, metrics={"a": 0.9})
AGAIN = "record the baseline's commit again"
REASONS: list[tuple[str, Side, Mapping[str, Any], Outcome, str, str]] = [
    (
        "a baseline that does not exist",
        absent(Kind.NO_TAG, name="v1"),
        {"on_no_baseline": "warn"},
        "ERROR",
        "there is no tag 'v1'",
        "name another 'baseline:' in ciplug.yaml",
    ),
    ("a shallow clone", absent(Kind.SHALLOW), {}, "INCONCLUSIVE", UNSEEN, DEEPER),
    ("a shallow clone, strict", absent(Kind.SHALLOW), {"on_no_baseline": "fail"}, "FAIL", UNSEEN, DEEPER),
    ("a shallow clone, strict too", absent(Kind.SHALLOW), {"on_inconclusive": "fail"}, "FAIL", UNSEEN, DEEPER),
    (
        "a baseline without the metric",
        replace(FOUND, metrics={}),
        {},
        "WARN",
        "no baseline to compare with: the baseline has no metric 'a'",
        "the next run there that has it is the baseline",
    ),
    (
        "a baseline of NaN",
        replace(FOUND, metrics={"a": NAN}),
        {},
        "ERROR",
        "the baseline's 'a' is nan and cannot be compared",
        AGAIN,
    ),
    (
        "an old baseline",
        replace(FOUND, problem=Notice(kind=Kind.STALE, of="baseline", day="2026-01-01", max_age_days=7)),
        {},
        "INCONCLUSIVE",
        "the baseline is from 2026-01-01, and at most 7 days of age are allowed",
        AGAIN,
    ),
    (
        "an old baseline, strict",
        replace(FOUND, problem=Notice(kind=Kind.STALE, of="baseline", day="2026-01-01", max_age_days=7)),
        {"on_inconclusive": "fail"},
        "FAIL",
        "the baseline is from 2026-01-01, and at most 7 days of age are allowed",
        AGAIN,
    ),
    (
        "a percentage of 0",
        replace(FOUND, metrics={"a": 0.0}),
        {"max_regression": "5%", "higher_is_better": False},
        "INCONCLUSIVE",
        "a percentage of the baseline 0 is undefined",
        "add an absolute allowance: {rel: …, abs: …}",
    ),
    (
        "a test without its data",
        FOUND,
        {"test": "welch"},
        "INCONCLUSIVE",
        "0.85 is 0.05 worse than the baseline's 0.9, allowed 0.01; noise between seeds cannot be estimated: "
        "at least two seeds are needed on each side (candidate 1, baseline 1)",
        "record what is missing, and judge again",
    ),
    (
        "a loss",
        FOUND,
        {},
        "FAIL",
        "0.85 is 0.05 worse than the baseline's 0.9, allowed 0.01 (one number per run: no uncertainty)",
        "look at what changed beside it, or ask for a waiver of this commit",
    ),
]


@pytest.mark.parametrize(
    "side, stated, expected, reason, advice", [row[1:] for row in REASONS], ids=[r[0] for r in REASONS]
)
def test_why_a_comparison_ends_so_and_what_to_do(
    side: Side, stated: Mapping[str, Any], expected: Outcome, reason: str, advice: str
) -> None:
    gate = {**UP, "max_regression": 0.01, **stated}
    (found,) = judge({"a": gate}, {"a": 0.85}, None, before=side).gates
    assert (found.outcome, found.reason, found.advice) == (expected, reason, advice)


def test_the_allowed_loss_passes_and_a_waiver_of_it_is_known_by_its_rule() -> None:
    gate = {"a": {**UP, "max_regression": 0.25}}
    (found,) = judge(gate, {"a": 0.5}, {"a": 0.75}).gates
    assert (found.outcome, found.point, found.method, found.advice) == ("PASS", True, reason_text.POINT, None)
    assert (found.baseline, found.change, found.limit, found.baseline_label) == (0.75, -0.25, 0.25, "merge base")
