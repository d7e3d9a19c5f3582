"""The examples of one evaluation: a row each, in columns; and as compact bytes that are kept beside a run.

One JSON line says which columns there are; one zlib stream holds them, texts as JSON lists, numbers as
little-endian doubles.
"""

from __future__ import annotations

import array
import json
import math
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ciplug.errors import RecordError
from ciplug.records import canonical

FORMAT = "ciplug-examples"
VERSION = 1
MAX_BYTES = 10_000_000
"""The largest size as stored."""
MAX_UNPACKED = 100_000_000
MAX_HEADER_BYTES = 4 * 1024 * 1024
LARGEST_WEIGHT = 1e12
"""A weight is at most this, and at least its inverse."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples of an evaluation, column by column, each as long as `ids`.

    Labels, predictions, slices and clusters are texts, equal where equal in kind: 1, 1.0 and "1" are the same class.
    """

    source: str
    """The file, for messages."""
    ids: Sequence[str]
    labels: Sequence[str | None] | None = None
    """The correct answers; None for a row without one, or if no row has one."""
    predictions: Sequence[str | None] | None = None
    """The answers of the model."""
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Numeric columns by name (array('d') where they come from a file): a score of each example, a probability, a
    latency. NaN where a row has no such score, ±inf where it has one that is not a number."""
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Columns to slice by; "" where a row has no value."""
    clusters: Sequence[str] | None = None
    """The cluster of each example (a user, a document); examples of one cluster are not independent."""
    weights: Sequence[float] | None = None
    """How much each example counts in a mean, above 0; None: all alike."""

    def __len__(self) -> int:
        return len(self.ids)


def means(examples: Examples) -> dict[str, float]:
    """Accuracy, and the mean of every column of numbers over the rows that have one, by their weights: metrics."""
    by_column = {}
    if examples.labels is not None and examples.predictions is not None and len(examples):
        pairs = zip(examples.labels, examples.predictions, strict=True)
        right = [math.nan if a is None else float(a == b) for a, b in pairs]
        if (accuracy := _mean(right, examples.weights)) is not None:
            by_column["accuracy"] = accuracy
    for name, column in examples.scores.items():
        if (mean := _mean(column, examples.weights)) is not None:
            by_column[name] = mean
    return by_column


def _mean(column: Sequence[float], weights: Sequence[float] | None) -> float | None:
    """The mean of the values that are there; None where none is."""
    if weights is None:
        values = [value for value in column if not math.isnan(value)]
        total = float(len(values))
    else:
        present = [(value, weight) for value, weight in zip(column, weights, strict=True) if not math.isnan(value)]
        values, total = [value * weight for value, weight in present], math.fsum(weight for _, weight in present)
    if not values:
        return None
    if not all(map(math.isfinite, values)):
        return sum(values) / total
    try:
        return math.fsum(values) / total
    except OverflowError:  # The sum is larger than any float; the mean may not be.
        return math.fsum(value / total for value in values)


def encode(examples: Examples) -> bytes:
    """Return the container's content. Raises RecordError if it is too large to be kept beside a run."""
    columns: list[dict[str, Any]] = []
    parts: list[bytes] = []

    def text(kind: str, name: str | None, column: Sequence[str | None] | None) -> None:
        if column is not None:
            parts.append(json.dumps(list(column), separators=(",", ":")).encode())
            columns.append({"kind": kind, "name": name, "bytes": len(parts[-1])})

    text("id", None, examples.ids)
    text("label", None, examples.labels)
    text("prediction", None, examples.predictions)
    text("cluster", None, examples.clusters)
    for name, values in sorted(examples.slices.items()):
        text("slice", name, values)

    def numbers(kind: str, name: str | None, column: Sequence[float]) -> None:
        packed = array.array("d", column)
        if sys.byteorder == "big":
            packed.byteswap()
        parts.append(packed.tobytes())
        columns.append({"kind": kind, "name": name, "bytes": len(parts[-1])})

    if examples.weights is not None:
        numbers("weight", None, examples.weights)
    for name, scores in sorted(examples.scores.items()):
        numbers("score", name, scores)
    about = {"format": FORMAT, "version": VERSION, "source": examples.source, "rows": len(examples)}
    data = canonical.dumps({**about, "columns": columns}) + zlib.compress(b"".join(parts), 6)
    if len(data) > MAX_BYTES or sum(map(len, parts)) > MAX_UNPACKED:
        raise RecordError(
            f"{examples.source}: {len(examples):,} examples take {len(data) / 1e6:.1f} MB, and at most "
            f"{MAX_BYTES / 1e6:.0f} MB are kept beside a run",
            hint="leave out columns that no gate looks at, or evaluate fewer examples",
        )
    return data


def decode(data: bytes, key: str = "examples") -> Examples:
    """Return the examples. Raises RecordError, naming `key`, for content that `encode` would not write."""
    end = data.find(b"\n", 0, MAX_HEADER_BYTES)
    try:
        header = json.loads(data[: max(end, 0)])
        if header["format"] != FORMAT:
            raise ValueError("another format")
        if header["version"] != VERSION:
            raise RecordError(f"{key}: version {header['version']!r} of the format is not known", hint="upgrade ciplug")
        rows, source = int(header["rows"]), str(header["source"])
        columns = [(str(c["kind"]), c["name"], int(c["bytes"])) for c in header["columns"]]
        total = sum(size for _, _, size in columns)
        if len(data) > MAX_BYTES or total > MAX_UNPACKED or any(size < 0 for _, _, size in columns):
            raise ValueError("too large")
        inflater = zlib.decompressobj()
        body = inflater.decompress(data[end + 1 :], total + 1)
        if len(body) != total or not inflater.eof or inflater.unused_data:
            raise ValueError("its length is not the one in its header")
        return _examples(source, rows, columns, body)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, zlib.error) as problem:
        raise RecordError(f"{key}: not the examples of a run: {problem}") from None


def _examples(source: str, rows: int, columns: Sequence[tuple[str, Any, int]], body: bytes) -> Examples:
    single: dict[str, list[Any]] = {}
    slices: dict[str, list[str]] = {}
    scores: dict[str, Sequence[float]] = {}
    weights: Sequence[float] | None = None
    at = 0
    for kind, name, size in columns:
        part = body[at : at + size]
        at += size
        if kind in ("score", "weight"):
            numbers = array.array("d")
            numbers.frombytes(part)
            if sys.byteorder == "big":
                numbers.byteswap()
            if kind == "weight":
                if not all(1 / LARGEST_WEIGHT <= weight <= LARGEST_WEIGHT for weight in numbers):
                    raise ValueError("a weight is not a number above 0")
                weights = numbers
            else:
                scores[str(name)] = numbers
            length = len(numbers)
        else:
            values = json.loads(part)
            optional = kind in ("label", "prediction")
            if not isinstance(values, list) or not all(isinstance(v, str) or (optional and v is None) for v in values):
                raise ValueError(f"the column '{name or kind}' is not a list of strings")
            length = len(values)
            if kind == "slice":
                slices[str(name)] = values
            else:
                single[kind] = values
        if length != rows:
            raise ValueError(f"the column '{name or kind}' has {length} of {rows} rows")
    return Examples(
        source=source,
        ids=single["id"],
        labels=single.get("label"),
        predictions=single.get("prediction"),
        clusters=single.get("cluster"),
        weights=weights,
        slices=slices,
        scores=scores,
    )
