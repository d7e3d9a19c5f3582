"""JSON: one value, a list of objects, an object a line, or several values after one another."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ciplug.capture.tables import limits
from ciplug.capture.tables.duplicate_names import with_twice
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Row, Table
from ciplug.errors import InputError
from ciplug.records.read import DuplicateKeyError, deeper_than, unique_keys

_OBJECT = '{"accuracy": 0.93}'


class JsonLines(Table):
    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        number = 0
        for line, text in lines_with_text(self.source):
            try:
                for value in self._values(text, line):
                    values = as_object(self.source, value, line=line)
                    number += 1
                    yield Row(_only(values, names), number, line)
            except InputError as problem:
                self._skip(problem)

    def _values(self, text: str, line: int) -> Iterable[Any]:
        """The value of a line; of a lenient reader its values, where the end of a line is lost."""
        if self.broken is None:
            return (_parse(self.source, text, line),)
        try:
            return (_parse(self.source, text, line, is_lenient=True),)
        except InputError:
            return (value for _, value in _values_of(self.source, text, line, is_lenient=True))


class JsonDocuments(Table):
    """Objects, or lists of them, after one another over any lines: a file that is opened to append is written so.

    What follows a malformed place is one problem.
    """

    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        number = 0
        try:
            for line, value in _values_of(self.source, self.source.text, None, is_lenient=self.broken is not None):
                for one in value if isinstance(value, list) else (value,):
                    values = as_object(self.source, one, line=line)
                    number += 1
                    yield Row(_only(values, names), number, line)
        except InputError as problem:
            self._skip(problem)


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


def is_several_documents(source: Source) -> bool:
    """Whether a whole object or list is at the beginning, and the beginning of another follows it."""
    text = source.text
    try:
        first, at = json.JSONDecoder().raw_decode(text, _blanks(text, 0))
    except (ValueError, RecursionError):
        return False
    return isinstance(first, (dict, list)) and text[_between(text, at) :][:1] in ("{", "[")


def is_one_document_over_lines(source: Source) -> bool:
    """Whether a file named as JSON lines begins with an object that goes over several lines."""
    _, first = next(lines_with_text(source))
    if source.size > limits.LIMITS.document_bytes or not first.lstrip().startswith("{"):
        return False
    try:
        json.JSONDecoder().raw_decode(first.lstrip())
        return False
    except (ValueError, RecursionError):
        pass
    try:
        json.JSONDecoder().raw_decode(source.text, _blanks(source.text, 0))
        return True
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


def _values_of(source: Source, text: str, line: int | None, *, is_lenient: bool) -> Iterator[tuple[int, Any]]:
    """Each value of a text, and the line on which it begins. Raises InputError at the first malformed place.

    Args:
        line: the line that is the text; None: the text is the whole file.
    """
    decoder = json.JSONDecoder(object_pairs_hook=with_twice if is_lenient else unique_keys)
    at, counted, lines = _blanks(text, 0), 0, 1
    for number in itertools.count(1):
        if at >= len(text):
            return
        if number > limits.LIMITS.documents:
            hint = "write one a line, in a file named .jsonl"
            raise source.wrong(f"more than {limits.LIMITS.documents:,} JSON values", line=line or lines, hint=hint)
        lines, counted = lines + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _problem(source, error, line) from None
        if deeper_than(value, limits.LIMITS.depth):
            raise source.too_deep(line or lines)
        yield line or lines, value
        at = _between(text, at)


def _between(text: str, at: int) -> int:
    """The place behind what may stand between two values: blanks, and a comma."""
    at = _blanks(text, at)
    return _blanks(text, at + 1) if text[at : at + 1] == "," else at


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
    except (ValueError, RecursionError) as error:
        raise _problem(source, error, line) from None
    if deeper_than(value, limits.LIMITS.depth):
        raise source.too_deep(line)
    return value


def _problem(source: Source, error: ValueError | RecursionError, line: int | None) -> InputError:
    """What the parser found."""
    if isinstance(error, json.JSONDecodeError):
        return source.wrong(f"not JSON: {error.msg}, column {error.colno}", line=line or error.lineno)
    if isinstance(error, RecursionError):
        return source.too_deep(line)
    if isinstance(error, DuplicateKeyError):
        line = line or _line_of_second(source, error.key)
        return source.wrong(f"duplicate key {error.key[:130]!r}", line=line)
    return source.wrong("an integer of thousands of digits", line=line)


def _line_of_second(source: Source, key: str) -> int | None:
    lines = source.lines_of(key)
    return lines[1] if len(lines) == 2 else None


def _only(values: dict[str, Any], names: Collection[str] | None) -> dict[str, Any]:
    return values if names is None else {name: value for name, value in values.items() if name in names}
