"""JSON: one value, a list of objects, or an object a line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from ciplug.capture.tables import limits
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Row, Table
from ciplug.capture.tables.twice import with_twice
from ciplug.errors import InputError
from ciplug.records.read import DuplicateKeyError, deeper_than, unique_keys

_OBJECT = '{"accuracy": 0.93}'


class JsonLines(Table):
    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        number = 0
        for line, text in lines_with_text(self.source):
            try:
                values = as_object(self.source, self._parsed(text, line), line=line)
            except InputError as problem:
                self._skip(problem)
                continue
            number += 1
            yield Row(_only(values, names), number, line)

    def _parsed(self, text: str, line: int) -> Any:
        return _parse(self.source, text, line, is_lenient=self.broken is not None)


class JsonList(Table):
    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        document = parse_document(self.source)
        if not isinstance(document, list):
            raise self.source.wrong("a list of objects is expected")
        for number, value in enumerate(document, 1):
            yield Row(_only(as_object(self.source, value, row=number), names), number)


def parse_document(source: Source, *, is_lenient: bool = False) -> Any:
    """The whole file as one JSON value. Raises InputError naming file and line.

    Args:
        is_lenient: a name that stands twice has its values as `Twice`; otherwise it is an error.
    """
    return _parse(source, source.text, None, is_lenient=is_lenient)


def is_json_lines(source: Source) -> bool:
    """Whether the first line is an object of its own, and other lines follow. Raises InputError as `parse_document`."""
    first, _, rest = source.text.lstrip().partition("\n")
    if not (rest.strip() and first.startswith("{") and first.rstrip().endswith("}")):
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def lines_with_text(source: Source) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank. Raises InputError naming file and line."""
    empty = True
    with source.open() as file:
        for line, text in text_lines(source, file):
            if text.strip():
                empty = False
                yield line, text
    if empty:
        raise source.empty()


def parsed_lines(source: Source) -> Iterator[tuple[int, Any]]:
    """Line number and value of each line that is not blank. Raises InputError naming file and line."""
    return ((line, _parse(source, text, line)) for line, text in lines_with_text(source))


def readable_part(source: Source) -> dict[str, Any]:
    """What an object holds before the place at which it is not JSON: its whole members, as a lenient parser has them.

    Empty where there are none, and where the text is wrong in another way than its end.
    """
    decoder, text, pairs = json.JSONDecoder(object_pairs_hook=with_twice), source.text, list[tuple[str, Any]]()
    at = _after(text, 0, "{")
    while at is not None:
        try:
            name, at = decoder.raw_decode(text, _blanks(text, at))
            at = _after(text, at, ":")
            if at is None:
                break
            value, at = decoder.raw_decode(text, _blanks(text, at))
        except json.JSONDecodeError:
            break
        except (ValueError, RecursionError):
            return {}
        if not isinstance(name, str) or deeper_than(value, limits.LIMITS.depth - 1):
            return {}
        # A number at the end of the text may be the beginning of a longer one.
        if _blanks(text, at) < len(text):
            pairs.append((name, value))
        at = _after(text, at, ",")
    return with_twice(pairs)


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _after(text: str, at: int, sign: str) -> int | None:
    at = _blanks(text, at)
    return at + 1 if text[at : at + 1] == sign else None


def text_lines(source: Source, file: Any) -> Iterator[tuple[int, str]]:
    """Number and text of each line of a file that is open for bytes."""
    if source.encoding != "utf-8-sig":
        yield from enumerate(source.text.splitlines(), 1)
        return
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


def _parse(source: Source, text: str, line: int | None, *, is_lenient: bool = False) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=with_twice if is_lenient else unique_keys)
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
