"""Find ciplug.yaml and read its text."""

from __future__ import annotations

from pathlib import Path

from ciplug.config import reading
from ciplug.config.settings import FILE, Config
from ciplug.errors import ConfigError
from ciplug.strict_yaml import MAX_BYTES


def find(start: Path, top: Path | None) -> Path | None:
    """The nearest ciplug.yaml from `start` upwards, not beyond `top` (the repository's)."""
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder / FILE
        if top is None or folder == top:
            return None
    return None


def load(path: Path, further: reading.Check = reading.no_mistakes) -> Config:
    """Read a configuration file, and what it extends. Raises ConfigError naming file, line and key.

    Args:
        further: finds mistakes in the settings that this package cannot see; paths begin at the top of the file.
    """
    return reading.parse(_text(path), path, _reader(path), "", further)


def parse(text: str, path: Path, read: reading.Reader | None = None, origin: str = "") -> Config:
    """Like `load`, of a text that is in hand, without further checks.

    Args:
        read: reads the files that it extends, by their path; from disk if None.
        origin: where the text is from, to precede the names of files in errors.
    """
    return reading.parse(text, path, read or _reader(path), origin)


def _reader(path: Path) -> reading.Reader:
    """Read the files that `path` extends, from its repository alone: who may push a branch writes their names."""
    top = next((folder for folder in path.absolute().parents if (folder / ".git").exists()), None)

    def read(name: str) -> str:
        if top and not Path(name).resolve().is_relative_to(top.resolve()):
            raise ConfigError(f"{name} is not in the repository", hint="copy it into the repository")
        return _text(Path(name))

    return read


def _text(path: Path) -> str:
    """The text of a file: no more of it is read than a configuration may have."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        # What is too long is refused as such, whatever its last byte is.
        text = data.decode("utf-8", "strict" if len(data) <= MAX_BYTES else "replace")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", hint="name another with --config") from None
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: this line is not UTF-8", hint="save the file as UTF-8") from None
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read: {problem.strerror}") from None
    except ValueError as problem:  # A path with a null byte.
        raise ConfigError(f"{path}: cannot be read: {problem}") from None
