"""The runs of the catalog, as every question of MLflow needs them: ids, experiments, and which began last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from ciplug.mlflow import state
from ciplug.records.keys import RunKey
from ciplug.tracking.query import COMMIT, KIND, MODEL, RUN_ID, STARTED, Key, comparable_time

if TYPE_CHECKING:
    from ciplug.tracking.catalog import Catalog

_EXPERIMENT_TAGS = (state.EXPERIMENT_ID, state.EXPERIMENT, state.OLD_EXPERIMENT)


@dataclass
class Rows:
    """What is known of each row of the catalog."""

    ids: Sequence[str]
    commits: Sequence[str | None]
    starts: Sequence[str]
    """When each run began, as a text that sorts by time."""
    experiments: Sequence[str]
    names: Mapping[str, str]
    """Experiment → the name that its runs state."""
    described: Sequence[RunKey] = field(default_factory=list)

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """Run → row."""
        return {id_: row for row, id_ in enumerate(self.ids)}

    @cached_property
    def _newest_first(self) -> list[int]:
        return self._sorted(range(len(self.ids)))

    def _sorted(self, rows: Sequence[int]) -> list[int]:
        arranged = sorted(rows, key=self.ids.__getitem__)
        arranged.sort(key=self.starts.__getitem__, reverse=True)
        return arranged

    def newest_first(self, rows: Sequence[int], most: int | None = None) -> list[int]:
        """Return these rows, the run that began last first, of equals the lower id; at most so many, if that is told.

        A page of a large store is found without putting all of its runs in order.
        """
        if most is not None and most < len(rows):
            floor = nlargest(most, map(self.starts.__getitem__, rows))[-1]
            return self._sorted([row for row in rows if self.starts[row] >= floor])[:most]
        if len(rows) < len(self.ids) // 4:
            return self._sorted(rows)
        wanted = set(rows)
        return [row for row in self._newest_first if row in wanted]


def read_rows(catalog: Catalog) -> Rows:
    def cells(key: Key) -> Sequence[Any]:
        """A value a row; None where there is none."""
        found = catalog.column(key)
        if len(found.rows) == len(catalog):
            return found.values
        values: list[Any] = [None] * len(catalog)
        for row, value in zip(found.rows, found.values, strict=True):
            values[row] = value
        return values

    stated = list(zip(cells(MODEL), cells(KIND), *(cells(Key("tag", name)) for name in _EXPERIMENT_TAGS), strict=True))
    experiment_of = {}
    names: dict[str, str] = {}
    for one in dict.fromkeys(stated):
        model, kind, *values = one
        tags = {name: value for name, value in zip(_EXPERIMENT_TAGS, values, strict=True) if value is not None}
        experiment_of[one], name = state.experiment_of(tags, model, kind)
        names.setdefault(experiment_of[one], name)
    return Rows(
        ids=[id_ or "" for id_ in cells(RUN_ID)],
        commits=cells(COMMIT),
        starts=[comparable_time(start or "") for start in cells(STARTED)],
        experiments=[experiment_of[one] for one in stated],
        names=names,
        described=catalog.described(),
    )
