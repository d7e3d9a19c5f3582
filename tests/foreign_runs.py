"""Runs of other systems as files, with any content: of W&B and Neptune also what their own writers would not write."""

from __future__ import annotations

import json
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _item(path: str | list[str], value: str | bytes) -> bytes:
    names = [_field(1, path.encode())] if isinstance(path, str) else [_field(2, one.encode()) for one in path]
    raw = value if isinstance(value, bytes) else _field(16, value.encode())
    return _field(1, b"".join(names) + raw)


def history(row: Mapping[str, str | bytes] | Iterable[tuple[str | list[str], str | bytes]]) -> bytes:
    """A record of W&B's history: name, or the names around it → JSON, or a field of protobuf."""
    items = row.items() if isinstance(row, Mapping) else row
    return _field(2, b"".join(_item(path, value) for path, value in items))


def write_wandb(
    folder: Path, records: Iterable[bytes] = (), run_id: str = "abc", *, project: str = "wine", ended: bool = True
) -> Path:
    """Write the offline run of W&B below a folder, and return its folder."""
    run = _field(17, _field(1, run_id.encode()) + _field(3, project.encode()) + _field(17, _field(1, 1_767_225_600)))
    end = [_field(18, _field(1, 0))] if ended else []
    own = folder / f"offline-run-20260101_000000-{run_id}"
    (own / "files").mkdir(parents=True)
    with (own / f"run-{run_id}.wandb").open("wb") as file:
        file.write(b":W&B\xbe\xef\x00")
        at = 7
        for record in (run, *records, *end):
            done = 0
            while True:
                left = 32 * 1024 - at % (32 * 1024)
                if left < 7:
                    file.write(bytes(left))
                    at, left = at + left, 32 * 1024
                part, first = record[done : done + left - 7], not done
                done += len(part)
                is_last = done == len(record)
                kind = (1 if first else 4) if is_last else (2 if first else 3)
                file.write(struct.pack("<IHB", zlib.crc32(part, zlib.crc32(bytes([kind]))), len(part), kind) + part)
                at += 7 + len(part)
                if is_last:
                    break
    return own


def write_trackio(file: Path, rows: Iterable[tuple[Any, Any, Any, Any]], *script: str) -> Path:
    """Write a project of Trackio: run_id, run_name, step and metrics of each row."""
    file.parent.mkdir(exist_ok=True, parents=True)
    with closing(sqlite3.connect(file)) as database:
        database.execute(
            "CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_id, run_name, timestamp, step, metrics TEXT)"
        )
        database.execute("CREATE TABLE configs (id INTEGER PRIMARY KEY, run_id, run_name, config TEXT, created_at)")
        for run_id, name, step, metrics in rows:
            values = (run_id, name, "2026-01-01T00:00:00", step, json.dumps(metrics))
            database.execute(
                "INSERT INTO metrics (run_id, run_name, timestamp, step, metrics) VALUES (?, ?, ?, ?, ?)", values
            )
        database.commit()
        for statement in script:
            database.execute(statement)
        database.commit()
    return file


def write_neptune(folder: Path, run_id: str, rows: Iterable[Mapping[str, Any]], *, place: str = "acme_wine") -> Path:
    """Write a run as neptune-exporter does: attributes with path, type and value."""
    import pyarrow as pa
    import pyarrow.parquet

    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("project_id", "run_id", "attribute_path", "attribute_type")),
            ("step", pa.string()),
            ("timestamp", pa.timestamp("ms", tz="UTC")),
            ("int_value", pa.int64()),
            ("float_value", pa.float64()),
            ("string_value", pa.string()),
            ("bool_value", pa.bool_()),
            ("datetime_value", pa.timestamp("ms", tz="UTC")),
            ("string_set_value", pa.list_(pa.string())),
            ("file_value", pa.struct([("path", pa.string())])),
        ]
    )
    if any(not isinstance(one.get("step"), (str, type(None))) for one in rows):
        schema = schema.set(4, pa.field("step", pa.float64()))
    file = folder / "data" / place / f"{run_id}_part_0.parquet"
    file.parent.mkdir(exist_ok=True, parents=True)
    facts = {"project_id": "acme/wine", "run_id": run_id}
    pyarrow.parquet.write_table(pa.Table.from_pylist([{**facts, **one} for one in rows], schema=schema), file)
    return file
