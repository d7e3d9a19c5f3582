"""What follows a promotion, which stands whatever comes of it.

Outputs, a deployment, a release, linked artifacts, a webhook.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ciplug import ci
from ciplug.attestation.documents import SUBJECTS
from ciplug.console import Note, problem_note
from ciplug.errors import CiplugError, ConfigError, NotFound
from ciplug.records.registry_event import Promote
from ciplug.records.registry_moves import Demote, Rollback
from ciplug.records.run import Run
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.steps.evidence.attest import checksums
from ciplug.steps.evidence.version_files import files_of
from ciplug.steps.promotion.deployment import record_deployment
from ciplug.steps.promotion.linked_artifacts import link_artifacts
from ciplug.steps.promotion.release import publish_release
from ciplug.steps.promotion.stage_change import Kind, StageChange
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import Session
from ciplug.steps.webhook import ADDRESS, SECRET, Webhook, send, webhook_of

__all__ = ["SUBJECTS", "Followers", "follow_up", "followers_of", "notify"]

_KINDS: Mapping[str, Kind] = {Promote.type: "promoted", Rollback.type: "rolled_back", Demote.type: "demoted"}


@dataclass(frozen=True)
class Followers:
    """Who is told of a promotion."""

    deployment: str | None = None
    """The environment to record a deployment to; empty: named like the stage; None: none is recorded."""
    release: bool = False
    linked_artifacts: bool = False
    subjects: Path | None = None
    """The file to write the checksums of the version's files to."""
    webhook: Webhook | None = None


def followers_of(
    session: Session,
    *,
    deployment: str | None = None,
    release: bool = False,
    linked_artifacts: bool = False,
    subjects: Path | None = None,
) -> Followers:
    """Return who is told. Asked before a promotion: raises ConfigError for a webhook that cannot be used."""
    return Followers(deployment, release, linked_artifacts, subjects, webhook_of(session.env))


def follow_up(session: Session, change: StageChange, followers: Followers, run: Run | None = None) -> bool:
    """Tell everybody, and the session's listener what came of it; returns whether all were told.

    Args:
        run: of the version, for the checksums of its files.
    """
    change = replace(change, run_url=session.context.run_url)
    ci.host_module(session.context.host).write_outputs(session.env, change.outputs)
    done = [True]
    if followers.subjects and run:
        done.append(_write_subjects(session, run, followers.subjects))
    if followers.deployment is not None:
        done.append(_deploy(session, change, followers.deployment))
    if followers.release:
        done.append(_release(session, change))
    if followers.linked_artifacts and run:
        done.append(_link(session, change, run))
    if followers.webhook:
        done.append(_send(session, followers.webhook, change))
    return all(done)


def _write_subjects(session: Session, run: Run, file: Path) -> bool:
    try:
        data = checksums(files_of(session, run))
        file.write_bytes(data)
    except (CiplugError, OSError) as problem:
        words = problem.message if isinstance(problem, CiplugError) else f"{file}: {problem.strerror}"
        session.tell(Note(f"no checksums of the version written: {words}", is_urgent=True))
        return False
    ci.host_module(session.context.host).write_outputs(session.env, {"subjects": str(file)})
    return True


def _deploy(session: Session, change: StageChange, environment: str) -> bool:
    made = record_deployment(session, change, environment)
    if made.unrecorded:
        session.tell(Note(f"no deployment recorded: {made.words}", made.hint, is_urgent=True))
    else:
        session.tell(Note(f"deployment of {(made.commit or '')[:8]} to {made.environment} recorded"))
    return made.unrecorded is None


def _release(session: Session, change: StageChange) -> bool:
    try:
        address = publish_release(session, change)
    except CiplugError as problem:
        session.tell(Note(f"no release published: {problem.message}", problem.hint, is_urgent=True))
        return False
    session.tell(Note(f"release published: {address}"))
    return True


def _link(session: Session, change: StageChange, run: Run) -> bool:
    try:
        count = link_artifacts(session, change, run)
    except CiplugError as problem:
        session.tell(Note(f"no artifacts linked: {problem.message}", problem.hint, is_urgent=True))
        return False
    session.tell(Note(f"{count} artifact{'s' * (count != 1)} linked with their build"))
    return True


def notify(session: Session, model: str, event: int | None = None) -> StageChange:
    """Send the webhook of an event again, as after a failure: by default of the last one that moved a version.

    A receiver that has had it knows it by its `webhook-id`. Raises ConfigError without a webhook, NotFound for an event
    that is none, NotDelivered.
    """
    webhook = webhook_of(session.env)
    if webhook is None:
        raise ConfigError(
            f"no webhook is named: {ADDRESS} and {SECRET}", hint="set both in the job, as docs/after-promotion.md says"
        )
    moves = {one.seq: one for one in ledger.read(session.log, model).events if one.type in _KINDS}
    chosen = moves.get(event if event is not None else max(moves, default=0))
    if chosen is None:
        raise NotFound(
            f"'{model}' has no such event: {event}" if event else f"'{model}' has no event that moved a version",
            hint=f"see: ciplug registry history '{model}'",
        )
    payload = payload_of(chosen)
    # A demotion names no run.
    version = read_model(session, model).by_number.get(payload.version)
    change = StageChange(
        kind=_KINDS[chosen.type],
        model=model,
        version=payload.version,
        stage=payload.stage,
        event=chosen.seq,
        run=getattr(payload, "run", version.run if version else None),
        commit=getattr(payload, "commit", version.commit if version else None),
        replaced=getattr(payload, "replaces", None),
        from_stage=payload.from_stage,
        run_url=chosen.run_url,
    )
    send(session, webhook, change)
    return change


def _send(session: Session, webhook: Webhook, change: StageChange) -> bool:
    try:
        send(session, webhook, change)
    except CiplugError as problem:
        session.tell(problem_note(problem))
        again = f"ciplug registry notify '{change.model}' --event {change.event}"
        session.tell(Note(f"the webhook can be sent again: {again}", is_urgent=True))
        return False
    session.tell(Note("webhook delivered"))
    return True
