"""Move a version of a model to a stage. Commands, the Python API and servers call this; nothing here prints."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace

from ciplug.comparison.selection import LOCAL
from ciplug.errors import Conflict, PromotionRefused, Refusal, UsageError
from ciplug.records.keys import run_key
from ciplug.records.registry_event import Promote
from ciplug.records.run import Run
from ciplug.registry import ledger
from ciplug.registry.ladder import NO_STAGE
from ciplug.registry.model import Model, Version
from ciplug.registry.state import after
from ciplug.signing import SIGNING_KEY
from ciplug.steps.mirror_tags import mirror_next
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion import writing
from ciplug.steps.promotion.evidence import PromotionEvidence, decisions, gather_evidence
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.promotion.registration import has_files, registration_of
from ciplug.steps.promotion.writing import (
    check_job,
    check_key,
    check_readable,
    event_of,
    gave_up,
    ladder_of,
    pause,
    yanked,
)
from ciplug.steps.registered import read_registry
from ciplug.steps.select import counting
from ciplug.steps.session import Session
from ciplug.steps.signatures import judged_runs, sign_event, signers_of
from ciplug.steps.trust_level import level_of
from ciplug.tracking.runs import Runs


@dataclass(frozen=True)
class PromotionRequest:
    """A user's request for a promotion."""

    model: str
    stage: str
    """The stage, in upper or lower case."""
    run: str | None = None
    """Id of the run, or its beginning; None, without a version either: the model's run of this commit."""
    version: int | None = None
    """A version that is registered already."""
    reason: str | None = None
    """For the audit trail."""


@dataclass(frozen=True)
class Promotion:
    """A promotion that the log of the model has accepted."""

    model: str
    version: int
    stage: str
    replaced: int | None
    """The version that held the stage, which is archived now."""
    run: Run
    event: int
    """Its number in the log of the model."""
    lost_races: int = 0
    """The number of times that another event was appended first."""
    exemptions: tuple[str, ...] = ()
    """The requirements of every stage that the policy turned off for this one."""
    reruns: tuple[str, ...] = ()
    """What the other runs of the commit decided, one sentence each."""


def promote(session: Session, request: PromotionRequest) -> Promotion:
    """Append the promotion to the log of the model; a run that is not a version yet is registered first.

    The log decides a race: the loser reads it again, and is judged again beside the new holder of the stage.

    Raises UsageError for a stage, a run or a version that does not exist, StoreError where the store has no registry,
    or where other promotions are first for minutes, and PromotionRefused with the reason.
    """
    check_job(session)
    session = by_protected_policy(session)
    stage = ladder_of(session, request.model).stage(request.stage)
    runs = judged_runs(session)
    until = time.monotonic() + writing.PATIENCE
    for lost_races in itertools.count():
        model, log, _ = read_registry(session, request.model)
        check_readable(model)
        run = _run_of(session, runs, model, request)
        _check_run(run, request.model)
        _check_signed(session, runs, run)
        _check_host(session, run)
        _check_counts(runs, run)
        _check_registered(runs, model, run, request.version)
        _check_stage(session, model, run, stage, request.version)
        evidence = gather_evidence(session, runs, run, stage)
        try:
            done = _append(session, model, log, run, stage, evidence, request)
        except Conflict:
            if time.monotonic() >= until:
                raise gave_up(run.model, lost_races + 1, _left(session, run)) from None
            pause(lost_races)
            continue
        return replace(done, lost_races=lost_races)
    raise AssertionError


def _left(session: Session, run: Run) -> str | None:
    """What an attempt that lost every race has left behind, as a clause."""
    version = read_registry(session, run.model).model.of_run(run.id)
    return f"version {version.number} is registered for run {run.id[:12]}, and in no new stage" if version else None


def _run_of(session: Session, runs: Runs, model: Model, request: PromotionRequest) -> Run:
    if request.version is not None:
        version = model.version(request.version)
        if version.yanked is not None:
            raise yanked(model.name, version)
        if version.run is None:
            raise PromotionRefused(
                Refusal.NO_RUN,
                f"version {version.number} of '{model.name}' was registered without a run, so nothing has judged it",
                hint="record a run that makes it: ciplug run -- COMMAND; and promote that run",
            )
        return runs.at(version.commit, version.run)
    if request.run is not None:
        return runs.get(request.run, session.head)
    return counting(session, runs, session.need_head(), model.name)[0]


def _check_run(run: Run, model: str) -> None:
    if run.model != model:
        raise UsageError(f"run {run.id} is of the model '{run.model}', not '{model}'")
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
            hint=f"train it in a job that has the key ({SIGNING_KEY}), and promote the run of that job",
        )
    check_key(session)


def _check_host(session: Session, run: Run) -> None:
    if run.provenance.context.host == LOCAL and read_policies(session).only_pipelines(run.model):
        raise PromotionRefused(
            Refusal.NOT_OF_PIPELINE,
            f"run {run.id[:12]} was recorded on a person's machine, and 'record: ci' takes runs of pipelines only",
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


def _version_of(model: Model, run: Run, number: int | None) -> Version | None:
    """The version that is asked for, else the one that was registered from the run; None: there is none yet."""
    return model.of_run(run.id) if number is None else model.version(number)


def _check_registered(runs: Runs, model: Model, run: Run, number: int | None) -> None:
    """Raise PromotionRefused where the run is registered as a version of another record or other files than it has."""
    version = _version_of(model, run, number)
    if version is not None and version.record not in (None, runs.digests([run])[run_key(run).key]):
        raise PromotionRefused(
            Refusal.OTHER_RECORD,
            f"the record of run {run.id[:12]} is not the one that was registered as version {version.number} of "
            f"'{model.name}': somebody has changed it",
            hint="find out who: ciplug fsck; and promote another run",
        )
    if version is not None and not has_files(run, version):
        raise PromotionRefused(
            Refusal.OTHER_FILES,
            f"version {version.number} of '{model.name}' was registered with other files than run {run.id[:12]} has",
            hint="see both: ciplug registry history, ciplug runs show; and promote another run",
        )


def _check_stage(session: Session, model: Model, run: Run, stage: str, number: int | None) -> None:
    """Raise PromotionRefused where the run's version may not move to the stage from where it is."""
    version = _version_of(model, run, number)
    own, current = (version.number, version.stage) if version else (model.next_version, NO_STAGE)
    ladder_of(session, model.name).check_promotion(own, current, stage)


def _append(
    session: Session,
    model: Model,
    log: ledger.Ledger,
    run: Run,
    stage: str,
    evidence: PromotionEvidence,
    request: PromotionRequest,
) -> Promotion:
    """Append the registration, if the run is not a version yet, and the promotion. Raises Conflict for a lost race."""
    log, model, version = _registered(session, model, log, run, evidence, request.version)
    holder = model.holder(stage)
    level = level_of(session)
    payload = Promote(
        version=version.number,
        run=run.id,
        commit=run.commit,
        stage=stage,
        from_stage=version.stage,
        ladder=ladder_of(session, run.model).stages,
        replaces=holder.number if holder else None,
        reason=request.reason,
        policy_digest=evidence.verdict.policy_digest,
        verdict=evidence.key,
        verdict_digest=evidence.digest,
        outcome=evidence.verdict.outcome,
        gates=decisions(evidence.verdict),
        baseline_run=evidence.verdict.baseline_run,
        approvals=evidence.approvals,
        exemptions=evidence.exemptions,
        waived=evidence.verdict.waived,
        reruns=evidence.reruns,
        trust=level.name,
        trust_shown_by=level.shown_by,
    )
    mirror_next(session, model)
    appended = ledger.append(
        session.log, log, event_of(session, run.model, payload, evidence.actor), sign_event(session)
    )
    event = appended.events[-1]
    return Promotion(
        run.model,
        version.number,
        stage,
        payload.replaces,
        run,
        event.seq,
        exemptions=evidence.exemptions,
        reruns=evidence.reruns,
    )


def _registered(
    session: Session,
    model: Model,
    log: ledger.Ledger,
    run: Run,
    evidence: PromotionEvidence,
    number: int | None,
) -> tuple[ledger.Ledger, Model, Version]:
    """Return the log, model and version of a run; register the run first if it is not a version yet."""
    version = _version_of(model, run, number)
    if version is not None:
        return log, model, version
    payload = registration_of(run, model.next_version, session.runs().digests([run])[run_key(run).key])
    mirror_next(session, model)
    log = ledger.append(session.log, log, event_of(session, run.model, payload, evidence.actor), sign_event(session))
    model = after(model, log.events[-1])
    return log, model, model.version(payload.version)
