"""Replace scalars in a hand-written YAML text; comments, order and layout stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ciplug.errors import CiplugError

if TYPE_CHECKING:
    import yaml

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class _Scalar:
    """A key or a value; the path of a key is that of what it names."""

    path: Path
    value: str
    start: int
    end: int


def replace(
    text: str, pattern: str, new: Callable[[re.Match[str]], str], *, where: Callable[[Path], bool] = lambda path: True
) -> str:
    """The text with `pattern` replaced by `new` in every key and value at a path that `where` accepts.

    The result is read back, to check that only those scalars differ.

    Raises CiplugError if nothing matches, or the result cannot be written.
    """
    before = list(_scalars(text))
    matching = [s for s in before if where(s.path) and re.search(pattern, s.value)]
    if not matching:
        raise CiplugError(f"nothing in it matches {pattern!r}")
    expected = [re.sub(pattern, new, s.value) if s in matching else s.value for s in before]
    # From the end, so that the places of the others stay.
    for scalar in sorted(matching, key=lambda s: s.start, reverse=True):
        value = re.sub(pattern, new, scalar.value)
        raw = text[scalar.start : scalar.end]
        quoted = json.dumps(value, ensure_ascii=False) + ("\n" if raw.endswith("\n") else "")
        for written in (re.sub(pattern, new, raw), quoted):
            changed = text[: scalar.start] + written + text[scalar.end :]
            try:
                if [s.value for s in _scalars(changed)][before.index(scalar)] == value:
                    break
            except (CiplugError, IndexError):
                continue
        text = changed
    if [s.value for s in _scalars(text)] != expected:
        raise CiplugError(f"it does not read back correctly after {pattern!r} is replaced")
    return text


def without_step(text: str, pattern: str) -> str:
    """The text without the item of a block list, a step, that has a value like `pattern`.

    Raises CiplugError unless there is exactly one.
    """
    items = {s.path[: _item(s.path)] for s in _scalars(text) if re.search(pattern, s.value) and _item(s.path)}
    if len(items) != 1:
        raise CiplugError(f"{len(items)} steps in it match {pattern!r}; there must be one")
    (path,) = items
    own = [s for s in _scalars(text) if s.path[: len(path)] == path]
    rest = [s.value for s in _scalars(text) if s.path[: len(path)] != path]
    first = text.rindex("\n", 0, own[0].start) + 1
    last = text.index("\n", own[-1].end - 1) + 1
    text = text[:first] + text[last:]
    if [s.value for s in _scalars(text)] != rest:
        raise CiplugError(f"it does not read back correctly without the step that matches {pattern!r}")
    return text


def _item(path: Path) -> int:
    """Length of the part of a path that leads to the innermost list item; 0 if there is none."""
    return max((place + 1 for place, step in enumerate(path) if isinstance(step, int)), default=0)


def _scalars(text: str) -> Iterator[_Scalar]:
    """Every key and value in the order of the text. Raises CiplugError if it is not YAML."""
    import yaml

    try:
        root = yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as problem:
        raise CiplugError(f"it is not valid YAML: {problem}") from None
    seen: set[int] = set()

    def walk(node: yaml.Node | None, path: Path) -> Iterator[_Scalar]:
        # An alias is the node that it stands for.
        if node is None or id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                yield from walk(key, (*path, str(key.value)))
                yield from walk(value, (*path, str(key.value)))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                yield from walk(value, (*path, number))
        else:
            yield _Scalar(path, str(node.value), node.start_mark.index, node.end_mark.index)

    yield from walk(root, ())
