"""Tests example by example, of all gates at once: those on the same rows share their resamples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from ciplug.config.gate import PAIRED_TESTS
from ciplug.gates.checks import Check, RuleKey, bound_rule, bounds, limit_of, rule_of, undecided
from ciplug.records.examples import means
from ciplug.stats import joined_examples
from ciplug.stats.intervals import Rule, Undecided

if TYPE_CHECKING:
    from ciplug.config.gate import ResolvedGate
    from ciplug.config.policy import Policy
    from ciplug.gates.evidence import Evidence
    from ciplug.stats.joined_examples import Paired
    from ciplug.stats.paired_questions import Answer, Question
    from ciplug.stats.resampling import Floats

Part = tuple[str, str]
"""A slice: column and value."""
Key = tuple[str, Part | None, RuleKey]
"""Gate, slice and rule; of all examples, the slice is None."""


class ByExample:
    """The results of all comparisons of a policy that are made example by example."""

    def __init__(self, policy: Policy, evidence: Evidence) -> None:
        self._evidence = evidence
        self._seeds = policy.seeds is not None
        self._joint = policy.defaults.correction == "max-t"
        self._pairs: dict[str | None, Paired | Undecided] = {}
        self._parts: dict[tuple[str | None, tuple[str, ...]], dict[Part, list[int]]] = {}
        self._own = evidence.examples.get(evidence.candidate.run or "")
        self._means: dict[str, float] | None = None
        self.answers: dict[Key, Answer | Undecided] = {}
        gates = {name: policy.resolved(name) for name in policy.gates}
        questions: dict[str | None, dict[Key, Question]] = {}
        for name, gate in gates.items():
            if gate.kind == "metric":
                self._ask(name, gate, questions)
        for run, of_run in questions.items():
            self._answer(run, of_run)
        second: dict[str | None, dict[Key, Question]] = {}
        for name, gate in gates.items():
            # A percentage of the baseline's value in a slice needs that value first.
            if gate.slices and gate.slices.max_regression and gate.slices.max_regression.rel is not None:
                self._ask_relative(name, gate, second)
        for run, of_run in second.items():
            self._answer(run, of_run)

    def pair(self, run: str | None) -> Paired | Undecided:
        """The candidate's examples joined with those of a run (None: with themselves)."""
        if run not in self._pairs:
            theirs = self._own if run is None else self._evidence.examples.get(run)
            if self._own is None:
                self._pairs[run] = Undecided("the run has no samples")
            elif theirs is None:
                self._pairs[run] = Undecided("the baseline has no samples")
            else:
                self._pairs[run] = joined_examples.join(self._own, theirs)
        return self._pairs[run]

    @cached_property
    def weights(self) -> Floats | None:
        """Those of the candidate's examples, in the order of `of_seeds`; None where all are alike. Needs numpy."""
        from ciplug.stats.score_columns import weights_of

        own = self.pair(None)
        return weights_of(own.candidate) if isinstance(own, joined_examples.Paired) else None

    def other_weights(self, runs: Sequence[str]) -> Undecided | None:
        """Why the numbers of these runs are means of another kind than the candidate's, where weights are in use."""
        for examples in filter(None, map(self._evidence.examples.get, runs)):
            if self._own is not None and not self._own.weights is examples.weights is None:
                pair = joined_examples.join(self._own, examples)
                if isinstance(pair, Undecided):
                    return pair
        return None

    def of_seeds(self, runs: Sequence[str], metric: str) -> Floats | None:
        """The score of each run on each example of the candidate, shape (runs, examples); None where one lacks some."""
        if self._own is None or self._own.clusters is not None or not runs:
            return None
        try:
            import numpy as np

            from ciplug.stats.paired_tests import of_each_example
        except ModuleNotFoundError:
            return None
        rows = []
        for run in runs:
            examples = self._evidence.examples.get(run)
            pair = joined_examples.join(self._own, examples) if examples is not None else None
            if not isinstance(pair, joined_examples.Paired) or pair.lost or pair.added:
                return None
            column = of_each_example(pair.baseline, metric)
            if column is None:
                return None
            rows.append(column)
        return np.stack(rows)

    @property
    def has_own(self) -> bool:
        return self._own is not None

    def own_mean(self, metric: str) -> float | None:
        """The candidate's mean over all of its own examples; None where the metric is not a mean."""
        if self._means is None:
            self._means = means(self._own) if self._own is not None else {}
        return self._means.get(metric)

    def has_both(self, run: str | None) -> bool:
        return self._own is not None and run is not None and run in self._evidence.examples

    def fits(self, gate: ResolvedGate) -> bool:
        """Whether the gate's metric is to be compared example by example, judged by its name."""
        if gate.test != "auto":
            return gate.names_paired_test
        return not self._seeds and self._own is not None and (gate.metric in self._own.scores or _is_score(gate.metric))

    def not_by_luck(self, check: Check, run: str | None) -> Check:
        """A check without its PASS by one number, where the candidate lacks the samples that its baseline `run` has."""
        result, gate = check.result, check.gate
        if not (result.point and result.outcome == "PASS" and gate.test == "auto" and self._lacks(gate, run)):
            return check
        result = replace(
            result,
            outcome=undecided(gate),
            reason=f"{result.reason}; the run has no samples of '{gate.metric}', and the baseline has",
            advice="have the training write its samples",
            method=None,
            point=False,
        )
        return Check(gate=gate, result=result)

    def _lacks(self, gate: ResolvedGate, run: str | None) -> bool:
        """Whether only the run that a gate compares with has examples of its metric."""
        theirs = self._evidence.examples.get(run or "")
        if theirs is None or self._seeds or gate.baseline.ref == "mean":
            return False
        scored = gate.metric in theirs.scores or (theirs.labels is not None and _is_score(gate.metric))
        return scored and not self.fits(gate)

    def parts(self, run: str | None, by: Sequence[str]) -> dict[Part, list[int]] | Undecided:
        """Return the slices of the pair with a run, the largest first."""
        pair = self.pair(run)
        if isinstance(pair, Undecided):
            return pair
        key = (run, tuple(by))
        if key not in self._parts:
            try:
                self._parts[key] = joined_examples.slices(pair.candidate, by)
            except KeyError as missing:
                return Undecided(f"the samples have no column {missing}")
        return self._parts[key]

    def slice_run(self, name: str) -> str | None:
        """The run that the slices of a gate are compared with; None where there are no examples of it."""
        run = self._evidence.baselines[name].run
        return run if self.has_both(run) else None

    def lost(self, name: str, by: Sequence[str]) -> list[Part]:
        """The slices that the baseline had and the candidate lacks."""
        theirs = self._evidence.examples.get(self._evidence.baselines[name].run or "")
        return joined_examples.vanished(self._own, theirs, by) if self._own is not None and theirs is not None else []

    def _ask(self, name: str, gate: ResolvedGate, questions: dict[str | None, dict[Key, Question]]) -> None:
        side = self._evidence.baselines[name]
        reference = side.metrics.get(gate.metric)
        if gate.max_regression and reference is not None and math.isfinite(reference) and self.has_both(side.run):
            limit = limit_of(gate.max_regression, reference) or 0.0
            if self.fits(gate):
                rule = rule_of(gate, gate.max_regression, limit, reference)
                questions.setdefault(side.run, {})[name, None, "max_regression"] = _question(gate, rule, None)
        if self._own is not None and gate.test != "point" and self.fits(gate):
            for key, bound in bounds(gate):
                question = _question(gate, bound_rule(gate, key), None, bound)
                questions.setdefault(None, {})[name, None, key] = question
        if gate.slices:
            for part, rows in self._judged(None, gate):
                for key, bound in bounds(gate.slices):
                    question = _question(gate, bound_rule(gate, key), rows, bound)
                    questions.setdefault(None, {})[name, part, key] = question
            run = self.slice_run(name)
            for part, rows in self._judged(run, gate) if run is not None else ():
                if allowed := gate.slices.max_regression:
                    rule = rule_of(gate, allowed, allowed.abs or 0.0, 0.0)
                    questions.setdefault(run, {})[name, part, "max_regression"] = _question(gate, rule, rows)

    def _ask_relative(self, name: str, gate: ResolvedGate, questions: dict[str | None, dict[Key, Question]]) -> None:
        run = self.slice_run(name)
        allowed = gate.slices.max_regression if gate.slices else None
        for part, rows in self._judged(run, gate):
            first = self.answers.get((name, part, "max_regression"))
            if run is None or first is None or isinstance(first, Undecided) or allowed is None:
                continue
            limit = limit_of(allowed, first.baseline)
            if limit is not None and math.isfinite(limit):
                rule = rule_of(gate, allowed, limit, first.baseline)
                questions.setdefault(run, {})[name, part, "max_regression"] = _question(gate, rule, rows)

    def _judged(self, run: str | None, gate: ResolvedGate) -> Iterator[tuple[Part, list[int]]]:
        parts = self.parts(run, gate.slices.by) if gate.slices else {}
        if gate.slices and not isinstance(parts, Undecided):
            yield from ((part, rows) for part, rows in parts.items() if len(rows) >= gate.slices.min_samples)

    def _answer(self, run: str | None, questions: Mapping[Key, Question]) -> None:
        pair = self.pair(run)
        if isinstance(pair, Undecided):
            self.answers.update(dict.fromkeys(questions, pair))
            return
        try:
            from ciplug.stats.paired_tests import answer

            joint = [replace(question, joint=self._joint) for question in questions.values()]
            self.answers.update(zip(questions, answer(pair, joint), strict=True))
        except ModuleNotFoundError as missing:
            reason = Undecided(f"a test example by example needs {missing.name}: pip install 'ciplug[stats]'")
            self.answers.update(dict.fromkeys(questions, reason))


def _question(gate: ResolvedGate, rule: Rule, rows: list[int] | None, limit: float | None = None) -> Question:
    from ciplug.stats.paired_questions import Question

    test = gate.test if gate.test in PAIRED_TESTS else "auto"
    return Question(metric=gate.metric, rule=rule, rows=rows, test=test, limit=limit)


def _is_score(metric: str) -> bool:
    try:
        from ciplug.stats.scores import is_score
    except ModuleNotFoundError:
        return metric == "accuracy"
    return is_score(metric)
