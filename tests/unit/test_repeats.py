from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ciplug.comparison import repeats
from ciplug.comparison.facts import facts, with_facts
from ciplug.comparison.repeats import together
from ciplug.comparison.run_that_counts import Rules, facts_of
from ciplug.records.comparison import Side
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import File, Run

RULES = Rules(forks=False, unfinished=False)


def run(number: int, seed: int | None, accuracy: float = 0.9, started: str = "1", **params: float) -> Run:
    return Run(
        id=f"{number:032}",
        model="m",
        commit="c",
        status="finished",
        started=started,
        ended="",
        params=params,
        metrics={"accuracy": accuracy},
        provenance=Provenance(seed=seed, dirty=False),
    )


def group(run: Run, others: Sequence[Run], key: str) -> tuple[Run, ...]:
    return repeats.group(run, others, key, {one.id: facts_of(one, None) for one in (run, *others)}, RULES)


def test_runs_that_differ_in_their_seed_only_are_one() -> None:
    one, two, three = run(1, 1, depth=3), run(2, 2, depth=3), run(3, 3, depth=4)
    assert group(one, [one, two, three], "seed") == (one, two)
    assert group(three, [one, two, three], "seed") == (three,)
    assert group(run(4, None), [one, two], "seed") == (run(4, None),)


def test_of_each_seed_the_last_counts() -> None:
    old, new, other = run(1, 1, started="1"), run(2, 1, started="2"), run(3, 2, started="0")
    assert group(other, [old, new, other], "seed") == (new, other)
    # The run under review stands for its own seed.
    assert group(old, [old, new, other], "seed") == (old, other)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed"},
        {"provenance": Provenance(seed=2, dirty=True)},
        {"provenance": Provenance(seed=2)},
        {"provenance": Provenance(seed=2, dirty=False, context=Context(trusted=False))},
    ],
)
def test_a_run_that_must_not_count_joins_no_group(changes: dict[str, object]) -> None:
    one, two, three = run(1, 1), run(2, 2), run(3, 3)
    barred = replace(two, **changes)  # type: ignore[arg-type]
    assert group(one, [one, barred, three], "seed") == (one, three)
    assert group(barred, [one, barred, three], "seed") == (barred,)
    # It does not take the place of an earlier run of its seed, either.
    assert group(one, [one, replace(barred, id="later", started="2"), two], "seed") == (one, two)


FOUR = replace(run(4, 4, depth=3), status="failed", metrics={})
CI = Context(host="github_actions")


@pytest.mark.parametrize(
    ("what", "others", "expected"),
    [
        ("a seed that failed", [FOUR], [4]),
        ("one that was killed", [replace(FOUR, status="killed")], [4]),
        ("it ended before it had recorded its parameters", [replace(FOUR, params={})], [4]),
        ("twice: the last", [replace(run(5, 4, depth=3, started="2"), status="failed"), FOUR], [5]),
        ("it finished when it was run again", [FOUR, run(5, 4, depth=3, started="2")], []),
        ("a dirty run is no second try", [FOUR, replace(run(5, 4, depth=3), provenance=Provenance(seed=4))], [4]),
        ("another experiment", [replace(FOUR, params={"depth": 4})], []),
        ("no seed", [replace(FOUR, provenance=Provenance(dirty=False))], []),
        ("a trial of some sweep", [replace(FOUR, parent="p")], []),
        ("a dirty one", [replace(FOUR, provenance=Provenance(seed=4, dirty=True))], []),
        ("a fork's", [replace(FOUR, provenance=Provenance(seed=4, dirty=False, context=Context(trusted=False)))], []),
        ("a pipeline's", [replace(FOUR, provenance=Provenance(seed=4, dirty=False, context=CI))], [4]),
    ],
)
def test_a_seed_that_no_run_finished_is_evidence_against_the_group(
    what: str, others: list[Run], expected: list[int]
) -> None:
    good = [run(1, 1, depth=3), run(2, 2, depth=3)]
    assert [int(one.id) for one in lost(good[0], [*good, *others])] == expected, what
    # It never joins the group.
    assert all(one.status == "finished" for one in group(good[0], [*good, *others], "seed"))


def test_a_laptop_s_failure_is_not_evidence_against_a_pipeline() -> None:
    good = replace(run(1, 1, depth=3), provenance=Provenance(seed=1, dirty=False, context=CI))
    assert lost(good, [good, FOUR]) == ()
    assert lost(good, [good, replace(FOUR, provenance=replace(FOUR.provenance, context=CI))]) != ()
    # What failed itself is judged by itself.
    assert lost(FOUR, [good, FOUR]) == ()


def lost(of: Run, others: Sequence[Run]) -> tuple[Run, ...]:
    facts = {one.id: facts_of(one, None) for one in others}
    return repeats.failed(of, group(of, others, "seed"), others, "seed", facts, RULES)


def test_the_seed_may_be_a_parameter_of_any_name() -> None:
    one, two = run(1, None, fold=1), run(2, None, fold=2)
    assert group(one, [one, two], "fold") == (one, two)


def test_the_mean_of_what_all_have() -> None:
    empty = Side(role="candidate", label="", how="", run="x")
    side = together(empty, [run(1, 1, 0.8), run(2, 2, 0.9)])
    assert (side.metrics, side.repeats) == ({"accuracy": pytest.approx(0.85)}, {"accuracy": (0.8, 0.9)})
    assert math.isnan(together(empty, [run(1, 1, math.nan), run(2, 2, 0.9)]).metrics["accuracy"])
    lacking = Run(id="3", model="m", status="finished", started="", ended="")
    both = together(empty, [run(1, 1), lacking])
    assert (both.metrics, both.lacking) == ({}, {"accuracy": ("3",)})
    assert side.lacking == {}


def test_facts_are_metrics_where_a_gate_names_them() -> None:
    found = Run(
        id="1",
        model="m",
        status="finished",
        started="",
        ended="",
        metrics={"run.wall_seconds": 1.0, "accuracy": 0.9},
        artifacts=(File(path="model.bin", digest="", size=3_000_000),),
        provenance=Provenance(wall_seconds=60.0, peak_memory_bytes=2_000_000_000),
    )
    assert facts(found) == {
        "run.wall_seconds": 60.0,
        "run.peak_memory_mb": 2000.0,
        "artifacts.mb": 3.0,
        "artifacts.model.bin.mb": 3.0,
    }
    # What the training says of itself does not hide what was measured.
    assert with_facts(found, ["run.wall_seconds"]).metrics == {"run.wall_seconds": 60.0, "accuracy": 0.9}
    assert with_facts(found, ["accuracy", "run.cpu_seconds"]) is found


def test_a_copy_of_a_number_is_no_further_evidence() -> None:
    def evidence(*of: tuple[int | None, float]) -> list[float]:
        runs = [run(at, seed, value) for at, (seed, value) in enumerate(of)]
        return repeats.independent(runs, "accuracy", "seed")

    assert evidence((1, 0.9), (1, 0.9), (2, 0.9), (1, 0.8)) == [0.9, 0.9, 0.8]
    assert evidence((None, 0.9), (None, 0.9), (3, 0.9), (None, 0.7), (None, math.nan)) == [0.9, 0.7]
