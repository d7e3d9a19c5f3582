"""Is a difference more than noise? The terms that all tests share, and the decision.

Everything looks at d = s·(candidate − baseline), s = +1 where higher is better, else −1, so that a negative d is
a loss; for a bound, it is s·(candidate − bound), with s = +1 for `min`. A `Rule` says how much loss is allowed (R) and
at which error rate (α); each test answers with an `Interval`, or with `Undecided` and its reason. `decide` turns the
interval into a decision. Both bounds are one-sided at α, so the interval's confidence is 1 − 2α, and for a test that
holds its level:

- a candidate that is no more than R worse FAILs with a probability of α at most (d = −R being the worst case),
- a candidate that is more than R worse PASSes with a probability of α at most.

`Interval.p` is the p-value of the first: of data this bad or worse while d ≥ −R. `stats/holm.py` corrects it.

A relative allowance is r·|baseline|, and the baseline is measured with an error, too. So it is not put in the place of
R as if it were known: the tests look at the margin s·(candidate − k·baseline), k = 1 − s·r·sign(baseline), whose limit
is 0, and `Rule.of_margin` gives the interval that belongs to d.

The tests are in `proportions`, `paired_proportions`, `means`, `skewed`, `resampling` and `scores`; `paired_tests`
chooses one for scores by example.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ciplug.stats.contributions import Contributions

LARGEST = 1e100
"""Larger numbers have squares that no float can hold, and nobody has measured one: they are taken as infinite."""


def is_measured(value: float) -> bool:
    """Whether a number can be one that somebody measured: NaN, infinity and absurd numbers can not."""
    return abs(value) < LARGEST


Decision = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Unit = Literal["example", "cluster", "seed", "run", "other example", "rare example"]
"""What `n` counts: examples, clusters, seeds (runs per side), earlier runs, examples of which each side has others, or
examples of the rarest class."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rule of a comparison. Raises ValueError for numbers out of range."""

    higher_is_better: bool
    allowed: float = 0.0
    """R in the metric's own unit; of a relative allowance, by the measured baseline. Below 0: a gain is asked for."""
    alpha: float = 0.05
    """One-sided error rate, 0 < α < 0.5."""
    tolerance: float = 0.0
    """Added to R: what rounding alone may cost."""
    scale: float = 1.0
    """k of a relative allowance, which the baseline is multiplied by; 1: the allowance is absolute."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.allowed) and 0 <= self.tolerance < math.inf):
            raise ValueError(f"an allowance must be a finite number: {self.allowed}, {self.tolerance}")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"an error rate must be between 0 and 0.5: {self.alpha}")

    @property
    def sign(self) -> int:
        return 1 if self.higher_is_better else -1

    @property
    def bound(self) -> float:
        """The least d that the rule allows: −R, less the tolerance."""
        return -self.allowed - self.tolerance

    @property
    def margin(self) -> Rule:
        """The rule on s·(candidate − k·baseline); the rule itself where the allowance is absolute."""
        return self if self.scale == 1 else replace(self, allowed=0.0, scale=1.0)

    def of_margin(self, result: Interval) -> Interval:
        """Return the interval of d from that of the margin, by `margin`: they decide alike."""
        if self.scale == 1:
            return result
        return replace(
            result,
            estimate=result.estimate - self.allowed,
            low=result.low - self.allowed,
            high=result.high - self.allowed,
            rule=self,
        )


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The estimate and confidence interval of d, under a rule."""

    estimate: float
    """d as measured."""
    low: float
    high: float
    p: float
    """P(data this bad or worse | d = −R), one-sided."""
    method: str
    """The statistical term, for the report: "Welch's t-test on seed means"."""
    n: int
    """Units of the smaller side; more of them would narrow the interval."""
    unit: Unit
    rule: Rule
    error: float | None = None
    """The standard error of the estimate; None where the reach of the interval is the best that is known of it."""
    floor: int = 0
    """Units from which on the test has its usual reach; with fewer, its interval is wider."""
    notes: tuple[str, ...] = ()
    """Sentences that the reader must see beside the verdict."""
    influence: Contributions | None = field(default=None, compare=False, repr=False)
    """What each example adds to the estimate, where tests are corrected by how they go together."""


@dataclass(frozen=True)
class Undecided:
    """The data do not allow the test: INCONCLUSIVE, with the reason."""

    reason: str
    differs: bool = False
    """Candidate and baseline were not evaluated on the same examples."""
    no_interval: bool = False
    """Nothing is wrong with the data, but this metric has no interval of its own."""
    advice: str | None = None
    """What to do about it; None: record what is missing."""


def decide(interval: Interval, *, adjusted_p: float | None = None) -> Decision:
    """FAIL if all of the interval lies below −R, PASS if none of it does, else INCONCLUSIVE.

    `adjusted_p` is the p-value after Holm's correction over all tests that can FAIL: a FAIL that it does not bear
    out is INCONCLUSIVE. A bound or p-value that is NaN never passes and never fails.
    """
    bound = interval.rule.bound
    if interval.low >= bound and interval.high >= interval.low:
        return "PASS"
    if interval.high < bound and (adjusted_p is None or adjusted_p <= interval.rule.alpha):
        return "FAIL"
    return "INCONCLUSIVE"
