"""What may go: never more than the rules say, by the order of acceptance, whatever the clocks were."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ciplug.records.amendment import Amendment
from ciplug.records.canonical import dumps
from ciplug.records.columns import ATTRIBUTES, Columns
from ciplug.records.columns import of as columns_of
from ciplug.records.keys import amendment_object, run_key
from ciplug.records.provenance import Provenance
from ciplug.records.run import Run
from ciplug.tracking.retention import Compared, RetainedRun, newest_on, runs_in, too_old, with_families, within_windows

NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)


def run(
    number: int,
    *,
    days: float | None = 0,
    model: str = "wine",
    branch: str = "main",
    status: str = "finished",
    parent: int | None = None,
) -> RetainedRun:
    ended = None if days is None else NOW - timedelta(days=days)
    above = None if parent is None else str(parent)
    return RetainedRun(f"runs/c-{number}.json", str(number), model, "c", branch, status, "", ended, parent=above)


def test_the_last_of_each_model_stay() -> None:
    runs = [run(1), run(2, model="beer"), run(3), run(4)]
    assert [r.id for r in too_old(runs, last=2, days=None, now=NOW)] == ["1"]


def test_a_run_that_either_rule_keeps_is_kept() -> None:
    runs = [run(1, days=400), run(2, days=10), run(3, days=400), run(4, days=400)]
    assert [r.id for r in too_old(runs, last=1, days=30, now=NOW)] == ["1", "3"]
    assert [r.id for r in too_old(runs, last=None, days=30, now=NOW)] == ["1", "3", "4"]
    assert too_old(runs, last=None, days=None, now=NOW) == []


def test_an_end_that_is_not_known_gives_no_age() -> None:
    assert too_old([run(1, days=None)], last=None, days=30, now=NOW) == []


def test_what_stands_for_a_branch() -> None:
    runs = [run(1), run(2, status="failed"), run(3, branch="side"), run(4, model="beer")]
    assert newest_on({"main"}, runs) == {"1", "2", "4"}


def test_the_run_that_counts_for_a_branch_stays_behind_later_ones_that_do_not() -> None:
    clean = replace(run(1), pipeline=True)
    laptop = replace(run(2), pipeline=False)
    dirty = replace(run(3), clean=False)
    assert newest_on({"main"}, [clean, laptop, dirty, run(4, status="failed")]) == {"1", "2", "3", "4"}
    # A child of a clean run stays where the only top-level run of its commit is dirty.
    assert newest_on({"main"}, [run(1, parent=9), dirty]) == {"1", "3"}


def test_a_family_uses_one_place_and_stays_or_goes_together() -> None:
    sweep = [run(1), run(2, parent=1), run(3, parent=1), run(4, parent=3)]
    assert too_old(sweep, last=1, days=None, now=NOW) == []
    assert too_old([run(0), *sweep, run(5)], last=3, days=None, now=NOW) == []
    assert [r.id for r in too_old([run(0), *sweep, run(5)], last=2, days=None, now=NOW)] == ["0"]
    assert [r.id for r in too_old([run(0), *sweep, run(5)], last=1, days=None, now=NOW)] == ["0", "1", "2", "3", "4"]


def test_a_family_is_as_young_as_its_youngest_run() -> None:
    runs = [run(1, days=400), run(2, days=10, parent=1), run(3, days=400, parent=1), run(4, days=400)]
    assert [r.id for r in too_old(runs, last=None, days=30, now=NOW)] == ["4"]


def test_children_of_another_model_stay_for_that_model() -> None:
    runs = [run(1, model="sweep"), run(2, parent=1), run(3, model="sweep")]
    assert too_old(runs, last=1, days=None, now=NOW) == []


def test_children_without_their_parent_are_a_family() -> None:
    assert [r.id for r in too_old([run(2, parent=1), run(3, parent=1), run(4)], last=1, days=None, now=NOW)] == [
        "2",
        "3",
    ]


def test_a_child_represents_a_branch_only_where_no_top_level_run_of_its_model_does() -> None:
    assert newest_on({"main"}, [run(1), run(2, parent=1), run(3, parent=1)]) == {"1"}
    assert newest_on({"main"}, [run(1, model="sweep"), run(2, parent=1), run(3, parent=1)]) == {"1", "3"}


def test_what_is_needed_keeps_its_family() -> None:
    runs = [run(1), run(2, parent=1), run(3, parent=1), run(4)]
    assert with_families({"3"}, runs) == {"1", "2", "3"}


def test_the_children_of_a_withdrawn_run_use_up_no_place() -> None:
    def record(id: str, parent: str | None = None) -> tuple[str, bytes]:
        made = Run(id=id, model="wine", status="finished", started=id, ended="", commit="c", parent=parent)
        return run_key(made).key, dumps(made)

    key, data = amendment_object(Amendment(run="2", model="wine", seq=1, created="", commit="c", withdrawn=True))
    runs = runs_in([columns_of([record("1"), record("2"), record("3", "2"), (key.key, data)])])
    assert [(r.id, r.counts, r.parent) for r in runs] == [("1", True, None), ("2", False, None), ("3", False, "2")]
    assert too_old(runs, last=1, days=None, now=NOW) == []


def test_what_is_true_of_a_run_holds_for_its_children_and_theirs() -> None:
    def record(id: str, parent: str | None = None, **fields: Any) -> tuple[str, bytes]:
        facts = {"status": "finished", "provenance": Provenance(dirty=False), **fields}
        made = Run(id=id, model="wine", started=id, ended="", commit="c", parent=parent, **facts)
        return run_key(made).key, dumps(made)

    def below(**fields: Any) -> RetainedRun:
        """The grandchild of a run."""
        return runs_in([columns_of([record("1", **fields), record("2", "1"), record("3", "2")])])[-1]

    assert (below().status, below().clean, below().counts) == ("finished", True, True)
    assert below(status="failed").status == "failed"
    assert not below(provenance=Provenance(dirty=True)).clean
    key, data = amendment_object(Amendment(run="1", model="wine", seq=1, created="", commit="c", withdrawn=True))
    withdrawn = runs_in([columns_of([record("1"), record("2", "1"), record("3", "2"), (key.key, data)])])
    assert [one.counts for one in withdrawn] == [False, False, False]
    circle = runs_in([columns_of([record("1", "2"), record("2", "1")])])
    assert [one.counts for one in circle] == [True, True]


def test_a_run_without_a_metric_to_compare_displaces_no_baseline() -> None:
    def record(id: str, metrics: dict[str, float]) -> tuple[str, bytes]:
        made = Run(id=id, model="wine", status="finished", started=id, ended="", commit=id, metrics=metrics)
        return run_key(made).key, dumps(made)

    columns = columns_of([record("1", {"a": 1.0}), record("2", {"b": 1.0}), record("3", {})])
    assert [one.measured for one in runs_in([columns])] == [True, True, False]
    assert [one.measured for one in runs_in([columns], lambda model: Compared({"a"}))] == [True, False, False]
    assert newest_on({"main"}, [run(1), replace(run(2), measured=False)]) == {"1", "2"}


def test_the_runs_that_a_window_needs_stay() -> None:
    def measured(number: int, metric: str = "f1", commit: str | None = None, **facts: Any) -> RetainedRun:
        facts = {"commit": commit or f"c{number}", "in_windows": frozenset({metric}), **facts}
        return replace(run(number), **facts)

    def needed(*runs: RetainedRun, count: int = 2) -> set[str]:
        return within_windows({"main"}, runs, lambda model: {"f1": count})

    runs = [measured(1), measured(2), measured(3), measured(4)]
    assert needed(*runs) == {"3", "4"}
    # Neither another metric, nor a run that must not count, nor a second run of a commit uses up a place.
    assert needed(*runs, measured(5, "auc")) == {"3", "4"}
    assert needed(*runs, measured(5, branch="side"), measured(6, clean=False), measured(7, counts=False)) == {"3", "4"}
    assert needed(*runs, measured(5, commit="c4")) == {"3", "4", "5"}
    assert needed(*runs, measured(5, status="failed"), measured(6, model="beer")) == {"3", "4", "6"}
    # Of a gate that takes runs of pipelines only, those of a laptop fill no window.
    assert needed(*runs[:2], measured(3, pipeline=False), measured(4, pipeline=False)) == {"1", "2", "3", "4"}


def test_a_window_counts_a_metric_by_its_present_name() -> None:
    def record(id: str, metrics: dict[str, float]) -> tuple[str, bytes]:
        made = Run(id=id, model="wine", status="finished", started=id, ended="", commit=id, metrics=metrics)
        return run_key(made).key, dumps(made)

    columns = columns_of([record("1", {"old": 1.0}), record("2", {"f1": 1.0, "x": 2}), record("3", {"f1": math.nan})])
    found = runs_in([columns], lambda model: Compared({"f1"}, {"f1": 2}, {"old": "f1"}))
    assert [set(one.in_windows) for one in found] == [{"f1"}, {"f1"}, set()]
    assert [one.measured for one in found] == [True, True, True]


def test_the_order_is_that_of_the_parts_and_a_clock_moves_a_run_only_within_one() -> None:
    def part(*started: str) -> Columns:
        keys = [f"runs/c-{moment}.json" for moment in started]
        attributes = {name: [None] * len(keys) for name in ATTRIBUTES}
        return Columns(keys=keys, attributes={**attributes, "id": list(started), "started": list(started)})

    found = runs_in([part("2026-02", "2026-01"), part("1999-01")])
    assert [r.id for r in found] == ["2026-01", "2026-02", "1999-01"]
    assert found[0].ended is None


@given(
    st.lists(st.tuples(st.sampled_from(["wine", "beer"]), st.floats(-10, 1000)), max_size=20),
    st.none() | st.integers(1, 10),
    st.none() | st.floats(0, 500),
)
def test_never_more_than_the_rules_say(ages: list[tuple[str, float]], last: int | None, days: float | None) -> None:
    runs = [run(number, days=age, model=model) for number, (model, age) in enumerate(ages)]
    gone = too_old(runs, last=last, days=days, now=NOW)
    for one in gone:
        later = [r for r in runs if r.model == one.model and int(r.id) > int(one.id)]
        assert last is None or len(later) >= last
        assert days is None or one.ended is None or NOW - one.ended > timedelta(days=days)
