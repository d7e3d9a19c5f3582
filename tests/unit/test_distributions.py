"""The distributions of the standard library's making, beside scipy's."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ciplug.stats import distributions as ours

degrees = st.floats(0.5, 1e6)
tails = st.floats(1e-9, 0.999)


@pytest.fixture(scope="module")
def stats() -> Any:
    from scipy import stats

    return stats


def close(value: float, oracle: float) -> bool:
    return math.isclose(value, oracle, rel_tol=1e-9, abs_tol=1e-200)


@settings(deadline=None)
@given(st.floats(-40, 40), degrees)
@example(0.0, 3.0)
@example(math.inf, 3.0)
@example(9.6, 212145.7)
def test_t(stats: Any, t: float, df: float) -> None:
    assert close(ours.t_sf(t, df), stats.t.sf(t, df))


@settings(deadline=None)
@given(tails, degrees)
@example(1e-6, 1.0)
def test_t_quantile(stats: Any, tail: float, df: float) -> None:
    oracle = stats.t.isf(tail, df)
    assert math.isclose(ours.t_isf(tail, df), oracle, rel_tol=1e-9, abs_tol=1e-9)


@settings(deadline=None)
@given(st.floats(0, 1e4), st.floats(0.5, 1e4))
def test_chi_square(stats: Any, x: float, df: float) -> None:
    oracle = stats.chi2.sf(x, df)
    assume(oracle > 1e-200)
    assert close(ours.chi2_sf(x, df), oracle)


@settings(deadline=None)
@given(st.floats(-10, 10), tails)
def test_normal(stats: Any, z: float, tail: float) -> None:
    assert close(ours.normal_sf(z), stats.norm.sf(z))
    assert math.isclose(ours.normal_isf(tail), stats.norm.isf(tail), rel_tol=1e-9, abs_tol=1e-12)


@settings(deadline=None)
@given(st.integers(0, 50_000), st.integers(1, 50_000), st.floats(0.001, 0.999))
def test_binomial(stats: Any, k: int, n: int, p: float) -> None:
    oracle = stats.binom.sf(k - 1, n, p)
    assume(oracle > 1e-200)
    assert close(ours.binomial_sf(k, n, p), oracle)


@settings(deadline=None)
@given(st.floats(1e-12, 1.0), st.floats(0.1, 1e5), st.floats(0.1, 1e5))
@example(0.0, 1.0, 1.0)
@example(1.0, 0.1, 1e5)
def test_beta(stats: Any, x: float, a: float, b: float) -> None:
    from scipy import special

    oracle = special.betainc(a, b, x)
    assume(oracle > 1e-200 or x == 0)
    assert close(ours.beta_cdf(x, a, b), oracle)


def test_root_of_functions_that_do_not_cross() -> None:
    assert ours.root(lambda x: x + 1, 0.0, 1.0) == 0.0
    assert ours.root(lambda x: x - 0.25, 0.0, 1.0) == pytest.approx(0.25, rel=1e-15)


def test_at_least_nothing_is_certain() -> None:
    assert ours.binomial_sf(0, 5, 0.3) == ours.binomial_sf(-1, 5, 0.3) == 1


@pytest.mark.parametrize(("a", "b"), [(16.5, 17.0), (20.0, 18.0), (40.0, 31.0)])
def test_beta_has_all_digits_where_stirling_begins(a: float, b: float) -> None:
    from scipy import special

    assert math.isclose(ours.beta_cdf(0.45, a, b), special.betainc(a, b, 0.45), rel_tol=2e-12)
