"""YAML as people mean it: no aliases, no duplicate keys, keys are text, 1e-3 is a number; lines are known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ciplug.errors import CiplugError, InputError

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 32
# YAML 1.1 takes these for text, since it wants a dot and a sign.
_FLOAT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\Z")
# YAML 1.1 takes 010 for 8.
_ZEROS = re.compile(r"[-+]?0\d+\Z")

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """What a YAML text says, and on which line (1-based) each key stands."""

    data: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Line of the key at `path`, or of the nearest key around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def load(text: str, source: str, error: type[CiplugError] = InputError) -> Document:
    """Parse one YAML document. Raises `error`, naming `source` and the line."""
    import yaml

    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise error(f"{source}: larger than {MAX_BYTES // 2**20} MiB")
    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = kind(text)
    try:
        _check_shape(yaml.parse(text, kind), source, error)
        root = loader.get_single_node()
        lines: dict[Path, int] = {}
        data = None if root is None else _Builder(loader, source, error, lines).value(root, ())
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise error(f"{where}: not valid YAML: {problem.problem or problem.context}") from None
    except (yaml.YAMLError, RecursionError) as problem:
        raise error(f"{source}: not valid YAML: {problem}") from None
    finally:
        loader.dispose()
    return Document(data, lines)


def _check_shape(events: Iterable[yaml.Event], source: str, error: type[CiplugError]) -> None:
    """Refuse aliases and deep nesting before nodes are made: the C loader makes them by recursion without a limit."""
    import yaml

    depth = 0
    for event in events:
        where = f"{source}:{event.start_mark.line + 1 if event.start_mark else 1}"
        if isinstance(event, yaml.AliasEvent):
            raise error(f"{where}: aliases (*name) are not taken: write the value out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise error(f"{where}: nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Builder:
    def __init__(self, loader: yaml.SafeLoader, source: str, error: type[CiplugError], lines: dict[Path, int]) -> None:
        self._loader = loader
        self._source = source
        self._error = error
        self._lines = lines

    def _fail(self, node: yaml.Node, words: str) -> CiplugError:
        return self._error(f"{self._source}:{node.start_mark.line + 1}: {words}")

    def value(self, node: yaml.Node, path: Path) -> Any:
        import yaml

        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            values = []
            for number, inner in enumerate(node.value):
                at: Path = (*path, number)
                self._lines[at] = inner.start_mark.line + 1
                values.append(self.value(inner, at))
            return values
        found: dict[str, Any] = {}
        for key, inner in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._fail(key, "a key must be plain text")
            name = str(key.value)
            at = (*path, name)
            if name in found:
                raise self._fail(key, f"the key '{name}' stands twice, first on line {self._lines[at]}")
            self._lines[at] = key.start_mark.line + 1
            found[name] = self.value(inner, at)
        return found

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
            raise self._fail(node, f"{'.'.join(map(str, path))}: {getattr(problem, 'problem', problem)}") from None
