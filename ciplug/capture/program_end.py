"""How a program of its own ends, for its runs that are still open at exit.

Functions of `atexit` are not given the exit code. An uncaught exception is left in `sys.last_value`; of `sys.exit(1)`
nothing is left, so the calls that end a program are watched from the beginning of its first run.
"""

from __future__ import annotations

import builtins
import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

from ciplug.records.run import Status

_ENDS = ((sys, "exit"), (builtins, "exit"), (builtins, "quit"))


class ProgramEnd:
    """Watches the end of this program."""

    def __init__(self) -> None:
        self._code: object = None
        """What the last call of `sys.exit` was given."""
        self._before: object = None
        """What `sys.last_value` was left from: an earlier cell of an interactive session, or a debugger."""
        self._watches = False

    def watch(self) -> None:
        """Notice how the program ends from here on."""
        self._code, self._before = None, getattr(sys, "last_value", None)
        if self._watches or _is_interactive():
            return
        self._watches = True
        for module, name in _ENDS:
            # Without the module `site`, builtins have neither.
            if hasattr(module, name):
                setattr(module, name, self._noting(getattr(module, name)))

    def goes_on(self) -> None:
        """Forget a call of `sys.exit` that somebody has caught."""
        self._code = None

    def status(self) -> Status:
        """How the runs end that are open as the program ends. In an interactive session, no error is its end."""
        if _is_interactive():
            return "finished"
        uncaught = getattr(sys, "last_value", None)
        if uncaught is not None and uncaught is not self._before:
            return "killed" if isinstance(uncaught, KeyboardInterrupt) else "failed"
        # As Python does: no code and 0 are a good end, a text is printed and stands for 1.
        return "finished" if self._code is None or self._code == 0 else "failed"

    def _noting(self, end: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(end)
        def ending(code: object = None) -> Any:
            # In another thread, it ends no more than that.
            if threading.current_thread() is threading.main_thread():
                self._code = code
            return end(code)

        return ending


def _is_interactive() -> bool:
    return hasattr(sys, "ps1")
