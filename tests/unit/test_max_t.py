"""Step-down max-T: many tests corrected by how they go together."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.calibration import judge
from benchmarks.families import FAMILIES, policy_of
from ciplug.stats import max_t
from ciplug.stats.contributions import Contributions
from ciplug.stats.distributions import normal_sf
from ciplug.stats.holm import holm
from ciplug.stats.intervals import Interval
from ciplug.stats.max_t import influence_of, step_down
from ciplug.stats.paired_questions import Question
from ciplug.stats.paired_tests import answer
from tests import generated
from tests.unit.test_paired_tests import UP, classified

ONE = "0123456789abcdef" * 4


def influence(each: Any, of: str = ONE, first: int = 0) -> Contributions:
    return Contributions(of, np.arange(first, first + len(each)), np.asarray(each, np.float64))


def test_one_test_ten_times_is_one_test() -> None:
    each = np.random.default_rng(1).normal(0, 1, 200)
    found = step_down(dict.fromkeys(range(10), 0.02), {key: influence(each * (key + 1)) for key in range(10)})
    assert found[0] == pytest.approx(0.02, abs=0.006) and holm(dict.fromkeys(range(10), 0.02))[0] == pytest.approx(0.2)


def test_tests_of_other_examples_are_those_of_sidak() -> None:
    """Disjoint slices are independent."""
    slices = {key: influence(np.ones(20), first=20 * key) for key in range(10)}
    found = step_down({key: 0.01 + key / 100 for key in range(10)}, slices)
    assert found[0] == pytest.approx(1 - 0.99**10, abs=0.012)
    assert found[1] == pytest.approx(1 - 0.98**9, abs=0.015)


@given(st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=6), st.integers(0, 3))
@settings(max_examples=generated.examples(40), deadline=None)
def test_it_lies_between_the_p_value_and_holms(p_values: list[float], alone: int) -> None:
    draw = np.random.default_rng(len(p_values))
    influences = {key: influence(draw.normal(0, 1, 12)) for key in range(alone, len(p_values))}
    tests = dict(enumerate(p_values))
    found, due = step_down(tests, influences), holm(tests)
    for key, p in tests.items():
        assert (1 if math.isnan(p) else p) <= found[key] <= due[key] <= 1
    ordered = sorted(tests, key=lambda key: 1.0 if math.isnan(tests[key]) else tests[key])
    assert [found[key] for key in ordered] == sorted(found.values())


def test_without_examples_in_common_it_is_holms() -> None:
    tests = {"a": 0.01, "b": 0.02, "c": 0.03}
    assert step_down(tests, {}) == pytest.approx(holm(tests))
    others = {"a": influence([1, 2]), "b": influence([1, 2], of="f" * 64), "c": influence([0.0, 0.0])}
    assert step_down(tests, others) == pytest.approx(holm(tests))
    assert step_down({}, {}) == {}


@pytest.mark.parametrize("each", [[1.0], [math.nan, 1.0], [math.inf, 1.0], [0.0, 0.0], []])
def test_an_influence_that_says_nothing(each: list[float]) -> None:
    """One example, a constant slice, and numbers that are none."""
    known = influence(np.random.default_rng(3).normal(0, 1, 30))
    found = step_down({"a": 0.01, "b": 0.04, "c": 0.04}, {"a": known, "b": known, "c": influence(each)})
    assert 0.01 <= found["a"] <= 0.03 and all(math.isfinite(p) for p in found.values())


def test_many_tests_are_drawn_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where their covariance is too large to compute, the resamples have the same distribution."""
    draw = np.random.default_rng(4)
    shared = draw.normal(0, 1, 100)
    influences = {key: influence(shared + draw.normal(0, 0.5, 100)) for key in range(5)}
    tests = dict.fromkeys(range(5), 0.02)
    whole = step_down(tests, influences)
    monkeypatch.setattr(max_t, "DENSE", 0)
    monkeypatch.setattr(max_t, "BLOCK", 1000)
    assert step_down(tests, influences)[0] == pytest.approx(whole[0], abs=0.01)


def test_many_examples_are_drawn_a_row_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DENSE", 0), ("BLOCK", 10), ("WORK", 400 * 150), ("LEAST", 50)):
        monkeypatch.setattr(max_t, name, value)
    ones = influence(np.ones(100))
    assert max_t._drawn([ones, ones, ones], np.random.default_rng(1)).shape == (150, 3)


def test_a_test_that_shows_nothing_has_a_p_of_one() -> None:
    each = influence(np.random.default_rng(3).normal(0, 1, 30))
    assert step_down({"a": 1.0, "b": math.nan}, {"a": each, "b": each}) == {"a": 1, "b": 1}


def test_clusters_move_together() -> None:
    found = influence_of(ONE, np.array([3, 1, 3]), np.array([1.0, 5.0, 2.0]))
    assert (found.units.tolist(), found.each.tolist()) == ([1, 3], [5.0, 3.0])


@pytest.mark.parametrize("metric", ["s", "accuracy", "f1", "auc", "balanced_accuracy", "recall"])
@pytest.mark.parametrize("clusters", [None, [str(i // 3) for i in range(90)]])
def test_the_influence_has_the_error_of_its_test(metric: str, clusters: list[str] | None) -> None:
    draw = np.random.default_rng(5)
    joined = classified(90, clusters=clusters)
    sides = [
        replace(one, scores={**one.scores, "s": draw.normal(0, 1, 90).tolist()})
        for one in (joined.candidate, joined.baseline)
    ]
    joined = replace(joined, candidate=sides[0], baseline=sides[1])
    question = Question(metric=metric, rule=UP)
    (asked,), (plain,) = answer(joined, [replace(question, joint=True)]), answer(joined, [question])
    assert isinstance(asked.result, Interval) and isinstance(plain.result, Interval)
    assert plain == asked and plain.result.influence is None
    one = asked.result.influence
    assert one is not None and abs(one.each.sum()) < 1e-9 * len(one.each) + 1e-9
    assert len(one.units) == (90 if clusters is None else 30) or metric == "recall"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_gate_decides_by_it(family: Any) -> None:
    pull = family.draw(np.random.default_rng(6), family.loss)
    p_of = {}
    for correction in ("none", "max-t", "holm"):
        verdict = judge(policy_of(family, correction), "m00", pull)
        p_of[correction] = [one.p for one in verdict.gates if one.p is not None]
    assert min(p_of["none"]) <= min(p_of["max-t"]) <= min(p_of["holm"])
    if "slices" not in family.name:  # of which the worst alone are shown, in their own order
        for raw, stepped, blunt in zip(p_of["none"], p_of["max-t"], p_of["holm"], strict=True):
            assert raw <= stepped <= blunt


def test_the_largest_of_two_is_that_of_the_bivariate_normal() -> None:
    """scipy as the oracle: P(either exceeds z) for a correlation of 0.6."""
    from scipy.stats import multivariate_normal

    draw = np.random.default_rng(7)
    first, other = np.linalg.qr(draw.normal(0, 1, (400, 2)))[0].T
    found = step_down({"a": 0.03, "b": 0.9}, {"a": influence(first), "b": influence(0.6 * first + 0.8 * other)})
    z = 1.8807936
    assert normal_sf(z) == pytest.approx(0.03, rel=1e-6)
    due = 1 - multivariate_normal(mean=[0, 0], cov=[[1, 0.6], [0.6, 1]]).cdf([z, z])
    assert found["a"] == pytest.approx(due, abs=0.005)
