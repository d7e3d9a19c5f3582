"""The order of names with numbers in them: class 4 comes before class 12. Pure."""

from __future__ import annotations

import re


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A key by which names sort as people count."""
    parts = re.split(r"(\d{1,18})", name)
    return [(int(part) if part.isdecimal() else -1, part) for part in parts if part], name
