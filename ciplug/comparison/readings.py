"""Where the numbers of a model come from, beside where another branch takes them from. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import NamedTuple

Sources = Mapping[str, str]
"""Path of a file, from the repository's top → how it is read, in the words of ciplug.yaml."""
NOT_READ = "not read"


class ReadingChange(NamedTuple):
    """A file whose numbers are read in another way than before."""

    file: str
    before: str
    now: str


def sources(folder: str, files: Mapping[str, Mapping[str, object]]) -> Sources:
    """Return the files of a branch with the way in which they are read.

    Args:
        folder: the one that paths are relative to, from the repository's top.
        files: path → the keys that say how the file is read; None: not said.
    """
    return {posixpath.normpath(posixpath.join(folder, path)): _shown(keys) for path, keys in files.items()}


def changes(before: Sources, now: Sources) -> tuple[ReadingChange, ...]:
    """Return the files that are read otherwise, or on one side alone."""
    both = {path: (before.get(path, NOT_READ), now.get(path, NOT_READ)) for path in (*before, *now)}
    return tuple(ReadingChange(path, old, new) for path, (old, new) in both.items() if old != new)


def _shown(keys: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in keys.items() if value is not None) or "read by default"
