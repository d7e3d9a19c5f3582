"""Audits: the rule of a gate over runs whose truth is known."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from ciplug.gates.audit import GateAudit, Past, _lasted, audit, in_order
from tests.policies import policy_of

UP = {"higher_is_better": True, "max_regression": 0.01}


def audited(past: Past, **gate: Any) -> GateAudit:
    return audit("a", policy_of({"gates": {"a": gate or UP}}).resolved("a"), past)


def level(count: int, mean: float = 0.9, deviation: float = 0.008, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [draw.gauss(mean, deviation) for _ in range(count)]


def test_the_false_failures_of_a_model_that_nobody_changes() -> None:
    """σ = 0.8 points: a loss of one point is measured in 18.8% of cases."""
    found = audited(Past(branch=level(3000)))
    assert found.rate_low is not None and found.rate_high is not None and found.rate is not None
    assert found.rate_low < 0.188 < found.rate_high
    assert (found.runs, found.repeated, found.flips) == (3000, 0, 0)
    assert found.noise == pytest.approx(0.008, rel=0.05)
    assert found.sees == pytest.approx(0.01 + 0.8416 * 0.008 * 2**0.5, rel=0.05)
    assert found.proposed == pytest.approx(1.645 * 0.008 * 2**0.5, rel=0.08) and found.proposed > 0.017
    better = audited(Past(branch=level(3000)), higher_is_better=True, max_regression=found.proposed)
    assert better.rate is not None and better.rate <= 0.06


def test_runs_of_one_commit_are_nothing_but_noise() -> None:
    pairs = [level(2, seed=seed) for seed in range(2000)]
    found = audited(Past(again=pairs))
    assert found.rate_low is not None and found.rate_high is not None
    assert found.rate_low < 0.188 < found.rate_high
    assert found.noise == pytest.approx(0.008, rel=0.05)
    assert found.flips / found.repeated == pytest.approx(2 * 0.188, abs=0.03)
    assert (found.runs, found.catches) == (0, 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_loss_that_lasts_is_a_catch(sign: int) -> None:
    calm = [*level(30, 0.9, 0.001), *level(30, 0.85, 0.001, 2), *level(30, 0.9, 0.001, 3)]
    spike = [*calm[:10], 0.7, *calm[10:]]
    gate = {"higher_is_better": sign > 0, "max_regression": 0.02}
    found = audited(Past(branch=[sign * v for v in spike]), **gate)
    assert (found.catches, found.false_fails, found.open) == (1, 1, 0)
    fresh = audited(Past(branch=[sign * v for v in (*calm, 0.7)]), **gate)
    assert (fresh.catches, fresh.false_fails, fresh.open) == (1, 0, 1)


def test_bounds() -> None:
    low = [0.9] * 10 + [0.7] + [0.9] * 10 + [0.7] * 10
    found = audited(Past(branch=low, again=[[0.9, 0.9, 0.7], [0.7, 0.7, 0.7]]), min=0.8)
    assert (found.false_fails, found.open) == (2, 3)  # the one on the branch, and the third run of the first commit
    assert found.catches == 7
    assert (found.flips, found.repeated) == (1, 2)
    assert (found.allowance, found.sees, found.proposed) == (None, None, None)


def test_percentages_are_of_the_run_before() -> None:
    found = audited(
        Past(branch=[100.0, 109.0, 121.0, 121.0, 121.0, 121.0]), higher_is_better=False, max_regression="10%"
    )
    assert (found.catches, found.checks, found.allowance) == (1, 4, pytest.approx(12.1))


def test_few_runs_tell_little() -> None:
    for past in (Past(), Past(branch=[0.9]), Past(branch=[0.9, 0.91, 0.9])):
        found = audited(past)
        assert (found.noise, found.sees, found.proposed) == (None, None, None)
    assert audited(Past()).rate is None and audited(Past()).rate_low is None
    assert audited(Past(branch=[0.9] * 20)).proposed == 0
    rising = audited(Past(branch=[0.1 * number for number in range(12)]))
    assert (rising.noise, rising.proposed) == (0, None), "what is left of it is the rounding of floats"


def test_the_worst_gate_comes_first() -> None:
    calm, wild = audited(Past(branch=[0.9] * 20)), audited(Past(branch=level(100)))
    assert list(in_order([calm, wild])) == [wild, calm]


def test_an_audit_costs_what_its_runs_cost() -> None:
    """Ten times the runs take about ten times as long."""
    policy = policy_of({"gates": {f"m{i}": {**UP, "min": 0.5} for i in range(20)}})

    def seconds(runs: int) -> float:
        values = level(runs)
        pairs = [values[i : i + 2] for i in range(0, runs // 5, 2)]
        start = time.process_time()
        for name in policy.gates:
            audit(name, policy.resolved(name), Past(branch=values, again=pairs))
        return time.process_time() - start

    few = min(seconds(1_000) for _ in range(3))
    assert min(seconds(10_000) for _ in range(2)) < 25 * few


def test_what_was_before_a_loss_are_the_runs_before_the_two_that_were_compared() -> None:
    """The run before the loss was lucky: against the others nothing was lost."""
    lucky = [*level(20, 0.85, 0.001), 0.9, *level(20, 0.85, 0.001, 2)]
    found = audited(Past(branch=lucky), higher_is_better=True, max_regression=0.02)
    assert (found.catches, found.false_fails) == (0, 1)


def test_a_loss_of_which_less_than_half_stays_was_noise() -> None:
    partly = [*level(20, 0.9, 0.001), 0.8, *level(20, 0.87, 0.001, 2)]
    found = audited(Past(branch=partly), higher_is_better=True, max_regression=0.05)
    assert (found.catches, found.false_fails) == (0, 1)


def test_what_was_before_a_loss_are_as_many_runs_as_are_looked_at() -> None:
    gate = policy_of({"gates": {"m": {**UP, "max_regression": 0.05}}}).resolved("m")
    values = [1.7, *[0.9] * 7, 0.9, 0.8, *[0.9] * 8]  # of the eight runs before the two, the first was far better
    assert _lasted(values, 9, gate, 0.001) is True
    assert _lasted([0.9, *values], 10, gate, 0.001) is True
    assert _lasted(values[1:], 8, gate, 0.001) is False
    recovered = [*[0.9] * 9, 0.8, *[0.85] * 7, 1.7]  # of the eight runs after it, the last was far better
    assert _lasted(recovered, 9, gate, 0.001) is False
    assert _lasted([*recovered[:-1], 0.85, 1.7], 9, gate, 0.001) is True
