"""The formats of metric and parameter files.

A reader turns a source, its bytes or its text, into entries: one without a step (JSON, YAML, TOML), or one for each
step (CSV, JSON lines, Parquet). To add a format: add a reader to READERS, by its extension.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Row, Table

STEP_KEYS = ("step", "global_step", "iteration", "iter", "epoch")
"""Columns that say when a row was logged, the finest first: it gives the step, and none of them is a metric."""
TIME_KEYS = ("timestamp", "time")
PAIR_KEYS = ("metric", "name", "key", "param", "parameter")
_PADDED = re.compile(r"[-+]?0\d+", re.ASCII)


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

    def line_of(self, key: str) -> int | None:
        return self.line or self.locate(key)


def entries(source: Source) -> Iterable[Entry]:
    """The entries of a file. Raises InputError on an unknown extension, and as the readers do."""
    reader = READERS.get(source.extension)
    if reader is None:
        raise source.wrong(f"no metric file has the extension {source.extension!r}: {', '.join(READERS)}")
    return reader(source)


def _json(source: Source) -> Iterator[Entry]:
    from ciplug.capture.tables.json_text import as_object, parse_document

    yield Entry(as_object(source, parse_document(source)), locate=source.line_of)


def _toml(source: Source) -> Iterator[Entry]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

    try:
        yield Entry(tomllib.loads(source.text), locate=source.line_of)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise source.wrong(f"not TOML: {error}", line=int(line[1]) if line else None) from None
    except RecursionError:
        raise source.too_deep() from None


def _yaml(source: Source) -> Iterator[Entry]:
    from ciplug import strict_yaml

    document = strict_yaml.load(source.text, str(source.path))
    if not isinstance(document.data, dict):
        raise source.wrong("a mapping of names to values is expected", hint="accuracy: 0.93")
    lines = {"/".join(map(str, path)): line for path, line in document.lines.items()}
    yield Entry(document.data, locate=lines.get)


def _json_lines(source: Source) -> Iterator[Entry]:
    from ciplug.capture.tables.json_text import JsonLines

    rows = JsonLines(source).rows()
    first = list(itertools.islice(rows, 2))
    for row in itertools.chain(first, rows):
        yield _by_step(source, row.values, row, required=len(first) > 1)


def _delimited(source: Source) -> Iterator[Entry]:
    from ciplug.capture.tables.delimited import Delimited

    return _table(Delimited(source), empty="")


def _parquet(source: Source) -> Iterator[Entry]:
    from ciplug.capture.tables.parquet import Parquet

    return _table(Parquet(source), empty=None)


READERS: dict[str, Callable[[Source], Iterable[Entry]]] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".toml": _toml,
    ".csv": _delimited,
    ".tsv": _delimited,
    ".parquet": _parquet,
    ".pq": _parquet,
}


def _table(table: Table, *, empty: str | None) -> Iterator[Entry]:
    """A table by steps, one row of metrics under their names, or a row `name,value` for each.

    Args:
        empty: the value of an empty cell, except in a table by steps, where it is none.
    """
    names = [name.lower() for name in table.columns or ()]
    if len(names) == 2 and names[0] in PAIR_KEYS and names[1] == "value":
        yield from _pairs(table, empty)
        return
    by_steps = any(name in STEP_KEYS for name in names)
    for row in table.rows():
        if row.number > 1 and not by_steps:
            hint = "add a column `step` that says what each row is"
            raise table.source.wrong("a second row of values", line=row.line, row=row.number, hint=hint)
        values = {name: _unpadded(value) for name, value in row.values.items()}
        if by_steps:
            logged = {name: value for name, value in values.items() if value is not None}
            yield _by_step(table.source, logged, row, required=True)
        else:
            yield Entry({name: empty if value is None else value for name, value in values.items()}, line=row.line)


def _pairs(table: Table, empty: str | None) -> Iterator[Entry]:
    seen: set[str] = set()
    for row in table.rows():
        name, value = row.values.values()
        key = "" if name is None else str(name)
        if key in seen:
            raise table.source.wrong(f"duplicate name {key[:130]!r}", line=row.line, row=row.number)
        seen.add(key)
        yield Entry({key: empty if value is None else _unpadded(value)}, line=row.line)


def _by_step(source: Source, values: Mapping[str, Any], row: Row, *, required: bool) -> Entry:
    """The entry of a row: the finest of its step columns is the step, and the other columns are its metrics."""
    by_name = {name.lower(): name for name in values}
    key = next((by_name[name] for name in STEP_KEYS if name in by_name), None)
    rest = {n: v for n, v in values.items() if n.lower() not in (*STEP_KEYS, *TIME_KEYS)}
    if key is None:
        if required:
            hint = f"each row needs one of {', '.join(STEP_KEYS)}"
            raise source.wrong("no step", line=row.line, row=row.number, hint=hint)
        return Entry(rest, line=row.line)
    step = values[key]
    is_number = isinstance(step, (int, float)) and not isinstance(step, bool)
    if not is_number or not -(2**63) <= step < 2**63 or step != int(step):
        what = f"the step {step!r} is not a whole number of 64 bits"
        raise source.wrong(what, column=key, line=row.line, row=row.number)
    return Entry(rest, step=int(step), line=row.line)


def _unpadded(value: Any) -> Any:
    """A whole number that was written with leading zeros. In other tables "007" is the name of something."""
    return int(value) if isinstance(value, str) and _PADDED.fullmatch(value) and len(value) < 300 else value
