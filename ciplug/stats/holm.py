"""Holm's correction of p-values: of many tests at once, each may give a false alarm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

K = TypeVar("K")


def holm(p_values: Mapping[K, float]) -> dict[K, float]:
    """Holm's adjusted p-values (S. Holm, 1979), by the keys of the tests; a NaN counts as 1."""
    ordered = sorted(((1.0 if math.isnan(p) else p, key) for key, p in p_values.items()), key=lambda pair: pair[0])
    adjusted: dict[K, float] = {}
    highest = 0.0
    for rank, (p, key) in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * p))
        adjusted[key] = highest
    return adjusted
