"""Choose the test for a comparison: the best that the data allow, or the one that the gate names.

In this order: several seeds, example by example, the history of the branch, a proportion of n; else one number per run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug.errors import counted
from ciplug.gates.number_text import shown
from ciplug.stats import means, proportions
from ciplug.stats.intervals import Interval, Rule, Undecided

if TYPE_CHECKING:
    from ciplug.config.gate import ResolvedGate
    from ciplug.config.policy import Seeds
    from ciplug.gates.by_example import ByExample
    from ciplug.gates.evidence import Evidence
    from ciplug.records.comparison import Side

FAR = 0.01
"""The largest relative difference between a metric and the mean of its own examples."""


@dataclass(frozen=True)
class Pair:
    """Two numbers that a gate compares."""

    name: str
    """The name of the gate."""
    gate: ResolvedGate
    value: float
    reference: float
    rule: Rule

    @property
    def metric(self) -> str:
        return self.gate.metric

    @property
    def has_single_baseline(self) -> bool:
        """The best and the mean of a branch are not evaluations of their own."""
        return self.gate.baseline.ref not in ("best", "mean")


@dataclass(frozen=True)
class Tested:
    """The result of a test; None: no test is possible, and one number is compared with the other."""

    result: Interval | Undecided | None
    notes: tuple[str, ...] = ()
    """The reasons why no better test was possible."""


def best_test(pair: Pair, evidence: Evidence, examples: ByExample, seeds: Seeds | None) -> Tested:
    gate, side = pair.gate, evidence.baselines[pair.name]
    if gate.test == "point":
        return Tested(None)
    if gate.test == "welch" or (gate.test == "auto" and seeds and pair.has_single_baseline):
        return Tested(_by_seeds(pair, evidence, seeds))
    if not examples.fits(gate):
        if gate.test in ("auto", "newcombe"):
            return _by_runs(pair, evidence)
        return Tested(Undecided(f"the test '{gate.test}' cannot compare two runs"))
    if examples.has_both(side.run) and pair.has_single_baseline:
        return Tested(_by_example(pair, examples))
    joined = examples.pair(side.run or "")
    why = joined.reason if isinstance(joined, Undecided) else "the baseline is not a single run"
    if gate.test != "auto":
        return Tested(Undecided(f"the test '{gate.test}' compares example by example, and {why}"))
    tested = _by_runs(pair, evidence)
    return replace(tested, notes=(f"not compared example by example: {why}", *tested.notes))


def _by_seeds(pair: Pair, evidence: Evidence, seeds: Seeds | None) -> Interval | Undecided:
    side = evidence.baselines[pair.name]
    ours = evidence.candidate.repeats.get(pair.metric, (pair.value,))
    theirs = side.repeats.get(pair.metric, (pair.reference,)) if pair.has_single_baseline else (pair.reference,)
    if seeds and len(theirs) < seeds.min_runs:
        reason = f"the baseline has {counted(len(theirs), 'run')} of the {seeds.min_runs} that 'seeds' asks for"
        return Undecided(reason)
    return means.welch(ours, theirs, pair.rule)


def _by_runs(pair: Pair, evidence: Evidence) -> Tested:
    """Return a test on one number per run: by its history, or as a proportion."""
    gate = pair.gate
    notes: tuple[str, ...] = ()
    if gate.history and gate.test == "auto":
        finite = [value for value in evidence.history.get(pair.metric, ()) if math.isfinite(value)]
        newest = finite[-gate.history.window :]
        if len(newest) >= gate.history.min_samples:
            return Tested(means.prediction(pair.value, newest, pair.rule))
        notes = (f"{counted(len(newest), 'run')} of the {gate.history.min_samples} that 'history' asks for",)
    if gate.n:
        return Tested(_by_proportion(pair, gate.n, evidence), notes)
    return Tested(None, notes)


def _by_example(pair: Pair, examples: ByExample) -> Interval | Undecided:
    answer = examples.answers.get((pair.name, None), Undecided("the examples were not compared"))
    if isinstance(answer, Undecided):
        return answer
    if isinstance(answer.result, Undecided):
        return answer.result
    for stated, mean, whose in (
        (pair.value, answer.candidate, "the run"),
        (pair.reference, answer.baseline, "the baseline"),
    ):
        if not abs(stated - mean) <= FAR * max(abs(stated), abs(mean)):
            return Undecided(
                f"the samples of {whose} give {shown(mean, stated)}, but its metric is {shown(stated, mean)}: "
                "they are not of the same evaluation"
            )
    return answer.result


def _by_proportion(pair: Pair, n: str, evidence: Evidence) -> Interval | Undecided:
    candidate = _successes(evidence.candidate, pair.value, n, "the run")
    if isinstance(candidate, Undecided):
        return candidate
    baseline = _successes(evidence.baselines[pair.name], pair.reference, n, "the baseline")
    if isinstance(baseline, Undecided):
        return baseline
    return proportions.newcombe(candidate, baseline, pair.rule)


def _successes(side: Side, share: float, n: str, whose: str) -> tuple[int, int] | Undecided:
    """Successes and examples of one side, or why its metric is not a proportion."""
    total = side.metrics.get(n)
    if total is None:
        return Undecided(f"{whose} has no metric '{n}', the number of examples of the proportion")
    if not math.isfinite(total) or total < 1 or total != int(total) or not 0 <= share <= 1:
        return Undecided(f"{shown(share)} of {shown(total)} examples of {whose} is not a proportion")
    return round(share * total), int(total)
