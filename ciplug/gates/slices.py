"""A gate on parts of the examples: every slice that is large enough, and those that are gone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.gates import regression
from ciplug.gates.checks import Check, by, failed, undecided
from ciplug.gates.regression import Tested
from ciplug.gates.words import exact, shown
from ciplug.records.verdict import SEVERITY, GateResult
from ciplug.stats.intervals import Undecided

if TYPE_CHECKING:
    from ciplug.config.gate import Gate, Slices
    from ciplug.gates.by_example import ByExample, Part
    from ciplug.gates.evidence import Evidence
    from ciplug.stats.paired_tests import Answer

WORST = 10
"""So many slices of a gate that did not pass are shown one by one."""


def checks(name: str, gate: Gate, slices: Slices, evidence: Evidence, examples: ByExample) -> Iterator[Check]:
    """Each rule on each slice; nothing is left out in silence."""
    side = evidence.baselines[name]
    run = examples.slice_run(name)
    parts = examples.parts(run, slices.by)
    about = GateResult(gate=name, metric=gate.metric or name, rule=_by(slices), outcome="ERROR", reason="")
    if isinstance(parts, Undecided):
        comparable = run is None or "differ" not in parts.reason
        outcome = by(gate.on_missing, gate, "WARN") if comparable else undecided(gate)
        yield Check(gate=gate, result=replace(about, outcome=outcome, reason=f"no slices: {parts.reason}"))
        return
    for part in examples.lost(name, slices.by):
        yield Check(
            gate=gate,
            result=replace(
                about,
                slice=_named(part),
                outcome=by(gate.on_missing, gate, "WARN"),
                reason=f"the slice {_named(part)} is gone: the baseline had examples of it, the run has none",
                advice="does the evaluation still read all of its data?",
            ),
        )
    judged = {part: rows for part, rows in parts.items() if len(rows) >= slices.min_samples}
    if not judged:
        largest = max(map(len, parts.values()), default=0)
        reason = f"no slice has {slices.min_samples:,} examples, the largest has {largest:,}"
        yield Check(gate=gate, result=replace(about, outcome=undecided(gate), reason=reason))
        return
    small = len(parts) - len(judged)
    few = "1 slice has" if small == 1 else f"{small:,} slices have"
    note = f"{few} fewer than {slices.min_samples:,} examples, and {'is' if small == 1 else 'are'} not judged"
    for number, (part, rows) in enumerate(judged.items()):
        answer = examples.answers.get((name, part), Undecided("the examples were not asked"))
        result = replace(about, slice=_named(part), n=len(rows), notes=(note,) if small and not number else ())
        if isinstance(answer, Undecided):
            yield Check(gate=gate, result=replace(result, outcome=undecided(gate), reason=answer.reason))
            continue
        yield from _bounds(gate, slices, result, answer)
        if slices.max_regression and run is not None:
            known = replace(result, rule=_worse(slices), baseline_run=side.run, baseline_label=regression.label(side))
            yield _regression(gate, slices, known, answer, evidence)
    if slices.max_regression and run is None:
        check = regression.without_baseline(gate, replace(about, rule=_worse(slices)), side)
        why = "the baseline has no samples" if side.found else side.how
        yield replace(check, result=replace(check.result, reason=f"no slices to compare with: {why}"))


def _bounds(gate: Gate, slices: Slices, about: GateResult, answer: Answer) -> Iterator[Check]:
    value = answer.candidate
    for bound, least in ((slices.min, True), (slices.max, False)):
        if bound is None:
            continue
        rule = f"{'at least' if least else 'at most'} {exact(bound)} in each {' and '.join(slices.by)}"
        known = replace(about, rule=rule, candidate=value, limit=bound)
        if not math.isfinite(value):
            why = answer.result.reason if isinstance(answer.result, Undecided) else f"'{about.metric}' is undefined"
            yield Check(gate=gate, result=replace(known, outcome=undecided(gate), reason=f"{about.slice}: {why}"))
            continue
        ok = value >= bound if least else value <= bound
        words = f"{'not ' if ok else ''}{'below' if least else 'above'} {exact(bound)}"
        reason = f"{about.slice}: {shown(value, bound)} is {words}"
        yield Check(gate=gate, result=replace(known, outcome="PASS" if ok else failed(gate), reason=reason))


def _regression(gate: Gate, slices: Slices, known: GateResult, answer: Answer, evidence: Evidence) -> Check:
    if slices.max_regression is None:
        raise ValueError("these slices compare nothing")
    if not (math.isfinite(answer.candidate) and math.isfinite(answer.baseline)):
        why = answer.result.reason if isinstance(answer.result, Undecided) else f"'{known.metric}' is undefined"
        return Check(gate=gate, result=replace(known, outcome=undecided(gate), reason=f"{known.slice}: {why}"))
    known = replace(
        known,
        candidate=answer.candidate,
        baseline=answer.baseline,
        change=answer.candidate - answer.baseline,
    )
    side = evidence.baselines[known.gate]
    check = regression.compare(gate, known, slices.max_regression, side, lambda rule, reference: Tested(answer.result))
    # A waiver is for the whole, not for a slice.
    return replace(check, rule=None, result=replace(check.result, reason=f"{known.slice}: {check.result.reason}"))


def shortened(gate: Gate, results: Sequence[GateResult]) -> Iterator[GateResult]:
    """The worst of the slices of a gate, and one line that stands for the rest of each outcome."""
    ordered = sorted(results, key=lambda r: (-SEVERITY[r.outcome], _margin(gate, r)))
    worst = [r for r in ordered if r.outcome != "PASS"][:WORST]
    yield from worst
    for outcome in dict.fromkeys(r.outcome for r in ordered):
        rest = [r for r in ordered if r.outcome == outcome and r not in worst]
        if len(rest) == 1:
            yield rest[0]
        elif rest:
            notes = tuple(dict.fromkeys(note for r in rest for note in r.notes))
            lead = f"{len(rest):,} {'more ' if outcome != 'PASS' else ''}slices: {outcome.lower()}"
            yield replace(rest[0], reason=f"{lead}, the worst is {rest[0].reason}", notes=notes)


def _margin(gate: Gate, result: GateResult) -> float:
    """How far the value lies within its limit; what is not known comes first."""
    value, limit = result.candidate, result.limit
    if value is None or limit is None or not math.isfinite(value):
        return -math.inf
    if result.change is not None:
        return result.change * (1 if gate.higher_is_better else -1) + limit
    return value - limit if result.rule.startswith("at least") else limit - value


def _by(slices: Slices) -> str:
    return f"in each {' and '.join(slices.by)} with {slices.min_samples:,} examples"


def _worse(slices: Slices) -> str:
    worse = regression.said(slices.max_regression) if slices.max_regression else ""
    return f"{worse} in each {' and '.join(slices.by)}"


def _named(part: Part) -> str:
    return f"{part[0]} = {part[1] or '(none)'}"
