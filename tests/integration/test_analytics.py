"""What docs/object-stores.md says about queries: the DuckDB one runs, and the table has the columns of the files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.records.amendment import Amendment
from ciplug.records.canonical import dumps
from ciplug.records.keys import amendment_object
from ciplug.stores import Store, open_store
from ciplug.tracking.catalog import Catalog
from tests.duck import connect
from tests.servers.seaweedfs import S3

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "object-stores.md").read_text(encoding="utf-8")
PLACE = "s3://acme-ml/ciplug"
MOMENT = "2026-03-01T00:00:00Z"
DATASET = ", ".join(
    f"{name}: string" for name in ("name", "digest", "source_type", "source", "context", "schema", "profile")
)
DATASET += ", tags: map<string, string>"
MODELS = ["wine", "acme/wine = 50%", "Größe, süß", "2026"]


def block(mark: str) -> str:
    found = re.search(rf"<!-- {mark} -->\n```sql\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"the page has no block marked {mark}"
    return found[1]


def fill(uri: str, env: dict[str, str]) -> None:
    """40 runs of four models, the first ten of 2025, the last two without a finite accuracy; a fold each ten."""
    for number in range(40):
        record: dict[str, Any] = {
            "id": f"{number:032x}",
            "model": MODELS[number % 4],
            "status": "finished",
            "started": f"{2026 - (number < 10)}-{1 + number % 3:02d}-23T19:24:00.000Z",
            "metrics": {"accuracy": {38: "NaN", 39: "Infinity"}.get(number, number / 100)},
            "provenance": {"context": {"branch": "main"}},
        }
        open_store(uri, None, env).add({f"runs/{'a' * 40}-{number:032x}.json": dumps(record)})
        if number % 10 == 9:
            open_store(uri, None, env).compact()


def check(rows: list[Any]) -> None:
    """The best twenty of 2026, without those that are not finite."""
    models, ids, branches, values, started = zip(*rows, strict=True)
    expected = list(range(37, 17, -1))
    assert list(ids) == [f"{number:032x}" for number in expected]
    assert list(models) == [MODELS[number % 4] for number in expected]
    assert list(values) == [number / 100 for number in expected]
    assert set(branches) == {"main"}
    assert {(moment.year, moment.month) for moment in started} == {(2026, 1), (2026, 2), (2026, 3)}


@pytest.mark.slow
def test_the_query_over_a_folder(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    uri = (tmp_path / "store").as_uri()
    fill(uri, {"HOME": str(tmp_path)})
    check(duckdb.sql(block("query").replace(PLACE, str(tmp_path / "store"))).fetchall())


def test_the_query_with_amendments_marks_what_does_not_count(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    uri = (tmp_path / "store").as_uri()
    fill(uri, {"HOME": str(tmp_path)})

    def store() -> Store:
        return open_store(uri, None, {"HOME": str(tmp_path)})

    def amend(number: int, seq: int, **fields: Any) -> None:
        made = Amendment(run=f"{number:032x}", model=MODELS[number % 4], commit="a" * 40, seq=seq, created=MOMENT)
        key, data = amendment_object(replace(made, **fields))
        store().add({key.key: data})

    amend(1, 1, withdrawn=True, reason="wrong labels")
    amend(2, 1, lifecycle="deleted")
    amend(2, 2, lifecycle="active", name="again")
    amend(3, 2, tags={"team": "red"})
    amend(3, 1, tags={"team": "blue"})
    store().compact()
    amend(4, 1, tags={"team": "red"})
    amend(4, 2, untag=("team",))
    amend(5, 1, withdrawn=True)
    amend(5, 2, withdrawn=False)
    amend(5, 3, status="killed", ended=MOMENT)
    amend(5, 4, status="failed", ended=MOMENT, params={"depth": 6})
    amend(6, 1, lifecycle="deleted", withdrawn=True)
    store().compact()
    query = block("amended").replace(PLACE, str(tmp_path / "store"))
    rows = {row[1]: row[2:] for row in duckdb.sql(query).fetchall()}
    catalog = Catalog(store())
    for entry in catalog.search().entries:
        name, status, _, state, team = rows[entry.id]
        assert (name, state, team) == (entry.attributes.get("name"), entry.state, entry.tags.get("team"))
        assert status == entry.attributes["status"]
    assert len(rows) == 40
    assert [rows[f"{n:032x}"][3] for n in range(1, 7)] == [
        *("withdrawn", "active", "active", "active", "active", "deleted")
    ]
    check(duckdb.sql(block("query").replace(PLACE, str(tmp_path / "store"))).fetchall())


@pytest.mark.e2e
def test_the_query_over_s3(tmp_path: Path, s3: S3) -> None:
    uri = f"s3://runs/{tmp_path.name}"
    fill(uri, {**s3.env, "HOME": str(tmp_path)})
    connection, files = connect(s3.env)
    check(connection.sql(block("query").replace(PLACE, uri)).fetchall())
    assert files.requests


def test_the_table_has_the_columns_of_the_files(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    fill((tmp_path / "store").as_uri(), {"HOME": str(tmp_path)})
    files = sorted((tmp_path / "store" / "runs").rglob("*.parquet"))
    declared, partitions = block("table").split("PARTITIONED BY")
    columns = dict(re.findall(r"`(\w+)` ([\w<>,:]+?),?\n", declared))
    hive = {
        "string": "string",
        "bool": "boolean",
        "timestamp[us, tz=UTC]": "timestamp",
        "list<element: string>": "array<string>",
        "map<string, double>": "map<string,double>",
        "map<string, string>": "map<string,string>",
        f"list<element: struct<{DATASET}>>": f"array<struct<{DATASET.replace(': ', ':').replace(', ', ',')}>>",
        "list<element: struct<id: string, step: int64>>": "array<struct<id:string,step:bigint>>",
    }
    for file in files:
        schema = parquet.read_schema(file)
        found = {name: re.sub(r" \('\w+'\)", "", str(schema.field(name).type)) for name in schema.names}
        assert {name: hive[kind] for name, kind in found.items()} == columns
    assert re.findall(r"`(\w+)` string", partitions) == ["model", "month"]
    folders = [file.relative_to(tmp_path / "store" / "runs").parts for file in files]
    assert {tuple(part.partition("=")[0] for part in parts[:-1]) for parts in folders} == {("model", "month")}
