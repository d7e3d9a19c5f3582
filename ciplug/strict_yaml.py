"""YAML as people mean it: no aliases, no duplicate keys, keys are text, 1e-3 is a number; lines are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ciplug.errors import CiplugError, InputError

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1024 * 1024
"""As objects of Python, up to 250 times that."""
MAX_DEPTH = 32
# YAML 1.1 takes these for text, since it wants a dot and a sign.
_FLOAT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\Z")
# YAML 1.1 takes 010 for 8.
_ZEROS = re.compile(r"[-+]?0\d+\Z")

Path = tuple[str | int, ...]
UNREADABLE = object()
"""The placeholder in the data for a value that has a problem of its own."""


class Problem(NamedTuple):
    """The reason why a text, or a part of it, cannot be used."""

    line: int | None
    words: str
    path: Path | None = None
    """The path of the value, if it is a single one."""

    def __str__(self) -> str:
        return f"{self.line}: {self.words}" if self.line else f" {self.words}"


@dataclass(frozen=True)
class Document:
    """The content of a YAML text, and the line (1-based) of each key."""

    data: Any
    lines: Mapping[Path, int]
    problems: Sequence[Problem] = ()
    """The problems in the order of the text. `data` is None if the whole text has one."""

    def line(self, path: Path) -> int:
        """Line of the key at `path`, or of the nearest key around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


Twice = Callable[[Sequence[Any]], Any]
"""From the values of a key that stands twice to the one that is kept in their place."""


def load(text: str, source: str, error: type[CiplugError] = InputError, twice: Twice | None = None) -> Document:
    """Parse one YAML document. Raises `error` for the first problem, naming `source` and the line.

    Args:
        twice: None: a key that stands twice is a problem.
    """
    document = read(text, twice)
    for problem in document.problems:
        raise error(f"{source}:{problem}")
    return document


def read(text: str, twice: Twice | None = None) -> Document:
    """Parse one YAML document, and collect its problems."""
    import yaml

    if len(text.encode(errors="replace")) > MAX_BYTES:
        return Document(None, {}, [Problem(None, f"larger than {MAX_BYTES // 2**20} MiB")])
    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = kind(text)
    builder = _Builder(loader, twice)
    try:
        if unsafe := _unsafe_shape(yaml.parse(text, kind)):
            return Document(None, {}, [unsafe])
        root = loader.get_single_node()
        data = None if root is None else builder.value(root, ())
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        return _invalid(
            _line_in(text, mark.line) if mark else None, _tab(text, mark) or problem.problem or problem.context
        )
    except (yaml.YAMLError, RecursionError) as problem:
        return _invalid(None, problem)
    finally:
        loader.dispose()
    return Document(data, builder.lines, builder.problems)


def _line_in(text: str, line: int) -> int:
    """The number of a line, from 1, that the text has: the mark of a text that ends too early is beyond its end."""
    return min(line + 1, max(1, len(text.splitlines())))


def _invalid(line: int | None, why: object) -> Document:
    return Document(None, {}, [Problem(line, f"not valid YAML: {why}")])


def _tab(text: str, mark: yaml.Mark | None) -> str | None:
    """Advice about a tab, which YAML takes for indentation, at the place of a mistake."""
    lines = text.splitlines()
    indented = mark and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]
    return "a tab is used for indentation: use spaces" if indented else None


def _unsafe_shape(events: Iterable[yaml.Event]) -> Problem | None:
    """Refuse aliases and deep nesting before nodes are made: the C loader makes them by recursion without a limit."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            return Problem(_line_of(event), "aliases (*name) are not supported: write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                return Problem(_line_of(event), f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _line_of(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


class _Builder:
    def __init__(self, loader: yaml.SafeLoader, twice: Twice | None) -> None:
        self._loader = loader
        self._twice = twice
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []

    def _fail(self, node: yaml.Node, words: str, path: Path | None = None) -> None:
        self.problems.append(Problem(node.start_mark.line + 1, words, path))

    def value(self, node: yaml.Node, path: Path) -> Any:
        import yaml

        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(inner, (*path, number)) for number, inner in enumerate(node.value)]
        data: dict[str, Any] = {}
        repeated: dict[str, list[Any]] = {}
        for key, inner in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fail(key, "a key must be plain text")
                continue
            at = (*path, str(key.value))
            if key.value in data and self._twice is not None:
                repeated.setdefault(key.value, [data[key.value]]).append(self.value(inner, at))
                self.lines[at] = key.start_mark.line + 1
                continue
            if key.value in data:
                self._fail(key, f"duplicate key '{key.value}', first on line {self.lines[at]}")
                continue
            self.lines[at] = key.start_mark.line + 1
            data[str(key.value)] = self.value(inner, at)
        if self._twice is not None:
            data |= {name: self._twice(values) for name, values in repeated.items()}
        return data

    def _item(self, node: yaml.Node, path: Path) -> Any:
        self.lines[path] = node.start_mark.line + 1
        return self.value(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        import yaml

        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind == "str" and not node.style and _FLOAT.match(node.value):
            return float(node.value)
        if kind in ("int", "float") and ":" in node.value:
            return str(node.value)  # YAML 1.1 takes 1:30 for 90
        try:
            if kind == "int" and _ZEROS.match(node.value):
                return int(node.value)
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError) as problem:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            strange = isinstance(problem, yaml.constructor.ConstructorError)
            why = f"the tag '{tag}' is not supported" if strange else f"'{node.value[:60]}' cannot be read: {problem}"
            self._fail(node, f"{'.'.join(map(str, path))}: {why}", path)
            return UNREADABLE
