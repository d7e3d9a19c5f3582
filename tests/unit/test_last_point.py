"""The latest point of a metric: MLflow's order, and how it is kept."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ciplug.records.canonical import dumps
from ciplug.records.last_point import (
    LastPoint,
    as_series,
    last_of,
    latest,
    milliseconds,
    not_earlier,
    parse_point,
    series_to_store,
)
from ciplug.records.read import run as read_run
from ciplug.records.run import Run
from ciplug.records.series import Series

MOMENT = "2026-11-23T19:24:00Z"


@pytest.mark.parametrize(
    "earlier, later",
    [
        (LastPoint(step=1, value=9.0, time=9), LastPoint(step=2, value=0.0, time=0)),
        (LastPoint(step=1, value=9.0, time=8), LastPoint(step=1, value=0.0, time=9)),
        (LastPoint(step=1, value=0.0, time=9), LastPoint(step=1, value=0.1, time=9)),
        (LastPoint(step=1, value=math.nan, time=9), LastPoint(step=1, value=0.1, time=9)),
        (LastPoint(step=1, value=-0.1, time=9), LastPoint(step=1, value=math.nan, time=9)),
        (LastPoint(step=1, value=9.0), LastPoint(step=1, value=0.0, time=-9)),
    ],
)
def test_the_order_is_step_time_value(earlier: LastPoint, later: LastPoint) -> None:
    assert earlier.order < later.order
    points = [earlier, later]
    for one, other in (points, reversed(points)):
        assert latest({"a": one}, {"a": other}) == {"a": later}


def test_without_a_point_on_both_sides_the_new_value_counts() -> None:
    late = {"a": LastPoint(step=9, value=1.0)}
    early = {"a": LastPoint(step=1, value=2.0)}
    assert not_earlier({"a": 2.0, "b": 3.0}, early, late) == {"b": 3.0}
    assert not_earlier({"a": 2.0}, {}, late) == not_earlier({"a": 2.0}, early, {}) == {"a": 2.0}
    assert not_earlier({"a": 1.0}, late, late) == {"a": 1.0}


@pytest.mark.parametrize(
    "series, point",
    [
        (Series((), ()), None),
        (Series((1, 7, 3), (0.1, 0.7, 0.3)), LastPoint(step=7, value=0.7)),
        # A training was started again and its file goes on.
        (Series((1, 2, 1, 2), (0.9, 0.3, 0.8, 0.7)), LastPoint(step=2, value=0.7)),
        (Series((2, 2, 1), (0.7, 0.3, 0.9), (1.0, 1.5, 9.0)), LastPoint(step=2, value=0.3, time=1500)),
    ],
)
def test_the_last_point_of_a_series(series: Series, point: LastPoint | None) -> None:
    assert last_of(series) == point


def test_milliseconds_are_those_that_were_given() -> None:
    assert [milliseconds(ms / 1000) for ms in (1_700_000_000_123, 1_764_386_608_122, 0, -1)] == [
        1_700_000_000_123,
        1_764_386_608_122,
        0,
        -1,
    ]
    assert [milliseconds(odd) for odd in (None, math.inf, -1e300)] == [None] * 3


def test_a_record_keeps_it() -> None:
    points = {"a": LastPoint(step=-3, value=math.inf, time=5), "b": LastPoint(step=0, value=1.0)}
    run = Run(id="1", model="wine", status="finished", started=MOMENT, ended=MOMENT, metrics={"a": 1.0}, last=points)
    assert read_run(dumps(run), "runs/none-1.json") == run


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], {}, {"step": 1}, {"value": 1.0}, {"step": True, "value": 1.0}, {"step": 1, "value": True}),
        *({"step": 1.0, "value": 1.0}, {"step": 1, "value": "x"}, {"step": 1, "value": 10**400}),
        {"step": 1, "value": 1.0, "time": 1.5},
    ],
)
def test_what_is_not_a_point_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="expected, not"):
        parse_point(value)


def test_unknown_fields_of_a_point_are_skipped() -> None:
    assert parse_point({"step": 1, "value": 2, "new": []}) == LastPoint(step=1, value=2.0)
    assert math.isnan(parse_point({"step": 1, "value": "NaN"}).value)


def test_a_series_is_stored_unless_the_record_has_its_only_point() -> None:
    last = {name: LastPoint(step=0, value=0.5, time=1_700_000_000_123) for name in "ab"}
    last |= {"nan": LastPoint(step=0, value=math.nan, time=5), "late": LastPoint(step=3, value=1.0, time=5)}
    series = {name: as_series(point) for name, point in last.items()}
    others = {
        "a": Series((0,), (0.5,), (1_700_000_000.1234,)),  # finer than the milliseconds of the record
        "b": Series((0,), (-0.5,), series["b"].times),
        "nan": Series((0, 0), (math.nan, math.nan), (0.0, 0.005)),
        "unknown": Series((0,), (1.0,), None),
    }

    assert set(series_to_store(series, last)) == {"late"}
    assert series_to_store(others, last) == others
