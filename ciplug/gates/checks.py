"""A rule of a gate on its way to a result: what is known of it before all the tests of a run are seen together."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug.gates.words import shown
from ciplug.records.verdict import GateResult, Outcome
from ciplug.stats.intervals import Interval, decide

if TYPE_CHECKING:
    from ciplug.config.gate import Allowance, Gate

RTOL = 1e-9


@dataclass(frozen=True, kw_only=True)
class Check:
    """A result, which an interval and the other tests of the run may still decide."""

    gate: Gate
    """With its defaults filled in."""
    result: GateResult
    rule: str | None = None
    """The key that a waiver may be for: min, max, max_regression; None: nothing waives it."""
    interval: Interval | None = None


def failed(gate: Gate) -> Outcome:
    """What a rule that does not hold does."""
    return "WARN" if gate.severity == "warning" else "FAIL"


def by(action: str | None, gate: Gate, otherwise: Outcome) -> Outcome:
    """What a named outcome does: `fail` fails, as the gate's severity has it; `warn` is `otherwise`."""
    return failed(gate) if action == "fail" else otherwise


def undecided(gate: Gate) -> Outcome:
    return by(gate.on_inconclusive, gate, "INCONCLUSIVE")


def tolerance(gate: Gate, *values: float) -> float:
    """What rounding alone may cost."""
    return (gate.atol or 0.0) + RTOL * max(map(abs, values), default=0.0)


def limit_of(allowed: Allowance, reference: float) -> float | None:
    """What is allowed in the metric's own unit; None for a percentage of 0."""
    relative = allowed.rel * abs(reference) if allowed.rel is not None and reference != 0 else None
    parts = [part for part in (allowed.abs, relative) if part is not None]
    return min(max(parts), sys.float_info.max) if parts else None


def settled(check: Check, adjusted_p: float | None) -> GateResult:
    """The result; where there is an interval, decided by it. `adjusted_p` is corrected for the run's other tests."""
    from ciplug.stats.power import underpowered

    interval = check.interval
    if interval is None:
        return check.result
    decision = decide(interval, adjusted_p=adjusted_p)
    outcome: Outcome = "PASS"
    advice = None
    if decision == "FAIL":
        outcome, advice = failed(check.gate), check.result.advice
    elif decision == "INCONCLUSIVE":
        outcome, advice = undecided(check.gate), _more(interval, adjusted_p)
    low, high = (interval.low, interval.high) if interval.rule.sign > 0 else (-interval.high, -interval.low)
    confidence = 1 - 2 * interval.rule.alpha
    warning = underpowered(interval) if decision == "PASS" else None
    return replace(
        check.result,
        outcome=outcome,
        advice=advice,
        reason=f"{check.result.reason}; {confidence:.0%} interval of the change {_bound(low)} to {_bound(high)}: "
        + _WORDS[decision],
        method=interval.method,
        confidence=confidence,
        low=low,
        high=high,
        p=interval.p if adjusted_p is None else adjusted_p,
        n=interval.n,
        notes=(*check.result.notes, *interval.notes, *([warning] if warning else [])),
    )


_WORDS = {
    "PASS": "no more than is allowed",
    "FAIL": "more than is allowed, and more than noise",
    "INCONCLUSIVE": "the data do not tell",
}


def _bound(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−") if math.isfinite(value) else shown(value)


def _more(interval: Interval, adjusted_p: float | None) -> str:
    from ciplug.stats.power import more_needed

    if decide(interval) == "FAIL":
        return "alone it would fail; beside the other tests of this run it may be chance: look at more examples"
    if "seed" in interval.method:
        what = "runs with other seeds, on each side,"
    else:
        what = "earlier runs" if "earlier" in interval.method else "examples"
    more = more_needed(interval)
    if more:
        return f"about {more:,} more {what} would settle it"
    return "it lies just on the limit, where no number of them settles it: widen the allowance, or accept the risk"
