"""Choose the test for a rule: the best that the data allow, or the one that the gate names.

In this order: several seeds, example by example, the history of the branch, a proportion of n; else one number per run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ciplug.comparison import repeats
from ciplug.config.gate import History
from ciplug.errors import counted
from ciplug.gates import reason_text
from ciplug.gates.checks import bound_rule, within
from ciplug.gates.number_text import shown
from ciplug.stats.intervals import Interval, Rule, Undecided, decide

if TYPE_CHECKING:
    from ciplug.config.gate import ResolvedGate
    from ciplug.config.policy import Seeds
    from ciplug.gates.by_example import ByExample
    from ciplug.gates.checks import RuleKey
    from ciplug.gates.evidence import Evidence
    from ciplug.records.comparison import Side
    from ciplug.stats.resampling import Floats

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
        """The best and the mean of a branch are not evaluations that were chosen before their numbers were known."""
        return self.gate.baseline.ref not in ("best", "mean")


@dataclass(frozen=True)
class Tested:
    """The result of a test; None: no test is possible, and one number is compared with the other."""

    result: Interval | Undecided | None
    notes: tuple[str, ...] = ()
    """The reasons why no better test was possible, and what the reader must know of this one."""
    lost: int = 0
    """Examples of the baseline that the candidate lacks."""
    unknown: int = 0
    """Examples whose answer is not known on a side, those among them."""

    @property
    def advice(self) -> str:
        """What to do about a test that was not possible."""
        if isinstance(self.result, Undecided) and self.result.advice:
            return self.result.advice
        return "see docs/gates.md on what each test needs" if self.notes else "record what is missing, and judge again"


def best_test(pair: Pair, evidence: Evidence, examples: ByExample, seeds: Seeds | None) -> Tested:
    return of_the_best(pair.gate, evidence.baselines[pair.name], _best_test(pair, evidence, examples, seeds))


def _best_test(pair: Pair, evidence: Evidence, examples: ByExample, seeds: Seeds | None) -> Tested:
    gate, side = pair.gate, evidence.baselines[pair.name]
    if gate.test == "point":
        return Tested(None)
    if gate.test == "welch" or (gate.test == "auto" and seeds and pair.has_single_baseline):
        return _by_seeds(pair, evidence, examples, seeds)
    if not examples.fits(gate):
        if gate.test in ("auto", "newcombe"):
            return _by_runs(pair, evidence)
        return Tested(Undecided(f"the test '{gate.test}' cannot compare two runs"))
    if examples.has_both(side.run) and gate.baseline.ref != "mean":
        return _by_example(pair, side.run, examples)
    joined = examples.pair(side.run or "")
    why = joined.reason if isinstance(joined, Undecided) else "the baseline is not a single run"
    if gate.test != "auto":
        return Tested(Undecided(f"the test '{gate.test}' compares example by example, and {why}"))
    tested = _by_runs(pair, evidence)
    return replace(tested, notes=(f"not compared example by example: {why}", *tested.notes))


def of_the_best(gate: ResolvedGate, side: Side, tested: Tested) -> Tested:
    """A test against the best of several runs, which is partly best by chance.

    The candidate is no worse than allowed if it is so beside each of the runs: a PASS needs no correction, and a FAIL
    is corrected for the number of the runs (C. E. Bonferroni).
    """
    among = side.among
    if gate.baseline.ref != "best" or among < 2 or gate.test == "point":
        return tested
    if isinstance(tested.result, Interval):
        note = f"the best of {among} runs is partly best by chance: the p-value is multiplied by {among}"
        corrected = replace(tested.result, p=min(1.0, tested.result.p * among))
        return replace(tested, result=corrected, notes=(*tested.notes, note))
    if tested.result is None:
        reason = f"the best of {among} runs is partly best by chance: to correct that needs 'samples', 'history' or 'n'"
        return replace(tested, result=Undecided(reason))
    return tested


def test_of_bound(
    name: str,
    gate: ResolvedGate,
    key: Literal["min", "max"],
    bound: float,
    evidence: Evidence,
    examples: ByExample,
    seeds: Seeds | None,
) -> Tested:
    """The test of the candidate's metric, a finite number, beside a bound."""
    value, rule = evidence.candidate.metrics[gate.metric], bound_rule(gate, key)
    if gate.test == "point":
        return Tested(None)
    if gate.test == "welch" or (gate.test == "auto" and seeds):
        values = evidence.candidate.repeats.get(gate.metric, (value,))
        if len(values) < 2:
            return Tested(None)
        new = examples.of_seeds(evidence.candidate.runs, gate.metric) if gate.test == "auto" else None
        if new is None:
            from ciplug.stats import means

            return Tested(means.of_seeds(values, bound, rule))
        from ciplug.stats.crossed import crossed

        weights = examples.weights
        other = _not_of_the_same(value, _mean_of(new, weights), "the run")
        return Tested(other or crossed(new, float(bound), rule, weights=weights))
    if examples.fits(gate) and examples.has_own:
        beyond = not within(value, key, bound)
        return _by_own_examples((name, None, key), value, examples, beyond=beyond)
    if gate.history and gate.test == "auto":
        past, notes = _past(gate, gate.history, evidence)
        if past is not None:
            from ciplug.stats import means

            return Tested(means.of_run(value, bound, past, rule), notes)
    if gate.n and gate.test in ("auto", "newcombe"):
        from ciplug.stats.proportions import share

        counts = _successes(evidence.candidate, value, gate.n, "the run")
        return Tested(counts if isinstance(counts, Undecided) else share(*counts, bound, rule))
    return Tested(None)


def _by_seeds(pair: Pair, evidence: Evidence, examples: ByExample, seeds: Seeds | None) -> Tested:
    from ciplug.stats.means import welch

    side = evidence.baselines[pair.name]
    ours = evidence.candidate.repeats.get(pair.metric, (pair.value,))
    theirs = side.repeats.get(pair.metric, (pair.reference,)) if pair.has_single_baseline else (pair.reference,)
    if seeds and len(theirs) < seeds.min_runs:
        reason = f"the baseline has {counted(len(theirs), 'run')} of the {seeds.min_runs} that 'seeds' asks for"
        return Tested(Undecided(reason))
    if pair.gate.test == "auto" and len(ours) > 1 and len(theirs) > 1:
        new = examples.of_seeds(evidence.candidate.runs, pair.metric)
        old = None if new is None else examples.of_seeds(side.runs, pair.metric)
        if new is not None and old is not None:
            from ciplug.stats.crossed import crossed

            weights = examples.weights
            other = _not_of_the_same(pair.value, _mean_of(new, weights), "the run") or _not_of_the_same(
                pair.reference, _mean_of(old, weights), "the baseline"
            )
            return Tested(other or crossed(new, old, pair.rule, weights=weights))
    if other_weights := examples.other_weights((*evidence.candidate.runs, *side.runs)):
        return Tested(other_weights)
    alike = (reason_text.seeds_alike(len(ours)),) if len(ours) > 1 and len(set(ours)) == 1 else ()
    return Tested(welch(ours, theirs, pair.rule), alike)


def _by_runs(pair: Pair, evidence: Evidence) -> Tested:
    """Return a test on one number per run: by its history, or as a proportion."""
    gate = pair.gate
    notes: tuple[str, ...] = ()
    # Against the run before, the runs of a commit are evaluations on later data, and not looks at the same.
    again = evidence.reruns.get(pair.metric, ()) if gate.baseline.ref != "previous" else ()
    values = (pair.value, *again)
    several = (reason_text.pooled(len(values), repeats.mean(values)),) if len(values) > 1 else ()
    if gate.history and gate.test == "auto":
        past, notes = _past(gate, gate.history, evidence)
        if past is not None:
            from ciplug.stats.means import successive

            side = evidence.baselines[pair.name]
            averaged = len(side.runs) if gate.baseline.ref == "mean" else 1
            tested = successive(
                repeats.mean(values),
                pair.reference,
                past,
                pair.rule,
                averaged=averaged,
                repeated=len(values),
            )
            return Tested(tested, (*notes, *several))
    if gate.n:
        return Tested(_by_proportion(pair, gate.n, evidence), notes)
    if several and pair.has_single_baseline and _passes_by_luck(pair, values[1:]):
        from ciplug.stats.means import of_reruns

        return Tested(of_reruns(values, pair.reference, pair.rule), (*notes, *several))
    return Tested(None, notes)


def _passes_by_luck(pair: Pair, others: Sequence[float]) -> bool:
    """Whether a run is within the allowance and another run of its commit is not. Else all runs agree, or it fails."""

    def passes(value: float) -> bool:
        return (value - pair.reference) * pair.rule.sign >= pair.rule.bound

    return passes(pair.value) and not all(map(passes, others))


def _past(gate: ResolvedGate, wanted: History, evidence: Evidence) -> tuple[Sequence[float] | None, tuple[str, ...]]:
    """The newest values of the history, or None where they are too few; and what the reader must know of them."""
    finite = [value for value in evidence.history.get(gate.metric, ()) if math.isfinite(value)]
    other = evidence.other_evaluations
    notes = (f"{counted(other, 'run')} of the history {'has' if other == 1 else 'have'} other evaluation data",)
    newest = finite[-wanted.window :]
    if len(newest) >= wanted.min_samples:
        return newest, notes if other else ()
    few = f"{counted(len(newest), 'run')} of the {wanted.min_samples} that 'history' asks for"
    return None, (few, *(notes if other else ()))


def _by_example(pair: Pair, run: str | None, examples: ByExample) -> Tested:
    answer = examples.answers.get((pair.name, None, "max_regression"), Undecided("the examples were not compared"))
    if isinstance(answer, Undecided):
        return Tested(answer)
    joined = examples.pair(run)
    added = 0 if isinstance(joined, Undecided) else joined.added
    lost = 0 if isinstance(joined, Undecided) else len(joined.lost)
    if isinstance(answer.result, Undecided):
        return Tested(answer.result, lost=lost, unknown=answer.unknown)
    own = examples.own_mean(pair.metric)
    if own is None and not added:
        own = answer.candidate
    stated = _not_of_the_same(pair.value, own, "the run") or _not_of_the_same(
        pair.reference, answer.baseline, "the baseline"
    )
    lost_by_number = (pair.value - pair.reference) * pair.rule.sign < pair.rule.bound
    if stated and not (lost_by_number and decide(answer.result) == "FAIL"):
        return Tested(stated)
    # Where the number and the examples both fail, it does not matter which of them is right.
    notes: tuple[str, ...] = (stated.reason,) if stated else ()
    if added and not isinstance(joined, Undecided):
        notes = (
            *notes,
            f"compared on the {len(joined) - lost:,} examples that both have, where the run has "
            f"{shown(answer.candidate)}; {added:,} are only in the run",
        )
    return Tested(answer.result, notes, lost, answer.unknown)


def _by_own_examples(key: tuple[str, None, RuleKey], value: float, examples: ByExample, *, beyond: bool) -> Tested:
    """The test of the run's own examples beside a bound; `beyond`: whether its number does not hold it."""
    answer = examples.answers.get(key, Undecided("the examples were not looked at"))
    if isinstance(answer, Undecided):
        return Tested(answer)
    if other := _not_of_the_same(value, answer.candidate, "the run"):
        fails = isinstance(answer.result, Interval) and decide(answer.result) == "FAIL" and beyond
        return Tested(answer.result, (other.reason,)) if fails else Tested(other)
    return replace(interval_if_known(answer.result), unknown=answer.unknown)


def interval_if_known(result: Interval | Undecided) -> Tested:
    """A bound's test; where the metric has no interval of its own, one number is held against the bound."""
    if isinstance(result, Undecided) and result.no_interval:
        return Tested(None, (result.reason,))
    return Tested(result)


def _mean_of(seeds: Floats, weights: Floats | None) -> float:
    """The mean over seeds and examples."""
    return float(seeds.mean() if weights is None else seeds.mean(axis=0) @ weights / weights.sum())


def _not_of_the_same(stated: float, mean: float | None, whose: str) -> Undecided | None:
    """The reason where a metric is not what its examples give."""
    if mean is None or abs(stated - mean) <= FAR * max(abs(stated), abs(mean)):
        return None
    return Undecided(
        f"the samples of {whose} give {shown(mean, stated)}, but its metric is {shown(stated, mean)}: "
        "they are not of the same evaluation"
    )


def _by_proportion(pair: Pair, n: str, evidence: Evidence) -> Interval | Undecided:
    candidate = _successes(evidence.candidate, pair.value, n, "the run")
    if isinstance(candidate, Undecided):
        return candidate
    baseline = _successes(evidence.baselines[pair.name], pair.reference, n, "the baseline")
    if isinstance(baseline, Undecided):
        return baseline
    from ciplug.stats.proportions import newcombe

    return newcombe(candidate, baseline, pair.rule)


def _successes(side: Side, share: float, n: str, whose: str) -> tuple[int, int] | Undecided:
    """Successes and examples of one side, or why its metric is not a proportion."""
    total = side.metrics.get(n)
    if total is None:
        return Undecided(f"{whose} has no metric '{n}', the number of examples of the proportion")
    if not math.isfinite(total) or total < 1 or total != int(total) or not 0 <= share <= 1:
        return Undecided(f"{shown(share)} of {shown(total)} examples of {whose} is not a proportion")
    return round(share * total), int(total)
