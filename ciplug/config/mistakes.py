"""The mistakes of ciplug.yaml and of what it extends, where each stands, and the error that lists them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ciplug.config.kinds import Mistake, Path
from ciplug.config.merging import Lines
from ciplug.errors import ConfigError

_SHOWN_MOST = 50
_KEY_MOST = 120


class Located(NamedTuple):
    """A mistake where it stands."""

    file: str
    line: int | None
    key: str
    words: str
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return _printable(f"{where}: {self.key}: {self.words}" if self.key else f"{where}: {self.words}")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


@dataclass
class Report:
    """What is wrong, over several files. Several ways to the same file report its mistakes once."""

    files: dict[str, None] = field(default_factory=dict)
    """In the order in which they were opened."""
    _mistakes: dict[Located, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._mistakes)

    def open(self, file: str) -> None:
        self.files[file] = None

    def add(self, *mistakes: Located) -> None:
        self._mistakes.update(dict.fromkeys(mistakes))

    def locate(self, mistakes: Iterable[Mistake], file: str, lines: Lines) -> None:
        """Add mistakes of a file, or of what it has from a file that it extends."""
        for path, words, hint in mistakes:
            at = path
            while at and at not in lines:
                at = at[:-1]
            source, line = lines.get(at, (file, 1))
            # The extended file has not the part of a model that extends it.
            key = path[2:] if source != file and path[0] == "models" else path
            self.add(Located(source, line, _dotted(key), words, hint))

    def check(self, origin: str) -> None:
        """Raise a ConfigError that lists every mistake, by file and line. `origin`: where the files are from."""
        if self._mistakes:
            order = list(self.files)
            raise _error(sorted(self._mistakes, key=lambda m: (order.index(m.file), m.line or 0)), origin)


def _dotted(path: Path) -> str:
    key = ".".join(map(str, path))
    return key if len(key) <= _KEY_MOST else f"{key[:_KEY_MOST]}…"


def _error(mistakes: list[Located], origin: str) -> ConfigError:
    prefix = f"{origin}: " if origin else ""
    if len(mistakes) == 1:
        return ConfigError(f"{prefix}{mistakes[0]}", hint=mistakes[0].hint and _printable(mistakes[0].hint))
    lines = [f"  {mistake}{f' ({_printable(mistake.hint)})' if mistake.hint else ''}" for mistake in mistakes]
    more = [f"  and {len(lines) - _SHOWN_MOST} more"] if len(lines) > _SHOWN_MOST else []
    return ConfigError("\n".join([f"{prefix}{len(mistakes)} mistakes", *lines[:_SHOWN_MOST], *more]))
