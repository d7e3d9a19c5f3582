"""Trends: where a level fell, and whether all of it is more than noise."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

import pytest

from ciplug.stats.intervals import Interval, Rule, Undecided, decide
from ciplug.stats.trend import LEAST, largest_fall, noise, total


def test_the_noise_is_that_around_a_level_that_moves() -> None:
    draw = random.Random(1)
    for trend in (0.0, 0.5, -2.0):
        values = [trend * i + draw.gauss(0, 1) for i in range(4000)]
        assert noise(values) == pytest.approx(1, abs=0.05)
    assert noise([1.0, 2.0, 3.0, 4.0]) == 0
    with pytest.raises(ValueError, match="three numbers"):
        noise([1.0, 2.0])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_is_named_where_it_is(sign: int) -> None:
    values = [sign * v for v in [0.90, 0.91, 0.90, 0.91, 0.86, 0.87, 0.86]]
    fall = largest_fall(values, sign)
    assert fall is not None and (fall.at, fall.is_steady) == (4, False)
    assert fall.before == pytest.approx(sign * 0.905)
    assert fall.after == pytest.approx(sign * 0.86333, abs=1e-4)


def test_a_steady_loss_is_named_as_such() -> None:
    fall = largest_fall([0.9 - 0.009 * i for i in range(9)], 1)
    assert fall is not None and fall.is_steady and fall.slope == pytest.approx(-0.009)


def test_a_step_is_no_noise() -> None:
    draw = random.Random(5)
    calm = [0.9 + draw.gauss(0, 0.001) for _ in range(12)]
    assert noise([v - 0.04 * (i >= 5) for i, v in enumerate(calm)]) == pytest.approx(noise(calm), rel=0.3)
    assert noise([0.9] * 5 + [0.8] * 5) == 0


def test_what_did_not_fall_has_no_place() -> None:
    assert largest_fall([0.1, 0.2, 0.3], 1) is None
    assert largest_fall([0.3], 1) is None
    assert largest_fall([0.5, 0.5, 0.5], 1) is None
    two = largest_fall([0.5, 0.4], 1)
    assert two is not None and (two.at, two.is_steady) == (1, False)


def rate(level: Sequence[float], rule: Rule, decision: str, simulated: int = 800) -> float:
    draw = random.Random(9)
    found = 0
    for _ in range(simulated):
        interval = total([mean + draw.gauss(0, 0.01) for mean in level], rule)
        assert isinstance(interval, Interval)
        found += decide(interval) == decision
    return found / simulated


RULE = Rule(higher_is_better=True, allowed=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [LEAST, 12, 30])
def test_a_trend_keeps_to_its_error_rate(runs: int) -> None:
    """At the allowance, it fails at α at most, and passes at α at most just beyond it, steady or at once."""
    steady = [0.9 - 0.02 * i / (runs - 1) for i in range(runs)]
    assert rate(steady, RULE, "FAIL") <= 0.075
    assert rate(steady, RULE, "PASS") <= 0.075
    at_once = [0.9] * (runs - 1) + [0.88]
    assert rate(at_once, RULE, "FAIL") <= 0.075
    assert rate(at_once, RULE, "PASS") <= 0.075
    assert rate([0.9] * runs, RULE, "FAIL") <= 0.01


def test_a_trend_finds_what_eight_small_steps_add_up_to() -> None:
    """From .90 to .828 by nine tenths of a point, each within a point."""
    level = [0.9 - 0.009 * i for i in range(9)]
    assert rate(level, RULE, "FAIL") > 0.8


def test_the_interval_is_of_the_direction() -> None:
    draw = random.Random(2)
    values = [0.9 - 0.01 * i + draw.gauss(0, 0.002) for i in range(12)]
    up, down = (total([s * v for v in values], Rule(higher_is_better=s > 0, allowed=0.02)) for s in (1, -1))
    assert isinstance(up, Interval) and isinstance(down, Interval)
    assert (up.estimate, up.low, up.high, up.p) == pytest.approx((down.estimate, down.low, down.high, down.p))
    assert up.estimate == pytest.approx(values[-1] - values[0])
    assert decide(up) == "FAIL" and up.p < 0.05
    assert isinstance(total(values[: LEAST - 1], RULE), Undecided)
    flat = total([0.9] * 10, RULE)
    assert isinstance(flat, Interval) and decide(flat) == "PASS" and not math.isnan(flat.p)
    assert statistics.fmean(values) > 0
