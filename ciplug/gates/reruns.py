"""What other runs of the commit do to a verdict. Pure.

A verdict never passes on the luckiest of several runs in silence. It is a WARN at least where another run that could
have been judged in its place failed a gate that this one does not fail, and where the same seed gave other numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ciplug.records.notice import Kind, Notice
from ciplug.records.rerun_notices import failed_before, failed_withdrawn, no_number_before, not_all_judged, of_spread
from ciplug.records.verdict import GateResult, Reruns, Verdict, worst

RERUNS = "reruns"
"""The id of the results on the runs of a commit together."""
_RULES = {
    Kind.NO_NUMBER_BEFORE: "every run of the same command has the number that a gate asks for",
    Kind.FAILED_BEFORE: "no other run of this commit fails a gate that this one passes",
    Kind.FAILED_WITHDRAWN: "no run of this commit that was withdrawn has failed a gate that this one passes",
    Kind.NOT_ALL_JUDGED: "every run of this commit that would take part is judged",
    Kind.FLAKY: "the same seed gives the same numbers",
}


def failed_gates(verdict: Verdict) -> tuple[str, ...]:
    """Return the gates that failed on numbers that the run has: a missing metric is not a worse number."""
    failed = (g.gate for g in verdict.gates if g.outcome in ("FAIL", "ERROR") and g.candidate is not None)
    return tuple(dict.fromkeys(failed))


def gates_without_number(verdict: Verdict) -> tuple[str, ...]:
    """Return the gates that failed for another reason than a number of the run: mostly, it has none."""
    bad = (g.gate for g in verdict.gates if g.outcome in ("FAIL", "ERROR") and g.candidate is None)
    of_numbers = failed_gates(verdict)
    return tuple(gate for gate in dict.fromkeys(bad) if gate not in of_numbers)


def with_reruns(verdict: Verdict, reruns: Reruns | None, gated: Collection[str]) -> Verdict:
    """Return the verdict with what the other runs of the commit add to it.

    Args:
        gated: the metrics that gates look at.
    """
    if reruns is None:
        return verdict
    results = tuple(_result(notice) for notice in objections(verdict, reruns, gated))
    gates = (*(gate for gate in verdict.gates if gate.gate != RERUNS), *results)
    return replace(verdict, gates=gates, reruns=reruns, outcome=worst([gate.outcome for gate in gates]))


def objections(verdict: Verdict, reruns: Reruns, gated: Collection[str]) -> list[Notice]:
    """Return why the verdict cannot be a plain PASS."""
    before = (
        failed_before(verdict, reruns),
        failed_withdrawn(verdict, reruns),
        no_number_before(verdict, reruns),
        not_all_judged(reruns),
    )
    objections = [notice for notice in before if notice]
    weighing = {verdict.run, *verdict.runs, *(one.run for one in reruns.others if one.weighs)}
    for spread in reruns.spreads:
        of_gates = any(one.metric in gated for one in spread.metrics)
        if spread.flaky and of_gates and weighing.issuperset(spread.runs):
            objections.append(of_spread(spread))
    return objections


def _result(notice: Notice) -> GateResult:
    return GateResult(
        gate=RERUNS,
        metric=RERUNS,
        rule=_RULES[notice.kind],
        outcome="WARN",
        reason=notice.clause,
        advice=notice.remedy,
    )
