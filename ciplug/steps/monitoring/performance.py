"""The labelled predictions, judged by the gates on scores; the baseline is the run of the version."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.config.gate import Gate
from ciplug.config.policy import Policy
from ciplug.errors import CiplugError, counted
from ciplug.gates import checks, rule_text
from ciplug.records.examples import means
from ciplug.records.verdict import GateResult
from ciplug.stats.intervals import Undecided
from ciplug.steps.monitoring.watched_version import Watched
from ciplug.steps.monitoring.window import LABELLED, Window, evaluated, label_of, policy_of, undecided_result

if TYPE_CHECKING:
    from ciplug.records.examples import Examples
    from ciplug.tracking.runs import Runs

_BY_PROMOTION = "\n"
"""After the name of a gate: its comparison with the version's run, as a bound. No gate of a file has a line break."""


def judge_performance(window: Window, gates: Mapping[str, Gate], runs: Runs) -> list[GateResult]:
    watched, found = window.watched, window.found
    policy = policy_of(watched, gates)
    due, labelled = len(found.due), len(found.labels)
    least = watched.settings.min_coverage
    if not labelled or labelled < least * due:
        share = f"{labelled:,} of {counted(due, 'prediction')} {'has' if 1 in (labelled, due) else 'have'} a label"
        required = f", and min_coverage asks for {least:.0%}" if labelled else ""
        reason = f"{share}{required}" if due else "there is no prediction that labels are due for"
        return [
            undecided_result(policy.resolved(name), name, reason, "are labels late? see label_delay") for name in gates
        ]
    slices = dict.fromkeys(column for gate in gates.values() if gate.slices for column in gate.slices.by)
    samples = watched.policy.samples
    columns = [policy.metric_of(name) for name in gates]
    examples = found.examples(watched.roles, list(slices), samples.cluster if samples else None, {*columns, "score"})
    return _on_examples(window, policy, examples, _examples_of_baseline(watched, runs))


def _on_examples(window: Window, policy: Policy, examples: Examples, of_baseline: int | None) -> list[GateResult]:
    averages = means(examples)
    results: list[GateResult] = []
    known: dict[str, Gate] = {}
    values: dict[str, float] = {}
    for name, gate in policy.gates.items():
        metric = policy.metric_of(name)
        value = averages[metric] if metric in averages else _score(examples, metric)
        if isinstance(value, Undecided):
            results.append(undecided_result(policy.resolved(name), name, value.reason, None))
        else:
            values[metric] = value
            known[name] = gate
    window.metrics.update(values)
    if known:
        judged = _split(window, replace(policy, gates=known), values, len(examples), of_baseline)
        ours = {LABELLED: float(len(examples)), **{gate.n: float(len(examples)) for gate in known.values() if gate.n}}
        results += evaluated(window, judged, {window.run.id: examples}, {**values, **ours}, {}, of_baseline)
    return [_of_promotion(window, policy, one) for one in results]


def _split(window: Window, policy: Policy, values: Mapping[str, float], ours: int, of_baseline: int | None) -> Policy:
    """The gates with each comparison as a test of two samples that are not paired.

    A proportion whose counts are known on both sides is compared as such. Of any other score, the number of the
    version's run is taken as exact, and the examples of the window are tested beside it.
    """
    recorded = window.watched.run.metrics
    gates: dict[str, Gate] = {}
    for name, gate in policy.gates.items():
        resolved = policy.resolved(name)
        before = recorded.get(resolved.metric)
        allowed = gate.max_regression
        if allowed is None or before is None or not math.isfinite(before):
            gates[name] = gate
            continue
        if resolved.metric == "accuracy" and (of_baseline or (gate.n and gate.n in recorded)):
            gates[name] = replace(gate, n=gate.n or LABELLED)
            continue
        limit = checks.limit_of(allowed, before)
        if limit is None or gate.test == "point":
            gates[name] = gate
            continue
        bound = before - limit if gate.higher_is_better else before + limit
        key = "min" if gate.higher_is_better else "max"
        own = replace(gate, max_regression=None)
        if own.has_rule or own.slices:
            gates[name] = own
        alone = replace(own, min=None, max=None, slices=None, metric=resolved.metric)
        gates[f"{name}{_BY_PROMOTION}"] = replace(alone, min=bound) if key == "min" else replace(alone, max=bound)
    return replace(policy, gates=gates)


def _of_promotion(window: Window, policy: Policy, result: GateResult) -> GateResult:
    """The result of such a bound, as one of the gate that it comes from."""
    if not result.gate.endswith(_BY_PROMOTION):
        return result
    name = result.gate.removesuffix(_BY_PROMOTION)
    gate = policy.resolved(name)
    before = window.watched.run.metrics[gate.metric]
    return replace(
        result,
        gate=name,
        rule=rule_text.all_rules(replace(gate, min=None, max=None, trend=None, slices=None)),
        baseline=before,
        baseline_run=window.watched.run.id,
        baseline_label=label_of(window.watched),
        change=None if result.candidate is None else result.candidate - before,
        notes=(*result.notes, f"the number of {label_of(window.watched)}, {before:.6g}, is taken as exact"),
    )


def _score(examples: Examples, metric: str) -> float | Undecided:
    try:
        from ciplug.stats.scores import value_of
    except ModuleNotFoundError as missing:
        return Undecided(f"'{metric}' needs {missing.name}: pip install 'ciplug[stats]'")
    return value_of(examples, metric)


def _examples_of_baseline(watched: Watched, runs: Runs) -> int | None:
    """How many examples the accuracy of the version's run was measured on, where that is recorded."""
    try:
        examples = runs.examples(watched.run)
    except CiplugError:
        return None
    if examples is None or examples.labels is None:
        return None
    return sum(label is not None for label in examples.labels) or None
