"""Drift of data: beside scipy, and what is named instead of passed over."""

from __future__ import annotations

import math
import random
import warnings
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from ciplug.config.gate import LeastEffect
from ciplug.stats.drift_tests import (
    Drift,
    _share_p,
    categorical,
    fisher,
    kolmogorov_sf,
    ks_distance,
    ks_sf,
    new_categories,
    numeric,
    share,
)
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


def test_what_is_real_but_small_is_not_drift() -> None:
    n = 200_000
    here = [float(i % 100) for i in range(n)]
    moved = drift(of_numbers(here, [v + 1 if i % 4 == 3 else v for i, v in enumerate(here)]))
    assert moved.p < 1e-6 and moved.effect < 0.1
    assert not moved.drifted(alpha=0.01, floor=0.1)
    assert moved.drifted(alpha=0.01, floor=0.0)
    assert not moved.drifted(alpha=0.01, floor=0.0, adjusted_p=0.5)


@pytest.mark.parametrize("test", ["psi", "ks"])
def test_an_empty_side_is_named(test: str) -> None:
    for here, now, side in (([], [1.0], "reference"), ([1.0], [], "current window"), ([1.0], [math.nan], "current")):
        result = of_numbers(here, now, test=test)
        assert isinstance(result, Undecided) and side in result.reason and "no number" in result.reason
    for texts in (([], ["a"]), (["a"], []), ([None], ["a"])):
        assert isinstance(of_texts(*texts), Undecided)


def test_few_numbers_are_for_the_test_of_kolmogorov_and_smirnov() -> None:
    few = of_numbers([1.0] * 50, [2.0] * 9)
    assert few == Undecided("the current window has 9 numbers, fewer than 10: use test: ks")
    assert drift(of_numbers([1.0] * 50, [2.0] * 9, test="ks")).p < 0.001
    assert drift(of_numbers([1.0] * 50, [2.0] * 10)).p < 0.001


def test_odd_columns() -> None:
    inf = math.inf
    constant = drift(of_numbers([7.0] * 100, [7.0] * 100))
    assert (constant.statistic, constant.p) == (0, 1)
    assert drift(of_numbers([inf, -inf, 0.0] * 50, [inf, -inf, 0.0] * 50)).p == 1
    assert drift(of_numbers([inf, -inf, 0.0] * 50, [inf] * 150)).p < 1e-9
    assert drift(of_texts(["a"] * 9, ["a"] * 9)).p == 1
    broken = Drift(test="psi", statistic=math.nan, p=math.nan, effect=math.nan)
    assert broken.drifted(alpha=0.05, floor=0.1)


@pytest.mark.parametrize("to", [8.0, 6.0, math.nextafter(7.0, 8)])
def test_a_constant_that_becomes_another_has_drifted(to: float) -> None:
    moved = drift(of_numbers([7.0] * 100, [to] * 50 + [7.0] * 50))
    assert moved.effect > 1 and moved.p < 1e-9
    assert drift(of_numbers([7.0] * 100, [to] * 100)).p < 1e-9


def test_a_column_that_is_mostly_zero_is_looked_at() -> None:
    values = [0.0] * 950 + [float(i) for i in range(1, 51)]
    fewer = drift(of_numbers(values, [0.0] * 600 + [float(i % 50 + 1) for i in range(400)]))
    assert fewer.effect > 0.5 and fewer.p < 1e-9
    # As many zeros, and the rest a hundred times as large.
    larger = drift(of_numbers(values, [v * 100 for v in values]))
    assert larger.effect > 0.05 and larger.p < 1e-6


def test_a_shift_of_a_fifth_of_a_deviation_is_found_in_ten_thousand_rows() -> None:
    draw = random.Random(3)
    here, now = ([draw.gauss(mean, 1) for _ in range(10_000)] for mean in (0.0, 0.2))
    for test, floor in (("psi", LeastEffect().psi), ("ks", LeastEffect().ks)):
        found = drift(of_numbers(here, now, test=test))
        assert found.drifted(alpha=0.001, floor=floor) and found.effect < 0.1
        same = drift(of_numbers(here, [draw.gauss(0, 1) for _ in range(10_000)], test=test))
        assert not same.drifted(alpha=0.05, floor=floor)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_fisher_is_that_of_scipy(n: int, m: int, data: Any) -> None:
    from scipy import stats

    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    table = [[a, n - a], [b, m - b]]
    assert math.isclose(fisher(a, n, b, m), stats.fisher_exact(table).pvalue, rel_tol=1e-6)
    assert math.isclose(fisher(a, n, b, m, more=True), stats.fisher_exact(table, "less").pvalue, rel_tol=1e-6)


def test_shares() -> None:
    from scipy import stats

    many = share("missing", (100, 1000), (150, 1000))
    assert many.p == near(stats.chi2_contingency([[100, 900], [150, 850]], correction=False).pvalue)
    assert (many.effect, many.shares) == (near(0.05), (0.1, 0.15))
    rare = share("missing", (0, 1000), (4, 1000))
    assert rare.p == pytest.approx(stats.fisher_exact([[0, 1000], [4, 996]]).pvalue)
    assert share("missing", (5, 5), (7, 7)).p == 1


def test_categories_that_are_all_replaced_have_drifted_however_rare_they_are() -> None:
    here = Counter(f"old{i % 400}" for i in range(1200))
    now = Counter(f"new{i % 400}" for i in range(1200))
    assert drift(categorical(here, now)).p == 1  # all are rare: nothing is left to compare
    new = new_categories(here, now)
    assert isinstance(new, Drift) and new.p < 1e-9 and new.shares == (0, 1)
    assert drift(new_categories(here, here)).p == 1
    ids = (Counter({f"{side}{i}": 1 for i in range(400)}) for side in "ab")
    assert isinstance(new_categories(*ids), Undecided)


def test_new_categories_know_the_noise_of_the_reference() -> None:
    """What is new is compared with what was alone, and its noise counts what occurred twice."""
    from scipy import stats

    here = Counter({"common": 900, **{f"alone{i}": 1 for i in range(40)}, **{f"twice{i}": 2 for i in range(30)}})
    now = Counter({"common": 930, **{f"new{i}": 1 for i in range(70)}})
    pooled = (40 + 70) / 2000
    spread = math.sqrt(pooled * (1 - pooled) / 1000 + (40 + 2 * 30) / 1000**2)
    assert drift(new_categories(here, now)).p == pytest.approx(stats.norm.sf(0.03 / spread))


def test_a_share_has_risen_or_fallen() -> None:
    rise, fall = (_share_p(a, 100, 100 - a, 100, more=True) for a in (40, 60))
    assert rise + fall == pytest.approx(1)
    assert rise == pytest.approx(_share_p(40, 100, 60, 100) / 2)


@pytest.mark.parametrize("size", [200, 1000])
def test_new_categories_without_drift_are_no_drift(size: int) -> None:
    """A Zipf distribution: both sides have categories that the other has not."""
    draw = random.Random(7)
    words, weights = range(2000), [1 / (i + 1) for i in range(2000)]
    alarms, simulated = 0, 300
    for _ in range(simulated):
        here, now = (Counter(map(str, draw.choices(words, weights, k=size))) for _ in range(2))
        found = new_categories(here, now)
        alarms += isinstance(found, Drift) and found.drifted(alpha=0.05, floor=0)
    assert alarms <= 0.08 * simulated


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-15)


def test_everything_that_ks_says_of_a_column() -> None:
    from scipy import stats

    here, now = [float(i) for i in range(40)], [float(i) + 9.5 for i in range(30)]
    oracle = stats.ks_2samp(here, now, method="exact")
    assert drift(of_numbers([*here, *[math.nan] * 10], [*now, *[math.nan] * 20], test="ks")) == Drift(
        test="ks",
        statistic=near(oracle.statistic),
        p=near(oracle.pvalue),
        effect=near(oracle.statistic),
    )


def test_ks_of_many_numbers_is_kolmogorovs_limit() -> None:
    from scipy import special

    n, m = 100, 101
    here, now = [float(i) for i in range(n)], [i + 20.5 for i in range(m)]
    found = drift(of_numbers(here, now, test="ks"))
    assert n * m > 10_000
    assert found.p == near(special.kolmogorov(found.statistic * math.sqrt(n * m / (n + m))))
    assert ks_sf(0.0, 3, 3) == 1


def test_everything_that_psi_says_of_a_column() -> None:
    """Two frequent values, each a bin of its own, and one beside them: by hand, and Pearson's statistic by scipy."""
    from scipy import stats

    here, now = [0.0] * 50 + [2.0] * 50, [0.0] * 20 + [2.0] * 60 + [9.0] * 20 + [math.nan] * 20
    counts = [(50, 20), (50, 60), (0, 20)]
    shares = [(a / 100, b / 100) for a, b in [(50, 20), (50, 60), (0.5, 20)]]
    index = sum((q - p) * math.log(q / p) for p, q in shares)
    pearson = stats.chi2_contingency([list(row) for row in zip(*counts, strict=True)], correction=False).statistic
    assert drift(of_numbers(here, now, bins=2)) == Drift(
        test="psi",
        statistic=near(index),
        p=near(stats.chi2.sf(min(index / (1 / 100 + 1 / 100), pearson), 2)),
        effect=near(index),
    )


def test_everything_that_chi_square_says_of_a_column() -> None:
    from scipy import stats

    here, now = {"a": 60, "b": 40}, {"a": 55, "b": 38, "c": 5, "d": 2, None: 10}
    # "c" is expected 2.5 times on either side, and counts as one with what is as rare.
    oracle = stats.chi2_contingency([[60, 40, 0], [55, 38, 7]], correction=False)
    assert drift(categorical(here, now)) == Drift(
        test="chi2",
        statistic=near(oracle.statistic),
        p=near(oracle.pvalue),
        effect=near(math.sqrt(oracle.statistic / 200)),
        new=("c", "d"),
    )


def test_a_category_that_is_expected_five_times_stands_alone() -> None:
    """Of n = m = 100, ten in all are five on either side; nine are rare."""
    from scipy import stats

    five = drift(categorical({"a": 90, "b": 10}, {"a": 90, "c": 10}))
    assert five.statistic == near(stats.chi2_contingency([[90, 10, 0], [90, 0, 10]], correction=False).statistic)
    fewer = drift(categorical({"a": 91, "b": 9}, {"a": 91, "c": 9}))
    assert fewer.statistic == 0


def test_rare_categories_are_one() -> None:
    from scipy import stats

    here, now = {"a": 96, "b": 4}, {"a": 95, "c": 5}
    assert drift(categorical(here, now)).statistic == near(
        stats.chi2_contingency([[96, 4], [95, 5]], correction=False).statistic
    )


@pytest.mark.parametrize(
    ("p", "effect", "adjusted", "expected"),
    [(0.01, 0.1, None, True), (0.0101, 0.1, None, False), (0.01, 0.0999, None, False), (0.001, 0.5, 0.02, False),
     (0.5, 0.5, 0.01, True), (math.nan, 0.5, None, True), (0.001, math.nan, None, True)],
)  # fmt: skip
def test_what_counts_as_drift(p: float, effect: float, adjusted: float | None, expected: bool) -> None:
    found = Drift(test="ks", statistic=effect, p=p, effect=effect)
    assert found.drifted(alpha=0.01, floor=0.1, adjusted_p=adjusted) is expected


def test_what_is_not_a_test_for_numbers() -> None:
    with pytest.raises(ValueError, match="'chi2' is not a test for numbers"):
        of_numbers([1.0], [1.0], test="chi2")
    with pytest.raises(ValueError, match="two bins or more are needed, not 1"):
        of_numbers([1.0], [1.0], bins=1)
    assert drift(of_numbers([1.0, 2.0] * 5, [1.0, 2.0] * 5, bins=2)).statistic == 0
