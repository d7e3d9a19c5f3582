"""What goes on after an interruption: Ctrl-C and the signals that end a job say the command that finishes the work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ciplug.errors import Interrupted

_SIGNALS = ("SIGTERM", "SIGHUP")
"""They end a program at once unless it asks to hear of them: a runner that cancels a job sends SIGTERM."""


@contextmanager
def resumed_by(command: str, *, is_last_word: bool = False) -> Iterator[None]:
    """Raise Interrupted with the command that goes on where Ctrl-C, SIGTERM or SIGHUP ends what is done within.

    Of two around each other, the outer one counts: it knows the whole command.

    Args:
        is_last_word: this one counts all the same, since the whole command must not be given again.
    """
    kept = {}
    if threading.current_thread() is threading.main_thread():
        for one in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
            # A signal that is ignored stays ignored, as under nohup; one that is heard already stays so.
            if signal.getsignal(one) is signal.SIG_DFL:
                kept[one] = signal.signal(one, _end)
    try:
        yield
    except KeyboardInterrupt as stopped:
        known = stopped if isinstance(stopped, Interrupted) else Interrupted(None)
        if known.is_last_word:
            raise
        raise Interrupted(f"go on: {command}", exit_code=known.exit_code, is_last_word=is_last_word) from None
    finally:
        for one, before in kept.items():
            signal.signal(one, before)


def _end(number: int, frame: Any) -> None:
    raise Interrupted(None, exit_code=128 + number)
