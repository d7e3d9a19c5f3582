"""Many tests in one verdict: how often an unchanged candidate fails at least one, by each correction.

Part of benchmarks/calibration.py, which writes the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.calibration import ALPHA, DOWN, Draw, Pull
from ciplug.config.kinds import Mistakes, read_table
from ciplug.config.policy import Policy
from ciplug.records.examples import Examples
from ciplug.stats import joined_examples
from ciplug.stats.holm import holm
from ciplug.stats.intervals import Interval, Rule, decide
from ciplug.stats.joined_examples import Paired, join
from ciplug.stats.max_t import step_down
from ciplug.stats.paired_questions import Question
from ciplug.stats.paired_tests import answer

METRICS = [f"m{i:02}" for i in range(20)]
GATES = {name: {**DOWN, "max_regression": 0} for name in METRICS}


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of data with many tests, and a loss of all of them."""

    name: str
    draw: Callable[[Draw, float], Pull]
    loss: float
    gates: Mapping[str, Any]


def _shared(draw: Draw, n: int, together: float) -> Any:
    """Standard normal numbers for each metric, with this correlation."""
    own, one = draw.normal(0, 1, (len(METRICS), n)), draw.normal(0, 1, n)
    return math.sqrt(together) * one + math.sqrt(1 - together) * own


def _pull(new: Mapping[str, Any], old: Mapping[str, Any], **more: Any) -> Pull:
    sides = [{name: np.asarray(column, np.float64).tolist() for name, column in side.items()} for side in (new, old)]
    n = len(next(iter(sides[0].values())))
    ours, theirs = (
        Examples(source="simulated", ids=[f"{i:06}" for i in range(n)], scores=side, **more) for side in sides
    )
    return Pull(candidate=ours, baseline=theirs)


def wrong(n: int, together: float, differing: float = 0.1) -> Callable[[Draw, float], Pull]:
    """Errors, 0 or 1: `differing` of the examples have another one."""

    def pull(draw: Draw, loss: float) -> Pull:
        cut = _quantile(differing / 2)
        which = _shared(draw, n, together)
        new = {name: which[i] < cut + loss for i, name in enumerate(METRICS)}
        old = {name: which[i] > -cut for i, name in enumerate(METRICS)}
        return _pull(new, old)

    return pull


def _quantile(p: float) -> float:
    from ciplug.stats.distributions import normal_isf

    return -normal_isf(p)


def numbers(n: int, together: float, *, skewed: bool = False) -> Callable[[Draw, float], Pull]:
    def pull(draw: Draw, loss: float) -> Pull:
        change = _shared(draw, n, together)
        if skewed:
            change = np.exp(change) - math.exp(0.5)
        old = draw.normal(0, 1, (len(METRICS), n))
        new = {name: old[i] + change[i] + loss for i, name in enumerate(METRICS)}
        return _pull(new, {name: old[i] for i, name in enumerate(METRICS)})

    return pull


def slices(n: int) -> Callable[[Draw, float], Pull]:
    """Three columns with ten slices each, of which the second one is nearly the first."""

    def pull(draw: Draw, loss: float) -> Pull:
        first, third = draw.integers(0, 10, (2, n))
        second = np.where(draw.random(n) < 0.9, first, draw.integers(0, 10, n))
        columns = {"a": first, "b": second, "c": third}
        old = draw.normal(0, 1, n)
        more = {"slices": {name: list(map(str, values)) for name, values in columns.items()}}
        return _pull({"m00": old + draw.normal(0, 1, n) + loss}, {"m00": old}, **more)

    return pull


SLICED = {"m00": {**DOWN, "max": 99, "slices": {"by": ["a", "b", "c"], "min_samples": 20, "max_regression": 0}}}
FAMILIES = (
    Family(name="20 metrics, right or wrong, apart", draw=wrong(1000, 0.0), loss=0.2, gates=GATES),
    Family(name="20 metrics, right or wrong, that go together", draw=wrong(1000, 0.9), loss=0.2, gates=GATES),
    Family(name="20 numbers of 300 examples, apart", draw=numbers(300, 0.0), loss=0.12, gates=GATES),
    Family(name="20 numbers of 300 examples that go together", draw=numbers(300, 0.9), loss=0.16, gates=GATES),
    Family(name="20 numbers of 30 examples that go together", draw=numbers(30, 0.9), loss=0.5, gates=GATES),
    Family(
        name="20 skewed numbers of 500 examples that go together",
        draw=numbers(500, 0.9, skewed=True),
        loss=0.35,
        gates=GATES,
    ),
    Family(name="30 slices of 1,000 examples", draw=slices(1000), loss=0.2, gates=SLICED),
)
CORRECTIONS = ("none", "holm", "max-t")


def policy_of(family: Family, correction: str) -> Policy:
    mistakes: Mistakes = []
    keys = {"samples": "p.jsonl", "defaults": {"correction": correction}, "gates": family.gates}
    policy: Policy = read_table(Policy, keys, (), mistakes)
    assert not mistakes, mistakes
    return policy


def fails(family: Family, pulls: int, loss: float = 0.0, seed: int = 1) -> dict[str, float]:
    """Correction → how often one test or more fails: the tests are made once, and corrected in each way."""
    draw = np.random.default_rng(seed)
    found = dict.fromkeys(CORRECTIONS, 0)
    for _ in range(pulls):
        intervals = dict(enumerate(_intervals(family, family.draw(draw, loss))))
        p_of = {number: one.p for number, one in intervals.items()}
        influences = {number: one.influence for number, one in intervals.items() if one.influence is not None}
        corrected = {"none": p_of, "holm": holm(p_of), "max-t": step_down(p_of, influences)}
        for correction, adjusted in corrected.items():
            found[correction] += any(decide(one, adjusted_p=adjusted[n]) == "FAIL" for n, one in intervals.items())
    return {correction: count / pulls for correction, count in found.items()}


def _intervals(family: Family, pull: Pull) -> Iterator[Interval]:
    ours, theirs = pull.candidate, pull.baseline
    assert isinstance(ours, Examples) and isinstance(theirs, Examples)
    pair = join(ours, theirs)
    assert isinstance(pair, Paired)
    rule = Rule(higher_is_better=False, alpha=ALPHA)
    asked = [Question(metric=name, rule=rule, joint=True) for name in family.gates]
    if ours.slices:
        parts = joined_examples.slices(ours, ours.slices).values()
        asked = [Question(metric="m00", rule=rule, rows=rows, joint=True) for rows in parts if len(rows) >= 20]
    yield from (one.result for one in answer(pair, asked) if isinstance(one.result, Interval))


def row_of(family: Family, pulls: int) -> str:
    """The row of the table: of candidates that are alike, and of half as many that are worse in every test."""
    alike, worse = fails(family, pulls), fails(family, max(1, pulls // 2), family.loss, seed=2)
    shares = " | ".join(f"{alike[correction]:.1%}" for correction in CORRECTIONS)
    power = " | ".join(f"{worse[correction]:.0%}" for correction in CORRECTIONS[1:])
    return f"| {family.name} | {shares} | {family.loss:g} | {power} |"
