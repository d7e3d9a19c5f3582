"""Running the training command: its terminal is left alone, its signals reach it, its cost is measured."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ciplug.capture.output_tail import OutputTail, output_tail
from ciplug.errors import UsageError

_WINDOWS = sys.platform == "win32"


class CommandNotFoundError(UsageError):
    """There is no such program; 127 is what a shell would answer."""

    exit_code = 127


class NotExecutableError(UsageError):
    """The file is there, but it cannot be started; 126 is what a shell would answer."""

    exit_code = 126


@dataclass(frozen=True)
class ChildResult:
    exit_code: int
    """The exit code as a shell reports it: 128 + n if signal n ended the command."""
    signal: str | None
    """SIGKILL, SIGTERM, … or None when the command ended by itself."""
    wall_seconds: float
    cpu_seconds: float | None
    """User and system time of the command and of the processes it waited for; None on Windows."""
    peak_memory_bytes: int | None
    """Resident memory of the largest single process among them, and never below what ciplug itself uses;
    None on Windows."""
    output: str = ""
    """The end of what the command wrote, as it wrote it: nothing is masked yet. Empty if it was not kept."""


def run_child(
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    inherits: Sequence[int] = (),
    *,
    keeps_output: bool = False,
) -> ChildResult:
    """Run a command on our own stdin, stdout and stderr, wait for its end, and measure it.

    SIGINT, SIGTERM and SIGHUP that reach us go on to the command, as often as they come, and we keep
    waiting: how a run was stopped is part of its record. The command inherits the descriptors `inherits`, beside
    these three; on Windows it does not.

    With `keeps_output`, the end of what it writes to stdout and stderr is kept, where these are not a terminal.

    Raises CommandNotFoundError (127), NotExecutableError (126), UsageError on an empty command or a missing
    `cwd`.
    """
    if not argv or not argv[0]:
        raise UsageError("no command to run", hint="put it after `--`: ciplug run -- python train.py")
    if cwd is not None and not Path(cwd).is_dir():
        raise UsageError(f"the working directory {str(cwd)!r} does not exist")
    sys.stdout.flush()
    sys.stderr.flush()

    relay = _Relay()
    with relay.listening(), output_tail(keeps_output) as tail:
        began = time.perf_counter()
        child = _start(argv, env, cwd, inherits, tail)
        tail.started()
        relay.reaches(child)
        status, cpu, memory = _wait(child)
        wall = time.perf_counter() - began
        output = tail.end()

    if status >= 0:
        return ChildResult(status, None, wall, cpu, memory, output)
    return ChildResult(128 - status, _signal_name(-status), wall, cpu, memory, output)


class _Relay:
    """Passes our signals on to the child; those that come before it has started wait for it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
        before = {}
        with contextlib.suppress(ValueError):  # not the main thread: whoever owns it decides
            for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
                # A signal that is ignored (nohup, a background job of sh) stays so, for the child as well.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, self._received)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def reaches(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        while self._early:
            self._send(child, self._early.pop(0))

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._child is None:
            self._early.append(number)
        else:
            self._send(self._child, number)

    def _send(self, child: subprocess.Popen[bytes], number: int) -> None:
        if _WINDOWS:  # the console tells every process of ^C itself, and knows no other signal
            return
        if number in (signal.SIGINT, signal.SIGHUP) and _terminal_told_everyone():
            return
        # Not child.send_signal: it polls, and so could reap the child before wait4 has measured it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)


def _terminal_told_everyone() -> bool:
    """Whether we are in the foreground of a terminal.

    Then ^C and a hang-up reach the child without us, and a second one from us would interrupt its clean-up.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _start(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    cwd: Path | str | None,
    inherits: Sequence[int],
    tail: OutputTail,
) -> subprocess.Popen[bytes]:
    program, *arguments = argv
    if _WINDOWS:
        # CreateProcess finds .exe files only; `which` knows PATHEXT (.cmd, .bat).
        program = shutil.which(program, path=(os.environ if env is None else env).get("PATH")) or program
    try:
        return subprocess.Popen(
            [program, *arguments],
            env=env,
            cwd=cwd,
            pass_fds=() if _WINDOWS else inherits,
            stdout=tail.stdout,
            stderr=tail.stderr,
        )
    except FileNotFoundError:
        if not _WINDOWS and os.sep in program and (Path(cwd or ".") / program).exists():
            raise NotExecutableError(
                f"cannot start {program!r}: the interpreter that its first line names does not exist",
                hint="look at the `#!` line, or at the line ends (CRLF)",
            ) from None
        raise CommandNotFoundError(
            f"command not found: {program!r}",
            hint="is it installed and on PATH? A whole shell line needs `sh -c '…'`"
            if " " in program
            else "is it installed, and on PATH?",
        ) from None
    except (PermissionError, IsADirectoryError):
        raise NotExecutableError(
            f"not allowed to start {program!r}", hint="make it executable (chmod +x), or name its interpreter"
        ) from None
    except ValueError as error:
        raise UsageError(f"cannot start {program!r}: {error}") from None
    except OSError as error:
        raise NotExecutableError(
            f"cannot start {program!r}: {error.strerror}",
            hint="a script needs a first line such as `#!/bin/sh`, or its interpreter in front",
        ) from None


def _wait(child: subprocess.Popen[bytes]) -> tuple[int, float | None, int | None]:
    """Exit status (negative: the signal), CPU seconds, peak memory in bytes."""
    if sys.platform == "win32":
        return child.wait(), None, None
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)  # tells Popen that nothing is left to wait for
    unit = 1 if sys.platform == "darwin" else 1024
    return child.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
