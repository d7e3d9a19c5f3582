"""Cases of `ciplug policy test`: what is read, and what differs from the expected outcomes."""

from __future__ import annotations

from typing import Any

import pytest

from ciplug.errors import ConfigError
from ciplug.gates import cases
from tests.policies import policy_of

POLICY: dict[str, Any] = {
    "gates": {
        "accuracy": {"higher_is_better": True, "max_regression": 0.01},
        "size": {"max": 10.0, "severity": "warning"},
    }
}
PASSES = {"metrics": {"accuracy": 0.9, "size": 5}, "baseline": {"accuracy": 0.9, "size": 5}, "expect": "PASS"}


def differences(**case: Any) -> list[str]:
    return cases.differences(policy_of(POLICY), cases.read({**PASSES, **case}, "cases.yaml: case 1", 1))


def test_one_word_is_the_verdict_and_a_mapping_has_gates() -> None:
    assert differences() == []
    assert differences(expect={"verdict": "PASS", "accuracy": "PASS", "size": "PASS"}) == []
    assert differences(metrics={"accuracy": 0.8, "size": 50}, expect={"accuracy": "FAIL", "size": "WARN"}) == []


def test_a_difference_names_both_outcomes_and_the_reason() -> None:
    (verdict,) = differences(metrics={"accuracy": 0.8, "size": 5})
    assert verdict.startswith("verdict: PASS is expected, but it is FAIL: ")
    (gate,) = differences(metrics={"accuracy": 0.8, "size": 5}, expect={"accuracy": "WARN"})
    assert gate.startswith("accuracy: WARN is expected, but it is FAIL: ")


def test_the_reason_is_that_of_the_gate_which_differs() -> None:
    (size,) = differences(metrics={"accuracy": 0.8, "size": 50}, expect={"size": "PASS"})
    assert size.startswith("size: PASS is expected, but it is WARN: 50 is above 10")
    (verdict,) = differences(metrics={"accuracy": 0.9, "size": 50}, expect={"verdict": "PASS"})
    assert verdict.startswith("verdict: PASS is expected, but it is WARN: 50 is above 10")


def test_a_gate_that_a_case_cannot_judge() -> None:
    gates = {**POLICY["gates"], "rows": {"kind": "drift", "reference": "ref.csv"}}
    case = cases.read({**PASSES, "expect": {"rows": "PASS"}}, "cases.yaml: case 1", 1)
    assert cases.differences(policy_of({"gates": gates}), case) == ["rows: PASS is expected, but it is not judged"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"metric": {"a": 1}}, "metric: unknown key"),
        ({"metrics": None}, "metrics: the numbers of the candidate are missing"),
        ({"metrics": {"accuracy": True}}, "metrics.accuracy: a number, or one for each seed"),
        ({"metrics": {"accuracy": []}}, "metrics.accuracy: a number, or one for each seed"),
        ({"baselines": []}, None),
        ({"baselines": [1]}, "baselines: a mapping of gates is expected"),
        ({"expect": "GREEN"}, "expect: one of "),
        ({"expect": {}}, "expect: one of "),
        ({"expect": {"speed": "PASS"}}, "there is no gate 'speed'"),
        ({"stage": "moon"}, "stage: the policy has no rules for stage 'moon'"),
        ({"today": "soon"}, "today: a day like"),
        ({"name": 3}, "name: text is expected"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(case: dict[str, Any], words: str | None) -> None:
    if words is None:
        assert differences(**case) == []
        return
    with pytest.raises(ConfigError) as error:
        differences(**case)
    assert str(error.value).startswith(f"cases.yaml: case 1: {words}")
