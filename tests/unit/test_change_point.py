"""Which commit moved a metric: the factor against its definition, and how often a search is wrong."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from benchmarks import bisecting
from ciplug.stats.bisection import Search, limit, search
from ciplug.stats.change_point import MOST_EXAMPLES, SCALES, smallest_step, suspect
from ciplug.stats.level_changes import level_changes

Draw = Callable[[int], float]


def factor(before: list[float], after: list[float]) -> float:
    """By definition: the density of Student's t with a step, over that without one."""
    from scipy.integrate import quad
    from scipy.stats import nct, norm, t

    n1, n2 = len(before), len(after)
    mean1, mean2 = sum(before) / n1, sum(after) / n2
    squares = sum((v - mean1) ** 2 for v in before) + sum((v - mean2) ** 2 for v in after)
    df, weight = n1 + n2 - 2, n1 * n2 / (n1 + n2)
    statistic = math.sqrt(weight) * (mean2 - mean1) / math.sqrt(squares / df)

    def at(scale: float) -> float:
        def density(step: float) -> float:
            return float(nct.pdf(statistic, df, step * math.sqrt(weight)) * norm.pdf(step, 0, scale))

        return float(quad(density, -8 * scale, 8 * scale, limit=200)[0])

    return sum(map(at, SCALES)) / len(SCALES) / float(t.pdf(statistic, df))


def test_the_factor_is_that_of_its_definition() -> None:
    before, after = [0.91, 0.90, 0.915, 0.905], [0.89, 0.893, 0.9]
    measured = {0: before, 1: after}
    assert suspect(measured, 1, 1).factor == pytest.approx(factor(before, after), rel=1e-5)
    # Every commit is as likely beforehand: those that nothing tells from a history without a change dilute it.
    assert suspect(measured, 1, 4).factor == pytest.approx((factor(before, after) + 3) / 4, rel=1e-5)


def test_commits_between_two_measured_ones_are_equally_suspect() -> None:
    suspicion = suspect({0: [1.0, 1.01], 4: [1.005], 9: [2.0, 2.01], 12: [2.005]}, 1, 12)
    shares = [suspicion.weights[at] for at in range(5, 10)]
    assert min(shares) == max(shares) == pytest.approx(0.2, abs=0.02)
    assert suspicion.candidates(0.05) == [5, 6, 7, 8, 9]
    assert sum(suspicion.weights.values()) == pytest.approx(1)
    assert suspicion.sure(0.05) is None and suspicion.has_changed(0.05)


@pytest.mark.parametrize(("times", "plus"), [(1e-300, 0.0), (1e300, 0.0), (-3.0, 1e4)])
def test_unit_and_level_do_not_matter(times: float, plus: float) -> None:
    values = {0: [0.91, 0.90, 0.915], 3: [0.893, 0.89], 4: [0.88]}
    moved = {at: [value * times + plus for value in of] for at, of in values.items()}
    first, second = suspect(values, 1, 4), suspect(moved, 1, 4)
    assert second.factor == pytest.approx(first.factor, rel=1e-6)
    assert second.likeliest == first.likeliest == 1


def test_the_same_number_everywhere_is_no_sign_of_a_change() -> None:
    assert suspect({0: [0.5] * 5, 1: [0.5] * 5}, 1, 1).factor < 1
    assert suspect({}, 1, 3).factor == 1 == suspect({0: [0.1], 3: [0.9]}, 1, 3).factor


def test_exact_numbers_that_differ_are_a_sign() -> None:
    """A training without noise gives the same number on each side."""
    suspicion = suspect({at: [0.91 if at < 5 else 0.9] for at in range(9)}, 1, 8)
    assert suspicion.sure(0.05) == 5


# --- a whole history


def test_the_changes_of_a_history() -> None:
    draw = random.Random(1)
    levels = [0.9] * 12 + [0.88] * 10 + [0.91] * 15
    values = {3 * at: [draw.gauss(level, 0.002)] for at, level in enumerate(levels)}
    fall, rise = level_changes(values, 0.05)
    # Two commits between those that were trained have no run: any of the three may be the one.
    assert list(fall.candidates) == [34, 35, 36] and list(rise.candidates) == [64, 65, 66]
    assert fall.before == pytest.approx(0.9, abs=0.002) and fall.after == pytest.approx(0.88, abs=0.002)
    assert fall.probability == pytest.approx(1 / 3, abs=0.01)


def test_a_short_dip_in_a_long_history_is_found() -> None:
    draw = random.Random(2)
    values = {at: [draw.gauss(0.8 if 60 <= at < 66 else 0.9, 0.01)] for at in range(120)}
    assert [change.at for change in level_changes(values, 0.05)] == [60, 66]


@pytest.mark.parametrize("n", [4, 5, 7, 12])
def test_one_commit_at_the_end_hides_no_earlier_change(n: int) -> None:
    draw = random.Random(n)
    levels = [0.91] * n + [0.85] * n + [0.952]
    exact = level_changes({at: [level] for at, level in enumerate(levels)}, 0.05)
    noisy = level_changes({at: [draw.gauss(level, 0.003)] for at, level in enumerate(levels)}, 0.05)
    for changes in (exact, noisy)[: 2 if n > 4 else 1]:
        assert changes[0].at == n
        assert changes[0].before == pytest.approx(0.91, abs=0.003)


@pytest.mark.parametrize("n", [3, 10, 40])
def test_a_history_without_a_change_has_none(n: int) -> None:
    draw = random.Random(n)
    found = sum(bool(level_changes({at: [draw.gauss(0, 1)] for at in range(n)}, 0.05)) for _ in range(100))
    assert found <= 12


def test_coarse_numbers_that_are_equal_by_chance_are_no_change() -> None:
    """Such as an accuracy of 171 examples, of which one comes out either way."""
    found = {}
    for n in (5, 6, 7, 8, 12):
        draw = random.Random(n)
        histories = [{at: [draw.choice((0.883, 0.8772))] for at in range(n)} for _ in range(300)]
        found[n] = sum(bool(level_changes(values, 0.05)) for values in histories)
    assert max(found.values()) <= 0.05 * 300, found
    assert level_changes({at: [0.883 if at < 4 else 0.8772] for at in range(8)}, 0.05)[0].at == 4


@pytest.mark.parametrize(
    "numbers, step",
    [
        ([151 / 171, 150 / 171], 1 / 171),
        ([0.883, 0.8772], 1 / 171),
        ([0.9, 0.7], 0.01),
        ([0.85, 0.9], 0.01),
        ([100.0, 130.0, 2.0**60], 1.0),
        ([0.123456789, 0.2345678], 1 / MOST_EXAMPLES),
    ],
)
def test_the_smallest_step_of_a_metric(numbers: list[float], step: float) -> None:
    assert smallest_step(numbers) == pytest.approx(step)


def searched(train: Callable[[int], float], commits: int) -> tuple[Search, int]:
    """A search that begins without a number: how it ends, and after how many trainings."""
    values = {at: [train(at)] for at in (0, commits - 1)}
    trainings = 2
    while (state := search(values, 1, commits - 1, barred=(), left=30 - trainings, alpha=0.05)).outcome is None:
        values.setdefault(state.next, []).append(train(state.next))
        trainings += 1
    return state, trainings


@pytest.mark.parametrize("good, bad, more", [(0.9, 0.7, 0), (0.9, 0.85, 0), (151 / 171, 150 / 171, 6)])
@pytest.mark.parametrize("commits", [16, 100])
def test_a_training_that_repeats_itself_is_searched_in_two_more_than_halvings(
    good: float, bad: float, more: int, commits: int
) -> None:
    """One example of 171 may come out either way by chance, so that needs repeats."""
    for culprit in range(1, commits, 5):
        state, trainings = searched(lambda at, culprit=culprit: good if at < culprit else bad, commits)  # type: ignore[misc]
        assert (state.outcome, state.likeliest.first, state.likeliest.last) == ("found", culprit, culprit)
        assert trainings <= math.ceil(math.log2(commits)) + 2 + more


def test_a_search_names_no_commit_for_an_example_that_comes_out_either_way() -> None:
    draw = random.Random(1)
    ends = [searched(lambda at: draw.choice((151 / 171, 150 / 171)), 100)[0].outcome for _ in range(200)]
    assert ends.count("found") <= 0.05 * 200


@pytest.mark.parametrize("values", [{}, {4: [1.0]}, {1: [], 2: []}, {at: [0.5] for at in range(9)}])
def test_there_is_none_without_evidence(values: dict[int, list[float]]) -> None:
    assert level_changes(values, 0.05) == []


# --- a search by training


def find(
    draw: Draw, values: dict[int, list[float]], last: int, barred: frozenset[int] = frozenset()
) -> tuple[Search, int]:
    trainings = 0
    while True:
        state = search(values, 1, last, barred=barred, left=limit(last) - trainings, alpha=0.05)
        if state.outcome:
            return state, trainings
        assert state.next not in barred
        values.setdefault(state.next, []).append(draw(state.next))
        trainings += 1


def searches(step: float, *, pulls: int, last: int = 63, seed: int = 0) -> list[tuple[bool, bool, int]]:
    """Of each: whether a commit was named, whether it was the right one, and the trainings."""
    random_numbers = random.Random(seed)
    results = []
    for _ in range(pulls):
        culprit = random_numbers.randint(1, last)

        def draw(at: int, culprit: int = culprit) -> float:
            return random_numbers.gauss(step if at >= culprit else 0, 1)

        state, trainings = find(draw, {0: [draw(0), draw(0)], last: [draw(last), draw(last)]}, last)
        right = (state.likeliest.first, state.likeliest.last) == (culprit, culprit)
        results.append((state.outcome == "found", right, trainings))
    return results


def test_a_clear_step_takes_as_many_trainings_as_a_search_without_noise() -> None:
    results = searches(10, pulls=60)
    assert all(found and right for found, right, _ in results)
    assert sorted(trainings for *_, trainings in results)[57] <= math.log2(63) + 2


def test_a_step_in_the_noise_takes_more_and_is_found() -> None:
    results = searches(4, pulls=60)
    assert sum(right for found, right, _ in results if found) >= 54
    assert sum(found and not right for found, right, _ in results) <= 7


def test_no_commit_is_blamed_where_none_has_changed_anything() -> None:
    assert sum(found for found, *_ in searches(0, pulls=150)) <= 16


def test_what_cannot_be_trained_is_named_as_a_whole() -> None:
    state, _ = find(lambda at: float(at >= 12) + at % 3 / 1e4, {}, 20, frozenset(range(10, 14)))
    assert state.outcome == "found"
    assert (state.likeliest.first, state.likeliest.last) == (10, 14)


def test_two_ends_with_the_same_number_end_a_search() -> None:
    state, trainings = find(lambda at: 0.5, {}, 20)
    assert (state.outcome, trainings) == ("unchanged", 2)


def test_the_numbers_of_other_commits_tell_the_noise_alone() -> None:
    before, after = [0.91, 0.90, 0.915], [0.89, 0.893]
    measured = {0: before, 1: after}
    # By definition too: with two groups of one level each, the deviation has their degrees of freedom as well.
    noisy = suspect(measured, 1, 1, [[0.5, 0.6], [0.7]]).factor
    assert noisy < 1 < suspect(measured, 1, 1).factor < suspect(measured, 1, 1, [[0.5, 0.501, 0.502]]).factor
    assert suspect(measured, 1, 1, [[5.0, 5.1], [0.7], []]).factor == pytest.approx(noisy)
    assert suspect(measured, 1, 1, [[0.3], [0.7]]).factor == suspect(measured, 1, 1).factor


def test_noise_of_other_commits_does_not_make_a_search_blame_more_often() -> None:
    found = 0
    for seed in range(150):
        draw = random.Random(f"others {seed}")
        others = [[draw.gauss(9 * at, 1) for _ in range(3)] for at in range(3)]
        values = {at: [draw.gauss(0, 1)] for at in range(6)}
        found += suspect(values, 1, 5, others).has_changed(0.05)
    assert found <= 16


def test_a_good_end_that_is_worse_ends_a_search() -> None:
    def outcome(good: list[float], bad: list[float], higher_is_better: bool | None) -> Search:
        values = {0: good, 9: bad}
        return search(values, 1, 9, barred=(), left=9, alpha=0.05, higher_is_better=higher_is_better)

    assert outcome([0.6, 0.6], [0.7, 0.7], True).outcome == "swapped"
    assert outcome([0.6, 0.6], [0.7, 0.7], False).outcome is outcome([0.6, 0.6], [0.7, 0.7], None).outcome is None
    # Equal numbers of a coarse metric may be chance: four of them have six orders.
    assert outcome([0.69] * 2, [0.7] * 2, True).outcome is None
    assert outcome([0.69] * 4, [0.7] * 4, True).outcome == "swapped"
    # One number of each may be chance: the ends are trained again.
    assert outcome([0.6], [0.7], True)[::3] == (None, 0) and outcome([0.6, 0.6], [0.7], True)[::3] == (None, 9)


def test_a_search_ends_where_nothing_more_may_be_trained() -> None:
    assert search({0: [1.0], 5: [2.0]}, 1, 5, barred=(), left=0, alpha=0.05).outcome == "unsure"


def test_the_tables_of_the_page_have_a_row_for_each_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bisecting, "COMMITS", (16,))
    assert bisecting.tables(2).count("\n|") == 2 + len(bisecting.STEPS) + 2 + 3 + 2 + 9 + 2 + 15
