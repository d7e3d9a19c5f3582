"""CSV and TSV: a header, and cells that are numbers, booleans or texts by what they look like."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from ciplug.capture.tables import limits
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Row, Table, check_shape, first_twice
from ciplug.errors import counted

_WHOLE = re.compile(r"[-+]?(?:0|[1-9]\d*)", re.ASCII)
_PADDED = re.compile(r"[-+]?0\d+", re.ASCII)
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
            for number, cells in enumerate(filter(_is_not_blank, reader), 1):
                line = reader.line_num
                if len(cells) != len(header):
                    raise self.source.wrong(
                        f"{counted(len(cells), 'cell')} under {counted(len(header), 'column name')}", line=line
                    )
                values = dict(zip(header, cells, strict=True))
                yield Row({name: self._value(values[name].strip(), name, line) for name in wanted}, number, line)

    def _value(self, cell: str, name: str, line: int) -> Any:
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
        delimiter = "\t" if self.source.extension == ".tsv" else ","
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
