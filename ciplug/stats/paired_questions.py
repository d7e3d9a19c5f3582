"""What is asked of two files of examples, and what is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ciplug.stats.intervals import Interval, Rule, Undecided

Test = Literal["auto", "mcnemar", "newcombe", "tango", "t", "bootstrap", "sign-flip"]


@dataclass(frozen=True, kw_only=True)
class Question:
    metric: str
    rule: Rule
    rows: Sequence[int] | None = None
    """Row numbers of the slice (`ciplug.stats.joined_examples.slices`); None: all rows."""
    test: Test = "auto"
    limit: float | None = None
    """The bound that the candidate's metric is held against, in the place of the baseline's."""
    joint: bool = False
    """Whether the interval is to have the influence of each example."""


@dataclass(frozen=True)
class Answer:
    candidate: float
    """The metric of either side on these rows; NaN where it is undefined. Of the candidate on those that it has."""
    baseline: float
    result: Interval | Undecided
    unknown: int = 0
    """Examples whose answer is not known on a side."""
