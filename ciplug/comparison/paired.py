"""Which test an evaluation with a score for each example gets, and its answer.

The metric of a question is the name of a numeric column, whose mean is compared; or `accuracy`, which is the share
of predictions that equal their label; or a score over labels and predictions (see `ciplug.comparison.scores`).

| what the examples hold | test |
|---|---|
| 0 and 1, no allowance | exact McNemar |
| 0 and 1, an allowance | paired bootstrap of the mean |
| other numbers | sign-flip permutation |
| clusters | sign-flip permutation of whole clusters |
| a score that is no mean (AUC, F1, …) | paired bootstrap, recomputed on resampled rows or clusters |

Everything but McNemar's test needs numpy: `ModuleNotFoundError` where it is missing is the caller's to put in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ciplug.comparison.examples import Paired
from ciplug.comparison.statistics import Interval, Rule, Undecided

Test = Literal["auto", "mcnemar", "newcombe", "bootstrap", "sign-flip"]


@dataclass(frozen=True, kw_only=True)
class Question:
    metric: str
    rule: Rule
    rows: Sequence[int] | None = None
    """Row numbers of the slice (`ciplug.comparison.examples.slices`); None: all rows."""
    test: Test = "auto"


@dataclass(frozen=True)
class Answer:
    candidate: float
    """The metric of either side on these rows; NaN where it is undefined."""
    baseline: float
    result: Interval | Undecided


def answer(pair: Paired, questions: Sequence[Question]) -> list[Answer]:
    """An answer to each question, in order; those on the same rows share their resamples.

    Resampling is seeded by the data, so that the same files always get the same verdict.
    """
    raise NotImplementedError
