"""Which runs a list leaves out for the state that they are in. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ciplug.records.changes import Standing
from ciplug.tracking.query import KIND, LIFECYCLE, Comparison, Condition, comparisons_in

NOT_RANKED: tuple[Standing, ...] = ("withdrawn", "deleted", "unread")
"""What a ranking leaves out: the numbers of these runs do not count."""
_LISTED: tuple[Standing, ...] = ("deleted",)


def hidden_states(where: Sequence[Condition]) -> tuple[Standing, ...]:
    """States that a list of runs leaves out: none where a condition chooses by the state itself."""
    return () if any(comparison.key == LIFECYCLE for comparison in comparisons_in(where)) else _LISTED


def only_trainings(where: Sequence[Condition]) -> tuple[Condition, ...]:
    """The condition that leaves out runs of `ciplug monitor`; none where a condition chooses by the kind itself."""
    chosen = any(comparison.key == KIND for comparison in comparisons_in(where))
    return () if chosen else (Comparison(KIND, "=", "training"),)
