"""A program on a terminal of its own, which a test reads, types on, and interrupts."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

INTERRUPT, END = "\x03", "\x04"


class Terminal:
    """Starts `command` with all its streams on the terminal, whose foreground it is."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.shown = ""
        """All that has been read so far."""
        self._seen = 0
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            try:
                os.chdir(cwd)
                # A suite that runs in the background ignores what a terminal sends, and the program would inherit that.
                for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                os.execvpe(command[0], list(command), {**os.environ, "TERM": "dumb", **(env or {})})
            finally:
                os._exit(127)

    @classmethod
    def ciplug(cls, *words: str, cwd: Path, env: Mapping[str, str] | None = None) -> Terminal:
        return cls([sys.executable, "-m", "ciplug", *words], cwd, env)

    def expect(self, pattern: str) -> None:
        """Read until `pattern` shows up after what was expected before."""
        while not (found := re.compile(pattern).search(self.shown, self._seen)):
            assert self._read(), f"the program has ended without {pattern!r}:\n{self.shown}"
        self._seen = found.end()

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code, negative for a signal."""
        while self._read():
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self) -> bool:
        data = b""
        # Linux says by an error that the other end is closed.
        with contextlib.suppress(OSError):
            data = os.read(self._terminal, 65536)
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
