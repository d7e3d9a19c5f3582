"""The version of ciplug. A leaf: it imports nothing, and everybody may import it."""

from __future__ import annotations

__version__ = "0.1.0"
