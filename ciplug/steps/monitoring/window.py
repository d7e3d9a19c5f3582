"""A window that is judged, and how a gate judges it: beside the run of the version, without what needs other runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ciplug.config.gate import PAIRED_TESTS, Gate
from ciplug.config.policy import Policy
from ciplug.gates import checks, rule_text
from ciplug.gates.evaluate import evaluate
from ciplug.gates.evidence import Evidence
from ciplug.records.comparison import Side
from ciplug.records.run import Run
from ciplug.records.verdict import GateResult
from ciplug.stats.drift_tests import DataDrift
from ciplug.stats.intervals import Undecided
from ciplug.steps.monitoring.watched_version import Watched
from ciplug.steps.session import now

if TYPE_CHECKING:
    from ciplug.capture.prediction_files import Predictions
    from ciplug.config.gate import ResolvedGate
    from ciplug.records.examples import Examples

ROWS, LABELLED, COVERAGE = "monitor.rows", "monitor.labelled", "monitor.coverage"


@dataclass
class Window:
    """The judgement of one window, as it goes on."""

    watched: Watched
    found: Predictions
    results: Mapping[str, float]
    stale: Collection[str]
    run: Run
    metrics: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def policy_of(watched: Watched, gates: Mapping[str, Gate]) -> Policy:
    """The policy with these gates alone, each as a window can be judged by it."""
    own = {name: _gate(gate) for name, gate in gates.items()}
    return replace(watched.policy, gates=own, seeds=None, waivers=(), extended=None, monitor=None)


def _gate(gate: Gate) -> Gate:
    """A gate without what needs other runs, or the same examples on both sides."""
    if gate.kind == "drift":
        return gate
    inner = gate.slices
    if inner is not None:
        inner = replace(inner, max_regression=None)
        inner = inner if (inner.min, inner.max) != (None, None) else None
    test = "auto" if gate.test in (*PAIRED_TESTS, "welch") else gate.test
    return replace(gate, trend=None, history=None, trade_off=None, baseline=None, slices=inner, test=test)


def evaluated(
    window: Window,
    policy: Policy,
    examples: Mapping[str, Examples],
    values: Mapping[str, float],
    drift: Mapping[str, DataDrift | Undecided],
    of_baseline: int | None = None,
) -> Iterable[GateResult]:
    watched = window.watched
    recorded = {**watched.run.metrics, **({LABELLED: float(of_baseline)} if of_baseline else {})}
    candidate = Side(
        role="candidate",
        label="this window",
        how="the predictions under review",
        run=window.run.id,
        metrics={ROWS: float(window.found.rows), **values},
    )
    baseline = Side(
        role="baseline",
        label=label_of(watched),
        how="the run of the version",
        run=watched.run.id,
        commit=watched.run.commit,
        version=watched.version.number,
        metrics=recorded,
    )
    evidence = Evidence(
        candidate=candidate,
        baselines={name: baseline for name, gate in policy.gates.items() if gate.kind == "metric"},
        examples=examples,
        drift=drift,
        today=now().date(),
    )
    verdict = evaluate(
        policy,
        evidence,
        window.run,
        created=window.run.started,
        policy_source=watched.source,
        policy_digest=watched.digest,
        rerun=True,
    )
    return verdict.gates


def label_of(watched: Watched) -> str:
    return f"version {watched.version.number}"


def undecided_result(gate: ResolvedGate, name: str, reason: str, advice: str | None) -> GateResult:
    return GateResult(
        gate=name,
        metric=gate.metric,
        rule=rule_text.all_rules(gate),
        outcome=checks.undecided(gate),
        reason=reason,
        advice=advice,
    )
