"""MLflow's search over runs: its conditions and orders over the catalog's columns, with what is only on this machine.

It differs from `ciplug runs --where`: parameters compare as text, a name that no run has is an empty answer, of equals
the lower id comes first, and an order puts numbers before NaN before nothing, in both directions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
        self._own = [run for id_, one in local.items() if (run := _own_state(base, id_, one, local)) is not None]
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
        arranged = self._arranged(rows, orders)
        end = None if limit is None else offset + limit
        page = arranged[offset:end]
        return Page(self._states(page), end is not None and len(arranged) > end)

    def _of_experiments(self, experiments: set[str], gone: set[str], stages: set[str]) -> list[int]:
        rows = self._base.rows
        deleted = {rows.row_of[one] for one in self._base.deleted_runs() if one in rows.row_of}
        both = stages >= {"active", "deleted"}
        found = []
        for row in self._base.newest_first():
            if row in self._masked or rows.experiments[row] not in experiments:
                continue
            if both or ("deleted" if row in deleted or rows.experiments[row] in gone else "active") in stages:
                found.append(row)
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
        return [row for row in rows if row in values and values[row] is not None and passes(values[row])]

    def _arranged(self, rows: list[int], orders: Sequence[Order]) -> list[int]:
        own = any(row >= self._count for row in rows)
        if own:
            # The catalog's rows are in order already; those of this machine have to be put among them.
            ids, starts = self._values("attribute", "run_id"), self._values("attribute", "start_time")
            rows.sort(key=lambda row: ids[row])
            rows.sort(key=lambda row: starts.get(row) or 0, reverse=True)
        for order in reversed(orders):
            values = self._values(order.kind, order.name)
            if order.kind == "metric":
                numbers = [row for row in rows if row in values and values[row] == values[row]]
                undefined = [row for row in rows if row in values and values[row] != values[row]]
            else:
                numbers = [row for row in rows if values.get(row) is not None]
                undefined = []
            known = {*numbers, *undefined}
            absent = [row for row in rows if row not in known]
            numbers.sort(key=lambda row, values=values: values[row], reverse=not order.ascending)  # type: ignore[misc]
            rows = [*numbers, *undefined, *absent]
        return rows

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


def _own_state(base: Base, id_: str, one: Local, local: Mapping[str, Local]) -> RunState | None:
    """Return a run of which this machine knows more than the catalog; None for what is not a run."""
    if one.begun is None and not one.objects and not one.sessions:
        return None
    return base.run(id_, one)


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
