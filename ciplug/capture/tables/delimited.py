"""CSV and TSV, with commas, semicolons or tabs: a header, and cells whose look decides whether they are numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from ciplug.capture.tables import limits
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Row, Table, check_shape, first_twice
from ciplug.errors import counted

_WHOLE = re.compile(r"[-+]?(?:0|[1-9]\d*)", re.ASCII)
_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?", re.ASCII)
_POINT = re.compile(r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?", re.ASCII)
_PADDED = re.compile(r"[-+]?0\d+", re.ASCII)
_DELIMITERS = (",", ";", "\t")
_SAMPLE_BYTES, _SAMPLE_ROWS = 64 * 1024, 50
"""The part of a file that its delimiter is found by."""
MOST_DIGITS = 4300
"""The limit of Python and its json module."""


class Delimited(Table):
    @cached_property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return the header. Raises InputError for an empty file, or a repeated name."""
        with self._open() as reader:
            return self._header(reader)

    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        with self._open() as reader:
            header = self._header(reader)
            wanted = [name for name in header if names is None or name in names]
            for number, cells in enumerate(filter(_is_not_blank, self._cells(reader)), 1):
                line = reader.line_num
                if len(cells) > len(header) and not any(cells[len(header) :]):
                    # A delimiter at the end of each row.
                    cells = cells[: len(header)]
                if len(cells) != len(header):
                    what = f"{counted(len(cells), 'cell')} under {counted(len(header), 'column name')}"
                    self._skip(self.source.wrong(what, line=line))
                    continue
                values = dict(zip(header, cells, strict=True))
                yield Row({name: self._value(values[name].strip(), name, line) for name in wanted}, number, line)

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
    def _form(self) -> tuple[str, bool]:
        """Delimiter, and whether numbers have a decimal comma, by the first rows. Excel in Europe writes `0,5;0,7`."""
        if self.source.extension == ".tsv":
            return "\t", False
        with self.source.open() as file:
            data = file.read(_SAMPLE_BYTES)
        lines = data.decode("utf-8-sig", "replace").splitlines()[:_SAMPLE_ROWS]
        if len(data) == _SAMPLE_BYTES:
            lines = lines[:-1]
        for is_whole in (True, False):
            if found := _delimiter_of(lines, is_whole=is_whole):
                return found
        return ",", False

    def _value(self, cell: str, name: str, line: int) -> Any:
        if self._form[1] and _COMMA.fullmatch(cell):
            cell = cell.replace(",", ".")
        try:
            return cell_value(cell)
        except OverflowError as error:
            raise self.source.wrong(str(error), column=name, line=line) from None

    def _header(self, reader: Any) -> tuple[str, ...]:
        names = tuple(name.strip() for name in next(filter(_is_not_blank, reader), ()))
        if not names:
            raise self.source.empty()
        check_shape(self.source, 0, len(names), 0)
        if (twice := first_twice(names)) is not None:
            raise self.source.column_twice(twice, reader.line_num)
        return names

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """A reader of the file's rows. What goes wrong in it becomes an InputError."""
        # The module's own limit, 128 KiB, is global. Ours on a cell is checked with the row.
        before = csv.field_size_limit(limits.LIMITS.line_bytes)
        delimiter, _ = self._form
        with self.source.open() as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(_lines(self.source, text), delimiter=delimiter, strict=True)
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


def _delimiter_of(lines: Sequence[str], *, is_whole: bool) -> tuple[str, bool] | None:
    """Return the first delimiter by which all rows are as wide as the header, and whether numbers have a decimal comma.

    Args:
        is_whole: False: it is enough if the rows of that width are more than the others, and no other delimiter cuts
            the header. A row that is cut off must not hide the delimiter of all others.
    """
    for delimiter in _DELIMITERS:
        try:
            rows = list(filter(_is_not_blank, csv.reader(lines, delimiter=delimiter)))
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2:
            continue
        odd = sum(len(row) != len(rows[0]) for row in rows)
        alone = not any(other in lines[0] for other in _DELIMITERS if other != delimiter)
        if odd and (is_whole or not alone or 2 * odd >= len(rows)):
            continue
        cells = [cell.strip() for row in rows[1:] for cell in row]
        has_comma = delimiter != "," and any(map(_COMMA.fullmatch, cells))
        return delimiter, has_comma and not any(map(_POINT.fullmatch, cells))
    return None


def _is_not_blank(cells: list[str]) -> bool:
    return any(cell.strip() for cell in cells)


def _lines(source: Source, text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(limits.LIMITS.line_bytes + 1):
        number += 1
        if len(line) > limits.LIMITS.line_bytes:
            raise source.wrong(f"a line of more than {limits.LIMITS.line_bytes:,} bytes", line=number)
        yield line


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
