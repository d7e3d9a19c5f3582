"""Versions that a target serves, by the log, and should serve no longer, with the command that puts that right."""

from __future__ import annotations

from typing import NamedTuple

from ciplug.registry.model import Model
from ciplug.reports.untrusted import clean
from ciplug.steps.deployment.targets import deploy_command, undeploy_command


class StillServed(NamedTuple):
    """A target that serves a version by the log, though it is yanked, or out of the stage of the target."""

    target: str
    remedy: str


def still_served(model: Model, number: int) -> list[StillServed]:
    """The targets that serve a version which they should serve no longer."""
    version = model.by_number[number]
    return [
        StillServed(target, next_command(model, said.stage, target))
        for target, logged in sorted(model.deployed.items())
        if (said := logged.serves) and said.version == number and said.stage
        if version.yanked is not None or version.stage != said.stage
    ]


def why_revoked(model: Model, number: int, stage: str) -> str | None:
    """Why a target of a stage should serve a version no longer, as a clause; None where it may.

    A version that another one has replaced in its stage may, until that one is deployed.
    """
    version = model.by_number[number]
    if version.yanked is not None:
        return f"it serves version {number}, which was yanked" + (
            f": {clean(version.yanked, 200)}" if version.yanked else ""
        )
    if version.stage != stage and model.holder(stage) is None:
        return f"it serves version {number}, which is no longer in {stage}, and no other one is in it"
    return None


def next_command(model: Model, stage: str, target: str) -> str:
    """How another version comes to a target: the one that is in the stage, or else the one before."""
    deploy = deploy_command(model.name, stage, target)
    if model.holder(stage):
        return deploy
    if model.before(stage):
        return f"ciplug rollback '{model.name}' --to {stage.lower()} --reason TEXT --redeploy"
    return f"{undeploy_command(model.name, target)}; when a version is in {stage} again: {deploy}"
