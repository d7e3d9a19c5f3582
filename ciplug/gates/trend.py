"""Rules on the loss over many commits together: each may be within its own allowance, and all of them far beyond."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.gates import reason_text, regression, rule_text
from ciplug.gates.checks import Check, failed, limit_of, tolerance, undecided
from ciplug.stats.intervals import LARGEST, Interval, Rule
from ciplug.stats.trend import largest_fall, total

if TYPE_CHECKING:
    from ciplug.config.gate import ResolvedGate, Trend
    from ciplug.gates.evidence import Trail


def check(name: str, gate: ResolvedGate, trend: Trend, value: float, trail: Trail) -> Check:
    """The trend of a gate; `value` is the candidate's metric, a finite number.

    With enough runs since then, an interval decides whose noise is that of their successive differences; else the two
    numbers do. The result names the commit where the level fell most.
    """
    start = trail.start
    reference = start.metrics.get(gate.metric)
    result = regression.blank(name, gate, rule_text.trend(trend), value, start)
    if reference is None:
        return regression.without_baseline(gate, result, start)
    if not math.isfinite(reference):
        reason = reason_text.baseline_not_finite(gate.metric, reference)
        return Check(gate=gate, result=replace(result, reason=reason, advice="record that commit again"))
    if start.problem:
        problem = start.problem
        result = replace(result, outcome=undecided(gate), reason=problem.clause, advice=problem.remedy)
        return Check(gate=gate, result=result)
    limit = limit_of(trend.max_total, reference)
    if limit is None:
        reason = "a percentage of 0 is undefined"
        advice = "add an absolute allowance: {rel: …, abs: …}"
        return Check(gate=gate, result=replace(result, outcome=undecided(gate), reason=reason, advice=advice))
    rule = Rule(
        higher_is_better=bool(gate.higher_is_better),
        allowed=limit,
        alpha=gate.alpha,
        tolerance=tolerance(gate, value, reference),
    )
    points = [(commit, v) for commit, v in zip(trail.commits, trail.values, strict=True) if abs(v) < LARGEST]
    values = [reference, *(v for _, v in points), value]
    result = replace(result, limit=limit, advice=regression.LOOK)
    result = replace(result, reason=reason_text.comparison(result, rule, result.limit))
    # The squares of larger numbers are beyond every float.
    computes = max(abs(reference), abs(value)) < LARGEST
    if computes:
        result = replace(result, notes=_fell(values, points, start.commit, rule))
    interval = total(values, rule) if computes else None
    if isinstance(interval, Interval):
        return Check(gate=gate, result=result, interval=interval)
    d = (value - reference) * rule.sign
    passes = -math.inf < d >= rule.bound
    reason = result.reason if passes else reason_text.point(reason_text.comparison(result, rule, result.limit))
    outcome = "PASS" if passes else failed(gate)
    return Check(
        gate=gate,
        result=replace(
            result,
            outcome=outcome,
            reason=reason,
            advice=None if passes else result.advice,
            method=reason_text.POINT,
            point=True,
        ),
    )


def _fell(values: list[float], points: list[tuple[str, float]], start: str | None, rule: Rule) -> tuple[str, ...]:
    """A note on where the level fell; none where it did not."""
    fall = largest_fall(values, rule.sign)
    if fall is None or (values[-1] - values[0]) * rule.sign >= 0:
        return ()
    commits = [start, *(commit for commit, _ in points), None]
    return (reason_text.fell(fall, commits[fall.at], len(values)),)
