"""Move a model version to a stage, if a passing verdict of that very run allows it."""

from __future__ import annotations

import argparse
from dataclasses import replace

from ciplug import __version__, console
from ciplug.commands import options
from ciplug.errors import Conflict, PromotionRefused, UsageError
from ciplug.evaluation import candidates, evaluate, need_gates, read_policy
from ciplug.records.registry_event import RegistryEvent
from ciplug.records.run import Run
from ciplug.records.verdict import Verdict
from ciplug.registry import ledger, models
from ciplug.session import Session, now, stamp
from ciplug.tracking.runs import Runs

_TRIES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--to", metavar="STAGE", required=True, help="staging or production")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="ID", help="the run to promote (default: the model's run of this commit)")
    which.add_argument("--version", metavar="N", type=int, help="a version that is registered already")
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    event = promote(session, args.model, args.to, run_id=args.run, version=args.version, reason=args.reason)
    replaced = f", in place of version {event.replaces}" if event.replaces else ""
    console.say(f"{event.model} version {event.version} is in {event.stage}{replaced} (event {event.seq})")
    return 0


def promote(
    session: Session,
    model: str,
    to: str,
    *,
    run_id: str | None = None,
    version: int | None = None,
    reason: str | None = None,
) -> RegistryEvent:
    """Append the promotion to the log of the model; a run that is no version yet is registered first.

    A race is decided by the log: who comes second looks again, and is judged again beside the new holder.

    Raises PromotionRefused, with the reason, when it may not be.
    """
    stage = models.stage_named(to)
    if not session.context.trusted:
        raise PromotionRefused("a fork's job must not promote", hint="promote from a trusted branch's pipeline")
    if session.context.pull_request is not None:
        # Its checkout holds the pull request's own thresholds.
        raise PromotionRefused("a pull request's job never promotes", hint="promote once it is merged")
    runs = session.runs()
    for _ in range(_TRIES):
        log = ledger.read(session.store, model)
        state = models.fold(model, log.events)
        chosen = _chosen(session, runs, state, run_id, version)
        if chosen.model != model:
            raise UsageError(f"run {chosen.id} is of the model '{chosen.model}', not '{model}'")
        if not chosen.provenance.context.trusted:
            raise PromotionRefused(
                f"run {chosen.id[:12]} is of a fork's job: its numbers are what that job says",
                hint="train that code in a pipeline of this repository, and promote the run of it",
            )
        registered = state.of_run(chosen.id)
        models.check_move(registered or models.Version(len(state.versions) + 1, chosen.id, None, "None", ""), stage)
        key, verdict, verdict_digest = _passing_verdict(session, runs, chosen)
        registration = _registration(session, chosen, len(state.versions) + 1)
        try:
            if registered is None:
                log = ledger.append(session.store, log, registration)
                state = models.fold(model, log.events)
                registered = state.of_run(chosen.id)
            if registered is None:
                raise Conflict("the version that was registered is not in the log")
            promotion = replace(
                registration,
                type="promote",
                reason=reason,
                files={},
                version=registered.number,
                stage=stage,
                from_stage=registered.stage,
                replaces=_number(state.holder(stage)),
                policy_digest=verdict.policy_digest,
                verdict=key,
                verdict_digest=verdict_digest,
                baseline_run=verdict.baseline_run,
            )
            return ledger.append(session.store, log, promotion).events[-1]
        except Conflict as lost:
            console.detail(f"another event was first ({lost.message}): looking again")
    raise PromotionRefused(f"'{model}': {_TRIES} attempts, and each time another event was first")


def _number(version: models.Version | None) -> int | None:
    return version.number if version else None


def _chosen(session: Session, runs: Runs, state: models.Model, run_id: str | None, version: int | None) -> Run:
    if version is not None:
        known = state.version(version)
        return runs.at(known.commit, known.run)
    if run_id is not None:
        return runs.get(run_id, session.head)
    return candidates(session, runs, session.need_head(), state.name)[0]


def _passing_verdict(session: Session, runs: Runs, run: Run) -> tuple[str, Verdict, str]:
    """The recorded verdict that allows this promotion, with its key and digest.

    It is of this run, by today's policy, and still right today.
    """
    policy = read_policy(session)
    need_gates(session, policy, run.model)
    stored = runs.verdicts(run)
    recorded = {key: verdict for key, (verdict, _) in stored.items()}
    judge = f"judge it: ciplug gate --run {run.id[:12]}"
    if not recorded:
        raise PromotionRefused(f"run {run.id[:12]} has no verdict", hint=judge)
    today = {key: v for key, v in recorded.items() if v.policy_digest == policy.digest and v.run == run.id}
    if not today:
        raise PromotionRefused(f"the verdicts of run {run.id[:12]} are of another policy than today's", hint=judge)
    passing = {key: v for key, v in today.items() if v.passed}
    if not passing:
        latest = max(today.values(), key=lambda v: v.created)
        if latest.dry_run:
            raise PromotionRefused(f"run {run.id[:12]} was judged in a dry run only", hint=judge)
        raise PromotionRefused(f"the verdict of run {run.id[:12]} is {latest.outcome}: {_reasons(latest)}")
    now_judged = evaluate(session, runs, [run])[0].verdict
    if now_judged is None or not now_judged.passed:
        why = _reasons(now_judged) if now_judged else "no gate"
        raise PromotionRefused(f"run {run.id[:12]} passed once, and does not today: {why}", hint=judge)
    key = max(passing, key=lambda k: (passing[k].created, k))
    return key, *stored[key]


def _reasons(verdict: Verdict) -> str:
    bad = [g for g in verdict.gates if g.outcome == verdict.outcome]
    return "; ".join(f"{g.gate}: {g.reason}" for g in bad[:5]) or verdict.outcome


def _registration(session: Session, run: Run, version: int) -> RegistryEvent:
    """The event that makes a run a version. Its place in the log is the ledger's to fill in."""
    context = session.context
    source = "git configuration" if context.host == "local" else context.host
    return RegistryEvent(
        seq=0,
        previous=None,
        type="register",
        model=run.model,
        version=version,
        run=run.id,
        commit=run.commit,
        created=stamp(now()),
        actor=context.actor,
        actor_source=source if context.actor else None,
        run_url=context.run_url,
        files={file.path: file.digest for file in run.artifacts},
        ciplug=__version__,
    )
