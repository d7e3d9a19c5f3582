"""Step series survive their encoding bit for bit, and hostile bytes are refused."""

from __future__ import annotations

import contextlib
import json
import math
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug.errors import RecordError
from ciplug.records import series
from ciplug.records.series import Series, decode, encode

steps = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def some_series(draw: st.DrawFn) -> Series:
    points = draw(st.lists(st.tuples(steps, numbers, numbers), max_size=30))
    times = tuple(p[2] for p in points) if draw(st.booleans()) else None
    return Series(tuple(p[0] for p in points), tuple(p[1] for p in points), times)


def bits(values: tuple[float, ...] | None) -> list[bytes] | None:
    return None if values is None else [struct.pack("<d", v) for v in values]


@settings(deadline=None)
@given(st.dictionaries(st.text(), some_series(), max_size=5))
def test_round_trip_bit_for_bit(given_series: dict[str, Series]) -> None:
    data = encode(given_series)
    back = decode(data)

    assert list(back) == sorted(given_series)
    for name, one in given_series.items():
        assert back[name].steps == one.steps
        assert bits(back[name].values) == bits(one.values)
        assert bits(back[name].times) == bits(one.times)
    assert encode(back) == data


def test_order_of_metrics_does_not_change_the_bytes() -> None:
    a, b = Series((1,), (0.5,)), Series((1, 2), (0.1, 0.2))
    assert encode({"a": a, "b": b}) == encode({"b": b, "a": a})


def test_keeps_what_json_cannot_say() -> None:
    back = decode(encode({"m": Series((0, 1, 2, 3), (math.nan, math.inf, -math.inf, -0.0))}))["m"].values
    assert math.isnan(back[0])
    assert back[1:3] == (math.inf, -math.inf)
    assert math.copysign(1, back[3]) == -1


def random_walks(as_float32: bool) -> dict[str, Series]:
    source = random.Random(1)
    result = {}
    for name in ("loss", "val/loss", "accuracy"):
        value, values = 1.0, []
        for _ in range(1000):
            value += source.gauss(0, 0.01)
            values.append(struct.unpack("f", struct.pack("f", value))[0] if as_float32 else value)
        result[name] = Series(tuple(range(1000)), tuple(values))
    return result


def test_is_small() -> None:
    """Three series of 1,000 points: a third of what JSON takes without its precision, and no bit is lost."""
    assert len(encode(random_walks(as_float32=True))) < 9_500
    assert len(encode(random_walks(as_float32=False))) < 20_000


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        Series((1, 2), (0.5,))
    with pytest.raises(ValueError, match="differ in length"):
        Series((1,), (0.5,), ())


def test_step_beyond_64_bits_names_the_metric() -> None:
    with pytest.raises(RecordError, match=r"'loss'.*64 bits"):
        encode({"loss": Series((2**63,), (0.5,))})


def test_too_many_points_are_refused_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode({"m": Series((1, 2, 3), (1.0, 2.0, 3.0))})
    monkeypatch.setattr(series, "MAX_POINTS", 2)
    with pytest.raises(RecordError, match="3 points in all"):
        encode({"m": Series((1, 2, 3), (1.0, 2.0, 3.0))})
    with pytest.raises(RecordError, match="the-key: 1 metrics with 3 points"):
        decode(data, "the-key")


def container(header: object, body: bytes) -> bytes:
    return json.dumps(header).encode() + b"\n" + body


ONE = {"format": "ciplug-series", "version": 1, "metrics": [{"name": "m", "points": 1, "times": False}]}
BODY = zlib.compress(bytes(16))


def test_the_container_above_is_a_good_one() -> None:
    assert decode(container(ONE, BODY)) == {"m": Series((0,), (0.0,))}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[1]\n",
        b"not json\n",
        b"\xff\xfe\n",
        container(ONE, b""),
        container(ONE, b"not deflated"),
        container(ONE, BODY[:-3]),
        container(ONE, BODY + b"more"),
        container(ONE, zlib.compress(bytes(15))),
        container(ONE, zlib.compress(bytes(17))),
        container(ONE, zlib.compress(bytes(10_000_000))),
        container({**ONE, "format": "other"}, BODY),
        container({**ONE, "metrics": [{"name": "m", "points": -1, "times": False}]}, BODY),
        container({**ONE, "metrics": [{"name": "m", "points": True, "times": False}]}, BODY),
        container({**ONE, "metrics": [{"name": "m", "points": 10**12, "times": False}]}, BODY),
        container({**ONE, "metrics": [{"name": "m", "points": 1, "times": 0}]}, BODY),
        container({**ONE, "metrics": [{"name": 1, "points": 1, "times": False}]}, BODY),
        container({**ONE, "metrics": ONE["metrics"] * 2}, zlib.compress(bytes(32))),  # type: ignore[operator]
        container({**ONE, "metrics": {}}, zlib.compress(b"x")),
        b"[" * 100_000 + b"\n",
    ],
)
def test_damaged_or_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RecordError, match="inbox/7"):
        decode(data, "inbox/7")


def test_newer_version_says_so() -> None:
    with pytest.raises(RecordError, match="version 2") as caught:
        decode(container({**ONE, "version": 2, "metrics": "whatever"}, b""), "k")
    assert caught.value.hint == "upgrade ciplug"


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_any_damage_is_a_record_error_or_harmless(noise: bytes, at: int) -> None:
    data = bytearray(encode({"m": Series((1, 2), (0.5, math.nan), (1.0, 2.0))}))
    data[at : at + len(noise)] = noise
    with contextlib.suppress(RecordError):
        decode(bytes(data))
