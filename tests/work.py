"""How much a call computes, as a count that no other load of the machine changes."""

from __future__ import annotations

import cProfile
from collections.abc import Callable


def calls(function: Callable[[], object]) -> int:
    """Number of Python and C functions that `function` calls."""
    profile = cProfile.Profile()
    profile.runcall(function)
    return sum(entry.callcount for entry in profile.getstats())
