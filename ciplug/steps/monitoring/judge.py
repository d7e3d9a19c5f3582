"""The verdict of the gates of ciplug.yaml on the predictions of a window. The version's own run is the baseline."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ciplug._version import __version__
from ciplug.capture.prediction_files import left_out_text, stamp_of
from ciplug.comparison.failures_in_a_row import FAILED
from ciplug.config.gate import Gate
from ciplug.config.monitor import is_result
from ciplug.errors import ConfigError
from ciplug.records.run import Run
from ciplug.records.verdict import GateResult, Verdict, worst
from ciplug.steps.monitoring.drift import judge_drift
from ciplug.steps.monitoring.performance import judge_performance
from ciplug.steps.monitoring.reference import default_reference
from ciplug.steps.monitoring.watched_version import Watched
from ciplug.steps.monitoring.window import COVERAGE, LABELLED, ROWS, Window, evaluated, policy_of, undecided_result
from ciplug.steps.session import now, stamp

if TYPE_CHECKING:
    from ciplug.capture.prediction_files import Predictions
    from ciplug.tracking.runs import Runs

DRIFT = "drift"
"""The gate on drift, where the policy has none."""


@dataclass(frozen=True)
class Judged:
    """What the gates say of a window."""

    verdict: Verdict
    metrics: Mapping[str, float]
    performance: str | None
    """The worst outcome on labelled predictions; None: no gate is about them."""
    failed: tuple[str, ...] = ()
    """The gates on labelled predictions that failed."""


class _Parts(NamedTuple):
    """The gates by what they need."""

    labelled: Mapping[str, Gate]
    measured: Mapping[str, Gate]
    """Of columns of the predictions, and of results of other tools."""
    drift: Mapping[str, Gate]
    left: tuple[str, ...]
    """Gates whose metric nothing here measures."""


class Measured(NamedTuple):
    """The results of other tools."""

    values: Mapping[str, float] = MappingProxyType({})
    stale: Collection[str] = ()
    """Those that are about a time before the window."""


def judge_window(
    watched: Watched, runs: Runs, run: Run, found: Predictions, results: Measured, scratch: Path
) -> Judged:
    """Judge what was found. `run` is the monitor run, without its numbers; `scratch` a folder to fetch into.

    Raises ConfigError where no gate is about anything that a monitor can measure.
    """
    window = Window(watched, found, results.values, results.stale, run)
    parts = _parts(window)
    window.metrics.update({ROWS: float(found.rows), LABELLED: float(len(found.labels))})
    if found.due:
        window.metrics[COVERAGE] = len(found.labels) / len(found.due)
    drift, performance, others = [], [], list(_empty(window))
    if found.rows and parts.drift:
        drift = judge_drift(window, parts.drift, scratch)
    if parts.labelled:
        performance = judge_performance(window, parts.labelled, runs)
    if parts.measured:
        others += _measured(window, parts.measured)
    if parts.left:
        window.notes.append(f"not measured here, so not judged: {', '.join(parts.left)}")
    gates = (*others, *performance, *drift)
    if not gates:
        raise ConfigError(
            f"{watched.source}: nothing about '{watched.model}' is judged in production",
            hint="monitor: {labels: labels.jsonl} and a gate on a score like accuracy, or a reference to compare "
            "columns with: monitor: {reference: train.parquet}",
        )
    verdict = Verdict(
        run=run.id,
        model=run.model,
        outcome=worst([one.outcome for one in gates]),
        gates=gates,
        created=stamp(now()),
        policy_digest=watched.digest,
        policy_file=watched.source.file,
        policy_branch=watched.source.branch,
        policy_commit=watched.source.commit,
        policy_as_committed=watched.source.as_committed,
        baseline_run=watched.run.id,
        notes=tuple(window.notes),
        ciplug=__version__,
    )
    about = worst([one.outcome for one in performance]) if performance else None
    failed = dict.fromkeys(one.gate for one in performance if one.outcome in FAILED)
    return Judged(verdict, window.metrics, about, tuple(failed))


def _parts(window: Window) -> _Parts:
    policy, settings = window.watched.policy, window.watched.settings
    named = settings.gates or tuple(policy.gates)
    labelled: dict[str, Gate] = {}
    measured: dict[str, Gate] = {}
    left = []
    for name in named:
        gate, metric = policy.gates[name], policy.metric_of(name)
        if gate.kind == "drift":
            continue
        if not (gate.min is not None or gate.max is not None or gate.max_regression or gate.slices):
            left.append(name)
        elif (
            metric in window.found.columns.names or metric in window.results or (settings.results and is_result(metric))
        ):
            measured[name] = gate  # A result that no file has is a missing metric.
        elif settings.labels and _is_score(metric):
            labelled[name] = gate
        elif settings.gates:
            measured[name] = gate  # It was asked for: what is missing is an outcome.
        else:
            left.append(name)
    drift = {name: policy.gates[name] for name in named if policy.gates[name].kind == "drift"}
    has_options = (settings.reference, settings.columns, settings.min_effect) != (None, None, None)
    reference = settings.reference or default_reference(window.watched)
    if reference and settings.predictions and (has_options or not drift):
        name = DRIFT if DRIFT not in policy.gates else "drift in production"
        drift[name] = Gate(
            kind="drift",
            reference=reference,
            columns=settings.columns,
            min_effect=settings.min_effect,
            severity="error" if settings.on_drift == "fail" else "warning",
        )
    return _Parts(labelled, measured, drift, tuple(left))


def _is_score(metric: str) -> bool:
    try:
        from ciplug.stats.scores import is_score
    except ModuleNotFoundError:
        return metric == "accuracy"
    return is_score(metric)


def _empty(window: Window) -> Iterator[GateResult]:
    watched, found = window.watched, window.found
    if found.rows or not watched.settings.predictions:
        return
    since, until = stamp_of(watched.window.since), stamp_of(watched.window.until)
    others = ", ".join(left_out_text(count, reason) for reason, count in sorted(found.left_out.items()))
    yield GateResult(
        gate="window",
        metric=ROWS,
        rule="the window has predictions",
        outcome="INCONCLUSIVE",
        reason=f"no prediction of version {watched.version.number} from {since} to {until}"
        + (f"; the files have {others}" if others else "; the files have none at all"),
        advice="is the version served, and does the server still write its log?",
    )


def _measured(window: Window, gates: Mapping[str, Gate]) -> list[GateResult]:
    policy = policy_of(window.watched, gates)
    old = [name for name in gates if policy.metric_of(name) in window.stale]
    reason = "the result of the other tool is older than the window"
    results = [undecided_result(policy.resolved(name), name, reason, "does that tool still run?") for name in old]
    policy = replace(policy, gates={name: gate for name, gate in policy.gates.items() if name not in old})
    window.metrics.update({name: value for name, value in window.results.items() if name in policy.gated})
    if not policy.gates:
        return results
    names = window.found.columns.names
    for name in policy.gates:
        metric = policy.metric_of(name)
        if metric not in window.results and metric in names:
            numbers = list(window.found.columns.column(metric).numbers)
            if numbers:
                window.metrics[metric] = math.fsum(numbers) / len(numbers)
    return [*results, *evaluated(window, policy, {}, window.metrics, {})]
