"""The formats of metric and parameter files.

A reader turns a source, its bytes or its text, into entries, or into the rows of a table, whose shape is found in
`ciplug.capture.metric_shapes`. To add a format: add a reader to READERS, by its extension.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ciplug.capture.metric_header import header_of
from ciplug.capture.metric_shapes import KNOWN_COLUMNS, STEP_KEYS, Entry, entries_of_rows
from ciplug.capture.metric_tools import object_of, rows_of, without_settings
from ciplug.capture.tables import formats
from ciplug.capture.tables.duplicate_names import one_of
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Broken, Row, within_limits
from ciplug.errors import InputError


@dataclass(frozen=True)
class Rows:
    """A table whose rows are by steps, or have names, or are one."""

    rows: Iterable[Row]
    columns: Sequence[str] | None = None
    """The columns of all rows; None: each row names its own."""
    unnamed: InputError | None = None
    """The table has no header, and names of ours in its place."""


Reader = Callable[[Source, Broken | None], Iterable[Entry] | Rows]


_TOML_MOST = 1024 * 1024
"""Bytes of a TOML file, as of YAML."""
_DOTTED = re.compile(r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]{0,99}"|'[^'\n]{0,99}')[ \t]{0,9}\.[ \t]{0,9}){32}""")
"""A key with more dots than levels are allowed."""


def entries(
    source: Source, step: str | None = None, broken: Broken | None = None, unnamed: Broken | None = None
) -> Iterable[Entry]:
    """The entries of a file.

    Args:
        step: the column of a table that gives the step; by default it is found by its name.
        broken: takes what cannot be read of a table or of a JSON object, and the rest is read; None: it is an error,
            and so is a name that stands twice.
        unnamed: takes the problem of a table without a header.

    Raises InputError on an unknown extension, and as the readers do.
    """
    reader = READERS.get(source.extension)
    if reader is None:
        raise source.wrong(f"no metric file has the extension {source.extension!r}: {', '.join(READERS)}")
    result = reader(source, broken)
    if isinstance(result, Rows):
        if result.unnamed is not None and unnamed is not None:
            unnamed(result.unnamed)
        return entries_of_rows(source, without_settings(result.rows), result.columns, step=step, broken=broken)
    if step is not None:
        raise source.wrong(f"no table, so no column '{step}' gives the step")
    return result


def _json(source: Source, broken: Broken | None) -> Iterable[Entry] | Rows:
    """A document or several, a list of objects, or an object a line, whatever the extension says."""
    from ciplug.capture.tables.json_text import (
        JsonDocuments,
        JsonLines,
        is_json_lines,
        is_several_documents,
        parse_document,
        readable_part,
    )

    if is_json_lines(source):
        return Rows(JsonLines(source, broken).rows())
    try:
        document = parse_document(source, is_lenient=broken is not None)
    except InputError as problem:
        if broken is not None and is_several_documents(source):
            return Rows(JsonDocuments(source, broken).rows())
        if broken is None or not (document := readable_part(source)):
            raise
        broken(problem)
    document = rows_of(document, STEP_KEYS) or object_of(document) or document
    return _document(source, document, source.line_of, '{"accuracy": 0.93}')


def _json_lines(source: Source, broken: Broken | None) -> Rows:
    from ciplug.capture.tables.json_text import JsonDocuments, JsonLines, is_one_document_over_lines

    if broken is not None and is_one_document_over_lines(source):
        return Rows(JsonDocuments(source, broken).rows())
    return Rows(JsonLines(source, broken).rows())


def _toml(source: Source, broken: Broken | None) -> Iterable[Entry]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

    _check_toml(source)
    try:
        return [Entry(tomllib.loads(source.text), locate=source.line_of)]
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise source.wrong(f"not TOML: {error}", line=int(line[1]) if line else None) from None
    except RecursionError:
        raise source.too_deep() from None
    except ValueError as error:
        # Thousands of digits, or the 31st of a February.
        raise source.wrong(f"not TOML: {error}") from None


def _check_toml(source: Source) -> None:
    """Raise InputError for a text that would take the parser minutes or gigabytes: each dot of a key is an object."""
    if source.size > _TOML_MOST:
        raise source.too_large(_TOML_MOST)
    if chain := _DOTTED.search(source.text):
        raise source.too_deep(source.text.count("\n", 0, chain.start()) + 1)


def _yaml(source: Source, broken: Broken | None) -> Iterable[Entry] | Rows:
    from ciplug import strict_yaml

    document = strict_yaml.load(source.text, str(source.path), twice=one_of if broken is not None else None)
    lines = {"/".join(map(str, path)): line for path, line in document.lines.items()}
    return _document(source, document.data, lines.get, "accuracy: 0.93")


def _document(source: Source, data: Any, locate: Callable[[str], int | None], example: str) -> Iterable[Entry] | Rows:
    """A mapping, or a list of mappings. Raises InputError for anything else."""
    if isinstance(data, dict):
        return [Entry(data, locate=locate)]
    if data and isinstance(data, list) and all(isinstance(one, dict) for one in data):
        return Rows(within_limits(source, (Row(one, number) for number, one in enumerate(data, 1))))
    raise source.wrong("names and values are expected, or a list of them", hint=example)


def _delimited(source: Source, broken: Broken | None) -> Rows:
    from ciplug.capture.tables.delimited import Delimited

    table = Delimited(source, broken)
    header = header_of(table.first_lines, table.value_of, KNOWN_COLUMNS)
    if header is None:
        return Rows(table.rows(), table.columns)
    table = Delimited(source, broken, header.names, header_lines=header.lines)
    what = f"no names of columns: they are called '{header.names[0]}' to '{header.names[-1]}'"
    return Rows(table.rows(), table.columns, source.wrong(what, line=1) if header.is_guess else None)


def _table(source: Source, broken: Broken | None) -> Rows:
    table = formats.open_table(source)
    return Rows(table.rows(), table.columns)


_OWN_READERS: dict[str, Reader] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".toml": _toml,
    ".csv": _delimited,
    ".tsv": _delimited,
}

READERS: dict[str, Reader] = {**_OWN_READERS, **{one: _table for one in formats.FORMATS if one not in _OWN_READERS}}
"""Extension → how its file is read: other formats of tables row by row."""
