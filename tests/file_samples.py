"""Files for the tests of what keeps files."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make(folder: Path, *contents: bytes) -> dict[str, Path]:
    """Write files of these contents; digest → path."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for data in contents:
        path = folder / sha(data)[7:23]
        path.write_bytes(data)
        found[sha(data)] = path
    return found


def noise(size: int, seed: int) -> bytes:
    """Bytes that no compression makes fewer."""
    return random.Random(seed).randbytes(size)


def nothing(_: int) -> None:
    """Tells nobody of the progress."""
