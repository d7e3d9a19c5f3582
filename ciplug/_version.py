"""The version of ciplug, and when it was loaded. A leaf: it imports nothing, and everybody may import it."""

from __future__ import annotations

import time

__version__ = "0.1.0"
loaded = time.time_ns()
"""The moment at which this program began to use ciplug: nanoseconds since 1970."""
