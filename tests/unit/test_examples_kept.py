"""The examples of a run as bytes: nothing is lost, and nothing strange is taken."""

from __future__ import annotations

import json
import math
import zlib
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.errors import RecordError
from ciplug.records import examples as kept
from ciplug.records.examples import Examples

TEXTS = st.text(max_size=5).filter(lambda t: t.isascii() or t.encode(errors="ignore").decode() == t)


@given(st.data())
def test_there_and_back(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 6))

    def column(values: st.SearchStrategy[object]) -> list[object]:
        return data.draw(st.lists(values, min_size=count, max_size=count))

    found = Examples(
        source="p.jsonl",
        ids=column(TEXTS),  # type: ignore[arg-type]
        labels=column(st.none() | TEXTS),  # type: ignore[arg-type]
        predictions=None,
        slices={"country": column(TEXTS)},  # type: ignore[dict-item]
        scores={"score": array("d", column(st.floats()))},  # type: ignore[arg-type]
    )
    back = kept.decode(kept.encode(found))
    assert (list(back.ids), back.labels, back.predictions, back.slices) == (
        found.ids,
        found.labels,
        None,
        found.slices,
    )
    assert array("d", back.scores["score"]).tobytes() == array("d", found.scores["score"]).tobytes()


def test_means_are_metrics() -> None:
    found = Examples(
        source="",
        ids=["1", "2", "3", "4"],
        labels=["a", "b", None, "a"],
        predictions=["a", "a", "a", None],
        scores={"latency": [1.0, 2.0, math.nan, 3.0], "broken": [1.0, math.inf, 0.0, 0.0], "none": [math.nan] * 4},
    )
    assert kept.means(found) == {"accuracy": pytest.approx(1 / 3), "latency": 2.0, "broken": math.inf}


@pytest.mark.slow
def test_too_many_are_refused_and_why() -> None:
    ids = [f"{zlib.crc32(str(n).encode()):08x}{n}" for n in range(2_000_000)]
    with pytest.raises(RecordError, match=r"p.jsonl: 2,000,000 examples take .* MB, and at most 10 MB are kept"):
        kept.encode(Examples(source="p.jsonl", ids=ids))


GOOD = kept.encode(Examples(source="p", ids=["1", "2"], scores={"s": [1.0, 2.0]}))
HEAD, _, BODY = GOOD.partition(b"\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]\n",
        GOOD[:-1],
        GOOD + b"x",
        HEAD.replace(b'"rows":2', b'"rows":3') + b"\n" + BODY,
        HEAD.replace(b'"version":1', b'"version":2') + b"\n" + BODY,
        HEAD.replace(b"ciplug-examples", b"something") + b"\n" + BODY,
        HEAD.replace(b'"kind":"id"', b'"kind":"label"') + b"\n" + BODY,
        HEAD.replace(b'"bytes":16', b'"bytes":-16') + b"\n" + BODY,
        HEAD.replace(b'"bytes":16', b'"bytes":999999999999') + b"\n" + BODY,
        HEAD + b"\n" + zlib.compress(json.dumps([1, 2]).encode() + b"\0" * 16),
    ],
)
def test_bytes_that_are_not_examples(data: bytes) -> None:
    with pytest.raises(RecordError, match=r"^the\.examples: "):
        kept.decode(data, "the.examples")
