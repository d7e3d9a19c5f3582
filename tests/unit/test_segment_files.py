"""Segments: which records become rows, what the columns hold, and that the record is kept to the byte."""

from __future__ import annotations

import contextlib
import math
import random
from datetime import datetime, timezone
from typing import Any

import pytest

from ciplug.errors import RecordError
from ciplug.records.canonical import dumps
from ciplug.stores.bucket.segment_files import NO_MONTH, Row, decode, encode, place, wrong_columns

pq = pytest.importorskip("pyarrow.parquet")
COMMIT = "a" * 40


def run(number: int = 1, **fields: Any) -> tuple[str, bytes]:
    record = {"id": f"{number:032x}", "model": "wine", "started": "2026-11-23T19:24:00.250Z", **fields}
    return f"runs/{COMMIT}-{number:032x}.json", dumps(record)


def rows(data: bytes) -> list[dict[str, Any]]:
    import pyarrow as pa

    found: list[dict[str, Any]] = pq.read_table(pa.BufferReader(data), partitioning=None).to_pylist()
    return found


@pytest.mark.parametrize(
    ("fields", "folder"),
    [
        ({}, "runs/model=wine/month=2026-11"),
        ({"started": "2026-12-31T23:30:00-02:00"}, "runs/model=wine/month=2027-01"),
        ({"started": "yesterday"}, f"runs/model=wine/month={NO_MONTH}"),
        ({"started": 7}, f"runs/model=wine/month={NO_MONTH}"),
        ({"model": "acme/wine=50%"}, "runs/model=acme%2Fwine%3D50%25/month=2026-11"),
        ({"model": "Größe, süß"}, "runs/model=Größe, süß/month=2026-11"),
        ({"model": ".."}, "runs/model=../month=2026-11"),
    ],
)
def test_the_folder_of_a_run(fields: dict[str, Any], folder: str) -> None:
    key, data = run(**fields)
    assert place({key: data}) == ({folder: [Row(key, data.decode())]}, {})


@pytest.mark.parametrize(
    ("key", "data"),
    [
        run(model=""),
        run(model="x" * 300),
        run(model=7),
        run(model="line\nfeed"[:0]),
        run(notes="x" * 2_000_000),
        ("runs/a.json", run()[1]),
        ("other/a-1.json", run()[1]),
        ("runs/a-1.json", b"[]"),
        ("runs/a-1.json", b'{"id":"\xff"}'),
        ("runs/a-1.json", b"[" * 100_000),
        ("verdicts/a-1.json", b'{"run":"a","model":"wine"}'),
    ],
)
def test_what_is_not_a_row(key: str, data: bytes) -> None:
    assert place({key: data}) == ({}, {key: data})


def test_what_belongs_to_a_run_is_known_by_its_row() -> None:
    key, data = run()
    series = key.replace(".json", ".series")
    other = f"runs/{COMMIT}-other.series"
    placed, rest = place({key: data, series: b"1", other: b"2"})
    (row,) = placed["runs/model=wine/month=2026-11"]
    assert row.siblings == [series]
    assert rest == {series: b"1", other: b"2"}


def test_the_columns_of_runs() -> None:
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "x", "context": "training"}
    context = {"branch": "main", "actor": "octocat", "host": "github_actions"}
    _, data = run(
        status="finished",
        commit=COMMIT,
        name="half a pair: \ud800",
        ended="2026-11-23T20:24:00+01:00",
        metrics={"accuracy": 0.5, "loss": "NaN", "rows": 3, "odd": "x", "bad\nname": 1},
        params={"depth": 6, "fast": True, "rate": 0.1, "kind": "a", "list": [1]},
        tags={"team": "b"},
        inputs=[{**dataset, "tags": {"a": "b"}, "planet": "Mars"}, {"name": "of a newer ciplug"}],
        outputs=[{"id": "m-1", "step": 3}],
        model_inputs=["m-0"],
        parent="1" * 32,
        provenance={"context": context, "dirty": True},
        new_field={"of": "a newer ciplug"},
    )
    key = f"runs/{COMMIT}-{1:032x}.json"
    (row,) = rows(encode("runs", [Row(key, data.decode(), (".series",))]))
    metrics = dict(row.pop("metrics"))
    assert math.isnan(metrics.pop("loss"))
    assert metrics == {"accuracy": 0.5, "rows": 3.0}
    assert dict(row.pop("params")) == {"depth": "6", "fast": "true", "rate": "0.1", "kind": "a"}
    assert row == {
        "key": key,
        "id": f"{1:032x}",
        "commit": COMMIT,
        "status": "finished",
        "name": "half a pair: ?",
        "started": datetime(2026, 11, 23, 19, 24, 0, 250_000, timezone.utc),
        "ended": datetime(2026, 11, 23, 19, 24, tzinfo=timezone.utc),
        **context,
        "parent": "1" * 32,
        "dirty": True,
        "trusted": True,
        "set_aside": False,
        "tags": [("team", "b")],
        "inputs": [{**dataset, "schema": None, "profile": None, "tags": [("a", "b")]}],
        "outputs": [{"id": "m-1", "step": 3}],
        "model_inputs": ["m-0"],
        "also": [".series"],
        "record": data.decode(),
    }


def test_the_columns_of_verdicts() -> None:
    record = {"run": "1", "model": "wine", "outcome": "FAIL", "created": "2026-11-23T19:24:00Z", "dry_run": True}
    key = f"verdicts/{1:032x}-abc.json"
    placed, _ = place({key: dumps(record)})
    ((folder, verdicts),) = placed.items()
    assert folder == "verdicts/model=wine/month=2026-11"
    (row,) = rows(encode("verdicts", verdicts))
    assert (row["run"], row["outcome"], row["dry_run"], row["baseline_run"]) == ("1", "FAIL", True, None)
    assert row["record"].encode() == dumps(record)


def test_rich_and_poor_runs_have_one_schema() -> None:
    poor, rich = run(1), run(2, metrics={"a": 1.0}, params={"b": 1}, tags={"c": "d"})
    schemas = []
    for key, data in (poor, rich):
        import pyarrow as pa

        schemas.append(pq.read_schema(pa.BufferReader(encode("runs", [Row(key, data.decode())]))))
    assert schemas[0] == schemas[1]


def test_what_is_read_is_what_was_written() -> None:
    written = [
        Row(key, data.decode(), (".series",) * (n % 2)) for n in range(50) for key, data in [run(n, tags={"é": "ü"})]
    ]
    name = "runs/model=wine/month=2026-11/000001-x-00.parquet"
    assert decode(encode("runs", written), name) == {row.key: row for row in written}


@pytest.mark.parametrize("cut", [0, 3, 40, 500, -1])
def test_a_damaged_segment_is_named(cut: int) -> None:
    data = encode("runs", [Row(*(run()[0], run()[1].decode()))])
    with pytest.raises(RecordError, match=r"x\.parquet"):
        decode(data[:cut], "runs/x.parquet")


def test_a_segment_of_something_else_is_named() -> None:
    data = encode("runs", [Row(*(run()[0], run()[1].decode()))])
    with pytest.raises(RecordError, match="a row without a record"):
        decode(data, "verdicts/x.parquet")


def test_columns_that_are_not_what_the_records_say_are_named() -> None:
    import pyarrow as pa

    name = "runs/model=wine/month=2026-11/000001-x-00.parquet"
    written = [Row(key, data.decode()) for n in range(3) for key, data in [run(n, metrics={"a": n / 8, "b": "NaN"})]]
    data = encode("runs", written)
    table = pq.read_table(pa.BufferReader(data))

    def as_file(table: pa.Table, **options: Any) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, **options)
        return bytes(sink.getvalue().to_pybytes())

    def wrong(data: bytes) -> list[str]:
        return wrong_columns(data, name, decode(data, name).values())

    # Bytes of another library, and what a newer ciplug has added, are as good.
    assert wrong(data) == wrong(as_file(table.append_column("new", pa.array([1, 2, 3])), compression="gzip")) == []
    assert wrong(as_file(table.drop_columns(["status"]))) == [], "an older ciplug has written fewer of them"
    metrics = pa.array([[("a", 0.9), ("b", math.nan)]] * 3, pa.map_(pa.string(), pa.float64()))
    at = table.column_names.index("metrics")
    assert wrong(as_file(table.set_column(at, "metrics", metrics))) == ["metrics"]
    assert wrong(as_file(table.rename_columns({"status": "stabus"}))) == ["status"]
    # Whatever one flipped bit changes of what a query reads is found.
    draw = random.Random(7)
    harmful = 0
    for at in draw.sample(range(4, len(data) - 8), 150):
        flipped = bytearray(data)
        flipped[at] ^= 1 << draw.randrange(8)
        try:
            harmless = repr(pq.read_table(pa.BufferReader(bytes(flipped))).to_pylist()) == repr(table.to_pylist())
        except (pa.ArrowException, OSError, ValueError):
            harmless = False
        if not harmless:
            harmful += 1
            with contextlib.suppress(RecordError):
                assert wrong(bytes(flipped)), at
    assert harmful > 20
