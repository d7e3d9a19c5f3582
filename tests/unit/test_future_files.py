"""Files that a newer ciplug wrote: what it has added is skipped; what cannot be understood says to upgrade."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from ciplug.errors import RecordError
from ciplug.records import columns, read
from ciplug.records.amendment import Amendment
from ciplug.records.canonical import dumps, plain
from ciplug.records.keys import amendment_key, amendment_object, run_key
from ciplug.records.run import Run
from ciplug.records.verdict import Verdict
from ciplug.stores.bucket import segment_files
from ciplug.stores.git import segments

RUN = Run(id="1", model="wine", status="finished", started="2026-11-28T00:00:00Z", ended="2026-11-28T00:00:01Z")
AMENDMENT = Amendment(run="1", model="wine", seq=1, created="2026-11-28T00:00:00Z", tags={"a": "b"})
VERDICT = Verdict(run="1", model="wine", outcome="PASS", created="x", policy_digest="d", policy_file="ciplug.yaml")
KEY = run_key(RUN).key


def newer(record: Any, **fields: Any) -> bytes:
    return dumps({**plain(record), **fields})


def amendment(**fields: Any) -> tuple[str, bytes]:
    data = newer(AMENDMENT, **fields)
    return amendment_key(AMENDMENT, data).key, data


# Records


def test_unknown_fields_of_records_are_skipped() -> None:
    assert read.run(newer(RUN, carbon={"grams": 12}), KEY) == RUN
    assert read.verdict(newer(VERDICT, mood="good"), "k") == VERDICT
    key, data = amendment(pinned=True, context={"planet": "mars"})
    assert read.amendment(data, key) == AMENDMENT


def test_a_field_that_has_changed_its_shape_says_to_upgrade() -> None:
    key, data = amendment(schema=2, tags=["a=b"])
    for read_it in (
        lambda: read.run(newer(RUN, schema=2, status={"now": "structured"}), KEY),
        lambda: read.verdict(newer(VERDICT, schema=2, outcome="SUPER"), "k"),
        lambda: read.amendment(data, key),
    ):
        with pytest.raises(RecordError) as caught:
            read_it()
        assert "upgrade ciplug" in (caught.value.hint or "")


# Columns


def of_the_future(**fields: Any) -> bytes:
    """The columns of a run and an amendment, as a newer version could write them."""
    amended, data = amendment_object(AMENDMENT)
    value = json.loads(columns.encode(columns.of([(KEY, dumps(RUN)), (amended.key, data)])))
    return json.dumps({**value, **fields}).encode()


def test_columns_carry_the_names_they_have() -> None:
    value = json.loads(of_the_future(datasets={"wine.csv": {"values": ["x"]}}))
    value["attributes"]["planet"] = ["mars"]
    held = columns.decode(json.dumps(value).encode(), "x")
    assert not held.lacking
    assert held.attributes["model"] == ["wine"] and "planet" not in held.attributes
    assert held.amendments == columns.decode(of_the_future(), "x").amendments


def test_what_older_columns_lack_is_named() -> None:
    value = json.loads(of_the_future())
    del value["attributes"]["host"]
    held = columns.decode(json.dumps(value).encode(), "x")
    assert held.lacking == {"host"}
    assert held.attributes["host"] == [None]


def test_columns_of_a_later_version_are_left_to_their_writer() -> None:
    later = of_the_future(version=columns.VERSION + 1)
    assert columns.is_newer(later)
    assert not columns.is_newer(of_the_future()) and not columns.is_newer(b"noise")
    with pytest.raises(RecordError, match=f"this ciplug reads {columns.VERSION}"):
        columns.decode(later, "x")


# Segments of the git store


def test_lines_with_more_in_them() -> None:
    oid = "a" * 40
    record = json.dumps({"key": KEY, "record": json.loads(dumps(RUN)), "signed": {"by": "x"}})
    blob = json.dumps({"blob": oid, "key": "runs/none-1.series", "size": 3})
    content = segments.read_lines(f"{record}\n{blob}\n".encode(), "x")
    assert content.records == {KEY: dumps(RUN)}
    assert content.blobs == {"runs/none-1.series": oid}


def test_a_line_that_is_not_understood_says_to_upgrade() -> None:
    with pytest.raises(RecordError) as caught:
        segments.read_lines(b'{"chunk":["a"],"key":"k"}\n', "x")
    assert "newer ciplug" in (caught.value.hint or "")


def test_an_index_that_goes_on_in_another_way_is_read_as_far_as_it_can_be() -> None:
    marks = segments.marks_of([KEY])
    name = segments.name_of(1, b"x\n")
    index = segments.write_index({name: marks})
    assert segments.read_index(index + b"bloom 000002-aaaaaaaaaaaa 12\nxxxx") == {name: marks}


# Parquet


def test_parquet_with_more_columns() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    key, data = amendment_object(AMENDMENT)
    for kind, row in (
        ("runs", segment_files.Row(KEY, dumps(RUN).decode())),
        ("amend", segment_files.Row(key.key, data.decode(), (".series",))),
    ):
        table = pq.read_table(io.BytesIO(segment_files.encode(kind, [row])))
        sink = pa.BufferOutputStream()
        pq.write_table(table.append_column("planet", pa.array(["mars"])), sink)
        name = f"{kind}/model=wine/month=2026-11/000001-aaaaaaaa-00.parquet"
        assert segment_files.decode(sink.getvalue().to_pybytes(), name) == {row.key: row}
