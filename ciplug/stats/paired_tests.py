"""Choose and run the test for an evaluation with a score for each example.

The metric of a question is the name of a numeric column, whose mean is compared; or `accuracy`, which is the share
of predictions that equal their label; or a score over labels and predictions (see `ciplug.stats.scores`).

| what the examples hold | test |
|---|---|
| 0 and 1, no allowance | exact McNemar |
| 0 and 1, an allowance | paired bootstrap of the mean |
| other numbers | sign-flip permutation |
| clusters | sign-flip permutation of whole clusters |
| a score that is not a mean (AUC, F1, …) | paired bootstrap, recomputed on resampled rows or clusters |

Everything but McNemar's test needs numpy; importing this module without it raises ModuleNotFoundError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from ciplug.stats import scores
from ciplug.stats.intervals import LARGEST, Interval, Rule, Undecided
from ciplug.stats.paired_examples import Paired, take
from ciplug.stats.proportions import mcnemar, newcombe_paired
from ciplug.stats.resampling import Floats, bootstrap_mean, sign_flip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indices = NDArray[np.int64]

Sides: TypeAlias = "tuple[Floats, Floats] | Undecided | None"
"""A column of candidate and baseline; None where the metric is not the mean of one."""
Test = Literal["auto", "mcnemar", "newcombe", "bootstrap", "sign-flip"]


@dataclass(frozen=True, kw_only=True)
class Question:
    metric: str
    rule: Rule
    rows: Sequence[int] | None = None
    """Row numbers of the slice (`ciplug.stats.paired_examples.slices`); None: all rows."""
    test: Test = "auto"


@dataclass(frozen=True)
class Answer:
    candidate: float
    """The metric of either side on these rows; NaN where it is undefined."""
    baseline: float
    result: Interval | Undecided


def answer(pair: Paired, questions: Sequence[Question]) -> list[Answer]:
    """An answer to each question, in order; those on the same rows share their resamples.

    Resampling is seeded by the ids of the rows, so that the same files always get the same verdict.
    """
    columns = {metric: _columns(pair, metric) for metric in {question.metric for question in questions}}
    clusters = scores.cluster_index(pair.candidate)
    by_rows: dict[int, list[int]] = {}
    for number, question in enumerate(questions):
        by_rows.setdefault(id(question.rows), []).append(number)
    answers: dict[int, Answer] = {}
    for numbers in by_rows.values():
        answers.update(_on_same_rows(pair, clusters, columns, {number: questions[number] for number in numbers}))
    return [answers[number] for number in range(len(questions))]


def _on_same_rows(
    pair: Paired, clusters: Indices | None, columns: Mapping[str, Sides], questions: Mapping[int, Question]
) -> dict[int, Answer]:
    """Answers to questions that all have the same `rows`, by their number."""
    rows = next(iter(questions.values())).rows
    chosen = np.arange(len(pair)) if rows is None else np.asarray(rows, np.int64)
    if not len(chosen):
        return dict.fromkeys(questions, Answer(math.nan, math.nan, Undecided("there is no example")))
    part = pair if rows is None else None
    answers: dict[int, Answer] = {}
    flips: dict[bytes, dict[int, _Means]] = {}
    for number, question in questions.items():
        sides = columns[question.metric]
        if isinstance(sides, Undecided):
            answers[number] = Answer(math.nan, math.nan, sides)
        elif sides is None:
            part = part or _part(pair, chosen)
            answers[number] = _score(part, question)
        else:
            means = _Means(pair, chosen, sides, clustered=clusters is not None, question=question)
            if (result := means.test()) is None:
                flips.setdefault(means.rows.tobytes(), {})[number] = means
            else:
                answers[number] = means.answer(result)
    for together in flips.values():
        answers.update(_flipped(pair, clusters, together))
    return answers


class _Means:
    """A question about the mean of a column, on those of some rows that have it on either side."""

    def __init__(
        self,
        pair: Paired,
        rows: NDArray[np.int64],
        sides: tuple[Floats, Floats],
        *,
        clustered: bool,
        question: Question,
    ) -> None:
        new, old = sides[0][rows], sides[1][rows]
        has = ~(np.isnan(new) & np.isnan(old))
        self.question = question
        self.clustered = clustered
        self.rows, self.new, self.old = rows[has], new[has], old[has]
        self.differences = question.rule.sign * (self.new - self.old)
        self._ids = pair.candidate.ids
        self._total = len(rows)

    def answer(self, result: Interval | Undecided) -> Answer:
        new, old = (float(side.mean()) if len(side) else math.nan for side in (self.new, self.old))
        if isinstance(result, Interval) and len(self.rows) < self._total:
            note = f"{len(self.rows):,} of {self._total:,} examples have '{self.question.metric}', on both sides"
            result = replace(result, notes=(*result.notes, note))
        return Answer(new if math.isfinite(new) else math.nan, old if math.isfinite(old) else math.nan, result)

    def test(self) -> Interval | Undecided | None:
        """The result; None where it is the sign-flip test, which is made for many questions at once."""
        metric = self.question.metric
        if not len(self.rows):
            return Undecided(f"no example has '{metric}'")
        for side, whose in ((self.new, "the candidate"), (self.old, "the baseline")):
            if len(bad := np.flatnonzero(~np.isfinite(side))):
                first = self._ids[self.rows[bad[0]]][:40]
                count = f"{len(bad):,} of {len(side):,} examples"
                return Undecided(f"'{metric}' is not a number in {count} of {whose}, the first is {first!r}")
        largest = float(np.abs(self.differences).max())
        if largest and not 1 / LARGEST < largest < LARGEST:
            return Undecided(f"'{metric}' differs by {largest:g}, which is too large or too small to compute with")
        binary = bool(np.isin(self.new, (0, 1)).all() and np.isin(self.old, (0, 1)).all())
        test = self._chosen(binary)
        if test in ("mcnemar", "newcombe") and (not binary or self.clustered):
            return Undecided(f"the test '{test}' needs scores of 0 and 1, and no clusters")
        if test == "mcnemar" and self.question.rule.allowed:
            return Undecided("McNemar's test takes no allowance: use 'bootstrap' or 'newcombe'")
        if test == "bootstrap" and self.clustered:
            return Undecided("a mean over clusters is tested by 'sign-flip'")
        if test == "sign-flip":
            return None
        if test == "bootstrap":
            return bootstrap_mean(self.differences, self.question.rule)
        losses, wins = int((self.new < self.old).sum()), int((self.new > self.old).sum())
        if test == "mcnemar":
            return mcnemar(losses=losses, wins=wins, n=len(self.new), rule=self.question.rule)
        if test == "newcombe":
            both = int((self.new * self.old).sum())
            neither = len(self.new) - both - losses - wins
            return newcombe_paired(both=both, losses=losses, wins=wins, neither=neither, rule=self.question.rule)
        return Undecided(f"the test '{test}' cannot compare example by example")

    def _chosen(self, binary: bool) -> Test:
        if self.question.test != "auto":
            return self.question.test
        if not binary or self.clustered:
            return "sign-flip"
        return "bootstrap" if self.question.rule.allowed else "mcnemar"


def _flipped(pair: Paired, clusters: Indices | None, questions: dict[int, _Means]) -> dict[int, Answer]:
    """Sign flips of many metrics on the same rows."""
    rows = next(iter(questions.values())).rows
    groups, sizes = _groups(clusters, rows)
    sums = [np.bincount(groups, means.differences, len(sizes)).astype(np.float64) for means in questions.values()]
    rules = [means.question.rule for means in questions.values()]
    seed = scores.seed_of([pair.candidate.ids[row] for row in rows])
    results = sign_flip(np.stack(sums, axis=1), sizes, rules, seed=seed)
    return {number: means.answer(result) for (number, means), result in zip(questions.items(), results, strict=True)}


def _groups(clusters: Indices | None, rows: Indices) -> tuple[Indices, Floats]:
    """The group of each row, counted from 0, and how many rows each has."""
    if clusters is None:
        return np.arange(len(rows)), np.ones(len(rows))
    groups = np.unique(clusters[rows], return_inverse=True)[1]
    return groups, np.bincount(groups).astype(np.float64)


def _score(pair: Paired, question: Question) -> Answer:
    if question.test not in ("auto", "bootstrap"):
        reason = f"'{question.metric}' is not a mean over examples: its test is 'bootstrap', not '{question.test}'"
        return Answer(math.nan, math.nan, Undecided(reason))
    return Answer(*scores.compare(pair, question.metric, question.rule))


def _part(pair: Paired, rows: Indices) -> Paired:
    chosen = rows.tolist()
    return Paired(take(pair.candidate, chosen), take(pair.baseline, chosen))


def _columns(pair: Paired, metric: str) -> Sides:
    """The numbers whose mean the metric is, on either side; None where it is not a mean."""
    new, old = pair.candidate.scores.get(metric), pair.baseline.scores.get(metric)
    if new is not None and old is not None:
        return np.asarray(new, np.float64), np.asarray(old, np.float64)
    if (new is None) != (old is None):
        lacks, has = (pair.candidate, pair.baseline) if new is None else (pair.baseline, pair.candidate)
        return Undecided(f"{lacks.source} has no column '{metric}', but {has.source} has")
    if metric != "accuracy":
        return None
    columns = scores.labels_and_predictions(pair)
    if isinstance(columns, Undecided):
        return columns
    labels, new_predictions, old_predictions = columns
    return (new_predictions == labels).astype(np.float64), (old_predictions == labels).astype(np.float64)
