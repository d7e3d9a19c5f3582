"""The stages that versions of given runs are in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ciplug.registry.ladder import ARCHIVED, NO_STAGE
from ciplug.registry.model import Version
from ciplug.steps.registered import read_model
from ciplug.steps.session import Session


class HeldStage(NamedTuple):
    """A version that is in a stage of its model."""

    model: str
    version: Version


def held_stages(session: Session, runs: Iterable[tuple[str, str]]) -> list[HeldStage]:
    """The versions of these runs, each given as (model, id), that are in a stage. Each model's log is read once."""
    by_model: dict[str, list[str]] = {}
    for model, run in runs:
        by_model.setdefault(model, []).append(run)
    return [
        HeldStage(name, version)
        for name, ids in by_model.items()
        for version in read_model(session, name).versions
        if version.run in ids and version.stage not in (NO_STAGE, ARCHIVED)
    ]
