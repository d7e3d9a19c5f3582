"""Export the runs of this store as a table: CSV or Parquet, the same columns in both."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ciplug.errors import UsageError
from ciplug.locking import sync_folder
from ciplug.records import moment
from ciplug.reports.untrusted import csv_cell
from ciplug.steps.read_runs import StoreReader
from ciplug.steps.session import Session
from ciplug.steps.wide_table import TableRow, wide_columns
from ciplug.tracking.entries import Entry

_TIMES = ("started", "ended")
_TEXTS = ("run_id", "model", "name", "status", "lifecycle", "commit", "branch", "host", "actor", "parent", *_TIMES)
_FLAGS = ("dirty", "trusted")
_FACTS = (*_TEXTS, *_FLAGS)


def export_table(session: Session, form: str, file: Path, where: str | None, tell: Callable[[int], None]) -> int:
    """Write the runs to a file, which is replaced whole; returns their number.

    Args:
        form: a name in `WRITERS`.
        where: a filter, as `ciplug runs list --where` takes it; None: all runs.
        tell: is called with the number of runs.

    Raises UsageError for a filter that cannot be read, a file that cannot be written, and a library that is missing.
    """
    if file.suffix.lower().removeprefix(".") in WRITERS.keys() - {form}:
        raise UsageError(f"{file} would be a file of {form}", hint=f"name it {file.stem}.{form}")
    entries = StoreReader(session).search(where, (), None)
    columns = wide_columns([_row(entry) for entry in entries], _FACTS)
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise UsageError(f"{file} is a link, or no file", hint="name another file: a plain file is replaced whole")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # In a folder of its own, where nobody else can have put a link.
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".ciplug-") as folder:
            path = Path(folder) / file.name
            WRITERS[form](columns, path)
            with path.open("rb") as written:
                os.fsync(written)
            path.replace(file)
        sync_folder(file.parent)
    except OSError as problem:
        raise UsageError(f"{file} cannot be written: {problem.strerror or problem}") from None
    tell(len(entries))
    return len(entries)


def _row(entry: Entry) -> TableRow:
    facts: dict[str, Any] = {name: entry.attributes.get(name) for name in _TEXTS}
    facts |= {"run_id": entry.id, "lifecycle": entry.state}
    facts |= {name: {"true": True, "false": False}.get(entry.attributes.get(name, "")) for name in _FLAGS}
    return TableRow(facts, entry.metrics, entry.params, entry.tags)


def _write_csv(columns: Mapping[str, list[Any]], file: Path) -> None:
    """UTF-8 with a line for each run. No cell is a formula for a spreadsheet; nothing stands for what is not there."""
    with file.open("w", encoding="utf-8", errors="replace", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([csv_cell(name) for name in columns])
        writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else csv_cell(str(value))


def _write_parquet(columns: Mapping[str, list[Any]], file: Path) -> None:
    """Times are timestamps, metrics floats; a parameter that is not a number in each run is text in all of them."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError("pyarrow is not installed here", hint="pip install 'ciplug[parquet]'") from None
    arrays = {}
    for name, values in columns.items():
        if name in _TIMES:
            arrays[name] = pa.array([_time(value) for value in values], pa.timestamp("ms", tz="UTC"))
        elif name in _FLAGS:
            arrays[name] = pa.array(values, pa.bool_())
        elif name.startswith("metrics."):
            arrays[name] = pa.array(values, pa.float64())
        elif name.startswith("params.") and (kind := _kind(values)) is not None:
            arrays[name] = pa.array(values, {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[kind])
        else:
            arrays[name] = pa.array([value if value is None else _text(value) for value in values], pa.string())
    table = pa.table(list(arrays.values()), names=[_text(name) for name in arrays])
    pq.write_table(table, file, compression="zstd")


def _kind(values: list[Any]) -> type | None:
    """The type of numbers or flags that a parameter has in all runs; None for text, and for several types."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return float
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is int and any(value is not None and not -(2**63) <= value < 2**63 for value in values):
        return None
    return kind if kind in (int, float, bool) else None


def _text(value: Any) -> str:
    return (str(value).lower() if isinstance(value, bool) else str(value)).encode(errors="replace").decode()


def _time(value: str | None) -> datetime | None:
    try:
        return moment.parse(value) if value else None
    except ValueError:
        return None


WRITERS: Mapping[str, Callable[[Mapping[str, list[Any]], Path], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
}
