"""The reasons for a gate's outcome: one sentence with the numbers, made from facts, for people only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ciplug.config.clean_patterns import line_to_add
from ciplug.errors import counted, listed
from ciplug.gates import rule_text
from ciplug.gates.number_text import exact, p_value, percent, shown, signed
from ciplug.records.notice import Notice
from ciplug.records.selection import PassedOver, Reason
from ciplug.records.verdict import GateResult, Outcome
from ciplug.stats.intervals import Decision, Interval, Rule, Unit

if TYPE_CHECKING:
    from ciplug.config.allowance import TradeOff
    from ciplug.config.policy import Waiver
    from ciplug.records.comparison import Side
    from ciplug.records.left_out import LeftOut
    from ciplug.stats.drift_tests import ColumnDrift, Drift, DriftTest
    from ciplug.stats.trend import Fall

POINT = "one number per run"
SHOWN = 5
"""Columns, or new values of one, that are named."""

# --- Bounds and numbers --------------------------------------------------------------------------------------------


def bound(result: GateResult, value: float, limit: float, *, least: bool, holds: bool) -> str:
    words = f"{'not ' if holds else ''}{'below' if least else 'above'} {exact(limit)}"
    return of_slice(result, f"{shown(value, limit)} is {words}")


def bound_by_interval(result: GateResult, decision: Decision, *, least: bool) -> str:
    """A bound that an interval decides; the result has the interval of the value."""
    value, limit = result.candidate or 0.0, result.limit or 0.0
    low, high = (shown(end, limit) for end in _rounded((result.low or 0.0, result.high or 0.0), limit))
    holds = value >= limit if least else value <= limit
    between = f"{confidence(result)} interval {low} to {high}"
    return f"{bound(result, value, limit, least=least, holds=holds)}; {between}: {_BOUND_DECISIONS[decision]}"


def undefined(result: GateResult, why: str | None) -> str:
    """A slice whose metric has no value."""
    return of_slice(result, why or f"'{result.metric}' is undefined")


def not_finite(metric: str, value: float) -> str:
    return f"'{metric}' is {shown(value)} and cannot be judged"


def changed_later(what: str, run: str, author: str) -> str:
    return f"{what} was changed after the end of run {run[:12]}, by {author}"


def barred(run: PassedOver, *, judged: bool) -> str:
    """Return the reason why a run does not count for its commit; `judged`: it was named, and so its gates are asked."""
    then = "it is judged because it was named, but it counts for no commit" if judged else "its numbers decide nothing"
    return f"run {run.run[:12]} {run.words}; {then}"


def advice_on(run: PassedOver, folder: str) -> str:
    """Return what to do about a run that does not count; `folder`: that of ciplug.yaml, from the repository's top."""
    advice = _ADVICE.get(run.reason, "record another run: ciplug run -- COMMAND")
    if run.reason is Reason.DIRTY and run.head_after:
        return "check out the commit first, then train: ciplug run -- COMMAND"
    if run.reason is Reason.DIRTY and run.files:
        return f"{advice}; if the pipeline itself rewrites them, add: {line_to_add(run.files[:SHOWN], folder)}"
    return advice


_ADVICE = {
    Reason.DIRTY: "commit or undo the changes, and run it again",
    Reason.SET_ASIDE: "commit or undo the changes, and run it again; or merge the change of 'clean:' first, by itself",
    Reason.STATE_UNKNOWN: "run it in a checkout that git can read",
    Reason.LAPTOP: "have a pipeline run it: only its runs count here (record: ci)",
}


def unfinished(notice: Notice) -> str:
    """A run of the candidate that did not finish."""
    return f"{notice.ended}: its numbers decide nothing"


def missing(metric: str, *, runs: int, instead: Sequence[LeftOut], baseline: float | None) -> str:
    """Return the reason for a missing metric; `instead` is what the run has in its place, if anything."""
    who = "not every run of this candidate has the" if runs > 1 else "the run has no"
    clauses = "".join(f", {'and' if one.why == 'file' else 'but'} {one.clause}" for one in instead)
    lost = f"; the baseline had {shown(baseline)}" if baseline is not None else ""
    return f"{who} metric '{metric}'{clauses}{lost}"


def nothing_to_judge(refused: Sequence[LeftOut]) -> str:
    """Return the reason where a run has no metric; `refused` are the files that were to hold them."""
    why = "".join(f", and {one.clause}" for one in refused)
    return f"the run has no metric at all{why or ': there is nothing to judge'}"


def advice_on_left_out(one: LeftOut) -> str:
    """Return what to do about a missing metric that has this in its place."""
    if one.why == "file":
        return one.advice or f"have the training write {one.name} as a file that can be read"
    if one.why in ("line", "last_line"):
        return "have the training write whole lines, and from one process only"
    if one.why == "header":
        return "have the training write the names of the columns as the first line"
    if one.why == "order":
        return f"write 'take:' for {one.file} in ciplug.yaml: last (by row), min, max, best or a step"
    return "have the training write a number"


def advice_on_no_metric(children: int) -> str:
    if children:
        return f"log the metrics to the run itself, not only to its {counted(children, 'child run')}"
    return (
        "name the file that the training writes: metrics: metrics.json; or, if it logs with MLflow, set "
        "MLFLOW_TRACKING_URI for the command"
    )


def last_unsure(metric: str, one: LeftOut) -> str:
    """Return the reason where the value of a metric may not be its last."""
    what = "is not known" if one.why == "order" else "may be lost"
    return f"the last value of '{metric}' {what}: {one.clause}"


# --- Comparisons ---------------------------------------------------------------------------------------------------


def comparison(result: GateResult, rule: Rule, limit: float | None) -> str:
    """Describe the difference between candidate and baseline, and the allowance."""
    value, reference, limit = result.candidate or 0.0, result.baseline or 0.0, limit or 0.0
    d = (value - reference) * rule.sign
    if abs(d) <= rule.tolerance:
        text = f"unchanged at {shown(value)}"
    elif d > 0:
        text = f"{shown(value, reference)} is {shown(d)} better than the baseline's {shown(reference, value)}"
    else:
        loss = limit if abs(-d - limit) <= rule.tolerance else -d
        text = (
            f"{shown(value, reference)} is {shown(loss, limit)} worse than the baseline's {shown(reference, value)}, "
            f"allowed {shown(limit, loss)}"
        )
    return of_slice(result, text)


def point(text: str) -> str:
    """A comparison of two numbers, or of one with a bound, without an interval."""
    return f"{text} ({POINT}: no uncertainty)"


def point_errs(runs: int, deviation: float, share: float) -> str:
    """A note on the comparison of two numbers, from the noise of a history."""
    return (
        f"over the last {runs} runs, one number differed from the next by {deviation:.2g} (standard deviation): this "
        f"rule fails an unchanged candidate in {percent(share)} of cases, and passes a loss of twice the allowance as "
        "often; 'history' takes the noise into account"
    )


def looked_again(look: int, alpha: float, *, seeds: bool) -> str:
    """A note on a test of one of several runs of a commit; `seeds`: or of more seeds than the policy asks for."""
    what = f"{look} runs of this commit were compared: this one is"
    if seeds:
        what = f"with seeds that were added, this is comparison {look} of this commit: it is"
    return f"{what} judged at α = {alpha:.2g}, so that all of them together keep to the error rate of the gate"


def seeds_alike(runs: int) -> str:
    """A note on seeds that change nothing, so that they say nothing about noise."""
    return f"the {runs} seeds gave the same number: does the training use its seed?"


def pooled(runs: int, mean: float) -> str:
    """A note on an interval that all runs of a commit went into."""
    return f"the interval is about the mean of the {runs} runs of this commit, {shown(mean)}"


OTHER_BASELINE = "see why the baseline was trained again: ciplug runs list; judge several seeds on both sides ('seeds')"


def other_baseline(reason: str, runs: int, mean: float) -> str:
    """The reason for a candidate that passes beside one run of the baseline's commit, and not beside their mean."""
    of_all = f"the baseline's commit has {runs} runs, whose mean is {shown(mean)}"
    return f"{reason}; {of_all}, and compared with their mean the loss is too large"


def allows_all(allowed: float, reference: float) -> str:
    """A note on an allowance that no candidate can exceed without turning negative."""
    return (
        f"the allowance {exact(allowed)} is not smaller than the baseline {shown(reference)}: "
        "is a percentage, or a smaller number, meant?"
    )


def by_interval(result: GateResult, interval: Interval, decision: Decision, traded: str = "") -> str:
    """A comparison that an interval decides; the result has the interval of the change.

    Args:
        traded: what a trade-off has to do with it.
    """
    limit = (result.limit or 0.0) * -interval.rule.sign
    low, high = (signed(end, limit) for end in _rounded((result.low or 0.0, result.high or 0.0), limit))
    between = f"{confidence(result)} interval of the change {low} to {high}"
    decided = f"{traded}: {_TRADED[decision]}" if traded else _DECISIONS[decision]
    return f"{comparison(result, interval.rule, result.limit)}; {between}{'; ' if traded else ': '}{decided}"


def traded(trade_off: TradeOff, gain: Decision, clause: str, *, needed: bool) -> str:
    """What a trade-off allows, and whether its condition holds; nothing where it is not needed."""
    if not needed:
        return ""
    holds = {"PASS": "which is shown", "FAIL": "which it has not", "INCONCLUSIVE": "which the data do not decide"}[gain]
    return f"{rule_text.trade_off(trade_off)}, {holds} ({clause})"


def gained(trade_off: TradeOff, better: float, before: float) -> str:
    """ "it is 25% better than the baseline"."""
    amount = abs(better)
    if trade_off.min_improvement.rel is not None:
        return f"it is {exact(float(f'{amount / abs(before):.3g}') * 100)}% {'better' if better >= 0 else 'worse'}"
    return f"it is {shown(amount)} {'better' if better >= 0 else 'worse'}"


def confidence(result: GateResult) -> str:
    """ "90%", "99.8%", "99.962%": two digits of what is missing to 100%, which never becomes 100%."""
    level = 100 * (result.confidence or 0)
    digits = 1 - math.floor(math.log10(100 - level)) if level < 100 else 10
    return f"{round(level, max(digits, 0)):.15g}%"


def _rounded(ends: tuple[float, float], limit: float) -> tuple[float, ...]:
    """The ends of an interval; one that only rounding keeps from the limit is the limit."""
    return tuple(limit if abs(end - limit) <= 1e-9 * max(abs(end), abs(limit)) else end for end in ends)


def settled_by(unit: Unit, more: int | None, loss: float) -> str:
    """Advise on an undecided comparison: how much more data would decide it.

    Args:
        more: units that would decide; None where no number that anybody collects does.
        loss: the smallest loss that today's data find in 80% of cases.
    """
    if unit == "run":
        return (
            "more history cannot decide it, since the noise is that of one run on each side: a loss is found from "
            f"{loss:.2g} on, a smaller one by several seeds on each side ('seeds') or by examples ('samples')"
        )
    if more:
        return f"about {more:,} more {_UNITS[unit]} would decide{_OR.get(unit, '')}"
    return (
        f"the change is too close to the limit for any amount of data: these data show only a loss of {loss:.2g} or "
        "more; raise the allowance, or accept the risk"
    )


AT_THE_BOUND = (
    "the value is too close to its bound for any test, with any amount of data: move the bound, or compare the number "
    "as it is (test: point)"
)


def chance_among_many(unit: Unit) -> str:
    """Advise on a test that fails alone, but not among the other tests of the run."""
    lead = "this test fails on its own, but with several tests in one run that may be chance"
    if unit == "run":
        return f"{lead}: several seeds on each side, or examples, would tell"
    return f"{lead}: more {_UNITS[unit]} would tell"


def unknown_answers(count: int, lost: int) -> str:
    """Advise on a comparison that depends on answers that nobody knows; `lost`: those that the candidate lacks."""
    if count == lost:
        return f"evaluate the {counted(count, 'example')} of the baseline that the run lacks"
    has = "has" if count == 1 else "have"
    return f"give each example of the evaluation set one answer: {counted(count, 'example')} {has} none that is known"


def fell(fall: Fall, commit: str | None, runs: int) -> str:
    """A note on where the level of a series fell; `commit`: None where that is the judged one."""
    where = f"commit {commit[:8]}" if commit else "this commit"
    if fall.is_steady:
        return f"a steady change of {signed(fall.slope)} a run over {runs} runs, the level fell most at {where}"
    return f"the level fell at {where}: on average {shown(fall.before)} before it, {shown(fall.after)} since"


def baseline_not_finite(metric: str, value: float) -> str:
    return f"the baseline's '{metric}' is {shown(value)} and cannot be compared"


def no_baseline(metric: str, side: Side) -> str:
    why = f"the baseline has no metric '{metric}'" if side.has_numbers else side.how
    return f"no baseline to compare with: {why}"


def seeds_without(metric: str, runs: Sequence[str], of: int) -> str:
    """The reason for a baseline of several seeds of which some lack the metric."""
    some = listed([run[:12] for run in runs], most=SHOWN)
    have = "has" if len(runs) == 1 else "have"
    return f"{len(runs)} of the baseline's {of} runs {have} no metric '{metric}': {some}"


def baseline_unknown(problem: Notice) -> str:
    return f"the baseline could not be determined: {problem.clause}"


def waived(result: GateResult, waiver: Waiver, *, covered: bool) -> str:
    """Return the reason of a result to which a waiver applies, whether or not it covers the loss."""
    who = f"{waiver.approved_by}'s waiver ({waiver.reason}{f', {waiver.issue}' if waiver.issue else ''})"
    if not covered:
        return f"{result.reason}; beyond {who} too, which allows {exact(waiver.limit)}"
    return f"{result.reason}; waived up to {exact(waiver.limit)} until {waiver.expires} by {who}"


_DECISIONS: dict[Decision, str] = {
    "PASS": "no more than is allowed",
    "FAIL": "more than is allowed, and more than noise",
    "INCONCLUSIVE": "the data do not decide",
}
_TRADED: dict[Decision, str] = {
    "PASS": "no more than is allowed in exchange",
    "FAIL": "more than is allowed, and more than noise",
    "INCONCLUSIVE": "the data do not decide",
}
UNDEFINED_LOSS = "the loss in exchange is undefined, as it is a percentage of the baseline 0"
TRADE_OFF_OPEN = "more examples or seeds would decide what is lost, or what is won for it"
_BOUND_DECISIONS: dict[Decision, str] = {
    "PASS": "within the bound",
    "FAIL": "beyond the bound, and more than noise",
    "INCONCLUSIVE": "the data do not decide",
}
_UNITS: dict[Unit, str] = {
    "example": "examples",
    "cluster": "clusters of examples",
    "seed": "runs with other seeds, on each side,",
    "run": "earlier runs",
    "other example": "examples on each side",
    "rare example": "examples of the rarest class",
}
_OR: dict[Unit, str] = {"other example": ", and fewer if both sides had the same ones ('samples')"}

# --- Slices --------------------------------------------------------------------------------------------------------


def slice_lost(name: str) -> str:
    return f"the slice {name} is gone: the baseline had examples of it, the run has none"


def slices_too_small(min_samples: int, largest: int) -> str:
    return f"no slice has {min_samples:,} examples, the largest has {largest:,}"


def small_slices(count: int, min_samples: int) -> str:
    """A note on slices that are not judged."""
    has, are = ("has", "is") if count == 1 else ("have", "are")
    return f"{counted(count, 'slice')} {has} fewer than {min_samples:,} examples, and {are} not judged"


def other_slices(count: int, outcome: Outcome, worst: GateResult) -> str:
    lead = f"{counted(count, 'more slice' if outcome != 'PASS' else 'slice')}: {outcome.lower()}"
    return f"{lead}, the worst is {worst.reason}"


def of_slice(result: GateResult, text: str) -> str:
    """The text, after the name of the slice that the result is about."""
    return f"{result.slice}: {text}" if result.slice is not None else text


# --- Drift ---------------------------------------------------------------------------------------------------------


def drifted(
    moved: Sequence[tuple[str, int]],
    columns: int,
    tested: Mapping[tuple[str, int], Drift],
    adjusted: Mapping[tuple[str, int], float],
) -> str:
    """Return the reason for drift in the tests of `moved`; the columns with the smallest p come first."""
    ordered = sorted(moved, key=lambda key: (adjusted[key], -tested[key].effect))
    by_column: dict[str, list[str]] = {}
    for key in ordered:
        by_column.setdefault(key[0], []).append(_drift(tested[key], adjusted[key]))
    some = [f"{column} ({'; '.join(tests)})" for column, tests in by_column.items()]
    have = "has" if len(by_column) == 1 else "have"
    lead = f"{len(by_column)} of {counted(columns, 'column')} {have} drifted"
    return f"{lead}: {listed(some, most=SHOWN, separator='; ')}"


def not_drifted(
    tested: Mapping[tuple[str, int], Drift], adjusted: Mapping[tuple[str, int], float], columns: int
) -> str:
    most = min(tested, key=lambda key: (adjusted[key], -tested[key].effect))
    detail = f"{most[0]} ({_drift(tested[most], adjusted[most])})"
    if columns == 1:
        return f"the one column has not drifted: {detail}"
    return f"none of {columns} columns has drifted; most has {detail}"


def columns_gone(columns: Sequence[str]) -> str:
    some = listed(columns, most=SHOWN)
    return f"{counted(len(columns), 'column')} of the reference {'is' if len(columns) == 1 else 'are'} gone: {some}"


def columns_added(columns: Sequence[str]) -> str:
    some = listed(columns, most=SHOWN)
    return f"{counted(len(columns), 'column')} that the reference does not have: {some}; not compared"


def drift_kinds(columns: Mapping[str, ColumnDrift]) -> Iterator[str]:
    """Notes on what the columns are compared as."""
    for kind in ("numbers", "categories"):
        if names := [name for name, column in columns.items() if column.kind == kind]:
            yield f"compared as {kind}, as in the reference: {listed(names, most=SHOWN)}"


def drift_ids(columns: Sequence[str]) -> str:
    names = listed(columns, most=SHOWN)
    return f"not compared, as nearly all values are different, like those of an id: {names}"


def stray_value(column: str, value: str) -> str:
    return f"{column} is a column of numbers, and has other values, like {value[:40]!r}"


def drift_undecided(columns: Mapping[str, str]) -> str:
    """Return the reason for columns that could not be compared, with the cause for each."""
    return (
        "; ".join(f"{column}: {why}" for column, why in list(columns.items())[:SHOWN]) or "no column is in both files"
    )


def new_values(column: str, values: Sequence[str]) -> str:
    """A note on categories that only the current window has."""
    some = listed([repr(value[:40]) for value in values], most=SHOWN)
    return f"{column} has values that the reference never had: {some}"


_EFFECTS: dict[DriftTest, str] = {"psi": "PSI", "ks": "KS distance", "chi2": "Cramér's V"}
_SHARES: dict[DriftTest, str] = {"missing": "missing", "not_numbers": "not a number", "new": "new values"}


def _drift(drift: Drift, adjusted: float) -> str:
    p = f"p {p_value(adjusted)}"
    if drift.shares is not None:
        before, now = (f"{100 * share:.3g}%" for share in drift.shares)
        return f"{_SHARES[drift.test]} {before} → {now}, {p}"
    return f"{_EFFECTS[drift.test]} {drift.effect:.3g}, {p}"
