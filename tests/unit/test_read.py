"""What is written is read back as it was; anything else is refused by key and field."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug.errors import RecordError
from ciplug.records import canonical, read
from ciplug.records.decode import Mismatched, decode
from ciplug.records.provenance import Context, Hardware, Provenance
from ciplug.records.registry_event import RegistryEvent
from ciplug.records.run import File, Run
from ciplug.records.verdict import GateResult, Verdict

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
maybe_text = st.none() | text
numbers = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = text | st.integers() | finite | st.booleans()
words = st.dictionaries(text, text, max_size=3)

files = st.builds(File, path=text, digest=text, size=st.integers(0))
provenances = st.builds(
    Provenance,
    context=st.builds(Context, commit=maybe_text, pull_request=st.none() | st.integers(), trusted=st.booleans()),
    command=st.lists(text, max_size=3).map(tuple),
    wall_seconds=st.none() | numbers,
    packages=words,
    hardware=st.builds(Hardware, cores=st.none() | st.integers(), gpus=st.lists(text, max_size=2).map(tuple)),
    dirty=st.none() | st.booleans(),
)
runs = st.builds(
    Run,
    id=text,
    model=text,
    status=st.sampled_from(["finished", "failed", "killed"]),
    started=text,
    ended=text,
    commit=maybe_text,
    params=st.dictionaries(text, scalars, max_size=5),
    metrics=st.dictionaries(text, numbers, max_size=5),
    datasets=st.lists(files, max_size=2).map(tuple),
    tags=words,
    provenance=provenances,
    schema=st.just(1),
)
gates = st.builds(
    GateResult,
    gate=text,
    metric=text,
    rule=text,
    outcome=st.sampled_from(["PASS", "WARN", "FAIL", "INCONCLUSIVE", "ERROR"]),
    reason=text,
    candidate=st.none() | numbers,
    limit=st.none() | numbers,
)
verdicts = st.builds(
    Verdict,
    run=text,
    model=text,
    outcome=st.sampled_from(["PASS", "WARN", "FAIL", "INCONCLUSIVE", "ERROR"]),
    gates=st.lists(gates, max_size=3).map(tuple),
    created=text,
    policy_digest=text,
    policy_file=text,
    dry_run=st.booleans(),
    schema=st.just(1),
)
events = st.builds(
    RegistryEvent,
    seq=st.integers(1),
    previous=maybe_text,
    type=text,
    model=text,
    created=text,
    payload=st.fixed_dictionaries({"version": st.integers(1), "run": text, "files": words}),
    schema=st.just(1),
)


def typed(value: Any) -> Any:
    """The value with its types, and NaN equal to itself."""
    if dataclasses.is_dataclass(value):
        pairs = [(f.name, typed(getattr(value, f.name))) for f in dataclasses.fields(value)]
        return (type(value).__name__, pairs)
    if isinstance(value, dict):
        return {k: typed(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(typed(v) for v in value)
    return (type(value), repr(value))


@settings(deadline=None)
@given(runs)
def test_run_round_trip(record: Run) -> None:
    data = canonical.dumps(record)
    back = read.run(data, "k")
    assert typed(back) == typed(record)
    assert canonical.dumps(back) == data


@settings(deadline=None)
@given(verdicts)
def test_verdict_round_trip(record: Verdict) -> None:
    assert typed(read.verdict(canonical.dumps(record), "k")) == typed(record)


@settings(deadline=None)
@given(events)
def test_registry_event_round_trip(record: RegistryEvent) -> None:
    assert typed(read.registry_event(canonical.dumps(record), "k")) == typed(record)


RUN = Run(id="1", model="m", status="finished", started="s", ended="e", metrics={"loss": 0.5})


def changed(**fields: object) -> bytes:
    return canonical.dumps({**canonical.plain(RUN), **fields})


def test_scalars_keep_their_types() -> None:
    params = {"a": True, "b": 1, "c": 1.0, "d": "1", "e": 10**30, "f": "NaN", "g": "true"}
    back = read.run(canonical.dumps(dataclasses.replace(RUN, params=params)), "k").params
    assert type(back) is dict
    assert [(type(v), v) for v in back.values()] == [(type(v), v) for v in params.values()]


def test_metrics_that_json_cannot_say() -> None:
    back = read.run(changed(metrics={"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 3}), "k").metrics
    assert math.isnan(back["a"])
    assert (back["b"], back["c"], back["d"]) == (math.inf, -math.inf, 3.0)
    assert type(back["d"]) is float


def test_a_newer_record_is_shown_as_far_as_it_is_known() -> None:
    back = read.run(changed(schema=2, carbon={"grams": 12}), "k")
    assert back == dataclasses.replace(RUN, schema=2)


def test_a_newer_record_of_another_shape_says_so() -> None:
    with pytest.raises(RecordError, match="status") as caught:
        read.run(changed(schema=2, status="paused"), "k")
    assert "newer ciplug" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a JSON record"),
        (b"{", "not a JSON record"),
        (b"\xff", "not a JSON record"),
        (b"[]", "the record"),
        (b"null", "the record"),
        (b'{"id":"a","id":"b"}', "'id' appears twice"),
        (b'{"metrics":{"a":NaN}}', "NaN is not JSON"),
        (b"[" * 50_000, "nested"),
        (b"[" * 20 + b"]" * 20, "nested in more than 16 levels"),
        (b'{"id":' + b"9" * 5000 + b"}", "not a JSON record"),
        (b'{"id":"1","model":"m"}', "status: Field required"),
        (changed(metrics={"a": "0.5"}), "metrics.a"),
        (changed(metrics={"a": True}), "metrics.a"),
        (changed(metrics={"a": None}), "metrics.a"),
        (changed(metrics=[1]), "metrics"),
        (changed(params={"a": [1]}), "params.a"),
        (changed(status="good"), "status"),
        (changed(id=7), "id"),
        (changed(datasets=[{"path": "p", "digest": "d", "size": "1"}]), "datasets.0.size"),
        (changed(provenance={"exit_code": 1.5}), "provenance.exit_code"),
        (changed(provenance={"context": {"trusted": "yes"}}), "provenance.context.trusted"),
        (b'{"id":"\\ud800"}', "the record"),
    ],
)
def test_wrong_shapes_name_key_and_field(data: bytes, says: str) -> None:
    with pytest.raises(RecordError) as caught:
        read.run(data, "new/abc.json")
    assert caught.value.message.startswith("new/abc.json: ")
    assert says in caught.value.message


def test_size_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "MAX_BYTES", 10)
    with pytest.raises(RecordError, match="at most 10"):
        read.run(changed(), "k")


@settings(deadline=None)
@given(st.binary(max_size=200) | st.recursive(st.none() | st.floats() | text, st.lists).map(lambda v: repr(v).encode()))
def test_noise_is_a_record_error(data: bytes) -> None:
    with pytest.raises(RecordError):
        read.run(data, "k")


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.integers() | finite | text
    | st.sampled_from(["NaN", "Infinity", "finished", "PASS", 2**53, 1.0]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=400)
@given(st.data(), runs | verdicts | events)
def test_what_is_read_without_pydantic_is_what_pydantic_reads(
    data: st.DataObject, record: Run | Verdict | RegistryEvent
) -> None:
    value = json.loads(canonical.dumps(record))
    # Something else in any place.
    places = [(value, name) for name in value]
    for holder, name in places:
        inner = holder[name]
        if isinstance(inner, (dict, list)):
            places += [(inner, at) for at in (inner if isinstance(inner, dict) else range(len(inner)))]
    holder, name = data.draw(st.sampled_from(places))
    holder[name] = data.draw(junk)
    try:
        made = decode(type(record), value)
    except Mismatched:
        return
    read._read_soundly = read._FEW
    try:
        assert repr(read._record(type(record), json.dumps(value).encode(), "key")) == repr(made)
    finally:
        read._read_soundly = 0


def test_a_sound_record_is_read_without_pydantic() -> None:
    program = (
        "import sys\nfrom ciplug.records import canonical, read\nfrom ciplug.records.run import Run\n"
        "run = Run(id='1', model='m', status='finished', started='', ended='', metrics={'f1': 1.0}, params={'a': 7})\n"
        "assert read.run(canonical.dumps(run), 'key') == run and 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
