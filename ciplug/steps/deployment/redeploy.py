"""Deploy who holds a stage now to every target that serves this stage."""

from __future__ import annotations

from collections.abc import Iterator

from ciplug.errors import CiplugError
from ciplug.steps.deployment.deploy import Done, deploy
from ciplug.steps.deployment.targets import stage_of, targets_of
from ciplug.steps.fetch import Progress, silent
from ciplug.steps.promotion.protected_policy import by_protected_policy
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import Session


def redeploy(session: Session, name: str, stage: str, *, progress: Progress = silent) -> Iterator[Done | CiplugError]:
    """Yield what became of each target, by the log, to which a version was deployed before, and not ended since."""
    protected = by_protected_policy(session)
    model = read_model(protected, name)
    for target, settings in sorted(targets_of(protected, name).items()):
        logged = model.deployed.get(target)
        if logged is None or logged.is_ended or stage_of(protected, model, settings) != stage:
            continue
        try:
            yield deploy(session.refreshed(), f"{name}@{stage.lower()}", target, progress=progress)
        except CiplugError as problem:
            yield problem
