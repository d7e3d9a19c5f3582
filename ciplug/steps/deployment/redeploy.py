"""After a rollback: deploy who holds a stage now to every target that serves this stage."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from ciplug.errors import CiplugError
from ciplug.registry.model import Model
from ciplug.steps.deployment.deploy import Done, deploy
from ciplug.steps.deployment.targets import deploy_command, stage_of, targets_of
from ciplug.steps.fetch import Progress, silent
from ciplug.steps.interruption import resumed_by
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import Session


@contextmanager
def finished_by_deployments(model: Model, stage: str) -> Iterator[None]:
    """Have whatever ends what is done within name the deployments that are left: Ctrl-C, a signal, or an error.

    Args:
        model: as it is after the rollback, which the same command would repeat with one version more.
    """
    targets = sorted(
        target for target, logged in model.deployed.items() if not logged.is_ended and logged.last.stage == stage
    )
    commands = [deploy_command(model.name, stage, one) for one in targets]
    left = "; ".join(commands) or shlex.join(["ciplug", "deployments", "status", model.name])
    try:
        with resumed_by(left, is_last_word=True):
            yield
    except CiplugError as problem:
        problem.hint = "; ".join(filter(None, [problem.hint, f"the rollback is done, so go on: {left}"]))
        raise


def redeploy(session: Session, name: str, stage: str, *, progress: Progress = silent) -> Iterator[Done | CiplugError]:
    """Yield what became of each target, by the log, to which a version was deployed before, and not ended since.

    Raises Interrupted where a signal ends it, with the commands for the targets that are left.
    """
    protected = by_protected_policy(session)
    model = read_model(protected, name)
    serving = [
        target
        for target, settings in sorted(targets_of(protected, name).items())
        if (logged := model.deployed.get(target)) is not None
        and not logged.is_ended
        and stage_of(protected, model, settings) == stage
    ]
    for number, target in enumerate(serving):
        left = "; ".join(deploy_command(name, stage, one) for one in serving[number:])
        done: Done | CiplugError
        try:
            with resumed_by(left, is_last_word=True):
                done = deploy(session.refreshed(), f"{name}@{stage.lower()}", target, progress=progress)
        except CiplugError as problem:
            done = problem
        yield done
