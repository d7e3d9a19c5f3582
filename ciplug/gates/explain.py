"""Explain in plain words what a policy accepts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ciplug.gates import rule_text
from ciplug.gates.number_text import exact

if TYPE_CHECKING:
    from ciplug.config.allowance import Allowance
    from ciplug.config.gate import Baseline, ResolvedGate, Slices
    from ciplug.config.policy import Policy, Waiver
    from ciplug.config.stages import Narrowing, Stage


def explain(policy: Policy) -> str:
    """The policy in sentences, a paragraph for each gate, stage and waiver."""
    parts = [_gate(policy, name) for name in policy.gates] or ["There is no gate: nothing is judged."]
    parts += [_branch(policy, pattern, part) for pattern, part in policy.branches.items()]
    parts += [_stage(policy, name, stage) for name, stage in policy.stages.items()]
    if policy.waivers:
        parts.append("\n".join(["Waived:", *(f"- {_waiver(w)}" for w in policy.waivers)]))
    if policy.monitor:
        action = policy.monitor.on_fail.replace("_", " ")
        parts.append(
            f"In production, {_which(policy.monitor.gates)} to be watched; after {policy.monitor.consecutive} failures "
            f"in a row: {action}."
        )
    return "\n\n".join(parts)


def _gate(policy: Policy, name: str) -> str:
    gate = policy.resolved(name)
    called = name if gate.metric == name else f"{name} (the metric '{gate.metric}')"
    if gate.kind == "drift":
        current = gate.current or (policy.samples.file if policy.samples else "")
        what = ", ".join(gate.columns) if gate.columns else "every column that the reference has"
        least = gate.least_effect
        rules = [
            f"{current} has not drifted from {gate.reference} in {what}, by the test '{gate.test}' at an error rate "
            f"of {exact(gate.alpha)} for all columns together; a PSI below {exact(least.psi)}, a KS distance below "
            f"{exact(least.ks)}, a Cramér's V below {exact(least.chi2)} and a share that moves by less than "
            f"{exact(least.share)} do not count"
        ]
    else:
        rules = list(_rules(policy, gate))
    lines = [f"{called} passes if", *(f"- {rule}" for rule in rules)]
    return "\n".join([*lines, *(f"  {line}" for line in _outcomes(gate))])


def _rules(policy: Policy, gate: ResolvedGate) -> Iterator[str]:
    yield from _bounds(gate)
    if gate.max_regression:
        yield f"{_regression(gate.max_regression, gate, gate.baseline)}{_method(policy, gate)}"
        if gate.trade_off:
            yield f"or it is {rule_text.trade_off(gate.trade_off)}, by the same baseline, both of them beyond noise"
    if gate.trend:
        total = f"at most {rule_text.allowance(gate.trend.max_total)} worse"
        yield f"since {rule_text.since(gate.trend)} it has become {total} in total, over all commits together"
    if gate.slices:
        columns = " and of ".join(f"'{column}'" for column in gate.slices.by)
        rules = list(_bounds(gate.slices))
        if gate.slices.max_regression:
            rules.append(_regression(gate.slices.max_regression, gate, gate.baseline))
        yield f"for every value of {columns} with {gate.slices.min_samples} examples or more, {', and '.join(rules)}"


def _bounds(rules: ResolvedGate | Slices) -> Iterator[str]:
    if rules.min is not None:
        yield f"it is at least {exact(rules.min)}"
    if rules.max is not None:
        yield f"it is at most {exact(rules.max)}"


def _regression(allowed: Allowance, gate: ResolvedGate, baseline: Baseline) -> str:
    better = "higher" if gate.higher_is_better else "lower"
    age = f", if that is at most {exact(baseline.max_age_days)} days old" if baseline.max_age_days else ""
    at_most = f"at most {rule_text.allowance(allowed)} worse" if allowed.abs or allowed.rel else "not worse"
    return f"it is {at_most} than {rule_text.baseline(baseline)}{age} ({better} is better)"


def _method(policy: Policy, gate: ResolvedGate) -> str:
    alpha = f", wrong in at most {exact(gate.alpha * 100)}% of cases"
    if gate.test == "point":
        return ", one number beside the other"
    if gate.test != "auto":
        return f", by the test '{gate.test}'{alpha}"
    ways = []
    if policy.seeds:
        ways.append(f"over {policy.seeds.min_runs} seeds or more")
    elif policy.samples:
        ways.append("example by example where the samples have it")
    if gate.history and not policy.seeds:
        ways.append(f"by its variation over {gate.history.min_samples} to {gate.history.window} earlier runs")
    if gate.n and not policy.seeds:
        ways.append(f"as a proportion of '{gate.n}' examples")
    return f", judged {', else '.join(ways)}{alpha}" if ways else ", one number beside the other"


def _outcomes(gate: ResolvedGate) -> Iterator[str]:
    if gate.severity == "warning":
        yield "A failure only warns."
    compares = gate.compares or gate.slices is not None or gate.trend is not None
    clauses = [f"{'no file' if gate.kind == 'drift' else 'no such metric'}: {gate.on_missing}"]
    if gate.kind == "metric" and compares:
        clauses.append(f"no baseline: {gate.on_no_baseline}")
    if gate.kind == "drift" or compares:
        clauses.append(f"undecided: {'inconclusive' if gate.on_inconclusive == 'warn' else 'fail'}")
    yield "; ".join(clauses) + "; NaN or infinite: error."


def _which(gates: tuple[str, ...] | None) -> str:
    return "all gates are" if gates is None else f"{', '.join(gates)} {'is' if len(gates) == 1 else 'are'}"


def _narrowing(policy: Policy, part: Narrowing) -> str:
    details = [
        f"{what}: {action}"
        for what, action in (
            ("no such metric", part.on_missing),
            ("no baseline", part.on_no_baseline),
            ("undecided", part.on_inconclusive),
        )
        if action
    ]
    if part.severity:
        details.insert(0, "each of them can fail" if part.severity == "error" else "a failure only warns")
    narrowed = policy.narrowed(part)
    if warning := [name for name in narrowed.gates if narrowed.resolved(name).severity == "warning"]:
        details.append(f"{', '.join(warning)} only {'warns' if len(warning) == 1 else 'warn'}")
    return f"{_which(part.gates)} asked" + (f" ({'; '.join(details)})" if details else "")


def _branch(policy: Policy, pattern: str, part: Narrowing) -> str:
    return f"For what goes into '{pattern}', {_narrowing(policy, part)}."


def _stage(policy: Policy, name: str, stage: Stage) -> str:
    needs = [_narrowing(policy, stage)]
    if stage.approvals.environment:
        needs.append(f"the job runs in the environment '{stage.approvals.environment}'")
    if stage.approvals.pull_request:
        count = stage.approvals.min_approvals
        needs.append(
            f"a merged pull request has proposed it in {stage.approvals.pull_request}, approved by "
            + ("somebody" if count == 1 else f"{count} people")
            + " who neither opened it nor pushed to it"
        )
    if stage.approvals.not_author:
        who = "whoever approves or promotes" if stage.approvals.pull_request else "whoever promotes"
        needs.append(f"{who} has neither written the commit nor trained the run")
    if "clean_tree" in stage.requirements:
        needs.append("the run was made from a clean tree")
    else:
        needs.append("the run may have been made from a tree with uncommitted changes")
    if "signature" in stage.requirements:
        needs.append("git verifies the signature of the commit")
    return f"To {name}, {'; '.join(needs)}."


def _waiver(waiver: Waiver) -> str:
    issue = f", {waiver.issue}" if waiver.issue else ""
    return (
        f"{waiver.gate} up to {exact(waiver.limit)} for commit {waiver.commit}, until {waiver.expires}, "
        f"by {waiver.approved_by} ({waiver.reason}{issue})"
    )
