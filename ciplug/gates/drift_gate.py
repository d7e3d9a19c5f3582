"""Gates of kind drift: have the data moved, over all columns at once?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.gates.checks import Check, by, failed, undecided
from ciplug.gates.words import exact
from ciplug.records.verdict import GateResult, Outcome
from ciplug.stats.drift_tests import Drift
from ciplug.stats.intervals import Undecided, holm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ciplug.config.gate import Gate

FLOOR = 0.1
"""Smaller effects are no drift, however many rows show them: what the field calls slight for PSI and Cramér's V."""
SHOWN = 5


def check(name: str, gate: Gate, columns: Mapping[str, Drift | Undecided] | Undecided) -> Check:
    """One result for all columns: Holm's correction holds the error rate over them."""

    def result(outcome: Outcome, reason: str, advice: str | None = None, notes: tuple[str, ...] = ()) -> Check:
        made = GateResult(
            gate=name,
            metric=name,
            rule=f"no drift from {gate.reference}",
            outcome=outcome,
            reason=reason,
            advice=advice,
            method=f"{' and '.join(sorted(used))}, Holm over {len(tested)} columns" if tested else None,
            notes=notes,
        )
        return Check(gate=gate, result=made)

    tested: dict[str, Drift] = {}
    used: set[str] = set()
    if isinstance(columns, Undecided):
        return result(by(gate.on_missing, gate, "WARN"), columns.reason, "does the pipeline still write the file?")
    tested = {column: found for column, found in columns.items() if isinstance(found, Drift)}
    used = {found.test for found in tested.values()}
    open_ = {column: found.reason for column, found in columns.items() if isinstance(found, Undecided)}
    adjusted = holm({column: found.p for column, found in tested.items()})
    alpha = gate.alpha or 0.05
    moved = [c for c, found in tested.items() if found.drifted(alpha=alpha, floor=FLOOR, adjusted_p=adjusted[c])]
    notes = tuple(_news(column, found) for column, found in tested.items() if found.new)
    moved.sort(key=lambda column: -tested[column].effect)
    if moved:
        shown = "; ".join(_said(column, tested[column], adjusted[column]) for column in moved[:SHOWN])
        more = f" and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
        reason = f"{len(moved)} of {len(columns)} columns have drifted: {shown}{more}"
        return result(failed(gate), reason, "look at where these columns come from, or train on newer data", notes)
    if open_ or not tested:
        first = "; ".join(f"{column}: {reason}" for column, reason in list(open_.items())[:SHOWN])
        return result(undecided(gate), first or "no column is in both files", None, notes)
    most = max(tested, key=lambda column: tested[column].effect)
    reason = f"none of {len(tested)} columns has drifted; most has {_said(most, tested[most], adjusted[most])}"
    return result("PASS", reason, None, notes)


def _said(column: str, found: Drift, adjusted: float) -> str:
    name = {"psi": "PSI", "ks": "KS distance", "chi2": "Cramér's V"}[found.test]
    return f"{column} ({name} {found.effect:.3g}, p {exact(float(f'{adjusted:.2g}'))})"


def _news(column: str, found: Drift) -> str:
    shown = ", ".join(repr(value[:40]) for value in found.new[:SHOWN])
    more = f" and {len(found.new) - SHOWN} more" if len(found.new) > SHOWN else ""
    return f"{column} has values that the reference never had: {shown}{more}"
