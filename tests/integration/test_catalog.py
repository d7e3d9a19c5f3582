"""The catalog: every run once, whatever is loose, unsent or in a segment, and whatever happens to the cache."""

from __future__ import annotations

import json
import math
import multiprocessing
import sqlite3
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import RecordError, StoreError, UsageError
from ciplug.git.workspace import configuration
from ciplug.records import columns as columnar
from ciplug.records.amendment import Amendment
from ciplug.records.columns import Columns
from ciplug.records.keys import amendment_object, parse_runs
from ciplug.stores.git import folding
from ciplug.stores.git.store import GitStore
from ciplug.tracking import catalog_file as module
from ciplug.tracking.catalog import Catalog
from ciplug.tracking.query import LIFECYCLE, Key
from ciplug.tracking.query_language import parse, parse_order
from ciplug.tracking.runs import Runs

BY_ACCURACY = [parse_order("metrics.accuracy DESC")]


def record(number: int, **facts: Any) -> tuple[str, bytes]:
    """Key and bytes of a run: its accuracy is a hundredth of its number."""
    run = {
        "id": f"{number:032x}",
        "model": "wine",
        "status": "finished",
        "commit": f"{number % 7:040x}",
        "started": f"2026-11-{1 + number % 28:02d}T00:00:00.000Z",
        "ended": f"2026-11-{1 + number % 28:02d}T01:00:00.000Z",
        "schema": 1,
        "metrics": {"accuracy": number / 100},
        "params": {"depth": number % 3},
        "provenance": {"context": {"branch": "main"}},
        **facts,
    }
    return f"runs/{run['commit']}-{run['id']}.json", json.dumps(run).encode()


class MemoryStore:
    """What the catalog asks of a store; counts what it is asked."""

    uri = address = "memory:"

    def __init__(self) -> None:
        self.closed: dict[str, bytes] = {}
        self.open: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.read_keys: list[str] = []
        self.refreshed = 0

    def add(self, *records: tuple[str, bytes]) -> None:
        self.open.update(records)

    def close(self, name: str) -> None:
        """All that is loose goes into a segment."""
        self.closed[name] = columnar.encode(columnar.of(self.open.items()))
        self.open = {}

    def refresh(self) -> None:
        self.refreshed += 1

    def segments(self) -> list[str]:
        return sorted(self.closed)

    def columns(self, segments: Iterable[str]) -> dict[str, Columns]:
        names = list(segments)
        self.asked += names
        return {name: columnar.decode(self.closed[name], name) for name in names if name in self.closed}

    def loose(self) -> list[str]:
        return sorted(self.open)

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        wanted = list(keys)
        self.read_keys += wanted
        return {key: self.open[key] for key in wanted if key in self.open}


def amendment(number: int, seq: int, **fields: Any) -> tuple[str, bytes]:
    run = parse_runs([record(number)[0]])[0]
    made = Amendment(run=run.id, commit=run.commit, model="wine", seq=seq, created="2026-11-28T00:00:00Z", **fields)
    key, data = amendment_object(made)
    return key.key, data


@pytest.fixture
def store() -> MemoryStore:
    """Runs 0 to 9 in one segment, 10 to 19 in another, 20 to 24 in none."""
    made = MemoryStore()
    for name, numbers in (("000001", range(10)), ("000002", range(10, 20))):
        made.add(*map(record, numbers))
        made.close(name)
    made.add(*map(record, range(20, 25)), ("verdicts/x.json", b"{}"), ("runs/a-1.series", b"\0"))
    return made


def opened(store: MemoryStore, folder: Path | None, **options: Any) -> Catalog:
    return Catalog(store, folder, **options)  # type: ignore[arg-type]


def numbers(catalog: Catalog, where: str | None = None, limit: int | None = None) -> list[int]:
    """Numbers of the runs found, the best first."""
    found = catalog.search(parse(where) if where else (), BY_ACCURACY, limit)
    return [int(entry.id, 16) for entry in found.entries]


ALL = list(reversed(range(25)))


@pytest.mark.parametrize("kept", [True, False])
def test_every_run_is_found_once(store: MemoryStore, tmp_path: Path, kept: bool) -> None:
    unsent = dict([record(30), record(24), record(3)])  # the last two have been sent after all
    catalog = opened(store, tmp_path if kept else None, unsent=unsent)
    assert len(catalog) == 26
    assert numbers(catalog) == [30, *ALL]
    assert numbers(catalog, "metrics.accuracy < 0.21 AND params.depth = 1", limit=3) == [19, 16, 13]
    assert numbers(catalog, f"run_id IN ('{5:032x}', '{22:032x}')") == [22, 5]
    assert catalog.count(parse("commit LIKE '%3'")) == len([n for n in [30, *ALL] if n % 7 == 3])
    assert catalog.values(Key("attribute", "branch")) == {"main"}
    entry = catalog.search(limit=1).entries[0]
    assert (entry.metrics, entry.params) == ({"accuracy": 0.27 - 0.27 + int(entry.id, 16) / 100}, {"depth": 0})


def test_the_cache_is_extended_and_never_fetched_twice(store: MemoryStore, tmp_path: Path) -> None:
    opened(store, tmp_path)
    assert store.asked == ["000001", "000002"]
    assert sorted(store.read_keys) == sorted(key for key in store.open if key.endswith(".json") and "runs" in key)
    store.asked, store.read_keys = [], []
    assert numbers(opened(store, tmp_path)) == ALL
    assert (store.asked, store.read_keys) == ([], [])
    store.close("000003")
    store.add(record(25))
    assert numbers(opened(store, tmp_path)) == [25, *ALL]
    assert (store.asked, store.read_keys) == (["000003"], [record(25)[0]])


def test_a_run_on_its_way_into_a_segment_is_not_doubled(store: MemoryStore, tmp_path: Path) -> None:
    moving = dict(store.open)
    opened(store, tmp_path)
    store.close("000003")
    store.open = moving  # not yet taken away
    catalog = opened(store, tmp_path)
    assert len(catalog) == 25
    assert numbers(catalog) == ALL
    store.open = {}
    assert numbers(opened(store, tmp_path)) == ALL


def test_what_retention_took_away_is_forgotten(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = opened(store, tmp_path)
    gone = store.closed.pop("000001")
    after = opened(store, tmp_path)
    assert numbers(after) == ALL[:15]
    assert after.names("metric") == ["accuracy"]
    assert numbers(before) == ALL, "a process that began before sees what it saw"
    store.closed["000001"] = gone
    assert numbers(opened(store, tmp_path)) == ALL
    del store.closed["000001"]
    opened(store, tmp_path)
    monkeypatch.setattr(module, "_GRACE", -1.0)
    opened(store, tmp_path)
    (file,) = tmp_path.glob("*.sqlite")
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT name FROM segments").fetchall() == [("000002",)]
        assert db.execute("SELECT count(*) FROM columns WHERE segment = '000001'").fetchone() == (0,)


def test_a_segment_that_has_gone_stays_for_a_while_for_those_who_read_it(store: MemoryStore, tmp_path: Path) -> None:
    """Another process may have begun before retention, and ask when others have opened the cache several times."""
    before = opened(store, tmp_path)
    del store.closed["000001"]
    for _ in range(3):
        assert numbers(opened(store, tmp_path)) == ALL[:15]
    assert numbers(before) == ALL


def _garbage(file: Path) -> None:
    file.write_bytes(b"no database at all " * 1000)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:9000])


def _zeros(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    file.write_bytes(data)


def _statement(sql: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        with sqlite3.connect(file) as db:
            db.execute(sql)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        _garbage,
        _cut,
        _zeros,
        lambda file: file.write_bytes(b""),
        _statement("PRAGMA user_version = 98"),
        _statement("DROP TABLE loose"),
        _statement("UPDATE columns SET data = x'00' WHERE kind = 'metric'"),
        _statement("UPDATE columns SET data = '[1' WHERE kind <> 'metric'"),
        _statement("DELETE FROM columns WHERE kind = 'key'"),
    ],
    ids=["garbage", "cut", "zeros", "empty", "version", "table", "doubles", "json", "keys"],
)
def test_a_damaged_cache_is_made_anew(store: MemoryStore, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    opened(store, tmp_path)
    (file,) = tmp_path.glob("*.sqlite")
    damage(file)
    assert numbers(opened(store, tmp_path)) == ALL
    store.asked = []
    assert numbers(opened(store, tmp_path)) == ALL
    assert store.asked == [], "and is kept again"


def test_where_nothing_can_be_written_memory_does(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    assert numbers(opened(store, tmp_path / "file" / "below")) == ALL
    opened(store, tmp_path)
    store.close("000003")
    store.add(record(25))
    store.asked = []
    monkeypatch.setattr(module, "_WAIT", 0.05)
    (file,) = tmp_path.glob("*.sqlite")
    with sqlite3.connect(file) as other:
        other.execute("BEGIN IMMEDIATE")
        assert numbers(opened(store, tmp_path)) == [25, *ALL]
        assert store.asked == ["000003"], "what was cached is read"


def _open_and_count(store: MemoryStore, folder: Path, barrier: Any, results: Any) -> None:
    barrier.wait()
    try:
        results.put(numbers(opened(store, folder)))
    except BaseException as problem:
        results.put(repr(problem))


@pytest.mark.parametrize("state", ["none", "damaged", "behind"])
def test_eight_processes_open_it_at_once(store: MemoryStore, tmp_path: Path, state: str) -> None:
    if state != "none":
        opened(store, tmp_path)
        (file,) = tmp_path.glob("*.sqlite")
        if state == "damaged":
            _garbage(file)
        else:
            store.close("000003")
            store.add(record(25))
    expected = [25, *ALL] if state == "behind" else ALL
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(8), fork.Queue()
    processes = [fork.Process(target=_open_and_count, args=(store, tmp_path, barrier, results)) for _ in range(8)]
    for process in processes:
        process.start()
    assert [results.get(timeout=120) for _ in processes] == [expected] * 8
    for process in processes:
        process.join()
    store.asked = []
    assert numbers(opened(store, tmp_path)) == expected
    assert store.asked == []


def test_names_and_values_are_never_part_of_a_query(tmp_path: Path) -> None:
    name = "x'); DROP TABLE columns; --\" ` ü"
    store = MemoryStore()
    tags = {name: "'; DELETE FROM segments; --", 'quo"te': "it's"}
    store.add(record(1, params={name: name}, tags=tags), record(2, tags={name: "other"}))
    store.close("0'; DROP TABLE segments; --")
    quoted = name.replace("`", "``")
    for _ in range(2):
        catalog = opened(store, tmp_path)
        assert numbers(catalog, f"tags.`{quoted}` = '''; DELETE FROM segments; --'") == [1]
        assert numbers(catalog, f"params.`{quoted}` LIKE '%DROP TABLE%'") == [1]
        assert numbers(catalog, "tags.\"quo\"\"te\" = 'it''s'") == [1]
        assert numbers(catalog) == [2, 1]


def test_what_no_run_has_is_said(store: MemoryStore, tmp_path: Path) -> None:
    catalog = opened(store, tmp_path)
    with pytest.raises(UsageError, match="no run has a metric 'acuracy'") as caught:
        numbers(catalog, "metrics.acuracy > 0.9")
    assert caught.value.hint == "did you mean 'accuracy'?"
    with pytest.raises(UsageError, match="no run has a tag 'team'") as caught:
        numbers(catalog, "tags.team = 'a'")
    assert caught.value.hint == "no run has a tag at all"
    with pytest.raises(UsageError, match="a parameter 'deep'"):
        catalog.search(order_by=[parse_order("params.deep")])
    assert numbers(opened(MemoryStore(), tmp_path / "other"), "metrics.acuracy > 0.9") == []


def test_nan_is_not_a_match_comes_last_and_is_counted(store: MemoryStore, tmp_path: Path) -> None:
    store.add(record(40, metrics={"accuracy": "NaN"}), record(41, metrics={"other": 1}))
    for _ in range(2):
        catalog = opened(store, tmp_path)
        found = catalog.search((), BY_ACCURACY)
        assert [int(e.id, 16) for e in found.entries] == [*ALL, 40, 41]
        assert math.isnan(found.entries[-2].metrics["accuracy"])
        assert (found.undefined, found.absent) == (1, 1)
        assert catalog.search(parse("metrics.accuracy != 7")).left_out == 1
        store.close("000004")


def test_records_that_are_none_are_named(store: MemoryStore, tmp_path: Path) -> None:
    key, data = record(50)
    store.add((key.replace("0032", "0033"), data), ("runs/a-2.json", b"{"), record(51, commit="--all"))
    catalog = opened(store, tmp_path)
    assert numbers(catalog) == ALL
    assert len(catalog.problems) == 3
    store.close("000003")
    catalog = opened(store, tmp_path)
    assert numbers(catalog) == ALL
    assert len(catalog.problems) == 2, "what is no record is in no column"


def test_hostile_records_and_columns_stop_nobody(store: MemoryStore, tmp_path: Path) -> None:
    huge = int("1" + "0" * 400)
    store.add(record(60, metrics={"accuracy": huge}, params={"depth": huge}), record(61, metrics={"accuracy": 9}))
    assert numbers(opened(store, tmp_path / "loose")) == [61, *ALL, 60]
    store.close("000003")
    forged = columnar.decode(store.closed["000003"], "")
    forged.attributes["id"][-1] = None
    store.closed["000003"] = columnar.encode(forged)
    catalog = opened(store, tmp_path)
    assert numbers(catalog) == [*ALL, 60]
    assert len(catalog.problems) == 1
    assert numbers(catalog, "params.depth > 100") == [60]
    forged.tags["team"] = columnar.Sparse([0], [{"a": 1}])
    with pytest.raises(RecordError, match="of another type"):
        columnar.decode(columnar.encode(forged), "000003")


def test_a_segment_without_runs_is_not_damage(store: MemoryStore, tmp_path: Path) -> None:
    store.close("000003")
    store.add(("verdicts/x.json", b"{}"))
    store.close("000004")
    for _ in range(2):
        assert numbers(opened(store, tmp_path, unsent=dict([record(30)]))) == [30, *ALL]
    assert store.asked == ["000001", "000002", "000003", "000004"]


def test_a_run_is_found_by_the_beginning_of_its_id(store: MemoryStore, tmp_path: Path) -> None:
    ids = {n: f"{n:x}".rjust(32, "f") for n in (1, 2, 3)}
    store.add(*(record(n, id=ids[n]) for n in (1, 2)))
    store.close("000003")
    store.add(record(3, id=ids[3]))
    runs = Runs(store, None, tmp_path)  # type: ignore[arg-type]
    assert runs.get(ids[3]).id == ids[3]
    assert runs.catalog.find("f" * 20) == [record(n, id=ids[n])[0] for n in (1, 2, 3)]
    with pytest.raises(UsageError, match="the beginning of 3 runs"):
        runs.get("ffff")
    with pytest.raises(UsageError, match="no run 'abc'"):
        runs.get("abc")
    with pytest.raises(UsageError):
        runs.get("")


def test_a_store_that_never_answered_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    class Unreachable(MemoryStore):
        def loose(self) -> list[str]:
            raise StoreError("the bucket does not exist")

    with pytest.raises(StoreError):
        opened(Unreachable(), tmp_path)
    with pytest.raises(UsageError, match="nothing is kept on this machine"):
        opened(Unreachable(), tmp_path, offline=True)


def test_offline_answers_from_the_cache_as_it_was(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is kept"):
        opened(store, tmp_path, offline=True)
    assert opened(store, tmp_path).as_of is None
    store.close("000003")
    store.add(record(25))
    store.asked = []
    catalog = opened(store, tmp_path, offline=True, unsent=dict([record(60)]))
    assert numbers(catalog) == [60, *ALL]
    assert catalog.as_of is not None
    assert store.asked == []
    (file,) = tmp_path.glob("*.sqlite")
    _garbage(file)
    with pytest.raises(UsageError, match="damaged"):
        opened(store, tmp_path, offline=True)


def test_a_segment_that_cannot_be_read_is_named_and_stops_no_other(store: MemoryStore, tmp_path: Path) -> None:
    whole, store.columns = store.columns, lambda names: whole(name for name in names if name != "000001")  # type: ignore[method-assign]
    catalog = opened(store, tmp_path)
    assert numbers(catalog) == ALL[:15]
    assert list(catalog.problems) == ["000001"]
    store.columns = whole  # type: ignore[method-assign]
    assert numbers(opened(store, tmp_path)) == ALL, "once it can be read, it is"


@pytest.mark.slow
def test_over_the_git_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "SEGMENT_AT", 4)
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "remote.git")], check=True)
    url = (tmp_path / "remote.git").as_uri()

    def git_store() -> GitStore:
        config = configuration(tmp_path)
        return GitStore(url, uri=url, branch="ciplug", cache=tmp_path / "cache", config=config)

    def add(*new: int) -> None:
        for number in new:
            key, data = record(number)
            git_store().add({key: data + b"\n", key.replace(".json", ".series"): b"\0"})

    def found() -> list[int]:
        return numbers(Catalog(git_store(), tmp_path / "catalog"))

    add(0, 1, 2)
    assert found() == [2, 1, 0], "pending"
    git_store().compact()
    (segment,) = git_store().segments()
    add(3, 4)
    assert found() == [4, 3, 2, 1, 0], "in a segment, and pending"
    asked: list[str] = []
    columns = GitStore.columns
    monkeypatch.setattr(GitStore, "columns", lambda self, names: columns(self, asked_for(asked, names)))
    git_store().compact()
    assert found() == [4, 3, 2, 1, 0], "in two"
    assert len(asked) == 1
    assert segment not in asked
    git_store().drop([record(1)[0]], "a test of retention")
    assert found() == [4, 3, 2, 0]
    assert Runs(git_store(), None, tmp_path / "catalog").get(f"{3:032x}").metrics == {"accuracy": 0.03}


def asked_for(asked: list[str], names: Iterable[str]) -> list[str]:
    wanted = list(names)
    asked += wanted
    return wanted


def test_a_long_lived_catalog_sees_what_others_write(store: MemoryStore, tmp_path: Path) -> None:
    catalog = opened(store, tmp_path)
    store.add(record(25), amendment(3, 1, name="late"), amendment(25, 1, lifecycle="deleted"))
    catalog.refresh(max_age=3600)
    assert (len(catalog), store.refreshed) == (25, 0), "it was asked a moment ago"
    catalog.refresh()
    assert (numbers(catalog), store.refreshed) == ([25, *ALL], 1)
    assert [entry.id for entry in catalog.search(parse("run_name = 'late'")).entries] == [f"{3:032x}"]
    found = catalog.search(hide=("deleted",))
    assert (found.total, found.hidden) == (25, 1)
    catalog.refresh(unsent=dict([record(26)]))
    assert numbers(catalog) == [26, 25, *ALL]


def test_amendments_change_what_is_read_and_not_what_is_kept(store: MemoryStore, tmp_path: Path) -> None:
    store.add(amendment(3, 1, tags={"team": "red"}, metrics={"accuracy": 7.0, "auc": 0.5}), amendment(12, 2, name="b"))
    store.add(amendment(12, 1, name="a"), amendment(99, 1, name="of no run"), amendment(3, 2, untag=("team",)))
    for closed in (False, True):
        if closed:
            store.close("000003")
        catalog = opened(store, tmp_path)
        assert not catalog.problems
        assert numbers(catalog, limit=1) == [3]
        assert catalog.names("metric") == ["accuracy", "auc"]
        assert list(catalog.column(Key("metric", "auc")).rows) == [catalog.row_of(record(3)[0])]
        assert catalog.values(Key("attribute", "name")) == {"b"}
        assert catalog.values(LIFECYCLE) == {"active"}
        with pytest.raises(UsageError, match="no run has a tag 'team'"):
            catalog.search(parse("tags.team = 'red'"))
        row = catalog.row_of(record(12)[0])
        assert row is not None and catalog.entries([row])[0].attributes["name"] == "b"


def test_an_amendment_that_cannot_be_read_is_named(store: MemoryStore, tmp_path: Path) -> None:
    key, _ = amendment(3, 1, name="x")
    store.add((key, b'{"run":7}'))
    catalog = opened(store, tmp_path)
    assert list(catalog.problems) == [key]
    objection = catalog.changes(record(3)[0]).objection
    assert objection is not None and key in objection


def test_an_amendment_that_cannot_be_read_stays_so_in_a_segment(store: MemoryStore, tmp_path: Path) -> None:
    damaged, _ = amendment(3, 1, name="x")
    stray = amendment(4, 1, name="x")[0].replace("-1-", "-1000000000000000-")
    store.add((damaged, b'{"run":7}'), (stray, b"{}"))
    store.close("000003")
    for catalog in (opened(store, tmp_path), opened(store, tmp_path)):
        assert catalog.problems.keys() == {damaged, stray}
        assert [catalog.changes(record(n)[0]).unread for n in (3, 4)] == [(damaged,), (stray,)]
