"""What the log says of the targets, and what the targets themselves serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from ciplug.errors import CiplugError, TargetError
from ciplug.registry import ledger
from ciplug.registry.model import Deployed, Model
from ciplug.registry.replayed_rules import model_digest
from ciplug.steps import placing
from ciplug.steps.deployment.still_served import next_command, why_revoked
from ciplug.steps.deployment.targets import deploy_command, record_end_command, stage_of, targets_of, undeploy_command
from ciplug.steps.evidence.version_files import single_files
from ciplug.steps.promotion.masked import masking
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.promotion.verified_files import run_of
from ciplug.steps.registered_model import need_model, read_model
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
from ciplug.targets import open_target
from ciplug.targets.base import Live


class State(Enum):
    """What is found at a target. The value is the exit code of `ciplug deployments status`, with the word for JSON."""

    SERVED = (0, "served")
    """It serves what the log says."""
    EMPTY = (0, "empty")
    """Nothing is served, and the log says so."""
    BEHIND = (0, "behind")
    """It serves what the log says, and another version holds the stage now, or its settings have changed."""
    UNCHECKED = (0, "unchecked")
    """It serves something that was deployed, and cannot say which bytes."""
    REVOKED = (1, "revoked")
    """It serves what the log says, and this version was yanked, or has left the stage with no other one in it."""
    UNFINISHED = (1, "unfinished")
    """A deployment was begun, and nobody has seen its end."""
    OTHER = (1, "other")
    """It does not serve what the log says."""
    DOWN = (1, "down")
    """It has what the log says, and does not serve it as it should."""
    UNREACHABLE = (TargetError.exit_code, "unreachable")
    NOT_CONFIGURED = (1, "not_configured")
    """The log names it, and the policy in force does not."""

    def __init__(self, exit_code: int, word: str) -> None:
        self.exit_code = exit_code
        self.word = word


@dataclass(frozen=True)
class Status:
    """One target of a model."""

    model: str
    target: str
    kind: str
    state: State
    logged: Deployed | None = None
    live: Live | None = None
    holder: int | None = None
    """The version that holds the stage now."""
    problem: str | None = None
    remedy: str | None = None


def deployed_models(session: Session, name: str | None) -> list[Model]:
    """The models that have a deployment in their log, or the given one. Raises NotFound for a name of none."""
    if name is not None:
        model = read_model(session, name)
        need_model(session, model)
        return [model]
    return [model for one in ledger.models(session.log) if (model := read_model(session, one)).deployed]


def statuses(session: Session, name: str | None) -> Iterator[Status]:
    """Ask each target what it serves. The targets are those of the protected policy: they may get a credential."""
    session = by_protected_policy(session)
    named = [name] if name else ledger.models(session.log)
    for model in (read_model(session, one) for one in named):
        if name:
            need_model(session, model)
        targets = targets_of(session, model.name)
        if model.exists:
            # Nobody can ask a target that ciplug.yaml does not name; where it serves nothing by the log, nobody need.
            logged = {name for name, one in model.deployed.items() if one.is_open or one.serves is not None}
            yield from (_status(session, model, target) for target in sorted({*targets, *logged}))


def _status(session: Session, model: Model, target: str) -> Status:
    logged, settings = model.deployed.get(target), targets_of(session, model.name).get(target)
    if settings is None:
        kind = logged.last.kind if logged else ""
        advice = (
            "name it in targets: of ciplug.yaml on the default branch; or end by hand what it serves, and say so in "
            f"the log: {record_end_command(model.name, target)}"
        )
        return Status(model.name, target, kind, State.NOT_CONFIGURED, logged, remedy=advice)
    try:
        stage = stage_of(session, model, settings)
        live = open_target(settings, session.env, masking(session)).live(stage)
        state, problem = _compared(session, model, logged, live)
    except CiplugError as error:
        return Status(
            model.name, target, settings.kind, State.UNREACHABLE, logged, problem=error.message, remedy=error.hint
        )
    holder = model.holder(stage)
    number = holder.number if holder else None
    if state in (State.SERVED, State.UNCHECKED) and logged and logged.serves and live:
        if revoked := why_revoked(model, logged.serves.version, stage):
            state, problem = State.REVOKED, revoked
        elif number not in (None, logged.serves.version):
            state = State.BEHIND
        elif live.outdated:
            state, problem = State.BEHIND, live.outdated
    if logged is not None and logged.is_ended and state is not State.EMPTY:
        return Status(
            model.name,
            target,
            settings.kind,
            state,
            logged,
            live,
            number,
            problem,
            undeploy_command(model.name, target),
        )
    fine = state in (State.SERVED, State.UNCHECKED, State.EMPTY)
    remedy = None if fine or holder is None else deploy_command(model.name, stage, target)
    if state is State.REVOKED:
        remedy = next_command(model, stage, target)
    return Status(model.name, target, settings.kind, state, logged, live, number, problem, remedy)


def _compared(session: Session, model: Model, logged: Deployed | None, live: Live | None) -> tuple[State, str | None]:
    """What a target serves, compared with the log, and what is wrong as a clause."""
    if logged is not None and logged.is_open:
        what = "end" if logged.is_ended else "deployment"
        return State.UNFINISHED, f"the {what} of version {logged.last.version} was begun, and is not known to be done"
    served = logged.serves if logged else None
    if served is None:
        if live is None:
            return State.EMPTY, None
        return State.OTHER, "it serves something, and by the log it serves nothing"
    if live is None:
        return State.OTHER, f"it serves nothing, and the log says version {served.version}"
    version = model.by_number[served.version]
    run = run_of(judged_runs(session), model.name, version)
    files = single_files(session, version.files, {file.path: file for file in run.artifacts})
    expected = {"/".join(placing.parts(placing.own_place(path))): digest for path, digest in files.items()}
    same_version = served.digest == (version.digest or model_digest(version.files))
    if not same_version or not live.has(served.digest or "", expected) or live.reference != served.reference:
        return State.OTHER, f"it serves other bytes than version {served.version}, which the log says"
    if live.problem:
        return State.DOWN, live.problem
    return (State.UNCHECKED if live.is_unchecked else State.SERVED), None


def worst(found: Sequence[Status]) -> int:
    """The exit code for all targets."""
    return max((one.state.exit_code for one in found), default=0)
