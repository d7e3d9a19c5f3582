"""Parquet: batch by batch, only the requested columns, with texts kept as a dictionary.

A few kilobytes of Parquet can stand for millions of rows: what a file holds is counted from its metadata, before any
value is read.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from ciplug.capture.tables import limits
from ciplug.capture.tables.table import Row, Table, cell_too_long, check_shape, first_twice, is_too_long

BATCH_CELLS = 100_000
BATCH_BYTES = 16 * 1024**2
"""Of the values of a batch, as they are unpacked: a cell may hold a long text."""
_TEXTS = {("BYTE_ARRAY", "UTF8"), ("BYTE_ARRAY", "NONE")}
"""Physical and converted type of the leaves that are read as a dictionary."""
_INDEX_BYTES = 4
"""A row of a column with a dictionary takes no more."""
BUFFER = 1024**2
"""Bytes of a column that are read ahead."""


class Parquet(Table):
    by_column = True

    @cached_property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        with self._translated_errors():
            names = tuple(map(str, self._file.schema_arrow.names))
        if (twice := first_twice(names)) is not None:
            raise self.source.column_twice(twice)
        return names

    @cached_property
    def text_columns(self) -> frozenset[str]:  # type: ignore[override]
        types = self._pyarrow.types
        plain = (
            *(types.is_string, types.is_large_string, types.is_binary, types.is_large_binary),
            *(types.is_fixed_size_binary, types.is_temporal),
        )
        return self._columns_of(
            lambda kind: any(is_kind(kind.value_type if types.is_dictionary(kind) else kind) for is_kind in plain)
        )

    @cached_property
    def nested_columns(self) -> frozenset[str]:  # type: ignore[override]
        return self._columns_of(self._pyarrow.types.is_nested)

    def batches(self, names: Collection[str] | None = None) -> Iterator[Mapping[str, Sequence[Any]]]:
        wanted = [name for name in self.columns if names is None or name in names]
        size = self._batch_rows(wanted, self._check_size(wanted))
        with self._translated_errors():
            for batch in self._file.iter_batches(batch_size=size, columns=wanted, use_threads=False):
                yield {name: self._values(batch.column(name), name) for name in wanted}

    def _rows(self, names: Collection[str] | None) -> Iterator[Row]:
        number = 0
        for batch in self.batches(names):
            for cells in zip(*batch.values(), strict=True):
                number += 1
                yield Row(dict(zip(batch, cells, strict=True)), number)

    def _batch_rows(self, names: Sequence[str], unpacked: int) -> int:
        """Return how many rows are read at once."""
        rows: int = self._file.metadata.num_rows
        return max(1, min(BATCH_CELLS // max(1, len(names)), BATCH_BYTES * rows // max(1, unpacked)))

    def _check_size(self, names: Sequence[str]) -> int:
        """Return the unpacked size of the columns in bytes. Raises InputError for a table above the limits."""
        with self._translated_errors():
            about = self._file.metadata
            check_shape(self.source, about.num_rows, len(names), about.num_rows * len(names))
            roots = set(names)
            unpacked = 0
            for group in map(about.row_group, range(about.num_row_groups)):
                for chunk in map(group.column, range(group.num_columns)):
                    if chunk.path_in_schema.partition(".")[0] in roots or chunk.path_in_schema in roots:
                        unpacked += chunk.total_uncompressed_size
        if unpacked > limits.LIMITS.file_bytes:
            raise self.source.too_large(limits.LIMITS.file_bytes, ", once unpacked")
        return unpacked

    def _values(self, column: Any, name: str) -> Sequence[Any]:
        types = self._pyarrow.types
        kind = column.type
        if types.is_dictionary(kind):
            # A text that a million rows share stays one text.
            used = column.indices.unique().drop_null()
            texts = dict(zip(used.to_pylist(), self._values(column.dictionary.take(used), name), strict=True))
            if any(isinstance(text, str) and is_too_long(text, limits.LIMITS.cell_bytes) for text in texts.values()):
                raise cell_too_long(self.source, name)
            return [texts.get(index) for index in column.indices.to_pylist()]
        if types.is_decimal(kind):
            column = column.cast(self._pyarrow.float64())
        elif types.is_temporal(kind):
            column = column.cast(self._pyarrow.string())
        values: list[Any] = column.to_pylist()
        if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
            return [None if value is None else value.decode(errors="backslashreplace") for value in values]
        return values

    def _columns_of(self, is_kind: Any) -> frozenset[str]:
        with self._translated_errors():
            return frozenset(field.name for field in self._file.schema_arrow if is_kind(field.type))

    @cached_property
    def _file(self) -> Any:
        _ = self.source.size
        parquet = self._parquet
        about = parquet.read_metadata(self.source.path)
        leaves = [about.schema.column(i) for i in range(len(about.schema.names))]
        # pyarrow would build the dictionary of a column that has none, and hold all of its texts.
        texts = [
            leaf.path
            for number, leaf in enumerate(leaves)
            if (leaf.physical_type, leaf.converted_type) in _TEXTS and _is_repetitive(about, number)
        ]
        return parquet.ParquetFile(self.source.path, read_dictionary=texts, buffer_size=BUFFER, pre_buffer=False)

    @cached_property
    def _pyarrow(self) -> Any:
        return self._import("pyarrow")

    @cached_property
    def _parquet(self) -> Any:
        return self._import("pyarrow.parquet")

    def _import(self, name: str) -> Any:
        try:
            return importlib.import_module(name)
        except ImportError:
            hint = "pip install 'ciplug[parquet]', or write JSON lines"
            raise self.source.wrong("reading Parquet needs pyarrow", hint=hint) from None

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Turn the exceptions of pyarrow into InputError."""
        try:
            yield
        except OSError as error:
            raise self.source.unreadable(error) from None
        except (self._pyarrow.ArrowException, ValueError, OverflowError) as error:
            raise self.source.wrong(f"not Parquet: {str(error)[:200]}") from None


def _is_repetitive(about: Any, column: int) -> bool:
    """Whether a column is stored with a dictionary, and not mostly beside it, in every row group."""
    chunks = (about.row_group(number).column(column) for number in range(about.num_row_groups))
    return all(
        chunk.has_dictionary_page and chunk.total_uncompressed_size <= BUFFER + _INDEX_BYTES * chunk.num_values
        for chunk in chunks
    )
