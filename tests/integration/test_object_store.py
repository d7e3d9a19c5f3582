"""The object store: what it asks of a bucket, killed at every call, and what lies there that should not."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import Conflict, StoreError
from ciplug.records import bundle
from ciplug.records.canonical import digest, dumps
from ciplug.stores.base import Store
from ciplug.stores.bucket import folding, index, logs, segment_files
from ciplug.stores.bucket.base import Bucket, Listed
from ciplug.stores.bucket.opening import open_bucket
from ciplug.stores.bucket.store import ObjectStore

COMMITS = [digit * 40 for digit in "abc"]


def run(number: int, commit: str = COMMITS[0], **fields: Any) -> dict[str, bytes]:
    run_id = f"{number:032x}"
    month = 1 + number % 3
    record = {
        "id": run_id,
        "model": "wine",
        "status": "finished",
        "started": f"2026-{month:02d}-23T19:24:00.000Z",
        "ended": f"2026-{month:02d}-23T19:25:00.000Z",
        "metrics": {"accuracy": number / 1000},
        **fields,
    }
    key = f"runs/{commit}-{run_id}"
    return {f"{key}.json": dumps(record), f"{key}.series": b"\0%d" % number}


class Killed(BaseException):
    """As if by SIGKILL: nobody catches it."""


class Watched:
    """A bucket that keeps account of its calls, and whose user is killed when `left` of them are done."""

    def __init__(self, bucket: Bucket, left: int | None = None) -> None:
        self.address = bucket.address
        self.calls: list[tuple[str, str]] = []
        self.left = left
        self._bucket = bucket

    def _count(self, verb: str, name: str) -> None:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        self.calls.append((verb, name))

    def names(self, verb: str) -> list[str]:
        return [name for called, name in self.calls if called == verb]

    def get(self, name: str) -> bytes | None:
        self._count("get", name)
        return self._bucket.get(name)

    def create(self, name: str, data: bytes) -> bool:
        self._count("create", name)
        return self._bucket.create(name, data)

    def put(self, name: str, data: bytes) -> None:
        self._count("put", name)
        self._bucket.put(name, data)

    def delete(self, name: str) -> None:
        self._count("delete", name)
        self._bucket.delete(name)

    def list(self, folder: str) -> list[Listed]:
        self._count("list", folder)
        return self._bucket.list(folder)


class OneCase(Watched):
    """A disk to which model=Iris and model=iris are one folder, as those of macOS and Windows are."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket)
        self._made: dict[str, str] = {}

    def _as_made(self, name: str) -> str:
        at = ""
        for part in name.split("/"):
            at = self._made.setdefault(f"{at}/{part}".casefold(), f"{at}/{part}")
        return at[1:]

    def get(self, name: str) -> bytes | None:
        return super().get(self._as_made(name))

    def put(self, name: str, data: bytes) -> None:
        super().put(self._as_made(name), data)

    def delete(self, name: str) -> None:
        super().delete(self._as_made(name))


class Place:
    """A folder as a bucket, and stores in it that know nothing of one another."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"
        self.root.mkdir()
        self.bucket = open_bucket(self.root.as_uri(), {})
        self._folder = folder
        self._caches = 0

    def watch(self, left: int | None = None) -> Watched:
        return Watched(self.bucket, left)

    def open(self, bucket: Bucket | None = None, *, cache: str | None = None, may_fold: bool = True) -> ObjectStore:
        self._caches += 1
        where = self._folder / (cache or f"cache-{self._caches}")
        return ObjectStore(bucket or self.bucket, uri="file:", cache=where, may_fold=may_fold)

    def names(self, folder: str) -> list[str]:
        return [entry.name for entry in self.bucket.list(folder)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_models_that_differ_in_case_only_are_apart_on_any_disk(place: Place) -> None:
    disk = OneCase(place.bucket)
    runs = {**run(3, model="Iris"), **run(6, model="iris")}
    for key in runs:
        place.open(disk).add({key: runs[key]})
    assert place.open(disk).compact() == 4
    assert place.open(disk).read(runs) == runs
    assert place.open(disk).check(repair=True) == []
    assert place.open(disk).read(runs) == runs


def test_an_entry_of_a_log_is_fetched_once(place: Place) -> None:
    head = None
    for number in range(3):
        head = place.open().append("registry/wine", head, b"%d" % number)
    bucket = place.watch()
    store = place.open(bucket)
    store.read(store.keys("registry/wine/"))
    assert store.entries("registry/wine") == [b"0", b"1", b"2"]
    assert store.head("registry/wine") == head
    assert len(bucket.names("get")) == 3


def test_a_log_whose_first_writers_are_killed_has_lost_nothing(place: Place) -> None:
    log = "registry/wine"
    for left in range(12):
        bucket = place.watch(left)
        with contextlib.suppress(Killed):
            store = place.open(bucket)
            store.append(log, store.head(log), b"%d" % left)
        assert place.open().lost_logs() == place.open().lost_logs(log) == []
    assert len(place.open().entries(log)) > 2
    place.bucket.delete(f"heads/{log}.json")
    assert place.open().lost_logs() == place.open().lost_logs(log) == [log]


def fill(place: Place, numbers: range, commit: str = COMMITS[0]) -> dict[str, bytes]:
    everything: dict[str, bytes] = {}
    for number in numbers:
        place.open().add(new := run(number, commit))
        everything |= new
    return everything


def holds(store: Store, objects: dict[str, bytes]) -> None:
    assert store.keys("") == sorted(objects)
    assert store.read(objects) == objects
    assert store.check() == []
    assert store.notes == []


# What it costs


def test_a_write_is_one_request(place: Place) -> None:
    bucket = place.watch()
    place.open(bucket).add(run(1))
    assert [verb for verb, _ in bucket.calls] == ["create"]


def test_a_commit_is_looked_up_without_listing_the_store(place: Place) -> None:
    for number, commit in enumerate(COMMITS):
        fill(place, range(number * 3, number * 3 + 3), commit)
        place.open().compact()
    bucket = place.watch()
    store = place.open(bucket)
    keys = store.keys(f"runs/{COMMITS[1]}-", f"runs/{'d' * 40}-")
    assert len(keys) == 6
    assert len(store.read([key for key in keys if key.endswith(".json")])) == 3
    assert bucket.names("list") == ["inbox", "index"]
    segments = [name for name in bucket.names("get") if name.endswith(".parquet")]
    assert sorted(segments) == [name for name in place.names("runs") if "/000002-" in name]
    assert [name for name in bucket.names("get") if name not in segments] == [
        f"index/{number:06d}.done" for number in (1, 2, 3)
    ]


def test_what_was_seen_of_the_index_is_on_the_local_disk(place: Place) -> None:
    fill(place, range(2))
    place.open().compact()
    place.open(cache="kept").segments()
    bucket = place.watch()
    assert place.open(bucket, cache="kept").segments()
    assert bucket.names("get") == []


def test_an_index_that_was_replaced_is_read_anew(place: Place, tmp_path: Path) -> None:
    fill(place, range(2))
    place.open().compact()
    assert len(place.open(cache="kept").keys("runs/")) == 4
    for name in [*place.names("index"), *place.names("runs"), *place.names("objects")]:
        place.bucket.delete(name)
    other = fill(place, range(5, 6), COMMITS[2])
    place.open().compact()
    assert place.open(cache="kept").keys("runs/") == sorted(other)


def test_a_reader_folds_what_has_come_together(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "FOLD_AT", 8)
    monkeypatch.setattr("ciplug.stores.bucket.store.PENDING_ALARM", 0)
    objects = fill(place, range(8))
    reader = place.open(may_fold=False)
    assert reader.keys("") == sorted(objects)
    assert "8 writes are pending" in reader.notes[0]
    assert len(place.names("inbox")) == 8
    holds(place.open(), objects)
    assert place.names("inbox") == []


def test_a_reader_who_may_not_fold_after_all_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "FOLD_AT", 4)
    objects = fill(place, range(4))
    bucket = place.watch()

    def refuse(name: str, data: bytes) -> bool:
        raise StoreError("you may only read")

    bucket.create = refuse  # type: ignore[method-assign]
    reader = place.open(bucket)
    assert reader.keys("") == sorted(objects)
    assert "could not be folded: you may only read" in reader.notes[0]


# Killed


def every_point(place: Place, action: Callable[[ObjectStore], object]) -> Iterator[int]:
    """Do it again and again, killed one call later each time, until it comes through."""
    for left in range(1000):
        try:
            action(place.open(place.watch(left)))
        except Killed:
            yield left
        else:
            return
    raise AssertionError("it never comes to its end")


@pytest.fixture
def _one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls in a fixed order: being killed after k of them is then always the same."""
    monkeypatch.setattr("ciplug.stores.bucket.base._AT_ONCE", 1)


@pytest.mark.usefixtures("_one_by_one")
@pytest.mark.parametrize("left", range(0, 24))
def test_a_fold_is_killed_after_any_call(place: Place, left: int) -> None:
    objects = fill(place, range(3))
    place.open().compact()
    objects |= fill(place, range(3, 6), COMMITS[1])
    with pytest.raises(Killed):
        place.open(place.watch(left)).compact()
    reader = place.open(may_fold=False)
    assert reader.keys("") == sorted(objects)
    assert reader.read(objects) == objects
    place.open().compact()
    holds(place.open(), objects)
    assert place.open().compact() == 0
    assert place.names("inbox") == []


@pytest.mark.usefixtures("_one_by_one")
def test_a_fold_that_is_killed_over_and_over_comes_to_its_end(place: Place) -> None:
    objects = fill(place, range(3))
    points = 0
    for _ in every_point(place, lambda store: store.compact()):
        points += 1
        assert place.open(may_fold=False).read(objects) == objects
    assert points > 15
    holds(place.open(), objects)


@pytest.mark.usefixtures("_one_by_one")
def test_a_drop_that_is_killed_over_and_over_comes_to_its_end(place: Place) -> None:
    objects = fill(place, range(6))
    place.open().compact()
    gone = set(run(1)) | set(run(4))
    kept = {key: data for key, data in objects.items() if key not in gone}
    for _ in every_point(place, lambda store: store.drop(gone, "room")):
        assert kept.items() <= place.open(may_fold=False).read(objects).items()
    holds(place.open(), kept)
    place.open().compact()
    assert [name for name in place.names("objects") if any(key in name for key in gone)] == []
    assert len([name for name in place.names("runs") if "month=2026-02" in name]) == 0


@pytest.mark.usefixtures("_one_by_one")
@pytest.mark.slow
def test_two_carry_out_the_same_claim(place: Place) -> None:
    """One stops in the middle, another comes and is done, the first goes on with what it knew."""
    objects = fill(place, range(3))
    for left in range(6, 20):
        slow = place.open(place.watch(left))
        waiting = slow.compact

        def overtaken() -> None:
            place.open().compact()

        bucket = slow._bucket
        assert isinstance(bucket, Watched)
        count = bucket._count

        def interrupt(verb: str, name: str, *, bucket: Watched = bucket, count: Any = count) -> None:
            if bucket.left == 0:
                bucket.left = None
                overtaken()
            count(verb, name)

        bucket._count = interrupt  # type: ignore[method-assign]
        waiting()
        holds(place.open(), objects)
        objects |= fill(place, range(left * 10, left * 10 + 2), COMMITS[1])


def test_what_another_is_about_to_delete_is_in_no_claim(place: Place) -> None:
    """A slow folder deletes what it has folded just when the next one decides what to fold."""
    objects = fill(place, range(3))
    writes = {name: place.bucket.get(name) or b"" for name in place.names("inbox")}
    place.open().compact()
    for name, data in writes.items():
        place.bucket.put(name, data)
    objects |= fill(place, range(3, 5), COMMITS[1])
    bucket = place.watch()

    def create(name: str, data: bytes) -> bool:
        for write in writes:
            place.bucket.delete(write)
        return place.bucket.create(name, data)

    bucket.create = create  # type: ignore[method-assign]
    assert place.open(bucket).compact() == 2
    holds(place.open(), objects)


# What should not be there


def test_a_server_that_overwrites_what_it_is_to_create_is_refused(place: Place) -> None:
    bucket = place.watch()

    def overwrite(name: str, data: bytes) -> bool:
        place.bucket.put(name, data)
        return True

    bucket.create = overwrite  # type: ignore[method-assign]
    place.open(bucket).add(run(1))
    with pytest.raises(StoreError, match="overwrites"):
        place.open(bucket).compact()
    with pytest.raises(StoreError, match="overwrites"):
        place.open(bucket).append("registry/m", None, b"event")


def test_junk_stops_nobody_and_is_named(place: Place) -> None:
    objects = fill(place, range(3))
    place.open().compact()
    later = fill(place, range(3, 5), COMMITS[1])
    number = bundle.pack({"runs/x-1.json": b"1"}).replace(b'"version":1', b'"version":9')
    junk = {
        "inbox/00000000000000000000000000000000": b"\0\1\2",
        "inbox/newer": number,
        "inbox/a b": number,
        "index/000000.done": b"{}",
        "index/999999999999.done": index.encode_done(index.Done()),
        "index/999999999998.claim": index.encode_claim(index.Claim()),
        "index/notes.txt": b"mine",
        "index/000007.claim": b"[" * 100_000,
        "runs/model=wine/month=2026-01/000099-0-00.parquet": b"PAR1 no",
        "runs/readme.md": b"# mine",
        "objects/..%2f": b"?",
        "logs/x": b"?",
    }
    for name, data in junk.items():
        place.bucket.put(name, data)
    store = place.open()
    assert store.keys("") == sorted(objects | later)
    assert store.read(objects | later) == objects | later
    assert "cannot be read" in store.notes[0] and "fsck" in store.notes[0]
    assert place.open().compact() == 2
    named = {problem.where for problem in place.open().check()}
    assert named >= {
        "inbox/00000000000000000000000000000000",
        "inbox/newer",
        "inbox/a b",
        "index/000000.done",
        "index/999999999999.done",
        "index/999999999998.claim",
        "runs/model=wine/month=2026-01/000099-0-00.parquet",
        "runs/readme.md",
        "objects/..%2f",
    }
    place.open().check(repair=True)
    assert place.open().read(objects | later) == objects | later
    assert all(place.bucket.get(name) == data for name, data in junk.items() if not name.startswith("index/"))


def test_a_write_that_is_too_large_is_not_fetched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = fill(place, range(2))
    monkeypatch.setattr(bundle, "MAX_BYTES", 10_000)
    place.bucket.put("inbox/large", b" " * 10_001)
    watched = Watched(place.bucket)
    assert place.open(watched).read(objects) == objects
    assert "inbox/large" not in watched.names("get")
    assert "10,001 bytes" in str(place.open().check())


def test_a_segment_of_too_many_rows_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal rows take no room in the file, and all memory when they are read."""
    objects = fill(place, range(3))
    place.open().compact()
    assert place.open().read(objects) == objects
    for name in ("_ROWS_MOST", "_BYTES_MOST"):
        with monkeypatch.context() as smaller:
            smaller.setattr(segment_files, name, 0)
            store = place.open()
            assert not any(key.endswith(".json") for key in store.read(objects))
            assert "not a segment, or damaged" in store.notes[0]


@pytest.mark.parametrize("noted", [b'{"digest":"x","seq":1e400}', b"[" * 100_000, b'{"digest":"x","seq":-1}', b"\xff"])
def test_a_noted_head_that_cannot_be_read_is_named(place: Place, noted: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    head = place.open().append("registry/wine", None, b"1")
    place.bucket.put("heads/registry/wine.json", noted)
    store = place.open()
    assert (store.head("registry/wine"), store.entries("registry/wine")) == (head, [b"1"])
    assert store.lost_logs() == ["registry/wine"]
    with pytest.raises(StoreError, match="were replaced"):
        store.append("registry/wine", head, b"2")
    place.bucket.put("states/registry/wine.lines.z", zlib.compress(b"\0" * 1_000))
    assert store.state("registry/wine") == b"\0" * 1_000
    monkeypatch.setattr(logs, "_STATE_MOST", 999)
    assert store.state("registry/wine") is None


def test_a_store_of_a_newer_format_is_not_touched(place: Place) -> None:
    fill(place, range(2))
    place.bucket.put("index/000001.claim", b'{"version":3}')
    with pytest.raises(StoreError, match="another format"):
        place.open().compact()
    place.bucket.put("index/000001.done", b'{"version":3}')
    with pytest.raises(StoreError, match="another format") as refused:
        place.open().keys("")
    assert "newer" in (refused.value.hint or "")


def test_a_segment_that_is_lost_hides_no_other(place: Place) -> None:
    objects = fill(place, range(6))
    place.open().compact()
    lost, damaged, _ = place.names("runs")
    place.bucket.delete(lost)
    place.bucket.put(damaged, b"no Parquet")
    store = place.open()
    found = store.read(objects)
    assert {key for key in found if key.endswith(".json")} == {key for n in (2, 5) for key in list(run(n))[:1]}
    assert [len(table) for table in store.columns(store.segments()).values()] == [2]
    assert "and 1 others" in store.notes[0]
    assert {problem.where for problem in place.open().check()} >= {lost, damaged}
    place.open().add(run(9))
    assert place.open().compact() == 1


def test_an_object_that_is_lost_is_named(place: Place) -> None:
    fill(place, range(2))
    place.open().compact()
    place.bucket.delete(place.names("objects")[0])
    assert [problem.where for problem in place.open().check()] == [list(run(0))[1]]


def test_other_bytes_are_never_taken_and_named(place: Place) -> None:
    objects = fill(place, range(2))
    place.open().compact()
    other = dict.fromkeys(run(0), b"other")
    place.open().add(other)
    with pytest.raises(Conflict):
        place.open().add(dict.fromkeys(run(0), b"third"))
    assert place.open().compact() == 0
    assert place.open().read(objects) == objects
    assert {problem.where for problem in place.open().check()} == set(other)
    # What is dropped does not come back with other bytes.
    assert place.open().drop(list(other), "never was") == 2
    holds(place.open(), run(1))


def test_a_name_too_long_for_a_file_stays_in_the_inbox(place: Place) -> None:
    objects = {f"runs/a-{'x' * 300}.series": b"1"}
    place.open().add(objects)
    assert place.open().compact() == 0
    assert place.open().read(objects) == objects
    assert "too long" in place.open().check()[0].what


def test_a_check_reads_every_segment_and_every_object_once(place: Place) -> None:
    objects: dict[str, bytes] = {}
    for commit in COMMITS:
        objects |= fill(place, range(len(objects) // 2, len(objects) // 2 + 4), commit)
        place.open().compact()
    objects |= (pending := run(99))
    place.open().add(pending)
    watched, visited = place.watch(), list[tuple[str, bytes]]()
    assert place.open(watched).check(visit=lambda found: visited.extend(found.items())) == []
    assert sorted(visited) == sorted(objects.items())
    read = [name for name in watched.names("get") if not name.startswith(("index/", "inbox/"))]
    assert sorted(read) == sorted([*place.names("runs"), *place.names("objects")])


def test_only_folds_say_what_the_store_holds(place: Place) -> None:
    """Whoever may put an object could sum them up wrongly, for every reader who has not seen the folds themselves."""
    objects: dict[str, bytes] = {}
    for number, commit in enumerate(COMMITS):
        objects |= fill(place, range(number * 3, number * 3 + 3), commit)
        assert place.open().compact() == 3
    ends = [entry for entry in place.bucket.list("index") if entry.name.endswith(".done")]
    of = digest(dumps([[number, *entry] for number, entry in enumerate(sorted(ends), 1)]))
    lie = zlib.compress(of.encode() + b"\n" + index.encode_done(index.Done()), 1)
    for name in ("index/000003.sum", "index/999999999.sum"):
        place.bucket.put(name, lie)
    holds(place.open(), objects)
    kept, dropped = dict(list(objects.items())[4:]), list(objects)[:4]
    assert place.open().drop(dropped, "a test") == len(dropped)
    holds(place.open(), kept)


# Mending


def test_the_end_of_a_fold_is_lost(place: Place) -> None:
    objects = fill(place, range(6))
    place.open().compact()
    place.bucket.delete("index/000001.done")
    place.open().add(late := run(9))
    with pytest.raises(StoreError, match="cannot be finished") as refused:
        place.open().compact()
    assert "fsck --repair" in (refused.value.hint or "")
    assert place.open().read(late) == late
    assert place.open().check() != []
    assert all(problem.repaired for problem in place.open().check(repair=True))
    holds(place.open(), objects | late)
    assert place.open().compact() == 1


def test_the_end_of_a_fold_is_damaged(place: Place) -> None:
    objects = fill(place, range(6))
    place.open().compact()
    place.bucket.put("index/000001.done", b"{")
    store = place.open()
    assert store.keys("") == []
    assert "index/000001.done" in store.notes[0]
    assert all(problem.repaired for problem in place.open().check(repair=True))
    holds(place.open(), objects)


def test_marks_that_are_wrong_are_made_anew(place: Place) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    objects = fill(place, range(6))
    place.open().compact()
    done = json.loads(place.bucket.get("index/000001.done") or b"")
    done["files"][0]["marks"] = base64.b64encode(b"????").decode()
    done["files"][1]["rows"] = 7
    place.bucket.put("index/000001.done", json.dumps(done).encode())
    # So are columns that are not what their records say.
    changed = done["files"][2]["path"]
    table = pq.read_table(pa.BufferReader(place.bucket.get(changed)))
    sink = pa.BufferOutputStream()
    pq.write_table(table.rename_columns({"commit": "other"}), sink)
    place.bucket.put(changed, sink.getvalue().to_pybytes())
    problems = place.open().check()
    assert len(problems) == 3
    assert [one.what for one in problems if one.where == changed] == [
        "its columns are not what its records say: commit"
    ]
    assert all(problem.repaired for problem in place.open().check(repair=True))
    holds(place.open(), objects)
    assert len(place.open().keys(f"runs/{COMMITS[0]}-")) == 12


def test_segments_and_objects_that_the_index_forgot_are_taken_in(place: Place) -> None:
    objects = fill(place, range(6))
    place.open().compact()
    objects |= fill(place, range(6, 9), COMMITS[1])
    place.open().compact()
    # As if somebody had tidied up the index.
    place.bucket.delete("index/000002.done")
    place.bucket.delete("index/000002.claim")
    assert len(place.open().keys("")) == 12
    assert place.open().check() != []
    assert all(problem.repaired for problem in place.open().check(repair=True))
    holds(place.open(), objects)


def test_what_was_dropped_does_not_come_back(place: Place) -> None:
    """A slow folder may write its segment once more, after it was written anew without some runs."""
    objects = fill(place, range(6))
    place.open().compact()
    old = {name: place.bucket.get(name) or b"" for name in [*place.names("runs"), *place.names("objects")]}
    gone = [key for number in (0, 3) for key in run(number)]
    assert place.open().drop(gone, "room") == 4
    for name, data in old.items():
        place.bucket.put(name, data)
    kept = {key: data for key, data in objects.items() if key not in gone}
    assert place.open().keys("") == sorted(kept)
    assert place.open().check() != []
    assert all(problem.repaired for problem in place.open().check(repair=True))
    holds(place.open(), kept)
    reasons = [json.loads(place.bucket.get(n) or b"").get("reason") for n in place.names("index") if ".done" in n]
    assert "room" in reasons


# Merged results


def merged_later(place: Place, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A store of five folds, one of them a drop, whose next fold merges all of their results; returns its objects."""
    monkeypatch.setattr(index, "RESULTS_MOST", 100)
    objects: dict[str, bytes] = {}
    for number in range(4):
        objects |= fill(place, range(number * 3, number * 3 + 3), COMMITS[number % 3])
        place.open().compact()
    gone = set(run(1)) | set(run(5, COMMITS[1]))
    assert place.open().drop(gone, "room") == 4
    monkeypatch.setattr(index, "RESULTS_MOST", 5)
    monkeypatch.setattr(index, "_MERGED_LEAST", 5)
    return {key: data for key, data in objects.items() if key not in gone}


def copy_of(place: Place, folder: Path) -> Place:
    folder.mkdir()
    shutil.copytree(place.root, folder / "copied")
    copied = Place(folder)
    copied.root.rmdir()
    (folder / "copied").rename(copied.root)
    return copied


def results(place: Place) -> list[str]:
    return [name for name in place.names("index") if name.endswith(".done")]


@pytest.mark.slow
def test_a_reader_gets_few_results_however_many_folds_there_were(place: Place) -> None:
    objects: dict[str, bytes] = {}
    for number in range(24):
        objects |= fill(place, range(number, number + 1), f"{number:040x}")
        place.open(cache="folder").compact()
        assert len(results(place)) < index.RESULTS_MOST
        if number % 5 == 3:
            assert len(place.open(cache="kept").keys("runs/")) == 2 * (number + 1)
    bucket = place.watch()
    assert len(place.open(bucket).read(run(3, f"{3:040x}"))) == 2
    assert bucket.names("list") == ["inbox", "index"]
    assert len(bucket.names("get")) <= 10
    (kept,) = (place.root.parent / "kept").iterdir()
    assert len([*kept.iterdir()]) == len(results(place))
    holds(place.open(), objects)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_by_one")
@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_a_merge_is_killed_after_any_call(
    place: Place, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = merged_later(place, monkeypatch)
    for left in range(0, 1000, step):
        copied = copy_of(place, tmp_path / f"{left}")
        try:
            copied.open(copied.watch(left)).compact()
        except Killed:
            assert copied.open(may_fold=False).read(kept) == kept
            assert copied.open(may_fold=False).keys("") == sorted(kept)
            if left % 3 == 0:
                copied.open().add(late := run(99))
                copied.open().compact()
                assert copied.open().drop(late, "room") == 2
            copied.open().compact()
            holds(copied.open(), kept)
            assert len(results(copied)) < 5
        else:
            assert left > 20
            assert results(copied) == ["index/000006.done"]
            return


@pytest.mark.usefixtures("_one_by_one")
@pytest.mark.slow
def test_another_merges_in_the_middle_of_a_merge(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on to fold, and to merge again what the first has not yet written."""
    kept = merged_later(place, monkeypatch)
    for left in range(1000):
        copied = copy_of(place, tmp_path / f"{left}")
        bucket, objects = copied.watch(left), dict(kept)
        count = bucket._count

        def overtake(
            verb: str,
            name: str,
            *,
            copied: Place = copied,
            bucket: Watched = bucket,
            objects: dict[str, bytes] = objects,
            count: Callable[[str, str], None] = count,
        ) -> None:
            if bucket.left == 0:
                bucket.left = None
                for number in range(50, 50 + 5 * (1 + len(bucket.calls) % 2)):
                    objects |= fill(copied, range(number, number + 1), COMMITS[number % 3])
                    copied.open().compact()
            count(verb, name)

        bucket._count = overtake  # type: ignore[method-assign]
        copied.open(bucket).compact()
        holds(copied.open(), objects)
        copied.open().compact()
        assert len(results(copied)) < 5
        if bucket.left:
            return


@pytest.mark.usefixtures("_one_by_one")
def test_a_fold_that_slept_until_its_result_was_merged_takes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile, what it folds was folded, dropped, and written again."""
    monkeypatch.setattr(index, "RESULTS_MOST", 2)
    monkeypatch.setattr(index, "_MERGED_LEAST", 2)
    again = run(7)
    place.open().add(again)
    bucket = place.watch()
    create = bucket.create

    def sleep_first(name: str, data: bytes) -> bool:
        if name == "index/000001.done":
            bucket.create = create  # type: ignore[method-assign]
            place.open().compact()
            assert place.open().drop(set(again), "room") == 2
            place.open().compact()
            place.open(may_fold=False).add(again)
        return create(name, data)

    bucket.create = sleep_first  # type: ignore[method-assign]
    place.open(bucket).compact()
    holds(place.open(), again)
    assert place.open().check() == []


@pytest.mark.usefixtures("_one_by_one")
def test_a_reader_whose_results_are_merged_meanwhile_looks_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = merged_later(place, monkeypatch)
    bucket = place.watch()
    get = bucket.get

    def merge_first(name: str) -> bytes | None:
        bucket.get = get  # type: ignore[method-assign]
        place.open().compact()
        return get(name)

    bucket.get = merge_first  # type: ignore[method-assign]
    reader = place.open(bucket, may_fold=False)
    assert reader.read(kept) == kept
    assert reader.notes == []


@pytest.mark.parametrize("damage", ["gone", "cut off", "a lie", "all that was merged"])
def test_a_merged_result_that_is_wrong_is_found_and_repaired(
    place: Place, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the segments hold does not depend on it: they are listed."""
    kept = merged_later(place, monkeypatch)
    place.open().compact()
    (name,) = results(place)
    if damage == "a lie":
        place.bucket.put(name, index.encode_done(index.Done(merge=1)))
        assert place.open().keys("") == []
    elif damage == "cut off":
        place.bucket.put(name, (place.bucket.get(name) or b"")[:-9])
    else:
        place.bucket.delete(name)
    if damage == "all that was merged":
        for claim in place.names("index"):
            place.bucket.delete(claim)
    assert place.open().check() != []
    assert all(problem.repaired for problem in place.open().check(repair=True))
    holds(place.open(), kept)
    place.open().compact()
    holds(place.open(), kept)


def test_a_merge_keeps_what_was_dropped_and_erased(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = merged_later(place, monkeypatch)
    old = {name: place.bucket.get(name) or b"" for name in place.names("runs")}
    gone = run(2)
    assert place.open().erase(gone, "a wish") == 2
    place.open().compact()
    assert [name for name in results(place) if name < "index/000006"] == []
    kept = {key: data for key, data in kept.items() if key not in gone}
    place.open().add(gone)
    assert place.open().keys("") == sorted(kept)
    place.open().compact()
    for name, data in old.items():
        place.bucket.put(name, data)
    assert all(problem.repaired for problem in place.open().check(repair=True))
    holds(place.open(), kept)


def test_a_store_of_the_format_before_is_read_and_merged(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = merged_later(place, monkeypatch)
    for name in place.names("index"):
        place.bucket.put(name, (place.bucket.get(name) or b"").replace(b'"version":2', b'"version":1'))
    holds(place.open(), kept)
    place.open().compact()
    holds(place.open(), kept)
    # The program before would take the parts for lost folds.
    monkeypatch.setattr(index, "VERSION", 1)
    with pytest.raises(StoreError, match="another format"):
        place.open().keys("")


@pytest.mark.parametrize("first", [0, -1, 3, "1", 1e9, [1]])
def test_a_result_that_merges_from_an_odd_number_is_damaged(place: Place, first: object) -> None:
    fill(place, range(2))
    place.open().compact()
    place.bucket.put(
        "index/000003.done",
        dumps({**json.loads(index.encode_done(index.Done())), "merge": first}).replace(b"1.0e9", b"9"),
    )
    store = place.open()
    assert len(store.keys("")) == 4
    assert "cannot merge from" in store.notes[0]


def test_hundreds_of_folds_leave_few_results_and_write_each_a_few_times() -> None:
    sizes, written, most = dict[int, index.Done](), 0, 0
    for _ in range(300):
        number = max(sizes, default=0) + 1
        sizes[number] = index.Done(files=(index.File(f"runs/model=m/month=2026-01/{number:06d}-0-00.parquet", 1, b""),))
        most = max(most, len(sizes))
        if first := index.merge_from(sizes):
            parts = [sizes.pop(at) for at in sorted(sizes) if at >= first]
            sizes[number + 1] = index.merged(parts, first)
            written += len(sizes[number + 1].files)
    assert most <= index.RESULTS_MOST
    assert written < 5 * 300


def test_results_add_up_to_the_same_merged_anywhere() -> None:
    """Random folds: of segments, objects beside them, drops, and objects that come again after a drop."""
    dice = random.Random(7)
    for _ in range(200):
        history: list[index.Done] = []
        state = index.State()
        for number in range(1, dice.randrange(2, 9)):
            gone = dice.sample(sorted(state.files), dice.randrange(len(state.files) + 1)) if state.files else []
            paths = [f"runs/model=m/month=2026-01/{number:06d}-0-{at:02d}.parquet" for at in range(dice.randrange(3))]
            done = index.Done(
                files=tuple(index.File(path, number, bytes(4)) for path in paths),
                objects=tuple(f"steps/{dice.randrange(6)}" for _ in range(dice.randrange(3))),
                gone=tuple(gone),
                dropped=tuple(f"steps/{dice.randrange(6)}" for _ in range(dice.randrange(3))),
                erased=tuple(f"{dice.randrange(4)}" for _ in range(dice.randrange(2))),
            )
            state.take(done)
            history.append(done)
        at = dice.randrange(len(history))
        other = index.State()
        for done in [*history[:at], index.merged(history[at:], at + 1)]:
            other.take(done)
        assert other == state
