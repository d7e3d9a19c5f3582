"""When this program began to use ciplug: what it writes from then on is its own. A leaf, imported with the package."""

from __future__ import annotations

import time

MOMENT = time.time_ns()
"""Nanoseconds since 1970."""
