"""Columns say of many runs what their records say, as far as it is understood, and nothing else."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.errors import RecordError
from ciplug.records import columns
from ciplug.records.canonical import dumps
from ciplug.records.inputs import DatasetInput
from ciplug.records.keys import run_key
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import Run

NAMES = st.text("abc/_", min_size=1, max_size=3)
RUNS = st.builds(
    Run,
    id=st.text("0123456789abcdef", min_size=4, max_size=8),
    model=st.sampled_from(["wine", "beer"]),
    status=st.sampled_from(["finished", "failed"]),
    started=st.just("2026-11-25T00:00:00.000Z"),
    ended=st.just("2026-11-25T00:00:01.000Z"),
    commit=st.none() | st.just("a" * 40),
    metrics=st.dictionaries(NAMES, st.floats(), max_size=3),
    params=st.dictionaries(NAMES, st.integers() | st.text(max_size=3) | st.booleans(), max_size=3),
    tags=st.dictionaries(NAMES, st.text(max_size=3), max_size=2),
    inputs=st.lists(
        st.builds(
            DatasetInput,
            name=NAMES,
            digest=NAMES,
            source_type=st.just("local"),
            source=NAMES,
            context=st.none() | NAMES,
        ),
        max_size=3,
    ).map(tuple),
    provenance=st.just(Provenance(context=Context(branch="main", actor="alice", host="local"))),
)


@given(st.lists(RUNS, max_size=6, unique_by=run_key))
def test_columns_say_what_the_records_say_also_after_a_journey(runs: list[Run]) -> None:
    held = columns.of((run_key(run).key, dumps(run)) for run in runs)
    again = columns.decode(columns.encode(held), "x")
    for found in (held, again):
        assert found.keys == [run_key(run).key for run in runs]
        assert found.attributes["branch"] == ["main"] * len(runs)
        assert found.attributes["commit"] == [run.commit for run in runs]
        for row, run in enumerate(runs):
            for name in columns.DATASETS:
                column = found.datasets.get(name, columns.Sparse())
                held = [value for at, value in zip(column.rows, column.values, strict=True) if at == row]
                assert held == [value for one in run.inputs if (value := getattr(one, name)) is not None]
            for kind in ("metrics", "params", "tags"):
                said = {
                    name: column.values[column.rows.index(row)]
                    for name, column in getattr(found, kind).items()
                    if row in column.rows
                }
                assert repr(dict(sorted(said.items()))) == repr(dict(sorted(getattr(run, kind).items())))


def record(**fields: Any) -> bytes:
    return json.dumps({"id": "1", "model": "wine", **fields}).encode()


def test_a_newer_record_is_seen_as_far_as_it_is_understood() -> None:
    newer = record(
        schema=9,
        status={"now": "structured"},
        metrics={"a": 1, "b": [1, 2], "c": "NaN", "d": "12", "e": True, "f\nf": 1},
    )
    held = columns.of([("runs/none-1.json", newer)])
    assert held.keys == ["runs/none-1.json"]
    assert held.attributes["status"] == [None]
    assert set(held.metrics) == {"a", "c"}
    assert math.isnan(held.metrics["c"].values[0])


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"id": 1, "model": "x"}', b'{"model": "x"}', b"[" * 100_000])
def test_what_is_not_a_run_is_passed_over(data: bytes) -> None:
    assert len(columns.of([("runs/none-1.json", data), ("runs/none-2.json", record())])) == 1
    assert len(columns.of([("verdicts/none-1-2.json", record()), ("runs/none-1.series", record())])) == 0


@pytest.mark.parametrize(
    "harm",
    [
        lambda v: v.pop("keys"),
        lambda v: v.update(version=columns.VERSION + 1),
        lambda v: v.pop("amendments"),
        lambda v: v.update(amendments={"amend/none-1-1-aaaaaaaa.json": {}}),
        lambda v: v.update(amendments={"amend/none-1.json": {"run": "1", "model": "m", "seq": 1, "created": "x"}}),
        lambda v: v["attributes"].update(id=["1", "2"]),
        lambda v: v["attributes"].update(id=[1]),
        lambda v: v["metrics"]["a"].update(values=["many"]),
        lambda v: v["metrics"]["a"].update(values=[1.0, 2.0]),
        lambda v: v["metrics"]["a"].update(rows=[5]),
        lambda v: v["metrics"]["a"].update(rows=[-1]),
        lambda v: v["metrics"]["a"].update(rows=["0"]),
    ],
)
def test_damaged_columns_are_refused(harm: Any) -> None:
    value = json.loads(columns.encode(columns.of([("runs/none-1.json", record(metrics={"a": 1.5}))])))
    harm(value)
    with pytest.raises(RecordError, match="x: "):
        columns.decode(json.dumps(value).encode(), "x")


@given(st.binary(max_size=50))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        columns.decode(data, "x")
