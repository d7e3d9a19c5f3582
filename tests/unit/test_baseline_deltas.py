from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.comparison.baseline_deltas import compare
from ciplug.records.comparison import Comparison, MetricDelta, Role, Side
from ciplug.records.left_out import LeftOut, Why
from ciplug.records.run import File, Run

NAN, INF = math.nan, math.inf


def run(metrics: Mapping[str, float] | None = None, **more: Any) -> Run:
    return Run(id="r", model="wine", status="finished", started="", ended="", metrics=metrics or {}, **more)


def side(role: Role, found: Run | None) -> Side:
    return Side(role=role, label=role, how="", run=found.id if found else None, metrics=found.metrics if found else {})


def diff(new: Run, old: Run | None, *, target: Run | None = None, **more: Any) -> Comparison:
    sides = (side("candidate", new), side("baseline", old), side("target", target), side("production", None))
    return compare(new, old, sides=sides, **{"directions": {}, **more})


def delta(new: float | None, old: float | None, higher: bool | None = None, atol: float = 0.0) -> MetricDelta:
    (found,) = diff(
        run({} if new is None else {"a": new}),
        run({} if old is None else {"a": old}),
        directions={} if higher is None else {"a": higher},
        tolerances={"a": atol},
    ).metrics
    return found


@pytest.mark.parametrize(
    ("new", "old", "higher", "trend"),
    [
        (0.9, 0.8, True, "better"),
        (0.9, 0.8, False, "worse"),
        (0.7, 0.8, True, "worse"),
        (0.7, 0.8, False, "better"),
        (0.9, 0.8, None, "changed"),
        (0.8, 0.8, None, "unchanged"),
        (0.1 + 0.2, 0.3, True, "unchanged"),
        (1e-8, 0.0, True, "better"),
        (5.98e-09, 5.0172572763074186e-09, False, "worse"),
        (8e-14, 1e-14, False, "worse"),
        (1e-323, 5e-324, None, "changed"),
        (1.1e300, 1e300, False, "worse"),
        (0.8, None, True, "new"),
        (None, 0.8, True, "missing"),
        (NAN, 0.8, True, "undefined"),
        (0.8, NAN, True, "undefined"),
        (INF, INF, True, "undefined"),
        (NAN, NAN, True, "undefined"),
        (NAN, None, True, "undefined"),
        (None, NAN, True, "missing"),
    ],
)
def test_trends(new: float | None, old: float | None, higher: bool | None, trend: str) -> None:
    assert delta(new, old, higher).trend == trend


def test_changes() -> None:
    found = delta(0.9, 0.8)
    assert (found.change, found.relative) == (pytest.approx(0.1), pytest.approx(0.125))
    assert delta(-1.0, -2.0).relative == 0.5, "of the absolute value"
    assert (delta(1.0, 0.0).change, delta(1.0, 0.0).relative) == (1.0, None)
    for new, old in ((NAN, 1.0), (1.0, INF), (None, 1.0), (1.0, None)):
        assert (delta(new, old).change, delta(new, old).relative) == (None, None)


def test_nothing_absolute_is_unchanged_unless_a_gate_says_so() -> None:
    (found,) = diff(run({"a": 8e-14}), run({"a": 1e-14}), directions={"a": False}).metrics
    assert found.trend == "worse"


def test_the_tolerance_of_a_metric_is_its_gate_s() -> None:
    assert delta(0.82, 0.8, True, atol=0.05).trend == "unchanged"
    assert delta(0.82, 0.8, True, atol=0.001).trend == "better"


def test_names_with_numbers_are_in_the_order_of_the_numbers() -> None:
    found = diff(run({f"class {n}/f1": 0.5 for n in (10, 2, 1)}, params={"layer 12": 1, "layer 3": 1}), run({}))
    assert [m.metric for m in found.metrics] == ["class 1/f1", "class 2/f1", "class 10/f1"]
    assert [p.name for p in found.params] == ["layer 3", "layer 12"]


def test_every_metric_of_every_side_is_shown() -> None:
    found = diff(run({"a": 1.0}), run({"b": 2.0}), target=run({"c": 3.0, "a": 4.0}))
    assert [m.metric for m in found.metrics] == ["a", "b", "c"]
    assert [dict(m.values) for m in found.metrics] == [
        {"candidate": 1.0, "target": 4.0},
        {"baseline": 2.0},
        {"target": 3.0},
    ]
    assert [m.trend for m in found.metrics] == ["new", "missing", "missing"]


def test_history_skips_the_runs_that_lack_the_metric() -> None:
    found = diff(run({"a": 1.0}), None, history=[run({"a": 3.0}), run({"b": 9.0}), run({"a": 2.0})])
    assert found.metrics[0].history == (3.0, 2.0)


def test_params_that_differ() -> None:
    old = run(params={"same": 1, "gone": "x", "depth": 6, "one": 1})
    new = run(params={"same": 1, "came": 2.5, "depth": 7, "one": 1})
    found = [(p.name, p.before, p.after) for p in diff(new, old).params]
    assert found == [("came", None, 2.5), ("depth", 6, 7), ("gone", "x", None)]
    assert diff(new, None).params == ()
    # What is absent because a file could not be read may be there; a name that is left out hides no other.
    cases: list[tuple[Why, list[str]]] = [("file", ["came", "depth"]), ("param", ["came", "depth", "gone", "one"])]
    for why, expected in cases:
        left = replace(new, params={"came": 2.5, "depth": 7, "same": 1}, left_out=(LeftOut(name="p.yaml", why=why),))
        assert [p.name for p in diff(left, old).params] == expected


def test_datasets_that_differ() -> None:
    old = run(datasets=(File(path="a", digest="1", size=1), File(path="b", digest="2", size=1)))
    new = run(datasets=(File(path="a", digest="1", size=1), File(path="b", digest="3", size=1)))
    found = [(d.path, d.before, d.after) for d in diff(new, old).datasets]
    assert found == [("b", "2", "3")]
    assert [(d.path, d.before, d.after) for d in diff(new, run()).datasets] == [("a", None, "1"), ("b", None, "3")]
    assert diff(new, None).datasets == ()


@given(st.floats(), st.floats(), st.sampled_from([True, False, None]))
def test_what_is_not_a_number_is_never_better(new: float, old: float, higher: bool | None) -> None:
    found = delta(new, old, higher)
    finite = math.isfinite(new) and math.isfinite(old)
    assert (found.trend == "undefined") == (not finite)
    assert (found.change is None) == (not finite)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_better_one_way_is_worse_the_other(new: float, old: float) -> None:
    opposite = {"better": "worse", "worse": "better", "unchanged": "unchanged"}
    assert delta(new, old, True).trend == opposite[delta(new, old, False).trend]
    assert delta(old, new, True).trend == opposite[delta(new, old, True).trend]
