"""Gates of kind drift: have the data moved, over all columns at once?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.errors import counted
from ciplug.gates import reason_text
from ciplug.gates.checks import Check, failed, missing, undecided
from ciplug.records.verdict import GateResult, Outcome
from ciplug.stats.drift_tests import ColumnDrift, DataDrift, Drift, DriftTest
from ciplug.stats.holm import holm
from ciplug.stats.intervals import Undecided

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ciplug.config.gate import ResolvedGate

Key = tuple[str, int]
"""A test of a column."""


def checks(name: str, gate: ResolvedGate, data: DataDrift | Undecided) -> Iterator[Check]:
    """One result for all columns that both files have, and one for those that only one has."""
    if isinstance(data, Undecided):
        advice = "does the pipeline still write the file?"
        yield _check(name, gate, missing(gate), data.reason, advice)
        return
    yield from _one_sided(name, gate, data)
    yield _moved(name, gate, data)


def _one_sided(name: str, gate: ResolvedGate, data: DataDrift) -> Iterator[Check]:
    rule = f"the columns of {gate.reference}"
    if data.gone:
        advice = "does the pipeline still write them? if they are not to be compared, name the others: columns: […]"
        yield _check(name, gate, missing(gate), reason_text.columns_gone(data.gone), advice, rule=rule)
    if data.added:
        advice = "add them to the reference, or name the columns to compare: columns: […]"
        yield _check(name, gate, "WARN", reason_text.columns_added(data.added), advice, rule=rule)


def _moved(name: str, gate: ResolvedGate, data: DataDrift) -> Check:
    """Holm's correction holds the error rate over all tests of all columns."""
    tested: dict[Key, Drift] = {}
    untested: dict[str, str] = {}
    for column, result in data.columns.items():
        tests = result.tests if isinstance(result, ColumnDrift) else (result,)
        for number, test in enumerate(tests):
            if isinstance(test, Drift):
                tested[column, number] = test
            else:
                untested[column] = test.reason
    adjusted = holm({key: drift.p for key, drift in tested.items()})
    moved = [
        key
        for key, drift in tested.items()
        if drift.drifted(alpha=gate.alpha, floor=floor(gate, drift.test), adjusted_p=adjusted[key])
    ]
    columns = [result for result in data.columns.values() if isinstance(result, ColumnDrift)]
    if moved:
        outcome, reason = failed(gate), reason_text.drifted(moved, len(data.columns), tested, adjusted)
        advice = "look at where these columns come from, or train on newer data"
    elif untested or not tested:
        outcome, reason, advice = undecided(gate), reason_text.drift_undecided(untested), None
    else:
        outcome, reason, advice = "PASS", reason_text.not_drifted(tested, adjusted, len(columns)), None
    check = _check(name, gate, outcome, reason, advice)
    names = " and ".join(sorted({drift.test for drift in tested.values()}))
    return replace(
        check,
        result=replace(
            check.result,
            method=f"{names}, Holm over {counted(len(tested), 'test')} of {counted(len(columns), 'column')}"
            if tested
            else None,
            notes=tuple(_notes(data)),
        ),
    )


def floor(gate: ResolvedGate, test: DriftTest) -> float:
    """The smallest effect that counts for a test."""
    least = gate.least_effect
    return {"psi": least.psi, "ks": least.ks, "chi2": least.chi2}.get(test, least.share)


def _notes(data: DataDrift) -> Iterator[str]:
    yield from reason_text.drift_kinds(
        {name: one for name, one in data.columns.items() if isinstance(one, ColumnDrift)}
    )
    if data.ids:
        yield reason_text.drift_ids(data.ids)
    for column, result in data.columns.items():
        if isinstance(result, ColumnDrift):
            new = [value for one in result.tests if isinstance(one, Drift) for value in one.new]
            if new:
                yield reason_text.new_values(column, new)
            if result.stray is not None:
                yield reason_text.stray_value(column, result.stray)


def _check(
    name: str, gate: ResolvedGate, outcome: Outcome, reason: str, advice: str | None = None, *, rule: str | None = None
) -> Check:
    result = GateResult(
        gate=name,
        metric=name,
        rule=rule or f"no drift from {gate.reference}",
        outcome=outcome,
        reason=reason,
        advice=advice,
    )
    return Check(gate=gate, result=result)
