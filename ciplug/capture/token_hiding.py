"""Hide tokens from the programs that this process starts, beyond leaving them out of their environment.

The kernel shows the environment that a process was started with to all others of the same user, as
/proc/<id>/environ, whatever the process does to its variables later: a training would read that of its parent, and so
would a program that the configuration of a checkout names.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

_ENV_START, _ENV_END = 47, 48
"""Places in /proc/self/stat (proc(5): fields 50 and 51), counted from after the name of the program."""
_SET_DUMPABLE = 4
"""PR_SET_DUMPABLE of prctl(2)."""


def hide(secrets: Collection[str]) -> None:
    """Blank these texts in the environment that the kernel shows, and let no process of this user read our memory.

    Our own variables keep them: Python has copied these. Only Linux has such a place; where it cannot be written,
    nothing happens. A shell that started us still has what it was given itself.
    """
    encoded = {secret.encode(errors="surrogateescape") for secret in secrets if secret}
    if not encoded or not sys.platform.startswith("linux"):
        return
    try:
        import ctypes

        fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
        start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
        block = ctypes.string_at(start, end - start) if 0 < start < end else b""
        at = 0
        for entry in block.split(b"\0"):
            value = entry.partition(b"=")[2]
            if value in encoded:
                ctypes.memset(start + at + len(entry) - len(value), ord("*"), len(value))
            at += len(entry) + 1
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    except (OSError, ValueError, IndexError, ImportError, AttributeError):
        return
