"""Several seeds on the same examples: the noise of both is in the test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.calibration import ALPHA
from ciplug.records.examples import Examples
from ciplug.stats.crossed import crossed
from ciplug.stats.distributions import binomial_sf
from ciplug.stats.intervals import Interval, Rule, Undecided, decide
from ciplug.stats.means import welch
from tests.unit.test_gates_with_evidence import UP, judge, one, share, side, table

RULE = Rule(higher_is_better=True, allowed=0.01)


def drawn(draw: np.random.Generator, loss: float, *, seeds: int, n: int, seed_sd: float) -> list[np.ndarray]:
    """Right and wrong of two models on a new evaluation set: examples on which one of the two is better by itself."""
    shared = draw.normal(1.2, 1, n)
    sides = []
    for less in (loss, 0.0):
        own = draw.normal(0, 0.5, n)
        levels = draw.normal(0, seed_sd, seeds)
        chances = shared + own + levels[:, None] + draw.normal(0, 0.5, (seeds, n))
        right = (chances > 0).astype(float)
        sides.append(right - less)
    return sides


def test_both_errors_keep_to_alpha_where_those_of_welch_do_not() -> None:
    draw, pulls = np.random.default_rng(1), 600
    found = {"crossed": [0, 0], "welch": [0, 0]}
    for _ in range(pulls):
        new, old = drawn(draw, 0.01, seeds=5, n=500, seed_sd=0.02)
        for name, result in (
            ("crossed", crossed(new, old, RULE)),
            ("welch", welch(new.mean(axis=1).tolist(), old.mean(axis=1).tolist(), RULE)),
        ):
            assert isinstance(result, Interval)
            for number, decision in enumerate(("FAIL", "PASS")):
                found[name][number] += decide(result) == decision
    most = next(k for k in range(pulls) if binomial_sf(k, pulls, ALPHA) < 0.001)
    assert max(found["crossed"]) <= most < min(found["welch"])


def test_the_variance_is_that_of_its_parts() -> None:
    """Where examples do not differ, it is Welch's; where seeds do not, it is that of the paired examples."""
    draw = np.random.default_rng(2)
    levels = draw.normal(0.9, 0.01, (2, 4))
    flat = [np.repeat(side[:, None], 50, axis=1) for side in levels]
    result, plain = crossed(*flat, RULE), welch(*levels.tolist(), RULE)
    assert isinstance(result, Interval) and isinstance(plain, Interval)
    assert (result.low, result.high, result.p) == pytest.approx((plain.low, plain.high, plain.p))
    examples = draw.normal(0, 1, (2, 50))
    same = [np.repeat(side[None, :], 4, axis=0) for side in examples]
    alone = crossed(*same, RULE)
    assert isinstance(alone, Interval)
    assert alone.error == pytest.approx((examples[0] - examples[1]).std(ddof=1) / 50**0.5)
    assert isinstance(crossed(flat[0][:1], flat[1], RULE), Undecided)
    bound = crossed(same[0], 0.5, RULE)
    assert isinstance(bound, Interval) and bound.estimate == pytest.approx(examples[0].mean() - 0.5)
    assert bound.error == pytest.approx(examples[0].std(ddof=1) / 50**0.5)


def test_a_gate_with_seeds_takes_their_examples_into_account() -> None:
    """Three seeds that agree on every example are one evaluation of 100 examples, and do not fail on a few of them."""
    old = [n % 10 != 0 for n in range(100)]
    new = [n % 10 != 0 and n != 1 and n != 2 for n in range(100)]

    def outcome(examples: bool) -> tuple[str, str | None]:
        def of(role: str, right: Sequence[bool]) -> tuple[object, dict[str, Examples]]:
            made = [table([ok != (n == seed + 51) for n, ok in enumerate(right)]) for seed in range(3)]
            one_side = side(role, {"accuracy": [share(made_of) for made_of in made]})
            return one_side, dict(zip(one_side.runs, made, strict=True))

        (ours, held), (theirs, more) = of("candidate", new), of("baseline", old)
        held = {**held, **more, **{ours.run: next(iter(held.values()))}} if examples else {}  # type: ignore[attr-defined]
        policy = {
            "samples": "p.jsonl",
            "seeds": {"min_runs": 3},
            "gates": {"accuracy": {**UP, "max_regression": 0.005}},
        }
        low = {**policy, "gates": {"accuracy": {"min": 0.86}}}
        bound = one(judge(low, ours, theirs, of_runs=held))  # type: ignore[arg-type]
        assert bound.outcome == ("INCONCLUSIVE" if examples else "PASS"), "0.87 of 100 examples"
        result = one(judge(policy, ours, theirs, of_runs=held))  # type: ignore[arg-type]
        return result.outcome, result.method

    assert outcome(examples=False) == ("FAIL", "Welch's t-test on seed means")
    assert outcome(examples=True) == (
        "INCONCLUSIVE",
        "Welch's t-test on seed means, with the noise of the examples",
    )


def test_sides_that_never_differ_have_no_noise() -> None:
    same = np.full((3, 20), 0.5)
    result = crossed(same, same, RULE)
    assert isinstance(result, Interval) and result.estimate == 0
    assert decide(result) == "PASS"
