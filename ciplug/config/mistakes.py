"""The mistakes of ciplug.yaml and of the files that it extends, with their places, and the error that lists them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ciplug.config.kinds import Mistake, Path, Unknown
from ciplug.config.merging import Lines
from ciplug.errors import ConfigError, nearest

if TYPE_CHECKING:
    from ciplug.config.settings import Config

JUDGING = frozenset(
    {"seeds", "baseline", "defaults", "gates", "branches", "waivers", "stages", "monitor", "policy_tests"}
)
"""The keys of a model that are used only to judge runs."""
_SHOWN_MOST = 50
_KEY_MOST = 120
_REPEATED_MOST = 60


class PolicyError(ConfigError):
    """Mistakes only in keys for judging runs; `recording` has the settings for recording, which are still usable."""

    def __init__(self, message: str, recording: Config, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.recording = recording


class Located(NamedTuple):
    """A mistake and its place."""

    file: str
    line: int | None
    key: str
    words: str
    hint: str | Unknown | None = None
    judging: bool = False
    """Whether the key only matters when runs are judged."""

    @property
    def advice(self) -> str | None:
        """The hint, in words."""
        hint = self.hint
        return _printable(nearest(hint.name, list(hint.names)) if isinstance(hint, Unknown) else hint) if hint else None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return _printable(f"{where}: {self.key}: {self.words}" if self.key else f"{where}: {self.words}")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


@dataclass
class Report:
    """The mistakes of several files. Several ways to the same file report its mistakes once."""

    files: dict[str, None] = field(default_factory=dict)
    """The files in the order in which they were opened."""
    _mistakes: dict[tuple[object, ...], Located] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._mistakes)

    def open(self, file: str) -> None:
        self.files[file] = None

    def add(self, *mistakes: Located) -> None:
        self._mistakes.update({mistake[:4]: mistake for mistake in mistakes})

    def locate(self, mistakes: Iterable[Mistake], file: str, lines: Lines) -> None:
        """Add mistakes of a file, or of what it has from a file that it extends."""
        for path, words, hint, _ in mistakes:
            at = path
            while at and at not in lines:
                at = at[:-1]
            source, line = lines.get(at, (file, 1))
            # The extended file has not the part of a model that extends it.
            key = path[2:] if source != file and path[0] == "models" else path
            own = path[2:] if path[:1] == ("models",) else path
            self.add(Located(source, line, _dotted(key), words, hint, judging=bool(own) and own[0] in JUDGING))

    def check(self, origin: str, recording: Config) -> None:
        """Raise a ConfigError that lists every mistake, by file and line.

        Args:
            origin: where the files are from.
            recording: the settings that a PolicyError carries, where every mistake is in what judges runs.
        """
        if self._mistakes:
            order = list(self.files)
            mistakes = sorted(self._mistakes.values(), key=lambda m: (order.index(m.file), m.line or 0))
            error = _error(mistakes, origin)
            if all(mistake.judging for mistake in mistakes):
                raise PolicyError(error.message, recording, hint=error.hint)
            raise error


def _dotted(path: Path) -> str:
    key = ".".join(map(str, path))
    return key if len(key) <= _KEY_MOST else f"{key[:_KEY_MOST]}…"


def _error(mistakes: list[Located], origin: str) -> ConfigError:
    prefix = f"{origin}: " if origin else ""
    if len(mistakes) == 1:
        return ConfigError(f"{prefix}{mistakes[0]}", hint=mistakes[0].advice)
    files = {mistake.file for mistake in mistakes}
    where = files.pop() if len(files) == 1 else f"{len(files)} files"
    more = [f"  and {len(mistakes) - _SHOWN_MOST} more"] if len(mistakes) > _SHOWN_MOST else []
    return ConfigError("\n".join([f"{prefix}{len(mistakes)} mistakes in {where}:", *_listed(mistakes), *more]))


def _listed(mistakes: list[Located]) -> Iterator[str]:
    """A line for each mistake. A long hint is written once."""
    written = set()
    for mistake in mistakes[:_SHOWN_MOST]:
        advice = mistake.advice if mistake.advice not in written else None
        if advice and len(advice) > _REPEATED_MOST:
            written.add(advice)
        yield f"  {mistake}" + (f" ({advice})" if advice else "")
