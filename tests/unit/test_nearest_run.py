from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.comparison.nearest_run import age_days, merge_base_side, requested_side, side, target_side
from ciplug.comparison.run_that_counts import Selection, baseline_rules, facts_of, select
from ciplug.records.comparison import Side
from ciplug.records.provenance import Provenance
from ciplug.records.run import Run, Status
from ciplug.records.selection import Reason

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def run(id: str, commit: str = "c0", started: str = "2026-11-20T12:00:00.000Z", status: Status = "finished") -> Run:
    return Run(
        id=id,
        model="wine",
        status=status,
        started=started,
        ended=started,
        commit=commit,
        metrics={"a": 1.0},
        provenance=Provenance(dirty=False),
    )


CANDIDATE = run("candidate", "head")


def pick(runs: Sequence[Run]) -> Selection:
    rules = baseline_rules(gated=frozenset(), compared=frozenset({"a"}), aside=frozenset({"candidate"}))
    return select([facts_of(one, None) for one in runs], rules)


def baseline(by_commit: Mapping[str, Sequence[Run]], ancestors: Sequence[str], merge_base: str | None = "m0") -> Side:
    return merge_base_side(
        by_commit, merge_base=merge_base, ancestors=ancestors, target="main", candidate=CANDIDATE, now=NOW, pick=pick
    )


def test_the_merge_base() -> None:
    found = baseline({"m0": [run("b", "m0")], "m1": [run("older", "m1")]}, ["m0", "m1"])
    assert (found.run, found.commit, found.label, found.how) == ("b", "m0", "merge base", "merge base with main")
    assert found.at_merge_base
    assert (found.role, found.age_days, found.metrics) == ("baseline", 3.0, {"a": 1.0})


def test_the_nearest_recorded_ancestor_and_how_far_it_is() -> None:
    found = baseline({"m2": [run("b", "m2")]}, ["m0", "m1", "m2"])
    assert (found.run, found.label, found.at_merge_base) == ("b", "nearest ancestor", False)
    assert found.how == "nearest recorded ancestor, 2 commits before the merge base"
    # Without a merge base the ancestors begin with the parent.
    found = baseline({"p1": [run("b", "p1")]}, ["p1", "p2"], merge_base=None)
    assert found.how == "nearest recorded ancestor, 1 commit before this commit"


@pytest.mark.parametrize("status", ["failed", "killed"])
def test_a_run_that_did_not_finish_is_not_a_baseline(status: Status) -> None:
    found = baseline({"m0": [run("bad", "m0", status=status)], "m1": [run("good", "m1")]}, ["m0", "m1"])
    assert found.run == "good"


def test_what_is_passed_over_on_the_way_is_named() -> None:
    dirty = replace(run("dirty", "m0"), provenance=Provenance(dirty=True))
    earlier = run("earlier", "m1", started="2026-11-19T12:00:00.000Z")
    found = baseline({"m0": [dirty], "m1": [run("b", "m1"), earlier]}, ["m0", "m1"])
    assert (found.run, found.how) == ("b", "nearest recorded ancestor, 1 commit before the merge base")
    assert [(one.run, one.commit, one.reason) for one in found.passed_over] == [("dirty", "m0", Reason.DIRTY)]
    nothing = baseline({"m0": [dirty]}, ["m0"])
    assert nothing.run is None and nothing.passed_over == found.passed_over
    # Of the child runs on the way, one is enough to know why.
    children = {c: [replace(run(f"{c}-{n}", c), parent="gone") for n in range(3)] for c in ("m0", "m1")}
    found = baseline({**children, "m2": [run("b", "m2")]}, ["m0", "m1", "m2"])
    assert found.run == "b" and [(one.run, one.reason) for one in found.passed_over] == [("m0-2", Reason.CHILD)]
    found = baseline({"m0": [run("b", "m0"), *children["m0"]]}, ["m0"])
    assert found.run == "b" and not found.passed_over


def test_a_candidate_is_never_its_own_baseline() -> None:
    """Also where its commit is asked for, or is among the ancestors."""
    by_commit = {"head": [CANDIDATE], "m1": [run("b", "m1")]}
    assert baseline(by_commit, ["head", "m1"]).run == "b"
    assert requested_side(by_commit, ["head", "m1"], "HEAD", candidate=CANDIDATE, now=NOW, pick=pick).run == "b"
    assert requested_side({"head": [CANDIDATE]}, ["head"], "HEAD", candidate=CANDIDATE, now=NOW, pick=pick).run is None
    again = run("again", "head", started="2026-11-19T12:00:00.000Z")
    assert (
        requested_side({"head": [CANDIDATE, again]}, ["head"], "HEAD", candidate=CANDIDATE, now=NOW, pick=pick).run
        == "again"
    )


@pytest.mark.parametrize(
    ("ancestors", "merge_base", "how"),
    [
        (["m0", "m1"], "m0", "no run of 'wine' to compare with on the merge base or the 1 commit before it"),
        (["p1"], None, "no run of 'wine' to compare with on this commit or the 1 commit before it"),
        ([], None, "there is no earlier commit"),
        ([], "m0", "the history is not known"),
    ],
)
def test_no_baseline_says_why(ancestors: list[str], merge_base: str | None, how: str) -> None:
    found = baseline({}, ancestors, merge_base)
    assert (found.run, found.metrics) == (None, {})
    assert found.how == how


def test_a_baseline_that_was_asked_for() -> None:
    by_commit = {"t0": [run("b", "t0")], "t2": [run("older", "t2")]}
    found = requested_side(by_commit, ["t0", "t2"], "v1.0", candidate=CANDIDATE, now=NOW, pick=pick)
    assert (found.run, found.label, found.how) == ("b", "v1.0", "as asked for")
    found = requested_side(by_commit, ["t1", "t2"], "v1.0", candidate=CANDIDATE, now=NOW, pick=pick)
    assert (found.run, found.how) == ("older", "nearest recorded ancestor, 1 commit before v1.0")
    found = requested_side({}, ["t1"], "v1.0", candidate=CANDIDATE, now=NOW, pick=pick)
    assert (found.run, found.how) == (None, "no run of 'wine' on v1.0 or its ancestors")


def test_the_target_branch() -> None:
    by_commit = {"t1": [run("b", "t1")]}
    assert target_side(by_commit, ["t1", "t2"], "main", CANDIDATE, NOW, pick).how == "tip of main"
    assert (
        target_side(by_commit, ["t0", "t1"], "main", CANDIDATE, NOW, pick).how
        == "latest run on main, 1 commit before its tip"
    )
    assert target_side(by_commit, ["t0", "t1"], "main", CANDIDATE, NOW, pick).label == "main~1"
    assert target_side(by_commit, ["t2"], "main", CANDIDATE, NOW, pick).run is None
    assert target_side({}, [], None, CANDIDATE, NOW, pick).label == "target"


def test_age() -> None:
    assert age_days("2026-11-22T12:00:00.000Z", NOW) == 1.0
    assert age_days("2026-11-22T14:00:00+02:00", NOW) == 1.0
    assert age_days("2026-11-24T12:00:00Z", NOW) == 0.0, "the other machine's clock is ahead"
    assert age_days("yesterday", NOW) is None
    assert age_days("2026-11-22T12:00:00", NOW) is None, "a time without its zone is no time"


def test_production_knows_its_version() -> None:
    assert side("production", "production (v3)", "version 3", CANDIDATE, NOW, version=3).version == 3


@given(
    st.dictionaries(
        st.sampled_from(["head", "m0", "m1", "m2"]),
        st.lists(
            st.builds(
                run,
                st.sampled_from(["candidate", "x", "y", "z"]),
                started=st.integers(0, 9).map(lambda h: (NOW - timedelta(hours=h)).isoformat()),
                status=st.sampled_from(["finished", "failed", "killed"]),
            ),
            max_size=3,
            unique_by=lambda one: one.id,
        ),
    ),
    st.permutations(["head", "m0", "m1", "m2"]),
    st.booleans(),
)
def test_a_baseline_is_another_run_that_finished(
    by_commit: dict[str, list[Run]], ancestors: list[str], has_base: bool
) -> None:
    found = baseline(by_commit, ancestors, ancestors[0] if has_base else None)
    usable = [c for c in ancestors if any(r.id != "candidate" and r.status == "finished" for r in by_commit.get(c, ()))]
    if not usable:
        assert found.run is None
        return
    chosen = [r for r in by_commit[usable[0]] if r.id == found.run and r.status == "finished"]
    assert chosen and found.run != "candidate"
