"""Answers that hold whatever the unknown ones are: each is given the worst and the best value (C. F. Manski)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ciplug.errors import counted
from ciplug.stats.intervals import LARGEST, Interval, Undecided, decide, is_measured
from ciplug.stats.joined_examples import Paired, completed, without
from ciplug.stats.paired_questions import Answer, Question

Ask: TypeAlias = Callable[[Paired, Sequence[Question]], list[Answer]]

FIND = "find this number in the samples, or give the metric another unit"


def rows_without_answer(pair: Paired, metric: str) -> Collection[int]:
    """The rows where a side has no answer that the metric could be computed from, and the other may have one."""
    name = "score" if metric in ("auc", "roc_auc") else metric
    new, old = pair.candidate.scores.get(name), pair.baseline.scores.get(name)
    if new is not None and old is not None:
        ours, theirs = np.asarray(new, np.float64), np.asarray(old, np.float64)
        # Where neither side has a number, the score does not apply.
        absurd = (np.abs(ours) >= LARGEST) | (np.abs(theirs) >= LARGEST)
        unknown = absurd | (np.isnan(ours) != np.isnan(theirs))
        return frozenset(np.flatnonzero(unknown).tolist())
    predictions, labels = (pair.candidate.predictions, pair.baseline.predictions), pair.baseline.labels
    if name in pair.candidate.scores or name in pair.baseline.scores or labels is None or None in predictions:
        return frozenset(pair.lost)
    if not any(None in side for side in predictions if side is not None):
        return frozenset()
    rows = zip(*filter(None, predictions), labels, strict=True)
    return frozenset(row for row, (a, b, label) in enumerate(rows) if label is not None and None in (a, b))


def with_unknown(
    pair: Paired, questions: Sequence[Question], unknown: Mapping[str, Collection[int]], answer: Ask
) -> list[Answer]:
    """Answers that hold whatever the unknown answers are.

    Args:
        unknown: metric → the rows without an answer to it.
        answer: answers questions on pairs in which every answer is known.
    """
    answers: dict[int, Answer] = {}
    for metric, rows in unknown.items():
        numbers = [number for number, question in enumerate(questions) if question.metric == metric]
        group = [questions[number] for number in numbers]
        if rows:
            alone = [replace(question, joint=False) for question in group]
            answers.update(zip(numbers, _bounded(pair, metric, alone, rows, answer), strict=True))
        else:
            answers.update(zip(numbers, answer(pair, group), strict=True))
    return [answers[number] for number in range(len(questions))]


def _bounded(
    pair: Paired, metric: str, questions: Sequence[Question], unknown: Collection[int], answer: Ask
) -> list[Answer]:
    """Answers to questions about one metric, from the worst and the best that the unknown answers could be."""
    no_number = _no_number(pair, metric, unknown)
    if no_number and len(unknown) == len(pair):
        return [Answer(math.nan, math.nan, no_number, len(pair))] * len(questions)
    row_of = {row: at for at, row in enumerate(row for row in range(len(pair)) if row not in unknown)}
    of_known = [
        q if q.rows is None else replace(q, rows=[row_of[row] for row in q.rows if row in row_of]) for q in questions
    ]
    known = answer(without(pair, unknown), of_known)
    ends = [completed(pair, metric, unknown, best=best) for best in (False, True)]
    counts = [len(unknown) if q.rows is None else sum(row in unknown for row in q.rows) for q in questions]
    if open_end := next((end for end in ends if isinstance(end, Undecided)), None):
        return [
            Answer(one.candidate, one.baseline, open_end, count) if count else one
            for one, count in zip(known, counts, strict=True)
        ]
    low, high = (answer(end, questions) for end in ends if isinstance(end, Paired))
    reasons = tuple(_why_unknown(pair, metric, unknown))
    answers = [
        _between(one, worst, best, reasons, count) if count else one
        for one, worst, best, count in zip(known, low, high, counts, strict=True)
    ]
    # How bad a number is that is none, nobody knows: it never passes. It fails where the best number would.
    return [
        replace(one, result=no_number)
        if no_number and one.unknown and isinstance(one.result, Interval) and decide(one.result) != "FAIL"
        else one
        for one in answers
    ]


def _no_number(pair: Paired, metric: str, unknown: Collection[int]) -> Undecided | None:
    """Why a metric has no value, where examples that both sides have lack a number in its column."""
    silent = sorted(set(unknown) - set(pair.lost) - pair.unclear)
    for side, whose in ((pair.candidate, "the candidate"), (pair.baseline, "the baseline")):
        column = side.scores.get(metric, ())
        if column and (bad := [row for row in silent if not is_measured(column[row])]):
            first = side.ids[bad[0]][:40]
            count = f"{len(bad):,} of {len(column):,} examples"
            what = f"beyond {LARGEST:g}" if all(math.isfinite(column[row]) for row in bad) else "not a number"
            return Undecided(f"'{metric}' is {what} in {count} of {whose}, the first is {first!r}", advice=FIND)
    return None


def _why_unknown(pair: Paired, metric: str, unknown: Collection[int]) -> Iterator[str]:
    if pair.lost:
        yield f"the run lacks {counted(len(pair.lost), 'example')} of the baseline"
    yield from pair.why
    if silent := sorted(set(unknown) - set(pair.lost) - pair.unclear):
        has = "has" if len(silent) == 1 else "have"
        first = pair.baseline.ids[silent[0]][:40]
        yield f"{counted(len(silent), 'example')} {has} no answer for '{metric}' on a side, the first is {first!r}"


def _between(known: Answer, low: Answer, high: Answer, reasons: Sequence[str], unknown: int) -> Answer:
    """One answer from those to the known rows, and to all rows with the lowest and with the highest metric."""
    if not (
        isinstance(known.result, Interval) and isinstance(low.result, Interval) and isinstance(high.result, Interval)
    ):
        undecided = next(r for r in (known.result, low.result, high.result) if isinstance(r, Undecided))
        return Answer(known.candidate, low.baseline, undecided, unknown)
    best = high.result if high.result.estimate >= low.result.estimate else low.result
    note = f"{'; '.join(reasons)}: the interval holds for the worst and for the best that the answers could be"
    result = replace(
        known.result,
        low=min(low.result.low, high.result.low),
        high=max(low.result.high, high.result.high),
        p=best.p,
        notes=(*known.result.notes, note),
    )
    # A baseline that is not known itself is that of the known rows.
    baseline = low.baseline if low.baseline == high.baseline else known.baseline
    return Answer(known.candidate, baseline, result, unknown)
