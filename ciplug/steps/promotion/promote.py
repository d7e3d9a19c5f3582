"""Move a version of a model to a stage. Commands, the Python API and servers call this; nothing here prints."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace

from ciplug.errors import Conflict, NotFound, PromotionRefused, Refusal
from ciplug.records.keys import RunKey, run_key
from ciplug.records.registry_event import Promote, Register
from ciplug.records.run import Run
from ciplug.registry import ledger
from ciplug.registry.files import has_files
from ciplug.registry.ladder import NO_STAGE, Ladder
from ciplug.registry.model import Model, Version
from ciplug.registry.replay import after
from ciplug.steps.mirror_tags import mirror_next
from ciplug.steps.named_run import find_key
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion import writing
from ciplug.steps.promotion.append import append
from ciplug.steps.promotion.judging_section import check_section, judging_section
from ciplug.steps.promotion.merge_approval import Wanted
from ciplug.steps.promotion.own_policy import check_own_policy, note_other_commit
from ciplug.steps.promotion.proposed import Proposal
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.promotion.registration import registration_of
from ciplug.steps.promotion.required_verdict import PromotionEvidence, decisions, gather_evidence
from ciplug.steps.promotion.run_checks import check_standing
from ciplug.steps.promotion.writing import (
    check_job,
    check_new_name,
    check_readable,
    event_of,
    gave_up,
    pause,
    yanked,
)
from ciplug.steps.registered_model import read_registry
from ciplug.steps.select import counting
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
from ciplug.steps.trust_level import level_of
from ciplug.tracking.runs import Runs


@dataclass(frozen=True)
class PromotionRequest:
    """A user's request for a promotion."""

    model: str
    stage: str
    """The stage, in upper or lower case."""
    run: str | None = None
    """A name of the run, see `steps.named_run`; None, without a version either: the model's run of this commit."""
    version: int | None = None
    """A version that is registered already."""
    reason: str | None = None
    """For the audit trail."""
    pull_request: int | None = None
    """The merged pull request that approved it; None: the one that the commit of this job merged."""
    registration: Register | None = None
    """The new version to register and promote, in place of one of the run alone: a copy of another model's version."""


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
    from_stage: str | None = None
    """The stage that the version was in before."""
    gates_of: str | None = None
    """The model whose gates judged, where the run is of another model than the registered name."""


def promote(session: Session, request: PromotionRequest) -> Promotion:
    """Append the promotion to the log of the model; a run that is not a version yet is registered first.

    The log decides a race: the loser reads it again, and is judged again beside the new holder of the stage.

    Raises UsageError for a stage, a run or a version that does not exist, StoreError where the store has no registry,
    or where other promotions are first for minutes, and PromotionRefused with the reason.
    """
    check_job(session)
    session = by_protected_policy(session)
    policies = read_policies(session)
    if policies.names(request.model) and policies.gated_stages(request.model):
        Ladder(policies.ladder(request.model)).stage(request.stage)
    runs = judged_runs(session)
    # Once: another run may be the last or the best one when the log is read again.
    named = find_key(session, runs, request.run, request.model).key if request.run else None
    until = time.monotonic() + writing.PATIENCE
    for lost_races in itertools.count():
        model, log, _ = read_registry(session, request.model)
        check_readable(model)
        run = _run_of(session, runs, model, request.version, named)
        section = judging_section(session, policies, model, run.model)
        check_section(section, model, run)
        check_own_policy(session, model, section)
        ladder = Ladder(policies.ladder(section))
        stage = ladder.stage(request.stage)
        check_standing(session, runs, run, section)
        _check_registered(runs, model, run, request)
        # Without a gate there is no way into any stage.
        policies.of(section)
        _check_stage(ladder, model, run, stage, request)
        evidence = gather_evidence(session, runs, run, stage, _wanted(model, run, stage, request), section)
        try:
            done = _append(session, model, log, run, stage, evidence, request, section, ladder)
        except Conflict:
            if time.monotonic() >= until:
                raise gave_up(model.name, lost_races + 1, _left(session, model.name, run)) from None
            pause(lost_races)
            continue
        note_other_commit(session, model, run)
        return replace(done, lost_races=lost_races)
    raise AssertionError


def _left(session: Session, model: str, run: Run) -> str | None:
    """What an attempt that lost every race has left behind, as a clause."""
    version = read_registry(session, model).model.of_run(run.id)
    return f"version {version.number} is registered for run {run.id[:12]}, and in no new stage" if version else None


def _run_of(session: Session, runs: Runs, model: Model, number: int | None, named: RunKey | None) -> Run:
    if number is not None:
        version = model.version(number)
        if version.yanked is not None:
            raise yanked(model.name, version)
        if version.run is None:
            raise PromotionRefused(
                Refusal.NO_RUN,
                f"version {version.number} of '{model.name}' was registered without a run, so nothing has judged it",
                hint="record a run that makes it: ciplug run -- COMMAND; and promote that run",
            )
        return runs.at(version.commit, version.run)
    if named is not None:
        return runs.of_key(named)
    head = session.need_head()
    try:
        return counting(session, runs, head, model.name)[0]
    except NotFound as nothing:
        models = {run.model for run in runs.of_commits([head]).get(head, [])}
        if not models or model.name in models:
            raise
        hint = f"{nothing.hint}; a run of another model is named by --run ID"
        raise NotFound(nothing.message, hint=hint) from None


def _version_of(model: Model, run: Run, request: PromotionRequest) -> Version | None:
    """The version that is asked for, else the one that was registered from the run; None: there is none yet."""
    if request.version is not None:
        return model.version(request.version)
    if request.registration is None:
        return model.of_run(run.id)
    # One that a lost race has left behind.
    own = (run.id, request.registration.source)
    return next((one for one in model.versions if (one.run, one.source) == own and one.moved is None), None)


def _wanted(model: Model, run: Run, stage: str, request: PromotionRequest) -> Wanted:
    version = _version_of(model, run, request)
    proposal = Proposal(model.name, stage.lower(), version.number if version else None, run.id)
    # A copy of another model's version is a new version, of a run that may have been there before.
    same = [one for one in model.by_number.values() if one.run == run.id]
    earlier = tuple(one.passed[stage] for one in same if stage in one.passed)
    return Wanted(proposal, request.pull_request, earlier)


def _check_registered(runs: Runs, model: Model, run: Run, request: PromotionRequest) -> None:
    """Raise PromotionRefused where the run is registered as a version of another record or other files than it has."""
    version = _version_of(model, run, request)
    if version is None and request.registration:
        _check_copy(runs, run, request.registration)
    if version is not None and version.record not in (None, runs.digests([run])[run_key(run).key]):
        raise PromotionRefused(
            Refusal.OTHER_RECORD,
            f"the record of run {run.id[:12]} is not the one that was registered as version {version.number} of "
            f"'{model.name}': somebody has changed it",
            hint="find out who: ciplug fsck; and promote another run",
        )
    if version is not None and not version.files:
        raise PromotionRefused(
            Refusal.NO_FILE,
            f"version {version.number} of '{model.name}' was registered with no file, so there is nothing to promote",
            hint=f"promote the run itself: ciplug promote '{model.name}' --to STAGE --run {run.id[:12]}",
        )
    if version is not None and not has_files(run, version):
        raise PromotionRefused(
            Refusal.OTHER_FILES,
            f"version {version.number} of '{model.name}' was registered with other files than run {run.id[:12]} has",
            hint=f"see both: ciplug registry show '{model.name}'; ciplug runs show {run.id[:12]}; promote another run",
        )


def _check_copy(runs: Runs, run: Run, copy: Register) -> None:
    if copy.record not in (None, runs.digests([run])[run_key(run).key]) or not has_files(run, copy):
        raise PromotionRefused(
            Refusal.OTHER_FILES,
            f"the version to copy has not the record and the files of run {run.id[:12]}",
            hint=f"find out why: ciplug fsck; ciplug runs show {run.id[:12]}; and promote another version",
        )


def _check_stage(ladder: Ladder, model: Model, run: Run, stage: str, request: PromotionRequest) -> None:
    """Raise PromotionRefused where the run's version may not move to the stage from where it is."""
    version = _version_of(model, run, request)
    own, current = (version.number, version.stage) if version else (model.next_version, NO_STAGE)
    ladder.check_promotion(model.name, own, current, stage, run=None if version else run.id[:12])


def _append(
    session: Session,
    model: Model,
    log: ledger.Ledger,
    run: Run,
    stage: str,
    evidence: PromotionEvidence,
    request: PromotionRequest,
    section: str,
    ladder: Ladder,
) -> Promotion:
    """Append the registration, if the run is not a version yet, and the promotion. Raises Conflict for a lost race."""
    log, model, version = _registered(session, model, log, run, evidence, request)
    holder = model.holder(stage)
    level = level_of(session)
    payload = Promote(
        version=version.number,
        run=run.id,
        commit=run.commit,
        stage=stage,
        from_stage=version.stage,
        ladder=ladder.stages,
        replaces=holder.number if holder else None,
        reason=request.reason,
        policy_digest=evidence.verdict.policy_digest,
        verdict=evidence.key,
        verdict_digest=evidence.digest,
        outcome=evidence.verdict.outcome,
        gates=decisions(evidence.verdict),
        baseline_run=evidence.verdict.baseline_run,
        approvals=evidence.approvals,
        pull_request=evidence.pull_request,
        exemptions=evidence.exemptions,
        waived=evidence.verdict.waived,
        reruns=evidence.reruns,
        trust=level.name,
        trust_shown_by=level.shown_by,
        run_model=run.model if run.model != model.name else None,
        gates_of=section if section != model.name else None,
    )
    mirror_next(session, model)
    appended = append(session, model, log, event_of(session, model.name, payload, evidence.actor))
    event = appended.events[-1]
    return Promotion(
        model.name,
        version.number,
        stage,
        payload.replaces,
        run,
        event.seq,
        exemptions=evidence.exemptions,
        reruns=evidence.reruns,
        from_stage=payload.from_stage,
        gates_of=section if run.model != model.name else None,
    )


def _registered(
    session: Session,
    model: Model,
    log: ledger.Ledger,
    run: Run,
    evidence: PromotionEvidence,
    request: PromotionRequest,
) -> tuple[ledger.Ledger, Model, Version]:
    """Return the log, model and version of a run; register the run first if it is not a version yet."""
    version = _version_of(model, run, request)
    if version is not None:
        return log, model, version
    if request.registration:
        payload = replace(request.registration, version=model.next_version)
    else:
        payload = registration_of(run, model.next_version, session.runs().digests([run])[run_key(run).key])
    check_new_name(session, model.name, log)
    mirror_next(session, model)
    log = append(session, model, log, event_of(session, model.name, payload, evidence.actor))
    model = after(model, log.events[-1])
    return log, model, model.version(payload.version)
