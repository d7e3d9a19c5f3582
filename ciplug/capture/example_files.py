"""Read files with one row per example of an evaluation: tables, and the results of evaluation tools.

`Columns` says which column of a table is what; every other column of numbers or booleans is a score. The tools are in
`ciplug.capture.evaluation_files`. To add a format: a function that fills an `ExampleTable`, listed in FORMATS, and the
rule by which it is recognised in `_format_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ciplug.capture import evaluation_files
from ciplug.capture.example_table import Columns, ExampleTable, leaves
from ciplug.capture.tables import formats
from ciplug.capture.tables.json_text import JsonLines, parse_document
from ciplug.capture.tables.source import Source
from ciplug.capture.tables.table import Table
from ciplug.errors import UsageError, nearest
from ciplug.records.examples import Examples

Format = Callable[[Source, Columns, ExampleTable], None]


def read_examples(path: Path, columns: Columns | None = None, *, format: str | None = None) -> Examples:
    """The examples of a file.

    Args:
        format: a key of FORMATS; by default it is recognised by extension and content.

    Raises InputError naming file, line and column: a missing, empty, too large or malformed file, a row without id,
    a column to slice by that no row has. Raises UsageError on an unknown format.
    """
    columns = columns or Columns()
    source = Source(path)
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown format of examples '{format}'", hint=nearest(format, list(FORMATS)))
    table = ExampleTable(source, columns)
    FORMATS[format or _format_of(source)](source, columns, table)
    return table.examples()


EXTENSIONS = tuple(formats.FORMATS)
"""Of files whose format need not be named."""
_SYNONYMS = {".ndjson": "jsonl", ".tsv": "csv", ".pq": "parquet"}


def _format_of(source: Source) -> str:
    _ = source.size
    if source.extension in (".jsonl", ".ndjson"):
        return evaluation_files.tool_of_line(next(JsonLines(source).rows()).values) or "jsonl"
    if source.extension == ".json":
        document = parse_document(source)
        if isinstance(document, dict):
            return evaluation_files.tool_of_document(source, document)
        return "json"
    if source.extension in EXTENSIONS:
        return _SYNONYMS.get(source.extension, source.extension[1:])
    raise source.wrong(f"no file of examples has the extension {source.extension!r}: {', '.join(EXTENSIONS)}")


def _table(extension: str) -> Format:
    """The format of a table, whatever the extension of its file is."""

    def fill(source: Source, columns: Columns, examples: ExampleTable) -> None:
        _fill(formats.FORMATS[extension](source), columns, examples)

    return fill


def _fill(table: Table, columns: Columns, examples: ExampleTable) -> None:
    texts = columns.texts
    names = None
    if table.columns is not None:
        _need_id(table, columns, table.columns)
        names = [name for name in table.columns if name in texts or name not in table.text_columns]
    for row in table.rows(names):
        if names is None and row.number == 1:
            _need_id(table, columns, list(row.values), row.line)
        examples.add(
            id=row.values.get(columns.id),
            label=row.values.get(columns.label) if columns.label else None,
            prediction=row.values.get(columns.prediction) if columns.prediction else None,
            fields=row.values,
            scores={name: value for name, value in leaves(row.values) if name not in texts},
            line=row.line,
        )


def _need_id(table: Table, columns: Columns, names: Sequence[str], line: int | None = None) -> None:
    if columns.id not in names:
        some = ", ".join(repr(name[:40]) for name in names[:8])
        hint = f"candidate and baseline are joined by it; the columns are {some}"
        raise table.source.wrong(f"there is no column '{columns.id}' for the id", line=line, hint=hint)


FORMATS: dict[str, Format] = {
    **{extension[1:]: _table(extension) for extension in EXTENSIONS if extension not in _SYNONYMS},
    "promptfoo": evaluation_files.promptfoo,
    "deepeval": evaluation_files.deepeval,
    "lm-eval": evaluation_files.lm_eval,
    "lm-eval-results": evaluation_files.lm_eval_results,
    "mlflow": evaluation_files.mlflow,
}
