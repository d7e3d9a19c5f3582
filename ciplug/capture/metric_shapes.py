"""The shapes of a table of metrics: rows by steps, one row, names and values, a row for each model or class.

Rows come from CSV, Parquet, JSON lines and lists of JSON objects alike, and become entries.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ciplug.capture.metric_clocks import is_time, moment, moment_in_words
from ciplug.capture.metric_labels import labels_of
from ciplug.capture.metric_tools import are_folds
from ciplug.capture.metric_values import is_moment, meaning
from ciplug.capture.tables.duplicate_names import Twice
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Broken, Row

STEP_KEYS = (
    *("step", "_step", "global_step", "trainer/global_step", "current_steps", "total_timesteps", "timesteps_total"),
    *(
        "steps",
        "num_updates",
        "iteration",
        "iterations",
        "training_iteration",
        "iter",
        "boosting_round",
        "round",
        "epoch",
    ),
)
"""Columns that say when a row was logged, the finest first: one of them gives the step, and none is a metric."""
NAME_KEYS = ("metric", "name", "key", "param", "parameter", "variable", "measure")
VALUE_KEYS = ("value", "metric_value", "score")
ABOUT_KEYS = ("unit", "range", "extra", "description", "comment", "note", "run", "run id", "run_id", "run_uuid")
"""Texts beside a value that are about it, and do not belong to its name."""
ROW_KEYS = ("model", "name", "class", "label", "fold", "split", "dataset", "task", "seed", "trial", "category", "group")
"""Columns that say what a row is of, even by a number."""
PART_KEYS = ("phase", "split", "mode", "stage", "subset", "part")
"""Columns that say which part of the data a row by steps is of."""
INDEX_KEYS = ("", "unnamed: 0", "unnamed: 0.1", "index", "level_0")
"""The header of pandas' index."""
KNOWN_COLUMNS = frozenset((*STEP_KEYS, *NAME_KEYS, *VALUE_KEYS, *ROW_KEYS, *PART_KEYS, *INDEX_KEYS))
"""Names in lower case that are surely in a header."""
_DIGITS = re.compile(r"[-+]?[0-9]{1,40}")
WINDOW_CELLS = 200_000
WINDOW_ROWS = 10_001
"""The rows by which a shape is chosen. More rows with names of their own are more names than a run may have."""


@dataclass(frozen=True)
class Entry:
    """Values that were logged together."""

    values: Mapping[str, Any]
    """Names → numbers, texts, lists or further mappings."""
    step: int | None = None
    line: int | None = None
    """The line of the file, if the entry is one."""
    locate: Callable[[str], int | None] = lambda _: None
    """From a flattened name to its line, where the reader can tell."""
    time: float | None = None
    """Unix seconds at which the values were logged."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Names → texts that stand in the place of no number."""
    is_counted: bool = False
    """The step is the number of the row, and says nothing about when it was logged."""
    is_alone: bool = False
    """It is the only row of a table; a further row would be later."""

    def line_of(self, key: str) -> int | None:
        return self.line or self.locate(key)


def entries_of_rows(
    source: Source,
    rows: Iterable[Row],
    columns: Sequence[str] | None = None,
    *,
    step: str | None = None,
    broken: Broken | None = None,
) -> Iterator[Entry]:
    """The entries of a table's rows, by the shape of its first rows.

    Args:
        columns: of all rows alike; None: each row names its own.
        step: the column that gives the step; by default one of STEP_KEYS.
        broken: takes the problem of a row with a text in the place of its step, which is left out; None: it has the
            step of the row before.

    Raises InputError where no row has the column `step`, or its values are not whole numbers.
    """
    rows = iter(rows)
    window = _window(rows)
    names = list(columns) if columns is not None else list(dict.fromkeys(n for row in window for n in row.values))
    step = _checked(source, window, step) if step is not None else _step_column(window, names)
    name, value = _first(names, NAME_KEYS), _first(names, VALUE_KEYS)
    if len(names) == 2 and value == names[1] and names[0].lower() in INDEX_KEYS:
        # A Series of pandas, whose index has the names.
        name = names[0] if all(_is_label(row.values.get(names[0])) for row in window) else name
    index = _index_columns(window, names)
    if index and (step is not None or len(window) == 1 or (name is not None and value is not None)):
        window = list(_without(window, index))
        rows = iter(_without(rows, index))
    every: Iterable[Row] = itertools.chain(window, rows)
    if step is not None and broken is not None:
        every = _with_steps(source, every, step, broken)
    if name is not None and value is not None and step not in (name, value):
        yield from _long(every, name, value, step)
    elif step is not None:
        others = [one for one in names if one != step and one.lower() in STEP_KEYS]
        labels = labels_of(list(_without(window, others)), step, names, PART_KEYS, (*ROW_KEYS, *PART_KEYS), _may_label)
        yield from _by_steps(every, step, labels, others_are_steps=True)
    elif len(window) == 1:
        yield Entry(window[0].values, line=window[0].line, is_alone=True)
    elif are_folds(names):
        for row in _without(every, index):
            yield Entry({f"fold {row.number - 1}": row.values}, line=row.line)
    elif by := _row_names(window, names):
        for row in every:
            measured = {key: one for key, one in row.values.items() if key not in by and key not in index}
            yield Entry({_joined(_row_name(key, row.values.get(key)) for key in by): measured}, line=row.line)
    else:
        by_index = next((one for one in index if _is_rising(window, one)), None)
        yield from _by_steps(
            _without(every, [one for one in index if one != by_index]), by_index, others_are_steps=False
        )


def _window(rows: Iterator[Row]) -> list[Row]:
    taken: list[Row] = []
    cells = 0
    while cells < WINDOW_CELLS and len(taken) < WINDOW_ROWS and (row := next(rows, None)) is not None:
        taken.append(row)
        cells += len(row.values)
    return taken


# --- By steps


def _step_column(rows: Sequence[Row], names: Sequence[str]) -> str | None:
    """The first column of STEP_KEYS that has whole numbers; by the last part of its name where none has all of it."""
    lower = {name.lower(): name for name in reversed(names)}
    ends = {name.lower().rpartition("/")[2]: name for name in reversed(names)}
    candidates = [where[key] for where in (lower, ends) for key in STEP_KEYS if key in where]
    whole = [name for name in candidates if _steps_are_whole(rows, name)]
    whole = [name for name in whole if not _names_rows(rows, names, name)]
    # One that never changes tells the rows of a table apart from nothing.
    return next((name for name in whole if len({row.values.get(name) for row in rows}) > 1), next(iter(whole), None))


def _names_rows(rows: Sequence[Row], names: Sequence[str], step: str) -> bool:
    """Whether a table has a row for each model or class, whose name stands first, and how many steps each took."""
    for name in names[: names.index(step)]:
        labels = [row.values.get(name) for row in rows]
        if name.lower() not in (*ROW_KEYS, *NAME_KEYS) or len(rows) < 2 or not all(map(_is_label, labels)):
            continue
        # A checkpoint is named by its step.
        is_named_by_step = all(str(whole(row.values.get(step))) in str(row.values.get(name)) for row in rows)
        if len(set(labels)) == len(rows) and not is_named_by_step:
            return True
    return False


def _steps_are_whole(rows: Sequence[Row], name: str) -> bool:
    """Whether the numbers of a column are whole, and more than the texts among them."""
    given = [value for row in rows if (value := row.values.get(name)) is not None]
    numbers = [value for value in given if not _is_text(value)]
    return len(numbers) > len(given) / 2 and all(whole(value) is not None for value in numbers)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and whole(value) is None


def _with_steps(source: Source, rows: Iterable[Row], step: str, broken: Broken) -> Iterator[Row]:
    """The rows without those that have a text in the place of their step."""
    for row in rows:
        if _is_text(value := row.values.get(step)):
            what = f"the step {str(value)[:60]!r} is not a number"
            broken(source.wrong(what, column=step, line=row.line, row=row.number))
        else:
            yield row


def _checked(source: Source, rows: Sequence[Row], name: str) -> str:
    example = next((row for row in rows if name in row.values), None)
    if example is None:
        some = ", ".join(dict.fromkeys(one for row in rows[:20] for one in row.values)) or "none"
        raise source.wrong(f"no column '{name}', which is to give the step", hint=f"the columns are: {some[:300]}")
    for row in rows:
        value = row.values.get(name)
        if value is not None and whole(value) is None:
            what = f"the step {value!r} is not a whole number of 64 bits"
            raise source.wrong(what, column=name, line=row.line, row=row.number)
    return name


def whole(value: Any) -> int | None:
    """The step that a value gives: a whole number of 64 bits, with leading zeros or in quotes, too."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not -(2**63) <= value < 2**63 or value != value or value != int(value):
        return None
    return int(value)


def _by_steps(
    rows: Iterable[Row], step: str | None, labels: Sequence[str] = (), *, others_are_steps: bool
) -> Iterator[Entry]:
    """The entries of rows by `step`; None: by their number, from 0. A row without a step has that of the row before.

    Args:
        labels: columns whose values stand before the names.
        others_are_steps: STEP_KEYS has `step`, and other columns of it are no metrics; False: `step` counts the rows.
    """
    at: int | None = None
    for row in rows:
        if step is None:
            at = row.number - 1
        elif (given := whole(row.values.get(step))) is not None:
            at = given
        time, values = _without_times(row.values)
        if others_are_steps:
            values = {n: v for n, v in values.items() if n != step and n.lower() not in STEP_KEYS}
        elif step is not None:
            values = {n: v for n, v in values.items() if n != step}
        if labels:
            before = _joined(_row_name(key, values.pop(key, None)) for key in labels)
            values = {before: values}
        yield Entry(values, step=at or 0, line=row.line, time=time, is_counted=not others_are_steps)


def _without_times(values: Mapping[str, Any]) -> tuple[float | None, dict[str, Any]]:
    """The time at which a row was logged, and its other values."""
    time = None
    rest = {}
    for name, value in values.items():
        if is_time(name, value):
            time = moment(value) if time is None else time
        else:
            time = moment_in_words(name, value) if time is None else time
            rest[name] = value
    return time, rest


def _is_rising(rows: Sequence[Row], name: str) -> bool:
    steps = [whole(row.values.get(name)) for row in rows]
    return all(b is not None and a is not None and a < b for a, b in itertools.pairwise(steps))


def _index_columns(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """The columns that only count rows, as pandas writes them. One that is called `index` may be something else."""
    columns = []
    for name in names:
        given = [whole(row.values.get(name)) for row in rows]
        if name.lower() not in INDEX_KEYS or not given or None in given:
            continue
        counts = given == list(range(given[0] or 0, (given[0] or 0) + len(given)))
        if name.lower() != "index" or (counts and (len(given) > 1 or given == [0])):
            columns.append(name)
    return columns


def _without(rows: Iterable[Row], names: Collection[str]) -> Iterable[Row]:
    if not names:
        return rows
    return (row._replace(values={n: v for n, v in row.values.items() if n not in names}) for row in rows)


# --- A name in each row


def _long(rows: Iterable[Row], name: str, value: str, step: str | None) -> Iterator[Entry]:
    """A name and a value in each row, with its step or without. Other texts, and what ROW_KEYS knows, name it too."""
    at = 0
    for row in rows:
        time, cells = _without_times(row.values)
        if step is not None and (given := whole(cells.pop(step, None))) is not None:
            at = given
        key, number = cells.pop(name, None), cells.pop(value, None)
        if not _is_given(key) or isinstance(key, Twice):
            yield Entry({"": number}, line=row.line)
            continue
        about = {key: one for key in list(cells) if key.lower() in ABOUT_KEYS and (one := cells.pop(key)) is not None}
        if step is not None:
            cells = {n: one for n, one in cells.items() if n.lower() not in STEP_KEYS}
        parts = {n: one for n, one in cells.items() if _may_label(n, one)}
        full = "/".join([*(_row_name(n, one) for n, one in parts.items()), str(key)])
        others = {f"{full}/{n}": one for n, one in cells.items() if n not in parts and one is not None}
        others |= {f"{full}/{n}": one for n, one in about.items() if not isinstance(one, str)}
        texts = {f"{full}/{n}": one for n, one in about.items() if isinstance(one, str)}
        yield Entry({full: number, **others}, at if step is not None else None, row.line, time=time, texts=texts)


def _row_names(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """The columns that name each row together: the first texts, or what ROW_KEYS knows. Empty: there are none.

    Where none names every row, a column that is known to name rows may have left some of them without a name.
    """
    if any(name.lower() in STEP_KEYS and not _names_rows(rows, names, name) for name in names):
        return []
    usual = [name for name in names if name.lower() in (*ROW_KEYS, *INDEX_KEYS)]
    return _naming(rows, names, may_lack=False) or _naming(rows, usual, may_lack=True)


def _naming(rows: Sequence[Row], names: Sequence[str], *, may_lack: bool) -> list[str]:
    taken: list[str] = []
    for name in names:
        named = [row for row in rows if _is_given(row.values.get(name))] if may_lack else rows
        values = [row.values.get(name) for row in named]
        texts = sum(map(_is_label, values))
        # Of classes that are called 0 and 1, only the rows of averages have a text.
        numbers_too = name.lower() in ROW_KEYS or (name.lower() in INDEX_KEYS and texts > 0)
        if not named or (texts < len(named) and not (numbers_too and all(map(_is_row_label, values)))):
            continue
        taken.append(name)
        rows = named
        if len({tuple(row.values.get(one) for one in taken) for row in rows}) == len(rows):
            return taken
    return []


def _is_given(value: Any) -> bool:
    return value is not None and str(value).strip() != ""


def _is_label(value: Any) -> bool:
    """Whether a cell may name its row: a text that is neither a number nor a time. A class may be called "N/A"."""
    return isinstance(value, str) and bool(value) and not is_moment(value) and not isinstance(meaning(value), float)


def _may_label(column: str, value: Any) -> bool:
    return _is_label(value) or (column.lower() in ROW_KEYS and _is_row_label(value))


def _is_row_label(value: Any) -> bool:
    return whole(value) is not None or _is_label(value)


def _row_name(column: str, value: Any) -> str:
    """The name that a cell gives its row; empty where it gives none."""
    if not _is_given(value):
        return ""
    return str(value) if isinstance(value, str) or column.lower() in INDEX_KEYS else f"{column} {value}"


def _joined(parts: Iterable[str]) -> str:
    """The parts of a name; empty where one is missing."""
    texts = list(parts)
    return "/".join(texts) if all(texts) else ""


def _first(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The column that has the first of these names."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in wanted if name in lower), None)
