"""A bundle whose objects were checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ciplug.records.run import Run


@dataclass(frozen=True)
class Bundle:
    """A bundle that may be recorded."""

    name: str
    size: int
    """Bytes of the bundle."""
    objects: Mapping[str, bytes]
    runs: tuple[Run, ...]
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    """Digest → a file beside the bundle, which nobody has checked yet."""
