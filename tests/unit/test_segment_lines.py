"""The files of a segment: every record byte for byte, every key found by its mark, and no damage taken for a fact."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ciplug.errors import RecordError
from ciplug.stores.base import group_of
from ciplug.stores.git import segments as git_segments

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
RECORDS = st.dictionaries(st.text(max_size=5), st.none() | st.floats() | st.text(max_size=10), max_size=4)
LINES = RECORDS.map(lambda record: json.dumps(record).encode() + b"\n")


@given(st.dictionaries(KEYS, LINES, max_size=8), st.dictionaries(KEYS, st.just("ab" * 20), max_size=4))
def test_lines_hold_every_record_byte_for_byte(records: dict[str, bytes], blobs: dict[str, str]) -> None:
    blobs = {key: oid for key, oid in blobs.items() if key not in records}
    lines = git_segments.write_lines(records, blobs)
    assert git_segments.read_lines(lines, "x") == (records, blobs)
    some = dict(list(records.items())[::2])
    found = git_segments.read_lines(lines, "x", some.keys()).records
    assert some.items() <= found.items() <= records.items()
    assert git_segments.is_named_for(git_segments.name_of(7, lines), lines)
    assert not git_segments.is_named_for(git_segments.name_of(7, lines), lines + b"\n")


@given(st.binary(max_size=40) | LINES)
@example(b"{\n}\n")
def test_only_what_comes_back_byte_for_byte_is_a_line(data: bytes) -> None:
    if git_segments.is_line(data):
        assert git_segments.read_lines(git_segments.write_lines({"k": data}, {}), "x").records == {"k": data}


@given(st.binary(max_size=60))
def test_damaged_lines_are_refused(data: bytes) -> None:
    try:
        content = git_segments.read_lines(data, "x")
    except RecordError as problem:
        assert problem.message.startswith("x")
    else:
        assert not data or data.endswith(b"\n")
        assert len(content.keys) <= data.count(b"\n")


@pytest.mark.parametrize("cut", [1, 10])
def test_lines_that_are_cut_off_are_refused(cut: int) -> None:
    lines = git_segments.write_lines({"runs/a-1.json": b'{"a":1}\n', "runs/b-1.json": b'{"a":2}\n'}, {})
    with pytest.raises(RecordError):
        git_segments.read_lines(lines[:-cut], "x")


@given(st.sets(KEYS, max_size=30), st.sets(KEYS, min_size=1, max_size=30))
def test_a_key_is_found_by_its_mark(keys: set[str], asked: set[str]) -> None:
    marks = git_segments.marks_of(keys)
    for key in keys:
        assert git_segments.holds(marks, {git_segments.mark_of(key)})
    assert git_segments.holds(marks, {git_segments.mark_of(key) for key in asked}) == any(
        git_segments.mark_of(key) in {git_segments.mark_of(k) for k in keys} for key in asked
    )


def test_a_run_and_its_verdicts_share_a_mark() -> None:
    marks = git_segments.marks_of(["runs/abc-1.json", "runs/abc-1.series", "verdicts/abc-1-9.json"])
    assert len(marks) == git_segments.MARK
    assert git_segments.mark_of("runs/abc-") == marks


@pytest.mark.parametrize(
    ("key", "group"),
    [
        ("runs/abc-1.json", "runs/abc-"),
        ("runs/abc-", "runs/abc-"),
        ("runs/abc", None),
        ("runs/", None),
        ("", None),
        ("registry/wine/000001.json", "registry/wine/"),
        ("registry/wine-quality/000001.json", "registry/wine-"),
        ("a-b/c", None),
    ],
)
def test_groups(key: str, group: str | None) -> None:
    assert group_of(key) == group


NAMES = st.integers(1, 9999).map(lambda number: git_segments.name_of(number, b""))


@given(st.dictionaries(NAMES, st.sets(KEYS, max_size=9).map(git_segments.marks_of), max_size=6), st.integers(0, 200))
def test_an_index_that_is_cut_off_still_tells_nothing_wrong(marks: dict[str, bytes], cut: int) -> None:
    data = git_segments.write_index(marks)
    assert git_segments.read_index(data) == marks
    assert git_segments.read_index(data[:cut]).items() <= marks.items()


@given(st.dictionaries(NAMES, st.sets(KEYS, max_size=9).map(git_segments.marks_of), max_size=6), st.data())
def test_a_damaged_index_is_read_as_far_as_it_goes(marks: dict[str, bytes], data: st.DataObject) -> None:
    index = git_segments.write_index(marks)
    at = data.draw(st.integers(0, len(index)))
    damaged = index[:at] + data.draw(st.binary(max_size=20)) + index[at + data.draw(st.integers(0, 20)) :]
    read = git_segments.read_index(damaged)
    starts = {name: index.index(name.encode()) for name in marks}
    sound = [name for name, start in starts.items() if start + len(f"{name} 9\n") + len(marks[name]) < at]
    assert all(read[name] == marks[name] for name in sound)
    assert all(block in damaged and len(block) % git_segments.MARK == 0 for block in read.values())
