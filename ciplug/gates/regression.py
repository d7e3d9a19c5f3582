"""Rules that compare a metric with its baseline.

d = s·(candidate − baseline), s = +1 where higher is better, else −1. One number a run passes when d ≥ −R − tol,
R being the allowance and tol = 1e-9·max(|candidate|, |baseline|) what rounding takes, plus `atol` where the user sets
one. Where the data tell how uncertain d is, its interval decides (`ciplug.gates.choice_of_test`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.comparison import repeats
from ciplug.gates import reason_text, rule_text
from ciplug.gates.checks import Check, failed, limit_of, no_baseline, rule_of, undecided
from ciplug.gates.choice_of_test import Pair, Tested, best_test
from ciplug.gates.reason_text import POINT
from ciplug.records.notice import MISNAMED, UNSEEN
from ciplug.records.verdict import GateResult
from ciplug.stats.intervals import Rule, Undecided, is_measured

if TYPE_CHECKING:
    from ciplug.config.allowance import Allowance
    from ciplug.config.gate import ResolvedGate
    from ciplug.config.policy import Seeds
    from ciplug.gates.by_example import ByExample
    from ciplug.gates.evidence import Evidence
    from ciplug.records.comparison import Side


def blank(name: str, gate: ResolvedGate, rule: str, value: float | None, side: Side) -> GateResult:
    """The result before anything is compared."""
    reference = side.metrics.get(gate.metric)
    both = value is not None and reference is not None
    return GateResult(
        gate=name,
        metric=gate.metric,
        rule=rule,
        outcome="ERROR",
        reason="",
        candidate=value,
        baseline=reference,
        baseline_run=side.run,
        baseline_label=label(side),
        change=value - reference if both and value is not None and reference is not None else None,
    )


def label(side: Side) -> str | None:
    """The baseline: "merge base 1a2b3c4d", "production (v3)"."""
    if not side.has_numbers:
        return None
    return f"{side.label} {side.commit[:8]}" if side.commit and side.version is None and side.run else side.label


def check(
    name: str, gate: ResolvedGate, value: float, evidence: Evidence, examples: ByExample, seeds: Seeds | None
) -> Check:
    """The max_regression of a gate; `value` is the candidate's metric, a finite number."""
    side, allowed = evidence.baselines[name], gate.max_regression
    if allowed is None:
        raise ValueError(f"the gate '{name}' compares nothing")
    result = blank(name, gate, rule_text.regression(allowed), value, side)
    if result.baseline is None:
        return without_baseline(gate, result, side)
    compared = compare(
        gate,
        result,
        allowed,
        side,
        lambda rule, reference: best_test(Pair(name, gate, value, reference, rule), evidence, examples, seeds),
    )
    compared = examples.not_by_luck(compared, side.run)
    return _with_its_errors(compared, evidence) if compared.result.point else compared


ENOUGH = 8
"""Runs of a history from which on it tells the error rates of a comparison of two numbers."""


def _with_its_errors(check: Check, evidence: Evidence) -> Check:
    """A comparison of two numbers with how often it errs, where earlier runs show how much one number varies."""
    result = check.result
    values = [v for v in evidence.history.get(result.metric, ()) if is_measured(v)]
    # What a trade-off allows depends on another metric, whose noise these numbers do not tell.
    if len(values) < ENOUGH or check.gate.test == "point" or check.gate.trade_off is not None:
        return check
    from ciplug.stats.distributions import normal_sf
    from ciplug.stats.means import noise

    deviation = noise(values)
    if not deviation:
        return check
    error = deviation * math.sqrt(2)
    note = reason_text.point_errs(len(values), error, normal_sf((result.limit or 0.0) / error))
    return replace(check, result=replace(result, notes=(*result.notes, note)))


def without_baseline(gate: ResolvedGate, result: GateResult, side: Side) -> Check:
    problem = side.problem
    if lacking := side.lacking.get(result.metric):
        # Some of its seeds have the metric: this is not a first run, and the others alone may be the lucky ones.
        reason = reason_text.seeds_without(result.metric, lacking, len(side.runs))
        again = "record these seeds of the baseline again, or withdraw their runs"
        result = replace(result, outcome=undecided(gate), reason=reason, advice=again)
    elif problem and problem.kind in MISNAMED:
        result = replace(result, outcome="ERROR", reason=problem.clause, advice=problem.remedy)
    elif problem and problem.kind in UNSEEN and not side.has_numbers:
        outcome = failed(gate) if gate.on_no_baseline == "fail" else undecided(gate)
        result = replace(result, outcome=outcome, reason=reason_text.baseline_unknown(problem), advice=problem.remedy)
    else:
        advice = "the next run there that has it is the baseline" if side.has_numbers or not problem else problem.remedy
        outcome = no_baseline(gate)
        result = replace(result, outcome=outcome, reason=reason_text.no_baseline(result.metric, side), advice=advice)
    return Check(gate=gate, result=result)


def compare(
    gate: ResolvedGate, result: GateResult, allowed: Allowance, side: Side, test: Callable[[Rule, float], Tested]
) -> Check:
    """A comparison of two numbers, by a test or as they are."""
    value, reference = result.candidate, result.baseline
    if value is None or reference is None:
        raise ValueError(f"the gate '{result.gate}' has nothing to compare")
    if not math.isfinite(reference):
        reason = reason_text.of_slice(result, reason_text.baseline_not_finite(result.metric, reference))
        advice = "record the baseline's commit again"
        return Check(gate=gate, result=replace(result, outcome="ERROR", reason=reason, advice=advice))
    if side.problem:
        return Check(
            gate=gate,
            result=replace(
                result,
                outcome=undecided(gate),
                reason=reason_text.of_slice(result, side.problem.clause),
                advice=side.problem.remedy,
            ),
        )
    d = (value - reference) * (1 if gate.higher_is_better else -1)
    limit = limit_of(allowed, reference)
    if limit is None and d >= 0:
        limit = 0.0  # No percentage of 0 is less than that.
    if limit is None:
        reason = reason_text.of_slice(result, "a percentage of the baseline 0 is undefined")
        return Check(gate=gate, result=replace(result, outcome=undecided(gate), reason=reason, advice=ABSOLUTE))
    rule = rule_of(gate, allowed, limit, reference, value)
    tested = test(rule, reference)
    notes = (*result.notes, *tested.notes)
    if rule.sign > 0 and value >= 0 and 0 < reference <= limit and allowed.abs is not None:
        notes = (*notes, reason_text.allows_all(allowed.abs, reference))
    reason = reason_text.comparison(result, rule, limit)
    if isinstance(tested.result, Undecided):
        reason = f"{reason}; {tested.result.reason}"
        # What the data cannot tell about a number that nobody can have measured is an error, as about NaN.
        outcome = undecided(gate) if is_measured(value) and is_measured(reference) else "ERROR"
        result = replace(result, limit=limit, notes=notes, outcome=outcome, reason=reason, advice=tested.advice)
        return Check(gate=gate, result=result)
    if tested.result is not None:
        return Check(
            gate=gate,
            result=replace(result, limit=limit, notes=notes, reason=reason, advice=LOOK),
            rule="max_regression",
            interval=tested.result,
            lost=tested.lost,
            unknown=tested.unknown,
        )
    # A loss larger than any float is beyond every allowance.
    holds = -math.inf < d >= rule.bound
    result = replace(
        result,
        limit=limit,
        notes=notes,
        outcome="PASS" if holds else failed(gate),
        reason=reason_text.point(reason),
        advice=None if holds else LOOK,
        method=POINT,
        point=True,
    )
    return Check(gate=gate, result=result, rule="max_regression")


def beside_other_baselines(check: Check, result: GateResult, others: Sequence[float]) -> GateResult:
    """A PASS is a WARN if the candidate is not within the allowance of the mean of all runs of the baseline's commit.

    Else somebody could train the baseline's commit again until it is bad enough.

    Args:
        result: of the check, once it is decided.
        others: the metric in the other runs that could be the baseline.
    """
    gate, value, reference = check.gate, result.candidate, result.baseline
    wanted = check.rule == "max_regression" and result.slice is None and result.outcome == "PASS"
    if not (wanted and others and gate.max_regression and gate.trade_off is None) or value is None or reference is None:
        return result
    usual = repeats.mean([reference, *others])
    limit = limit_of(gate.max_regression, usual)
    if (
        limit is None
        or (value - usual) * (1 if gate.higher_is_better else -1)
        >= rule_of(gate, gate.max_regression, limit, usual, value).bound
    ):
        return result
    reason = reason_text.other_baseline(result.reason, len(others) + 1, usual)
    return replace(result, outcome="WARN", reason=reason, advice=reason_text.OTHER_BASELINE)


ABSOLUTE = "add an absolute allowance: {rel: …, abs: …}"
LOOK = "look at what changed beside it, or ask for a waiver of this commit"
