"""The order in which a list shows metrics: those that gates look at, in the order of the gates, then the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ciplug.records.natural_order import natural
from ciplug.steps.policy_in_force import of_checkout
from ciplug.steps.session import Session


def gated_metrics(session: Session, model: str) -> Mapping[str, int]:
    """Return metric → its place among the gates of a model, as the ciplug.yaml of this checkout has them."""
    ruling = of_checkout(session, model)
    if ruling is None:
        return {}
    policy = ruling.policy
    names = dict.fromkeys(policy.metric_of(name) for name, gate in policy.gates.items() if gate.kind == "metric")
    return {name: place for place, name in enumerate(names)}


def gated_order(metrics: Iterable[str], gated: Mapping[str, int]) -> list[str]:
    """Return the names with the gated ones first; class 4 comes before class 12."""
    return sorted(metrics, key=lambda name: (gated.get(name, len(gated)), *natural(name)))
