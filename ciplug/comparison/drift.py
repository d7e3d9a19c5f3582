"""Has the data moved? A current window beside a reference, column by column. Pure, standard library alone.

Numbers: the population stability index with a threshold that knows n, or the Kolmogorov–Smirnov test.
Categories: χ². Missing values and categories that the reference never had are said in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ciplug.comparison.statistics import Undecided

DriftTest = Literal["psi", "ks", "chi2"]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One column."""

    test: DriftTest
    statistic: float
    p: float
    """P(a statistic this large | no drift); what `holm` takes over the columns."""
    effect: float
    """Size of the drift whatever n: PSI itself, the KS distance, Cramér's V."""
    reference_n: int
    current_n: int
    missing: tuple[float, float]
    """Share of missing values, reference and current."""
    new: tuple[str, ...] = ()
    """Categories that the reference never had."""

    def drifted(self, *, alpha: float, floor: float, adjusted_p: float | None = None) -> bool:
        """More than noise, and more than `floor`: with a million rows, everything differs from everything."""
        return (self.p if adjusted_p is None else adjusted_p) <= alpha and self.effect >= floor


def numeric(
    reference: Sequence[float], current: Sequence[float], *, test: DriftTest = "psi", bins: int = 10
) -> Drift | Undecided:
    """Drift of a column of numbers; NaN is a missing value. An empty side is Undecided."""
    raise NotImplementedError


def categorical(reference: Sequence[str | None], current: Sequence[str | None]) -> Drift | Undecided:
    """Drift of a column of categories; None is a missing value. An empty side is Undecided."""
    raise NotImplementedError
