"""Many runs as columns: what questions over a whole store read in place of the records.

Made from the records as they stand, and leniently: a field that is missing, or of another type than is known
here, is left out, so that a newer record is seen as far as it is understood.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ciplug.errors import RecordError
from ciplug.records.canonical import dumps
from ciplug.records.keys import is_run
from ciplug.records.run import METRIC_NAME, Scalar

VERSION = 1
ATTRIBUTES = ("id", "model", "status", "commit", "name", "started", "ended", "branch", "actor", "host")
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SCALARS: dict[str, set[type]] = {"params": {str, int, float, bool}, "tags": {str}}


@dataclass
class Sparse:
    """One column: `values[i]` belongs to the run in row `rows[i]`; rows rise."""

    rows: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


@dataclass
class Columns:
    """Runs in the order of `keys`. Attributes have a value for each (None: unknown), the rest are sparse."""

    keys: list[str] = field(default_factory=list)
    attributes: dict[str, list[str | None]] = field(default_factory=lambda: {name: [] for name in ATTRIBUTES})
    metrics: dict[str, Sparse] = field(default_factory=dict)
    """Values are floats; NaN and infinities are among them."""
    params: dict[str, Sparse] = field(default_factory=dict)
    tags: dict[str, Sparse] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)


def of(records: Iterable[tuple[str, bytes]]) -> Columns:
    """The columns of the runs among these (key, record); what is no run, or no JSON, is passed over."""
    columns = Columns()
    for key, data in records:
        if not is_run(key):
            continue
        try:
            record = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and _is_run(record):
            _take(columns, key, record)
    return columns


def _is_run(record: Mapping[str, Any]) -> bool:
    named = isinstance(record.get("id"), str) and isinstance(record.get("model"), str)
    return named and all(isinstance(record.get(name, {}), dict) for name in ("metrics", "params", "tags"))


def _take(columns: Columns, key: str, record: Mapping[str, Any]) -> None:
    row = len(columns.keys)
    columns.keys.append(key)
    provenance = record.get("provenance")
    context = provenance.get("context") if isinstance(provenance, dict) else None
    nested = context if isinstance(context, dict) else {}
    for name in ATTRIBUTES:
        value = record.get(name, nested.get(name) if name in ("branch", "actor", "host") else None)
        columns.attributes[name].append(value if isinstance(value, str) else None)
    for name, value in _items(record, "metrics"):
        number = _WORDS.get(value) if isinstance(value, str) else value
        if METRIC_NAME.fullmatch(name) and isinstance(number, (int, float)) and not isinstance(number, bool):
            with contextlib.suppress(OverflowError):  # digits without end are no float
                _put(columns.metrics, name, row, float(number))
    for name, value in _items(record, "params"):
        if isinstance(value, (str, int, float, bool)):
            _put(columns.params, name, row, value)
    for name, value in _items(record, "tags"):
        if isinstance(value, str):
            _put(columns.tags, name, row, value)


def _items(record: Mapping[str, Any], name: str) -> Iterable[tuple[str, Any]]:
    value = record.get(name)
    return value.items() if isinstance(value, dict) else ()


def _put(columns: dict[str, Sparse], name: str, row: int, value: Scalar) -> None:
    column = columns.setdefault(name, Sparse())
    column.rows.append(row)
    column.values.append(value)


def encode(columns: Columns) -> bytes:
    """Canonical JSON. Rows are left out of a column that has a value for every run."""
    every = list(range(len(columns)))

    def plain(sparse: Mapping[str, Sparse]) -> dict[str, Any]:
        return {
            name: {"values": column.values, **({} if column.rows == every else {"rows": column.rows})}
            for name, column in sparse.items()
        }

    return dumps(
        {
            "version": VERSION,
            "keys": columns.keys,
            "attributes": {name: list(values) for name, values in columns.attributes.items()},
            "metrics": plain(columns.metrics),
            "params": plain(columns.params),
            "tags": plain(columns.tags),
        }
    )


def decode(data: bytes, name: str) -> Columns:
    """What `encode` wrote. Raises RecordError, naming `name`, on anything else: it can be made anew."""
    try:
        value: Any = json.loads(data)
        if value["version"] != VERSION:
            raise ValueError(f"version {value['version']!r}")
        columns = Columns(keys=_of_types(value["keys"], {str}))
        every = list(range(len(columns)))
        for attribute in ATTRIBUTES:
            columns.attributes[attribute] = _of_types(value["attributes"][attribute], {str, type(None)})

        def sparse(kind: str) -> dict[str, Sparse]:
            found = {}
            for key, column in value[kind].items():
                values = column["values"]
                if kind != "metrics":
                    values = _of_types(values, _SCALARS[kind])
                elif set(map(type, values)) != {float}:
                    values = [_WORDS[v] if isinstance(v, str) else float(v) for v in values]
                found[_text(key)] = Sparse(column.get("rows", every), values)
            return found

        columns.metrics, columns.params, columns.tags = sparse("metrics"), sparse("params"), sparse("tags")
        lengths = {len(values) for values in columns.attributes.values()}
        wrong = any(
            len(c.rows) != len(c.values)
            or not all(type(r) is int and 0 <= r < len(every) for r in (c.rows if c.rows is not every else ()))
            for kind in (columns.metrics, columns.params, columns.tags)
            for c in kind.values()
        )
        if lengths != {len(columns)} or wrong:
            raise ValueError("columns of different lengths")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        raise RecordError(f"{name}: not the columns of a segment, or damaged: {problem}") from None
    return columns


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is expected, not {value!r:.40}")
    return value


def _of_types(values: Iterable[Any], types: set[type]) -> list[Any]:
    found = list(values)
    if not set(map(type, found)) <= types:
        raise TypeError("a value of another type than its column's")
    return found
