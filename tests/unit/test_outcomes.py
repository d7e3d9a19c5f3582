"""The whole table of outcomes: severity × what was found × the policy's action, and what each outcome does."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, get_args

import pytest

from ciplug.config import parse
from ciplug.errors import ConfigError
from ciplug.gates.outcomes import OUTCOMES, Finding
from ciplug.records.verdict import EFFECTS, SEVERITY, Outcome
from ciplug.steps.judge import FailOn, exit_code
from tests.unit.test_gates import judge

UP = {"higher_is_better": True, "max_regression": 0.01}
CASES: dict[Finding, tuple[str, dict[str, Any], float | None, float | None]] = {
    # Finding → the key of its action, the gate, the candidate, the baseline.
    "holds": ("on_missing", UP, 0.9, 0.9),
    "fails": ("on_missing", UP, 0.1, 0.9),
    "undecided": ("on_inconclusive", {"higher_is_better": True, "max_regression": "1%"}, -0.8, 0.0),
    "missing": ("on_missing", UP, None, 0.9),
    "no_baseline": ("on_no_baseline", UP, 0.9, None),
    "invalid": ("on_missing", UP, float("nan"), 0.9),
}
TABLE: dict[tuple[str, str, str], Outcome] = {
    ("error", "holds", "fail"): "PASS",
    ("error", "holds", "warn"): "PASS",
    ("error", "fails", "fail"): "FAIL",
    ("error", "fails", "warn"): "FAIL",
    ("error", "undecided", "fail"): "FAIL",
    ("error", "undecided", "warn"): "INCONCLUSIVE",
    ("error", "missing", "fail"): "FAIL",
    ("error", "missing", "warn"): "WARN",
    ("error", "no_baseline", "fail"): "FAIL",
    ("error", "no_baseline", "warn"): "WARN",
    ("error", "invalid", "fail"): "ERROR",
    ("error", "invalid", "warn"): "ERROR",
    ("warning", "holds", "fail"): "PASS",
    ("warning", "holds", "warn"): "PASS",
    ("warning", "fails", "fail"): "WARN",
    ("warning", "fails", "warn"): "WARN",
    ("warning", "undecided", "fail"): "WARN",
    ("warning", "undecided", "warn"): "WARN",
    ("warning", "missing", "fail"): "WARN",
    ("warning", "missing", "warn"): "WARN",
    ("warning", "no_baseline", "fail"): "WARN",
    ("warning", "no_baseline", "warn"): "WARN",
    ("warning", "invalid", "fail"): "ERROR",
    ("warning", "invalid", "warn"): "ERROR",
}
USES: dict[Outcome, tuple[int, int, int, str, bool]] = {
    # Outcome → exit codes of --fail-on fail, warn and never, the status, whether it may be promoted.
    "PASS": (0, 0, 0, "success", True),
    "WARN": (0, 1, 0, "success", True),
    "INCONCLUSIVE": (0, 1, 0, "success", False),
    "FAIL": (1, 1, 0, "failure", False),
    "ERROR": (1, 1, 0, "failure", False),
}


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(itertools.product(("error", "warning"), get_args(Finding), ("fail", "warn")))
    assert set(USES) == set(EFFECTS) == set(get_args(Outcome))
    said = {(s, f, a): OUTCOMES[f][s][a] for f in OUTCOMES for s in OUTCOMES[f] for a in OUTCOMES[f][s]}  # type: ignore[index]
    assert said == TABLE


@pytest.mark.parametrize(("severity", "finding", "action"), list(TABLE))
def test_a_gate_ends_as_the_table_says(severity: str, finding: Finding, action: str) -> None:
    key, gate, candidate, baseline = CASES[finding]
    numbers = {"b": 1.0} if candidate is None else {"a": candidate, "b": 1.0}
    before = None if baseline is None else {"a": baseline}
    verdict = judge({"a": {**gate, "severity": severity}, "b": {"min": 0}}, numbers, before, **{key: action})
    due = TABLE[severity, finding, action]
    assert verdict.outcome == due
    fail, warn, never, status, promotes = USES[due]
    fail_on: tuple[FailOn, ...] = ("fail", "warn", "never")
    assert tuple(exit_code([verdict], one) for one in fail_on) == (fail, warn, never)
    assert (EFFECTS[due].status, verdict.passed) == (status, promotes)
    assert not replace(verdict, dry_run=True).passed


def test_worse_news_never_has_a_better_outcome() -> None:
    """Holds, undecided, fails, invalid: in this order, by every severity and action, and in every use."""
    news: tuple[Finding, ...] = ("holds", "undecided", "fails", "invalid")
    for severity, action in itertools.product(("error", "warning"), ("fail", "warn")):
        outcomes = [TABLE[severity, finding, action] for finding in news]
        for better, worse in itertools.pairwise(outcomes):
            assert SEVERITY[better] <= SEVERITY[worse]
            assert USES[better][4] >= USES[worse][4]  # whoever may promote the worse may promote the better
            assert USES[better][:3] <= USES[worse][:3]
    for finding in get_args(Finding):
        for action in ("fail", "warn"):
            assert SEVERITY[TABLE["warning", finding, action]] <= SEVERITY[TABLE["error", finding, action]]
        for severity in ("error", "warning"):
            assert SEVERITY[TABLE[severity, finding, "warn"]] <= SEVERITY[TABLE[severity, finding, "fail"]]


@pytest.mark.parametrize("key", ["on_missing", "on_no_baseline", "on_inconclusive"])
def test_a_warning_gate_that_is_to_fail_is_a_contradiction(key: str, tmp_path: Any) -> None:
    text = f"gates:\n  a:\n    severity: warning\n    higher_is_better: true\n    max_regression: 0\n    {key}: fail\n"
    with pytest.raises(ConfigError, match=f"ciplug.yaml:6: gates.a.{key}: a gate of severity warning never fails"):
        parse(text, tmp_path / "ciplug.yaml")
