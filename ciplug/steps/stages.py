"""The stages of a model: a team's own, or MLflow's."""

from __future__ import annotations

from ciplug.registry.ladder import MLFLOW_STAGES, Ladder
from ciplug.steps.session import Session


def ladder_of(session: Session, model: str) -> Ladder:
    """The stages of a model, in the order in which versions climb them."""
    return MLFLOW_STAGES
