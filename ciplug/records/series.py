"""Step series of a run as compact bytes: lossless, versioned, and safe to read from a stranger.

One JSON line says which metrics there are; one zlib stream holds their columns, each of them
little-endian, 8 bytes a point, with byte 0 of all points first, then byte 1, … ("byte shuffle"): the bytes
that hardly change stand together, and deflate makes them vanish. Steps are kept as differences.
"""

from __future__ import annotations

import array
import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ciplug.errors import RecordError
from ciplug.records import canonical

FORMAT = "ciplug-series"
VERSION = 1
MAX_HEADER_BYTES = 4 * 1024 * 1024
MAX_METRICS = 10_000
MAX_POINTS = 5_000_000
"""The limit for all series of a run together: at most 120 MB once unpacked."""

_WIDTH = 8
_WRAP = 1 << 64


@dataclass(frozen=True)
class Series:
    """The points of one metric in the order in which they were logged.

    `steps` fit into 64 bits and need not rise; `values` may be NaN or infinite; `times` are Unix seconds.
    All are of one length, else ValueError.
    """

    steps: tuple[int, ...]
    values: tuple[float, ...]
    times: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.steps), len(self.values), len(self.values if self.times is None else self.times)}
        if len(lengths) != 1:
            raise ValueError(f"steps, values and times of a series differ in length: {sorted(lengths)}")


def merge(parts: Sequence[Mapping[str, Series]]) -> dict[str, Series]:
    """Series of several parts as one: the points of a metric by step, those of one step in the order of the parts.

    A point that stands in several parts is taken once. Times are kept where every part has them.
    """
    if len(parts) == 1:
        return dict(parts[0])
    named: dict[str, list[Series]] = {}
    for part in parts:
        for name, series in part.items():
            named.setdefault(name, []).append(series)
    return {name: several[0] if len(several) == 1 else _joined(several) for name, several in named.items()}


def _joined(parts: Sequence[Series]) -> Series:
    timed = all(part.times is not None for part in parts)
    points: dict[tuple[int, str, float | None], float] = {}
    for part in parts:
        times = part.times if timed and part.times is not None else [None] * len(part.steps)
        for step, value, time in zip(part.steps, part.values, times, strict=True):
            points.setdefault((step, repr(value), time), value)  # as text, NaN equals NaN
    ordered = sorted(points.items(), key=lambda point: point[0][0])
    times_of = tuple(time for (_, _, time), _ in ordered if time is not None)
    return Series(tuple(p[0][0] for p in ordered), tuple(value for _, value in ordered), times_of if timed else None)


def encode(series: Mapping[str, Series]) -> bytes:
    """Return the container's content. Raises RecordError for too many points, or a step beyond 64 bits."""
    _check_size(len(series), sum(len(s.steps) for s in series.values()), "the series of this run")
    metrics = []
    columns = []
    for name, one in sorted(series.items()):
        metrics.append({"name": name, "points": len(one.steps), "times": one.times is not None})
        try:
            columns.append(_pack(array.array("Q", _differences(one.steps))))
        except OverflowError:
            raise RecordError(f"metric {name!r}: a step does not fit into 64 bits") from None
        columns.append(_pack(array.array("d", one.values)))
        if one.times is not None:
            columns.append(_pack(array.array("d", one.times)))
    header = canonical.dumps({"format": FORMAT, "version": VERSION, "metrics": metrics})
    return header + zlib.compress(b"".join(columns), 9)


def decode(data: bytes, key: str = "series") -> dict[str, Series]:
    """Return the series by metric. Raises RecordError, naming `key`, for content that `encode` would not write."""
    metrics, body = _open(data, key)
    result = {}
    at = 0
    for name, points, times in metrics:
        width = points * _WIDTH
        columns = [body[at + i * width : at + (i + 1) * width] for i in range(3 if times else 2)]
        at += width * len(columns)
        steps = tuple(_sums(_unpack("Q", columns[0])))
        values, *rest = (tuple(_unpack("d", c)) for c in columns[1:])
        result[name] = Series(steps, values, rest[0] if rest else None)
    return result


def check(data: bytes, key: str = "series") -> list[str]:
    """Make all checks of `decode` at less cost, and return the names of the metrics. Raises RecordError."""
    return [name for name, _, _ in _open(data, key)[0]]


def _open(data: bytes, key: str) -> tuple[list[tuple[str, int, bool]], bytes]:
    """Return the header's metrics and their columns."""
    end = data.find(b"\n", 0, MAX_HEADER_BYTES)
    metrics = _header(data[: max(end, 0)], key)
    size = sum(points * _WIDTH * (3 if times else 2) for _, points, times in metrics)
    return metrics, _inflate(memoryview(data)[end + 1 :], size, key)


def _header(line: bytes, key: str) -> list[tuple[str, int, bool]]:
    """Name, number of points and presence of times, metric by metric."""
    try:
        header: Any = json.loads(line)
        if header["format"] != FORMAT:
            raise ValueError
        version = header["version"]
        if version == VERSION:
            metrics = [(m["name"], m["points"], m["times"]) for m in header["metrics"]]
            if not all(type(n) is str and type(p) is int and p >= 0 and type(t) is bool for n, p, t in metrics):
                raise ValueError
            if len({name for name, _, _ in metrics}) != len(metrics):
                raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RecordError(f"{key}: not a series record of ciplug, or a damaged one") from None
    if version != VERSION:
        raise RecordError(
            f"{key}: series of format version {version!r}, this ciplug reads version {VERSION}",
            hint="upgrade ciplug",
        )
    _check_size(len(metrics), sum(points for _, points, _ in metrics), key)
    return metrics


def _check_size(metrics: int, points: int, what: str) -> None:
    if metrics > MAX_METRICS or points > MAX_POINTS:
        raise RecordError(
            f"{what}: {metrics:,} metrics with {points:,} points in all;"
            f" the most is {MAX_METRICS:,} metrics and {MAX_POINTS:,} points",
            hint="log less often: every epoch, or every hundredth step",
        )


def _inflate(data: memoryview, size: int, key: str) -> bytes:
    """Unpack exactly `size` bytes, and never more than one beyond that."""
    stream = zlib.decompressobj()
    try:
        body = stream.decompress(data, size + 1)
    except zlib.error:
        body = b""
    if len(body) != size or not stream.eof or stream.unused_data:
        raise RecordError(f"{key}: the series are damaged: their bytes do not match their header")
    return body


def _pack(column: array.array[Any]) -> bytes:
    if sys.byteorder == "big":
        column.byteswap()
    raw = column.tobytes()
    return b"".join(raw[i::_WIDTH] for i in range(_WIDTH))


def _unpack(kind: str, planes: bytes) -> array.array[Any]:
    raw = bytearray(len(planes))
    points = len(planes) // _WIDTH
    for i in range(_WIDTH):
        raw[i::_WIDTH] = planes[i * points : (i + 1) * points]
    column = array.array(kind, bytes(raw))
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _differences(steps: Iterable[int]) -> Iterator[int]:
    """Each step less the one before it, modulo 2⁶⁴, so that no difference overflows."""
    before = 0
    for step in steps:
        if not -_WRAP // 2 <= step < _WRAP // 2:
            raise OverflowError
        yield (step - before) % _WRAP
        before = step


def _sums(differences: Iterable[int]) -> Iterator[int]:
    step = 0
    for difference in differences:
        step = (step + difference + _WRAP // 2) % _WRAP - _WRAP // 2
        yield step
