"""Move a model version to a stage, if a passing verdict of that very run allows it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ciplug import __version__, console
from ciplug.commands import options
from ciplug.errors import Conflict, ForgeError, PromotionRefused, UsageError
from ciplug.records.canonical import digest
from ciplug.records.keys import verdict_object
from ciplug.records.registry_event import RegistryEvent
from ciplug.records.run import Run
from ciplug.records.verdict import Verdict, worst
from ciplug.registry import ledger
from ciplug.registry import state as models
from ciplug.steps.judge import candidates, evaluate
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.record import store_objects
from ciplug.steps.session import Session, now, stamp
from ciplug.steps.stage_requirements import fulfilled
from ciplug.tracking.runs import Runs

if TYPE_CHECKING:
    from ciplug.config.stages import Stage

_TRIES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--to", metavar="STAGE", required=True, help="staging or production")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="ID", help="the run to promote (default: the model's run of this commit)")
    which.add_argument("--version", metavar="N", type=int, help="a version that is registered already")
    parser.add_argument(
        "--deployment",
        metavar="ENVIRONMENT",
        nargs="?",
        const="",
        help="tell the forge of a deployment of the version's commit (default: the stage's name)",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    event = promote(session, args.model, args.to, run_id=args.run, version=args.version, reason=args.reason)
    replaced = f", in place of version {event.replaces}" if event.replaces else ""
    console.say(f"{event.model} version {event.version} is in {event.stage}{replaced} (event {event.seq})")
    if args.deployment is not None:
        _tell_forge(session, event, args.deployment or (event.stage or "").lower())
    return 0


def _tell_forge(session: Session, event: RegistryEvent, environment: str) -> None:
    """Record a deployment. The promotion stands, whatever comes of it."""
    from ciplug.forges import open_forge, why_no_forge

    remote = session.remote_url
    forge = open_forge(session.context, session.env, remote)
    if forge is None or event.commit is None:
        why = why_no_forge(session.context, session.env, remote) if forge is None else "the version has no commit"
        console.say(f"no deployment: {why}")
        return
    words = f"{event.model} version {event.version} is in {event.stage}"
    try:
        forge.record_deployment(event.commit, environment, description=words, url=session.context.run_url)
    except ForgeError as problem:
        console.complain(f"no deployment: {problem.message}", problem.hint)
    else:
        console.say(f"deployment of {event.commit[:8]} to {environment} recorded")


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
    if session.context.proposed:
        # It is not decided yet that its commit goes in.
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
        evidence = _evidence(session, runs, chosen, stage.lower())
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
                policy_digest=evidence.verdict.policy_digest,
                verdict=evidence.key,
                verdict_digest=evidence.digest,
                baseline_run=evidence.verdict.baseline_run,
                approvals=evidence.approvals,
                waived=evidence.verdict.waived,
            )
            done = ledger.append(session.store, log, promotion).events[-1]
        except Conflict as lost:
            console.detail(f"another event was first ({lost.message}): looking again")
            continue
        if not chosen.artifacts:
            console.complain(
                f"warning: version {done.version} of '{model}' has no artifact, so there is no file to deploy",
                "name what the training makes with --artifact, or as 'artifacts:' in ciplug.yaml",
            )
        return done
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


class _Evidence(NamedTuple):
    """The recorded verdict that allows a promotion, and what else the stage asked for."""

    key: str
    verdict: Verdict
    digest: str
    approvals: tuple[str, ...] = ()


def _evidence(session: Session, runs: Runs, run: Run, stage: str) -> _Evidence:
    """What allows this promotion: a verdict of this run, by today's policy, that is still right today.

    Where the policy says what the stage takes, the run is judged by that, and this verdict is recorded, too.
    """
    ruling = read_policies(session).of(run.model)
    asked = ruling.policy.stages.get(stage)
    # A verdict that another promotion asked for is of the gates of its own stage.
    stored = {key: found for key, found in runs.verdicts(run).items() if found[0].stage is None}
    judge = f"judge it: ciplug gate --run {run.id[:12]}"
    if not stored:
        raise PromotionRefused(f"run {run.id[:12]} has no verdict", hint=judge)
    today = {k: v for k, (v, _) in stored.items() if v.policy_digest == ruling.digest and v.run == run.id}
    if not today:
        raise PromotionRefused(f"the verdicts of run {run.id[:12]} are of another policy than today's", hint=judge)
    passing = {key: v for key, v in today.items() if _passed(v, asked)}
    if not passing:
        latest = max(today.values(), key=lambda v: v.created)
        if latest.dry_run:
            raise PromotionRefused(f"run {run.id[:12]} was judged in a dry run only", hint=judge)
        raise PromotionRefused(f"the verdict of run {run.id[:12]} is {latest.outcome}: {_reasons(latest)}")
    now_judged = evaluate(session, runs, [run], stage=stage if asked else None, again=True)[0].verdict
    if now_judged is None or not now_judged.passed:
        why = _reasons(now_judged) if now_judged else "no gate"
        by_stage = f" by what {stage} takes" if asked else ""
        raise PromotionRefused(f"run {run.id[:12]} passed once, and does not today{by_stage}: {why}", hint=judge)
    if asked is None:
        key = max(passing, key=lambda k: (passing[k].created, k))
        return _Evidence(key, *stored[key])
    approvals = fulfilled(session, stage, asked, run)
    key, data = verdict_object(now_judged)
    store_objects(session, {key: data})
    return _Evidence(key, now_judged, digest(data), approvals)


def _passed(verdict: Verdict, stage: Stage | None) -> bool:
    """Whether the gates that a stage asks for passed (None: all)."""
    if stage is None or stage.gates is None:
        return verdict.passed
    asked = [gate.outcome for gate in verdict.gates if gate.gate in (*stage.gates, "run", "policy")]
    return bool(asked) and worst(asked) in ("PASS", "WARN") and not verdict.dry_run


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
