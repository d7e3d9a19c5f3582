"""The log of an open run: what its lines add up to, and how it is read while it grows."""

from __future__ import annotations

import json
import math
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.capture import events, log
from ciplug.capture.logged import Fold, Logged
from ciplug.errors import UsageError
from ciplug.records.inputs import ModelOutput, decode_texts, encode_texts
from ciplug.records.series import Series

_TIMES = st.integers(0, 3).map(float)
_VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, math.nan, math.inf, -math.inf])
_KEYS = st.sampled_from(["a", "b"])
_TEXTS = st.sampled_from(["x", "y", ""])
DATASETS = st.fixed_dictionaries(
    {"name": _TEXTS, "digest": _TEXTS, "source_type": _TEXTS, "source": _TEXTS},
    optional={"context": _TEXTS, "tags": st.dictionaries(_KEYS, _TEXTS, max_size=1)},
)
EVENTS = st.one_of(
    st.fixed_dictionaries(
        {"metric": _KEYS, "value": _VALUES, "time": _TIMES}, optional={"step": st.integers(-2, 2) | st.none()}
    ),
    st.fixed_dictionaries({"param": _KEYS, "value": _TEXTS | st.integers(0, 2) | st.booleans(), "time": _TIMES}),
    st.fixed_dictionaries({"tag": _KEYS, "value": _TEXTS, "time": _TIMES}),
    st.fixed_dictionaries({"untag": _KEYS, "time": _TIMES}),
    st.fixed_dictionaries({"artifact": _TEXTS, "time": _TIMES}),
    st.fixed_dictionaries({"dataset": _TEXTS, "time": _TIMES}),
    st.fixed_dictionaries({"input": DATASETS, "time": _TIMES}, optional={"schema": _TEXTS, "profile": _TEXTS}),
    st.fixed_dictionaries({"model_input": _TEXTS, "time": _TIMES}),
    st.fixed_dictionaries({"output": _TEXTS, "time": _TIMES}, optional={"step": st.integers(0, 2)}),
    st.fixed_dictionaries({"model": _TEXTS, "time": _TIMES}),
    st.fixed_dictionaries({"name": _TEXTS, "time": _TIMES}),
    st.fixed_dictionaries({"seed": st.integers(0, 3), "time": _TIMES}),
    st.fixed_dictionaries({"started": _TIMES, "time": _TIMES}),
    st.fixed_dictionaries({"of_a_later_version": st.none(), "time": _TIMES}),
    st.fixed_dictionaries({"metric": st.just("no\nname"), "value": _VALUES, "time": _TIMES}),
)
LINES = st.lists(EVENTS | st.lists(EVENTS, max_size=4), max_size=12).map(lambda lines: [json.dumps(x) for x in lines])


def total(lines: list[str]) -> Logged:
    fold = Fold()
    for line in lines:
        fold.add(line.encode())
    return fold.logged()


def same(one: Logged, other: Logged) -> bool:
    """Equal to the last bit: NaN is NaN, and 0.0 is not -0.0."""
    return repr(one) == repr(other)


@given(LINES, st.randoms(use_true_random=False))
def test_the_order_of_the_lines_changes_nothing(lines: list[str], random: Any) -> None:
    shuffled = list(lines)
    random.shuffle(shuffled)
    assert same(total(lines), total(shuffled))


@given(LINES)
def test_what_was_logged_twice_counts_once(lines: list[str]) -> None:
    once, twice = total(lines), total([*lines, *lines])
    assert (twice.torn, twice.unknown) == (2 * once.torn, 2 * once.unknown)
    fields = ("metrics", "series", "params", "tags", "artifacts", "datasets", "model", "name", "seed", "started")
    assert all(repr(getattr(once, name)) == repr(getattr(twice, name)) for name in fields)


@given(LINES)
def test_a_metric_s_value_is_that_of_its_last_point(lines: list[str]) -> None:
    logged = total(lines)
    assert logged.metrics.keys() == logged.latest.keys()
    for key, one in logged.series.items():
        points = list(zip(one.steps, one.times or (), strict=True))
        assert points == sorted(points)
        assert logged.latest[key].step >= one.steps[-1]


@given(LINES, st.lists(st.integers(1, 40), max_size=40))
def test_reading_in_any_pieces_is_reading_at_once(tmp_path_factory: Any, lines: list[str], sizes: list[int]) -> None:
    folder = tmp_path_factory.mktemp("log")
    data = "".join(f"\n{line}\n" for line in lines).encode()
    reader = log.Reader(folder)
    with (folder / log.FILE).open("ab", buffering=0) as file:
        at = 0
        for size in sizes:
            file.write(data[at : at + size])
            at += size
            whole = data[:at].rpartition(b"\n")[0].decode().split("\n")
            assert same(reader.logged(), total([line for line in whole if line]))
        file.write(data[at:])
    assert same(reader.logged(), total(lines))
    assert same(reader.end(), log.read(folder))


def metric(value: float, **more: Any) -> str:
    return json.dumps({"metric": "m", "value": value, "time": 1.0, **more})


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ((metric(1, step=2), metric(2, step=1, time=9.0)), 1),
        ((metric(1, step=2, time=2.0), metric(2, step=2)), 1),
        ((metric(1, step=2), metric(2, step=2)), 2),
        # Without a step it is of step 0.
        ((metric(1, step=1), metric(2, time=9.0)), 1),
        ((metric(1, step=-1, time=9.0), metric(2)), 2),
        ((metric(1), metric(2, time=2.0)), 2),
        # NaN is compared as 0.
        ((metric(math.nan), metric(-1)), math.nan),
        ((metric(math.nan), metric(1)), 1),
        ((metric(math.nan, time=2.0), metric(1)), math.nan),
        ((metric(math.inf), metric(-math.inf)), math.inf),
    ],
)
def test_of_several_values_of_a_metric_one_counts(lines: tuple[str, ...], value: float) -> None:
    for order in (lines, lines[::-1]):
        assert repr(total(list(order)).metrics["m"]) == repr(float(value))


def test_a_value_without_a_step_is_in_the_series_at_step_0() -> None:
    logged = total([metric(0.9), metric(0.5, step=3, time=2.0), metric(0.7, time=3.0)])
    assert logged.series["m"] == Series((0, 0, 3), (0.9, 0.7, 0.5), (1.0, 3.0, 2.0))
    assert "m" not in total([metric(1), metric(2, time=2.0)]).series, "no value has a step"


def test_exact_duplicates_are_dropped_from_a_series() -> None:
    logged = total([metric(1, step=1), metric(1, step=1), metric(1, step=1, time=2.0), metric(math.nan, step=3)] * 2)
    assert repr(logged.series["m"]) == repr(Series((1, 1, 3), (1.0, 1.0, math.nan), (1.0, 2.0, 1.0)))


def test_a_tag_that_is_taken_away_stays_away_until_it_is_set_again() -> None:
    def tag(time: float) -> str:
        return json.dumps({"tag": "k", "value": "v", "time": time})

    untag = json.dumps({"untag": "k", "time": 2.0})
    assert total([tag(1.0), untag]).tags == {}
    assert total([untag, tag(3.0)]).tags == {"k": "v"}


def test_a_batch_is_one_line_and_counts_whole_or_not_at_all(tmp_path: Path) -> None:
    log.append(tmp_path, *(events.metric(f"m{number}", number, step=1) for number in range(100)))
    (line,) = (tmp_path / log.FILE).read_bytes().split()[:1]
    assert line.startswith(b"[")
    assert len((tmp_path / log.FILE).read_bytes().strip().split(b"\n")) == 1
    assert len(log.read(tmp_path).metrics) == 100
    with (tmp_path / log.FILE).open("a") as file:
        file.write('[{"param": "a", "value": 1, "time": 1}, {"param": "b", "value": [], "time": 1}]\n')
    logged = log.read(tmp_path)
    assert (logged.params, logged.torn) == ({}, 1)


def test_unknown_events_are_counted_and_take_nothing_with_them() -> None:
    logged = total(['[{"in": "d1", "time": 1}, {"param": "a", "value": 1, "time": 1}, {"out": "m-1"}]'])
    assert (logged.params, logged.unknown, logged.torn) == ({"a": 1}, 2, 0)


def test_times_can_be_given(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc)
    assert events.seconds(moment) == moment.timestamp() == events.seconds(int(moment.timestamp() * 1000))
    log.append(tmp_path, events.metric("m", 1.0, step=3, time=moment.timestamp()))
    log.append(tmp_path, events.metric("m", 2.0, step=3, time=1.0))
    assert log.read(tmp_path).series["m"].times == (1.0, moment.timestamp())
    assert log.read(tmp_path).latest["m"] == (3, moment.timestamp(), 1.0)


@pytest.mark.parametrize("timestamp", [0, 1_000, 1_790_000_000, -1, 10**11 - 1])
def test_seconds_are_not_taken_for_milliseconds(timestamp: int) -> None:
    with pytest.raises(UsageError, match="is in seconds: milliseconds are expected"):
        events.seconds(timestamp)


@pytest.mark.parametrize("timestamp", [1.5, "now", True, 10**15, -(10**15)])
def test_what_is_not_a_timestamp(timestamp: Any) -> None:
    with pytest.raises(UsageError, match="neither a datetime nor a whole number of milliseconds"):
        events.seconds(timestamp)


@pytest.mark.parametrize("milliseconds", [10**11, 1_790_000_000_123, 253_402_300_799_999])
def test_milliseconds_are_kept_exactly(milliseconds: int) -> None:
    seconds = events.seconds(milliseconds)
    assert seconds is not None and round(seconds * 1000) == milliseconds


class _Dataset:
    """As one of MLflow gives its facts."""

    def to_dict(self) -> dict[str, object]:
        texts = {"schema": "{}", "profile": '{"rows": 3}'}
        return {"name": "d", "digest": "1a2b3c4d", "source": "{}", "source_type": "local", **texts}


class _Output:
    model_id, step = "m-1", 3


def test_a_dataset_counts_once_in_a_context_as_it_was_named_first() -> None:
    lines = [
        json.dumps({**events.dataset_input(_Dataset(), "training", {"k": 1}), "time": 1.0}),
        json.dumps([{**events.dataset_input(_Dataset(), "training", {"k": 2}), "time": 2.0}]),
        json.dumps([{**events.dataset_input({**_Dataset().to_dict(), "profile": [1]}), "time": 3.0}]),
        json.dumps([{**events.output(_Output()), "time": 2.0}, {**events.output("m-1"), "time": 2.0}]),
        json.dumps({**events.model_input("m-0"), "time": 1.0}),
    ]
    found = total(lines)
    assert [(one.name, one.context, dict(one.tags)) for one in found.inputs] == [
        ("d", "training", {"k": "1"}),
        ("d", None, {}),
    ]
    assert (found.outputs, found.model_inputs) == ((ModelOutput(id="m-1", step=3),), ("m-0",))
    assert found.texts == ("{}", '{"rows": 3}', "[1]")
    assert decode_texts(encode_texts(found.texts), "x")[found.inputs[1].profile or ""] == "[1]"


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ("train.csv", "a dataset is expected, not str"),
        ({"name": "d"}, "the dataset's digest is a text of 1 to 250 characters"),
        ({**_Dataset().to_dict(), "name": ""}, "the dataset's name is a text"),
        ({**_Dataset().to_dict(), "name": 7}, "the dataset's name is text, not int"),
        ({**_Dataset().to_dict(), "rows": 7}, "a dataset has no field 'rows'"),
        ({**_Dataset().to_dict(), "schema": "x" * 16_777_217}, "the dataset's schema has more than 16,777,216 bytes"),
        ({**_Dataset().to_dict(), "profile": object()}, "neither text nor JSON"),
    ],
)
def test_what_is_not_a_dataset(dataset: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        events.dataset_input(dataset)


@pytest.mark.parametrize("model", ["", 7, None])
def test_what_is_not_a_logged_model(model: object) -> None:
    for make in (events.output, events.model_input):
        with pytest.raises(UsageError, match="the id of a logged model is expected"):
            make(model)


def test_of_two_calls_the_last_counts_however_coarse_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log.time, "time", lambda: 1_790_000_000.0)
    for value in (2.0, 1.0):
        log.append(tmp_path, events.metric("m", value), events.param("p", value))
    assert (log.read(tmp_path).metrics, log.read(tmp_path).params) == ({"m": 1.0}, {"p": 1.0})


def test_nothing_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = log.Log(tmp_path)
    for step in range(1000):
        lines.append(events.metric("m", step, step))
    reader = log.Reader(tmp_path)
    first = reader.logged()
    taken: list[bytes] = []
    original = Fold.add
    monkeypatch.setattr(Fold, "add", lambda fold, line: (taken.append(line), original(fold, line))[1])
    assert reader.logged() is first and taken == []
    lines.append(events.metric("m", 1.0, 1000))
    assert reader.logged().series["m"].steps == tuple(range(1001)) and len(taken) == 1
    assert first.series["m"].steps == tuple(range(1000)), "what was read before stays as it was"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")
def test_a_forked_worker_has_a_descriptor_of_its_own(tmp_path: Path) -> None:
    lines = log.Log(tmp_path)
    lines.append(events.metric("m", 0, 0))
    worker = os.fork()
    if not worker:
        lines.append(events.metric("m", 1, 1))
        lines.close()
        os._exit(0)
    assert os.waitpid(worker, 0)[1] == 0
    lines.append(events.metric("m", 2, 2))
    assert log.read(tmp_path).series["m"].steps == (0, 1, 2)


def test_a_reader_of_the_latest_value_makes_no_series_of_a_long_metric() -> None:
    """What was read stays as it was while the log goes on."""
    fold = Fold()
    for step in range(3):
        fold.add(json.dumps({"metric": "loss", "value": step, "step": step, "time": step}).encode())
    before = fold.logged()
    for step in (9, 5):
        fold.add(json.dumps({"metric": "loss", "value": step, "step": step, "time": step}).encode())
    after = fold.logged()
    assert not after.series._made  # type: ignore[attr-defined]
    assert (after.metrics["loss"], before.series["loss"].steps) == (9, (0, 1, 2))
    assert after.series["loss"].steps == (0, 1, 2, 5, 9)
