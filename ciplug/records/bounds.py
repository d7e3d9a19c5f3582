"""Bounds on JSON that others have written, checked on its bytes: as objects of Python it may take 200 times as much."""

from __future__ import annotations

from ciplug.errors import RecordError

CONTAINERS_MOST = 100_000
"""Lists and objects in one record: a run has one for each metric with steps, and few besides."""
VALUES_MOST = 2_000_000


def check(data: bytes, where: str) -> None:
    """Raise RecordError for JSON with more lists, objects or values than any record has.

    Brackets and commas within texts count, too: a bound on the work must not need a parser.
    """
    containers = data.count(b"[") + data.count(b"{")
    if containers > CONTAINERS_MOST:
        raise RecordError(f"{where}: {containers:,} lists and objects; a record has at most {CONTAINERS_MOST:,}")
    values = data.count(b",") + 1
    if values > VALUES_MOST:
        raise RecordError(f"{where}: {values:,} values; a record has at most {VALUES_MOST:,}")
