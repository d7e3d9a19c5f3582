"""Numbers in ascending order, beside Python's own sort."""

from __future__ import annotations

import bisect
import math
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.stats import sample
from ciplug.stats.sample import Sample

numbers = st.lists(st.none() | st.floats() | st.integers(-5, 5), max_size=40)


@given(numbers, numbers, st.integers(1, 9))
def test_order(first: list[float | None], second: list[float | None], run: int) -> None:
    with mock.patch.object(sample, "RUN", run):
        found = Sample(first)
        assert len(list(found)) == len(found)  # sorted once, and again after more have come
        found.extend(second)
        expected = sorted(float(v) for v in [*first, *second] if v is not None and not math.isnan(v))
        assert list(found) == expected
        assert (found.missing, found.rows) == (len(first) + len(second) - len(expected), len(first) + len(second))
        assert [found.at(rank) for rank in range(len(expected))] == expected
        for value in expected:
            assert found.below(value) == bisect.bisect_left(expected, value)
        with pytest.raises(IndexError):
            found.at(len(expected))


@given(st.lists(st.floats() | st.integers(-(10**400), 10**400)))
def test_the_quick_way_is_the_same(values: list[float]) -> None:
    slow, quick = Sample(values), Sample()
    quick.extend_complete(values)
    assert (list(slow), slow.missing) == (list(quick), quick.missing)


def test_integers_beyond_floats_are_infinite() -> None:
    assert list(Sample([10**400, -(10**400)])) == [-math.inf, math.inf]
