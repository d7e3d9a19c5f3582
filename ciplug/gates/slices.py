"""A gate on parts of the examples: every slice that is large enough, and those that the candidate has lost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.gates import bounds, reason_text, regression, rule_text
from ciplug.gates.checks import Check, missing, undecided
from ciplug.gates.choice_of_test import Tested, interval_if_known, of_the_best
from ciplug.records.verdict import SEVERITY, GateResult
from ciplug.stats.intervals import Undecided

if TYPE_CHECKING:
    from ciplug.config.allowance import Allowance
    from ciplug.config.gate import ResolvedGate, Slices
    from ciplug.gates.by_example import ByExample, Part
    from ciplug.gates.evidence import Evidence
    from ciplug.records.comparison import Side
    from ciplug.stats.paired_questions import Answer

WORST = 10
"""Slices of a gate that did not pass and are shown one by one."""


def checks(name: str, gate: ResolvedGate, slices: Slices, evidence: Evidence, examples: ByExample) -> Iterator[Check]:
    """Each rule on each slice; nothing is left out silently."""
    side = evidence.baselines[name]
    run = examples.slice_run(name)
    own, paired = examples.parts(None, slices.by), examples.parts(run, slices.by)
    about = GateResult(gate=name, metric=gate.metric, rule=rule_text.slices(slices), outcome="ERROR", reason="")
    gone = examples.lost(name, slices.by)
    yield from _lost(gate, about, gone)
    if isinstance(own, Undecided):
        yield Check(gate=gate, result=replace(about, outcome=missing(gate), reason=f"no slices: {own.reason}"))
        return
    if isinstance(paired, Undecided):
        outcome = undecided(gate) if paired.differs else missing(gate)
        yield Check(gate=gate, result=replace(about, outcome=outcome, reason=f"no slices: {paired.reason}"))
        paired = {}
    large = {part: rows for part, rows in own.items() if len(rows) >= slices.min_samples}
    compared = {part: rows for part, rows in paired.items() if len(rows) >= slices.min_samples and part not in gone}
    if not large and not compared:
        reason = reason_text.slices_too_small(slices.min_samples, max(map(len, own.values())))
        yield Check(gate=gate, result=replace(about, outcome=undecided(gate), reason=reason))
        return
    small = len(own) - len(large)
    notes = (reason_text.small_slices(small, slices.min_samples),) if small else ()
    for part, rows in large.items():
        result = replace(about, slice=_named(part), n=len(rows), notes=notes)
        for check in _bounds(name, gate, slices, part, result, examples):
            yield check
            notes = ()
    if not slices.max_regression:
        return
    for part, rows in compared.items() if run is not None else ():
        result = replace(about, slice=_named(part), n=len(rows), notes=notes)
        notes = ()
        answer = examples.answers.get((name, part, "max_regression"), Undecided("the examples were not compared"))
        if isinstance(answer, Undecided):
            yield Check(gate=gate, result=replace(result, outcome=undecided(gate), reason=answer.reason))
        else:
            yield _regression(gate, slices, slices.max_regression, result, answer, side)
    if run is None:
        about = replace(about, rule=_regression_rule(slices, slices.max_regression))
        check = regression.without_baseline(gate, about, side)
        why = "the baseline has no samples" if side.has_numbers else side.how
        yield replace(check, result=replace(check.result, reason=f"no slices to compare with: {why}"))


def _lost(gate: ResolvedGate, about: GateResult, parts: Sequence[Part]) -> Iterator[Check]:
    for part in parts:
        result = replace(
            about,
            slice=_named(part),
            outcome=missing(gate),
            reason=reason_text.slice_lost(_named(part)),
            advice="does the evaluation still read all of its data?",
        )
        yield Check(gate=gate, result=result)


def _bounds(
    name: str, gate: ResolvedGate, slices: Slices, part: Part, about: GateResult, examples: ByExample
) -> Iterator[Check]:
    for key, bound in bounds.set_in(slices):
        rule = rule_text.in_each(rule_text.bound(bound, least=key == "min"), slices.by)
        answer = examples.answers.get((name, part, key), Undecided("the examples were not looked at"))
        if isinstance(answer, Undecided):
            yield Check(gate=gate, result=replace(about, rule=rule, outcome=undecided(gate), reason=answer.reason))
            continue
        result = replace(about, rule=rule, candidate=answer.candidate)
        if not math.isfinite(answer.candidate):
            yield _undefined(gate, replace(result, limit=bound), answer)
            continue
        tested = Tested(None) if gate.test == "point" else interval_if_known(answer.result)
        yield bounds.check(gate, key, bound, result, tested)


def _regression(
    gate: ResolvedGate, slices: Slices, allowed: Allowance, about: GateResult, answer: Answer, side: Side
) -> Check:
    result = replace(
        about,
        rule=_regression_rule(slices, allowed),
        baseline_run=side.run,
        baseline_label=regression.label(side),
    )
    if not (math.isfinite(answer.candidate) and math.isfinite(answer.baseline)):
        return _undefined(gate, result, answer)
    change = answer.candidate - answer.baseline
    result = replace(result, candidate=answer.candidate, baseline=answer.baseline, change=change)
    of_best = of_the_best(gate, side, Tested(answer.result))
    return regression.compare(gate, result, allowed, side, lambda rule, reference: of_best)


def _undefined(gate: ResolvedGate, result: GateResult, answer: Answer) -> Check:
    why = answer.result.reason if isinstance(answer.result, Undecided) else None
    return Check(gate=gate, result=replace(result, outcome=undecided(gate), reason=reason_text.undefined(result, why)))


def shortened(judged: Sequence[tuple[Check, GateResult]]) -> Iterator[GateResult]:
    """Return the worst slices of a gate, and one result for the others of each outcome."""
    ordered = [result for _, result in sorted(judged, key=lambda pair: (-SEVERITY[pair[1].outcome], _margin(*pair)))]
    worst = [result for result in ordered if result.outcome != "PASS"][:WORST]
    yield from worst
    for outcome in dict.fromkeys(result.outcome for result in ordered):
        others = [result for result in ordered if result.outcome == outcome and result not in worst]
        if len(others) == 1:
            yield others[0]
        elif others:
            notes = tuple(dict.fromkeys(note for result in others for note in result.notes))
            count = len({result.slice for result in others})  # Each has a result for each rule.
            yield replace(others[0], reason=reason_text.other_slices(count, outcome, others[0]), notes=notes)


def _margin(check: Check, result: GateResult) -> float:
    """Return the distance of the value from its limit; unknown values come first."""
    value, limit = result.candidate, result.limit
    if value is None or limit is None or not math.isfinite(value):
        return -math.inf
    if result.change is not None:
        return result.change * (1 if check.gate.higher_is_better else -1) + limit
    return value - limit if check.rule == "min" else limit - value


def _regression_rule(slices: Slices, allowed: Allowance) -> str:
    return rule_text.in_each(rule_text.regression(allowed), slices.by)


def _named(part: Part) -> str:
    return f"{part[0]} = {part[1] or '(none)'}"
