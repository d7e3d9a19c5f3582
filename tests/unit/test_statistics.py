"""Closed forms beside scipy and statsmodels; what holds for every test: symmetry, monotony, and no pass by NaN."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ciplug.stats import power
from ciplug.stats.alpha_spending import alpha_spent, look_of_seeds
from ciplug.stats.distributions import binomial_sf
from ciplug.stats.holm import holm
from ciplug.stats.intervals import Interval, Rule, Undecided, decide
from ciplug.stats.means import noise, of_run, of_seeds, successive, welch
from ciplug.stats.proportions import clopper_pearson, mcnemar, newcombe, newcombe_paired, share, wilson

UP = Rule(higher_is_better=True)
values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)
alphas = st.floats(0.001, 0.4)
proportions = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
rules = st.builds(Rule, higher_is_better=st.booleans(), allowed=st.floats(0, 0.2), alpha=alphas)


def interval(result: Interval | Undecided) -> Interval:
    assert isinstance(result, Interval), result
    return result


def near(value: float, oracle: float, scale: float = 1.0) -> bool:
    return math.isclose(value, oracle, rel_tol=1e-9, abs_tol=1e-9 * scale)


# --- Oracles -----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(proportions, alphas)
def test_wilson_is_that_of_statsmodels(sample: tuple[int, int], alpha: float) -> None:
    from statsmodels.stats.proportion import proportion_confint

    oracle = proportion_confint(*sample, alpha=2 * alpha, method="wilson")
    assert all(map(near, wilson(*sample, alpha=alpha), oracle))


@settings(deadline=None)
@given(proportions, alphas)
def test_clopper_pearson_is_that_of_statsmodels(sample: tuple[int, int], alpha: float) -> None:
    from statsmodels.stats.proportion import proportion_confint

    oracle = proportion_confint(*sample, alpha=2 * alpha, method="beta")
    assert all(map(near, clopper_pearson(*sample, alpha=alpha), oracle))


@settings(deadline=None)
@given(proportions, proportions, alphas)
def test_newcombe_is_that_of_statsmodels(new: tuple[int, int], old: tuple[int, int], alpha: float) -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep

    oracle = confint_proportions_2indep(*new, *old, method="newcomb", alpha=2 * alpha)
    ours = newcombe(new, old, Rule(higher_is_better=True, alpha=alpha))
    assert near(ours.low, oracle[0]) and near(ours.high, oracle[1])


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 300)] * 4), alphas)
def test_paired_newcombe_by_another_way(table: tuple[int, int, int, int], alpha: float) -> None:
    """Wilson's limits as roots of the score equation, and his delta and epsilon, in numpy."""
    import numpy as np
    from scipy import stats

    both, losses, wins, neither = table
    n = sum(table)
    assume(n > 0)

    def limits(p: float) -> Any:
        z2 = stats.norm.isf(alpha) ** 2
        return np.sort(np.roots([1 + z2 / n, -(2 * p + z2 / n), p * p]).real)

    p, q = (both + wins) / n, (both + losses) / n
    (l1, u1), (l2, u2) = limits(p), limits(q)
    margins = (both + wins) * (losses + neither) * (both + losses) * (wins + neither)
    product = both * neither - losses * wins
    phi = 0.0 if margins == 0 else (max(product - n / 2, 0) if product > 0 else product) / math.sqrt(margins)
    delta = math.sqrt(max(0, (p - l1) ** 2 - 2 * phi * (p - l1) * (u2 - q) + (u2 - q) ** 2))
    epsilon = math.sqrt(max(0, (u1 - p) ** 2 - 2 * phi * (u1 - p) * (q - l2) + (q - l2) ** 2))
    rule = Rule(higher_is_better=True, alpha=alpha)
    ours = interval(newcombe_paired(both=both, losses=losses, wins=wins, neither=neither, rule=rule))
    # Roots of a polynomial are good to half of their digits where they meet, at 0 and 1.
    assert math.isclose(ours.low, p - q - delta, abs_tol=1e-7)
    assert math.isclose(ours.high, p - q + epsilon, abs_tol=1e-7)


def test_newcombe_has_the_numbers_of_his_paper() -> None:
    """Newcombe (1998), table II: 56/70 and 48/80, method 10, 95%."""
    ours = newcombe((56, 70), (48, 80), Rule(higher_is_better=True, alpha=0.025))
    assert (round(ours.low, 4), round(ours.high, 4)) == (0.0524, 0.3339)


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_mcnemar_is_that_of_scipy_and_statsmodels(losses: int, wins: int, agreed: int) -> None:
    from scipy.stats import binomtest
    from statsmodels.stats.contingency_tables import mcnemar as oracle

    assume(losses + wins > 0)
    ours = interval(mcnemar(losses=losses, wins=wins, n=losses + wins + agreed, rule=UP))
    assert near(ours.p, binomtest(losses, losses + wins, alternative="greater").pvalue)
    two_sided = oracle([[agreed, losses], [wins, 0]], exact=True).pvalue
    mirrored = interval(mcnemar(losses=wins, wins=losses, n=losses + wins + agreed, rule=UP))
    assert near(min(1.0, 2 * min(ours.p, mirrored.p)), two_sided)


@settings(deadline=None)
@given(values, values, alphas)
def test_welch_is_that_of_scipy(new: list[float], old: list[float], alpha: float) -> None:
    from scipy import stats

    spread = max(map(abs, new + old)) or 1
    assume(min(len(set(new)), len(set(old))) > 1)
    assume(min(max(new) - min(new), max(old) - min(old)) > 1e-3 * spread)  # else scipy warns that digits are lost
    ours = interval(welch(new, old, Rule(higher_is_better=True, alpha=alpha)))
    oracle = stats.ttest_ind(new, old, equal_var=False, alternative="less")
    # No more degrees of freedom than if both sides had as few seeds as the smaller one.
    df = min(oracle.df, 2 * (min(len(new), len(old)) - 1))
    assert near(ours.p, stats.t.cdf(oracle.statistic, df))
    if df == oracle.df:
        bounds = stats.ttest_ind(new, old, equal_var=False).confidence_interval(1 - 2 * alpha)
        assert near(ours.low, bounds.low, spread) and near(ours.high, bounds.high, spread)


def test_two_seeds_beside_many_keep_to_alpha() -> None:
    """Welch's test alone errs in 8% of these cases."""
    draw, pulls = np.random.default_rng(6), 2000
    found = {"FAIL": 0, "PASS": 0, "INCONCLUSIVE": 0}
    for _ in range(pulls):
        new, old = draw.normal(0, 1, 2).tolist(), draw.normal(0, 1, 20).tolist()
        found[decide(interval(welch(new, old, Rule(higher_is_better=True))))] += 1
    most = next(k for k in range(pulls) if binomial_sf(k, pulls, 0.05) < 0.001)
    assert max(found["FAIL"], found["PASS"]) <= most


@settings(deadline=None)
@given(*[st.floats(-1e3, 1e3)] * 2, st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=7), alphas)
def test_successive_differences_by_another_way(new: float, old: float, history: list[float], alpha: float) -> None:
    """Von Neumann's mean square successive difference in numpy, and t with the degrees of freedom of its variance."""
    import numpy as np
    from scipy import stats

    assume(max(history) - min(history) > 1e-3)
    ours = interval(successive(new, old, history, Rule(higher_is_better=True, alpha=alpha)))
    steps = np.diff(history)
    k = len(history)
    reach = stats.t.isf(alpha, 2 * (k - 1) ** 2 / (3 * k - 4)) * math.sqrt((steps**2).mean())
    assert math.isclose(ours.low, new - old - reach, rel_tol=1e-8, abs_tol=1e-6)
    assert math.isclose(ours.high, new - old + reach, rel_tol=1e-8, abs_tol=1e-6)


def test_a_jump_of_the_history_is_no_noise() -> None:
    """29 runs near 0.70, then 0.90: the level has changed once, and one run still varies as little as before."""
    draw = random.Random(1)
    history = [draw.gauss(0.70, 0.005) for _ in range(29)] + [0.90]
    assert noise(history) == pytest.approx(0.005, rel=0.4)
    result = interval(successive(0.85, 0.90, history, Rule(higher_is_better=True, allowed=0.01)))
    assert decide(result) == "FAIL" and result.notes == ("the history has 1 jump, which is not noise",)
    assert noise([0.7, 0.9] * 10) == pytest.approx(0.2 / math.sqrt(2)), "what jumps all the time is noise"


@settings(deadline=None)
@given(values, st.floats(-1e6, 1e6), alphas)
def test_seeds_beside_a_bound_are_those_of_scipy(values: list[float], bound: float, alpha: float) -> None:
    from scipy import stats

    assume(max(values) - min(values) > 1e-3 * max(map(abs, values)))
    assume(max(map(abs, values)) > 1e-3)
    ours = interval(of_seeds(values, bound, Rule(higher_is_better=True, alpha=alpha)))
    oracle = stats.ttest_1samp(values, bound, alternative="less")
    assert near(ours.p, oracle.pvalue)
    least = stats.ttest_1samp(values, bound).confidence_interval(1 - 2 * alpha).low
    assert near(ours.low + bound, least, max(map(abs, (*values, bound))))


@settings(deadline=None)
@given(proportions, st.floats(0.01, 0.99), st.booleans(), alphas)
def test_a_share_beside_a_bound_is_exact(sample: tuple[int, int], bound: float, least: bool, alpha: float) -> None:
    from scipy.stats import binomtest

    ours = share(*sample, bound, Rule(higher_is_better=least, alpha=alpha))
    oracle = binomtest(*sample, bound, alternative="less" if least else "greater")
    assert near(ours.p, oracle.pvalue)
    if abs(oracle.pvalue - alpha) > 1e-9:
        assert (decide(ours) == "FAIL") == (oracle.pvalue < alpha)


@pytest.mark.slow
@settings(deadline=None, max_examples=8)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    ours = holm(dict(enumerate(p_values)))
    assert all(near(ours[i], oracle) for i, oracle in enumerate(multipletests(p_values, method="holm")[1]))


@pytest.mark.parametrize(("seeds", "power"), [(3, 0.28), (5, 0.52), (10, 0.84)])
def test_the_power_of_seeds_in_the_docs(seeds: int, power: float) -> None:
    """Standard deviation 0.8 points, a true loss of 1 point beyond the allowance, the first look at a commit."""
    draw = random.Random(seeds)
    rule = Rule(higher_is_better=True, alpha=alpha_spent(0.05, 1))
    fails = 0
    for _ in range(1000):
        sides = [[draw.gauss(mean, 0.8) for _ in range(seeds)] for mean in (-1, 0)]
        result = welch(*sides, rule)
        fails += isinstance(result, Interval) and decide(result) == "FAIL"
    assert fails / 1000 == pytest.approx(power, abs=0.05)


# --- What holds for all of them ----------------------------------------------------------------------------------


def all_tests(new: Sequence[int], old: Sequence[int], rule: Rule) -> list[Interval | Undecided]:
    """Each test's answer on 0/1 scores of the same examples."""
    wins = sum(a > b for a, b in zip(new, old, strict=True))
    losses = sum(a < b for a, b in zip(new, old, strict=True))
    both = sum(a and b for a, b in zip(new, old, strict=True))
    n = len(new)
    none = replace(rule, allowed=0.0)
    return [
        newcombe((sum(new), n), (sum(old), n), rule),
        newcombe_paired(both=both, losses=losses, wins=wins, neither=n - both - losses - wins, rule=rule),
        mcnemar(losses=losses, wins=wins, n=n, rule=none),
        welch(new, old, rule),
        successive(float(new[0]), float(old[0]), (*old, old[0], 1 - old[0], old[0]), rule),
    ]


scores = st.integers(2, 40).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 1), min_size=n, max_size=n)] * 2))


@settings(deadline=None)
@given(scores, rules)
def test_the_other_direction_is_the_mirror(pair: tuple[list[int], list[int]], rule: Rule) -> None:
    """Errors that should be few are as good as successes that should be many."""
    other = replace(rule, higher_is_better=not rule.higher_is_better)
    flipped = [[1 - value for value in side] for side in pair]
    for here, there in zip(all_tests(*pair, rule), all_tests(*flipped, other), strict=True):
        assert decide(interval(here)) == decide(interval(there))
        assert near(interval(here).low, interval(there).low) and near(interval(here).p, interval(there).p)


@settings(deadline=None)
@given(values, values, st.floats(1e-3, 1e3), st.floats(0, 10), st.booleans())
def test_the_unit_does_not_matter(new: list[float], old: list[float], unit: float, allowed: float, up: bool) -> None:
    here = welch(new, old, Rule(higher_is_better=up, allowed=allowed))
    scaled = Rule(higher_is_better=up, allowed=allowed * unit)
    there = welch([v * unit for v in new], [v * unit for v in old], scaled)
    scale = max(1.0, *map(abs, new + old))
    assume(abs(interval(here).low + allowed) > 1e-6 * scale and abs(interval(here).high + allowed) > 1e-6 * scale)
    assert decide(interval(here)) == decide(interval(there))


@settings(deadline=None)
@given(scores, st.integers(0, 39), st.floats(0, 0.2))
def test_a_better_candidate_never_turns_pass_into_fail(
    pair: tuple[list[int], list[int]], at: int, allowed: float
) -> None:
    new, old = pair
    better = list(new)
    better[at % len(new)] = 1
    rule = Rule(higher_is_better=True, allowed=allowed)
    for before, after in zip(all_tests(new, old, rule), all_tests(better, old, rule), strict=True):
        verdicts = decide(interval(before)), decide(interval(after))
        assert verdicts != ("PASS", "FAIL")


@settings(deadline=None)
@given(values, values, st.floats(0, 1e6), st.floats(0, 1e5))
def test_a_shift_upwards_never_costs_a_pass(new: list[float], old: list[float], shift: float, allowed: float) -> None:
    """Where only the level changes, not the noise, the verdict is monotonous."""
    rank = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
    rule = Rule(higher_is_better=True, allowed=allowed, tolerance=1e-6)
    before, after = (decide(interval(welch([v + s for v in new], old, rule))) for s in (0, shift))
    assert rank[after] >= rank[before]


@settings(deadline=None)
@given(values, values, st.sampled_from([math.nan, math.inf, -math.inf, 1e300]), st.integers(0, 11), st.booleans())
def test_nothing_makes_a_nan_pass(new: list[float], old: list[float], bad: float, at: int, in_candidate: bool) -> None:
    side = new if in_candidate else old
    side[at % len(side)] = bad
    assert isinstance(welch(new, old, UP), Undecided)
    if in_candidate:
        assert isinstance(successive(bad, 0.0, old, UP), Undecided)
        assert isinstance(of_seeds(new, 0.0, UP), Undecided)
        assert isinstance(of_run(bad, 0.0, old, UP), Undecided)
    else:
        assert isinstance(successive(0.0, bad, [1.0, 2.0, 3.0], UP), Undecided)
        assert isinstance(successive(0.0, 0.0, old, UP), Undecided)


@settings(deadline=None)
@given(*[st.sampled_from([math.nan, -1.0, 0.0, 1.0])] * 3)
def test_a_nan_bound_decides_nothing(estimate: float, low: float, high: float) -> None:
    assume(math.isnan(low) or math.isnan(high))
    result = Interval(estimate=estimate, low=low, high=high, p=math.nan, method="", n=1, unit="example", rule=UP)
    assert decide(result) != "PASS"
    assert decide(result, adjusted_p=math.nan) == "INCONCLUSIVE"


# --- The edges ---------------------------------------------------------------------------------------------------


def test_values_that_do_not_vary() -> None:
    same = interval(welch([0.9, 0.9, 0.9], [0.9, 0.9], UP))
    assert decide(same) == "PASS" and "do not vary" in same.notes[0]
    assert decide(interval(successive(0.89, 0.9, [0.9] * 5, UP))) == "FAIL"
    assert decide(interval(successive(0.89, 0.9, [0.9] * 5, Rule(higher_is_better=True, allowed=0.02)))) == "PASS"
    # What rounding leaves is taken up by the rule's tolerance.
    rule = Rule(higher_is_better=True, tolerance=1e-9)
    assert decide(interval(successive(0.3, 0.1 + 0.2, [0.1 + 0.2] * 5, rule))) == "PASS"


@pytest.mark.parametrize(("new", "old"), [([1.0], [1.0, 2.0]), ([], []), ([1.0, 2.0], [1.0])])
def test_too_few_seeds_are_named(new: list[float], old: list[float]) -> None:
    result = welch(new, old, UP)
    assert isinstance(result, Undecided) and "at least two seeds" in result.reason


def test_a_history_of_two_says_nothing() -> None:
    for history in ([1.0, 2.0], [1.0], []):
        assert isinstance(successive(1.0, 1.0, history, UP), Undecided)
        assert isinstance(of_run(1.0, 1.0, history, UP), Undecided)


def test_agreement_on_every_example_passes() -> None:
    assert decide(interval(mcnemar(losses=0, wins=0, n=10, rule=UP))) == "PASS"


@pytest.mark.parametrize("allowed", [0.0, 0.25])
def test_an_interval_that_ends_at_the_allowance_is_undecided(allowed: float) -> None:
    """The bound itself is allowed: an interval FAILs wholly below it only, and PASSes from it on."""
    rule = Rule(higher_is_better=True, allowed=allowed)

    def of(low: float, high: float) -> str:
        result = Interval(estimate=(low + high) / 2, low=low, high=high, p=0.01, method="", n=9, unit="run", rule=rule)
        return decide(result)

    assert of(-1.0, -allowed) == "INCONCLUSIVE"
    assert of(-1.0, math.nextafter(-allowed, -1)) == "FAIL"
    assert of(-allowed, 1.0) == "PASS"
    assert of(math.nextafter(-allowed, -1), 1.0) == "INCONCLUSIVE"


def test_an_adjusted_p_of_just_alpha_bears_a_fail_out() -> None:
    rule = Rule(higher_is_better=True, alpha=0.05)
    result = Interval(estimate=-1.0, low=-2.0, high=-0.5, p=0.01, method="", n=9, unit="run", rule=rule)
    assert decide(result, adjusted_p=0.05) == "FAIL"
    assert decide(result, adjusted_p=math.nextafter(0.05, 1)) == "INCONCLUSIVE"


def test_holm_takes_back_a_fail() -> None:
    result = interval(mcnemar(losses=12, wins=3, n=100, rule=UP))
    assert decide(result) == "FAIL"
    assert decide(result, adjusted_p=holm({"a": result.p, "b": 0.9, "c": 0.9})["a"]) == "INCONCLUSIVE"


@pytest.mark.parametrize("wrong", [{"alpha": 0.5}, {"alpha": 0}, {"tolerance": -1}, {"allowed": math.nan}])
def test_rules_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Rule(higher_is_better=True, **wrong)


def test_mcnemar_knows_no_allowance() -> None:
    with pytest.raises(ValueError, match="no allowance"):
        mcnemar(losses=1, wins=1, n=10, rule=Rule(higher_is_better=True, allowed=0.1))


@settings(deadline=None)
@given(st.integers(20, 400), st.integers(20, 400), st.floats(0.001, 0.05))
def test_so_many_more_examples_would_settle_it(new: int, old: int, allowed: float) -> None:
    """The same shares on so many more examples are decided."""
    rule = Rule(higher_is_better=True, allowed=allowed)
    result = newcombe((new, 500), (old, 500), rule)
    more = power.more_needed(result)
    if decide(result) != "INCONCLUSIVE":
        assert more == 0
    elif more is not None and more < 10_000_000:
        factor = (500 + more) / 500
        n = round(500 * factor)
        again = newcombe((round(new * factor), n), (round(old * factor), n), rule)
        assert decide(again) != "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("candidate", "baseline", "words"),
    [
        ([1.0], [1.0, 2.0, 3.0], "at least two seeds are needed on each side (candidate 1, baseline 3)"),
        ([1.0, 2.0], [1.0], "at least two seeds are needed on each side (candidate 2, baseline 1)"),
        ([1.0, math.nan], [1.0, 2.0], "the candidate has the value nan"),
        ([1.0, 2.0], [1.0, 1e100], "the baseline has the value 1e+100"),
    ],
)
def test_seeds_that_no_test_can_use(candidate: list[float], baseline: list[float], words: str) -> None:
    result = welch(candidate, baseline, UP)
    assert isinstance(result, Undecided) and words in result.reason


def wide(estimate: float, half: float, *, allowed: float, n: int = 100) -> Interval:
    rule = Rule(higher_is_better=True, allowed=allowed)
    low, high = estimate - half, estimate + half
    return Interval(estimate=estimate, low=low, high=high, p=0.5, method="", n=n, unit="example", rule=rule)


def test_how_many_more_are_needed() -> None:
    """n grows by the square of (z₀.₉₅ + z₀.₈)·SE / |d + R|, the half width being z₀.₉₅·SE."""
    from scipy.stats import norm

    z, power_z = norm.isf(0.05), norm.isf(0.2)
    for estimate, allowed in ((-0.04, 0.01), (0.018, 0.01), (0.02, 0.01)):
        factor = (0.05 / z * (z + power_z) / abs(estimate + allowed)) ** 2
        assert power.more_needed(wide(estimate, 0.05, allowed=allowed)) == math.ceil(100 * factor) - 100
    assert power.more_needed(wide(-0.01, 0.05, allowed=0.01)) is None  # just on the allowance
    assert power.more_needed(wide(-0.5, 0.05, allowed=0.01)) == 0  # decided
    assert power.more_needed(wide(-0.012, 0.05, allowed=0.01)) is None  # a million, of a hundred
    assert power.more_needed(wide(-0.018, 0.05, allowed=0.01)) is not None  # 9,000 may be collected
    assert power.more_needed(replace(wide(-0.04, 0.05, allowed=0.01), unit="run")) is None  # no number of runs
    assert power.more_needed(replace(wide(-0.02, 0.05, allowed=0.01, n=3), unit="seed")) is None  # 171 trainings
    assert power.more_needed(replace(wide(-0.04, 0.05, allowed=0.01), floor=5000)) == 4900
    assert power.more_needed(wide(1e-218, 0.05, allowed=0)) is None  # more than any float
    lopsided = replace(wide(-0.04, 0.05, allowed=0.01), low=-9.0)
    assert power.more_needed(lopsided) == power.more_needed(wide(-0.04, 0.05, allowed=0.01))


def test_so_many_more_seeds_decide_at_the_error_rate_of_their_look() -> None:
    """Seeds that are added are a later look, with a lower error rate: the advice knows it, and holds."""
    draw, decided = np.random.default_rng(4), []

    def result(new: list[float], old: list[float]) -> Interval:
        alpha = alpha_spent(0.05, look_of_seeds(len(new), 3))
        return interval(welch(new, old, Rule(higher_is_better=True, allowed=0.01, alpha=alpha)))

    for _ in range(200):
        new, old = (draw.normal(0.9, 0.008, 3).tolist() for _ in range(2))
        first = result(new, old)
        more = power.more_needed(first, lambda n: alpha_spent(0.05, look_of_seeds(n, 3)))
        if decide(first) == "INCONCLUSIVE" and more:
            assert more > (power.more_needed(first) or 0)
            new += draw.normal(0.9 + first.estimate, 0.008, more).tolist()
            old += draw.normal(0.9, 0.008, more).tolist()
            # Drawn so that the measured difference is the true one, about which the advice is.
            shift = first.estimate - (sum(new) - sum(old)) / len(new) + draw.normal(0, 0.008 * (2 / len(new)) ** 0.5)
            decided.append(decide(result([value + shift for value in new], old)) != "INCONCLUSIVE")
    assert len(decided) > 30 and sum(decided) / len(decided) > 0.65


def test_one_bad_run_is_noise_and_a_level_that_stays_is_none() -> None:
    quiet = [0.9 + 0.001 * (-1) ** n for n in range(20)]
    moved = [value - 0.1 * (n >= 10) for n, value in enumerate(quiet)]
    dipped = [value - 0.1 * (n == 10) for n, value in enumerate(quiet)]
    assert noise(moved) == pytest.approx(noise(quiet), rel=0.05)
    assert noise(dipped) > 10 * noise(quiet)


def test_what_an_interval_can_detect() -> None:
    from scipy.stats import norm

    z, power_z = norm.isf(0.05), norm.isf(0.2)
    result = wide(0.0, 0.02, allowed=0.01)
    assert near(power.detectable(result), 0.02 / z * (z + power_z))
    chance = norm.sf(z - 0.01 / (0.02 / z))
    assert power.underpowered(result) == (
        f"too little data: a regression of twice the allowance would be found only {chance:.0%} of the time; "
        f"80% needs a regression of {0.01 + power.detectable(result):.3g}"
    )
    assert power.underpowered(wide(0.0, 0.005, allowed=0.01)) is None
    just = wide(0.0, 0.02, allowed=power.detectable(result))
    assert power.underpowered(just) is None


def test_underpowered_is_said() -> None:
    few = newcombe((85, 100), (86, 100), Rule(higher_is_better=True, allowed=0.01))
    many = newcombe((85_000, 100_000), (86_000, 100_000), Rule(higher_is_better=True, allowed=0.01))
    assert "too little data" in (power.underpowered(few) or "")
    assert power.underpowered(many) is None
    assert power.underpowered(newcombe((85, 100), (86, 100), UP)) is None
    assert power.detectable(few) > power.detectable(many) > 0
