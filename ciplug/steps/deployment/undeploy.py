"""End what a target serves: say so in the log, end it, ask the target.

As a deployment, it has an event before the target is changed and one after. The same command goes on after a crash.
"""

from __future__ import annotations

from typing import NamedTuple

from ciplug.errors import (
    ConfigError,
    DeploymentRefused,
    NotDeployed,
    NotFound,
    StoreError,
    TargetError,
    UsageError,
    nearest,
)
from ciplug.records.registry_deployment import BEGUN, ENDED, ENDING, FAILED, Deploy
from ciplug.registry.model import Deployed, DeployEvent, Model
from ciplug.registry.replayed_rules import model_digest
from ciplug.steps.deployment.targets import find_target, record_end_command, stage_of, targets_of, undeploy_command
from ciplug.steps.interruption import resumed_by
from ciplug.steps.promotion.masked import masking
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.promotion.writing import check_job, check_key, check_readable, write
from ciplug.steps.registered_model import need_model, read_model
from ciplug.steps.session import Session
from ciplug.targets import open_target
from ciplug.targets.base import Target


class Ended(NamedTuple):
    """A target that serves nothing."""

    model: str
    target: str
    version: int | None
    """What it served, by the log; None: the log has no deployment."""
    event: int
    """The number of the event; 0: it served nothing before, and the log said so."""
    removed: str | None = None
    """The file that was removed, where something else applies it."""


def undeploy(
    session: Session, name: str, target: str, *, reason: str | None = None, expected: int | None = None
) -> Ended:
    """Have a target serve nothing.

    Args:
        expected: the number of the event by which it serves; where it serves by another one, nothing is ended.

    Raises PromotionRefused in a job that must not change the registry, DeploymentRefused where the target serves
    what the log does not know, or not what was expected, TargetError and StoreError where the target or the store
    fails, Interrupted where a signal ends it. The same call finishes.
    """
    session, model = _begin(session, name)
    logged = model.deployed.get(target)
    try:
        settings = find_target(session, name, target)
    except (ConfigError, NotFound) as unknown:
        if logged is not None and logged.serves is not None:
            unknown.hint = _without_target(name, target)
        raise
    stage = (_served(logged).stage if logged else None) or stage_of(session, model, settings)
    at = open_target(settings, session.env, masking(session))
    if (logged is None or logged.last.state == ENDED) and at.live(stage) is None:
        return Ended(name, target, logged.last.version if logged else None, 0)
    if logged is None:
        raise DeploymentRefused(
            NotDeployed.OTHER_MODEL,
            f"'{target}' serves something, and the log of '{name}' has no deployment to it",
            hint=f"find out who put it there, and end it there; see: ciplug deployments status '{name}'",
        )
    try:
        with resumed_by(undeploy_command(name, target)):
            began = _announce(session, name, target, stage, reason, expected)
            _end(session, at, name, target, began)
            return Ended(name, target, began.version, _conclude(session, name, target, began), settings.written_file)
    except (TargetError, StoreError) as problem:
        problem.hint = "; ".join(filter(None, [problem.hint, f"then go on: {undeploy_command(name, target)}"]))
        raise


def record_end(session: Session, name: str, target: str, reason: str) -> Ended:
    """Append that a target which is in ciplug.yaml no more serves nothing. Nobody asks or changes the target.

    Raises UsageError without a reason, and for a target of ciplug.yaml, which `undeploy` can end; NotFound where the
    log has no deployment to it.
    """
    if not reason.strip():
        raise UsageError("--record-only needs a reason", hint="say who has ended it, and how: --reason TEXT")
    session, model = _begin(session, name)
    if target in targets_of(session, name):
        raise UsageError(
            f"--record-only: '{target}' is a target of ciplug.yaml on the default branch, so it can be ended",
            hint=f"{undeploy_command(name, target)}; or take it out of targets: first",
        )
    logged = model.deployed.get(target)
    if logged is None:
        raise NotFound(f"the log of '{name}' has no deployment to '{target}'", hint=nearest(target, [*model.deployed]))
    if logged.last.state == ENDED:
        return Ended(name, target, logged.last.version, 0)
    began = _announce(session, name, target, _served(logged).stage, reason)
    return Ended(name, target, began.version, _conclude(session, name, target, began))


def _begin(session: Session, name: str) -> tuple[Session, Model]:
    check_job(session)
    session = by_protected_policy(session)
    check_key(session)
    model = read_model(session, name)
    need_model(session, model)
    check_readable(model)
    return session, model


def _without_target(name: str, target: str) -> str:
    return (
        f"put '{target}' back into targets: of ciplug.yaml on the default branch; or end what it serves there by hand, "
        f"and say so in the log: {record_end_command(name, target)}"
    )


def _served(logged: Deployed) -> DeployEvent:
    """What is ended: what is served by the log, or else what the last event was about."""
    return logged.serves or logged.last


def _announce(
    session: Session, name: str, target: str, stage: str | None, reason: str | None, expected: int | None = None
) -> DeployEvent:
    """Append the event that a target is about to serve nothing, unless the log has it."""

    def make(session: Session, model: Model) -> Deploy | None:
        logged = model.deployed[target]
        is_expected = logged.serves is not None and logged.serves.event == expected and logged.last.state != BEGUN
        if expected is not None and not is_expected:
            raise DeploymentRefused(
                NotDeployed.SUPERSEDED,
                f"'{target}' is not ended: it was changed since the deployment (event {expected}) that was to end",
                hint=f"see what is served: ciplug deployments status '{name}'",
            )
        if logged.last.state == ENDING:
            return None
        version = model.by_number[_served(logged).version]
        return Deploy(
            version=version.number,
            target=target,
            kind=_served(logged).kind,
            state=ENDING,
            stage=stage,
            digest=version.digest or model_digest(version.files),
            reason=reason,
        )

    return write(session, name, make).model.deployed[target].last


def _end(session: Session, at: Target, name: str, target: str, began: DeployEvent) -> None:
    session.store.refresh()
    _check_turn(read_model(session, name), target, began)
    try:
        at.end(name, began.stage or "", began.event)
    except DeploymentRefused as refused:
        _note_failure(session, name, target, began, refused)
        raise
    if at.live(began.stage or "") is not None:
        raise TargetError(
            f"'{target}' still serves something after its end", hint=f"see: ciplug deployments status '{name}'"
        )


def _check_turn(model: Model, target: str, began: DeployEvent) -> None:
    """Raise DeploymentRefused if a deployment to the target was begun since."""
    last = model.deployed[target].last
    if last.event != began.event and last.state != ENDED:
        raise DeploymentRefused(
            NotDeployed.SUPERSEDED,
            f"'{target}': the deployment of version {last.version} (event {last.event}) was begun later than this end",
            hint=f"see what is served: ciplug deployments status '{model.name}'",
        )


def _note_failure(session: Session, name: str, target: str, began: DeployEvent, refused: DeploymentRefused) -> None:
    """Append that the target serves what it served before, unless the log has another event by now."""

    def make(session: Session, model: Model) -> Deploy | None:
        is_last = model.deployed[target].last.event == began.event
        return _after(began, target, FAILED, reason) if is_last else None

    # Before it is cut: half a secret is not noticed.
    reason = masking(session)(refused.message)[:400]
    write(session, name, make)


def _conclude(session: Session, name: str, target: str, began: DeployEvent) -> int:
    """Append that a target serves nothing, unless the log says so; returns the number of the event."""

    def make(session: Session, model: Model) -> Deploy | None:
        _check_turn(model, target, began)
        is_last = model.deployed[target].last.event == began.event
        return _after(began, target, ENDED, began.reason) if is_last else None

    return write(session, name, make).model.deployed[target].last.event


def _after(began: DeployEvent, target: str, state: str, reason: str | None) -> Deploy:
    """The event that ends the one by which the end was begun."""
    return Deploy(
        version=began.version,
        target=target,
        kind=began.kind,
        state=state,
        stage=began.stage,
        digest=began.digest,
        began=began.event,
        reason=reason,
    )
