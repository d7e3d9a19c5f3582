"""Data for pages, as script files: a page that was opened from a disk may fetch nothing, but it may load scripts.

A script calls `ciplug.push` with one record. Names that strangers choose are never the keys of an object in it, since
`__proto__` is one of JavaScript's own: columns, metrics and parameters are lists of pairs. Every text is one visible
line, and a page shows it as text.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ciplug.records.changes import Changes
from ciplug.records.columns import Columns, Sparse
from ciplug.records.keys import misplaced
from ciplug.reports import untrusted

FORMAT = 3
"""Raised when the pages read another form of data: all pieces are then written again."""
TEXT_LIMIT = 200
ATTRIBUTES = (
    *("id", "model", "status", "commit", "name", "started", "branch", "actor", "host", "parent", "seed"),
    *("dirty", "trusted", "set_aside", "kind"),
)
"""Attributes of runs that the pages show, or search in."""
_SPECIAL = str.maketrans({"<": "\\u003c", ">": "\\u003e", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def script(record: Mapping[str, Any]) -> bytes:
    """A script file with one record."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"ciplug.push({text.translate(_SPECIAL)});\n".encode("utf-8", "backslashreplace")


def parse(text: str) -> Any:
    """The record of a script file that `script` has made."""
    return json.loads(text.removeprefix("ciplug.push(").removesuffix(");\n"))


@functools.lru_cache(maxsize=100_000)
def shown(text: str) -> str:
    """A text as pages show it."""
    return untrusted.clean(text, TEXT_LIMIT)


def model_name(text: str) -> str:
    """A model's name as pages show it: a space at its ends, which older runs may have, makes it another model."""
    if text == text.strip():
        return shown(text)
    return f'"{" " * text[:1].isspace()}{shown(text)}{" " * text[-1:].isspace()}"'


def number(value: float) -> float | str:
    """A number as JSON has it: one that is not finite is a text."""
    return value if math.isfinite(value) else str(value).replace("inf", "Infinity").replace("nan", "NaN")


def runs_piece(name: str, columns: Columns) -> bytes:
    """The runs of a segment, as they were recorded.

    Args:
        name: of the piece, for `changes`.
    """
    attributes = columns.attributes
    rows = zip(columns.keys, attributes["commit"], attributes["id"], strict=True)
    return script(
        {
            "kind": "runs",
            "piece": name,
            "count": len(columns),
            "wrong": [at for at, (key, commit, run) in enumerate(rows) if misplaced(key, commit, run or "")],
            "attributes": [
                [one, _coded([_model(value) if one == "model" else _text(value) for value in attributes[one]])]
                for one in ATTRIBUTES
            ],
            "metrics": [_column(one, cell, len(columns)) for one, cell in columns.metrics.items()],
            "params": [_column(one, cell, len(columns)) for one, cell in columns.params.items()],
            "tags": [_column(one, cell, len(columns)) for one, cell in columns.tags.items()],
        }
    )


def change(changes: Changes) -> dict[str, Any]:
    """What was changed about a run since it was recorded."""
    late = changes.late
    facts: dict[str, Any] = {
        "standing": changes.standing if changes.standing != "active" else None,
        "name": _text(late.name),
        "status": late.status,
        "metrics": [[shown(one), number(value)] for one, value in late.metrics.items()],
        "params": [[shown(one), _value(value)] for one, value in late.params.items()],
        "tags": [[shown(one), shown(value)] for one, value in late.tags.items()],
        "untag": [shown(one) for one in late.untag],
    }
    return {name: value for name, value in facts.items() if value}


def _model(value: str | None) -> str | None:
    return None if value is None else model_name(value)


def _text(value: str | None) -> str | None:
    return None if value is None else shown(value)


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    return number(value) if isinstance(value, float) else value


def _column(name: str, cell: Sparse, count: int) -> list[Any]:
    """Name, rows (0: all) and values."""
    rows: Any = 0 if len(cell.rows) == count else list(cell.rows)
    return [shown(name), rows, _coded([_value(value) for value in cell.values])]


def _coded(values: Sequence[Any]) -> Any:
    """The values, or, where many are alike, the different ones and a place for each; one value may be that of all."""
    if not values:
        return []
    different = {(type(value), value): None for value in values}
    if len(different) == 1:
        return {"of": [values[0]]}
    if len(different) > len(values) // 2:
        return list(values)
    places = {one: at for at, one in enumerate(different)}
    return {"of": [value for _, value in different], "at": [places[type(value), value] for value in values]}


def pairs(items: Iterable[tuple[str, Any]]) -> list[list[Any]]:
    """Names and values, for a record."""
    return [[shown(name), _value(value)] for name, value in items]
