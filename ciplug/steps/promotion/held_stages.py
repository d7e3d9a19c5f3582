"""The stages that versions of given runs are in."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ciplug.registry import ledger
from ciplug.registry.ladder import ARCHIVED, NO_STAGE
from ciplug.registry.model import Version
from ciplug.steps.registered_model import read_if_whole
from ciplug.steps.session import Session


class HeldStage(NamedTuple):
    """A version that is in a stage of its model."""

    model: str
    version: Version


def held_stages(session: Session, runs: Collection[str]) -> list[HeldStage]:
    """The versions of these runs that are in a stage, under whatever name they are registered. Reads each log once."""
    return [
        HeldStage(model.name, version)
        for model in (read_if_whole(session, name) for name in ledger.models(session.log))
        if model.exists
        for version in model.versions
        if version.run in runs and version.stage not in (NO_STAGE, ARCHIVED)
    ]
