"""Segments of an object store: Parquet files in a Hive layout, one schema for all teams.

    runs/model=<model>/month=<YYYY-MM>/<file>.parquet         a row a run, by the month in which it started
    amend/model=<model>/month=<YYYY-MM>/<file>.parquet        a row an amendment, by the month in which it was made
    verdicts/model=<model>/month=<YYYY-MM>/<file>.parquet     a row a verdict, by the month in which it was made

Each row holds the record's exact text, which is what ciplug reads; the typed columns are for everybody else's queries,
and are made from it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from ciplug.errors import RecordError
from ciplug.records import columns, moment
from ciplug.records.amendment import Amendment, parse
from ciplug.records.bundle import is_key
from ciplug.records.columns import Columns, Sparse
from ciplug.records.inputs import DatasetInput, ModelOutput, parse_dataset, parse_model
from ciplug.records.keys import AMENDMENTS, RUNS, VERDICTS, is_verdict, parse_amendment, record_beside, stem_of
from ciplug.stores.base import group_of

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
KINDS = (RUNS, AMENDMENTS, VERDICTS)
PATH = re.compile(rf"(?:{'|'.join(KINDS)})/model=[^/]+/month=[^/]+/[\w-]+\.parquet")
NO_MONTH = "__HIVE_DEFAULT_PARTITION__"
"""Hive's value for NULL."""
_RECORD_MOST = 1024 * 1024
_ROWS_MOST, _ROWS_AT_ONCE = 10_000, 100
"""Rows of a segment, five times what a fold writes: anyone who may write may put a file of millions of equal rows."""
_BYTES_MOST = 4 * 1024**3
"""Bytes of its rows: twice those of the rows of a fold that are as long as they may be."""
_MODEL_MOST = 150
_SPECIAL = re.compile(r"""[\x00-\x1f\x7f"#%'*/:=?\\{}\[\]^]""")


@dataclass(frozen=True)
class Row:
    """One record in a segment."""

    key: str
    record: str
    also: tuple[str, ...] = ()
    """Endings of objects that belong to it, and lie beside the segments: `.series`."""

    @property
    def siblings(self) -> list[str]:
        """Keys of these objects."""
        return [stem_of(self.key) + ending for ending in self.also]


def escape(text: str) -> str:
    """Escape a part of a path as Hive does; readers decode `%XX`."""
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", text)


def place(objects: Mapping[str, bytes]) -> tuple[dict[str, list[Row]], dict[str, bytes]]:
    """Folder of a segment → rows for it, and the objects that cannot be a row.

    A row is one JSON object in UTF-8, at most 1 MiB, with the fields that its folder is named by.
    """
    text = {key: found for key, data in objects.items() if (found := _text(key, data)) is not None}
    folders: dict[str, str] = {}
    runs = columns.of((key, objects[key]) for key in text)
    for key, model, started in zip(runs.keys, runs.attributes["model"], runs.attributes["started"], strict=True):
        folders[key] = _folder(RUNS, model, started)
    for key in filter(parse_amendment, text):
        if amendment := _amendment(text[key]):
            folders[key] = _folder(AMENDMENTS, amendment.model, amendment.created)
    for key in text:
        if is_verdict(key) and (verdict := _verdict(text[key])):
            folders[key] = _folder(VERDICTS, verdict["model"], verdict.get("created"))
    rest = {key: data for key, data in objects.items() if not folders.get(key)}
    endings: dict[str, list[str]] = {}
    for key in sorted(rest):
        run = record_beside(key)
        if folders.get(run) and key != run:
            endings.setdefault(run, []).append(key[len(stem_of(key)) :])
    placed: dict[str, list[Row]] = {}
    for key in sorted(folders):
        if folders[key]:
            placed.setdefault(folders[key], []).append(Row(key, text[key], tuple(endings.get(key, ()))))
    return placed, rest


def _text(key: str, data: bytes) -> str | None:
    if len(data) > _RECORD_MOST or not key.endswith(".json") or group_of(key) is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _verdict(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    fields = ("run", "model", "outcome")
    return value if isinstance(value, dict) and all(isinstance(value.get(name), str) for name in fields) else None


def _amendment(text: str) -> Amendment | None:
    try:
        return parse(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _folder(kind: str, model: str | None, time: object) -> str:
    """Empty where the model cannot be the name of a folder."""
    name = escape(model or "")
    if not name or not name.isprintable() or len(name.encode()) > _MODEL_MOST:
        return ""
    when = _moment(time)
    return f"{kind}/model={name}/month={f'{when.year:04d}-{when.month:02d}' if when else NO_MONTH}"


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        when = moment.parse(value)
        return when.astimezone(timezone.utc) if when.tzinfo else when.replace(tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None


def encode(kind: str, rows: Iterable[Row]) -> bytes:
    """A segment of runs or of verdicts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(_table(kind, rows), sink, compression="zstd", use_dictionary=_REPEATING)
    return bytes(sink.getvalue().to_pybytes())


def _table(kind: str, rows: Iterable[Row]) -> pa.Table:
    import pyarrow as pa

    ordered = sorted(rows, key=lambda row: row.key)
    typed = {RUNS: _runs, AMENDMENTS: _amendments, VERDICTS: _verdicts}[kind](ordered)
    arrays = {
        "record": pa.array([row.record for row in ordered], pa.string()),
        "also": pa.array([list(row.also) for row in ordered], pa.list_(pa.string())),
        "key": pa.array([row.key for row in ordered], pa.string()),
        # Last, beside the index at the end of the file: a query reads both at once.
        **typed,
    }
    return pa.table(arrays)


_REPEATING = ["status", "name", "branch", "actor", "host", "outcome", "metrics.key_value.key", "also.list.element"]
_REPEATING += [f"{kind}.key_value.{part}" for kind in ("params", "tags") for part in ("key", "value")]


def _runs(rows: list[Row]) -> dict[str, pa.Array]:
    import pyarrow as pa

    table = columns.of((row.key, row.record.encode()) for row in rows)
    arrays = {}
    for name in ("id", "commit", "status", "name", "started", "ended", "branch", "actor", "host", "parent"):
        values = table.attributes[name]
        arrays[name] = (
            _moments(values) if name in ("started", "ended") else pa.array(map(_storable, values), pa.string())
        )
    for name in columns.FLAGS:
        flags = [None if value is None else value == "true" for value in table.attributes[name]]
        arrays[name] = pa.array(flags, pa.bool_())
    arrays["metrics"] = pa.array(_maps(table, table.metrics), pa.map_(pa.string(), pa.float64()))
    for kind in ("params", "tags"):
        named = {name: Sparse(c.rows, list(map(_as_text, c.values))) for name, c in getattr(table, kind).items()}
        arrays[kind] = pa.array(_maps(table, named), pa.map_(pa.string(), pa.string()))
    records = [json.loads(row.record) for row in rows]
    inputs = [_parsed(record.get("inputs"), parse_dataset) for record in records]
    outputs = [_parsed(record.get("outputs"), parse_model) for record in records]
    ids = [[text for text in record.get("model_inputs") or () if isinstance(text, str)] for record in records]
    return {**arrays, **_inputs(inputs, ids, outputs)}


def _parsed(values: object, read: Callable[[object], T]) -> list[T]:
    """Return the items that can be read: a newer record may have others."""
    items = []
    for value in values if isinstance(values, list) else ():
        with contextlib.suppress(ValueError):
            items.append(read(value))
    return items


def _inputs(
    inputs: Sequence[Sequence[DatasetInput]], ids: Sequence[Sequence[str]], outputs: Sequence[Sequence[ModelOutput]]
) -> dict[str, pa.Array]:
    """Return the columns of what runs, or amendments, name as their inputs and outputs."""
    import pyarrow as pa

    names = ("name", "digest", "source_type", "source", "context", "schema", "profile")
    texts = pa.map_(pa.string(), pa.string())
    dataset = pa.struct([*((name, pa.string()) for name in names), ("tags", texts)])
    datasets = [
        [{**{name: _storable(getattr(one, name)) for name in names}, "tags": _stored_texts(one.tags)} for one in of]
        for of in inputs
    ]
    model = pa.struct([("id", pa.string()), ("step", pa.int64())])
    return {
        "inputs": pa.array(datasets, pa.list_(dataset)),
        "model_inputs": pa.array([list(map(_storable, of)) for of in ids], pa.list_(pa.string())),
        "outputs": pa.array([[{"id": _storable(m.id), "step": m.step} for m in of] for of in outputs], pa.list_(model)),
    }


def _amendments(rows: list[Row]) -> dict[str, pa.Array]:
    import pyarrow as pa

    made = [_amendment(row.record) or _NOTHING for row in rows]
    texts: dict[str, list[str | None]] = {
        "run": [one.run for one in made],
        "commit": [one.commit for one in made],
        "by": [one.by for one in made],
        "name": [one.name for one in made],
        "lifecycle": [one.lifecycle for one in made],
        "status": [one.status for one in made],
        "reason": [one.reason for one in made],
    }
    arrays = {name: pa.array(map(_storable, values), pa.string()) for name, values in texts.items()}
    order = [parsed.order if (parsed := parse_amendment(row.key)) else (0, "") for row in rows]
    arrays["seq"] = pa.array([seq for seq, _ in order], pa.int64())
    arrays["tie"] = pa.array([tie for _, tie in order], pa.string())
    arrays["created"] = _moments([one.created for one in made])
    arrays["ended"] = _moments([one.ended for one in made])
    arrays["withdrawn"] = pa.array([one.withdrawn for one in made], pa.bool_())
    arrays["metrics"] = pa.array([list(_names_stored(one.metrics)) for one in made], pa.map_(pa.string(), pa.float64()))
    texts_of: dict[str, list[Mapping[str, Any]]] = {
        "tags": [one.tags for one in made],
        "params": [one.params for one in made],
    }
    for kind, named in texts_of.items():
        arrays[kind] = pa.array(list(map(_stored_texts, named)), pa.map_(pa.string(), pa.string()))
    arrays["untag"] = pa.array([list(map(_storable, one.untag)) for one in made], pa.list_(pa.string()))
    inputs, ids, outputs = ([getattr(one, name) for one in made] for name in ("inputs", "model_inputs", "outputs"))
    return {**arrays, **_inputs(inputs, ids, outputs)}


_NOTHING = Amendment(run="", model="", seq=0, created="")


def _names_stored(values: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((_storable(name) or "", value) for name, value in sorted(values.items()))


def _stored_texts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _as_text(value)) for name, value in _names_stored(values)]


def _verdicts(rows: list[Row]) -> dict[str, pa.Array]:
    import pyarrow as pa

    values = [_verdict(row.record) or {} for row in rows]
    arrays = {}
    for name in ("run", "commit", "outcome", "created", "baseline_run"):
        column = [value.get(name) for value in values]
        texts = [text if isinstance(text, str) else None for text in column]
        arrays[name] = _moments(texts) if name == "created" else pa.array(map(_storable, texts), pa.string())
    arrays["dry_run"] = pa.array([value.get("dry_run") is True for value in values], pa.bool_())
    return arrays


def _moments(values: Iterable[str | None]) -> pa.Array:
    import pyarrow as pa

    return pa.array([_moment(value) for value in values], pa.timestamp("us", tz="UTC"))


def _maps(table: Columns, named: Mapping[str, Sparse]) -> list[list[tuple[str, Any]]]:
    maps: list[list[tuple[str, Any]]] = [[] for _ in table.keys]
    for name in sorted(named):
        for row, value in zip(named[name].rows, named[name].values, strict=True):
            maps[row].append((_storable(name) or "", value))
    return maps


def _as_text(value: object) -> str:
    """A parameter or tag as text: numbers and truth as JSON has them."""
    return (_storable(value) or "") if isinstance(value, str) else json.dumps(value)


def _storable(text: str | None) -> str | None:
    """Half a surrogate pair is not a text that Parquet can hold."""
    return None if text is None else text.encode(errors="replace").decode()


def decode(data: bytes, name: str) -> dict[str, Row]:
    """Key → row of a segment. Raises RecordError, naming `name`, when it is not a segment, or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file, rows, size = pq.ParquetFile(pa.BufferReader(data)), list[Row](), 0
        if file.metadata.num_rows > _ROWS_MOST:
            raise ValueError(f"{file.metadata.num_rows:,} rows; a segment has at most {_ROWS_MOST:,}")
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["key", "also", "record"]):
            size += batch.nbytes
            if size > _BYTES_MOST:
                raise ValueError(f"more than {_BYTES_MOST:,} bytes")
            rows += (Row(row["key"], row["record"], tuple(row["also"] or ())) for row in batch.to_pylist())
        kind = name.partition("/")[0]
        if not all(is_key(row.key) and row.key.startswith(f"{kind}/") and row.record is not None for row in rows):
            raise ValueError("a row without a record")
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as problem:
        raise RecordError(f"{name}: not a segment, or damaged: {' '.join(str(problem).split())[:200]}") from None
    return {row.key: row for row in rows}


def wrong_columns(data: bytes, name: str, rows: Iterable[Row]) -> list[str]:
    """The columns of a segment that cannot be read, have another name, or are not what its records make.

    Also those whose least and greatest value the file states wrongly: a query leaves such rows out unread. An older
    ciplug has written fewer columns, and a newer one more.
    """
    made = encode(name.partition("/")[0], rows)
    return [] if made == data else _differing(data, made, name)


def _differing(data: bytes, made: bytes, name: str) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    right = pq.ParquetFile(pa.BufferReader(made))
    expected = right.read()
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        bounds, present = _bounds(file), file.schema_arrow.names
    except (pa.ArrowException, OSError, ValueError, OverflowError) as problem:
        raise RecordError(f"{name}: not a segment, or damaged: {' '.join(str(problem).split())[:200]}") from None
    wrong = {path.partition(".")[0] for path, bound in _bounds(right).items() if bounds.get(path, bound) != bound}
    is_older = set(present) < set(expected.column_names)
    for column in expected.column_names:
        if is_older and column not in present:
            continue
        try:
            found = file.read(columns=[column])
            # A column that is there twice, or not at all, is not this one. NaN is not itself, but is written alike.
            same = found.column_names == [column] and (
                found.column(0).equals(expected.column(column))
                or repr(found.column(0).to_pylist()) == repr(expected.column(column).to_pylist())
            )
        except (pa.ArrowException, OSError, ValueError, OverflowError):
            same = False
        if not same:
            wrong.add(column)
    return sorted(wrong)


def _bounds(file: Any) -> dict[str, list[Any]]:
    """Column → the least and the greatest value and the number of NULLs that the file states, of each of its parts."""
    bounds: dict[str, list[Any]] = {}
    for group in range(file.metadata.num_row_groups):
        part = file.metadata.row_group(group)
        for column in (part.column(at) for at in range(part.num_columns)):
            stated = column.statistics
            known = stated is not None and stated.has_min_max
            bounds.setdefault(column.path_in_schema, []).append(
                (repr(stated.min), repr(stated.max), stated.null_count) if known else None
            )
    return bounds
