"""Rules that compare: which test the data allow, and its result.

d = s·(candidate − baseline), s = +1 where higher is better, else −1. One number a run passes when d ≥ −R − tol,
R being the allowance and tol = atol + 1e-9·max(|candidate|, |baseline|) what rounding takes. Where the data tell
how uncertain d is, its interval decides (`ciplug.stats.intervals`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug.gates import reasons, rule_text
from ciplug.gates.checks import Check, by, failed, limit_of, tolerance, undecided
from ciplug.gates.number_text import counted, shown
from ciplug.gates.reasons import POINT
from ciplug.records.verdict import GateResult
from ciplug.stats import means, proportions
from ciplug.stats.intervals import Interval, Rule, Undecided

if TYPE_CHECKING:
    from ciplug.config.gate import Allowance, Gate
    from ciplug.config.policy import Seeds
    from ciplug.gates.by_example import ByExample
    from ciplug.gates.evidence import Evidence
    from ciplug.records.comparison import Side

FAR = 0.01
"""How far, relatively, a metric may lie from what its examples give and still be taken for theirs."""


@dataclass(frozen=True)
class Tested:
    """The result of a test; None: no test is possible, and one number is compared with the other."""

    result: Interval | Undecided | None
    notes: tuple[str, ...] = ()


def blank(name: str, gate: Gate, allowed: Allowance, value: float | None, side: Side) -> GateResult:
    """The result before anything is compared."""
    reference = side.metrics.get(gate.metric or name)
    both = value is not None and reference is not None
    return GateResult(
        gate=name,
        metric=gate.metric or name,
        rule=rule_text.regression(allowed),
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
    if not side.found:
        return None
    return f"{side.label} {side.commit[:8]}" if side.commit and side.version is None and side.run else side.label


def check(name: str, gate: Gate, value: float, evidence: Evidence, examples: ByExample, seeds: Seeds | None) -> Check:
    """The max_regression of a gate, of whose metric the candidate has `value`, a finite number."""
    side, allowed = evidence.baselines[name], gate.max_regression
    if allowed is None:
        raise ValueError(f"the gate '{name}' compares nothing")
    known = blank(name, gate, allowed, value, side)
    if known.baseline is None:
        return without_baseline(gate, known, side)
    return compare(
        gate,
        known,
        allowed,
        side,
        lambda rule, reference: _test(name, gate, value, reference, rule, evidence, examples, seeds),
    )


def without_baseline(gate: Gate, known: GateResult, side: Side) -> Check:
    if side.misnamed:
        known = replace(known, outcome="ERROR", reason=side.how, advice="name another 'baseline:' in ciplug.yaml")
    elif side.unfit and not side.found:
        reason = f"whether there is a baseline is not known: {side.unfit}"
        outcome = by(gate.on_no_baseline, gate, undecided(gate))
        known = replace(known, outcome=outcome, reason=reason, advice="fetch the whole history first")
    else:
        advice = "later runs have it" if side.found else side.remedy
        outcome = by(gate.on_no_baseline, gate, "WARN")
        known = replace(known, outcome=outcome, reason=reasons.no_baseline(known.metric, side), advice=advice)
    return Check(gate=gate, result=known)


def compare(
    gate: Gate, known: GateResult, allowed: Allowance, side: Side, test: Callable[[Rule, float], Tested]
) -> Check:
    """A comparison of two numbers that are there, by a test or as they are."""
    value, reference = known.candidate, known.baseline
    if value is None or reference is None:
        raise ValueError(f"the gate '{known.gate}' has nothing to compare")
    if not math.isfinite(reference):
        reason = reasons.of_slice(known, reasons.baseline_not_finite(known.metric, reference))
        advice = "record the baseline's commit again"
        return Check(gate=gate, result=replace(known, outcome="ERROR", reason=reason, advice=advice))
    if side.unfit:
        return Check(
            gate=gate,
            result=replace(
                known,
                outcome=undecided(gate),
                reason=reasons.of_slice(known, side.unfit),
                advice="run the baseline's commit again",
            ),
        )
    limit = limit_of(allowed, reference)
    if limit is None:
        reason = reasons.of_slice(known, "a percentage of the baseline 0 is undefined")
        advice = "add an absolute allowance: {rel: …, abs: …}"
        return Check(gate=gate, result=replace(known, outcome=undecided(gate), reason=reason, advice=advice))
    rule = Rule(
        higher_is_better=bool(gate.higher_is_better),
        allowed=limit,
        alpha=gate.alpha or 0.05,
        tolerance=tolerance(gate, value, reference),
    )
    known = replace(known, limit=limit)
    tested = test(rule, reference)
    known = replace(known, notes=(*known.notes, *tested.notes))
    d = (value - reference) * rule.sign
    if isinstance(tested.result, Undecided):
        reason = f"{reasons.comparison(known, rule)}; {tested.result.reason}"
        return Check(gate=gate, result=replace(known, outcome=undecided(gate), reason=reason, advice=_settle(tested)))
    known = replace(known, reason=reasons.comparison(known, rule), advice=LOOK)
    if tested.result is not None:
        return Check(gate=gate, result=known, rule="max_regression", interval=tested.result)
    # A loss larger than any float is beyond every allowance.
    if -math.inf < d >= rule.bound:
        return Check(gate=gate, result=replace(known, outcome="PASS", method=POINT, advice=None), rule="max_regression")
    known = replace(known, outcome=failed(gate), reason=reasons.point(known, rule), method=POINT)
    return Check(gate=gate, result=known, rule="max_regression")


LOOK = "look at what changed beside it, or ask for a waiver of this commit"


def _settle(tested: Tested) -> str:
    return "see docs/gates.md on what each test needs" if tested.notes else "record what is missing, and judge again"


def _test(
    name: str,
    gate: Gate,
    value: float,
    reference: float,
    rule: Rule,
    evidence: Evidence,
    examples: ByExample,
    seeds: Seeds | None,
) -> Tested:
    """The best test that the data allow, or the one that the gate asks for."""
    metric, side = gate.metric or name, evidence.baselines[name]
    notes: list[str] = []
    # The best and the mean of a branch are no evaluation of their own.
    single = gate.baseline is None or gate.baseline.ref not in ("best", "mean")
    if gate.test == "point":
        return Tested(None)
    if gate.test == "welch" or (gate.test == "auto" and seeds and single):
        ours = evidence.candidate.repeats.get(metric, (value,))
        theirs = side.repeats.get(metric, (reference,)) if single else (reference,)
        if seeds and len(theirs) < seeds.min_runs:
            asked = f"of the {seeds.min_runs} that 'seeds' asks for"
            return Tested(Undecided(f"the baseline has {counted(len(theirs), 'run')} {asked}"))
        return Tested(means.welch(ours, theirs, rule))
    if examples.fits(gate, metric):
        if examples.has_both(side.run) and single:
            return Tested(_by_example(name, value, reference, examples))
        pair = examples.pair(side.run or "")
        why = pair.reason if isinstance(pair, Undecided) else "the baseline is no single run"
        if gate.test != "auto":
            return Tested(Undecided(f"the test '{gate.test}' compares example by example, and {why}"))
        notes.append(f"not compared example by example: {why}")
    if gate.history and gate.test == "auto":
        past = [v for v in evidence.history.get(metric, ()) if math.isfinite(v)][-gate.history.window :]
        if len(past) >= gate.history.min_samples:
            return Tested(means.prediction(value, past, rule), tuple(notes))
        notes.append(f"{counted(len(past), 'run')} of the {gate.history.min_samples} that 'history' asks for")
    if gate.n:
        return Tested(_proportion(gate.n, value, reference, evidence.candidate, side, rule), tuple(notes))
    return Tested(None, tuple(notes))


def _by_example(name: str, value: float, reference: float, examples: ByExample) -> Interval | Undecided:
    answer = examples.answers.get((name, None), Undecided("the examples were not asked"))
    if isinstance(answer, Undecided):
        return answer
    if isinstance(answer.result, Undecided):
        return answer.result
    for stated, found, whose in ((value, answer.candidate, "the run"), (reference, answer.baseline, "the baseline")):
        if not abs(stated - found) <= FAR * max(abs(stated), abs(found)):
            return Undecided(
                f"the samples of {whose} give {shown(found, stated)}, but its metric is {shown(stated, found)}: "
                "they are not of the same evaluation"
            )
    return answer.result


def _proportion(
    n: str, value: float, reference: float, candidate: Side, baseline: Side, rule: Rule
) -> Interval | Undecided:
    counts = []
    for side, share, whose in ((candidate, value, "the run"), (baseline, reference, "the baseline")):
        total = side.metrics.get(n)
        if total is None:
            return Undecided(f"{whose} has no metric '{n}', the number of examples of the proportion")
        if not math.isfinite(total) or total < 1 or total != int(total) or not 0 <= share <= 1:
            return Undecided(f"{shown(share)} of {shown(total)} examples of {whose} is not a proportion")
        counts.append((round(share * total), int(total)))
    return proportions.newcombe(counts[0], counts[1], rule)
