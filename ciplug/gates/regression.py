"""Rules that compare: which test the data allow, and what it says.

d = s·(candidate − baseline), s = +1 where higher is better, else −1. One number a run passes when d ≥ −R − tol,
R being the allowance and tol = atol + 1e-9·max(|candidate|, |baseline|) what rounding takes. Where the data tell
how uncertain d is, its interval decides (`ciplug.stats.intervals`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ciplug.gates.checks import Check, by, failed, limit_of, tolerance, undecided
from ciplug.gates.words import allowance, shown
from ciplug.records.verdict import GateResult
from ciplug.stats import intervals as statistics
from ciplug.stats.intervals import Interval, Rule, Undecided

if TYPE_CHECKING:
    from ciplug.config.gate import Allowance, Gate
    from ciplug.config.policy import Seeds
    from ciplug.gates.by_example import ByExample
    from ciplug.gates.evidence import Evidence
    from ciplug.records.comparison import Side

POINT = "one number a run"
FAR = 0.01
"""How far, relatively, a metric may lie from what its examples give and still be taken for theirs."""


@dataclass(frozen=True)
class Tested:
    """What a test says; None: there is no test, and one number stands beside the other."""

    result: Interval | Undecided | None
    notes: tuple[str, ...] = ()


def blank(name: str, gate: Gate, allowed: Allowance, value: float | None, side: Side) -> GateResult:
    """What is known before anything is compared."""
    reference = side.metrics.get(gate.metric or name)
    both = value is not None and reference is not None
    return GateResult(
        gate=name,
        metric=gate.metric or name,
        rule=said(allowed),
        outcome="ERROR",
        reason="",
        candidate=value,
        baseline=reference,
        baseline_run=side.run,
        baseline_label=label(side),
        change=value - reference if both and value is not None and reference is not None else None,
    )


def said(allowed: Allowance) -> str:
    return f"at most {allowance(allowed)} worse than the baseline"


def label(side: Side) -> str | None:
    """What was compared with: "merge base 1a2b3c4d", "production (v3)"."""
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
        why = f"the baseline has no metric '{known.metric}'" if side.found else side.how
        advice = "later runs have it" if side.found else side.remedy
        outcome = by(gate.on_no_baseline, gate, "WARN")
        known = replace(known, outcome=outcome, reason=f"no baseline to compare with: {why}", advice=advice)
    return Check(gate=gate, result=known)


def compare(
    gate: Gate, known: GateResult, allowed: Allowance, side: Side, test: Callable[[Rule, float], Tested]
) -> Check:
    """A comparison of two numbers that are there, by a test or as they are."""
    value, reference = known.candidate, known.baseline
    if value is None or reference is None:
        raise ValueError(f"the gate '{known.gate}' has nothing to compare")
    if not math.isfinite(reference):
        reason = f"the baseline's '{known.metric}' is {shown(reference)}, which is no number to compare with"
        return Check(gate=gate, result=replace(known, outcome="ERROR", reason=reason, advice="mend the baseline's run"))
    if side.unfit:
        return Check(
            gate=gate,
            result=replace(known, outcome=undecided(gate), reason=side.unfit, advice="run the baseline's commit again"),
        )
    limit = limit_of(allowed, reference)
    if limit is None:
        reason = "a percentage of the baseline 0 is undefined"
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
        reason = f"{_words(value, reference, d, limit, rule)}; {tested.result.reason}"
        return Check(gate=gate, result=replace(known, outcome=undecided(gate), reason=reason, advice=_settle(tested)))
    known = replace(known, reason=_words(value, reference, d, limit, rule), advice=LOOK)
    if tested.result is not None:
        return Check(gate=gate, result=known, rule="max_regression", interval=tested.result)
    # A loss that no float can hold is beyond any allowance.
    if -math.inf < d >= rule.bound:
        return Check(gate=gate, result=replace(known, outcome="PASS", method=POINT, advice=None), rule="max_regression")
    reason = f"{known.reason} ({POINT}: no uncertainty)"
    return Check(
        gate=gate,
        result=replace(known, outcome=failed(gate), reason=reason, method=POINT),
        rule="max_regression",
    )


LOOK = "look at what changed beside it, or ask for a waiver of this commit"


def _words(value: float, reference: float, d: float, limit: float, rule: Rule) -> str:
    if abs(d) <= rule.tolerance:
        return f"unchanged at {shown(value)}"
    if d > 0:
        return f"{shown(value, reference)} is {shown(d)} better than the baseline's {shown(reference, value)}"
    return (
        f"{shown(value, reference)} is {shown(-d, limit)} worse than the baseline's {shown(reference, value)}, "
        f"allowed {shown(limit, -d)}"
    )


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
            return Tested(Undecided(f"the baseline has {_runs(len(theirs))} {asked}"))
        return Tested(statistics.welch(ours, theirs, rule))
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
            return Tested(statistics.prediction(value, past, rule), tuple(notes))
        notes.append(f"{_runs(len(past))} of the {gate.history.min_samples} that 'history' asks for")
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
                f"the samples of {whose} give {shown(found, stated)}, and its metric says {shown(stated, found)}: "
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
            return Undecided(f"{whose} has no metric '{n}', of how many examples it is a proportion")
        if not math.isfinite(total) or total < 1 or total != int(total) or not 0 <= share <= 1:
            return Undecided(f"{shown(share)} of {shown(total)} examples of {whose} is no proportion")
        counts.append((round(share * total), int(total)))
    return statistics.newcombe(counts[0], counts[1], rule)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
