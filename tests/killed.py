"""A process of `tests.forkserver` that is killed before one of the lines of some parts of ciplug.

Killed is killed: nothing of Python's ends, and no lock is given back but by the system.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

VARIABLE = "TESTS_KILL_AT"


def at_line(number: int, parts: Sequence[str], count_file: Path) -> dict[str, str]:
    """The environment of a call that is killed before the line of this number is run; 0: it is not killed.

    Args:
        parts: folders of ciplug whose lines count.
        count_file: gets the number of lines of a call that was not killed.
    """
    return {VARIABLE: os.pathsep.join([str(number), str(count_file), *parts])}


def arm(package: Path) -> None:
    """In the process: do as the environment says."""
    if VARIABLE not in os.environ:
        return
    number, file, *parts = os.environ.pop(VARIABLE).split(os.pathsep)
    ours = tuple(f"{package / part}{os.sep}" for part in parts)
    kill_at, count = int(number), 0

    def line(frame: FrameType, kind: str, argument: Any) -> Any:
        nonlocal count
        count += kind == "line"
        if kind == "line" and count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return line

    atexit.register(lambda: Path(file).write_text(str(count)))
    sys.settrace(lambda frame, *_: line if frame.f_code.co_filename.startswith(ours) else None)
