"""The evidence that allows a promotion: a recorded verdict of that very run, and the same gates judged again today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ciplug.config.stages import Stage
from ciplug.errors import PromotionRefused, Refusal, listed
from ciplug.records.canonical import NO_COMMIT, digest
from ciplug.records.keys import verdict_object
from ciplug.records.rerun_notices import notices
from ciplug.records.run import Run
from ciplug.records.verdict import EFFECTS, Verdict, worst
from ciplug.reports.untrusted import clean, clean_name
from ciplug.signing import SIGNING_KEY
from ciplug.steps.judge import judge_for_stage
from ciplug.steps.policy_in_force import PolicyInForce, read_policies
from ciplug.steps.promotion.file_requirements import check_files
from ciplug.steps.promotion.merge_approval import Wanted
from ciplug.steps.promotion.stage_requirements import check_approvals, check_run
from ciplug.steps.send import store_objects
from ciplug.steps.session import Session, now, stamp
from ciplug.steps.signers import Signers, signers_of
from ciplug.tracking.runs import Runs

if TYPE_CHECKING:
    from ciplug.config.stages import Requirement
    from ciplug.forges.account import Account

_NAMED_MOST = 5
"""Gates that a refusal names."""


class PromotionEvidence(NamedTuple):
    """The recorded verdict that allows a promotion, and what else the stage required."""

    key: str
    """The key of the verdict in the store."""
    digest: str
    """sha256 of the verdict's bytes."""
    verdict: Verdict
    approvals: tuple[str, ...] = ()
    """One sentence for each requirement of the stage."""
    exemptions: tuple[Requirement, ...] = ()
    """The default requirements that the policy turns off for the stage."""
    reruns: tuple[str, ...] = ()
    """What the other runs of the commit decided today, one sentence each."""
    actor: Account | None = None
    """Who promotes, where the stage asks for approvals and a forge confirms it."""
    pull_request: str | None = None
    """The address of the merged pull request that approved it."""


def gather_evidence(
    session: Session, runs: Runs, run: Run, stage: str, wanted: Wanted, section: str | None = None
) -> PromotionEvidence:
    """Return the evidence for a promotion: the run's last verdict by the policy in force, confirmed today.

    Where the policy has rules for the stage, the run is judged by them, and that verdict is recorded and counts. So it
    is where the section of another name than the run's model judges: no job has judged the run by that one.

    Args:
        wanted: what a pull request must have approved, where the stage requires one.
        section: the model whose section of ciplug.yaml judges; None: that of the run.

    Raises PromotionRefused, with the reason, where the promotion is not allowed.
    """
    section = section or run.model
    in_force = read_policies(session).of(section)
    name = stage.lower()  # The policy writes all stages in lower case.
    rules = in_force.policy.stages.get(name)
    met = check_run(session, name, rules or Stage(), run, section)
    last = _recorded(session, runs, run, in_force, rules, section)
    if last and not _allows(last[1], rules):
        recorded = last[1]
        raise PromotionRefused(
            Refusal.NOT_PASSED,
            f"the verdict of run {run.id[:12]} is {recorded.outcome}: {_reasons(recorded)}",
            hint=f"see each gate: ciplug gate --run {run.id[:12]}; promote a run that passes, or waive a gate in the "
            "policy of the default branch",
        )
    check_files(session, run)
    by_stage = rules is not None or section != run.model
    today = _judge_again(session, runs, run, name if by_stage else None, section)
    reruns = (*(notice.message for notice in notices(run.id, today.reruns, today)), *_of_others(runs, run))
    if last and not by_stage:
        key, verdict, verdict_digest = last
        return PromotionEvidence(key, verdict_digest, verdict, met, reruns=reruns)
    rules = rules or Stage()
    approved = check_approvals(session, name, rules, run, wanted)
    approvals = (*met, *approved.sentences)
    key, data = verdict_object(today)
    store_objects(session, {key: data})
    return PromotionEvidence(
        key, digest(data), today, approvals, rules.exemptions, reruns, approved.actor, approved.pull_request
    )


def _recorded(
    session: Session, runs: Runs, run: Run, in_force: PolicyInForce, rules: Stage | None, section: str
) -> tuple[str, Verdict, str] | None:
    """Key, verdict and digest of the last judgement; None where the section of another name judges for the first time.

    Raises PromotionRefused where there must be one.
    """
    signers = signers_of(session)
    if section == run.model or any(
        (verdict.stage, verdict.dry_run, verdict.policy_digest) == (None, False, in_force.digest)
        and (not signers or signers.of_verdict(runs, key, of_bytes))
        for key, (verdict, of_bytes) in runs.verdicts(run).items()
    ):
        return _last_verdict(runs, run, in_force, signers)
    if in_force.policy.narrowed(rules).reads_files:
        raise PromotionRefused(
            Refusal.OTHER_POLICY,
            f"'{clean_name(section)}' has a gate that reads files of the training, and run {run.id[:12]} of "
            f"'{clean_name(run.model)}' was not judged by it",
            hint=f"train it as a run of that model, where the files are: --model '{clean_name(section)}'",
        )
    return None


def _of_others(runs: Runs, run: Run) -> Iterator[str]:
    """Yield a sentence on the runs of the commit that other people have recorded, whose times are what they say."""
    recorded = runs.of_commits([run.commit], run.model).get(run.commit or NO_COMMIT, [])
    own = run.provenance.context.actor
    others = {r.id: r.provenance.context.actor for r in recorded if r.provenance.context.trusted and r.id != run.id}
    by_others = [
        f"{run_id[:12]} by {clean_name(actor or 'nobody')}" for run_id, actor in others.items() if actor != own
    ]
    if by_others:
        yield (
            f"Run {run.id[:12]} is of {clean_name(own or 'nobody')}, and the commit has runs of others: "
            f"{listed(by_others, most=_NAMED_MOST)}"
        )


def _last_verdict(runs: Runs, run: Run, in_force: PolicyInForce, signers: Signers) -> tuple[str, Verdict, str]:
    """Return key, verdict and digest of the last judgement of this run by the policy in force.

    Verdicts of a promotion are left out: they are of the gates of one stage. So are dry runs.
    """
    judge = f"judge it: ciplug gate --run {run.id[:12]}"
    of_run = {k: v for k, v in runs.verdicts(run).items() if v[0].stage is None}
    if not of_run:
        raise PromotionRefused(Refusal.NO_VERDICT, f"run {run.id[:12]} has no verdict", hint=judge)
    if signers:
        of_run = {k: v for k, v in of_run.items() if signers.of_verdict(runs, k, v[1])}
    if not of_run:
        raise PromotionRefused(
            Refusal.UNSIGNED_RUN,
            f"no allowed signer has signed a verdict of run {run.id[:12]}",
            hint=f"{judge}, in a job that has the key: {SIGNING_KEY}",
        )
    by_policy = {k: v for k, v in of_run.items() if v[0].policy_digest == in_force.digest}
    if not by_policy:
        raise PromotionRefused(
            Refusal.OTHER_POLICY,
            f"run {run.id[:12]} has verdicts only by other policies than the one in force today: {in_force.source}",
            hint=f"{judge}, with that policy checked out; a change of the policy counts once it is pushed there",
        )
    judged = {k: v for k, v in by_policy.items() if not v[0].dry_run}
    if not judged:
        raise PromotionRefused(Refusal.DRY_RUN, f"run {run.id[:12]} was judged in dry runs only", hint=judge)
    return last_verdict(judged, stamp(now()), stamp(now() + timedelta(days=1)), signed=bool(signers))


def last_verdict(
    verdicts: Mapping[str, tuple[Verdict, str]], today: str, tomorrow: str, *, signed: bool
) -> tuple[str, Verdict, str]:
    """Key, verdict and digest of the last one; of several in the same millisecond, one that did not pass.

    A time that is still to come orders nothing: whoever may push could otherwise have a failure stand until then. As
    clocks differ, up to a day counts of what is signed, and of what passed: a promotion judges that again.
    """

    def rank(key: str) -> tuple[str, bool, str]:
        verdict = verdicts[key][0]
        is_past = verdict.created < (tomorrow if signed or verdict.passed else today)
        return verdict.created if is_past else "", not verdict.passed, key

    key = max(verdicts, key=rank)
    return key, *verdicts[key]


def _allows(verdict: Verdict, rules: Stage | None) -> bool:
    """Whether the gates that a stage takes passed (all of them where it does not choose)."""
    if rules is None or rules.gates is None:
        return verdict.passed
    outcomes = [gate.outcome for gate in verdict.gates if gate.gate in (*rules.gates, "run", "policy")]
    return bool(outcomes) and EFFECTS[worst(outcomes)].promotes and not verdict.dry_run


def decisions(verdict: Verdict) -> tuple[str, ...]:
    """What each gate of a verdict decided, one sentence each, for the audit trail."""
    return tuple(f"{gate.gate}: {gate.outcome}, {clean(gate.reason, 300)}" for gate in verdict.gates)


def _judge_again(session: Session, runs: Runs, run: Run, stage: str | None, section: str) -> Verdict:
    """The verdict of the run as it is today, by the rules of a stage if it is given. Raises PromotionRefused."""
    judged_as = section if section != run.model else None
    verdict = judge_for_stage(session, runs, run, stage, judged_as)
    if not verdict.passed and judged_as:
        raise PromotionRefused(
            Refusal.NOT_PASSED,
            f"run {run.id[:12]} of '{clean_name(run.model)}' does not pass the gates of '{clean_name(judged_as)}': "
            f"{_reasons(verdict)}",
            hint=f"see the numbers: ciplug runs show {run.id[:12]}; promote a run that passes, or waive a gate in the "
            "policy of the default branch",
        )
    if not verdict.passed:
        by_stage = f" by the rules of {stage}" if stage else ""
        raise PromotionRefused(
            Refusal.NOT_PASSED_TODAY,
            f"run {run.id[:12]} passed when it was judged, and does not pass today{by_stage}: {_reasons(verdict)}",
            hint=f"judge it: ciplug gate --run {run.id[:12]}",
        )
    return verdict


def _reasons(verdict: Verdict) -> str:
    worst_gates = [gate for gate in verdict.gates if gate.outcome == verdict.outcome]
    return "; ".join(f"{gate.gate}: {gate.reason}" for gate in worst_gates[:_NAMED_MOST]) or verdict.outcome
