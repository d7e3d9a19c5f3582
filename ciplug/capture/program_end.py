"""How a program of its own ends, for its runs that are still open at exit.

Functions of `atexit` are not given the exit code, and three traces are left of it. An uncaught exception is in
`sys.last_value`, unless it is SystemExit. The outermost frame tells by its last instruction whether it returned: then
the program ended well, and whoever called `sys.exit` before was stopped by an `except`. Else SystemExit ended it. Its
code is gone with it, so the calls of `sys.exit` are watched from the beginning of the program's first run. The code of
`raise SystemExit(code)` stays unknown, and so does how such a program ended.
"""

from __future__ import annotations

import builtins
import functools
import opcode
import os
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from ciplug.records.run import Status

_ENDS = ((sys, "exit"), (builtins, "exit"), (builtins, "quit"))
_RETURNS = ("RETURN_VALUE", "RETURN_CONST")
_NOT_CALLED = object()


class ProgramEnd:
    """Watches the end of this program."""

    def __init__(self) -> None:
        self._code: object = _NOT_CALLED
        """What the last call of `sys.exit` was given."""
        self._before: object = None
        """What `sys.last_value` was left from: an earlier cell of an interactive session, or a debugger."""
        self._outermost: FrameType | None = None
        """The frame of the main thread that all others were called from."""
        self._watches = False

    def watch(self) -> None:
        """Notice how the program ends from here on."""
        self._code, self._before = _NOT_CALLED, getattr(sys, "last_value", None)
        if self._watches or _is_interactive():
            return
        self._watches = True
        self._outermost = _outermost()
        for module, name in _ENDS:
            # Without the module `site`, builtins have neither.
            if hasattr(module, name):
                setattr(module, name, self._noting(getattr(module, name)))

    def goes_on(self) -> None:
        """Forget a call of `sys.exit` that somebody has caught."""
        self._code = _NOT_CALLED

    def status(self) -> Status:
        """How the runs end that are open as the program ends. In an interactive session, no error is its end."""
        if _is_interactive():
            return "finished"
        uncaught = getattr(sys, "last_value", None)
        if uncaught is not None and uncaught is not self._before:
            return "killed" if isinstance(uncaught, KeyboardInterrupt) else "failed"
        # Somebody may call the functions of `atexit` while the program goes on.
        frame = None if self._outermost is _outermost() else self._outermost
        if frame is not None and _has_returned(frame):
            return "finished"
        if self._code is _NOT_CALLED:
            return "finished" if frame is None else "unknown"
        return "finished" if exit_code(self._code) == 0 else "failed"

    def _noting(self, end: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(end)
        def ending(code: object = None) -> Any:
            # In another thread, it ends no more than that.
            if threading.current_thread() is threading.main_thread():
                self._code = code
            return end(code)

        return ending


def exit_code(given: object) -> int:
    """Return the exit code of a program that calls `sys.exit` with this, as whoever started the program sees it.

    No code is 0. Anything but a whole number is printed, and stands for 1. POSIX keeps 8 bits: 256 is 0.
    """
    code = SystemExit(*given).code if isinstance(given, tuple) else given
    if isinstance(code, SystemExit):
        code = code.code
    if code is None:
        return 0
    if not isinstance(code, int):
        return 1
    return code & 0xFF if os.name == "posix" else code


def uncaught() -> str:
    """The traceback of the exception that ends this program, or a `with` block in it; empty where there is none."""
    error = sys.exc_info()[1]
    if error is None and not _is_interactive():
        error = getattr(sys, "last_value", None)
    if error is None:
        return ""
    import traceback

    return "".join(traceback.format_exception(error))


def _is_interactive() -> bool:
    return hasattr(sys, "ps1")


def _outermost() -> FrameType | None:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _has_returned(frame: FrameType) -> bool:
    """Whether a frame that has ended did so without an exception: a return is the last that it executed."""
    code = frame.f_code.co_code
    return 0 <= frame.f_lasti < len(code) and opcode.opname[code[frame.f_lasti]] in _RETURNS
