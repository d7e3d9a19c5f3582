"""The loss that a gate allows: by itself, or in exchange for the gain of another metric."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ciplug.config import kinds, values
from ciplug.config.kinds import Mistake, Scalar, Table, key


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """The loss against the baseline that is allowed; with both parts, a gate fails only beyond both."""

    abs: float | None = key(kinds.ALLOWED_LOSS)
    """The allowance in the metric's own unit."""
    rel: float | None = key(kinds.FRACTION)
    """The allowance as a fraction of |baseline|."""

    def mistakes(self) -> Iterator[Mistake]:
        if self.abs is None and self.rel is None:
            yield Mistake((), "give 'abs', 'rel' or both")


def _allowance(value: Any) -> Any:
    """Read `10%` as a fraction of the baseline's value, and a number as an amount of the metric."""
    if isinstance(value, str):
        return Allowance(rel=values.fraction(value))
    return value if isinstance(value, dict) else Allowance(abs=values.allowed_loss(value))


ALLOWANCE = Table(Allowance, "{rel: 10%, abs: 2}", _allowance, ({"type": "number", "minimum": 0}, kinds.PERCENT_FORM))


def _improvement(value: Any) -> Allowance:
    """Read a gain: `20%` of the baseline's value, or an amount of the metric. Raises ValueError."""
    allowance = Allowance(rel=values.fraction(value)) if isinstance(value, str) else Allowance(abs=values.number(value))
    if not (allowance.rel or allowance.abs or 0) > 0:
        raise ValueError(f"an improvement above 0 is expected, like 20% or 5, not {values.shown(value)}")
    return allowance


IMPROVEMENT = Scalar(_improvement, {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, kinds.PERCENT_FORM]})


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """A larger loss, which is allowed only if the metric of another gate has improved."""

    max_regression: Allowance = kinds.required(ALLOWANCE)
    """The loss that is then allowed."""
    gate: str = kinds.required(kinds.TEXT)
    """The gate whose metric has to improve, compared with the same baseline."""
    min_improvement: Allowance = kinds.required(IMPROVEMENT)
    """The improvement of that metric: an amount, or a percentage of the baseline's value."""

    def exceeds(self, allowed: Allowance) -> bool | None:
        """Whether it allows more than the rule of the gate; None where the two are in different units."""
        parts = [(self.max_regression.abs, allowed.abs), (self.max_regression.rel, allowed.rel)]
        if any((ours is None) != (theirs is None) for ours, theirs in parts):
            return None
        return any(ours > theirs for ours, theirs in parts if ours is not None and theirs is not None)


TRADE_OFF = Table(TradeOff, "{max_regression: 0.005, gate: latency_ms, min_improvement: 20%}")
