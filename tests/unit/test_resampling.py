"""Resamples: how many are drawn and of what, and the bounds that their order gives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from ciplug.stats import resampling
from ciplug.stats.intervals import Interval, Rule
from tests.unit.test_paired_tests import ask, interval, pair

UP = Rule(higher_is_better=True, allowed=0.1)


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "BLOCK", 30)


@pytest.mark.usefixtures("_small_blocks")
def test_every_resample_is_drawn_once_and_whole() -> None:
    units = np.concatenate(list(resampling.draw_units([3, 4], 25, 1)))
    assert units[:, :3].sum(axis=1).tolist() == [3] * 25 and units[:, 3:].sum(axis=1).tolist() == [4] * 25
    blocks = list(resampling.draw_cells(np.array([4.0, 6.0, 0.0]), 25, 1))
    assert [len(block) for block in blocks] == [10, 10, 5]
    assert np.concatenate(blocks).sum(axis=1).tolist() == [10] * 25


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("groups", [7, 8, 9, 17])
def test_each_group_is_in_half_of_the_subsets(groups: int) -> None:
    drawn = np.concatenate(list(resampling._subsets(groups, 2000, 1, exact=False)))
    assert drawn.shape == (2000, groups) and drawn.any(axis=1).all()
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 0.06
    if groups < 9:
        every = np.concatenate(list(resampling._subsets(groups, 2**groups - 1, 1, exact=True)))
        assert len({tuple(row) for row in every}) == 2**groups - 1


@pytest.mark.parametrize(("value", "p"), [(0.2, 1.0), (-0.1, 1.0), (-0.2, 0.5**10)])
def test_a_difference_that_is_always_the_same(value: float, p: float) -> None:
    result = resampling.bootstrap_mean(np.full(10, value), UP)
    assert isinstance(result, Interval)
    assert (result.low, result.high, result.p) == pytest.approx((value, value, p))


def test_the_bounds_of_a_mean_are_the_last_that_the_tail_reaches() -> None:
    """All sums of ten draws, counted out."""
    from scipy import stats

    differences = np.array([1, 0, -1, 0, 1, 2, -2, 0, 1, 0])
    chances = np.array([1.0])
    for _ in differences:
        chances = np.convolve(chances, np.bincount(differences + 2) / 10)
    below = np.cumsum(chances) - chances
    tail = stats.norm.sf(stats.t.isf(0.05, 9) * math.sqrt(10 / 9))
    result = resampling.bootstrap_mean(differences.astype(np.float64), UP)
    assert isinstance(result, Interval)
    assert result.low * 10 == pytest.approx(np.flatnonzero(below <= tail)[-1] - 20)
    assert result.high * 10 == pytest.approx(np.flatnonzero(below + chances >= 1 - tail)[0] - 20)


def test_the_bounds_of_a_score_are_percentiles_of_its_resamples() -> None:
    from scipy import stats

    values = np.random.default_rng(1).permutation(np.arange(1, 1000) / 1000)

    def draws() -> Iterator[np.ndarray]:
        yield values[:400, None]
        yield values[400:, None]

    def score(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return weights[:, 0], np.zeros(len(weights))

    result = _bootstrap(score, draws())
    rank = math.floor(stats.norm.sf(stats.t.isf(0.05, 99) * math.sqrt(100 / 99)) * 1000)
    assert 40 < rank < 50 and (result.low, result.high) == pytest.approx((rank / 1000, 1 - rank / 1000))
    assert result.estimate == 0.5


def _bootstrap(score: resampling.Score, draws: Iterable[np.ndarray]) -> Interval:
    whole = np.array([[0.5]])
    result = resampling.bootstrap_score(score, whole, draws, UP, n=100, unit="example", method="")
    assert isinstance(result, Interval)
    return result


def test_the_range_of_scores_that_are_all_the_same_is_guessed_from_them() -> None:
    """In another unit, everything is that much larger; scores of 0 count as of size 1."""
    ones, tens, zeros = (interval(ask(pair([v] * 60, [v] * 60), test="t")) for v in (1, 10, 0))
    assert 0 < ones.high == pytest.approx(tens.high / 10) == zeros.high
