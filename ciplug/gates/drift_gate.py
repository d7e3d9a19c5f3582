"""Gates of kind drift: have the data moved, over all columns at once?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.errors import counted
from ciplug.gates import reasons
from ciplug.gates.checks import Check, failed, missing, undecided
from ciplug.records.verdict import GateResult, Outcome
from ciplug.stats.drift_tests import Drift
from ciplug.stats.holm import holm
from ciplug.stats.intervals import Undecided

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ciplug.config.gate import ResolvedGate

FLOOR = 0.1
"""Smaller effects are not drift, however many rows show them: "slight" for PSI and Cramér's V in the literature."""


def check(name: str, gate: ResolvedGate, columns: Mapping[str, Drift | Undecided] | Undecided) -> Check:
    """One result for all columns: Holm's correction holds the error rate over them."""
    if isinstance(columns, Undecided):
        advice = "does the pipeline still write the file?"
        return _check(name, gate, {}, missing(gate), columns.reason, advice)
    tested = {column: drift for column, drift in columns.items() if isinstance(drift, Drift)}
    untested = {column: drift.reason for column, drift in columns.items() if isinstance(drift, Undecided)}
    adjusted = holm({column: drift.p for column, drift in tested.items()})
    moved = [c for c, drift in tested.items() if drift.drifted(alpha=gate.alpha, floor=FLOOR, adjusted_p=adjusted[c])]
    moved.sort(key=lambda column: -tested[column].effect)
    if moved:
        reason = reasons.drifted(moved, len(columns), tested, adjusted)
        advice = "look at where these columns come from, or train on newer data"
        return _check(name, gate, tested, failed(gate), reason, advice)
    if untested or not tested:
        return _check(name, gate, tested, undecided(gate), reasons.drift_undecided(untested))
    return _check(name, gate, tested, "PASS", reasons.not_drifted(tested, adjusted))


def _check(
    name: str, gate: ResolvedGate, tested: Mapping[str, Drift], outcome: Outcome, reason: str, advice: str | None = None
) -> Check:
    tests = " and ".join(sorted({drift.test for drift in tested.values()}))
    result = GateResult(
        gate=name,
        metric=name,
        rule=f"no drift from {gate.reference}",
        outcome=outcome,
        reason=reason,
        advice=advice,
        method=f"{tests}, Holm over {counted(len(tested), 'column')}" if tested else None,
        notes=tuple(reasons.new_values(column, drift) for column, drift in tested.items() if drift.new),
    )
    return Check(gate=gate, result=result)
