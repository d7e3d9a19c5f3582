"""Runs as one table: a row for each run, a column for each fact, metric, parameter and tag that any of them has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class TableRow(NamedTuple):
    """A run."""

    facts: Mapping[str, Any]
    """The same names in each row."""
    metrics: Mapping[str, float]
    params: Mapping[str, Any]
    tags: Mapping[str, str]


def wide_columns(rows: Sequence[TableRow], facts: Sequence[str]) -> dict[str, list[Any]]:
    """Return column → a value for each run, None where it has none.

    The columns are the facts, then `metrics.NAME`, `params.NAME` and `tags.NAME`.
    """
    columns: dict[str, list[Any]] = {fact: [row.facts.get(fact) for row in rows] for fact in facts}
    for kind in ("metrics", "params", "tags"):
        names = sorted({name for row in rows for name in getattr(row, kind)})
        columns |= {f"{kind}.{name}": [getattr(row, kind).get(name) for row in rows] for name in names}
    return columns
