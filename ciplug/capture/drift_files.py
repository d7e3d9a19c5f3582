"""Two files of data beside each other, column by column: has the current one drifted from the reference?"""

from __future__ import annotations

import csv
import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ciplug.capture.example_files import MAX_BYTES, json_document, json_lines
from ciplug.capture.example_table import Columns, ExampleTable
from ciplug.errors import InputError
from ciplug.stats.drift import Drift, categorical, numeric
from ciplug.stats.intervals import Undecided

if TYPE_CHECKING:
    from collections.abc import Iterable

Column = list[Any]
Test = Literal["auto", "psi", "ks", "chi2"]


def compare(
    reference: Path, current: Path, columns: Sequence[str] | None, test: str
) -> Mapping[str, Drift | Undecided]:
    """The drift of each column; those asked for, else all that both files have.

    Numbers are compared by `test`, psi where it is auto; texts, booleans and what is mixed by χ², as are numbers
    where the test is chi2. Raises InputError on a file that cannot be read, or has none of the columns.
    """
    here, now = read_columns(reference), read_columns(current)
    names = list(columns) if columns is not None else [name for name in here if name in now]
    if not names:
        raise InputError(f"{current}: it has no column of {reference.name}")
    found: dict[str, Drift | Undecided] = {}
    for name in names:
        lacking = [path.name for path, table in ((reference, here), (current, now)) if name not in table]
        found[name] = (
            Undecided(f"{' and '.join(lacking)} has no column '{name}'")
            if lacking
            else _column(here[name], now[name], test)
        )
    return found


def _column(here: Column, now: Column, test: str) -> Drift | Undecided:
    if test != "chi2" and all(_is_number(value) for column in (here, now) for value in column if value is not None):
        before, after = ([math.nan if v is None else float(v) for v in column] for column in (here, now))
        return numeric(before, after, test="ks" if test == "ks" else "psi")
    texts = ([None if v is None else str(v) for v in column] for column in (here, now))
    return categorical(*texts)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def read_columns(path: Path) -> dict[str, Column]:
    """The columns of a table: JSON lines, a JSON list, CSV, TSV, Parquet. None where a row has no value.

    Raises InputError naming the file.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES // 1024**2:,} MiB", hint="compare a sample of it")
    reader = ExampleTable(path, Columns())
    extension = path.suffix.lower()
    if extension in (".parquet", ".pq"):
        return _parquet(path)
    if extension in (".csv", ".tsv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            try:
                rows = list(csv.DictReader(file, delimiter="\t" if extension == ".tsv" else ","))
            except (csv.Error, UnicodeDecodeError) as problem:
                raise InputError(f"{path}: not a table: {problem}") from None
        return _numbers(_turned(rows))
    if extension in (".jsonl", ".ndjson"):
        return _turned(row for _, row in json_lines(path, reader))
    if extension == ".json":
        document = json_document(path, reader)
        if isinstance(document, list) and all(isinstance(row, dict) for row in document):
            return _turned(document)
        raise InputError(f"{path}: a list of objects is expected")
    raise InputError(f"{path}: no table has the extension {extension!r}: .jsonl, .json, .csv, .tsv, .parquet")


def _turned(rows: Iterable[Mapping[str, Any]]) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    count = 0
    for row in rows:
        for name, value in row.items():
            if isinstance(name, str) and not isinstance(value, (dict, list)):
                column = columns.setdefault(name, [])
                column += [None] * (count - len(column))
                column.append(None if value == "" else value)
        count += 1
    for column in columns.values():
        column += [None] * (count - len(column))
    return columns


def _numbers(columns: dict[str, Column]) -> dict[str, Column]:
    """Columns of texts as numbers, where all of their values are."""
    for name, column in columns.items():
        try:
            columns[name] = [None if value is None else float(value) for value in column]
        except ValueError:
            continue
    return columns


def _parquet(path: Path) -> dict[str, Column]:
    try:
        pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs pyarrow", hint="pip install 'ciplug[parquet]'") from None
    try:
        table: dict[str, Column] = parquet.read_table(path).to_pydict()
    except pyarrow.ArrowException as problem:
        raise InputError(f"{path}: not Parquet: {str(problem)[:200]}") from None
    return {name: column for name, column in table.items() if not any(isinstance(v, (dict, list)) for v in column)}
