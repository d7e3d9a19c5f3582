"""Metric and parameter files that a training leaves behind, in the formats of the field.

A reader turns the text of a file into rows: one row without a step (JSON, YAML, TOML), or many with one
(CSV, JSON lines). To add a format: add a reader function to READERS; what is checked is the same for all.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciplug import strict_yaml
from ciplug.errors import InputError
from ciplug.records.read import DuplicateKeyError, deeper_than, unique_keys
from ciplug.records.run import METRIC_NAME, Scalar
from ciplug.records.series import Series

MAX_BYTES = 16 * 1024 * 1024
MAX_KEYS = 10_000
MAX_DEPTH = 8
STEP_KEYS = ("step", "global_step", "iteration", "iter", "epoch")
"""Columns that say when a row was logged, the finest first: it gives the step, and none of them is a metric."""
TIME_KEYS = ("timestamp", "time")
_NO_VALUE = re.compile(
    r"|[-?.]+|\W*(?:(?:n/?a|null|none|nil|nan|inf|infinity|missing|undefined|unknown)\b"
    r"|(?:error|fail|diverg|crash|skip)\w*).*",
    re.IGNORECASE | re.DOTALL,
)
"""There is none: `n/a`, `diverged`, `N/A (skipped)`."""
_DAY = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].*)?")
_A_NUMBER = re.compile(r"(?<![\w.-])[-+]?[.,]?\d|[∞½¼¾]")
"""A number was meant: `0,93`, `93%`, `0.9 ± 0.1`, `12ms`, `tensor(0.93)`. In `resnet50` and `gpt-4` it is of a name."""
PAIR_KEYS = ("metric", "name", "key", "param", "parameter")


@dataclass(frozen=True)
class Metrics:
    values: Mapping[str, float]
    """The last value of each metric; may be NaN or infinite."""
    series: Mapping[str, Series] = field(default_factory=dict)
    """The metrics that the file holds by steps."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """What stands beside the metrics and says what they are of, the name of a model for instance."""


@dataclass(frozen=True)
class Source:
    """One file, and the words for what is wrong in it."""

    path: Path
    text: str

    def wrong(
        self, what: str, *, key: str | None = None, line: int | None = None, hint: str | None = None
    ) -> InputError:
        """The error to raise; without a line, that of the key is given if the key is set in one place only."""
        if line is None and key is not None and len(places := self.lines_of(key)) == 1:
            line = places[0]
        place = f"{self.path}:{line}" if line else str(self.path)
        return InputError(f"{place}: {repr(key[:130]) + ': ' if key else ''}{what}", hint=hint)

    def lines_of(self, key: str) -> list[int]:
        """Lines on which the last part of a flattened name seems to be set, counted from 1; three at most."""
        name = re.escape(key.rpartition("/")[2])
        if not name:
            return []
        places = re.finditer(rf"""(?<![\w.-])["']?{name}["']?\s*[:=]""", self.text)
        return [self.text.count("\n", 0, place.start()) + 1 for place in itertools.islice(places, 3)]


@dataclass(frozen=True)
class Row:
    values: Mapping[str, Any]
    """Names to numbers, texts, lists or such mappings."""
    step: int | None = None
    line: int | None = None
    """Where the row stands, if it is a line of the file."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Where each flattened name stands, if the reader knows."""

    def line_of(self, key: str) -> int | None:
        return self.line or self.lines.get(key)


def read_metrics(path: Path) -> Metrics:
    """The metrics of a file, or of DVCLive's folder; nested names are joined by `/`.

    An empty cell of a table by steps is a metric that was not logged there; NaN and infinities are values. Text
    that is nothing like a number is no metric; where a number was due in its place, no gate finds that metric.

    Raises InputError naming file, line and key: a missing, empty, too large or malformed file, a name that
    metrics cannot have, a value that is no number, a name that stands twice, no metric at all.
    """
    if path.is_dir():
        return _dvclive(path)
    source = _open(path)
    values: dict[str, float] = {}
    texts: dict[str, str] = {}
    points: dict[str, tuple[list[int], list[float]]] = {}
    for row in _rows(source):
        for key, value in _leaves(source, row, row.values):
            if not METRIC_NAME.fullmatch(key):
                raise _bad_name(source, row, key)
            if row.step is None and isinstance(value, str) and _is_description(value):
                texts[key] = value
                continue
            values[key] = _metric(source, row, key, value)
            if row.step is not None:
                steps, column = points.setdefault(key, ([], []))
                steps.append(row.step)
                column.append(values[key])
        _limit_keys(source, [*values, *texts])
    if texts and not values:
        key, text = next(iter(texts.items()))
        raise source.wrong(f"the text {text[:40]!r} is not a number, and nothing else is there", key=key)
    if not values:
        raise source.wrong("holds no metric", hint="does the training write its metrics before it ends?")
    series = {key: Series(tuple(steps), tuple(column)) for key, (steps, column) in points.items()}
    return Metrics(values, series, texts)


def read_params(path: Path) -> dict[str, Scalar]:
    """The parameters of a file, or of DVCLive's folder; nested names and list positions are joined by `/`.

    null becomes "None", as MLflow has it; an empty list or mapping "[]" or "{}".

    Raises InputError as `read_metrics` does, and on a file by steps.
    """
    source = _open(path / "params.yaml" if path.is_dir() else path)
    params: dict[str, Scalar] = {}
    for row in _rows(source):
        if row.step is not None:
            raise source.wrong("parameters have no steps", line=row.line)
        for key, value in _leaves(source, row, row.values, lists=True):
            if not key.isprintable() or len(key) > 250:
                raise source.wrong(
                    "not a name for a parameter: too long, or not printable", key=key, line=row.line_of(key)
                )
            params[key] = value if isinstance(value, (str, bool, int, float)) else _as_text(value)
    _limit_keys(source, params)
    if not params:
        raise source.wrong("holds no parameter")
    return params


def _open(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(
            f"{path}: there is no such file", hint="does the training write it, and under this path?"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{path}: larger than {MAX_BYTES // 1024**2} MiB", hint="log less often, or keep it as an artifact"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8 text", hint="save the file as UTF-8") from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty", hint="did the training end before it wrote it?")
    return Source(path, text)


def _rows(source: Source) -> Iterable[Row]:
    reader = READERS.get(source.path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise source.wrong(f"no format that we read has the extension {source.path.suffix!r}: {known}")
    return reader(source)


def _leaves(source: Source, row: Row, values: Mapping[str, Any], *, lists: bool = False) -> Iterator[tuple[str, Any]]:
    """Flattened names and what they name; with `lists`, list positions count as names."""
    if deeper_than(values, MAX_DEPTH):
        raise source.wrong(f"nested in more than {MAX_DEPTH} levels", line=row.line)
    seen = set()

    def walk(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
        inner: Iterable[tuple[object, Any]] | None = None
        if isinstance(value, dict):
            inner = value.items()
        elif lists and isinstance(value, list):
            inner = enumerate(value)
        if inner is not None and (value or not lists or not prefix):
            for name, child in inner:
                yield from walk(f"{prefix}/{name}" if prefix else str(name), child)
            return
        if prefix in seen:
            raise source.wrong("stands twice, once it is flattened", key=prefix, line=row.line_of(prefix))
        seen.add(prefix)
        yield prefix, value

    yield from walk("", dict(values))


def _is_description(text: str) -> bool:
    """Whether a text is surely not what a number was to stand in the place of."""
    meant = text.strip()
    if not isinstance(_typed(meant), str) or _NO_VALUE.fullmatch(meant):
        return False
    return bool(_DAY.fullmatch(meant)) or not _A_NUMBER.search(meant)


def _metric(source: Source, row: Row, key: str, value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise source.wrong("an integer too large for a number", key=key, line=row.line_of(key)) from None
    hint = None
    if isinstance(value, str):
        what = f"the text {value[:40]!r}"
        if isinstance(_typed(value), (int, float)):
            hint = "write the number without quotes (in YAML, not-a-number is .nan)"
    elif isinstance(value, bool):
        what, hint = f"the boolean {_as_text(value)}", "write 1 or 0"
    elif value is None:
        what, hint = "null", "leave the key out, or write NaN where a number was due"
    else:
        what = f"a {'list' if isinstance(value, list) else type(value).__name__}"
        hint = "give each number a name of its own, or steps (CSV, JSON lines)"
    raise source.wrong(f"{what} is not a number", key=key, line=row.line_of(key), hint=hint)


def _as_text(value: Any) -> str:
    """A parameter that is no scalar."""
    if value is None:
        return "None"
    return json.dumps(value) if isinstance(value, (bool, list, dict)) else str(value)


def _bad_name(source: Source, row: Row, key: str) -> InputError:
    if not key:
        return source.wrong("a metric without a name", line=row.line, hint="with pandas, write it with index=False")
    hint = "1 to 120 letters, digits, blanks and . _ @ / % + -"
    return source.wrong("not a name for a metric", key=key, line=row.line_of(key), hint=hint)


def _limit_keys(source: Source, found: Collection[str]) -> None:
    if len(found) > MAX_KEYS:
        raise source.wrong(f"more than {MAX_KEYS:,} names")


def _dvclive(folder: Path) -> Metrics:
    values: dict[str, float] = {}
    series: dict[str, Series] = {}
    texts: Mapping[str, str] = {}
    plots = folder / "plots" / "metrics"
    for file in sorted(plots.rglob("*.tsv")):
        name = file.relative_to(plots).with_suffix("").as_posix()
        table = read_metrics(file)
        if len(table.series) != 1:
            raise InputError(f"{file}: one column of values beside the steps is due, not {len(table.series)}")
        if not METRIC_NAME.fullmatch(name):
            raise _bad_name(Source(file, ""), Row({}), name)
        ((column, series[name]),) = table.series.items()
        values[name] = table.values[column]
    summary = folder / "metrics.json"
    if summary.exists() or not series:
        # "step" is DVCLive's own count.
        read = read_metrics(summary)
        values |= {key: value for key, value in read.values.items() if key != "step"}
        texts = read.texts
    return Metrics(values, series, texts)


def _json(source: Source) -> Iterator[Row]:
    yield Row(_json_object(source, source.text))


def _json_lines(source: Source) -> Iterator[Row]:
    lines = [(n, text) for n, text in enumerate(source.text.split("\n"), 1) if text.strip()]
    for number, text in lines:
        values = _json_object(source, text, number)
        yield _stepped(source, values, number, required=len(lines) > 1)


def _json_object(source: Source, text: str, line: int | None = None) -> dict[str, Any]:
    """One JSON object; `line` is where the text stands if it is a line of the file."""
    try:
        value = json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise source.wrong(f"not JSON: {error.msg}, column {error.colno}", line=line or error.lineno) from None
    except RecursionError:
        raise source.wrong(f"nested in more than {MAX_DEPTH} levels", line=line) from None
    except DuplicateKeyError as error:
        places = source.lines_of(error.key)
        line = line or (places[1] if len(places) == 2 else None)
        raise source.wrong("the key stands twice", key=error.key, line=line) from None
    except ValueError:
        raise source.wrong("an integer of thousands of digits", line=line) from None
    if not isinstance(value, dict):
        raise source.wrong("an object of names and values is due", line=line, hint='{"accuracy": 0.93}')
    return value


def _toml(source: Source) -> Iterator[Row]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

    try:
        yield Row(tomllib.loads(source.text))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise source.wrong(f"not TOML: {error}", line=int(line[1]) if line else None) from None
    except RecursionError:
        raise source.wrong(f"nested in more than {MAX_DEPTH} levels") from None


def _yaml(source: Source) -> Iterator[Row]:
    document = strict_yaml.load(source.text, str(source.path))
    if not isinstance(document.data, dict):
        raise source.wrong("a mapping of names to values is due", hint="accuracy: 0.93")
    yield Row(document.data, lines={"/".join(map(str, path)): line for path, line in document.lines.items()})


def _csv(source: Source) -> Iterator[Row]:
    """A table by steps, one row of metrics under their names, or a row `name,value` for each."""
    import csv

    delimiter = "\t" if source.path.suffix.lower() == ".tsv" else ","
    table = csv.reader(io.StringIO(source.text, newline=""), delimiter=delimiter, strict=True)
    rows = _cells(source, table)
    first, header = next(rows, (1, []))
    names = [name.strip() for name in header]
    _limit_keys(source, names)
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise source.wrong(f"the column {twice!r} stands twice", line=first)
    lowered = [name.lower() for name in names]

    if len(names) == 2 and lowered[0] in PAIR_KEYS and lowered[1] == "value":
        yield from _pairs(source, rows)
        return
    has_steps = any(name in STEP_KEYS for name in lowered)
    before = None
    for line, row in rows:
        if len(row) != len(names):
            raise source.wrong(f"{len(row)} cells under {len(names)} column names", line=line)
        if before and not has_steps:
            raise source.wrong("a second row of values", line=line, hint="say by a column `step` what each row is")
        before = line
        values = {name: _typed(cell.strip()) for name, cell in zip(names, row, strict=True)}
        if has_steps:
            filled = {name: value for name, value in values.items() if value != ""}
            yield _stepped(source, filled, line, required=True)
        else:
            yield Row(values, line=line)


def _cells(source: Source, table: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with their line; the line of a quoted cell is that of its end."""
    from csv import Error

    try:
        for row in table:
            if any(cell.strip() for cell in row):
                yield table.line_num, row
    except Error as error:
        raise source.wrong(f"not CSV: {error}", line=table.line_num) from None


def _pairs(source: Source, rows: Iterable[tuple[int, list[str]]]) -> Iterator[Row]:
    seen: set[str] = set()
    for line, row in rows:
        if len(row) != 2:
            raise source.wrong(f"{len(row)} cells where a name and a value are due", line=line)
        name = row[0].strip()
        if name in seen:
            raise source.wrong("stands twice", key=name, line=line)
        seen.add(name)
        yield Row({name: _typed(row[1].strip())}, line=line)


def _stepped(source: Source, values: dict[str, Any], line: int, *, required: bool) -> Row:
    """A row by steps: the finest of its step columns is the step, and what remains are its metrics."""
    by_name = {name.lower(): name for name in values}
    key = next((by_name[name] for name in STEP_KEYS if name in by_name), None)
    rest = {n: v for n, v in values.items() if n.lower() not in (*STEP_KEYS, *TIME_KEYS)}
    if key is None:
        if required:
            raise source.wrong("no step", line=line, hint=f"each row names one of {', '.join(STEP_KEYS)}")
        return Row(rest, line=line)
    step = values[key]
    is_number = isinstance(step, (int, float)) and not isinstance(step, bool)
    if not is_number or not -(2**63) <= step < 2**63 or step != int(step):
        raise source.wrong(f"the step {step!r} is no whole number of 64 bits", key=key, line=line)
    return Row(rest, step=int(step), line=line)


def _typed(cell: str) -> str | int | float | bool:
    """What the text of a cell means: a number, true or false, or the text."""
    if cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    if cell.isascii() and "_" not in cell:
        for kind in (int, float):
            try:
                return kind(cell)
            except ValueError:
                pass
    return cell


READERS: dict[str, Callable[[Source], Iterable[Row]]] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".toml": _toml,
    ".csv": _csv,
    ".tsv": _csv,
}
