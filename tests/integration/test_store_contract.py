"""What `ciplug/stores/base.py` promises, held against every place that a store can be at (tests/stores.py)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ciplug.errors import Cause, Conflict
from ciplug.records import columns
from ciplug.records.canonical import digest, dumps
from ciplug.records.columns import Columns
from ciplug.stores.base import Erases, Head, KeepsStates, Store
from tests.stores import Place, close_segments_at

COMMITS = [digit * 40 for digit in "abc"]
SEGMENT = 12
"""Objects that make a segment, in these tests."""
MANY = 20
"""So many objects do not all stay loose."""


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    close_segments_at(SEGMENT, monkeypatch)


def run_object(number: int, commit: str = COMMITS[0], **fields: Any) -> dict[str, bytes]:
    """A run as it is recorded: its numbers are told apart by `number`."""
    run_id = f"{number:032x}"
    metrics = {"accuracy": number / 1000, **({"loss": "NaN"} if number % 7 == 0 else {})}
    record = {
        "id": run_id,
        "model": "wine",
        "status": "finished",
        "started": "2026-11-23T19:24:00.000Z",
        "ended": "2026-11-23T19:25:00.000Z",
        "commit": commit,
        "params": {"depth": number % 5},
        "metrics": metrics,
        "provenance": {
            **({"dirty": number % 3 == 0} if number % 5 else {}),
            "context": {"host": "github_actions", "trusted": number % 4 != 0},
        },
        "schema": 1,
        **fields,
    }
    return {f"runs/{commit}-{run_id}.json": dumps(record)}


def runs_of(numbers: range, commit: str = COMMITS[0]) -> dict[str, bytes]:
    return {key: data for number in numbers for key, data in run_object(number, commit).items()}


def rows(tables: Mapping[str, Columns]) -> dict[str, Any]:
    """Key → all that the columns say of that run. A run stands in one of the tables, once."""
    found: dict[str, Any] = {}
    for table in tables.values():
        for row, key in enumerate(table.keys):
            assert key not in found, f"{key} stands twice"
            found[key] = {name: values[row] for name, values in table.attributes.items()}
        for kind in ("metrics", "params", "tags"):
            for name, column in getattr(table, kind).items():
                for row, value in zip(column.rows, column.values, strict=True):
                    found[table.keys[row]][kind, name] = repr(value)
    return found


def rows_of(objects: Mapping[str, bytes]) -> dict[str, Any]:
    return rows({"": columns.of(objects.items())})


def query(store: Store) -> dict[str, Any]:
    """All runs, as a question over many of them finds them."""
    closed = store.columns(store.segments())
    loose = store.loose()
    return rows({**closed, "": columns.of(store.read(loose).items())})


def assert_holds(store: Store, objects: Mapping[str, bytes]) -> None:
    """The store holds these objects, and no others."""
    assert store.keys("runs/", "verdicts/") == sorted(objects)
    assert store.read(objects) == objects
    assert query(store) == rows_of(objects)


# Objects


def test_an_empty_store_reads_as_empty(place: Place) -> None:
    store = place.open()
    assert store.keys("") == store.keys() == []
    assert store.read(["x"]) == store.read([]) == {}
    assert store.head("registry/m") is None
    assert store.entries("registry/m") == []
    assert store.logs("") == []
    assert store.segments() == []
    assert store.columns([]) == {}
    assert store.loose() == []
    assert store.compact() == 0
    assert store.drop(["runs/none"], "nothing is there") == 0
    assert store.notes == []
    place.check()


def test_what_is_added_is_read_by_another_and_by_the_writer(place: Place) -> None:
    objects = {"runs/a-1.json": b"one", "runs/a-1.series": b"\0\xff", "runs/b-2.json": b""}
    writer = place.open()
    assert writer.keys("") == []
    writer.add(objects)
    for store in (writer, place.open()):
        assert store.keys("") == sorted(objects)
        assert store.read([*objects, "runs/none", "runs/a-1"]) == objects
        assert store.loose() == sorted(objects)
    place.check()


def test_keys_are_found_by_group_and_by_any_other_beginning(place: Place) -> None:
    objects = dict.fromkeys(
        [
            "runs/a-1.json",
            "runs/a-1.series",
            "runs/a-2.json",
            "runs/ab-1.json",
            "runs/none-1.json",
            "verdicts/a-1-d.json",
        ],
        b"x",
    )
    place.open().add(objects)
    place.open().append("registry/a", None, b"event")
    (entry,) = place.open().keys("registry/")
    for _ in ("pending", "folded"):
        store = place.open()
        assert store.keys("runs/a-") == ["runs/a-1.json", "runs/a-1.series", "runs/a-2.json"]
        assert store.keys("runs/a-1") == ["runs/a-1.json", "runs/a-1.series"]
        assert store.keys("runs/a-1.json") == ["runs/a-1.json"]
        assert store.keys("runs/b-", "runs/c-", "verdicts/b-") == []
        assert store.keys("runs/a-2", "runs/ab-", "runs/a-", "verdicts/a-1") == [
            *("runs/a-1.json", "runs/a-1.series", "runs/a-2.json", "runs/ab-1.json", "verdicts/a-1-d.json")
        ]
        assert store.keys("runs/a") == store.keys("runs/a-", "runs/ab-")
        assert store.keys("runs/none-", "registry/a") == [entry, "runs/none-1.json"]
        assert store.keys("") == sorted([*objects, entry])
        store.compact()


def test_a_write_is_idempotent_and_other_bytes_are_refused_or_named(place: Place) -> None:
    key = "runs/a-1.json"
    for _ in range(2):
        place.open().add({key: b"one"})
    assert place.open().read([key]) == {key: b"one"}
    try:
        place.open().add({key: b"two"})
    except Conflict as refused:
        assert key in refused.message
        assert place.open().read([key]) == {key: b"one"}
        assert place.open().compact() == 1
        place.check()
        return
    for _ in range(2):
        store = place.open()
        assert (store.keys("runs/"), store.read([key])) == ([key], {})
        assert any(key in note for note in store.notes)
        assert any(problem.where == key for problem in place.open().check())
        assert place.open().compact() == 0


def test_a_write_after_the_fold_of_the_same_changes_nothing(place: Place) -> None:
    objects = run_object(1)
    place.open().add(objects)
    place.open().compact()
    place.open().add(objects)
    assert_holds(place.open(), objects)
    place.open().compact()
    assert_holds(place.open(), objects)
    place.check()


def test_other_bytes_after_the_fold_are_refused_or_named(place: Place) -> None:
    """A writer does not read the store first, so it may be the folder who finds out."""
    (key,) = objects = run_object(1)
    place.open().add(objects)
    place.open().compact()
    refused = False
    try:
        place.open().add({key: b"other"})
    except Conflict:
        refused = True
    for _ in range(2):
        assert_holds(place.open(), objects)
        assert refused or any(key in problem.where for problem in place.open().check())
        place.open().compact()
    place.sound()


def test_of_two_writes_that_share_a_key_the_first_counts(place: Place) -> None:
    first, second = {"runs/a-1.json": b"1", "runs/a-2.json": b"2"}, {"runs/a-2.json": b"other", "runs/a-3.json": b"3"}
    place.open().add(first)
    assert place.open().compact() == 1
    refused = False
    try:
        place.open().add(second)
    except Conflict:
        refused = True
    for _ in range(2):
        found = place.open().read(["runs/a-1.json", "runs/a-2.json", "runs/a-3.json"])
        assert found == (first if refused else {**second, **first})
        assert refused or any("runs/a-2.json" in problem.where for problem in place.open().check())
        place.open().compact()
    place.sound()


@pytest.mark.slow
def test_bytes_and_names_are_kept_as_they_are(place: Place) -> None:
    objects = {
        "runs/a-1.json": b'{"id":"1"}\n{"id":"2"}\n',
        "runs/a-2.json": b"no end of line",
        "runs/a-3.json": b"",
        "runs/a-4.json": b"\r\n\r\n",
        "runs/a-5.json": bytes(range(256)),
        "runs/a-6.series": bytes(range(256)) * 500,
        "runs/a-7.json": '{"id":"ä\u2028"}\n'.encode(),
        "runs/a-Größe é %2F +&=?#.json": b"a name",
    }
    place.open().add(objects)
    for _ in range(2):
        assert place.open().keys("runs/") == sorted(objects)
        assert place.open().read(objects) == objects
        # So many that they leave the loose ones.
        place.open().add(runs_of(range(MANY), COMMITS[1]))
        place.open().compact()
        place.open().drop(list(runs_of(range(MANY), COMMITS[1])), "room")
    place.check()


@pytest.mark.slow
def test_a_trial_is_taken_and_leaves_nothing(place: Place) -> None:
    for number in range(2):
        trials = place.open(may_fold=False).try_writes()
        assert {trial.cause for trial in trials} <= {None, Cause.UNKNOWN}
        assert trials[0].cause is None
        assert [trial.what for trial in trials][:2] == ["write", "delete"]
        assert len(place.open().keys("")) == number
        place.open().add(run_object(number))
        place.open().compact()
        place.check()


@pytest.mark.slow
def test_a_refreshed_store_sees_what_others_have_written(place: Place) -> None:
    stays = place.open()
    assert_holds(stays, {})
    assert stays.entries("registry/m") == []
    objects = run_object(1)
    place.open().add(objects)
    head = place.open().append("registry/m", None, b"event")
    stays.refresh()
    assert_holds(stays, objects)
    assert stays.head("registry/m") == head and stays.entries("registry/m") == [b"event"]
    more = runs_of(range(2, MANY))
    place.open().add(more)
    place.open().compact()
    assert place.open().drop(objects, "room") == 1
    stays.refresh()
    assert_holds(stays, more)
    stays.add(objects)
    stays.refresh()
    assert_holds(stays, {**objects, **more})
    place.check()


# Logs


def test_a_log_is_read_after_an_append_without_being_refreshed(place: Place) -> None:
    store = place.open()
    objects = runs_of(range(MANY))
    place.open().add(objects)
    assert_holds(store, objects)
    first = store.append("registry/m", store.head("registry/m"), b"event 1")
    assert store.head("registry/m") == first and store.entries("registry/m") == [b"event 1"]
    other = place.open().append("registry/n", None, b"of another log")
    second = store.append("registry/m", first, b"event 2")
    assert store.entries("registry/m") == [b"event 1", b"event 2"]
    assert_holds(store, objects)
    # What another has appended meanwhile decides, whatever this store has seen.
    third = place.open().append("registry/m", second, b"event 3")
    with pytest.raises(Conflict) as lost:
        store.append("registry/m", second, b"another event 3")
    assert lost.value.head == third
    assert store.append("registry/m", third, b"event 4").seq == 4
    assert place.open().entries("registry/m") == [b"event 1", b"event 2", b"event 3", b"event 4"]
    assert place.open().head("registry/n") == other
    place.check()


def test_append_is_compare_and_swap(place: Place) -> None:
    first = place.open().append("registry/m", None, b"event 1")
    assert first == Head(1, digest(b"event 1"))
    with pytest.raises(Conflict) as lost:
        place.open().append("registry/m", None, b"another event 1")
    assert lost.value.head == first
    second = place.open().append("registry/m", first, b"event 2")
    other = place.open().append("registry/n", None, b"of another log")
    assert (second.seq, other.seq) == (2, 1)
    with pytest.raises(Conflict):
        place.open().append("registry/m", first, b"stale")
    with pytest.raises(Conflict):
        place.open().append("registry/new", first, b"of a log that is empty")
    store = place.open()
    assert store.entries("registry/m") == [b"event 1", b"event 2"]
    assert store.head("registry/m") == second
    keys = store.keys("registry/m/")
    assert [store.read(keys)[key] for key in keys] == [b"event 1", b"event 2"]
    place.check()


def test_logs_that_begin_alike_are_apart(place: Place) -> None:
    head = place.open().append("registry/wine", None, b"event")
    place.open().append("registry/wine-2", None, b"of another")
    place.open().append("registry/wine", head, b"event 2")
    assert place.open().entries("registry/wine") == [b"event", b"event 2"]
    assert place.open().entries("registry/wine-2") == [b"of another"]
    assert place.open().entries("registry/win") == []
    assert place.open().logs("registry/") == ["registry/wine", "registry/wine-2"]
    assert place.open().logs("registry/wine-") == ["registry/wine-2"]
    assert place.open().logs("runs/") == []


def test_a_state_is_kept_beside_its_log(place: Place) -> None:
    store = place.open()
    if not isinstance(store, KeepsStates):
        pytest.skip("this place keeps none")
    head = store.append("registry/m", None, b"event 1")
    assert store.state("registry/m") is None
    store.put_state("registry/m", b"one\n")
    place.open().append("registry/m", head, b"event 2")
    place.open().add(runs_of(range(3)))
    place.open().compact()
    reader = place.open()
    assert isinstance(reader, KeepsStates)
    assert (reader.state("registry/m"), reader.state("registry/n")) == (b"one\n", None)
    reader.put_state("registry/m", b"two\n")
    again = place.open()
    assert isinstance(again, KeepsStates) and again.state("registry/m") == b"two\n"
    assert again.logs("") == ["registry/m"] and len(again.entries("registry/m")) == 2
    place.check()


def test_exactly_one_of_racing_appends_wins(place: Place) -> None:
    barrier = threading.Barrier(4)

    def attempt(number: int) -> Head | None:
        store = place.open()
        barrier.wait()
        try:
            return store.append("registry/m", None, b"from %d" % number)
        except Conflict as lost:
            assert lost.head == place.open().head("registry/m")
            return None

    with ThreadPoolExecutor(4) as pool:
        won = [head for head in pool.map(attempt, range(4)) if head]
    assert len(won) == 1
    assert place.open().head("registry/m") == won[0]
    assert len(place.open().entries("registry/m")) == 1


def test_racing_appends_to_different_logs_all_win(place: Place) -> None:
    with ThreadPoolExecutor(4) as pool:
        heads = list(pool.map(lambda n: place.open().append(f"registry/m{n}", None, b"event"), range(4)))
    assert [head.seq for head in heads] == [1, 1, 1, 1]
    assert len(place.open().keys("registry/")) == 4


# Compaction


@pytest.mark.slow
def test_compaction_changes_no_fact(place: Place) -> None:
    objects: dict[str, bytes] = {}
    for number in range(5):
        new = run_object(number)
        place.open().add(new)
        objects |= new
    head = place.open().append("registry/m", None, b"event")
    long_lived = place.open()
    assert_holds(long_lived, objects)
    assert place.open().compact() == 5
    assert_holds(place.open(), objects)
    assert_holds(long_lived, objects)
    late = run_object(9, COMMITS[1])
    place.open().add(late)
    assert place.open().compact() == 1
    assert place.open().compact() == 0
    assert_holds(place.open(), {**objects, **late})
    assert place.open().head("registry/m") == head
    place.open().append("registry/m", head, b"after the fold")
    place.check()


@pytest.mark.slow
@pytest.mark.parametrize("many", [MANY, pytest.param(1200, marks=pytest.mark.slow)])
def test_many_objects_become_segments_which_never_change(
    place: Place, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    close_segments_at(many - 8, monkeypatch)
    objects: dict[str, bytes] = {}
    seen: dict[str, Any] = {}
    for part in range(3):
        new = runs_of(range(part * many, (part + 1) * many), COMMITS[part])
        place.open().add(new)
        objects |= new
        before = place.open()
        assert_holds(before, objects)
        place.open().compact()
        store = place.open()
        assert store.segments()[: len(seen)] == list(seen)
        assert len(store.loose()) < 2 * many
        assert_holds(store, objects)
        # Who looked before the compaction is not led astray by it.
        assert before.read(objects) == objects
        for name, table in store.columns(store.segments()).items():
            assert seen.setdefault(name, rows({name: table})) == rows({name: table})
    assert seen
    assert place.open().keys(f"runs/{COMMITS[1]}-") == sorted(key for key in objects if COMMITS[1] in key)
    place.check()


def test_a_segment_holds_what_is_not_a_run_too(place: Place) -> None:
    objects = {
        **runs_of(range(MANY)),
        **{key.replace(".json", ".series"): b"\0\n%d" % n for n, key in enumerate(runs_of(range(5)))},
        f"runs/{COMMITS[1]}-odd.json": b"no JSON\nat all",
        f"runs/{COMMITS[1]}-list.json": b"[]\n",
        f"runs/{COMMITS[1]}-latin.json": b'{"id":"\xff"}\n',
        **run_object(9000, COMMITS[2], model=7),
        **run_object(9001, COMMITS[2], schema=2, metrics={"accuracy": 1, "new": {"kind": "histogram"}}, other=[1]),
        f"verdicts/{COMMITS[1]}-1-abc.json": b'{"state":"pass"}\n',
    }
    place.open().add(objects)
    place.open().compact()
    assert place.open().segments()
    assert_holds(place.open(), objects)
    place.check()


@pytest.mark.slow
def test_one_cache_serves_all_commands_of_a_checkout(place: Place) -> None:
    cache = place.folder / "shared"
    objects: dict[str, bytes] = {}
    for part in range(3):
        new = runs_of(range(part * MANY, (part + 1) * MANY), COMMITS[part])
        new |= {key.replace(".json", ".series"): b"\0\n%d" % part for key in new}
        place.open(cache=cache).add(new)
        objects |= new
        assert place.open(cache=cache).compact() == 1
        assert_holds(place.open(cache=cache), objects)
        place.open().append("registry/m", place.open(cache=cache).head("registry/m"), b"event %d" % part)
        assert len(place.open(cache=cache).entries("registry/m")) == part + 1
    gone = list(objects)[::7]
    assert place.open(cache=cache).drop(gone, "room") == len(gone)
    assert_holds(place.open(cache=cache), {key: data for key, data in objects.items() if key not in gone})
    place.check()


@pytest.mark.slow
def test_a_dropped_run_is_gone_for_good(place: Place) -> None:
    objects = runs_of(range(MANY))
    later = run_object(MANY, COMMITS[1])
    head = place.open().append("registry/m", None, b"event")
    place.open().add(objects)
    place.open().compact()
    place.open().add(later)
    gone = [*list(objects)[5:15], *later]
    assert place.open().drop([*gone, "runs/none", *place.open().keys("registry/")], "keep the last 10") == len(gone)
    for _ in range(2):
        store = place.open()
        assert_holds(store, {key: data for key, data in objects.items() if key not in gone})
        assert store.head("registry/m") == head
        assert store.drop(gone, "again") == 0
        store.compact()
    place.check()


@pytest.mark.slow
def test_an_erased_run_does_not_come_back(place: Place) -> None:
    """Whoever has kept its objects adds them again, together with others."""
    if not isinstance(place.open(), Erases):
        pytest.skip("it does not remember what was erased")
    objects, other = runs_of(range(MANY)), run_object(MANY, COMMITS[1])
    place.open().add(objects)
    place.open().compact()
    (secret, *_) = objects
    late = {secret.replace("runs/", "amend/").replace(".json", "-1-01234567.json"): b"{}"}
    store = place.open()
    assert isinstance(store, Erases) and store.erase([secret], "a password") == 1
    left = {key: data for key, data in objects.items() if key != secret}
    place.open().add({secret: objects[secret]})
    place.open().add({**late, **other})
    for _ in range(2):
        again = place.open()
        assert_holds(again, {**left, **other})
        assert isinstance(again, Erases) and again.erased_among([secret, *late, *other]) == {secret, *late}
        again.compact()
    assert place.open().notes == []
    place.check()


@pytest.mark.slow
def test_a_reader_that_may_not_fold_changes_nothing(place: Place) -> None:
    for number in range(70):
        place.open().add(run_object(number))
    assert len(place.open(may_fold=False).keys("runs/")) == 70
    assert place.open(may_fold=False).compact() == 70


# Many at once


def test_writers_and_folders_together_lose_nothing(place: Place) -> None:
    numbers = range(16)
    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(lambda n=n: place.open().add(run_object(n))) for n in numbers]
        jobs += [pool.submit(lambda: place.open().compact()) for _ in range(4)]
        for job in jobs:
            job.result()
    assert_holds(place.open(), runs_of(numbers))
    place.open().compact()
    assert_holds(place.open(), runs_of(numbers))
    place.check()


def test_a_question_beside_a_compactor_misses_no_run(place: Place) -> None:
    objects = runs_of(range(MANY))
    place.open().add(objects)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(lambda: [place.open().add(run_object(MANY)), place.open().compact()])
        while not wait([job], timeout=0).done:
            assert rows_of(objects).items() <= query(place.open()).items()
        job.result()
    assert_holds(place.open(), {**objects, **run_object(MANY)})


# Any order of calls


class Calls(RuleBasedStateMachine):
    """The store beside a model of it: a dictionary and lists."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.objects: dict[str, bytes] = {}
        self.writes: list[dict[str, bytes]] = []
        self.logs: dict[str, list[bytes]] = {}
        self.segments: dict[str, Any] = {}
        self.look_again()

    def open(self) -> Store:
        """As the commands of one checkout do, which share a cache."""
        return self.place.open(cache=self.place.folder / "shared")

    def look_again(self) -> None:
        """A new reader, which stays. It has seen nothing yet."""
        self.reader = self.place.open()
        self.seen: set[str] = set()

    def heads(self, log: str) -> Head | None:
        entries = self.logs.get(log)
        return Head(len(entries), digest(entries[-1])) if entries else None

    @rule(kind=st.sampled_from(["run", "series", "odd", "verdict", "collected"]), commit=st.sampled_from(COMMITS))
    def add(self, kind: str, commit: str) -> None:
        number = len(self.writes)
        (key,) = objects = run_object(number, commit)
        if kind == "series":
            objects[key.replace(".json", ".series")] = b"\0\n\xff%d" % number
        elif kind == "odd":
            objects = {key: b"no record\n\xff%d" % number}
        elif kind == "verdict":
            data = dumps({"run": f"{number:032x}", "state": "pass"})
            objects = {f"verdicts/{commit}-{number:032x}-{digest(data)[7:19]}.json": data}
        elif kind == "collected":
            objects = {k: v for part in range(20) for k, v in run_object(number * 1000 + part + 1, commit).items()}
        self.write(objects)

    def write(self, objects: dict[str, bytes]) -> None:
        self.open().add(objects)
        self.writes.append(objects)
        self.objects |= objects

    @precondition(lambda self: self.writes)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        objects = data.draw(st.sampled_from(self.writes))
        if objects.keys() <= self.objects.keys():
            self.open().add(objects)

    @rule(log=st.sampled_from(["registry/wine", "registry/wine-2"]), stale=st.booleans())
    def append(self, log: str, stale: bool) -> None:
        head, entry = self.heads(log), b"event %d" % sum(map(len, self.logs.values()))
        if stale:
            wrong = Head(head.seq + 1, head.digest) if head else Head(1, digest(b"none"))
            with pytest.raises(Conflict) as lost:
                self.open().append(log, wrong, entry)
            assert lost.value.head == head
            return
        self.logs.setdefault(log, []).append(entry)
        assert self.open().append(log, head, entry) == self.heads(log)

    @rule()
    def compact(self) -> None:
        self.open().compact()
        assert self.open().compact() == 0

    @precondition(lambda self: self.objects)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        gone = data.draw(st.sets(st.sampled_from(sorted(self.objects)), min_size=1, max_size=3))
        assert self.open().drop(gone, "no longer needed") == len(gone)
        for key in gone:
            del self.objects[key]
        self.look_again()

    @rule()
    def look(self) -> None:
        """Who stays sees at least what it saw before, and nothing that is not so."""
        keys = set(self.reader.keys("runs/", "verdicts/"))
        assert self.seen <= keys <= self.objects.keys()
        self.seen = keys
        assert self.reader.read(keys) == {key: self.objects[key] for key in keys}
        assert query(self.reader) == rows_of({key: self.objects[key] for key in keys})
        for log, entries in self.logs.items():
            found = self.reader.entries(log)
            assert found == entries[: len(found)]

    @rule(
        prefixes=st.lists(
            st.sampled_from(
                [
                    *(f"runs/{commit}-" for commit in COMMITS),
                    f"verdicts/{COMMITS[0]}-",
                    f"runs/{COMMITS[0]}-0",
                    "runs/a",
                    "registry/wine",
                ]
            ),
            max_size=3,
        )
    )
    def look_for(self, prefixes: list[str]) -> None:
        entries = {f"{log}/" for log in self.logs}
        found = self.place.open().keys(*prefixes)
        assert found == sorted(set(found))
        assert [key for key in found if not key.startswith(tuple(entries))] == sorted(
            key for key in self.objects if key.startswith(tuple(prefixes))
        )

    @rule()
    def refresh(self) -> None:
        self.reader.refresh()
        assert_holds(self.reader, self.objects)
        for log, entries in self.logs.items():
            assert self.reader.entries(log) == entries
        self.seen = set(self.objects)

    @rule(log=st.sampled_from(["registry/wine", "registry/wine-2"]))
    def append_from_an_old_view(self, log: str) -> None:
        entry = b"event %d" % sum(map(len, self.logs.values()))
        head = self.reader.append(log, self.heads(log), entry)
        self.logs.setdefault(log, []).append(entry)
        assert head == self.heads(log)
        assert self.reader.entries(log) == self.logs[log]

    @rule()
    def look_anew(self) -> None:
        store = self.place.open()
        assert_holds(store, self.objects)
        for log, entries in self.logs.items():
            assert store.entries(log) == entries
            assert store.head(log) == self.heads(log)
        assert store.logs("registry/") == sorted(self.logs)
        for name, table in store.columns(store.segments()).items():
            assert self.segments.setdefault(name, rows({name: table})) == rows({name: table})
        assert store.check() == []
        assert_holds(self.open(), self.objects)

    def teardown(self) -> None:
        self.look()
        self.look_anew()
        self.compact()
        self.look_anew()
        self.place.check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("examples", "steps"), [(2, 8), pytest.param(5, 16, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_calls_in_any_order(new_place: Callable[[], Place], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: Calls(new_place()),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
