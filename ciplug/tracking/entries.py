"""Single runs, built from columns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ciplug.errors import RecordError
from ciplug.records import read
from ciplug.records.changes import Changes, Standing
from ciplug.records.columns import Columns, Sparse
from ciplug.records.keys import misplaced
from ciplug.records.run_evidence import replaced_metrics
from ciplug.tracking.query import LIFECYCLE, Key, Kind


@dataclass(frozen=True)
class Entry:
    """One run as amended, as far as the columns have it."""

    key: str
    attributes: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    standing: Standing = "active"
    replaced: frozenset[str] = frozenset()
    """Metrics to which an amendment gave another value than they had: what `metrics` shows decides nothing."""

    @property
    def id(self) -> str:
        return self.attributes["id"]

    @property
    def state(self) -> str:
        """`active`, `withdrawn` or `deleted`."""
        return self.attributes[LIFECYCLE.name]

    def get(self, key: Key) -> Any:
        """The value of a key, None where this run has none."""
        kinds: dict[Kind, Mapping[str, Any]] = {
            "metric": self.metrics,
            "param": self.params,
            "tag": self.tags,
            "attribute": self.attributes,
            "dataset": {},
        }
        return kinds[key.kind].get(key.name)


def sparse(columns: Columns, kind: Kind) -> Mapping[str, Sparse]:
    """Name → column, of one kind."""
    if kind == "attribute":
        every = list(range(len(columns)))
        return {name: Sparse(every, list(values)) for name, values in columns.attributes.items()}
    return {"metric": columns.metrics, "param": columns.params, "tag": columns.tags, "dataset": columns.datasets}[kind]


def entry_at(columns: Columns, row: int) -> Entry:
    """Return the recorded facts of the run in a row."""

    def at(kind: Mapping[str, Sparse]) -> dict[str, Any]:
        places = {name: bisect_left(cell.rows, row) for name, cell in kind.items()}
        return {
            name: cell.values[places[name]]
            for name, cell in kind.items()
            if places[name] < len(cell.rows) and cell.rows[places[name]] == row
        }

    attributes = {name: value for name, values in columns.attributes.items() if (value := values[row]) is not None}
    return Entry(columns.keys[row], attributes, at(columns.metrics), at(columns.params), at(columns.tags))


def as_amended(entry: Entry, changes: Changes) -> Entry:
    """The entry with what was changed since."""
    late = changes.late
    later = {"name": late.name, "status": late.status, "ended": late.ended, LIFECYCLE.name: changes.effective}
    return replace(
        entry,
        attributes={**entry.attributes, **{name: value for name, value in later.items() if value is not None}},
        metrics={**entry.metrics, **late.metrics},
        params={**late.params, **entry.params},
        tags={**{name: value for name, value in entry.tags.items() if name not in late.untag}, **late.tags},
        standing=changes.standing,
        replaced=frozenset(replaced_metrics(entry.metrics, changes.amendments)),
    )


def why_unread(data: bytes, key: str) -> str:
    """Return why a record without columns is not the record of a run."""
    try:
        read.run(data, key)
    except RecordError as problem:
        return f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    return f"{key}: not the record of a run"


def why_misplaced(entry: Entry) -> str | None:
    """Return why the entry does not belong under its key; None if it does."""
    return misplaced(entry.key, entry.attributes.get("commit"), entry.attributes.get("id", ""))
