"""Choose and run the test for an evaluation with a score for each example.

The metric of a question is the name of a numeric column, whose mean is compared; or `accuracy`, which is the share
of predictions that equal their label; or a score over labels and predictions (see `ciplug.stats.scores`).

| what the examples hold | test |
|---|---|
| 0 and 1, no allowance | exact McNemar |
| 0 and 1, an allowance | Tango's score interval; of a relative allowance, Newcombe's for pairs |
| other numbers, clusters, or weights | Student's t with Hall's correction for skewness, of examples or clusters |
| recall | as 0 and 1, on the examples of the class |
| F1, precision, balanced accuracy, AUC | the same t, on the influence of each example |
| another score of sklearn | paired bootstrap, recomputed on resampled rows or clusters |

Against a bound, one side alone is asked in the same way; of 0 and 1 with Clopper and Pearson's interval. Where an
answer is not known, it is given the worst and the best value: what both lead to is decided.

Everything but McNemar's test needs numpy; importing this module without it raises ModuleNotFoundError.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ciplug.errors import counted
from ciplug.stats import scores, smooth_scores
from ciplug.stats.intervals import LARGEST, Interval, Undecided, Unit
from ciplug.stats.joined_examples import Paired, take
from ciplug.stats.max_t import influence_of
from ciplug.stats.mean_tests import effective_size, skewed_mean, unchanged
from ciplug.stats.paired_proportions import tango
from ciplug.stats.paired_questions import Answer, Question, Test
from ciplug.stats.proportions import mcnemar, newcombe_paired, share
from ciplug.stats.resampling import Floats, bootstrap_mean, sign_flip
from ciplug.stats.score_columns import cluster_index, labels_and_predictions, positive_class, seed_of, weights_of
from ciplug.stats.unknown_answers import FIND, rows_without_answer, with_unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ciplug.records.examples import Examples
    from ciplug.stats.score_columns import Indices

Sides: TypeAlias = "tuple[Floats, Floats] | Undecided | None"
"""A column of candidate and baseline; None where the metric is not the mean of one."""


def answer(pair: Paired, questions: Sequence[Question]) -> list[Answer]:
    """An answer to each question, in order; those on the same rows share their resamples.

    Resampling is seeded by the ids of the rows, so that the same files always get the same verdict.
    """
    unknown = {metric: rows_without_answer(pair, metric) for metric in {question.metric for question in questions}}
    if any(unknown.values()):
        return with_unknown(pair, questions, unknown, answer)
    columns = {metric: _columns(pair, metric) for metric in {question.metric for question in questions}}
    clusters = cluster_index(pair.candidate)
    same = _same_answers(pair)
    name = _name_of(pair) if any(question.joint for question in questions) else ""
    by_rows: dict[int, list[int]] = {}
    for number, question in enumerate(questions):
        by_rows.setdefault(id(question.rows), []).append(number)
    answers: dict[int, Answer] = {}
    for numbers in by_rows.values():
        of_name = {number: questions[number] for number in numbers}
        answers.update(_on_same_rows(pair, clusters, columns, of_name, same=same, name=name))
    return [answers[number] for number in range(len(questions))]


def _same_answers(pair: Paired) -> bool:
    """Whether every number and prediction is the same, and so many numbers differ that no other model has them."""
    if pair.candidate is pair.baseline or pair.candidate.predictions != pair.baseline.predictions:
        return False
    ours, theirs = pair.candidate.scores, pair.baseline.scores
    if ours.keys() != theirs.keys():
        return False
    columns = [(np.asarray(ours[name]), np.asarray(theirs[name])) for name in ours]
    alike = all(np.array_equal(new, old, equal_nan=True) for new, old in columns)
    return alike and any(len(np.unique(new)) >= max(5, len(new) / 2) for new, _ in columns)


def _on_same_rows(
    pair: Paired,
    clusters: Indices | None,
    columns: Mapping[str, Sides],
    questions: Mapping[int, Question],
    *,
    same: bool,
    name: str,
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
            interval = answers[number].result
            if question.joint and isinstance(interval, Interval) and (each := _influence(part, question)) is not None:
                units = chosen if clusters is None else clusters[chosen]
                interval = replace(interval, influence=influence_of(name, units, each))
                answers[number] = replace(answers[number], result=interval)
        else:
            means = _Means(pair, chosen, sides, clusters=clusters, question=question, name=name)
            if (result := means.test()) is None:
                flips.setdefault(means.rows.tobytes(), {})[number] = means
            else:
                answers[number] = means.answer(result)
        if same and question.limit is None and number in answers and isinstance(answers[number].result, Interval):
            answers[number] = replace(answers[number], result=unchanged(len(chosen), question.rule))
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
        clusters: Indices | None,
        question: Question,
        name: str,
    ) -> None:
        new, old = sides[0][rows], sides[1][rows]
        has = ~(np.isnan(new) & np.isnan(old))
        rule, limit = question.rule, question.limit
        self.question = question
        self.rows, self.new, self.old = rows[has], new[has], old[has]
        self._clusters = None if clusters is None else np.unique(clusters[self.rows], return_inverse=True)[1]
        self.weights = weights_of(pair.candidate, self.rows)
        # A difference beyond every float is told by `test`.
        with np.errstate(over="ignore", invalid="ignore"):
            self.plain = rule.sign * (self.new - (self.old if limit is None else limit))
            self.margins = self.plain if rule.scale == 1 else rule.sign * (self.new - rule.scale * self.old)
        self._ids = pair.candidate.ids
        self._name = name
        self._units = self.rows if clusters is None else clusters[self.rows]
        self._total = len(rows)

    def answer(self, result: Interval | Undecided) -> Answer:
        weights = np.ones(len(self.rows)) if self.weights is None else self.weights / self.weights.mean()
        with np.errstate(over="ignore", invalid="ignore"):
            new, old = (float((side * weights).mean()) if len(side) else math.nan for side in (self.new, self.old))
        if isinstance(result, Interval):
            influence = None
            if self.question.joint:
                mean = float((self.margins * weights).mean())
                influence = influence_of(self._name, self._units, (self.margins - mean) * weights)
            result = replace(result, notes=(*result.notes, *self._about_the_rows()), influence=influence)
        return Answer(new if math.isfinite(new) else math.nan, old if math.isfinite(old) else math.nan, result)

    def _about_the_rows(self) -> Iterator[str]:
        if len(self.rows) < self._total:
            yield f"{len(self.rows):,} of {self._total:,} examples have '{self.question.metric}', on both sides"
        if self.weights is not None:
            sizes = self.weights
            if self._clusters is not None:
                sizes = np.bincount(self._clusters, self.weights).astype(np.float64)
            units = counted(len(sizes), "example" if self._clusters is None else "cluster")
            yield f"by their weights, {units} count as {math.floor(effective_size(sizes)):,} of equal weight"

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
        largest = float(np.abs(self.plain).max())
        if largest and not 1 / LARGEST < largest < 2 * LARGEST:
            reason = f"'{metric}' differs by {largest:g}, which is too large or too small to compute with"
            return Undecided(reason, advice=FIND)
        binary = bool(np.isin(self.new, (0, 1)).all() and np.isin(self.old, (0, 1)).all())
        if self.question.limit is not None:
            return self._beside_a_bound(binary, self.question.limit)
        return self._compared(self._chosen(binary), binary)

    def _compared(self, test: Test, binary: bool) -> Interval | Undecided | None:
        rule, clustered = self.question.rule, self._clusters is not None
        if self.weights is not None and test in ("mcnemar", "newcombe", "tango", "bootstrap"):
            reason = f"the test '{test}' takes no weights of examples"
            return Undecided(reason, advice="use test: t, sign-flip or auto")
        if test in ("mcnemar", "newcombe", "tango") and (not binary or clustered):
            return Undecided(f"the test '{test}' needs scores of 0 and 1, and no clusters")
        if test == "mcnemar" and rule.allowed:
            return Undecided("McNemar's test takes no allowance: use 'tango' or 'newcombe'")
        if test == "tango" and rule.scale != 1:
            return Undecided("Tango's interval takes no percentage as allowance: use 'newcombe'")
        if test == "bootstrap" and clustered:
            return Undecided("a mean over clusters is tested by 't' or 'sign-flip'")
        if test == "sign-flip":
            return None
        if test == "bootstrap":
            interval = bootstrap_mean(self.margins, rule.margin)
            return interval if isinstance(interval, Undecided) else rule.of_margin(interval)
        if test == "t":
            return self._by_t()
        losses, wins = int((self.new < self.old).sum()), int((self.new > self.old).sum())
        n = len(self.new)
        if test == "mcnemar" and losses + wins:
            return mcnemar(losses=losses, wins=wins, n=n, rule=rule)
        if test in ("tango", "mcnemar"):
            return tango(losses=losses, wins=wins, n=n, rule=rule)
        if test == "newcombe":
            both = int((self.new * self.old).sum())
            neither = n - both - losses - wins
            return newcombe_paired(both=both, losses=losses, wins=wins, neither=neither, rule=rule)
        return Undecided(f"the test '{test}' cannot compare example by example")

    def _by_t(self) -> Interval | Undecided:
        spread = max(float(self.new.max()), float(self.old.max())) - min(float(self.new.min()), float(self.old.min()))
        spread = min(spread, sys.float_info.max)
        # Scores that are all the same say nothing about their range: what they are is then a guess of it.
        spread = spread or float(abs(self.new[0])) or 1.0
        return skewed_mean(
            self.margins, self.plain, spread, self.question.rule, groups=self._clusters, weights=self.weights
        )

    def _beside_a_bound(self, binary: bool, limit: float) -> Interval | Undecided:
        if binary and self._clusters is None and self.weights is None:
            return share(int(self.new.sum()), len(self.new), limit, self.question.rule)
        return self._by_t()

    def _chosen(self, binary: bool) -> Test:
        if self.question.test != "auto":
            return self.question.test
        rule = self.question.rule
        if not binary or self._clusters is not None or self.weights is not None:
            return "t"
        if rule.scale != 1:
            return "newcombe"
        return "tango" if rule.allowed else "mcnemar"


def _flipped(pair: Paired, clusters: Indices | None, questions: dict[int, _Means]) -> dict[int, Answer]:
    """Sign flips of many metrics on the same rows."""
    rows = next(iter(questions.values())).rows
    weights = next(iter(questions.values())).weights
    each = np.ones(len(rows)) if weights is None else weights / weights.mean()
    groups = np.arange(len(rows)) if clusters is None else np.unique(clusters[rows], return_inverse=True)[1]
    sizes = np.bincount(groups, each).astype(np.float64)
    sums = [np.bincount(groups, each * means.margins, len(sizes)).astype(np.float64) for means in questions.values()]
    rules = [means.question.rule for means in questions.values()]
    seed = seed_of([pair.candidate.ids[row] for row in rows])
    unit: Unit = "example" if clusters is None else "cluster"
    intervals = sign_flip(np.stack(sums, axis=1), sizes, [rule.margin for rule in rules], seed=seed, unit=unit)
    results = [
        one if isinstance(one, Undecided) else rule.of_margin(one) for one, rule in zip(intervals, rules, strict=True)
    ]
    return {number: means.answer(result) for (number, means), result in zip(questions.items(), results, strict=True)}


def _score(pair: Paired, question: Question) -> Answer:
    if question.limit is not None:
        return Answer(*scores.beside(pair, question.metric, question.limit, question.rule))
    if question.test not in ("auto", "t", "bootstrap"):
        reason = f"'{question.metric}' is not a mean over examples: its test is 'bootstrap', not '{question.test}'"
        return Answer(math.nan, math.nan, Undecided(reason))
    return Answer(*scores.compare(pair, question.metric, question.rule, resample=question.test == "bootstrap"))


def _influence(pair: Paired, question: Question) -> Floats | None:
    return smooth_scores.influence_of(pair, question.metric, question.rule, question.limit)


def _name_of(pair: Paired) -> str:
    """The examples and their clusters, as one name."""
    parts = (*pair.candidate.ids, "", *(pair.candidate.clusters or ()))
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def _part(pair: Paired, rows: Indices) -> Paired:
    chosen = rows.tolist()
    return Paired(take(pair.candidate, chosen), take(pair.baseline, chosen))


def of_each_example(side: Examples, metric: str) -> Floats | None:
    """The numbers whose mean the metric is, all finite; None where it is not a mean, or one of them is missing."""
    if metric in side.scores:
        column = np.asarray(side.scores[metric], np.float64)
        return column if np.isfinite(column).all() else None
    if metric != "accuracy" or side.labels is None or side.predictions is None:
        return None
    pairs = list(zip(side.labels, side.predictions, strict=True))
    return None if any(None in one for one in pairs) else np.array([a == b for a, b in pairs], np.float64)


def _columns(pair: Paired, metric: str) -> Sides:
    """The numbers whose mean the metric is, on either side; None where it is not a mean."""
    new, old = pair.candidate.scores.get(metric), pair.baseline.scores.get(metric)
    if new is not None and old is not None:
        return np.asarray(new, np.float64), np.asarray(old, np.float64)
    if (new is None) != (old is None):
        lacks, has = (pair.candidate, pair.baseline) if new is None else (pair.baseline, pair.candidate)
        return Undecided(f"{lacks.source} has no column '{metric}', but {has.source} has")
    if metric not in ("accuracy", "recall"):
        return None
    columns = labels_and_predictions(pair)
    if isinstance(columns, Undecided):
        return columns
    labels, *predictions = columns
    right = [(predicted == labels).astype(np.float64) for predicted in predictions]
    if metric == "recall":
        positive = positive_class(metric, *columns)
        if isinstance(positive, Undecided):
            return positive
        # Of the other class, an example has no recall.
        right = [np.where(labels == positive, side, np.nan) for side in right]
    return right[0], right[1]
