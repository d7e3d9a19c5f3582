"""A loss in exchange for a gain: "accuracy may lose 0.5 points only if latency falls by 20%".

The gate allows what its `max_regression` allows (A), or a larger loss (B) together with the gain of another metric (C):
A or (B and C). A PASS is wrong for a candidate that loses more than B allows, or more than A allows without the gain.
So it has to reject both, an intersection–union test (R. L. Berger, 1982); the second is itself a union of two, each of
which is tested at α/2 (C. E. Bonferroni). A FAIL has to reject A, and one of B and C, in the same way. Neither error
exceeds α.

The gain has to be shown: where the metric is missing on either side, or is not a finite number, there is no trade-off,
and the gate decides by its own allowance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug.config.allowance import Allowance
from ciplug.gates import reason_text, regression, rule_text
from ciplug.gates.checks import Check, Traded, failed, limit_of, rule_of, undecided
from ciplug.records.left_out import UNSURE
from ciplug.stats.intervals import Decision, decide

if TYPE_CHECKING:
    from ciplug.config.allowance import TradeOff
    from ciplug.config.gate import Gate
    from ciplug.config.policy import Policy
    from ciplug.gates.by_example import ByExample
    from ciplug.gates.evidence import Evidence
    from ciplug.records.comparison import Side
    from ciplug.records.verdict import GateResult

_KEPT, _LOSS, _GAIN = "\0kept", "\0loss", "\0gain"
"""What is appended to the name of a gate for each part of its trade-off: no name of a gate ends so."""


def with_parts(policy: Policy, evidence: Evidence) -> tuple[Policy, Evidence]:
    """Both with a gate for each part of the trade-offs, so that all tests of the policy are made at once."""
    parts = dict(_parts(policy))
    if not parts:
        return policy, evidence
    baselines = {name: evidence.baselines[name.partition("\0")[0]] for name in parts}
    more = replace(evidence, baselines={**evidence.baselines, **baselines})
    return replace(policy, gates={**policy.gates, **parts}), more


def _parts(policy: Policy) -> Iterator[tuple[str, Gate]]:
    for name, own in policy.gates.items():
        trade_off = own.trade_off
        if trade_off is None:
            continue
        gate, other = policy.resolved(name), policy.gates.get(trade_off.gate)
        least, half = trade_off.min_improvement, gate.alpha / 2
        gain = Allowance(abs=None if least.abs is None else -least.abs, rel=None if least.rel is None else -least.rel)
        yield name + _KEPT, _alone(own, gate.metric, own.max_regression, half)
        yield name + _LOSS, _alone(own, gate.metric, trade_off.max_regression, half)
        if other is not None:
            # `atol` makes a small change equal to none. It must not add to what the metric has gained.
            yield name + _GAIN, replace(_alone(other, policy.metric_of(trade_off.gate), gain, half), atol=0.0)


def _alone(gate: Gate, metric: str, allowed: Allowance | None, alpha: float) -> Gate:
    """The gate with one rule."""
    return replace(
        gate,
        metric=metric,
        max_regression=allowed,
        alpha=alpha,
        trade_off=None,
        min=None,
        max=None,
        trend=None,
        slices=None,
    )


def check(plain: Check, trade_off: TradeOff, policy: Policy, evidence: Evidence, examples: ByExample) -> Check:
    """The check of a gate's max_regression, with its trade-off.

    Args:
        policy: that of `with_parts`, as is the evidence.
    """
    name, value = plain.result.gate, plain.result.candidate
    plain = replace(
        plain, result=replace(plain.result, rule=f"{plain.result.rule}, or {rule_text.trade_off(trade_off)}")
    )
    if value is None or (plain.interval is None and not plain.result.point):
        return plain
    kept, loss = (
        _part(regression.check(name + part, policy.resolved(name + part), value, evidence, examples, policy.seeds))
        for part in (_KEPT, _LOSS)
    )
    gain = _gain(name, trade_off, policy, evidence, examples)
    passes = kept.decision == "PASS" or (loss.decision == "PASS" and gain.decision == "PASS")
    fails = loss.decision == "FAIL" or gain.decision == "FAIL"
    clause = reason_text.traded(trade_off, gain.decision, gain.clause, needed=kept.decision != "PASS")
    undefined = _is_undefined(trade_off, plain.result.baseline)
    if clause and undefined:
        clause = f"{clause}; {reason_text.UNDEFINED_LOSS}"
    advice = regression.ABSOLUTE if undefined else None
    if plain.interval is not None:
        own = decide(plain.interval)
        p = max(plain.interval.p, min(1.0, 2 * min(loss.p, gain.p)))
        decided: Decision = "PASS" if passes else "FAIL" if own == "FAIL" and fails else "INCONCLUSIVE"
        return replace(plain, traded=Traded(decision=decided, p=p, clause=clause, advice=advice))
    if plain.result.outcome == "PASS":
        return plain
    result = _with_means(plain, trade_off, loss, gain)
    result = replace(result, reason=f"{result.reason}; {clause}")
    if passes:
        result = replace(result, outcome="PASS", advice=None)
    else:
        open_advice = result.advice if fails else advice or reason_text.TRADE_OFF_OPEN
        result = replace(result, outcome=failed(plain.gate) if fails else undecided(plain.gate), advice=open_advice)
    return replace(plain, result=result)


@dataclass(frozen=True)
class _Part:
    """What one test says."""

    decision: Decision
    p: float
    """Of its FAIL."""
    clause: str = ""
    method: str | None = None
    """How the mean of the commit's runs was tested; None: one number decided, or nothing did."""
    notes: tuple[str, ...] = ()


def _with_means(plain: Check, trade_off: TradeOff, loss: _Part, gain: _Part) -> GateResult:
    """The result of a comparison of two numbers, where the means of the commit's runs have decided a part."""
    result, allowed = plain.result, plain.gate.max_regression
    by_means = {result.metric: loss, f"the gain of '{trade_off.gate}'": gain}
    methods = [part.method for part in by_means.values() if part.method]
    if not methods or allowed is None:
        return result
    rule = rule_of(plain.gate, allowed, result.limit or 0.0, result.baseline or 0.0, result.candidate or 0.0)
    notes = (f"{what}: {note}" for what, part in by_means.items() for note in part.notes)
    return replace(
        result,
        reason=reason_text.comparison(result, rule, result.limit),
        method=methods[0],
        point=False,
        notes=(*result.notes, *notes),
    )


def _is_undefined(trade_off: TradeOff, reference: float | None) -> bool:
    """Whether the loss that the trade-off allows is a percentage of 0."""
    return reference is not None and limit_of(trade_off.max_regression, reference) is None


def _part(check: Check) -> _Part:
    if check.interval is not None:
        decision, interval = decide(check.interval), check.interval
        return _Part(decision, interval.p, method=interval.method, notes=check.result.notes)
    if check.result.point:
        holds = check.result.outcome == "PASS"
        return _Part("PASS" if holds else "FAIL", 1.0 if holds else 0.0)
    return _Part("INCONCLUSIVE", 1.0)


def _gain(name: str, trade_off: TradeOff, policy: Policy, evidence: Evidence, examples: ByExample) -> _Part:
    """Whether the other metric has improved; without a number on both sides, it has not."""
    other = name + _GAIN
    if other not in policy.gates:
        return _Part("FAIL", 0.0, "it is not judged here")
    gate, side = policy.resolved(other), evidence.baselines[other]
    value, before = evidence.candidate.metrics.get(gate.metric), side.metrics.get(gate.metric)
    problem = _no_number(gate.metric, side, evidence)
    if problem or value is None or before is None:
        return _Part("FAIL", 0.0, problem or "")
    if trade_off.min_improvement.rel is not None and not before:
        return _Part("FAIL", 0.0, "a percentage of the baseline 0 is undefined")
    better = (value - before) * (1 if gate.higher_is_better else -1)
    if 0 < better <= policy.tolerance(trade_off.gate):
        return _Part("FAIL", 0.0, "the change is within its atol: it counts as unchanged")
    part = _part(regression.check(other, gate, value, evidence, examples, policy.seeds))
    return replace(part, clause=reason_text.gained(trade_off, better, before))


def _no_number(metric: str, side: Side, evidence: Evidence) -> str | None:
    """Why the metric is not a number that somebody can rely on, on both sides."""
    value, before = evidence.candidate.metrics.get(metric), side.metrics.get(metric)
    sides: Mapping[str, float | None] = {"the run": value, "the baseline": before}
    for whose, number in sides.items():
        if number is None:
            return f"{whose} has no '{metric}'"
        if not math.isfinite(number):
            return f"the '{metric}' of {whose} is not a finite number"
    if any(one.why in UNSURE for one in evidence.left_out.get(metric, ())):
        return f"the last value of '{metric}' is not known"
    runs = {*evidence.candidate.runs, evidence.candidate.run, *side.runs, side.run}
    if any(metric in evidence.changed.get(run, {}) for run in runs if run):
        return f"'{metric}' was changed after the end of a run"
    return None
