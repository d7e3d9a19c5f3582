"""Choose a table format by the file's extension. To add a format, list a subclass of `Table` in FORMATS."""

from __future__ import annotations

from collections.abc import Callable

from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Table


def _json_lines(source: Source) -> Table:
    from ciplug.capture.tables.json_text import JsonLines

    return JsonLines(source)


def _json_list(source: Source) -> Table:
    from ciplug.capture.tables.json_text import JsonList

    return JsonList(source)


def _delimited(source: Source) -> Table:
    from ciplug.capture.tables.delimited import Delimited

    return Delimited(source)


def _parquet(source: Source) -> Table:
    from ciplug.capture.tables.parquet import Parquet

    return Parquet(source)


FORMATS: dict[str, Callable[[Source], Table]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_list,
    ".csv": _delimited,
    ".tsv": _delimited,
    ".parquet": _parquet,
    ".pq": _parquet,
}
"""Extension → how its table is read."""


def open_table(source: Source) -> Table:
    """The table in a file. Raises InputError on an extension that no table has."""
    make = FORMATS.get(source.extension)
    if make is None:
        raise source.wrong(f"no table has the extension {source.extension!r}: {', '.join(FORMATS)}")
    return make(source)
