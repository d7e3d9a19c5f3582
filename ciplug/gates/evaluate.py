"""From a policy and a comparison to a verdict. Pure, and it never passes by accident.

A rule that compares looks at d = s·(candidate − baseline), s = +1 where higher is better, else −1, and
passes when d ≥ −R − tol. R is the allowance, tol = atol + 1e-9·max(|candidate|, |baseline|) takes up
rounding. Candidates and baselines that are no finite number are errors that nothing downgrades.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ciplug.errors import ConfigError
from ciplug.gates.words import allowance, exact, shown
from ciplug.records.verdict import GateResult, Outcome, Verdict, worst

if TYPE_CHECKING:
    from ciplug.gates.policy import Allowance, Gate, Policy
    from ciplug.records.comparison import Comparison, Side
    from ciplug.records.run import Run

RTOL = 1e-9


def evaluate(
    policy: Policy,
    comparison: Comparison,
    run: Run,
    *,
    created: str,
    policy_source: str,
    policy_digest: str | None = None,
    policy_missing: str | None = None,
    dry_run: bool = False,
    ciplug: str | None = None,
) -> Verdict:
    """The verdict on `run`, the candidate of `comparison`.

    Args:
        policy_digest: of the whole policy, where `policy` is a part of it.
        policy_missing: why the base branch's policy does not judge this pull request.

    Raises ConfigError when the policy has no gate, or none that matches a metric: that is no pass.
    """
    if not policy.gates:
        raise ConfigError(f"{policy_source}: there is no gate", hint="add one under 'gates:'")
    known = set(run.metrics) | set(comparison.baseline.metrics)
    if run.status == "finished" and known and not any(policy.metric_of(name) in known for name in policy.gates):
        raise ConfigError(
            f"{policy_source}: no gate matches a metric: gates look at "
            f"{_some(sorted({policy.metric_of(name) for name in policy.gates}))}, the run has {_some(sorted(known))}",
            hint="name the metric in the gate: 'metric: NAME'",
        )
    results: list[GateResult] = []
    if policy_missing:
        results.append(
            GateResult(
                gate="policy",
                metric="policy",
                rule="the base branch has the policy",
                outcome="WARN",
                reason=f"{policy_missing}: this pull request is judged by gates of its own",
            )
        )
    if run.status != "finished":
        results.append(
            GateResult(
                gate="run",
                metric="run",
                rule="the training finishes",
                outcome="ERROR",
                reason=f"the run {run.status}: its numbers decide nothing",
            )
        )
    elif not run.metrics:
        # However lenient each gate is about its own metric, nothing at all was judged.
        results.append(
            GateResult(
                gate="run",
                metric="run",
                rule="the training leaves metrics",
                outcome="FAIL",
                reason="the run has no metric at all: there is nothing to judge",
            )
        )
    for name in policy.gates:
        results.extend(_gate(policy, name, comparison.candidate, comparison.baseline))
    return Verdict(
        run=run.id,
        model=run.model,
        commit=run.commit,
        outcome=worst([r.outcome for r in results]),
        gates=tuple(results),
        created=created,
        policy_digest=policy_digest or policy.digest,
        policy_source=policy_source,
        baseline_run=comparison.baseline.run,
        dry_run=dry_run,
        ciplug=ciplug,
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{n}'" for n in names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown or "none"


def _gate(policy: Policy, name: str, candidate: Side, baseline: Side) -> Iterator[GateResult]:
    gate = policy.gates[name]
    metric = policy.metric_of(name)
    value = candidate.metrics.get(metric)
    severity = gate.severity or policy.defaults.severity
    failed: Outcome = "WARN" if severity == "warning" else "FAIL"

    def result(
        rule: str, outcome: Outcome, reason: str, *, limit: float | None = None, against: bool = False
    ) -> GateResult:
        reference = baseline.metrics.get(metric) if against else None
        both = value is not None and reference is not None
        return GateResult(
            gate=name,
            metric=metric,
            rule=rule,
            outcome=outcome,
            reason=reason,
            candidate=value,
            baseline=reference,
            baseline_run=baseline.run if against else None,
            change=value - reference if both and value is not None and reference is not None else None,
            limit=limit,
        )

    rules = []
    if gate.min is not None:
        rules.append(f"at least {exact(gate.min)}")
    if gate.max is not None:
        rules.append(f"at most {exact(gate.max)}")
    if gate.max_regression is not None:
        rules.append(_rule(gate.max_regression))

    if value is None:
        action = gate.on_missing or policy.defaults.on_missing
        had = baseline.metrics.get(metric)
        lost = f"; the baseline had {shown(had)}" if had is not None else ""
        outcome: Outcome = "WARN" if action == "warn" or severity == "warning" else "FAIL"
        yield result(", ".join(rules), outcome, f"the run has no metric '{metric}'{lost}", against=had is not None)
        return
    if not math.isfinite(value):
        yield result(", ".join(rules), "ERROR", f"'{metric}' is {shown(value)}, which is no number to judge by")
        return
    if gate.min is not None:
        ok = value >= gate.min
        words = f"{shown(value, gate.min)} is {'not below' if ok else 'below'} {exact(gate.min)}"
        yield result(f"at least {exact(gate.min)}", "PASS" if ok else failed, words, limit=gate.min)
    if gate.max is not None:
        ok = value <= gate.max
        words = f"{shown(value, gate.max)} is {'not above' if ok else 'above'} {exact(gate.max)}"
        yield result(f"at most {exact(gate.max)}", "PASS" if ok else failed, words, limit=gate.max)
    if gate.max_regression is not None:
        outcome, reason, limit = _regression(policy, name, gate, gate.max_regression, value, baseline, metric)
        yield result(
            _rule(gate.max_regression),
            failed if outcome == "FAIL" else outcome,
            reason,
            limit=limit,
            against=True,
        )


def _regression(
    policy: Policy, name: str, gate: Gate, allowed: Allowance, value: float, baseline: Side, metric: str
) -> tuple[Outcome, str, float | None]:
    """Outcome, reason and the allowance in the metric's own unit."""
    reference = baseline.metrics.get(metric)
    if baseline.run is None or reference is None:
        action = gate.on_no_baseline or policy.defaults.on_no_baseline
        why = baseline.how if baseline.run is None else f"the baseline has no metric '{metric}'"
        return ("FAIL" if action == "fail" else "WARN"), f"no baseline to compare with: {why}", None
    if not math.isfinite(reference):
        return (
            "ERROR",
            f"the baseline's '{metric}' is {shown(reference)}, which is no number to compare with",
            None,
        )
    relative = allowed.rel * abs(reference) if allowed.rel is not None and reference != 0 else None
    parts = [part for part in (allowed.abs, relative) if part is not None]
    if not parts:
        action = gate.on_inconclusive or policy.defaults.on_inconclusive
        return (
            "FAIL" if action == "fail" else "INCONCLUSIVE",
            "a percentage of the baseline 0 is undefined: add an absolute allowance, {rel: …, abs: …}",
            None,
        )
    limit = max(parts)
    sign = 1 if gate.higher_is_better else -1
    d = sign * (value - reference)
    tolerance = policy.tolerance(name) + RTOL * max(abs(value), abs(reference))
    # A loss that no float can hold is beyond any allowance.
    if -math.inf < d >= -limit - tolerance:
        if abs(d) <= tolerance:
            return "PASS", f"unchanged at {shown(value)}", limit
        words = f"{shown(abs(d), limit)} {'better' if d > 0 else 'worse'} than the baseline's {shown(reference, value)}"
        return "PASS", words + ("" if d > 0 else f", allowed {shown(limit, abs(d))}"), limit
    return (
        "FAIL",
        f"{shown(value, reference)} is {shown(-d, limit)} worse than the baseline's {shown(reference, value)}, "
        f"allowed {shown(limit, -d)} (one number a run: no uncertainty)",
        limit,
    )


def _rule(allowed: Allowance) -> str:
    return f"at most {allowance(allowed)} worse than the baseline"
