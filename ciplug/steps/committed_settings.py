"""Read the settings that a commit has: its ciplug.yaml, and the files that this one extends."""

from __future__ import annotations

import posixpath
from pathlib import Path

from ciplug import config as configuration
from ciplug.config import Config
from ciplug.errors import ConfigError
from ciplug.git.branch_files import Tree


def inside(path: Path, top: Path) -> Path | None:
    """The path of a file from the top of the repository; None if it is outside."""
    # The folder without its links; a file that is one itself is still the repository's.
    whole, root = path.parent.resolve() / path.name, top.resolve()
    return whole.relative_to(root) if whole.is_relative_to(root) else None


def settings_in(tree: Tree, file: Path, where: str) -> tuple[Config, str] | None:
    """Return the settings that a commit has for a file, and where: there, or in a folder above. Raises ConfigError."""
    for path in dict.fromkeys((file, *(above / configuration.FILE for above in file.parents))):
        data = tree.read(path.as_posix())
        if data is not None:
            return _parsed(tree, path, data, where), path.as_posix()
    return None


def _parsed(tree: Tree, path: Path, data: bytes, where: str) -> Config:
    def text(name: str, content: bytes | None) -> str:
        if content is None:
            raise ConfigError(f"{name}: no such file in {where}")
        try:
            return content.decode()
        except UnicodeDecodeError as problem:
            raise ConfigError(f"{name} of {where}: cannot be read: {problem}") from None

    def read(name: str) -> str:
        if posixpath.isabs(name) or name.startswith(".."):
            raise ConfigError(f"{name}: it is outside the repository, so {where} does not contain it")
        return text(name, tree.read(name))

    return configuration.parse(text(path.as_posix(), data), path, read, origin=where)
