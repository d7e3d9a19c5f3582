"""Parameter files that a training reads or leaves behind, or a folder of DVCLive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ciplug.capture.metric_collector import MAX_NAME, check_count
from ciplug.capture.metric_formats import entries
from ciplug.capture.metric_shapes import Entry
from ciplug.capture.metric_values import as_text
from ciplug.capture.tables.source import Source
from ciplug.records.left_out import LeftOut
from ciplug.records.run import Scalar


class Params(NamedTuple):
    """What a file of parameters holds."""

    values: dict[str, Scalar]
    left_out: list[LeftOut]
    """Names that parameters cannot have."""


def read_params(path: Path) -> Params:
    """The parameters of a file, or of DVCLive's folder; nested names and list positions are joined by `/`.

    null becomes "None", as MLflow has it; an empty list or mapping "[]" or "{}".

    Raises InputError naming file, line and key: a file as `read_metrics` refuses it, a name that stands twice, a file
    by steps.
    """
    source = Source(path / "params.yaml" if path.is_dir() else path)
    params: dict[str, Scalar] = {}
    left: dict[str, LeftOut] = {}
    for entry in entries(source):
        if entry.step is not None:
            raise source.wrong("parameters have no steps", line=entry.line)
        for key, value in _leaves(source, entry):
            if key in params:
                raise source.wrong(f"duplicate name {key[:130]!r}", line=entry.line_of(key))
            if not key.isprintable() or len(key) > MAX_NAME:
                left[key] = LeftOut(name=key[:MAX_NAME], why="param", file=source.path.name, line=entry.line_of(key))
            else:
                params[key] = value if isinstance(value, (str, bool, int, float)) else as_text(value)
            check_count(source, len(params) + len(left))
    if not params and not left:
        raise source.wrong("holds no parameter")
    return Params(params, list(left.values()))


def _leaves(source: Source, entry: Entry) -> Iterator[tuple[str, Any]]:
    """Flattened names, positions of lists among them, and their values."""
    seen = set()

    def walk(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
        inner: Iterable[tuple[object, Any]] | None = None
        if isinstance(value, dict):
            inner = value.items()
        elif isinstance(value, list):
            inner = enumerate(value)
        if inner is not None and (value or not prefix):
            for name, child in inner:
                if not str(name).strip() and isinstance(child, (dict, list)):
                    raise source.wrong("an empty name", column=prefix or None, line=entry.line_of(f"{prefix}/{name}"))
                yield from walk(f"{prefix}/{name}" if prefix else str(name), child)
            return
        if prefix in seen:
            what = f"duplicate name {prefix[:130]!r}, once nested names are joined"
            raise source.wrong(what, line=entry.line_of(prefix))
        seen.add(prefix)
        yield prefix, value

    yield from walk("", dict(entry.values))
