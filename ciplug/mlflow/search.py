"""MLflow's search over runs: its conditions and orders over the catalog's columns, with what is only on this machine.

It differs from `ciplug runs --where`: parameters compare as text, a name that no run has is an empty answer, of equals
the lower id comes first, and an order puts numbers before NaN before nothing, in both directions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from operator import itemgetter
from typing import Any, NamedTuple

from ciplug.mlflow.base import Base
from ciplug.mlflow.journals import Local
from ciplug.mlflow.state import RunState
from ciplug.tracking.search import like

_NUMERIC: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition(NamedTuple):
    """One condition: `kind` is metric, parameter, tag, attribute or dataset."""

    kind: str
    name: str
    comparator: str
    value: Any


class Order(NamedTuple):
    kind: str
    name: str
    ascending: bool


@dataclass(frozen=True)
class Page:
    runs: list[RunState]
    has_more: bool


class Table:
    """All runs as rows: those of the catalog, and behind them those that this machine knows better."""

    def __init__(
        self, base: Base, local: Mapping[str, Local], location: Callable[[str, str], str] = lambda experiment, run: run
    ) -> None:
        """
        Args:
            location: experiment and run → the address of the run's artifacts.
        """
        self._base = base
        self._location = location
        self._local = local
        self._count = len(base.rows.ids)
        self._own = [run for id_, one in local.items() if (run := _own_state(base, id_, one)) is not None]
        self._masked = {row for run in self._own if (row := base.rows.row_of.get(run.id)) is not None}
        self._cache: dict[tuple[str, str], Mapping[int, Any]] = {}

    def search(
        self,
        experiments: Collection[str],
        gone: Collection[str],
        stages: Collection[str],
        conditions: Sequence[Condition],
        orders: Sequence[Order],
        offset: int,
        limit: int | None,
    ) -> Page:
        """Return a page of the runs of these experiments.

        Args:
            gone: ids of deleted experiments, whose runs count as deleted.
            stages: of `active` and `deleted`, those that are wanted.
        """
        rows = self._of_experiments(set(experiments), set(gone), set(stages))
        for condition in conditions:
            rows = self._matching(rows, condition)
        end = None if limit is None else offset + limit
        # One more tells whether there is another page.
        arranged = self._newest_first(rows, None if orders or end is None else end + 1)
        for order in reversed(orders):
            arranged = self._by(order, arranged)
        page = arranged[offset:end]
        return Page(self._states(page), end is not None and len(arranged) > end)

    def _of_experiments(self, experiments: set[str], gone: set[str], stages: set[str]) -> list[int]:
        rows = self._base.rows
        found = [row for row, experiment in enumerate(rows.experiments) if experiment in experiments]
        if self._masked:
            found = [row for row in found if row not in self._masked]
        deleted = {rows.row_of[one] for one in self._base.deleted_runs() if one in rows.row_of}
        if not stages >= {"active", "deleted"} and (deleted or gone & experiments or "active" not in stages):
            found = [
                row
                for row in found
                if ("deleted" if row in deleted or rows.experiments[row] in gone else "active") in stages
            ]
        for number, run in enumerate(self._own):
            stage = "deleted" if run.deleted or run.experiment in gone else "active"
            if run.experiment in experiments and stage in stages:
                found.append(self._count + number)
        return found

    def _matching(self, rows: Iterable[int], condition: Condition) -> list[int]:
        values = self._values(condition.kind, condition.name)
        if condition.comparator == "IS NULL":
            return [row for row in rows if row not in values]
        if condition.comparator == "IS NOT NULL":
            return [row for row in rows if row in values]
        passes = holds(condition)
        if condition.kind == "dataset":
            return [row for row in rows if any(map(passes, values.get(row, ())))]
        of = values.get
        return [row for row in rows if (value := of(row)) is not None and passes(value)]

    def _newest_first(self, rows: Sequence[int], most: int | None) -> list[int]:
        """The run that began last first, of equals the lower id; at most so many."""
        known = self._base.rows
        own = [row for row in rows if row >= self._count]
        if not own:
            return known.newest_first(rows, most)
        arranged = [*known.newest_first([row for row in rows if row < self._count], most), *own]
        runs = {row: self._own[row - self._count] for row in own}
        starts = {row: _time_text(run.start) for row, run in runs.items()}
        arranged.sort(key=lambda row: runs[row].id if row in runs else known.ids[row])
        arranged.sort(key=lambda row: starts[row] if row in starts else known.starts[row], reverse=True)
        return arranged[:most]

    def _by(self, order: Order, rows: list[int]) -> list[int]:
        """Numbers before NaN before nothing, and of equals as they were."""
        of = self._values(order.kind, order.name).get
        present, undefined, absent = [], [], []
        for row in rows:
            value = of(row)
            if value is None:
                absent.append(row)
            elif value != value:
                undefined.append(row)
            else:
                present.append((value, row))
        present.sort(key=itemgetter(0), reverse=not order.ascending)
        return [*(row for _, row in present), *undefined, *absent]

    def _states(self, rows: Sequence[int]) -> list[RunState]:
        recorded = [row for row in rows if row < self._count]
        keys = {row: self._base.key_of(row) for row in recorded}
        by_id = {run.id: run for run in self._base.states(recorded, self._local)}
        found = (by_id.get(keys[row].id) if row < self._count else self._own[row - self._count] for row in rows)
        return [run for run in found if run is not None]

    def _values(self, kind: str, name: str) -> Mapping[int, Any]:
        """Row → value; of a dataset's key, a list of values."""
        key = (kind, name)
        if key not in self._cache:
            values = self._recorded(kind, name)
            found = {row: value for row, value in values.items() if row not in self._masked} if self._masked else values
            own = {
                self._count + number: value
                for number, run in enumerate(self._own)
                if (value := self._value(run, kind, name)) is not None
            }
            self._cache[key] = {**found, **own} if own else found
        return self._cache[key]

    def _recorded(self, kind: str, name: str) -> Mapping[int, Any]:
        if (kind, name) == ("attribute", "artifact_uri"):
            rows = self._base.rows
            pairs = zip(rows.experiments, rows.ids, strict=True)
            return {row: self._location(experiment, id_) for row, (experiment, id_) in enumerate(pairs)}
        return self._base.values(kind, name)

    def _value(self, run: RunState, kind: str, name: str) -> Any:
        if (kind, name) == ("attribute", "artifact_uri"):
            return self._location(run.experiment, run.id)
        return _value(run, kind, name)


def _own_state(base: Base, id_: str, one: Local) -> RunState | None:
    """Return a run of which this machine knows more than the catalog; None for what is not a run."""
    if one.begun is None and not one.objects and not one.sessions:
        return None
    return base.run(id_, one)


def _time_text(milliseconds: int | None) -> str:
    """A time as `Rows.starts` has it."""
    moment = datetime.fromtimestamp((milliseconds or 0) / 1000, timezone.utc)
    return moment.isoformat(timespec="milliseconds")[:23]


def _value(run: RunState, kind: str, name: str) -> Any:
    if kind == "metric":
        point = run.metrics.get(name)
        return None if point is None else point.value
    if kind == "parameter":
        return run.params.get(name)
    if kind == "tag":
        return run.tags.get(name)
    if kind == "dataset":
        return [value for one in run.inputs if (value := getattr(one, name, None)) is not None] or None
    attributes = {
        "run_id": run.id,
        "run_name": run.name,
        "status": run.status,
        "start_time": run.start,
        "end_time": run.end,
        "user_id": run.user,
    }
    return attributes.get(name)


def holds(condition: Condition) -> Callable[[Any], bool]:
    """Return the test of a condition on a value."""
    comparator, wanted = condition.comparator, condition.value
    if condition.kind == "metric" or condition.name in ("start_time", "end_time"):
        compare, number = _NUMERIC[comparator], float(wanted)
        return lambda value: compare(value, number)
    if comparator in ("LIKE", "ILIKE"):
        import re

        pattern = like(str(wanted), re.IGNORECASE if comparator == "ILIKE" else 0)
        return lambda value: pattern.fullmatch(str(value)) is not None
    if comparator in ("IN", "NOT IN"):
        among = frozenset(map(str, wanted))
        return lambda value: (str(value) in among) == (comparator == "IN")
    compare, text = _NUMERIC[comparator], str(wanted)
    return lambda value: compare(str(value), text)
