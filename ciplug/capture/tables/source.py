"""One input file: its bytes, its text, and errors that say where in it."""

from __future__ import annotations

import codecs
import itertools
import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from ciplug.capture.tables import limits
from ciplug.errors import InputError
from ciplug.git.lfs import FETCH_HINT, ONLY_POINTER, read_pointer

_MIB = 1024**2


@dataclass(frozen=True)
class Source:
    """A file that somebody handed us. Nothing is read before it is asked for."""

    path: Path

    @property
    def extension(self) -> str:
        """Return the extension in lower case, with its dot: ".csv"."""
        return self.path.suffix.lower()

    def wrong(
        self,
        what: str,
        *,
        column: str | None = None,
        line: int | None = None,
        row: int | None = None,
        hint: str | None = None,
    ) -> InputError:
        """The error to raise: "examples.csv:3: 'id': a text of more than 1,048,576 bytes".

        Args:
            line: of a text, counted from 1.
            row: where there are no lines, counted from 1.
        """
        parts = [f"{self.path}:{line}" if line else str(self.path)]
        if row and not line:
            parts.append(f"row {row}")
        if column:
            parts.append(repr(column[:130]))
        return InputError(": ".join([*parts, what]), hint=hint, what=what, line=line)

    @cached_property
    def size(self) -> int:
        """Bytes. Raises InputError on a file that is missing, empty, too large, not a regular file, or a pointer."""
        try:
            about = self.path.stat()
        except FileNotFoundError:
            raise self.wrong("there is no such file", hint="does the training write it, and to this path?") from None
        except (OSError, ValueError) as error:
            raise self.unreadable(error) from None
        if not stat.S_ISREG(about.st_mode):
            kind = "a folder" if stat.S_ISDIR(about.st_mode) else "not a regular file"
            raise self.wrong(f"cannot be read: it is {kind}")
        if not about.st_size:
            raise self.empty()
        if about.st_size > limits.LIMITS.file_bytes:
            raise self.too_large(limits.LIMITS.file_bytes)
        if read_pointer(self.path):
            raise self.wrong(ONLY_POINTER, hint=FETCH_HINT)
        return about.st_size

    def open(self) -> BinaryIO:
        """The file, open for reading bytes. Raises InputError as `size` does."""
        _ = self.size
        try:
            return self.path.open("rb")
        except OSError as error:
            raise self.unreadable(error) from None

    @cached_property
    def data(self) -> bytes:
        """The whole file. Raises InputError as `size` does, and above the limit for documents."""
        if self.size > limits.LIMITS.document_bytes:
            raise self.too_large(limits.LIMITS.document_bytes)
        try:
            with self.open() as file:
                return file.read(limits.LIMITS.document_bytes)
        except OSError as error:
            raise self.unreadable(error) from None

    @cached_property
    def encoding(self) -> str:
        """UTF-16 where a byte order mark says so, as Windows PowerShell writes it; otherwise UTF-8."""
        with self.open() as file:
            return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"

    @cached_property
    def text(self) -> str:
        """The whole file, decoded by its byte order mark, or as UTF-8. Raises InputError, also when blank."""
        try:
            text = self.data.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise self.not_utf8(self.data.count(b"\n", 0, error.start) + 1) from None
        if not text.strip():
            raise self.empty()
        return text

    def line_of(self, key: str) -> int | None:
        """The line of the text on which the last part of a flattened name is set, if that is on one line only."""
        lines = self.lines_of(key)
        return lines[0] if len(lines) == 1 else None

    def lines_of(self, key: str) -> list[int]:
        """Lines of the text on which the last part of a flattened name seems to be set; three at most."""
        name = re.escape(key.rpartition("/")[2])
        if not name:
            return []
        matches = re.finditer(rf"""(?<![\w.-])["']?{name}["']?\s*[:=]""", self.text)
        return [self.text.count("\n", 0, match.start()) + 1 for match in itertools.islice(matches, 3)]

    def empty(self) -> InputError:
        return self.wrong("the file is empty", hint="did the command end before it wrote the file?")

    def too_large(self, limit: int, how: str = "") -> InputError:
        hint = "write fewer rows or columns, or a sample of them"
        return self.wrong(f"larger than {limit // _MIB:,} MiB{how}", hint=hint)

    def not_utf8(self, line: int) -> InputError:
        return self.wrong("not UTF-8 text", line=line, hint="save the file as UTF-8")

    def too_deep(self, line: int | None = None, row: int | None = None) -> InputError:
        return self.wrong(f"nested in more than {limits.LIMITS.depth} levels", line=line, row=row)

    def column_twice(self, name: str, line: int | None = None) -> InputError:
        return self.wrong(f"duplicate column {name[:130]!r}", line=line)

    def unreadable(self, error: OSError | ValueError) -> InputError:
        return self.wrong(f"cannot be read: {getattr(error, 'strerror', None) or error}")
