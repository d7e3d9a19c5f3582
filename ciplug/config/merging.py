"""Combine a file with the one that it extends, before the check. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ciplug.config.kinds import Path, keys_of
from ciplug.config.policy import Policy
from ciplug.config.settings import Section

Lines = Mapping[Path, tuple[str, int]]
"""Path of a key → its file and line."""
_MERGED = {"defaults": 1, "gates": 2, "branches": 2, "stages": 2}
"""Mappings that a file shares with the one that it extends, and how deep: all else is replaced."""
_INHERITED = {*keys_of(Section), "store", "model"} - {"extends"}


class Merged(NamedTuple):
    data: dict[str, Any]
    lines: Lines


def merge(base: Merged, own: Merged, part: Path) -> Merged:
    """Lay the part of a file at `part` over the file that it extends. The lines of the rest of the file are kept."""
    taken = keys_of(Section).keys() if part else _INHERITED
    data = {key: value for key, value in base.data.items() if key in taken & _INHERITED}
    replaced = set(_lay(data, own.data))
    lines = {
        (*part, *path): line
        for path, line in base.lines.items()
        if path[0] in data and not any(path[:length] in replaced for length in range(1, 4))
    }
    return Merged(data, {**lines, **own.lines})


def _lay(data: dict[str, Any], own: Mapping[str, Any]) -> Iterator[Path]:
    """Put the keys of a file into what it inherits. Yields the paths of what they replace."""
    for key, value in own.items():
        if value is None and key != "gates" and (key in keys_of(Policy) or key in ("store", "model")):
            continue  # A key without a value says nothing.
        data[key], replaced = _laid(data.get(key), value, _MERGED.get(key, 0), (key,))
        yield from replaced


def _laid(inherited: Any, value: Any, depth: int, path: Path) -> tuple[Any, list[Path]]:
    if not depth or not isinstance(value, dict) or not isinstance(inherited, dict) or not value:
        return value, [path]
    merged, replaced = dict(inherited), []
    for name, inner in value.items():
        merged[name], below = _laid(inherited.get(name), inner, depth - 1, (*path, name))
        replaced += below
    return merged, replaced
