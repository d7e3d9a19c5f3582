"""The predictions of a version in production, in a window of time, and the labels that are known of them by now.

Rows are read one after the other from JSON lines, CSV or Parquet. What does not count is counted, by its reason.
"""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ciplug.capture.drift_files import Column, Data, DataFile
from ciplug.capture.example_table import Columns, ExampleTable, as_text
from ciplug.capture.tables.formats import open_table
from ciplug.capture.tables.source import Source
from ciplug.errors import InputError, counted, listed
from ciplug.records import moment
from ciplug.records.examples import Examples

UNREADABLE = "lines that cannot be read"
NO_TIME = "predictions without a time"
NO_VERSION = "predictions without a version"
OTHER_VERSION = "predictions of other versions"
NO_ID = "predictions without an id"
TWICE = "predictions with the id of an earlier one"
OUTSIDE = "predictions outside the window"
LABEL_TWICE = "labels unlike an earlier one of the same id"
LABEL_ALONE = "labels without a prediction in the window"
_VERSION = re.compile(r"(?:models:/+.+[/@])?v?(\d{1,9})(?:\.0)?")
_BLOCK = 5_000


def left_out_text(count: int, reason: str) -> str:
    """ "1 prediction without a time", "3 predictions without a time"."""
    noun, _, rest = reason.partition(" ")
    return f"{counted(count, noun.removesuffix('s'))} {rest}"


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The column of each role."""

    id: str = "id"
    time: str = "ts"
    version: str | None = "version"
    """None: all predictions are of the watched version."""
    prediction: str = "prediction"
    label: str = "label"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one for one in (self.id, self.time, self.version, self.prediction, self.label) if one)


@dataclass(frozen=True)
class Span:
    """A window of time, in seconds since 1970: from `since`, and before `until`."""

    since: float
    until: float

    def __contains__(self, time: object) -> bool:
        return isinstance(time, float) and self.since <= time < self.until


class WindowColumns:
    """The columns of the predictions in the window, in little memory. See `drift_files.Data`."""

    def __init__(self, title: str = "the predictions") -> None:
        self.title = title
        self._columns: dict[str, Column] = {}
        self._rows = 0
        self._block: list[Mapping[str, Any]] = []

    def add(self, values: Mapping[str, Any]) -> None:
        self._block.append(values)
        if len(self._block) >= _BLOCK:
            self._fold()

    @property
    def names(self) -> Sequence[str]:
        self._fold()
        return [name for name, column in self._columns.items() if not column.is_nested]

    def column(self, name: str) -> Column:
        self._fold()
        # Several gates may compare it, and each changes its own.
        return copy.deepcopy(self._columns[name])

    def _fold(self) -> None:
        block, self._block = self._block, []
        for name in dict.fromkeys(name for values in block for name in values):
            column = self._columns.setdefault(name, Column())
            column.pad(self._rows)
            column.extend([values.get(name) for values in block])
        self._rows += len(block)
        for column in self._columns.values():
            column.pad(self._rows)


@dataclass
class Predictions:
    """What was found in the files."""

    columns: WindowColumns = field(default_factory=WindowColumns)
    rows: int = 0
    """Predictions of the version in the window."""
    due: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Id → the prediction and what gates need beside it, of those that labels are due for."""
    labels: dict[str, str] = field(default_factory=dict)
    """Id → label, of those."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why a row did not count → how many."""
    named: dict[str, str] = field(default_factory=dict)
    """The reason → the first place, or the other versions."""
    versions: set[str] = field(default_factory=set)
    """Other versions that predictions name: some of them."""

    def leave_out(self, reason: str, where: str) -> None:
        self.left_out[reason] += 1
        self.named.setdefault(reason, where)

    def examples(self, roles: Roles, slices: Sequence[str], cluster: str | None, scores: Collection[str]) -> Examples:
        """The labelled predictions, as those of an evaluation. Raises InputError for a column that no row has."""
        columns = Columns(
            id=roles.id, label=roles.label, prediction=roles.prediction, slices=tuple(slices), cluster=cluster
        )
        table = ExampleTable(Source(Path("the labelled predictions")), columns)
        for name, label in self.labels.items():
            values = self.due[name]
            table.add(
                id=name,
                label=label,
                prediction=values.get(roles.prediction),
                fields=values,
                scores={one: values[one] for one in scores if one in values},
            )
        return table.examples()


def read_predictions(
    files: Iterable[Path], roles: Roles, version: int, window: Span, due: Span, wanted: Collection[str]
) -> Predictions:
    """The predictions of a version.

    Args:
        window: of those whose columns are compared.
        due: of those that labels are due for.
        wanted: columns to keep of the latter, beside the prediction.

    Raises InputError for a file that is not there, or cannot be read at all.
    """
    found = Predictions()
    seen: set[str] = set()
    keep = {*wanted, roles.prediction}
    needed = {"id": roles.id, "time": roles.time, **({"version": roles.version} if roles.version else {})}
    for file in files:
        for values, where in _rows(file, found, needed):
            time = seconds_of(values.get(roles.time))
            if time is None:
                found.leave_out(NO_TIME, where)
                continue
            if time not in window and time not in due:
                found.leave_out(OUTSIDE, where)
                continue
            if not _is_of(version, values, roles, found, where):
                continue
            name = as_text(values.get(roles.id))
            if not name:
                found.leave_out(NO_ID, where)
                continue
            if name in seen:
                found.leave_out(TWICE, where)
                continue
            seen.add(name)
            if time in window:
                found.rows += 1
                found.columns.add(values)
            if time in due:
                found.due[name] = {one: values[one] for one in keep if one in values}
    return found


def add_labels(found: Predictions, files: Iterable[Path], roles: Roles) -> None:
    """Join the labels of these files by the id; of several labels of one id the last one counts. Raises InputError."""
    for file in files:
        for values, where in _rows(file, found, {"id": roles.id, "label": roles.label}):
            name, label = as_text(values.get(roles.id)), as_text(values.get(roles.label))
            if not name or label is None:
                continue
            if name not in found.due:
                found.leave_out(LABEL_ALONE, where)
                continue
            if found.labels.get(name, label) != label:
                found.leave_out(LABEL_TWICE, where)
            found.labels[name] = label


def reference_columns(file: Path) -> Data:
    """The columns of a reference. Mappings in it are spread over the rows, as those of predictions are.

    Raises InputError for a file that cannot be read.
    """
    table = open_table(Source(file))
    if table.columns is not None and not table.nested_columns:
        return DataFile(file)
    table.skips_empty_rows = False
    found = WindowColumns(file.name)
    for row in table.rows():
        found.add(spread(row.values))
    return found


def _is_of(version: int, values: Mapping[str, Any], roles: Roles, found: Predictions, where: str) -> bool:
    if roles.version is None:
        return True
    named = as_text(values.get(roles.version))
    if not named:
        found.leave_out(NO_VERSION, where)
        return False
    match = _VERSION.fullmatch(named)
    if match and int(match[1]) == version:
        return True
    found.leave_out(OTHER_VERSION, where)
    if len(found.versions) < 5:
        found.versions.add(named[:40])
    return False


def _rows(file: Path, found: Predictions, needed: Mapping[str, str]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The rows that can be read, and their places; a file without a byte has none.

    Raises InputError where no row has a column that is needed.

    Args:
        needed: role → column.
    """
    source = Source(file)
    if file.is_file() and not file.stat().st_size:
        return
    table = open_table(source)

    def broken(problem: InputError) -> None:
        found.leave_out(UNREADABLE, f"{file.name}:{problem.line}" if problem.line else file.name)

    table.broken = broken
    lacking, names = dict(needed), dict[str, None]()
    for row in table.rows():
        values = spread(row.values)
        names = names or dict.fromkeys(values)
        if lacking:
            lacking = {role: name for role, name in lacking.items() if name not in values}
        yield values, f"{file.name}:{row.line}" if row.line else f"{file.name}, row {row.number}"
    if not names and table.columns:  # It has a header alone.
        names = dict.fromkeys(table.columns)
        lacking = {role: name for role, name in lacking.items() if name not in names}
    if names and lacking:
        role, name = next(iter(lacking.items()))
        has = listed([f"'{one[:100]}'" for one in names], most=8)
        hint = f"monitor: {{{role}: NAME}} in ciplug.yaml says which column it is"
        raise source.wrong(f"there is no column '{name}': it has {has}", hint=hint)


def spread(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row whose mappings are spread over it: `{"inputs": {"alcohol": 9}}` has the column `alcohol`."""
    if not any(isinstance(value, dict) for value in values.values()):
        return values
    flat = {name: value for name, value in values.items() if not isinstance(value, dict)}
    for value in values.values():
        if isinstance(value, dict):
            for name, inner in value.items():
                flat.setdefault(name, inner)
    return flat


def seconds_of(value: object) -> float | None:
    """A time in seconds since 1970: of ISO 8601, where one without an offset is UTC, or of a number of seconds or
    milliseconds."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        if not math.isfinite(value) or value <= 0:
            return None
        return float(value) / 1000 if value > 1e11 else float(value)
    try:
        parsed = moment.parse(str(value).strip())
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()


def stamp_of(seconds: float) -> str:
    """The time as records have it."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
