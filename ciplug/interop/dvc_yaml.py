"""dvc.yaml, dvc.lock and .dvc files as data. Unlike our own files they may have aliases, up to a size of all of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ciplug.errors import InputError

if TYPE_CHECKING:
    import yaml

_BYTES_MOST = 16 * 1024 * 1024
_VALUES_MOST = 500_000
"""Values, once every alias stands for what it names."""
_DEPTH_MOST = 32


def load(data: bytes, where: str) -> Any:
    """Return the content of a document, of JSON's own types: a moment is text, a set is a list.

    Raises InputError, with `where`, for what is not YAML or too large.
    """
    import yaml

    if len(data) > _BYTES_MOST:
        raise InputError(f"{where}: larger than {_BYTES_MOST // 2**20} MiB")
    kind: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if too_much := _excess(yaml.parse(data, kind)):
            raise InputError(f"{where}: {too_much}")
        loader = kind(data)
        try:
            return _plain(loader.get_single_data())
        finally:
            loader.dispose()
    except (
        yaml.YAMLError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as problem:
        # PyYAML raises anything for a value that is not of the type that its tag says.

        mark = getattr(problem, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: not YAML: {getattr(problem, 'problem', None) or problem}") from None


def _excess(events: Iterable[yaml.Event]) -> str | None:
    """Why a document is not loaded: each alias counts as all that it stands for, and a merge copies it."""
    import yaml

    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = [(None, 0)]

    def count(size: int) -> None:
        anchor, before = open_[-1]
        open_[-1] = anchor, before + size

    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                return f"the alias '{event.anchor}' stands within what it names"
            count(sizes[event.anchor])
        elif isinstance(event, yaml.ScalarEvent):
            count(1)
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(open_) > _DEPTH_MOST:
                return f"nested deeper than {_DEPTH_MOST} levels"
            open_.append((event.anchor, 0))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_.pop()
            if anchor:
                sizes[anchor] = size + 1
            count(size + 1)
        if open_[-1][1] > _VALUES_MOST:
            return f"more than {_VALUES_MOST:,} values"
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(_plain(name)): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, set):
        return sorted(str(_plain(one)) for one in value)
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (str, int, float, type(None))) else value.isoformat()
