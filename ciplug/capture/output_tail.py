"""The last lines that a command writes, kept while they pass through: after a crash, they say what happened.

What goes to a terminal is left alone: a command must find the terminal that its user has. Anything else is copied by a
process of its own, which goes on as long as anybody writes: a program that the command has left behind can still write
when ciplug has ended. Where there is no `fork`, nothing is kept.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

LINES_MOST = 50
LINE_MOST = 400
"""Characters of a line."""
BYTES_MOST = 8 * 1024
"""Bytes of all lines."""
_SIZE = 64 * 1024
"""Bytes that are kept while the command runs: what is masked later is longer than what is shown."""
_COUNT = 8
_PATIENCE, _STILL = 5.0, 0.3
"""Seconds to wait for the copies at most, and where nothing arrives any more."""
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_ERROR = re.compile(r"(?:[A-Za-z_][\w.]*)?(?:Error|Exception|Interrupt|Exit|Failure|Killed)(?::\s.*)?")
_CUT_KEY = re.compile(r"\A(?:(?!-----BEGIN).)*-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----", re.DOTALL)
"""The end of a private key whose beginning is not there any more."""
_TRACEBACK = "Traceback (most recent call last):"


class OutputTail:
    """The end of what a command writes."""

    def __init__(self) -> None:
        self.stdout: int | None = None
        """What the command gets in place of our stdout; None: that itself."""
        self.stderr: int | None = None
        self._ring: mmap.mmap | None = None
        self._copier = 0

    def begin(self) -> None:
        """Start to copy what is no terminal."""
        targets = [number for number in (1, 2) if _may_be_copied(number)]
        if not targets or not hasattr(os, "fork"):
            return
        ring = mmap.mmap(-1, _COUNT + _SIZE)
        together = len(targets) == 2 and os.path.sameopenfile(1, 2)
        pipes = {number: os.pipe() for number in (targets[:1] if together else targets)}
        copier = os.fork()
        if not copier:
            _copy({reader: target for target, (reader, _) in pipes.items()}, ring)
        for reader, _ in pipes.values():
            os.close(reader)
        self._ring, self._copier = ring, copier
        ends = {number: writer for number, (_, writer) in pipes.items()}
        self.stdout, self.stderr = ends.get(1), ends[1] if together else ends.get(2)

    def started(self) -> None:
        """The command has its ends of the pipes, or was not started: ours are closed, so that it ends when all do."""
        for end in {self.stdout, self.stderr} - {None}:
            os.close(end)  # type: ignore[arg-type]
        self.stdout = self.stderr = None

    def end(self) -> str:
        """What was written last, once it has been copied. What a program left behind writes is not waited for."""
        if self._ring is None:
            return ""
        began = still = time.monotonic()
        count = self._count()
        while time.monotonic() - began < _PATIENCE and time.monotonic() - still < _STILL:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self._copier, os.WNOHANG)[0]:
                    break
            time.sleep(0.001)
            if self._count() != count:
                count, still = self._count(), time.monotonic()
        return _text(self._ring)

    def _count(self) -> int:
        return int.from_bytes(self._ring[:_COUNT], "little") if self._ring else 0


@contextmanager
def output_tail(is_kept: bool) -> Iterator[OutputTail]:
    """Copy what a command writes from here on, until all who write have ended."""
    tail = OutputTail()
    if is_kept:
        tail.begin()
    try:
        yield tail
    finally:
        tail.started()


def visible(output: str) -> str:
    """What a person sees of an output: no colours, of progress bars the last state, and no rest of a private key."""
    lines = (line.rstrip("\r").rpartition("\r")[2].rstrip() for line in _SEQUENCES.sub("", output).split("\n"))
    return _CUT_KEY.sub("***", "\n".join(line.expandtabs(4) for line in lines if line.strip()))


def last_lines(text: str) -> tuple[str, ...]:
    """The last lines of a text for a record."""
    kept: list[str] = []
    room = BYTES_MOST
    for line in reversed(text.split("\n")[-LINES_MOST:] if text else []):
        shown = line if len(line) <= LINE_MOST else f"{line[: LINE_MOST - 1]}…"
        room -= len(shown.encode(errors="replace")) + 1
        if room < 0:
            break
        kept.append(shown)
    return tuple(reversed(kept))


def error_in(lines: Sequence[str]) -> str | None:
    """The exception that a Python program ended with, `ValueError: wrong shape`; or such a line of another program."""
    if _TRACEBACK in lines:
        start = len(lines) - list(reversed(lines)).index(_TRACEBACK)
        return next((line for line in lines[start:] if not line[:1].isspace()), None)
    return next((line for line in reversed(lines) if _ERROR.fullmatch(line)), None)


def _may_be_copied(number: int) -> bool:
    try:
        return not os.isatty(number) and os.fstat(number) is not None
    except OSError:
        return False


def _copy(targets: dict[int, int], ring: mmap.mmap) -> None:
    """Copy until nobody writes any more; this process does nothing else, and ends here."""
    try:
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_IGN)
        # Ends of the pipes, and locks: they are released when ciplug ends.
        for number in _open_files() - targets.keys() - {0, 1, 2}:
            with contextlib.suppress(OSError):
                os.close(number)
        while targets:
            for reader in select.select(list(targets), [], [])[0]:
                data = os.read(reader, 64 * 1024)
                if not data or not _written(targets[reader], data):
                    os.close(reader)
                    del targets[reader]
                _keep(ring, data)
    finally:
        os._exit(0)


def _open_files() -> set[int]:
    """The numbers of the files that this process has open. Their limit may be a thousand million: they are listed."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return {int(one.name) for one in Path(folder).iterdir() if one.name.isdecimal()}
    return set(range(1024))


def _written(target: int, data: bytes) -> bool:
    """Whether all of it could be written."""
    while data:
        try:
            data = data[os.write(target, data) :]
        except BlockingIOError:
            select.select([], [target], [])
        except OSError:
            return False
    return True


def _keep(ring: mmap.mmap, data: bytes) -> None:
    count = int.from_bytes(ring[:_COUNT], "little")
    for start in range(max(0, len(data) - _SIZE), len(data), 4096):
        part = data[start : start + 4096]
        at = (count + start) % _SIZE
        first = part[: _SIZE - at]
        ring[_COUNT + at : _COUNT + at + len(first)] = first
        if rest := part[len(first) :]:
            ring[_COUNT : _COUNT + len(rest)] = rest
    ring[:_COUNT] = (count + len(data)).to_bytes(_COUNT, "little")


def _text(ring: mmap.mmap) -> str:
    """What is kept, from the first whole line on: half a line may have a value whose name is lost."""
    count = int.from_bytes(ring[:_COUNT], "little")
    kept = ring[_COUNT:]
    if count <= _SIZE:
        return kept[:count].decode(errors="replace")
    at = count % _SIZE
    return (kept[at:] + kept[:at]).decode(errors="replace").partition("\n")[2]
