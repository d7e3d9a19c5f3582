from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.comparison.run_that_counts import (
    Facts,
    Rules,
    Selection,
    baseline_rules,
    facts_of,
    is_as_good,
    objection_to,
    select,
    why_behind,
    with_parents,
)
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import Run
from ciplug.records.selection import Reason
from tests.histories import commits

GATED = frozenset({"accuracy", "loss"})
CANDIDATE = Rules(gated=GATED)
BASELINE = baseline_rules(gated=GATED, compared=frozenset({"accuracy", "size"}), aside=frozenset())
OF_A_CHILD = replace(BASELINE, children=True)
BEST = Facts(id="best", started="2", dirty=False, pipeline=True, metrics=GATED)


def chosen(runs: list[Facts], rules: Rules = CANDIDATE) -> Selection:
    return select(list(with_parents(runs).values()), rules)


NEVER = {Reason.WITHDRAWN, Reason.DIRTY, Reason.SET_ASIDE, Reason.STATE_UNKNOWN}
"""Reasons for which a run does not represent its commit even where it is the only one."""


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        (Reason.WITHDRAWN, {"objection": "withdrawn by alice"}),
        (Reason.FORK, {"trusted": False}),
        (Reason.DIRTY, {"dirty": True}),
        (Reason.SET_ASIDE, {"set_aside": ("train.py",)}),
        (Reason.STATE_UNKNOWN, {"dirty": None}),
        (Reason.NOT_FINISHED, {"finished": False}),
        (Reason.END_UNKNOWN, {"finished": False, "end_unknown": True}),
        (Reason.LAPTOP, {"pipeline": False}),
        (Reason.CHILD, {"parent": "somewhere"}),
        (Reason.INCOMPLETE, {"metrics": frozenset({"accuracy"})}),
        (Reason.EARLIER, {"started": "1"}),
    ],
)
def test_a_later_run_is_passed_over_for_one_reason(reason: Reason, changes: dict[str, object]) -> None:
    other = replace(BEST, id="other", started="3")
    other = replace(other, **changes)  # type: ignore[arg-type]
    for rules in (CANDIDATE, BASELINE):
        found = chosen([other, BEST], rules)
        assert found.chosen == "best"
        assert [(run.run, run.reason) for run in found.passed_over] == [("other", reason)]
    alone = chosen([other])
    assert alone.chosen == (None if reason in NEVER else "other")
    barred_as_baseline = {*NEVER, Reason.FORK, Reason.NOT_FINISHED, Reason.END_UNKNOWN}
    assert chosen([other], OF_A_CHILD).chosen == (None if reason in barred_as_baseline else "other")
    assert chosen([other], BASELINE).chosen == (None if reason in {*barred_as_baseline, Reason.CHILD} else "other")
    only_ci = replace(CANDIDATE, pipelines_only=True)
    assert chosen([other], only_ci).chosen == (None if reason in {*NEVER, Reason.LAPTOP} else "other")


WORST = replace(BEST, started="0", pipeline=False, finished=False, metrics=frozenset())


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({}, {"trusted": False}),
        ({"end_unknown": True}, {"finished": False}),
        ({"finished": True}, {"finished": False, "end_unknown": True}),
        ({"finished": True, "pipeline": True, "parent": "gone"}, {"pipeline": False}),
        ({"finished": True, "pipeline": True}, {"parent": "gone"}),
        ({"finished": True, "pipeline": True, "metrics": GATED}, {"metrics": frozenset({"loss"})}),
    ],
)
def test_the_rules_decide_in_their_order(better: dict[str, object], worse: dict[str, object]) -> None:
    """The first run is better by one rule, and worse by all that come after that one."""
    first = replace(WORST, id="first", **better)  # type: ignore[arg-type]
    assert chosen([first, replace(BEST, id="second", **worse)]).chosen == "first"  # type: ignore[arg-type]


def test_what_could_count_in_the_place_of_a_run_is_behind_by_time_alone() -> None:
    for changes in ({"started": "1"}, {"started": "3"}, {"metrics": GATED | {"size"}}):
        assert is_as_good(replace(BEST, id="other", **changes), BEST, CANDIDATE)  # type: ignore[arg-type]
        assert why_behind(replace(BEST, id="other", **changes), BEST, CANDIDATE) is None  # type: ignore[arg-type]
    for why, behind in (
        (Reason.FORK, {"trusted": False}),
        (Reason.NOT_FINISHED, {"finished": False}),
        (Reason.LAPTOP, {"pipeline": False}),
        (Reason.CHILD, {"parent": "p"}),
        (Reason.INCOMPLETE, {"metrics": {"loss"}}),
    ):
        other = replace(BEST, id="other", started="3", **behind)  # type: ignore[arg-type]
        assert not is_as_good(other, BEST, CANDIDATE) and is_as_good(BEST, other, CANDIDATE)
        assert (why_behind(other, BEST, CANDIDATE), why_behind(BEST, other, CANDIDATE)) == (why, None)


def test_a_child_is_never_better_than_its_parent() -> None:
    parent = replace(BEST, id="parent", finished=False)
    child = replace(BEST, id="child", parent="parent", started="9")
    assert chosen([child, parent]).chosen == "parent"
    assert chosen([child, parent], BASELINE).chosen is None
    assert chosen([child, replace(parent, dirty=True)]).chosen is None
    withdrawn = chosen([child, replace(parent, objection="withdrawn by bob")])
    assert {run.run: run.objection for run in withdrawn.passed_over} == {
        "parent": "withdrawn by bob",
        "child": "started by a run that was withdrawn by bob",
    }
    unknown = replace(parent, end_unknown=True)
    assert [run.reason for run in chosen([child, unknown], BASELINE).passed_over] == [Reason.END_UNKNOWN] * 2
    failed = replace(child, finished=False)
    assert chosen([failed, unknown], BASELINE).passed_over[-1].reason is Reason.NOT_FINISHED
    circle = [replace(BEST, id="a", parent="b"), replace(BEST, id="b", parent="a")]
    assert chosen(circle).chosen in ("a", "b")


def test_a_run_is_not_compared_with_its_own_children() -> None:
    child = replace(BEST, id="child", parent="best")
    assert chosen([BEST, child], replace(BASELINE, aside=frozenset({"best"}))).chosen is None
    # Nor with those of another run, whose own numbers are not there to compare.
    empty = replace(BEST, id="empty", metrics=frozenset())
    trial = replace(child, parent="empty")
    assert {run.run: run.reason for run in chosen([empty, trial], BASELINE).passed_over} == {
        "empty": Reason.INCOMPLETE,
        "child": Reason.CHILD,
    }
    assert chosen([empty, trial], OF_A_CHILD).chosen == "child"
    again = replace(BEST, id="again")
    found = chosen([BEST, child, again], replace(BASELINE, aside=frozenset({"best"})))
    assert (found.chosen, [run.reason for run in found.passed_over]) == ("again", [Reason.CHILD])


def test_a_baseline_needs_a_metric_to_compare() -> None:
    other = replace(BEST, metrics=frozenset({"other"}))
    assert chosen([other], BASELINE).chosen is None
    assert objection_to(other, BASELINE) is Reason.INCOMPLETE
    # Where neither side has a metric, there is nothing to ask for.
    nothing = baseline_rules(gated=frozenset(), compared=frozenset(), aside=frozenset())
    assert chosen([other], nothing).chosen == "best"


def test_the_facts_of_a_run() -> None:
    run = Run(id="1", model="m", status="killed", started="1", ended="2", commit="c", metrics={"accuracy": 1.0})
    assert facts_of(run, None) == Facts(
        id="1", commit="c", started="1", finished=False, dirty=None, metrics=frozenset({"accuracy"})
    )
    origin = Provenance(dirty=False, context=Context(host="jenkins", trusted=False))
    run = replace(run, provenance=origin, status="finished", parent="2")
    found = facts_of(run, "withdrawn")
    assert (found.finished, found.trusted, found.dirty, found.pipeline) == (True, False, False, True)
    assert (found.parent, found.objection) == ("2", "withdrawn")


RULES = st.sampled_from([CANDIDATE, BASELINE, OF_A_CHILD, replace(CANDIDATE, pipelines_only=True), Rules()])


@given(commits(), RULES)
def test_what_is_chosen_may_count_and_so_may_what_it_depends_on(runs: list[Facts], rules: Rules) -> None:
    found = chosen(runs, rules)
    assert {run.run for run in found.passed_over} | ({found.chosen} - {None}) == {run.id for run in runs}
    by_id = {run.id: run for run in runs}
    at = by_id.get(found.chosen or "")
    while at is not None:
        assert at.dirty is False and not at.set_aside and at.objection is None
        assert at.trusted or rules.forks
        assert at.finished or rules.unfinished
        assert at.id != found.chosen or at.parent is None or rules.children
        assert at.pipeline or not rules.pipelines_only
        at = by_id.get(at.parent or "")


@given(commits(), commits(never=True, prefix="x"), RULES, st.randoms())
def test_runs_that_never_count_change_nothing(
    runs: list[Facts], added: list[Facts], rules: Rules, shuffled: random.Random
) -> None:
    together = [*runs, *added]
    shuffled.shuffle(together)
    assert chosen(together, rules).chosen == chosen(runs, rules).chosen


@given(commits(), commits(prefix="x"), RULES)
def test_runs_of_a_lower_kind_change_nothing_where_there_is_a_better_one(
    runs: list[Facts], added: list[Facts], rules: Rules
) -> None:
    """Forks beside a trusted run, failures beside a finished one, laptops beside a pipeline."""
    before = next((run for run in with_parents(runs).values() if run.id == chosen(runs, rules).chosen), None)
    if before is None:
        return
    if before.trusted:
        forks = [replace(run, trusted=False) for run in added]
        assert chosen([*runs, *forks], rules).chosen == before.id
        if before.finished:
            failed = [replace(run, finished=False) for run in added]
            assert chosen([*runs, *failed], rules).chosen == before.id
            if before.pipeline:
                laptops = [replace(run, pipeline=False) for run in added]
                assert chosen([*runs, *laptops], rules).chosen == before.id
