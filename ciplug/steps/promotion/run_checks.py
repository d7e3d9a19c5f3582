"""What a promotion requires of the run, whatever the stage: who recorded it, who signed it, that it counts."""

from __future__ import annotations

from ciplug.comparison.run_that_counts import LOCAL, is_of_pipeline
from ciplug.errors import PromotionRefused, Refusal
from ciplug.records.run import Run
from ciplug.signing import SIGNING_KEY
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion.writing import check_key
from ciplug.steps.session import Session
from ciplug.steps.signers import signers_of
from ciplug.tracking.runs import Runs


def check_standing(session: Session, runs: Runs, run: Run, section: str) -> None:
    """Raise PromotionRefused for a run that must not be promoted, whatever its numbers are.

    Args:
        section: the model whose section of ciplug.yaml judges it.
    """
    _check_trusted(run)
    _check_signed(session, runs, run)
    _check_host(session, run, section)
    _check_counts(runs, run)


def _check_trusted(run: Run) -> None:
    if not run.provenance.context.trusted:
        raise PromotionRefused(
            Refusal.FORK_RUN,
            f"run {run.id[:12]} was recorded by a fork's job, so nobody has verified its numbers",
            hint="train that code in a pipeline of this repository, and promote the run of it",
        )


def _check_signed(session: Session, runs: Runs, run: Run) -> None:
    """Raise PromotionRefused where the policy names signers, and none of them has signed the run, or signs here."""
    signers = signers_of(session)
    if not signers:
        return
    if signers.of_run(runs, run) is None:
        raise PromotionRefused(
            Refusal.UNSIGNED_RUN,
            f"no allowed signer has signed run {run.id[:12]} and what was added to it",
            hint=f"train it in a job with the key ({SIGNING_KEY}); or, if it is right: ciplug runs sign {run.id[:12]}",
        )
    check_key(session)


def _check_host(session: Session, run: Run, section: str) -> None:
    host = run.provenance.context.host
    if not is_of_pipeline(host) and read_policies(session).only_pipelines(section):
        where = "recorded on a person's machine" if host == LOCAL else "imported from another system"
        raise PromotionRefused(
            Refusal.NOT_OF_PIPELINE,
            f"run {run.id[:12]} was {where}, and 'record: ci' takes runs of pipelines only",
            hint="train that commit in a pipeline, and promote the run of it",
        )


def _check_counts(runs: Runs, run: Run) -> None:
    changes = runs.changes(run)
    if not changes.counts:
        raise PromotionRefused(
            Refusal.WITHDRAWN,
            f"run {run.id[:12]} was {changes.objection}",
            hint=changes.advice,
        )
    if newer := changes.newer:
        raise PromotionRefused(
            Refusal.UNKNOWN_AMENDMENTS,
            f"run {run.id[:12]} was amended by a newer ciplug, which may have withdrawn it: amendment {newer[0].seq} "
            f"has schema {newer[0].schema}",
            hint="upgrade ciplug, and promote again",
        )
