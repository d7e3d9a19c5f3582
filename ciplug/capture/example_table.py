"""The rows of an evaluation on their way into columns, checked as they come."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ciplug.capture.tables import limits
from ciplug.capture.tables.source import Source
from ciplug.errors import InputError
from ciplug.records.examples import LARGEST_WEIGHT, Examples

MAX_TEXT = 1_000
"""Characters of an id, a label, a prediction or a slice that are kept; a longer one keeps its digest."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The role of each column of a table."""

    id: str = "id"
    label: str | None = "label"
    prediction: str | None = "prediction"
    cluster: str | None = None
    weight: str | None = None
    slices: tuple[str, ...] = ()
    """Columns to slice by; one that no row has is an InputError."""

    @property
    def texts(self) -> set[str]:
        """Those that are not scores."""
        named = (self.id, self.label, self.prediction, self.cluster, self.weight, *self.slices)
        return {name for name in named if name is not None}


class ExampleTable:
    """Collects rows; `examples()` returns them."""

    def __init__(self, source: Source, columns: Columns) -> None:
        self._source = source
        self._columns = columns
        self._ids: list[str] = []
        self._labels: list[str | None] = []
        self._predictions: list[str | None] = []
        self._clusters: list[str] = []
        self._weights = array("d")
        self._slices: dict[str, list[str]] = {name: [] for name in columns.slices}
        self._seen: set[str] = set()
        self._scores: dict[str, array[float]] = {}
        self._texts: set[str] = set()

    def wrong(
        self, what: str, *, line: int | None = None, row: int | None = None, hint: str | None = None
    ) -> InputError:
        return self._source.wrong(what, line=line, row=row, hint=hint)

    def add(
        self,
        *,
        id: object,
        scores: Mapping[str, Any],
        label: object = None,
        prediction: object = None,
        fields: Mapping[str, Any] | None = None,
        line: int | None = None,
    ) -> None:
        """One row. A score that is a text makes its whole column one of texts; null, "" and NaN are not numbers.

        Args:
            fields: where slices, the cluster and the weight are looked up.
            line: of the file; without it, errors name the number of the row.

        Raises InputError on a row without id or cluster, on a weight that is not above 0, and on too many rows or
        columns.
        """
        row = len(self._ids)
        name = as_text(id)
        if not name:
            hint = "every example needs one: the baseline's are joined by it"
            raise self.wrong(f"a row without '{self._columns.id}'", line=line, row=row + 1, hint=hint)
        if row == limits.LIMITS.rows:
            raise self.wrong(f"more than {limits.LIMITS.rows:,} rows")
        self._ids.append(name)
        self._labels.append(as_text(label))
        self._predictions.append(as_text(prediction))
        for column, values in self._slices.items():
            value = as_text((fields or {}).get(column))
            if value is not None:
                self._seen.add(column)
            values.append(value or "")
        if self._columns.cluster is not None:
            cluster = as_text((fields or {}).get(self._columns.cluster))
            if not cluster:
                what = f"a row without '{self._columns.cluster}', the column of its cluster"
                raise self.wrong(what, line=line, row=row + 1)
            self._clusters.append(cluster)
        if self._columns.weight is not None:
            self._weights.append(self._weight((fields or {}).get(self._columns.weight), line=line, row=row + 1))
        for column, value in scores.items():
            self._score(row, column, value)

    def _weight(self, value: object, *, line: int | None, row: int) -> float:
        column = self._columns.weight
        if value is None or value == "":
            raise self.wrong(f"a row without '{column}', the column of its weight", line=line, row=row)
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
        if not 0 < number <= LARGEST_WEIGHT or number < 1 / LARGEST_WEIGHT:
            shown = "NaN" if value != value else repr(value)[:40]
            hint = "leave out an example that is not to count" if value == 0 else None
            due = "between 1e-12 and 1e+12" if 0 < number < math.inf else "a number above 0"
            raise self.wrong(f"the weight {shown} in '{column}' is not {due}", line=line, row=row, hint=hint)
        return float(number)

    def _score(self, row: int, column: str, value: object) -> None:
        if column in self._texts:
            return
        if value is None or value == "" or value != value:
            value = math.inf
        if not isinstance(value, (int, float)):
            self._texts.add(column)
            self._scores.pop(column, None)
            return
        values = self._scores.get(column)
        if values is None:
            if len(self._scores) == limits.LIMITS.columns:
                raise self.wrong(f"more than {limits.LIMITS.columns:,} columns")
            values = self._scores[column] = array("d")
        values.extend([math.nan] * (row - len(values)))
        try:
            values.append(value)
        except OverflowError:
            values.append(math.inf if value > 0 else -math.inf)

    def examples(self) -> Examples:
        """Raises InputError when there is no row, or no row has a column to slice by."""
        if not self._ids:
            raise self.wrong("holds no example", hint="did the evaluation end before it wrote the file?")
        for column in self._columns.slices:
            if column not in self._seen:
                raise self.wrong(f"no row has a value in '{column}', a column to slice by")
        for values in self._scores.values():
            values.extend([math.nan] * (len(self._ids) - len(values)))
        return Examples(
            source=str(self._source.path),
            ids=self._ids,
            labels=_if_any(self._labels),
            predictions=_if_any(self._predictions),
            scores=self._scores,
            slices=self._slices,
            clusters=self._clusters if self._columns.cluster is not None else None,
            weights=self._weights if self._columns.weight is not None else None,
        )


def _if_any(column: list[str | None]) -> list[str | None] | None:
    return column if any(value is not None for value in column) else None


def as_text(value: object) -> str | None:
    """A class, an id or a slice as text: 1, 1.0 and "1" are equal; null and NaN are None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, (dict, list)):
        return content_id(value)
    text = str(value)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 20]}…{content_id(text)}"


def content_id(*parts: object) -> str:
    """An id made of an example's content, for tools whose own ids change from run to run."""
    import hashlib
    import json

    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class UniqueIds:
    """Makes ids unique: the second example of the same content is `…#2`."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        self._seen[name] = count = self._seen.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as flat names, joined by `/`; lists are not scores."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}/")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", value
