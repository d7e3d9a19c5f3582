"""Drift of data: beside scipy, and what is named instead of passed over."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from ciplug.stats.drift_tests import Drift, categorical, kolmogorov_sf, ks_distance, ks_sf, numeric
from ciplug.stats.intervals import Undecided
from ciplug.stats.sample import Sample

samples = st.lists(st.floats(-100, 100), min_size=1, max_size=60)


def of_numbers(reference: list[float], current: list[float], **options: Any) -> Drift | Undecided:
    return numeric(Sample(reference), Sample(current), **options)


def of_texts(reference: list[str | None], current: list[str | None]) -> Drift | Undecided:
    return categorical(Counter(reference), Counter(current))


def drift(result: Drift | Undecided) -> Drift:
    assert isinstance(result, Drift), result
    return result


@settings(deadline=None)
@given(samples, samples)
def test_ks_is_that_of_scipy(first: list[float], second: list[float]) -> None:
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            oracle = stats.ks_2samp(first, second, method="exact")
        except RuntimeWarning:  # scipy gives up its exact way where p is 1
            reject()
    distance = ks_distance(Sample(first), Sample(second))
    assert math.isclose(distance, oracle.statistic, abs_tol=1e-12)
    assert math.isclose(ks_sf(distance, len(first), len(second)), oracle.pvalue, abs_tol=1e-9)


@settings(deadline=None)
@given(st.floats(0, 5))
def test_kolmogorov_is_that_of_scipy(x: float) -> None:
    from scipy import special

    assert math.isclose(kolmogorov_sf(x), special.kolmogorov(x), rel_tol=1e-9, abs_tol=1e-15)


@settings(deadline=None)
@given(st.lists(st.integers(20, 500), min_size=2, max_size=6), st.lists(st.integers(20, 500), min_size=6, max_size=6))
def test_chi_square_is_that_of_scipy(here: list[int], now: list[int]) -> None:
    from scipy import stats

    table = [here, now[: len(here)]]
    first, second = ([str(i) for i, count in enumerate(row) for _ in range(count)] for row in table)
    ours = drift(categorical(Counter(first), Counter(second)))
    oracle = stats.chi2_contingency(table, correction=False)
    if len(ours.new) == 0 and min(map(sum, table)) > 0 and oracle.expected_freq.min() >= 5:
        assert math.isclose(ours.statistic, oracle.statistic, rel_tol=1e-9, abs_tol=1e-9)
        assert math.isclose(ours.p, oracle.pvalue, rel_tol=1e-9, abs_tol=1e-12)


def test_the_index() -> None:
    here = [float(i) for i in range(1000)]
    assert drift(of_numbers(here, here)).statistic == 0
    # Two halves instead of ten tenths: 0.5 in five bins of 0.1, each (0.2 − 0.1)·ln 2, and five empty ones.
    shifted = drift(of_numbers(here, [v % 500 for v in here]))
    empty = 5 * (0.1 - 0.0005) * math.log(0.1 / 0.0005)
    assert shifted.statistic == pytest.approx(5 * 0.1 * math.log(2) + empty)
    assert shifted.drifted(alpha=0.05, floor=0.1)


def test_what_is_real_but_small_is_no_drift() -> None:
    n = 200_000
    here = [float(i % 100) for i in range(n)]
    moved = drift(of_numbers(here, [v + 1 if i % 4 == 3 else v for i, v in enumerate(here)]))
    assert moved.p < 1e-6 and moved.effect < 0.1
    assert not moved.drifted(alpha=0.01, floor=0.1)
    assert moved.drifted(alpha=0.01, floor=0.0)
    assert not moved.drifted(alpha=0.01, floor=0.0, adjusted_p=0.5)


def test_missing_values_and_new_categories_are_said() -> None:
    nan = math.nan
    ours = drift(of_numbers([1.0, 2.0, 3.0, nan] * 50, [nan] * 150 + [1.0, 2.0] * 25))
    assert ours.missing == (0.25, 0.75)
    assert ours.p < 1e-6  # the missing values alone are a drift
    words = drift(of_texts(["a", "b"] * 50, ["a", "c", None, "b"] * 25))
    assert words.new == ("c",) and words.missing == (0, 0.25)
    assert words.p < 0.001


@pytest.mark.parametrize("test", ["psi", "ks"])
def test_an_empty_side_is_named(test: str) -> None:
    for here, now, side in (([], [1.0], "reference"), ([1.0], [], "current window")):
        result = of_numbers(here, now, test=test)
        assert isinstance(result, Undecided) and side in result.reason
    assert isinstance(of_texts([], ["a"]), Undecided) and isinstance(of_texts(["a"], []), Undecided)
    nothing = of_numbers([1.0], [math.nan], test="ks")
    assert isinstance(nothing, Undecided) and "no number" in nothing.reason


def test_odd_columns() -> None:
    inf = math.inf
    constant = drift(of_numbers([7.0] * 100, [7.0] * 100))
    assert (constant.statistic, constant.p) == (0, 1)
    assert drift(of_numbers([7.0] * 100, [8.0] * 50 + [7.0] * 50)).statistic == 0  # one bin: its edge is its only value
    assert drift(of_numbers([inf, -inf, 0.0] * 50, [inf, -inf, 0.0] * 50)).p == 1
    assert drift(of_numbers([math.nan] * 9, [math.nan] * 9)).p == 1
    assert drift(of_texts(["a"] * 9, ["a"] * 9)).p == 1
    broken = Drift(
        test="psi", statistic=math.nan, p=math.nan, effect=math.nan, reference_n=1, current_n=1, missing=(0, 0)
    )
    assert broken.drifted(alpha=0.05, floor=0.1)
