"""JSON: one value, a list of objects, or an object a line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from ciplug.capture.tables import limits
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Row, Table
from ciplug.records.read import DuplicateKeyError, deeper_than, unique_keys

_OBJECT = '{"accuracy": 0.93}'


class JsonLines(Table):
    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        for number, (line, value) in enumerate(parsed_lines(self.source), 1):
            yield Row(_only(as_object(self.source, value, line=line), names), number, line)


class JsonList(Table):
    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        document = parse_document(self.source)
        if not isinstance(document, list):
            raise self.source.wrong("a list of objects is expected")
        for number, value in enumerate(document, 1):
            yield Row(_only(as_object(self.source, value, row=number), names), number)


def parse_document(source: Source) -> Any:
    """The whole file as one JSON value. Raises InputError naming file and line."""
    return _parse(source, source.text, None)


def is_json_lines(source: Source) -> bool:
    """Whether the first line is an object of its own, and other lines follow. Raises InputError as `parse_document`."""
    first, _, rest = source.text.lstrip().partition("\n")
    if not (rest.strip() and first.startswith("{") and first.rstrip().endswith("}")):
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def parsed_lines(source: Source) -> Iterator[tuple[int, Any]]:
    """Line number and value of each line that is not blank. Raises InputError naming file and line."""
    empty = True
    with source.open() as file:
        for line, text in text_lines(source, file):
            if text.strip():
                empty = False
                yield line, _parse(source, text, line)
    if empty:
        raise source.empty()


def text_lines(source: Source, file: Any) -> Iterator[tuple[int, str]]:
    """Number and text of each line of a file that is open for bytes."""
    line = 0
    while data := file.readline(limits.LIMITS.line_bytes + 1):
        line += 1
        if len(data) > limits.LIMITS.line_bytes:
            raise source.wrong(f"a line of more than {limits.LIMITS.line_bytes:,} bytes", line=line)
        try:
            yield line, data.decode("utf-8-sig" if line == 1 else "utf-8")
        except UnicodeDecodeError:
            raise source.not_utf8(line) from None


def as_object(source: Source, value: Any, *, line: int | None = None, row: int | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise source.wrong("an object of names and values is expected", line=line, row=row, hint=_OBJECT)
    return value


def _parse(source: Source, text: str, line: int | None) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise source.wrong(f"not JSON: {error.msg}, column {error.colno}", line=line or error.lineno) from None
    except RecursionError:
        raise source.too_deep(line) from None
    except DuplicateKeyError as error:
        line = line or _line_of_second(source, error.key)
        raise source.wrong(f"duplicate key {error.key[:130]!r}", line=line) from None
    except ValueError:
        raise source.wrong("an integer of thousands of digits", line=line) from None
    if deeper_than(value, limits.LIMITS.depth):
        raise source.too_deep(line)
    return value


def _line_of_second(source: Source, key: str) -> int | None:
    lines = source.lines_of(key)
    return lines[1] if len(lines) == 2 else None


def _only(values: dict[str, Any], names: Collection[str] | None) -> dict[str, Any]:
    return values if names is None else {name: value for name, value in values.items() if name in names}
