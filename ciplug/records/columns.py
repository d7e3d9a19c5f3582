"""Many runs as columns, and the amendments beside them: what questions over a whole store read in place of the records.

Made from the records as they stand, and leniently: a field that is missing, or of another type than is known
here, is left out, so that a newer record is seen as far as it is understood.

The encoded form names what it holds. What a newer ciplug has added is skipped, and what an older one did not know is
`lacking`: a reader who needs it makes the columns again from the records.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ciplug.errors import RecordError
from ciplug.records import bounds
from ciplug.records.amendment import parse
from ciplug.records.canonical import NOT_FINITE, dumps
from ciplug.records.keys import amended_run, is_run
from ciplug.records.read import amendment as read_amendment
from ciplug.records.run import METRIC_NAME, NO_TIME, Scalar

VERSION = 2
"""Raised only when what is there changes its meaning: new names need no new version."""
_TIMES = ("started", "ended")
FLAGS = ("dirty", "trusted", "set_aside")
"""Attributes that are 'true' or 'false'."""
ATTRIBUTES = (
    *("id", "model", "status", "commit", "name", "started", "ended", "branch", "actor", "host", "parent", "seed"),
    *("read", "kind"),
    *FLAGS,
)
READ_MOST = 32
"""Files that a run has read, of which `read` has the digests."""
DATASETS = ("name", "digest", "context")
"""What is kept of the datasets among a run's inputs: columns in which a row stands once for each dataset."""
_SCALARS: dict[str, set[type]] = {"params": {str, int, float, bool}, "tags": {str}, "datasets": {str}}


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
    datasets: dict[str, Sparse] = field(default_factory=dict)
    """Of each dataset among the inputs what `DATASETS` names; a run with several has as many rows."""
    amendments: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """Key → record, as parsed JSON, of each amendment among the objects, also of runs stored elsewhere.

    None for one that cannot be read: it may be a withdrawal.
    """
    lacking: frozenset[str] = frozenset()
    """Names of attributes that the writer's version did not know, whose values here are None; `datasets` likewise."""

    def __len__(self) -> int:
        return len(self.keys)


def of(records: Iterable[tuple[str, bytes]]) -> Columns:
    """Return the columns of the runs and amendments among these (key, record); other keys are skipped."""
    columns = Columns()
    for key, data in records:
        if amended_run(key):
            _take_amendment(columns, key, data)
        if not is_run(key):
            continue
        try:
            bounds.check(data, key)
            record = json.loads(data)
        except (ValueError, RecursionError, RecordError):
            continue
        if isinstance(record, dict) and _is_run(record):
            _take(columns, key, record)
    return columns


def _take_amendment(columns: Columns, key: str, data: bytes) -> None:
    columns.amendments[key] = None
    with contextlib.suppress(RecordError):
        read_amendment(data, key)
        columns.amendments[key] = json.loads(data)


def _is_run(record: Mapping[str, Any]) -> bool:
    named = isinstance(record.get("id"), str) and isinstance(record.get("model"), str)
    return named and all(isinstance(record.get(name, {}), dict) for name in ("metrics", "params", "tags"))


def _take(columns: Columns, key: str, record: Mapping[str, Any]) -> None:
    row = len(columns.keys)
    columns.keys.append(key)
    provenance = record.get("provenance")
    context = provenance.get("context") if isinstance(provenance, dict) else None
    nested = context if isinstance(context, dict) else {}
    origin = provenance if isinstance(provenance, dict) else {}
    flags = {
        "dirty": origin.get("dirty"),
        "trusted": nested.get("trusted", True),
        "set_aside": bool(origin.get("ignored_files")),
    }
    seed = origin.get("seed")
    for name in ATTRIBUTES:
        value = record.get(name, nested.get(name) if name in ("branch", "actor", "host") else None)
        if name == "read":
            value = _read(record.get("datasets"))
        if name == "kind":
            value = "monitor" if isinstance(record.get("monitor"), dict) else "training"
        if name in FLAGS:
            value = {True: "true", False: "false"}.get(flag) if isinstance(flag := flags[name], bool) else None
        if name == "seed":
            value = str(seed) if isinstance(seed, int) and not isinstance(seed, bool) else None
        if name in _TIMES and value == NO_TIME:
            value = None
        columns.attributes[name].append(value if isinstance(value, str) else None)
    for name, value in _items(record, "metrics"):
        number = NOT_FINITE.get(value) if isinstance(value, str) else value
        if METRIC_NAME.fullmatch(name) and isinstance(number, (int, float)) and not isinstance(number, bool):
            with contextlib.suppress(OverflowError):  # digits without end are not a float
                _put(columns.metrics, name, row, float(number))
    for name, value in _items(record, "params"):
        if isinstance(value, (str, int, float, bool)):
            _put(columns.params, name, row, value)
    for name, value in _items(record, "tags"):
        if isinstance(value, str):
            _put(columns.tags, name, row, value)
    inputs = record.get("inputs")
    for one in inputs if isinstance(inputs, list) else ():
        for name in DATASETS if isinstance(one, dict) else ():
            if isinstance(value := one.get(name), str):
                _put(columns.datasets, name, row, value)


def _read(datasets: object) -> str | None:
    """The digests of the files that a run has read, short, in one text."""
    files = (one for one in datasets if isinstance(one, dict)) if isinstance(datasets, list) else ()
    digests = [short(one["digest"]) for one in files if isinstance(one.get("digest"), str)]
    return " ".join(digests[:READ_MOST]) or None


def short(digest: str) -> str:
    """The part of a digest by which `read` has a file."""
    return digest.rpartition(":")[2][:16]


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
            "datasets": plain(columns.datasets),
            "amendments": columns.amendments,
        }
    )


def decode(data: bytes, name: str) -> Columns:
    """Read what `encode` wrote. Raises RecordError, naming `name`, for anything else; the columns can be rebuilt."""
    try:
        value: Any = json.loads(data)
        if value["version"] != VERSION:
            raise ValueError(f"version {value['version']!r:.20}, this ciplug reads {VERSION}")
        columns = Columns(keys=_of_types(value["keys"], {str}))
        every = list(range(len(columns)))
        columns.lacking = frozenset(ATTRIBUTES) - value["attributes"].keys()
        if "datasets" not in value:
            columns.lacking |= {"datasets"}
            value["datasets"] = {}
        for attribute in ATTRIBUTES:
            values = value["attributes"].get(attribute, [None] * len(columns))
            columns.attributes[attribute] = _of_types(values, {str, type(None)})
        columns.amendments = _amendments(value["amendments"])

        def sparse(kind: str) -> dict[str, Sparse]:
            cells = {}
            for key, column in value[kind].items():
                values = column["values"]
                if kind != "metrics":
                    values = _of_types(values, _SCALARS[kind])
                elif set(map(type, values)) != {float}:
                    values = [NOT_FINITE[v] if isinstance(v, str) else float(v) for v in values]
                cells[_text(key)] = Sparse(column.get("rows", every), values)
            return cells

        columns.metrics, columns.params, columns.tags = sparse("metrics"), sparse("params"), sparse("tags")
        columns.datasets = {name: column for name, column in sparse("datasets").items() if name in DATASETS}
        lengths = {len(values) for values in columns.attributes.values()}
        wrong = any(
            len(c.rows) != len(c.values)
            or not all(type(r) is int and 0 <= r < len(every) for r in (c.rows if c.rows is not every else ()))
            for kind in (columns.metrics, columns.params, columns.tags, columns.datasets)
            for c in kind.values()
        )
        if lengths != {len(columns)} or wrong:
            raise ValueError("columns of different lengths")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        raise RecordError(f"{name}: not the columns of a segment, or damaged: {problem}") from None
    return columns


def is_newer(data: bytes) -> bool:
    """Whether these are columns of a later version: only their writer knows whether they are right."""
    try:
        return int(json.loads(data)["version"]) > VERSION
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _amendments(value: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Mapping[str, Any] | None]:
    for key, record in value.items():
        if amended_run(key) is None:
            raise ValueError(f"{key!r:.80} is not the key of an amendment")
        if record is not None:
            parse(record)
    return dict(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text is expected, not {value!r:.40}")
    return value


def _of_types(values: Iterable[Any], types: set[type]) -> list[Any]:
    checked = list(values)
    if not set(map(type, checked)) <= types:
        raise TypeError("a value of another type than its column's")
    return checked
