"""Output for people: results to stdout, everything else to stderr, colour only on a terminal."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import IO, Protocol

    class Listener(Protocol):
        """Who hears what a step has to say while it works. This module is one."""

        def tell(self, notes: Iterable[Note], /) -> None: ...

        def transfer(
            self, what: str, files: int, size: int | None, /
        ) -> AbstractContextManager[Callable[[int], None]]: ...

        def progress(self, what: str, size: Callable[[], int], /) -> AbstractContextManager[Callable[[int], None]]: ...

    class ErrorText(Protocol):
        """An error for people."""

        message: str
        hint: str | None


_level = 1
_LONG = 100_000_000
"""Bytes: a step over fewer takes no time that a person would notice."""


class Note(NamedTuple):
    """A step's message for a person, for its caller to show: nothing is stopped by it."""

    message: str
    hint: str | None = None
    is_urgent: bool = False
    """Whether it is shown under --quiet, too."""
    is_detail: bool = False
    """Whether it is shown under --verbose only."""


class Nobody:
    """A listener that shows nothing: that of a program that asks for results alone."""

    def tell(self, notes: Iterable[Note], /) -> None:
        for _ in notes:
            pass

    @contextmanager
    def transfer(self, what: str, files: int, size: int | None, /) -> Iterator[Callable[[int], None]]:
        yield _ignore

    @contextmanager
    def progress(self, what: str, size: Callable[[], int], /) -> Iterator[Callable[[int], None]]:
        yield _ignore


def warning(message: str, hint: str | None = None) -> Note:
    """Return a note on something that is probably wrong."""
    return Note(f"warning: {message}", hint, is_urgent=True)


def problem_note(error: ErrorText) -> Note:
    """Return a note on an error that stopped nothing else."""
    return Note(error.message, error.hint, is_urgent=True)


def set_level(*, quiet: bool, verbose: bool) -> None:
    global _level
    _level = 0 if quiet else 2 if verbose else 1


def say(message: str) -> None:
    """A message on stderr; silent under --quiet."""
    if _level >= 1:
        _print(f"ciplug: {message}")


def detail(message: str) -> None:
    """A message for --verbose only."""
    if _level >= 2:
        _print(f"ciplug: {message}")


def complain(message: str, hint: str | None = None) -> None:
    """An error or a warning, on stderr, always."""
    _print(f"ciplug: {message}" + (f"\n  -> {hint}" if hint else ""))


def tell(notes: Iterable[Note]) -> None:
    """The notes of a step."""
    for note in notes:
        if note.is_urgent:
            complain(note.message, note.hint)
        elif note.is_detail:
            detail(note.message)
        else:
            say(note.message + (f"\n  -> {note.hint}" if note.hint else ""))


def annotate(lines: Iterable[str]) -> None:
    """Lines that the CI host reads as commands. Their words are escaped for it."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def safe(text: str) -> str:
    """The text for a log. Names in it may come from a pull request: no line of ours starts a workflow command."""
    from ciplug.ci.base import safe_log

    return safe_log(text)


def _print(text: str) -> None:
    print(safe(text), file=sys.stderr, flush=True)


def out(text: str | bytes) -> None:
    """A result on stdout, with a newline at its end. Text of a pull request in it starts no command of a CI host.

    Args:
        text: bytes are written as they are: a document, or JSON, whose own rules hold.
    """
    data = text if isinstance(text, bytes) else _safe_result(text).encode("utf-8", "replace")
    if isinstance(text, bytes) and data[:1] in (b"{", b"["):
        # JSON from a record; in the log of a CI host, ## begins a command.
        data = data.replace(b"##", b"#\\u0023")
        if not data.isascii():
            data = _json_without_controls(data)
    sys.stdout.flush()
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        sys.stdout.write(data.decode())
    else:
        stream.write(data if data.endswith(b"\n") else data + b"\n")
    sys.stdout.flush()


def _json_without_controls(data: bytes) -> bytes:
    """JSON in which characters that move a terminal, or the direction of text, are escaped: they stand in strings."""
    import re

    moving = "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
    text = data.decode("utf-8", "surrogateescape")
    return re.sub(moving, lambda match: f"\\u{ord(match[0]):04x}", text).encode("utf-8", "surrogateescape")


def _safe_result(text: str) -> str:
    """The text as `safe_log` makes it, with our own colours where they are on, and with joiners of words and emoji."""
    # Most are plain, and `ciplug --version` loads nothing more.
    if text.isascii() and text.replace("\n", "").isprintable() and "::" not in text and "##" not in text:
        return text
    import re

    from ciplug.ci.base import safe_result

    if not use_colour():
        return safe_result(text)
    return "".join(
        part if number % 2 else safe_result(part) for number, part in enumerate(re.split(r"(\x1b\[[0-9;]*m)", text))
    )


def use_colour(stream: IO[str] | None = None) -> bool:
    """Whether the stream is a terminal with colour (https://no-color.org)."""
    stream = stream or sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int | None:
    """Columns of the terminal; None if stdout is not a terminal."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _ignore(count: int) -> None:
    """Show nothing."""


@contextmanager
def transfer(what: str, files: int, size: int | None) -> Iterator[Callable[[int], None]]:
    """Show the progress of `size` bytes of files. Yields a function to call with numbers of bytes, from any thread.

    A bar on a terminal, and one line at the end. `what` is like "files sent".
    """
    import time

    began = time.monotonic()
    done: list[int] = []
    with _bar(what, size) if _level and sys.stderr.isatty() else nullcontext(_ignore) as update:

        def tell(count: int) -> None:
            done.append(count)
            update(count)

        yield tell
    seconds = time.monotonic() - began
    say(f"{what}: {files} ({sum(done) / 1e6:,.1f} MB, {seconds:.1f} s)")


@contextmanager
def progress(what: str, size: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    """Show the progress of a long step over bytes, on a terminal only: as `transfer`, and nothing at its end.

    Args:
        size: gives the number of bytes; called on a terminal only.
    """
    total = size() if _level and sys.stderr.isatty() else 0
    with _bar(what, total) if total >= _LONG else nullcontext(_ignore) as tell:
        yield tell


@contextmanager
def count(what: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Show how much of something was done, of which nobody knows how much there is; on a terminal only."""
    with _bar(what, None, f" {unit}s") if _level and sys.stderr.isatty() else nullcontext(_ignore) as tell:
        yield tell


@contextmanager
def _bar(what: str, size: int | None, unit: str = "B") -> Iterator[Callable[[int], None]]:
    """A bar on the terminal, which is gone at its end."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    # On a terminal of unknown size, tqdm would draw nothing.
    columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    with tqdm(
        total=size, desc=what, unit=unit, unit_scale=unit == "B", leave=False, file=sys.stderr, ncols=columns, nrows=24
    ) as bar:
        yield bar.update
