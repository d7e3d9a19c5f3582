"""From a policy and the evidence to a verdict. Pure, and it never passes by accident.

Candidates and baselines that are not finite numbers are errors that nothing downgrades; what cannot be decided is
INCONCLUSIVE. How a comparison is made is in `ciplug.gates.regression`, and its sentences in `ciplug.gates.reason_text`.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.config.monitor import is_result
from ciplug.errors import ConfigError, listed
from ciplug.gates import bounds, reason_text, regression, rule_text, slices, trade_off, waivers
from ciplug.gates.by_example import ByExample
from ciplug.gates.checks import Check, missing, settled, undecided
from ciplug.gates.choice_of_test import test_of_bound
from ciplug.gates.digest import digest_of
from ciplug.records.left_out import UNSURE
from ciplug.records.notice_facts import Kind
from ciplug.records.objection import unfinished_run
from ciplug.records.selection import Reason
from ciplug.records.verdict import UNRUN, GateResult, Outcome, PolicySource, Verdict, worst
from ciplug.stats.alpha_spending import alpha_spent, look_of_seeds

if TYPE_CHECKING:
    from ciplug.config.gate import Gate, ResolvedGate
    from ciplug.config.policy import Policy, Seeds
    from ciplug.gates.evidence import Evidence
    from ciplug.records.notice import Notice
    from ciplug.records.run import Run


def evaluate(
    policy: Policy,
    evidence: Evidence,
    run: Run,
    *,
    created: str,
    policy_source: PolicySource,
    policy_digest: str | None = None,
    no_base_policy: Notice | None = None,
    unrun: Sequence[Notice] = (),
    stage: str | None = None,
    dry_run: bool = False,
    rerun: bool = False,
    ciplug: str | None = None,
) -> Verdict:
    """The verdict on `run`, the candidate of the evidence.

    Args:
        policy_digest: of the whole policy, where `policy` is a part of it.
        rerun: whether the run is beside another one of its commit, which has the metrics that the gates name: without
            any of them, it fails the gates, and the policy is right.
        no_base_policy: why the base branch's policy does not judge this pull request.
        unrun: the models that it does judge, and that have no run, where the candidate's name is new to it: another
            name is then no way around its gates.

    Raises ConfigError when the policy has no gate, or none that matches a metric: that is not a pass.
    """
    if not policy.gates:
        raise ConfigError(f"{policy_source}: there is no gate", hint="add one under 'gates:'")
    policy_digest = policy_digest or digest_of(policy)
    apart = _of_production(policy, evidence)
    if len(apart) == len(policy.gates):
        raise ConfigError(
            f"{policy_source}: no gate judges a training: all are about results that 'ciplug monitor' reads",
            hint="add a gate on a metric of the training under 'gates:'",
        )
    if apart:
        policy = replace(policy, gates={name: gate for name, gate in policy.gates.items() if name not in apart})
    if not rerun and not _decides_nothing(evidence):
        _need_a_match(policy, evidence, run, policy_source)
    results = [
        *_standing(policy, evidence, policy_source),
        *_in_part(policy, evidence),
        *_about_the_policy(no_base_policy, unrun),
        *_about_the_run(policy, evidence, run),
    ]
    if not _decides_nothing(evidence):
        results += _judged(policy, evidence, run)
    baselines = [evidence.baselines[name] for name in policy.gates if name in evidence.baselines]
    return Verdict(
        run=run.id,
        model=run.model,
        commit=run.commit,
        outcome=worst([r.outcome for r in results]),
        gates=tuple(results),
        created=created,
        policy_digest=policy_digest,
        policy_file=policy_source.file,
        policy_branch=policy_source.branch,
        policy_commit=policy_source.commit,
        policy_as_committed=policy_source.as_committed,
        baseline_run=next((side.run for side in baselines if side.run), None),
        runs=evidence.candidate.runs if len(evidence.candidate.runs) > 1 else (),
        stage=stage,
        notes=(
            *waivers.unused(policy, results, commit=run.commit, today=evidence.today),
            *([f"judged by 'ciplug monitor' alone: {', '.join(apart)}"] if apart else ()),
        ),
        dry_run=dry_run,
        ciplug=ciplug,
    )


def _of_production(policy: Policy, evidence: Evidence) -> tuple[str, ...]:
    """The gates on results that other tools measure in production, which no run here has recorded."""
    if policy.monitor is None or not policy.monitor.results:
        return ()
    sides = {id(side): side for side in (evidence.candidate, *evidence.baselines.values())}
    recorded = {metric for side in sides.values() for metric in side.metrics} | evidence.left_out.keys()
    metrics = {name: policy.metric_of(name) for name, gate in policy.gates.items() if gate.kind == "metric"}
    return tuple(name for name, metric in metrics.items() if is_result(metric) and metric not in recorded)


def _judged(policy: Policy, evidence: Evidence, run: Run) -> Iterator[GateResult]:
    """The results of all gates: corrected together, waived, and with the worst of many slices."""
    names, of_all_looks = tuple(policy.gates), policy
    policy, evidence = trade_off.with_parts(_at_look(policy, evidence), evidence)
    examples = ByExample(policy, evidence)
    checks = [check for name in names for check in _gate(policy, name, evidence, examples)]
    # Tests that cannot fail the run need no correction, and make the others no weaker.
    tests = {
        number: check.p for number, check in enumerate(checks) if check.p is not None and check.gate.severity == "error"
    }
    adjusted = _corrected(policy, checks, tests)
    by_gate: dict[str, list[tuple[Check, GateResult]]] = {}
    for number, check in enumerate(checks):
        result = settled(check, adjusted.get(number), _with_more_seeds(of_all_looks, check, evidence))
        if check.interval and (look := _look(check.gate, evidence)) > 1:
            note = reason_text.looked_again(look, check.interval.rule.alpha, seeds=policy.seeds is not None)
            result = replace(result, notes=(*result.notes, note))
        result = regression.beside_other_baselines(check, result, evidence.reruns_of_baseline.get(result.gate, ()))
        result = waivers.waive(policy, check, result, commit=run.commit, today=evidence.today)
        by_gate.setdefault(result.gate, []).append((check, result))
    for of_gate in by_gate.values():
        yield from (result for _, result in of_gate if result.slice is None)
        yield from slices.shortened([(check, result) for check, result in of_gate if result.slice is not None])


def _corrected(policy: Policy, checks: Sequence[Check], tests: Mapping[int, float]) -> Mapping[int, float]:
    """The p-values of the checks, by their number, after the correction of the policy.

    The tests of a policy that is extended are corrected among themselves, and those that are added to it among all:
    else somebody could leave its gates undecided by many gates of their own.
    """
    if policy.defaults.correction == "none":
        return {}
    chain: list[Policy] = []
    base = policy.extended
    while base is not None:
        chain.insert(0, base)
        base = base.extended
    level = {
        number: next((depth for depth, one in enumerate(chain) if _has_test(one, checks[number])), len(chain))
        for number in tests
    }
    adjusted: dict[int, float] = {}
    for depth in sorted(set(level.values())):
        family = {number: p for number, p in tests.items() if level[number] <= depth}
        found = _corrected_together(policy, checks, family)
        adjusted |= {number: p for number, p in found.items() if level[number] == depth}
    return adjusted


def _has_test(policy: Policy, check: Check) -> bool:
    """Whether the test of a check is one by which this policy fails a run, too."""
    gate = policy.gates.get(check.result.gate)
    if gate is None or policy.resolved(check.result.gate).severity != "error":
        return False
    rules = gate if check.result.slice is None else gate.slices
    return rules is not None and getattr(rules, check.rule or "trend", None) is not None


def _corrected_together(policy: Policy, checks: Sequence[Check], tests: Mapping[int, float]) -> Mapping[int, float]:
    together = {
        number: check.interval.influence
        for number, check in enumerate(checks)
        if number in tests and check.interval and check.interval.influence is not None and check.traded is None
    }
    if policy.defaults.correction == "holm" or len(together) < 2:
        from ciplug.stats.holm import holm

        return holm(tests)
    from ciplug.stats.max_t import step_down

    return step_down(tests, together)


def _at_look(policy: Policy, evidence: Evidence) -> Policy:
    """The policy with the error rates of one of several looks at a commit."""
    # Most gates take the rate of the policy, and are left as they are.
    common = alpha_spent(policy.defaults.alpha, evidence.looks)
    own: dict[str, Gate] = {}
    for name, gate in policy.gates.items():
        of_all = policy.resolved(name)
        alpha = alpha_spent(of_all.alpha, _look(of_all, evidence)) if gate.kind == "metric" else of_all.alpha
        if gate.alpha is not None or alpha != common:
            own[name] = replace(gate, alpha=alpha)
    if not own and common == policy.defaults.alpha:
        return policy
    return replace(policy, gates={**policy.gates, **own}, defaults=replace(policy.defaults, alpha=common))


def _look(gate: ResolvedGate, evidence: Evidence) -> int:
    """How often the commit was looked at: who compares with the run before evaluates one commit again on purpose."""
    return 1 if gate.baseline.ref == "previous" else evidence.looks


def _with_more_seeds(policy: Policy, check: Check, evidence: Evidence) -> Callable[[int], float] | None:
    """The error rate at which a check is judged with so many seeds: each time that they have doubled, it is lower."""
    gate, seeds = check.result.gate, policy.seeds
    if seeds is None or gate not in policy.gates:
        return None
    alpha, least = policy.resolved(gate).alpha, seeds.min_runs
    others = _look(check.gate, evidence) - look_of_seeds(len(evidence.candidate.runs), least)
    return lambda runs: alpha_spent(alpha, max(1, others + look_of_seeds(runs, least)))


def _decides_nothing(evidence: Evidence) -> bool:
    """Whether the numbers of the candidate are not looked at, since it must not count for its commit.

    Who names a run by its id wants to know about that run. One of a person's machine stays out all the same where only
    pipelines count.
    """
    barred = evidence.barred
    if barred is None or barred.reason is Reason.WITHDRAWN:
        return False
    return not evidence.named or barred.reason is Reason.LAPTOP


def _standing(policy: Policy, evidence: Evidence, source: PolicySource) -> Iterator[GateResult]:
    """The result for a run that must not count for its commit; a withdrawn one has a result of its own."""
    barred = evidence.barred
    if barred is None or barred.reason is Reason.WITHDRAWN:
        return
    outcome: Outcome = "WARN"
    if _decides_nothing(evidence):
        outcome = _worst_undecided(policy)
    yield GateResult(
        gate="run",
        metric="run",
        rule="the run counts for its commit",
        outcome=outcome,
        reason=reason_text.barred(barred, judged=outcome == "WARN"),
        advice=reason_text.advice_on(barred, posixpath.dirname(source.file)),
    )


def _in_part(policy: Policy, evidence: Evidence) -> Iterator[GateResult]:
    """The result for each run that a newer ciplug amended: whether its numbers count is not known."""
    for notice in evidence.newer:
        yield GateResult(
            gate="run",
            metric="run",
            rule="the amendments of the run are understood",
            outcome=_worst_undecided(policy),
            reason=f"{notice.clause}: it may have been withdrawn",
            advice=notice.remedy,
        )


def _worst_undecided(policy: Policy) -> Outcome:
    """The outcome where none of the gates can decide."""
    return worst(["INCONCLUSIVE", *(undecided(policy.resolved(name)) for name in policy.gates)])


def _need_a_match(policy: Policy, evidence: Evidence, run: Run, policy_source: PolicySource) -> None:
    gated = {policy.metric_of(name) for name, gate in policy.gates.items() if gate.kind == "metric"}
    # Many gates have one baseline.
    sides = {id(side): side for side in (evidence.candidate, *evidence.baselines.values())}
    recorded = {metric for side in sides.values() for metric in side.metrics}
    if run.status == "finished" and recorded and gated and not gated & (recorded | evidence.left_out.keys()):
        raise ConfigError(
            f"{policy_source}: no gate matches a metric: gates look at {_some(sorted(gated))}, the run has "
            f"{_some(sorted(recorded))}",
            hint="name the metric in the gate: 'metric: NAME'",
        )


def _about_the_policy(no_base_policy: Notice | None, unrun: Sequence[Notice]) -> Iterator[GateResult]:
    """The results for a pull request that is judged by gates of its own, or whose model has a new name."""
    if no_base_policy:
        yield GateResult(
            gate="policy",
            metric="policy",
            rule="the base branch has the policy",
            outcome="WARN",
            reason=no_base_policy.clause,
            advice=no_base_policy.remedy,
        )
    for notice in unrun:
        yield GateResult(
            gate="policy",
            metric="policy",
            rule="the models that the base branch gates have runs",
            outcome=UNRUN[notice.kind],
            reason=notice.clause,
            advice=notice.remedy,
        )


def _about_the_run(policy: Policy, evidence: Evidence, run: Run) -> Iterator[GateResult]:
    unfinished = evidence.unfinished or ([unfinished_run(run)] if run.status != "finished" else [])
    for objection in evidence.objections:
        yield GateResult(
            gate="run",
            metric="run",
            rule="the run counts",
            outcome="ERROR",
            reason=f"{objection.clause}; its numbers decide nothing",
            advice=objection.remedy,
        )
    for how in unfinished:
        yield GateResult(
            gate="run",
            metric="run",
            rule="the training finishes",
            outcome=_worst_undecided(policy) if how.kind is Kind.END_UNKNOWN else "ERROR",
            reason=reason_text.unfinished(how),
            advice=how.remedy,
        )
    if not unfinished and not evidence.candidate.metrics and not _decides_nothing(evidence):
        # However lenient each gate is about its own metric, nothing at all was judged.
        yield GateResult(
            gate="run",
            metric="run",
            rule="the training leaves metrics",
            outcome="FAIL",
            reason=reason_text.nothing_to_judge(evidence.refused),
            advice=reason_text.advice_on_left_out(evidence.refused[0])
            if evidence.refused
            else reason_text.advice_on_no_metric(evidence.children),
        )


def _some(names: Sequence[str]) -> str:
    return listed([f"'{name}'" for name in names], most=8) or "none"


def _gate(policy: Policy, name: str, evidence: Evidence, examples: ByExample) -> Iterator[Check]:
    gate = policy.resolved(name)
    if gate.kind == "drift":
        from ciplug.gates import drift_gate

        yield from drift_gate.checks(name, gate, evidence.drift[name])
        return
    metric = gate.metric
    if gate.has_rule:
        value = evidence.candidate.metrics.get(metric)
        runs = max(1, len(evidence.candidate.runs))
        if value is None:
            yield _missing(name, gate, evidence)
        elif lost := next((one for one in evidence.left_out.get(metric, ()) if one.why in UNSURE), None):
            advice = reason_text.advice_on_left_out(lost)
            yield _gate_result(name, gate, evidence, reason_text.last_unsure(metric, lost), advice=advice)
        elif tampered := _changed(name, gate, evidence):
            advice = "record another run: recorded values cannot be changed"
            yield _gate_result(name, gate, evidence, tampered, advice=advice)
        elif not math.isfinite(value):
            reason = reason_text.not_finite(metric, value)
            yield _gate_result(name, gate, evidence, reason, advice="a NaN or infinity in the training: find it there")
        elif policy.seeds and runs < policy.seeds.min_runs and not _broken_baseline(name, gate, evidence):
            reason = f"{runs} of {policy.seeds.min_runs} runs so far: 'seeds' asks for more before it decides"
            yield _open(name, gate, evidence, reason)
        else:
            yield from _bounds(name, gate, evidence, examples, policy.seeds)
            if gate.max_regression is not None:
                check = regression.check(name, gate, value, evidence, examples, policy.seeds)
                if gate.trade_off is not None:
                    check = trade_off.check(check, gate.trade_off, policy, evidence, examples)
                yield check
            if gate.trend is not None:
                from ciplug.gates import trend

                yield trend.check(name, gate, gate.trend, value, evidence.trails[name])
    if gate.slices is not None:
        yield from slices.checks(name, gate, gate.slices, evidence, examples)


def _broken_baseline(name: str, gate: ResolvedGate, evidence: Evidence) -> bool:
    """Whether the gate compares with something that is not a finite number, which no further run changes."""
    return gate.max_regression is not None and not math.isfinite(evidence.baselines[name].metrics.get(gate.metric, 0.0))


def _changed(name: str, gate: ResolvedGate, evidence: Evidence) -> str | None:
    """Return the reason if somebody changed a metric after the end of a run, else None."""
    metric = gate.metric
    sides = [("", evidence.candidate)]
    if gate.max_regression is not None:
        sides.append(("the baseline's ", evidence.baselines[name]))
    for whose, side in sides:
        for run in side.runs or (side.run or "",):
            if author := evidence.changed.get(run, {}).get(metric):
                return reason_text.changed_later(f"{whose}'{metric}'", run, author)
    return None


def _gate_result(name: str, gate: ResolvedGate, evidence: Evidence, reason: str, *, advice: str | None = None) -> Check:
    """Return one result for all rules of a gate; an ERROR unless the caller changes it."""
    result = GateResult(
        gate=name,
        metric=gate.metric,
        rule=rule_text.all_rules(gate),
        outcome="ERROR",
        reason=reason,
        advice=advice,
        candidate=evidence.candidate.metrics.get(gate.metric),
    )
    return Check(gate=gate, result=result)


def _open(name: str, gate: ResolvedGate, evidence: Evidence, reason: str) -> Check:
    advice = "run the remaining seeds; the verdict on the last one counts"
    check = _gate_result(name, gate, evidence, reason, advice=advice)
    return replace(check, result=replace(check.result, outcome=undecided(gate)))


def _missing(name: str, gate: ResolvedGate, evidence: Evidence) -> Check:
    metric, side = gate.metric, evidence.baselines[name]
    had = side.metrics.get(metric)
    runs = len(evidence.candidate.runs)
    instead = evidence.left_out.get(metric, ())
    reason = reason_text.missing(metric, runs=runs, instead=instead, baseline=had)
    advice = reason_text.advice_on_left_out(instead[0]) if instead else _advice_on_missing(metric)
    check = _gate_result(name, gate, evidence, reason, advice=advice)
    # A value that cannot be read is not a metric that the policy allows to be missing.
    result = check.result if instead else replace(check.result, outcome=missing(gate))
    if had is not None:
        result = replace(result, baseline=had, baseline_run=side.run, baseline_label=regression.label(side))
    return replace(check, result=result)


def _advice_on_missing(metric: str) -> str:
    whose = "does a file of 'results:' have the name" if is_result(metric) else "does the training still write"
    return f"{whose} '{metric}'?"


def _bounds(
    name: str, gate: ResolvedGate, evidence: Evidence, examples: ByExample, seeds: Seeds | None
) -> Iterator[Check]:
    for key, bound in bounds.set_in(gate):
        result = GateResult(
            gate=name,
            metric=gate.metric,
            rule=rule_text.bound(bound, least=key == "min"),
            outcome="ERROR",
            reason="",
            candidate=evidence.candidate.metrics[gate.metric],
        )
        tested = test_of_bound(name, gate, key, bound, evidence, examples, seeds)
        yield examples.not_by_luck(bounds.check(gate, key, bound, result, tested), evidence.baselines[name].run)
