"""Words for the eye, the same in every rendering of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.errors import counted, listed
from ciplug.records import moment
from ciplug.reports import number_format

if TYPE_CHECKING:
    from ciplug.records.comparison import Side
    from ciplug.records.notice import Notice
    from ciplug.records.run import Scalar
    from ciplug.records.verdict import GateResult, Outcome, Verdict


OUTCOME_ICONS: dict[Outcome, str] = {
    "PASS": "✅",
    "WARN": "⚠️",
    "FAIL": "❌",
    "INCONCLUSIVE": "❓",
    "ERROR": "⛔",
}
OUTCOME_WORDS: dict[Outcome, str] = {
    "PASS": "passed",
    "WARN": "passed with warnings",
    "FAIL": "failed",
    "INCONCLUSIVE": "inconclusive",
    "ERROR": "error",
}
OUTCOME_ADJECTIVES: dict[Outcome, str] = {
    "PASS": "passed",
    "WARN": "warning",
    "FAIL": "failed",
    "INCONCLUSIVE": "inconclusive",
    "ERROR": "error",
}
"""The adjective for one check."""
OUTCOME_COUNTS: dict[Outcome, str] = {
    "ERROR": "in error",
    "FAIL": "failed",
    "INCONCLUSIVE": "inconclusive",
    "WARN": "warned",
    "PASS": "passed",
}


def short_commit(commit: str) -> str:
    """The first 8 digits of a commit's id."""
    return commit[:8]


def older(recorded: str | None, than: str | None) -> str:
    """Return the difference in age of two records, by their own times (ISO 8601): "3 days older", "2 hours newer".

    Empty within two minutes, and where a time is unknown. Never by the clock of who reads: a report says the same
    whenever it is made.
    """
    try:
        seconds = (moment.parse(than or "") - moment.parse(recorded or "")).total_seconds()
    except (ValueError, TypeError):
        return ""
    word = "older" if seconds > 0 else "newer"
    minutes = int(abs(seconds) // 60)
    if minutes < 2:
        return ""
    if minutes < 60:
        return f"{minutes} minutes {word}"
    hours = minutes // 60
    return f"{counted(hours, 'hour') if hours < 24 else counted(hours // 24, 'day')} {word}"


def scalar(value: Scalar | None) -> str:
    """A parameter's value; a dash for one that is not there."""
    if value is None:
        return number_format.ABSENT
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # The parameter as it was given, not rounded: 1e-05 is a setting, not a measurement.
        return repr(value)
    return '""' if value == "" else str(value)


def tally(verdict: Verdict) -> str:
    """Count the checks by outcome, the worst first: "1 failed, 2 passed"."""
    counts = ((word, sum(g.outcome == outcome for g in verdict.gates)) for outcome, word in OUTCOME_COUNTS.items())
    return ", ".join(f"{n} {word}" for word, n in counts if n)


NO_GATES = "compared, no gates set"
"""The headline of a model that nothing judges."""


def headline(outcome: Outcome | None, verdict: Verdict | None) -> tuple[str, str]:
    """Icon and words for the verdict on one model; an outcome without a verdict is a policy that cannot be asked."""
    if outcome is None:
        return "📊", NO_GATES
    words = OUTCOME_WORDS[outcome] if verdict else "not judged"
    return OUTCOME_ICONS[outcome], f"{words} (dry run)" if verdict and verdict.dry_run else words


def nothing(side: Side) -> str:
    """Return why a side has no run, and what to do, as one clause."""
    remedy = side.problem.remedy if side.problem else None
    return f"{side.how} → {remedy}" if remedy else side.how


def why_not_compared(side: Side, verdict: Verdict | None) -> str:
    """Return what a run is compared with that `side` has no run for, as a clause whose subject is the run."""
    own = {gate.gate: gate.baseline_label for gate in (verdict.gates if verdict else ()) if gate.baseline is not None}
    if not own:
        return f"is compared with nothing: {nothing(side)}"
    named = listed([f"'{name}' with {label}" for name, label in own.items()])
    return f"is compared only by gates with a baseline of their own ({named}): {nothing(side)}"


def hidden(count: int) -> str:
    """Return the sentence on the metrics that ciplug.yaml hides."""
    return f"{counted(count, 'metric')} hidden by ciplug.yaml: ciplug compare --format markdown lists all"


def not_judged(problem: Notice) -> str:
    """Return why a model was not judged, and what to do, as one clause."""
    return f"{problem.clause} → {problem.remedy}" if problem.remedy else problem.clause


def footnotes(gate: GateResult, baseline: str | None = None) -> list[str]:
    """Return the notes below a check's reason: the comparison and its run, other notes, the advice.

    `baseline` is the run that the report names as the baseline anyway.
    """
    decided = []
    if gate.outcome != "PASS" and gate.baseline_label and (gate.baseline_run is None or gate.baseline_run != baseline):
        decided.append(
            f"against {gate.baseline_label}" + (f", run {gate.baseline_run[:8]}" if gate.baseline_run else "")
        )
    if gate.method and not gate.point and (gate.confidence is not None or gate.outcome != "PASS"):
        decided.append(gate.method)
        decided += [f"n = {gate.n:,}"] if gate.n is not None else []
        decided += [f"p = {gate.p:.2g}"] if gate.p is not None else []
    lines = [", ".join(decided)] if decided else []
    lines += gate.notes
    if gate.advice and gate.outcome != "PASS":
        lines.append(f"→ {gate.advice}")
    return lines


def side_clause(side: Side, candidate: Side) -> str:
    """Describe how a side was chosen, and how much older than the candidate it is, in one clause."""
    return ", ".join(part for part in (side.how, older(side.recorded, candidate.recorded)) if part)
