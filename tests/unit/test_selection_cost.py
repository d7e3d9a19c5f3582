"""The luck of the best of many."""

from __future__ import annotations

import math
import random

import pytest

from ciplug.stats.selection_cost import luck, of_share


@pytest.mark.parametrize(("runs", "expected"), [(2, 0.5642), (10, 1.5388), (100, 2.5076), (1000, 3.2414)])
def test_the_expected_largest_of_many(runs: int, expected: float) -> None:
    """Tables of H. L. Harter (1961)."""
    assert luck(runs, 1.0) == pytest.approx(expected, rel=0.05 if runs == 2 else 0.01)
    assert luck(runs, 0.01) == pytest.approx(luck(runs, 1.0) / 100)


def test_one_run_is_not_chosen() -> None:
    assert luck(1, 1.0) == luck(0, 1.0) == 0


def test_the_best_of_models_that_guess() -> None:
    """Two hundred models of an accuracy of 0.85 on 500 examples: the best looks about 4.4 points better."""
    draw = random.Random(1)
    best = [max(sum(draw.random() < 0.85 for _ in range(500)) for _ in range(200)) / 500 - 0.85 for _ in range(30)]
    assert math.fsum(best) / len(best) == pytest.approx(luck(200, of_share(0.85, 500)), rel=0.1)
