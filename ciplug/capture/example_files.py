"""Files with a row for each example of an evaluation: tables, and what evaluation tools write.

Tables are JSON lines, a JSON list, CSV, TSV and Parquet; `Columns` says which column is what, and every other column
of numbers or booleans is a score. The tools are in `ciplug.tracking.evaluation_files`. To add a format: a function
from an `OpenFile` to nothing that fills its table, listed in FORMATS, and its mark in `_format_of`.
"""

from __future__ import annotations

import importlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ciplug.capture import evaluation_files
from ciplug.capture.example_table import Columns, ExampleTable, leaves
from ciplug.errors import InputError, UsageError, nearest
from ciplug.records.examples import Examples
from ciplug.records.read import DuplicateKeyError, deeper_than, unique_keys

MAX_BYTES = 1024**3
MAX_LINE = 16 * 1024**2
MAX_DEPTH = 32


def read_examples(path: Path, columns: Columns | None = None, *, format: str | None = None) -> Examples:
    """The examples of a file.

    Args:
        format: a key of FORMATS; by default what the extension and the content say.

    Raises InputError naming file, line and column: a missing, empty, too large or malformed file, a row without id,
    a column to slice by that is not there. Raises UsageError on an unknown format.
    """
    columns = columns or Columns()
    table = ExampleTable(path, columns)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        hint = "does the evaluation write it, and under this path?"
        raise InputError(f"{path}: there is no such file", hint=hint) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if size > MAX_BYTES:
        raise table.wrong(f"larger than {MAX_BYTES // 1024**2:,} MiB", hint="evaluate fewer examples, or use Parquet")
    if size == 0:
        raise table.wrong("the file is empty", hint="did the evaluation end before it wrote it?")
    if format is not None and format not in FORMATS:
        raise UsageError(f"'{format}' is no format of examples", hint=nearest(format, list(FORMATS)))
    try:
        FORMATS[format or _format_of(path, table)](path, columns, table)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise table.wrong(f"nested in more than {MAX_DEPTH} levels") from None
    return table.examples()


def _format_of(path: Path, table: ExampleTable) -> str:
    extension = path.suffix.lower()
    if extension in (".csv", ".tsv"):
        return "csv"
    if extension in (".parquet", ".pq"):
        return "parquet"
    if extension in (".jsonl", ".ndjson"):
        _, first = next(json_lines(path, table), (0, {}))
        if {"doc_id", "doc_hash", "metrics"} <= first.keys():
            return "lm-eval"
        return "promptfoo" if {"promptIdx", "testCase"} <= first.keys() else "jsonl"
    if extension == ".json":
        document = json_document(path, table)
        if not isinstance(document, dict):
            return "json"
        for name, keys in MARKS.items():
            if keys <= document.keys():
                return name
        known = ", ".join(MARKS)
        raise table.wrong(f"a list of objects is due, or the results of one of {known}", hint="name the format")
    raise table.wrong(f"no format of examples has the extension {path.suffix!r}: .jsonl, .json, .csv, .tsv, .parquet")


MARKS = {
    "promptfoo": {"evalId", "results"},
    "deepeval": {"testCases"},
    "mlflow": {"columns", "data"},
    "lm-eval-results": {"results", "configs", "n-samples"},
}
"""Keys by which a JSON object of a tool is known."""


def json_lines(path: Path, table: ExampleTable) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line that is not blank. Raises InputError on one that is no object."""
    with path.open("rb") as file:
        for number in itertools.count(1):
            data = file.readline(MAX_LINE + 1)
            if not data:
                return
            if len(data) > MAX_LINE:
                raise table.wrong(f"a line longer than {MAX_LINE // 1024**2} MiB", line=number)
            if number == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
            if data.strip():
                yield number, _object(_parsed(data, table, number), table, number)


def json_document(path: Path, table: ExampleTable) -> Any:
    """The file as one JSON value, which is read as a whole."""
    return _parsed(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), table, None)


def _parsed(data: bytes, table: ExampleTable, line: int | None) -> Any:
    try:
        value = json.loads(data, object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise table.wrong(f"not JSON: {error.msg}, column {error.colno}", line=line or error.lineno) from None
    except UnicodeDecodeError:
        raise table.wrong("not UTF-8 text", line=line, hint="save the file as UTF-8") from None
    except DuplicateKeyError as error:
        raise table.wrong(f"the key {error.key[:130]!r} stands twice in one object", line=line) from None
    except ValueError:
        raise table.wrong("an integer of thousands of digits", line=line) from None
    if isinstance(value, dict) and line is not None and deeper_than(value, MAX_DEPTH):
        raise table.wrong(f"nested in more than {MAX_DEPTH} levels", line=line)
    return value


def _object(value: Any, table: ExampleTable, line: int | None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise table.wrong("an object is due", line=line, hint='{"id": "a", "label": 1, "prediction": 0}')
    return value


def _fill(table: ExampleTable, columns: Columns, rows: Iterable[tuple[int | None, Mapping[str, Any]]]) -> None:
    texts = columns.texts
    seen: set[str] = set()
    for line, values in rows:
        if not seen and columns.id not in values:
            names = ", ".join(repr(name[:40]) for name in list(values)[:8])
            hint = f"candidate and baseline are joined by it; the columns are {names}"
            raise table.wrong(f"there is no column '{columns.id}' for the id", line=line, hint=hint)
        seen.update(values)
        table.add(
            id=values.get(columns.id),
            label=values.get(columns.label) if columns.label else None,
            prediction=values.get(columns.prediction) if columns.prediction else None,
            fields=values,
            scores={name: value for name, value in leaves(values) if name not in texts},
            line=line,
        )


def _json_lines(path: Path, columns: Columns, table: ExampleTable) -> None:
    _fill(table, columns, json_lines(path, table))


def _json(path: Path, columns: Columns, table: ExampleTable) -> None:
    document = json_document(path, table)
    if not isinstance(document, list):
        raise table.wrong("a list of objects is due")
    _fill(table, columns, ((None, _object(value, table, None)) for value in document))


def _csv(path: Path, columns: Columns, table: ExampleTable) -> None:
    import csv

    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            if twice := [name for i, name in enumerate(names) if name in names[:i]]:
                raise table.wrong(f"the column {twice[0]!r} stands twice", line=1)

            def rows() -> Iterator[tuple[int, dict[str, Any]]]:
                for cells in reader:
                    if len(cells) != len(names) and any(cells):
                        what = f"{len(cells)} cells under {len(names)} column names"
                        raise table.wrong(what, line=reader.line_num)
                    if any(cells):
                        values = (_cell(cell.strip()) for cell in cells)
                        yield reader.line_num, dict(zip(names, values, strict=True))

            _fill(table, columns, rows())
        except csv.Error as error:
            raise table.wrong(f"not CSV: {error}", line=reader.line_num) from None
        except UnicodeDecodeError:
            raise table.wrong("not UTF-8 text", hint="save the file as UTF-8") from None


def _cell(text: str) -> str | float | bool | None:
    """What a cell means: nothing, true or false, a number, or the text."""
    if not text or text.lower() in ("true", "false"):
        return text.lower() == "true" if text else None
    try:
        # "007" and "1_000" are names; a whole number beyond a float's digits is one, too.
        number = float(text)
    except ValueError:
        return text
    digits = text.lstrip("+-")
    is_name = "_" in text or not text.isascii()
    if digits.isdigit():
        is_name = is_name or len(digits) > 15 or (digits[0] == "0" and digits != "0")
    return text if is_name else number


def _parquet(path: Path, columns: Columns, table: ExampleTable) -> None:
    try:
        pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        hint = "pip install 'ciplug[parquet]', or write JSON lines"
        raise table.wrong("reading Parquet needs pyarrow", hint=hint) from None
    try:
        file = parquet.ParquetFile(path)
        meta = file.metadata
        unpacked = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        if unpacked > MAX_BYTES:
            raise table.wrong(f"larger than {MAX_BYTES // 1024**2:,} MiB, once unpacked")
        rows = (row for batch in file.iter_batches(batch_size=10_000) for row in batch.to_pylist())
        _fill(table, columns, ((None, row) for row in rows))
    except pyarrow.ArrowException as error:
        raise table.wrong(f"not Parquet: {str(error)[:200]}") from None


def _promptfoo(path: Path, columns: Columns, table: ExampleTable) -> None:
    if path.suffix.lower() == ".json":
        document = _object(json_document(path, table), table, None)
        evaluation_files.promptfoo(document, columns, table)
    else:
        rows = [row for _, row in json_lines(path, table)]
        evaluation_files.promptfoo({"results": {"results": rows}}, columns, table)


def _deepeval(path: Path, columns: Columns, table: ExampleTable) -> None:
    evaluation_files.deepeval(_object(json_document(path, table), table, None), columns, table)


def _mlflow(path: Path, columns: Columns, table: ExampleTable) -> None:
    evaluation_files.mlflow(_object(json_document(path, table), table, None), columns, table)


def _lm_eval(path: Path, columns: Columns, table: ExampleTable) -> None:
    evaluation_files.lm_eval((row for _, row in json_lines(path, table)), "", columns, table)


def _lm_eval_results(path: Path, columns: Columns, table: ExampleTable) -> None:
    """The samples that lie beside the results of the same run: samples_TASK_TIME.jsonl, results_TIME.json."""
    document = _object(json_document(path, table), table, None)
    time = path.stem.removeprefix("results")
    found = 0
    tasks = document["n-samples"]
    if not isinstance(tasks, dict):
        raise table.wrong("'n-samples' is no object")
    for task in tasks:
        name = f"samples_{task}{time}.jsonl"
        samples = path.parent / name
        if samples.name == name and samples.is_file():
            rows = (row for _, row in json_lines(samples, ExampleTable(samples, columns)))
            evaluation_files.lm_eval(rows, f"{task}/", columns, table)
            found += 1
    if found < len(tasks):
        hint = "run lm_eval with --log_samples, and keep its folder together"
        lost = len(tasks) - found
        raise table.wrong(f"the samples of {lost} of {lost + found} tasks are not beside it", hint=hint)


FORMATS: dict[str, Callable[[Path, Columns, ExampleTable], None]] = {
    "jsonl": _json_lines,
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
    "promptfoo": _promptfoo,
    "deepeval": _deepeval,
    "lm-eval": _lm_eval,
    "lm-eval-results": _lm_eval_results,
    "mlflow": _mlflow,
}
