"""CSV and TSV, with commas, semicolons or tabs: a header, and cells whose look decides whether they are numbers."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ciplug.capture.tables import limits
from ciplug.capture.tables.duplicate_names import one_of
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Broken, Row, Table, check_shape, first_twice
from ciplug.errors import counted

_WHOLE = re.compile(r"[-+]?(?:0|[1-9]\d*)", re.ASCII)
_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?", re.ASCII)
_POINT = re.compile(r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?", re.ASCII)
_PADDED = re.compile(r"[-+]?0\d+", re.ASCII)
_DELIMITERS = (",", ";", "\t", "|", " ")
"""The most usual first."""
_IN_TEXTS = ("|", " ")
"""Delimiters that are in texts as well: they count where there are numbers."""
_SAMPLE_BYTES, _SAMPLE_ROWS = 64 * 1024, 50
"""The part of a file that its delimiter is found by."""
_SEPARATOR = re.compile(r"\s*\"?sep=([,;\t|])\"?\s*", re.IGNORECASE)
"""The first line by which Excel knows the delimiter."""
MOST_DIGITS = 4300
"""The limit of Python and its json module."""


@dataclass(frozen=True)
class _Form:
    delimiter: str = ","
    has_comma: bool = False
    """Numbers have a decimal comma: Excel in Europe writes `0,5;0,7`."""
    rows: Sequence[Sequence[str]] = ()
    """The first lines, as cells."""
    comments: int = 0
    """Lines before the header that are none of the table's."""


class Delimited(Table):
    def __init__(
        self,
        source: Source,
        broken: Broken | None = None,
        names: Sequence[str] | None = None,
        *,
        header_lines: int = 1,
    ) -> None:
        """Open a table.

        Args:
            names: of the columns, in place of those of the header.
            header_lines: the lines that are no rows.
        """
        super().__init__(source, broken)
        self._names = names
        self._header_lines = header_lines

    @cached_property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return the names of the columns. Raises InputError for an empty file; for a repeated name if not lenient."""
        with self._open() as reader:
            return tuple(dict.fromkeys(self._header(reader)))

    @property
    def first_lines(self) -> Sequence[Sequence[str]]:
        """The first lines of the table, the header among them, as cells."""
        return self._form.rows

    def value_of(self, cell: str) -> Any:
        """The value of a cell, without blanks around it. Raises OverflowError as `cell_value`."""
        if self._form.has_comma and _COMMA.fullmatch(cell):
            cell = cell.replace(",", ".")
        return cell_value(cell)

    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        with self._open() as reader:
            header = self._header(reader)
            places: dict[str, list[int]] = {}
            for place, name in enumerate(header):
                if names is None or name in names:
                    places.setdefault(name, []).append(place)
            columns = [(name, at[0]) for name, at in places.items()]
            repeated = {name: at for name, at in places.items() if len(at) > 1}

            def is_row(cells: list[str]) -> bool:
                return _is_not_blank(cells) or (not self.skips_empty_rows and len(cells) == len(header))

            for number, cells in enumerate(filter(is_row, self._cells(reader)), 1):
                line = reader.line_num
                if len(cells) > len(header) and not any(cells[len(header) :]):
                    # A delimiter at the end of each row.
                    cells = cells[: len(header)]
                if self.broken is not None and tuple(map(str.strip, cells)) == header:
                    # A training that goes on with its file may write the header again.
                    continue
                if len(cells) != len(header):
                    what = f"{counted(len(cells), 'cell')} under {counted(len(header), 'column name')}"
                    self._skip(self.source.wrong(what, line=line))
                    continue
                values = {name: self._value(cells[place].strip(), name, line) for name, place in columns}
                for name, at in repeated.items():
                    values[name] = one_of([self._value(cells[place].strip(), name, line) for place in at])
                yield Row(values, number, line)

    def _cells(self, reader: Any) -> Iterator[list[str]]:
        while True:
            line = reader.line_num + 1
            try:
                yield next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # A quote that is never closed takes all that follows with it.
                self._skip(self.source.wrong(f"not CSV: {error}", line=line))

    @cached_property
    def _form(self) -> _Form:
        """The form of the file, by its first lines."""
        with self.source.open() as file:
            data = file.read(_SAMPLE_BYTES)
        lines = data.decode(self.source.encoding, "replace").splitlines()[:_SAMPLE_ROWS]
        if len(data) == _SAMPLE_BYTES:
            lines = lines[:-1]
        if not lines:
            return _Form()
        comments = _comments(lines)
        return replace(self._form_of(lines[comments:]), comments=comments)

    def _form_of(self, lines: Sequence[str]) -> _Form:
        if named := _SEPARATOR.fullmatch(lines[0]):
            return _form_of(lines[1:], named[1]) or _Form(named[1])
        if self.source.extension == ".tsv":
            found = _form_of(lines, "\t") or _Form("\t")
            return _Form("\t", rows=found.rows)
        for is_whole in (True, False):
            forms = [form for one in _DELIMITERS if (form := _form_of(lines, one)) is not None]
            if fit := [form for form in forms if _is_delimiter(form, lines[0], is_whole=is_whole)]:
                # Of `0;0,9`, the semicolon is the delimiter.
                return next((form for form in fit if form.has_comma), fit[0])
        return _form_of(lines, ",") or _Form()

    def _value(self, cell: str, name: str, line: int) -> Any:
        try:
            return self.value_of(cell)
        except OverflowError as error:
            raise self.source.wrong(str(error), column=name, line=line) from None

    def _header(self, reader: Any) -> tuple[str, ...]:
        """The names of the columns, one for each; the reader is behind the header."""
        lines = list(itertools.islice(filter(_is_not_blank, reader), self._header_lines))
        names = tuple(name.strip() for name in self._names or (lines[0] if lines else ()))
        if names and names[0].startswith("# "):
            # As numpy.savetxt writes a header.
            names = (names[0][2:].strip(), *names[1:])
        if not names:
            raise self.source.empty()
        check_shape(self.source, 0, len(names), 0)
        if self.broken is None and (twice := first_twice(names)) is not None:
            raise self.source.column_twice(twice, reader.line_num)
        return names

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """A reader of the file's rows. What goes wrong in it becomes an InputError."""
        # The module's own limit, 128 KiB, is global. Ours on a cell is checked with the row.
        before = csv.field_size_limit(limits.LIMITS.line_bytes)
        with self.source.open() as file, io.TextIOWrapper(file, encoding=self.source.encoding, newline="") as text:
            form = self._form
            lines = _lines(self.source, text, form.comments)
            reader = csv.reader(lines, delimiter=form.delimiter, skipinitialspace=form.delimiter == " ", strict=True)
            try:
                yield reader
            except csv.Error as error:
                raise self.source.wrong(f"not CSV: {error}", line=reader.line_num) from None
            except UnicodeDecodeError:
                raise self.source.not_utf8(_line_not_utf8(self.source)) from None
            finally:
                csv.field_size_limit(before)


def cell_value(cell: str) -> str | int | float | bool | None:
    """Return the value of a cell: nothing, true or false, a number, or its text. "007" and "1_000" are texts.

    Raises OverflowError on an integer of thousands of digits.
    """
    if not cell:
        return None
    if cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    if _WHOLE.fullmatch(cell):
        if len(cell) > MOST_DIGITS:
            raise OverflowError("an integer of thousands of digits")
        return int(cell)
    if _PADDED.fullmatch(cell) or "_" in cell or not cell.isascii():
        return cell
    try:
        return float(cell)
    except ValueError:
        return cell


def _form_of(lines: Sequence[str], delimiter: str) -> _Form | None:
    """The form of lines with this delimiter; None: they are not CSV."""
    try:
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter == " ")
        rows = list(filter(_is_not_blank, reader))
    except csv.Error:
        return None
    cells = [cell.strip() for row in rows for cell in row]
    has_comma = delimiter != "," and any(map(_COMMA.fullmatch, cells))
    return _Form(delimiter, has_comma and not any(map(_POINT.fullmatch, cells)), rows)


def _is_delimiter(form: _Form, first: str, *, is_whole: bool) -> bool:
    """Whether all rows are as wide as the header.

    Args:
        first: the first line.
        is_whole: False: it is enough if the rows of that width are more than the others, and no other delimiter cuts
            the header. A row that is cut off must not hide the delimiter of all others.
    """
    rows = form.rows
    if not rows or len(rows[0]) < 2:
        return False
    cells = (cell for row in rows[1:] for cell in row)
    if form.delimiter in _IN_TEXTS and (
        any(other in first for other in _DELIMITERS[: _DELIMITERS.index(form.delimiter)])
        or not any(_WHOLE.fullmatch(cell) or _POINT.fullmatch(cell) for cell in cells)
    ):
        return False
    odd = sum(len(row) != len(rows[0]) for row in rows)
    alone = not any(other in first for other in _DELIMITERS if other != form.delimiter)
    return not odd or not (is_whole or not alone or 2 * odd >= len(rows))


def _is_not_blank(cells: list[str]) -> bool:
    return any(cell.strip() for cell in cells)


def _comments(lines: Sequence[str]) -> int:
    """The number of lines with `#` before the header. The last of them is the header where numbers follow at once."""
    count = len(list(itertools.takewhile(lambda line: line.startswith("#"), lines)))
    if not 0 < count < len(lines):
        return 0
    is_header = any(sign in lines[count - 1] for sign in _DELIMITERS) and _is_row(lines[count])
    return count - 1 if is_header and _width(lines[count - 1]) == _width(lines[count]) else count


def _is_row(line: str) -> bool:
    return not re.search(r"[A-DF-Za-df-z]", line)


def _width(line: str) -> int:
    """The number of cells, by the delimiter that cuts the most."""
    return max(len(line.removeprefix("#").strip().split(sign)) for sign in _DELIMITERS)


def _lines(source: Source, text: io.TextIOWrapper, comments: int) -> Iterator[str]:
    number = 0
    while line := text.readline(limits.LIMITS.line_bytes + 1):
        number += 1
        if len(line) > limits.LIMITS.line_bytes:
            raise source.wrong(f"a line of more than {limits.LIMITS.line_bytes:,} bytes", line=number)
        # The reader counts a blank line, and gives no cells for it.
        yield "\n" if number <= comments or (number == comments + 1 and _SEPARATOR.fullmatch(line)) else line


def _line_not_utf8(source: Source) -> int:
    """The first line that cannot be decoded. A decoder that reads ahead does not say."""
    line = 0
    with source.open() as file:
        for line, data in enumerate(file, 1):
            try:
                data.decode()
            except UnicodeDecodeError:
                return line
    return line
