"""Failures that somebody has agreed to: up to a limit, of one commit, until a day. An ERROR is never waived."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from ciplug.gates import reason_text
from ciplug.gates.checks import Check, tolerance
from ciplug.records.verdict import GateResult, Waived
from ciplug.stats.intervals import decide

if TYPE_CHECKING:
    from ciplug.config.policy import Policy, Waiver


def waive(policy: Policy, check: Check, result: GateResult, *, commit: str | None, today: date) -> GateResult:
    """The result, a WARN in place of a FAIL or INCONCLUSIVE that a waiver covers."""
    from ciplug.config.policy import waived_rule

    # A waiver is for the whole metric, not for a slice.
    if result.outcome not in ("FAIL", "INCONCLUSIVE") or check.rule is None or result.slice is not None:
        return result
    for waiver in policy.waivers:
        own = waiver.gate == result.gate and waived_rule(policy.gates[waiver.gate], waiver) == check.rule
        if not own or not _holds(waiver, commit, today):
            continue
        covered = _covers(waiver, check, result)
        result = replace(result, reason=reason_text.waived(result, waiver, covered=covered))
        if not covered:
            return result
        return replace(
            result,
            outcome="WARN",
            advice=None,
            waived=Waived(
                limit=waiver.limit,
                expires=waiver.expires.isoformat(),
                approved_by=waiver.approved_by,
                reason=waiver.reason,
                issue=waiver.issue,
            ),
        )
    return result


def _holds(waiver: Waiver, commit: str | None, today: date) -> bool:
    return commit is not None and commit.startswith(waiver.commit) and today <= waiver.expires


def _covers(waiver: Waiver, check: Check, result: GateResult) -> bool:
    """Whether the rule would pass with the waiver's limit in place of its own."""
    value, reference = result.candidate, result.baseline
    if value is None or not math.isfinite(value):
        return False
    if check.interval is not None:
        allowed = waiver.limit
        if check.rule in ("min", "max"):
            allowed = ((result.limit or 0.0) - waiver.limit) * check.interval.rule.sign
        rule = replace(check.interval.rule, allowed=max(0.0, allowed))
        return decide(replace(check.interval, rule=rule)) == "PASS"
    if check.rule == "min":
        return value >= waiver.limit
    if check.rule == "max":
        return value <= waiver.limit
    if reference is None or not math.isfinite(reference):
        return False
    loss = (reference - value) if check.gate.higher_is_better else (value - reference)
    return loss <= waiver.limit + tolerance(check.gate, value, reference)


def unused(policy: Policy, results: Sequence[GateResult], *, commit: str | None, today: date) -> Iterator[str]:
    """Return warnings about waivers without effect: expired, or for another commit."""
    for waiver in policy.waivers:
        bad = any(r.gate == waiver.gate and r.outcome in ("FAIL", "INCONCLUSIVE", "ERROR") for r in results)
        name = f"The waiver of '{waiver.gate}' by {waiver.approved_by}"
        if today > waiver.expires:
            yield f"{name} has expired on {waiver.expires}: take it out, or renew it."
        elif bad and not _holds(waiver, commit, today):
            yield f"{name} is for commit {waiver.commit}, and not for this one."
