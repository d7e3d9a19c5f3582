"""A gate holds its error rates over simulated pull requests, where the rule without statistics does not.

benchmarks/calibration.py has the designs, and makes the larger table of docs/statistics.md.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import mlflow_comparison
from benchmarks.calibration import (
    ALPHA,
    DESIGNS,
    NOISE,
    Design,
    at_the_edge,
    drift_rates,
    judge,
    policy_of,
    rates,
)
from benchmarks.families import FAMILIES, Family, fails
from ciplug.stats.distributions import binomial_sf, normal_sf

QUICK = (
    "one number beside 20 runs",
    "one number beside 20 runs, a trend of 0.3 points a run",
    "one number beside 20 runs, autocorrelation 0.95",
    "one number beside 20 runs, a jump of 20 points",
    "the best of 10 runs beside 20 runs",
    "3 seeds a side",
    "5 seeds a side, 2% allowed",
    "proportions of independent sets of 1,000, 5% allowed",
    "right or wrong, 20 examples, 1.0% differ",
    "right or wrong, 50 examples, 1.0% differ",
    "100 skewed numbers, few lose much",
    "100 skewed numbers, few gain much",
    "numbers in 60 clusters",
)
"""Designs that take a second or less."""


def most(n: int, p: float = ALPHA, tail: float = 0.001) -> float:
    """The share of n that a rate of p stays below, 999 times of 1,000."""
    return next(k for k in range(n) if binomial_sf(k, n, p) < tail) / n


def fewest(n: int, p: float) -> float:
    """The share of n that a rate of p stays above, 999 times of 1,000."""
    return 1 - most(n, 1 - p) if p else 0.0


@pytest.mark.parametrize("design", [d for d in DESIGNS if d.name in QUICK], ids=lambda design: design.name)
def test_neither_error_at_the_allowance_exceeds_alpha(design: Design) -> None:
    pulls = 300
    assert max(at_the_edge(design, pulls)) <= most(pulls)


@pytest.mark.slow
@pytest.mark.parametrize("design", [d for d in DESIGNS if d.holds], ids=lambda design: design.name)
def test_both_errors_and_the_power_of_each_design(design: Design) -> None:
    pulls = 140
    found = rates(design, pulls)
    assert max(found.false_fails, found.false_passes) <= most(pulls)
    assert found.found >= fewest(pulls, design.power) and found.passed >= fewest(pulls, design.passes)


def test_the_designs_are_all_there() -> None:
    assert len({design.name for design in DESIGNS}) == len(DESIGNS)
    assert {design.name for design in DESIGNS} >= set(QUICK)


@pytest.mark.slow
def test_one_number_a_run_errs_as_often_as_its_noise_says_and_this_is_said() -> None:
    """An unchanged candidate fails, and a loss of 2R passes, in 19% of cases: the verdict has this figure."""
    design = DESIGNS[0]
    expected = normal_sf(0.01 / (NOISE * math.sqrt(2)))
    policy, draw = policy_of(design), np.random.default_rng(3)
    outcomes = [
        [judge(policy, design.metric, design.draw(draw, loss)).outcome for _ in range(2000)] for loss in (0, 0.02)
    ]
    assert outcomes[0].count("FAIL") / 2000 == pytest.approx(expected, abs=0.03)
    assert outcomes[1].count("PASS") / 2000 == pytest.approx(expected, abs=0.03)
    pull = DESIGNS[1].draw(draw, 0.0)
    (result,) = judge(policy, design.metric, pull).gates
    assert result.point and result.notes[0].startswith("over the last 20 runs, one number differed from the next by ")


@pytest.mark.parametrize("pulls", [100, pytest.param(300, marks=pytest.mark.slow)])
def test_running_again_until_it_is_green_passes_at_the_limit_in_at_most_alpha(pulls: int) -> None:
    """Each new run of the commit is judged, all runs before it being known, until one passes: at most ten."""
    design, loss = DESIGNS[1], 0.01
    policy, draw = policy_of(design), np.random.default_rng(4)
    outcomes = []
    for _ in range(pulls):
        first = design.draw(draw, loss)
        assert isinstance(first.candidate, float)
        values = [first.candidate, *(draw.normal(0.9, NOISE, 9) - loss).tolist()]
        of_pull = []
        for k in range(1, 11):
            pull = replace(first, candidate=values[k - 1], reruns=values[: k - 1])
            of_pull.append(judge(policy, design.metric, pull).outcome)
            if of_pull[-1] == "PASS":
                break
        outcomes.append(of_pull)
    assert sum("PASS" in one for one in outcomes) / pulls <= most(pulls)
    assert sum("FAIL" in one for one in outcomes) / pulls <= most(pulls)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scorers", "trials"), [("ten_scorers", 10, 1), ("five_trials", 1, 5)])
def test_evaluations_that_are_alike_keep_to_alpha_and_a_loss_is_found(name: str, scorers: int, trials: int) -> None:
    """The two sets on which MLflow's comparison is measured."""
    draw, pulls = np.random.default_rng(9), 60
    decides = mlflow_comparison.of_ciplug([f"s{number}" for number in range(scorers)], trials)
    draw_sides = getattr(mlflow_comparison, name)
    for loss, least, highest in ((0.0, 0.0, most(pulls)), (0.4 if scorers > 1 else 0.12, 0.85, 1.0)):
        found = [decides(draw_sides(draw, loss)) for _ in range(pulls)]
        for correction in found[0]:
            assert least <= sum(one[correction] for one in found) / pulls <= highest


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_many_tests_together_keep_to_alpha(family: Family) -> None:
    """Each test alone errs at most as often as alpha says, so tests that go together err little more often."""
    found = fails(family, 100)
    assert max(found["holm"], found["max-t"]) <= most(100)
    assert found["holm"] <= found["max-t"] < found["none"]
    power = fails(family, 50, family.loss, seed=2)
    assert power["max-t"] >= power["holm"]


@pytest.mark.parametrize(
    ("pulls", "n", "m"),
    [(150, 100, 100), *(pytest.param(400, *sizes, marks=pytest.mark.slow) for sizes in [(100, 100), (2000, 300)])],
)
def test_drift_keeps_to_alpha(pulls: int, n: int, m: int) -> None:
    found = drift_rates(pulls, n, m)
    assert max(found["psi"], found["ks"], found["chi2"]) <= most(pulls)
    if n == 100:
        assert found["PSI > 0.1"] > 0.5
