"""A gate holds its error rate over simulated pull requests, where the rule without statistics does not.

benchmarks/calibration.py has the designs, and makes the larger table of docs/statistics.md.
"""

from __future__ import annotations

import math

import pytest

from benchmarks.calibration import ALPHA, QUICK, SLOW, Design, drift_rates, rates
from ciplug.stats import scores
from ciplug.stats.distributions import binomial_sf

PULLS = 2000
FEW_PULLS = 500


def binomial_range(n: int, p: float, tail: float = 0.005) -> tuple[float, float]:
    """Shares of n that a rate of p stays within, 99 times of 100."""
    low = next(k for k in range(n) if 1 - binomial_sf(k + 1, n, p) > tail)
    high = next(k for k in range(n, 0, -1) if binomial_sf(k, n, p) > tail)
    return low / n, high / n


@pytest.mark.parametrize("pulls", [FEW_PULLS, pytest.param(PULLS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("design", QUICK, ids=lambda design: design.name)
def test_false_fails_keep_to_alpha(design: Design, pulls: int) -> None:
    holds(design, pulls)


@pytest.mark.slow
@pytest.mark.parametrize("design", SLOW, ids=lambda design: design.name)
def test_false_fails_keep_to_alpha_slow(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer resamples for each of the pull requests, which widens nothing on average."""
    monkeypatch.setattr(scores, "CELL_RESAMPLES", 1000)
    monkeypatch.setattr(scores, "ROW_RESAMPLES", 500)
    holds(design, PULLS)


def holds(design: Design, pulls: int) -> None:
    found = rates(design, pulls)
    low, high = binomial_range(pulls, ALPHA)
    assert found.false_fails <= high
    assert found.unchanged_fails <= high
    if design.nominal:
        assert found.false_fails >= low
    assert found.found >= binomial_range(pulls, design.power)[0]
    assert found.passes_at_regression <= high


def test_the_naive_rule_fails_a_quarter() -> None:
    """Δ < −1 point on two independent sets of 1,000 at 0.85: by the normal, 1 − Φ(1.05 / 1.6)."""
    naive = rates(QUICK[0], 20_000).naive
    assert math.isclose(naive, 0.255, abs_tol=0.01)


@pytest.mark.slow
def test_mcnemar_attains_what_exactness_leaves() -> None:
    """The size of an exact test is known: the sum over the numbers of disagreements."""
    from scipy import stats

    size = 0.0
    for apart in range(1001):
        most = stats.binom.isf(ALPHA, apart, 0.5)  # the fewest losses k with P(X > k) ≤ α
        size += stats.binom.pmf(apart, 1000, 0.1) * stats.binom.sf(most, apart, 0.5)
    design = next(d for d in QUICK if "McNemar" in d.name)
    low, high = binomial_range(PULLS, size)
    assert size < ALPHA
    assert low <= rates(design, PULLS).false_fails <= high


@pytest.mark.parametrize(("n", "m"), [(100, 100), pytest.param(2000, 300, marks=pytest.mark.slow)])
def test_drift_keeps_to_alpha(n: int, m: int) -> None:
    found = drift_rates(400, n, m)
    _, high = binomial_range(400, ALPHA)
    assert max(found["psi"], found["ks"], found["chi2"]) <= high
    if n == 100:
        assert found["PSI > 0.1"] > 0.5
