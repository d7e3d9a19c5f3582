"""One rule of a gate, before all tests of a run are corrected together; and what each outcome of a rule does."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ciplug.gates import reason_text
from ciplug.gates.outcomes import outcome_of
from ciplug.records.verdict import GateResult, Outcome
from ciplug.stats.intervals import Decision, Interval, Rule, decide

if TYPE_CHECKING:
    from ciplug.config.allowance import Allowance
    from ciplug.config.gate import ResolvedGate, Slices

RTOL = 1e-9
RuleKey = Literal["min", "max", "max_regression"]


@dataclass(frozen=True, kw_only=True)
class Traded:
    """What a trade-off makes of a comparison."""

    decision: Decision
    """Before all tests of the run are corrected together."""
    p: float
    """Of its FAIL."""
    clause: str
    """What the other metric has gained, for the reason."""
    advice: str | None = None
    """What to do where it decides nothing; None: collect more data."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A result, which an interval and the other tests of the run may still decide."""

    gate: ResolvedGate
    """With its defaults filled in."""
    result: GateResult
    rule: RuleKey | None = None
    """The key of the policy; None: of none, or of all rules at once."""
    interval: Interval | None = None
    lost: int = 0
    """Examples of the baseline that the candidate lacks."""
    unknown: int = 0
    """Examples whose answer is not known on a side, those among them."""
    traded: Traded | None = None
    """Beside an interval: what the trade-off of the gate makes of it."""

    @property
    def p(self) -> float | None:
        """The p-value of a FAIL; None where there is no test."""
        if self.traded is not None:
            return self.traded.p
        return None if self.interval is None else self.interval.p


def failed(gate: ResolvedGate) -> Outcome:
    """The outcome of a rule that does not hold."""
    return outcome_of("fails", gate.severity)


def missing(gate: ResolvedGate) -> Outcome:
    """The outcome where the run lacks what is judged."""
    return outcome_of("missing", gate.severity, gate.on_missing)


def no_baseline(gate: ResolvedGate) -> Outcome:
    """The outcome where there is nothing to compare with, and nothing is wrong with that."""
    return outcome_of("no_baseline", gate.severity, gate.on_no_baseline)


def undecided(gate: ResolvedGate) -> Outcome:
    return outcome_of("undecided", gate.severity, gate.on_inconclusive)


def bounds(rules: ResolvedGate | Slices) -> Iterator[tuple[Literal["min", "max"], float]]:
    """The bounds that are set."""
    if rules.min is not None:
        yield "min", rules.min
    if rules.max is not None:
        yield "max", rules.max


def within(value: float, key: Literal["min", "max"], bound: float) -> bool:
    """Whether the bound holds. NaN is within none."""
    return value >= bound if key == "min" else value <= bound


def tolerance(gate: ResolvedGate, *values: float) -> float:
    """The loss that rounding alone may cause, relative to the values, and what the user's `atol` adds."""
    return gate.atol + RTOL * max(map(abs, values), default=0.0)


def limit_of(allowed: Allowance, reference: float) -> float | None:
    """The allowance in the metric's own unit, by the measured baseline; None for a percentage of 0."""
    relative = allowed.rel * abs(reference) if allowed.rel is not None and reference != 0 else None
    parts = [part for part in (allowed.abs, relative) if part is not None]
    return min(max(parts), sys.float_info.max) if parts else None


def rule_of(gate: ResolvedGate, allowed: Allowance, limit: float, reference: float, *values: float) -> Rule:
    """The rule of a comparison; `limit` is the allowance by the measured baseline, `reference`.

    Where the percentage is what allows more, the baseline is multiplied instead (`ciplug.stats.intervals`).
    """
    up = bool(gate.higher_is_better)
    relative = allowed.rel is not None and reference != 0 and (allowed.abs is None or limit > allowed.abs)
    share = (allowed.rel or 0.0) * math.copysign(1, reference) * (1 if up else -1) if relative else 0.0
    return Rule(
        higher_is_better=up,
        allowed=limit,
        alpha=gate.alpha,
        tolerance=tolerance(gate, reference, *values),
        scale=1 - share,
    )


def bound_rule(gate: ResolvedGate, key: Literal["min", "max"]) -> Rule:
    """The rule of a bound: d is s·(value − bound), and none of it may be lost. It has no tolerance."""
    return Rule(higher_is_better=key == "min", alpha=gate.alpha)


def settled(check: Check, adjusted_p: float | None, alpha_at: Callable[[int], float] | None = None) -> GateResult:
    """The result; where there is an interval, decided by it.

    Args:
        adjusted_p: corrected for the other tests of the run.
        alpha_at: the error rate at which so many seeds are judged.
    """
    interval = check.interval
    if interval is None:
        return check.result
    from ciplug.stats.power import underpowered

    decision = _decide(check, interval, adjusted_p)
    low, high = (interval.low, interval.high) if interval.rule.sign > 0 else (-interval.high, -interval.low)
    bound = check.result.limit if check.rule in ("min", "max") else None
    if bound is not None:
        low, high = low + bound, high + bound
    warning = underpowered(interval) if decision == "PASS" else None
    result = replace(
        check.result,
        outcome=_outcome(decision, check.gate),
        advice=_advice(decision, check, interval, alpha_at),
        method=interval.method,
        confidence=1 - 2 * interval.rule.alpha,
        low=low,
        high=high,
        p=check.p if adjusted_p is None else adjusted_p,
        n=interval.n,
        notes=(*check.result.notes, *interval.notes, *([warning] if warning else [])),
    )
    if bound is not None:
        return replace(result, reason=reason_text.bound_by_interval(result, decision, least=check.rule == "min"))
    clause = check.traded.clause if check.traded else ""
    return replace(result, reason=reason_text.by_interval(result, interval, decision, clause))


def _decide(check: Check, interval: Interval, adjusted_p: float | None) -> Decision:
    if check.traded is None:
        return decide(interval, adjusted_p=adjusted_p)
    fails = check.traded.decision == "FAIL"
    borne_out = adjusted_p is None or adjusted_p <= interval.rule.alpha
    return "INCONCLUSIVE" if fails and not borne_out else check.traded.decision


def _outcome(decision: Decision, gate: ResolvedGate) -> Outcome:
    if decision == "FAIL":
        return failed(gate)
    return undecided(gate) if decision == "INCONCLUSIVE" else "PASS"


def _advice(
    decision: Decision, check: Check, interval: Interval, alpha_at: Callable[[int], float] | None
) -> str | None:
    if decision != "INCONCLUSIVE":
        return check.result.advice if decision == "FAIL" else None
    from ciplug.stats.power import detectable, more_needed

    if check.traded and check.traded.decision == "INCONCLUSIVE":
        return check.traded.advice or reason_text.TRADE_OFF_OPEN
    if decide(interval) == "FAIL":
        return reason_text.chance_among_many(interval.unit)
    if check.unknown:
        return reason_text.unknown_answers(check.unknown, check.lost)
    more = more_needed(interval, alpha_at)
    if not more and check.rule in ("min", "max"):
        return reason_text.AT_THE_BOUND
    return reason_text.settled_by(interval.unit, more, detectable(interval) + interval.rule.allowed)
