"""The error rates of several looks at one commit."""

from __future__ import annotations

import pytest

from ciplug.stats.alpha_spending import alpha_spent, look_of_seeds
from ciplug.stats.intervals import Interval, Rule, decide
from ciplug.stats.means import of_reruns


@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_all_looks_together_spend_no_more_than_alpha(alpha: float) -> None:
    looks = [alpha_spent(alpha, look) for look in range(1, 10_000)]
    assert sum(looks) <= alpha and sum(looks) == pytest.approx(alpha, rel=1e-4)
    assert looks[0] == pytest.approx(0.9 * alpha) and looks == sorted(looks, reverse=True)
    with pytest.raises(ValueError, match="from 1"):
        alpha_spent(alpha, 0)


def test_seeds_are_looked_at_anew_when_they_have_doubled() -> None:
    assert [look_of_seeds(runs, 3) for runs in (1, 3, 4, 6, 7, 12, 13)] == [1, 1, 2, 2, 3, 3, 4]


def test_runs_of_a_commit_tell_their_own_noise() -> None:
    from scipy import stats

    values, rule = [0.90, 0.88, 0.91], Rule(higher_is_better=True, allowed=0.01)
    found = of_reruns(values, 0.95, rule)
    assert isinstance(found, Interval)
    error = 0.0152752523 * (1 / 3 + 1) ** 0.5
    assert found.p == pytest.approx(stats.t.cdf((0.8966666667 - 0.95 + 0.01) / error, 2))
    assert decide(found) == "INCONCLUSIVE"
