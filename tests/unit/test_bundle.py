"""Bundles and archives as strangers can make them: every one is refused by name, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.bundles import archive as ci_artifacts_zip
from ciplug.bundles import check as collected
from ciplug.errors import RecordError
from ciplug.records import bundle, canonical, examples
from ciplug.records.amendment import Amendment
from ciplug.records.examples import Examples
from ciplug.records.inputs import encode_texts
from ciplug.records.keys import amendment_object, run_key
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import Run
from tests.bundles import COMMIT, a_run, objects_of, zipped

HEADER = bundle.pack({})
KEYS = st.text(min_size=1, max_size=40).filter(bundle.is_key)


@given(st.dictionaries(KEYS, st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)), max_size=6))
def test_what_is_packed_is_unpacked(objects: dict[str, bytes]) -> None:
    packed = bundle.pack(objects)
    assert bundle.unpack(packed, "b") == objects
    assert packed == bundle.pack(dict(reversed(objects.items()))), "the same objects are the same bytes"


@given(st.binary(max_size=300))
def test_anything_else_is_a_record_error(noise: bytes) -> None:
    for data in (noise, HEADER + noise, HEADER + noise + b"\n"):
        try:
            bundle.unpack(data, "b")
        except RecordError:
            continue
        assert data == HEADER


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"key":"a"}',
        b'{"key":"a","text":1}',
        b'{"key":"a","text":null}',
        b'{"key":"a","text":"x","base64":""}',
        b'{"key":"a","text":"x","text":"y"}',
        b'{"key":"a","key":"b"}',
        b'{"text":"a","text":"b"}',
        b'{"key":"a","other":"x"}',
        b'{"key":"a","text":"x","more":[]}',
        b'{"key":"a","text":["x"]}',
        b'{"key":"a","text":"x"} ',
        b'{"key":"a","text":"x"}{}',
        b'{"key":"a","text":"x"',
        b'{"key":"a","text":"\\ud800"}',
        b'{"key":"\\ud800","text":"x"}',
        b'{"key":"a\\nb","text":"x"}',
        b'{"key":"a","base64":"!"}',
        b'{"key":"a","base64":"YQ"}',
        b'{"key":"a","text":"\xff"}',
        b'{"key":"../a","text":"x"}',
        b'{"key":"/a","text":"x"}',
        b'{"key":"a//b","text":"x"}',
        b'{"key":"a/.GIT/b","text":"x"}',
        b'{"key":"a\\\\b","text":"x"}',
        b'{"key":"","text":"x"}',
        b'{"key":"\xe2\x80\xae","text":"x"}',
        b'{"key":"' + b"a" * 1025 + b'","text":"x"}',
        b"[" * 100_000,
        b'{"key":' * 100_000,
    ],
)
def test_a_line_that_is_not_an_object(line: bytes) -> None:
    good = b'{"key":"good","text":"x"}\n'
    with pytest.raises(RecordError, match="b:3: not an object of a bundle"):
        bundle.unpack(HEADER + good + line + b"\n", "b")


def test_a_key_that_stands_twice() -> None:
    line = b'{"key":"a","text":"x"}\n'
    with pytest.raises(RecordError, match=r"b:3: .*'a' appears twice"):
        bundle.unpack(HEADER + line + line, "b")


@pytest.mark.parametrize("header", [b"", b"hello", b"{}", b"[]", b"1", b'{"format":"ciplug-bundle"}', b"[" * 900])
def test_what_is_not_a_bundle(header: bytes) -> None:
    for data in (header, header + b"\n", header + b"\n{}\n"):
        with pytest.raises(RecordError, match="b:1: not a bundle of ciplug"):
            bundle.unpack(data, "b")


def test_a_later_version_and_a_cut_one_say_so() -> None:
    with pytest.raises(RecordError, match="version 2") as caught:
        bundle.unpack(b'{"format":"ciplug-bundle","version":2}\n', "b")
    assert caught.value.hint == "upgrade ciplug"
    with pytest.raises(RecordError, match="cut off"):
        bundle.unpack(bundle.pack({"a": b"1"})[:-1], "b")


def test_what_is_too_much_is_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"a/{n}": b"" for n in range(bundle.MAX_OBJECTS + 1)}
    with pytest.raises(RecordError, match="at most 10,000"):
        bundle.pack(many)
    packed = bundle.pack({"a": b"x" * 1000})
    monkeypatch.setattr(bundle, "MAX_BYTES", 1000)
    with pytest.raises(RecordError, match="at most 1,000"):
        bundle.pack({"a": b"x" * 1000})
    with pytest.raises(RecordError, match="at most 1,000"):
        bundle.unpack(packed, "b")
    with pytest.raises(RecordError, match="is not a key"):
        bundle.pack({"../a": b""})


@pytest.mark.parametrize(
    "filler",
    [b"\n" * 4_000_000, b'{"key":"a","text":"x",' + b'"a":[],' * 600_000 + b"}\n", b"[{},{}," * 600_000 + b"]\n"],
    ids=["lines", "members", "nested"],
)
def test_a_few_megabytes_stay_a_few_megabytes(filler: bytes) -> None:
    """As objects of Python, each of these would be a hundred times its size."""
    data = HEADER + filler
    tracemalloc.start()
    with pytest.raises(RecordError):
        bundle.unpack(data, "b")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * len(data)


# Archives


def everything(path: str) -> bool:
    return True


def test_files_of_an_archive() -> None:
    data = zipped({"a/bundle.ndjson": b"1", "../../etc/passwd": b"2", "a/": b"", "b.txt": b"3"})
    found = dict(ci_artifacts_zip.files(data, "z", lambda path: not path.endswith(".txt")))
    assert found == {"a/bundle.ndjson": b"1", "../../etc/passwd": b"2"}


def test_a_zip_bomb_is_stopped_as_it_unfolds() -> None:
    data = zipped({"bundle.ndjson": b"\0" * 50_000_000, "fine.ndjson": b"fine"})
    assert len(data) < 100_000
    tracemalloc.start()
    found = dict(ci_artifacts_zip.files(data, "z", everything))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "a zip bomb?" in str(found["bundle.ndjson"])
    assert found["fine.ndjson"] == b"fine"
    assert peak < 60_000_000


def test_sizes_that_an_archive_lies_about() -> None:
    data = bytearray(zipped({"bundle.ndjson": b"x" * 1000}, zipfile.ZIP_STORED))
    start = data.index(b"PK\x01\x02")
    for at in (20, 24):  # compressed and uncompressed size, in the directory
        data[start + at : start + at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    ((_, content),) = ci_artifacts_zip.files(bytes(data), "z", everything)
    assert isinstance(content, RecordError)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_the_usual_compression_is_read(method: int) -> None:
    ((_, content),) = ci_artifacts_zip.files(zipped({"a": b"1"}, method), "z", everything)
    assert "compressed in a way" in str(content)


def test_an_encrypted_file() -> None:
    data = bytearray(zipped({"a": b"1"}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    ((_, content),) = ci_artifacts_zip.files(bytes(data), "z", everything)
    assert "encrypted" in str(content)


@given(st.data())
def test_a_damaged_archive_is_a_record_error_and_nothing_else(data: Any) -> None:
    whole = zipped({"bundle.ndjson": b"x" * 200, "b": b"y"})
    at = data.draw(st.integers(0, len(whole) - 1))
    for broken in (whole[:at], whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]):
        try:
            found = list(ci_artifacts_zip.files(broken, "z", everything))
        except RecordError:
            continue
        assert all(isinstance(content, (bytes, RecordError)) for _, content in found)


def test_a_file_without_a_name_is_one_without_content() -> None:
    data = zipped({"a": b"1"}).replace(b"a", b"\0")
    ((name, content),) = ci_artifacts_zip.files(data, "z", everything)
    assert name == "" and isinstance(content, (bytes, RecordError))


def test_entries_and_size_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped({str(n): b"" for n in range(11)})
    monkeypatch.setattr(ci_artifacts_zip, "MAX_ENTRIES", 10)
    with pytest.raises(RecordError, match="11 entries"):
        list(ci_artifacts_zip.files(data, "z", everything))
    monkeypatch.setattr(ci_artifacts_zip, "MAX_ARCHIVE", 100)
    with pytest.raises(RecordError, match="at most 100"):
        list(ci_artifacts_zip.files(data, "z", everything))


# What a bundle may hold


def check(objects: dict[str, bytes], **more: Any) -> list[Any]:
    return list(collected.check(objects, "b", **{"trusted": True, **more}))


def test_runs_with_their_series_and_verdicts() -> None:
    one, other = a_run(), a_run(commit=None, provenance=Provenance(context=Context(trusted=False)))
    assert check({**objects_of(one), **objects_of(other)}) == [one, other]
    assert check(objects_of(other), trusted=False) == [other]


EXAMPLES = examples.encode(Examples(source="p.jsonl", ids=["1", "2"], scores={"latency": [1.0, 2.0]}))


def test_runs_with_their_examples() -> None:
    assert check({**objects_of(RUN), KEY.replace(".json", ".examples"): EXAMPLES}) == [RUN]


RUN = a_run()
KEY = f"runs/{COMMIT}-{RUN.id}.json"
SERIES = KEY.replace(".json", ".series")


def changed(**fields: Any) -> dict[str, bytes]:
    record = json.loads(canonical.dumps(RUN))
    return {KEY: json.dumps({**record, **fields}).encode()}


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ({}, "it has no run"),
        ({"registry/wine/000001.json": b"{}"}, "and verdicts only"),
        ({"runs/x": b"{}"}, "and verdicts only"),
        ({"FORMAT": b"x"}, "and verdicts only"),
        ({KEY: b"{"}, "not a JSON record"),
        ({KEY: b"[" * 100_000}, "nested"),
        ({KEY: b'{"a":' * 100 + b"1" + b"}" * 100}, "nested"),
        ({KEY: b'{"id":"a","id":"b"}'}, "appears twice"),
        ({KEY: b"{}"}, "Field required"),
        ({KEY: b" " * (collected.MAX_RECORD + 1)}, "at most"),
        (changed(id="other"), "it holds the run 'other'"),
        (changed(commit="e" * 40), "it holds the run"),
        (changed(metrics={"a\n::set-output": 1.0}), "cannot be the name of a metric"),
        (changed(metrics={"accuracy": "1.0"}), "metrics"),
        (changed(model="a/b"), "cannot be the name of a model"),
        (changed(model="a\nb"), "cannot be the name of a model"),
        (changed(started="yesterday"), "not a point in time"),
        (changed(ended="2026-11-23T19:24:00"), "not a point in time"),
        (changed(params={"a": [1]}), "params"),
        (
            changed(monitor={"version": 1, "stage": "P", "since": "", "until": "", "outcome": "FAIL"}),
            "no bundle brings",
        ),
        ({f"runs/{COMMIT}-r1.json": canonical.dumps(replace(RUN, id="r1"))}, "not the id of a run"),
        (
            {"runs/--upload-pack-x.json": canonical.dumps(replace(RUN, commit="--upload-pack", id="x"))},
            "not a commit id",
        ),
        ({SERIES: objects_of(RUN)[SERIES]}, "its run is not in the bundle"),
        ({**objects_of(RUN), SERIES: b"{}\nx"}, "not a series record"),
        ({**objects_of(RUN), SERIES: objects_of(RUN)[SERIES][:-3]}, "damaged"),
        ({KEY.replace(".json", ".examples"): EXAMPLES}, "its run is not in the bundle"),
        ({**objects_of(RUN), KEY.replace(".json", ".examples"): EXAMPLES[:-3]}, "not the examples of a run"),
        ({k: v for k, v in objects_of(RUN).items() if k.startswith("verdicts")}, "about no run of the bundle"),
        ({**objects_of(RUN), "verdicts/x": b"{}"}, "verdicts/x"),
    ],
)
def test_what_a_bundle_may_not_hold(objects: dict[str, bytes], why: str) -> None:
    with pytest.raises(RecordError, match=f"b: .*{why}|b: {why}"):
        check(objects)


def test_a_verdict_is_of_a_run_of_the_bundle_and_under_its_own_key() -> None:
    other = a_run()
    (verdict,) = (item for item in objects_of(other).items() if item[0].startswith("verdicts"))
    with pytest.raises(RecordError, match="about no run of the bundle"):
        check({**objects_of(RUN), verdict[0]: verdict[1]})
    with pytest.raises(RecordError, match="its key is not that"):
        check({**objects_of(other, judged=False), f"verdicts/{other.id}-{'0' * 12}.json": verdict[1]})


def test_one_run_under_two_commits() -> None:
    objects = {**objects_of(RUN, judged=False), **objects_of(replace(RUN, commit="e" * 40), judged=False)}
    with pytest.raises(RecordError, match="has the run"):
        check(objects)


def test_the_claims_of_an_untrusted_bundle() -> None:
    with pytest.raises(RecordError, match="claims to be of a trusted job"):
        check(objects_of(RUN), trusted=False)
    fork = a_run(trusted=False)
    assert check(objects_of(fork), trusted=False, commits={COMMIT}) == [fork]
    for run in (fork, a_run(None, trusted=False)):
        with pytest.raises(RecordError, match="claims the commit"):
            check(objects_of(run), trusted=False, commits={"e" * 40})


# Amendments


def amendment(run: Run, **fields: Any) -> dict[str, bytes]:
    context = Context(trusted=run.provenance.context.trusted)
    made = Amendment(run=run.id, model=run.model, commit=run.commit, seq=1, created="x", context=context)
    key, data = amendment_object(replace(made, **fields))
    return {key.key: data}


def test_schemas_and_profiles_come_with_their_run_or_amendment() -> None:
    own = a_run(COMMIT, trusted=False)
    late = amendment(own, tags={"a": "b"})
    (key,) = late
    texts = encode_texts(["{}"])
    beside = {key.replace(".json", ".inputs"): texts, run_key(own).inputs: texts}
    assert collected.check({**objects_of(own), **late, **beside}, "b", trusted=False) == [own]
    for left, says in (({}, "its (run|amendment) is not in the bundle"), (objects_of(own), "its amendment is not in")):
        with pytest.raises(RecordError, match=says):
            collected.check({**left, **beside}, "b", trusted=False)
    with pytest.raises(RecordError, match="not the schemas and profiles of a run"):
        collected.check({**objects_of(own), run_key(own).inputs: b"x"}, "b", trusted=False)


def test_a_fork_amends_its_own_runs() -> None:
    own = a_run(COMMIT, trusted=False)
    objects = {**objects_of(own), **amendment(own, tags={"a": "b"})}
    assert collected.check(objects, "b", trusted=False) == [own]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda own: amendment(a_run(COMMIT), withdrawn=True), "amends a run that is not in the bundle"),
        (lambda own: amendment(own, context=Context(), metrics={"accuracy": 1.0}), "claims to be of a trusted job"),
        (lambda own: amendment(own, model="other"), "another model or commit"),
        (lambda own: amendment(own, lifecycle="gone"), "lifecycle"),
        (lambda own: {f"amend/none-{own.id}-1-aaaaaaaa.json": b"{}"}, "run: it is missing"),
        (lambda own: {next(iter(amendment(own))).replace(".json", ".series"): b"x"}, "its amendment is not in"),
        (lambda own: {next(iter(amendment(own))): canonical.dumps({"run": own.id})}, "model: it is missing"),
        (lambda own: {next(iter(amendment(own))): next(iter(amendment(own, tags={"a": "b"}).values()))}, "has the key"),
    ],
)
def test_a_fork_amends_nothing_else(make: Any, says: str) -> None:
    own = a_run(COMMIT, trusted=False)
    with pytest.raises(RecordError, match=says):
        collected.check({**objects_of(own), **make(own)}, "b", trusted=False)


def test_a_trusted_job_amends_what_is_recorded_elsewhere() -> None:
    objects = amendment(a_run(COMMIT), withdrawn=True, reason="wrong labels")
    assert collected.check(objects, "b", trusted=True) == []
    with pytest.raises(RecordError, match="it has no run"):
        collected.check({}, "b", trusted=True)
