"""Weights of examples: what they are, what they do to a test, and what is refused."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciplug.capture.example_files import read_examples
from ciplug.capture.example_table import Columns
from ciplug.errors import InputError, RecordError
from ciplug.gates.choice_of_test import _mean_of
from ciplug.records import examples as kept
from ciplug.records.examples import Examples
from ciplug.stats.crossed import crossed
from ciplug.stats.intervals import Interval, Rule, Undecided, decide
from ciplug.stats.joined_examples import Paired, join, take
from ciplug.stats.mean_tests import effective_size, skewed_mean
from ciplug.stats.paired_questions import Question, Test
from ciplug.stats.paired_tests import answer
from tests.unit.test_gates_with_evidence import UP, judge, one, side
from tests.unit.test_paired_tests import ask, classified, interval, pair, reason

ALLOWED = Rule(higher_is_better=True, allowed=0.1)
DRAW = np.random.default_rng(8)


def weighted(n: int, weights: Any, **columns: Any) -> Paired:
    old = DRAW.normal(0, 1, n)
    return pair((old + DRAW.normal(0, 0.3, n)).tolist(), old.tolist(), weights=array("d", weights), **columns)


@pytest.mark.parametrize(
    ("content", "due"),
    [
        ("id,s,w\na,1,1\nb,2,0\n", "p.csv:3: the weight 0 in 'w' is not a number above 0"),
        ("id,s,w\na,1,1\nb,2,-1.5\n", "p.csv:3: the weight -1.5 in 'w' is not a number above 0"),
        ("id,s,w\na,1,nan\nb,2,1\n", "p.csv:2: the weight NaN in 'w' is not a number above 0"),
        ("id,s,w\na,1,1e300\nb,2,1\n", "p.csv:2: the weight 1e+300 in 'w' is not between 1e-12 and 1e+12"),
        ("id,s,w\na,1,1e-13\nb,2,1\n", "p.csv:2: the weight 1e-13 in 'w' is not between 1e-12 and 1e+12"),
        ("id,s,w\na,1,1\nb,2,heavy\n", "p.csv:3: the weight 'heavy' in 'w' is not a number above 0"),
        ("id,s,w\na,1,1\nb,2,\n", "p.csv:3: a row without 'w', the column of its weight"),
        ("id,s\na,1\n", "p.csv:2: a row without 'w', the column of its weight"),
        ('{"id": 1, "w": true}', "p.jsonl:1: the weight True in 'w' is not a number above 0"),
        ('{"id": 1, "w": null}', "p.jsonl:1: a row without 'w', the column of its weight"),
        ('{"id": 1, "w": Infinity}', "p.jsonl:1: the weight inf in 'w' is not a number above 0"),
    ],
)
def test_a_weight_that_is_none_is_named(tmp_path: Path, content: str, due: str) -> None:
    path = tmp_path / ("p.jsonl" if content.startswith("{") else "p.csv")
    path.write_text(content)
    with pytest.raises(InputError) as wrong:
        read_examples(path, Columns(weight="w"))
    assert due in str(wrong.value)


def test_weights_are_read_kept_and_counted_in_the_means(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("id,label,prediction,s,w\na,1,1,1,3\nb,1,0,5,1\nc,,1,,9\n")
    found = read_examples(path, Columns(weight="w"))
    assert found.weights is not None and "w" not in found.scores
    back = kept.decode(kept.encode(found))
    assert list(back.weights or ()) == [3, 1, 9]
    assert kept.means(back)["accuracy"] == 0.75
    finite = replace(back, scores={"s": [1.0, 5.0, math.nan]})
    assert kept.means(finite)["s"] == 2.0
    with pytest.raises(RecordError, match="a weight is not a number above 0"):
        kept.decode(kept.encode(replace(found, weights=array("d", [1, 0, 1]))))


@pytest.mark.parametrize("weights", [None, [1.0, 1.0, 1.0, 1.0]])
def test_the_mean_of_numbers_whose_sum_is_larger_than_any_float(weights: list[float] | None) -> None:
    found = Examples(source="p", ids=list("abcd"), scores={"s": [1e308, 1e308, 1e308, -1e308]}, weights=weights)
    assert kept.means(found)["s"] == pytest.approx(5e307)


@pytest.mark.parametrize("test", ["auto", "t", "sign-flip"])
@pytest.mark.parametrize("clusters", [None, [str(i // 4) for i in range(200)]])
def test_equal_weights_change_nothing(test: Test, clusters: list[str] | None) -> None:
    plain = pair(DRAW.normal(0, 1, 200).tolist(), DRAW.normal(0, 1, 200).tolist(), clusters=clusters)
    same = Paired(*(replace(one, weights=[0.3] * 200) for one in (plain.candidate, plain.baseline)))
    assert ask(same, test=test) == ask(plain, test=test)


@pytest.mark.slow
def test_the_mean_is_weighted_and_its_error_is_that_of_many_draws() -> None:
    draw = np.random.default_rng(2)
    weights = draw.lognormal(0, 1, 60)
    shares = weights / weights.sum()
    values = draw.normal(0.3, 1, (2000, 60))
    found = [skewed_mean(row, row, 1.0, ALLOWED, weights=weights) for row in values]
    squares = [one.error**2 for one in found if isinstance(one, Interval) and one.error]
    assert len(squares) == 2000
    assert found[0].estimate == pytest.approx(values[0] @ shares)  # type: ignore[union-attr]
    assert np.mean(squares) == pytest.approx((values @ shares).var(), rel=0.1)


@pytest.mark.parametrize("metric", ["f1", "precision", "recall", "f1_macro", "f1_weighted", "balanced_accuracy", "auc"])
def test_scores_are_sklearns_with_weights(metric: str) -> None:
    from sklearn import metrics

    plain = classified(300)
    weights = np.random.default_rng(4).lognormal(0, 0.7, 300)
    sides = [replace(one, weights=weights.tolist()) for one in (plain.candidate, plain.baseline)]
    result = ask(Paired(*sides), metric)
    labels = [int(v or 0) for v in plain.baseline.labels or ()]
    name, _, average = metric.rpartition("_")
    for ours, kind in zip((result.candidate, result.baseline), sides, strict=True):
        said = [int(v or 0) for v in kind.predictions or ()]
        if metric == "auc":
            due = metrics.roc_auc_score(labels, kind.scores["score"], sample_weight=weights)
        elif metric == "balanced_accuracy":
            due = metrics.balanced_accuracy_score(labels, said, sample_weight=weights)
        else:
            function = getattr(metrics, f"{name or metric}_score")
            due = function(labels, said, sample_weight=weights, average=average if name else "binary")
        assert ours == pytest.approx(due, abs=1e-12)
    assert interval(result).error


def test_a_weight_is_as_good_as_so_many_rows_in_the_estimate() -> None:
    """AUC, F1 and the like have the influences of rows that stand there so often."""
    plain = classified(120)
    times = np.random.default_rng(5).integers(1, 4, 120)
    rows = np.repeat(np.arange(120), times).tolist()
    once = Paired(*(replace(one, weights=times.astype(float)) for one in (plain.candidate, plain.baseline)))
    often = Paired(
        *(replace(take(one, rows), clusters=[str(r) for r in rows]) for one in (plain.candidate, plain.baseline))
    )
    for metric in ("auc", "f1", "precision", "f1_macro"):
        a, b = ask(once, metric), ask(often, metric)
        assert (a.candidate, a.baseline) == pytest.approx((b.candidate, b.baseline))
        assert interval(a).error == pytest.approx(interval(b).error, rel=0.02)


def test_the_effective_size_is_said_and_decides() -> None:
    n = 300
    found = interval(ask(weighted(n, DRAW.lognormal(0, 1, n)), rule=ALLOWED))
    assert found.n == n and any("300 examples count as 1" in note for note in found.notes)
    one_of_all = weighted(n, [1e6, *[1.0] * (n - 1)])
    assert reason(ask(one_of_all, rule=ALLOWED)) == (
        "the weights of 300 examples differ so much that they count as 1.0, and the largest is 100% of all: too few "
        "for a test"
    )
    # Ten examples differ, and none of those that weigh most.
    heavy = [100.0] * 5 + [1.0] * 295
    same = [1.0] * 300
    few = pair([1.0] * 290 + [0.0] * 10, same, weights=array("d", heavy))
    result = interval(ask(few, rule=ALLOWED))
    assert decide(result) == "INCONCLUSIVE" and "too few to go by their mean alone" in result.notes[0]
    assert effective_size(np.array([2.0, 2.0])) == 2


@pytest.mark.parametrize("test", ["mcnemar", "newcombe", "tango", "bootstrap"])
def test_tests_of_counts_take_no_weights(test: Test) -> None:
    right = [float(i % 3 > 0) for i in range(100)]
    wrong = pair(right, right[::-1], weights=[1.0 + i % 5 for i in range(100)])
    assert reason(ask(wrong, test=test)) == f"the test '{test}' takes no weights of examples"
    assert "takes no weights" in reason(ask(replace_weights(classified(60)), "matthews_corrcoef"))
    (bound,) = answer(wrong, [Question(metric="s", rule=Rule(higher_is_better=True), limit=0.5)])
    assert interval(bound).method.startswith("Student's t")


def replace_weights(of: Paired) -> Paired:
    weights = [1.0 + i % 5 for i in range(len(of))]
    return Paired(*(replace(one, weights=weights) for one in (of.candidate, of.baseline)))


def examples(weights: Any, ids: str = "abcde") -> Examples:
    return Examples(source="p", ids=list(ids), scores={"s": [1.0] * len(ids)}, weights=weights)


def test_both_sides_have_the_same_weights_but_for_a_factor() -> None:
    ones, twos = [1.0, 2, 3, 4, 5], [2.0, 4, 6, 8, 10]
    joined = join(examples(twos), examples(ones))
    assert isinstance(joined, Paired) and joined.candidate.weights == ones
    lost = join(examples(twos[:4], "abcd"), examples(ones))
    assert isinstance(lost, Paired) and lost.lost == (4,) and lost.candidate.weights == ones
    other = join(examples([1.0, 2, 3, 4, 6]), examples(ones))
    assert isinstance(other, Paired) and other.candidate.weights == ones
    assert (other.unclear, other.why) == ({4}, ("1 id with another weight: 'e'",))
    only = join(examples(ones), examples(None))
    assert isinstance(only, Undecided) and only.differs
    assert only.reason == "the examples of the candidate have weights, and those of the baseline have none"
    assert "of the baseline have weights" in reason(join(examples(None), examples(ones)))


def test_a_gate_never_passes_beside_a_baseline_without_weights() -> None:
    right = [1.0] * 500
    ours = Examples(source="p", ids=[f"{i:04}" for i in range(500)], scores={"s": right}, weights=[1.0, 2.0] * 250)
    theirs = replace(ours, weights=None)
    policy = {"samples": "p.csv", "gates": {"s": {**UP, "max_regression": 0.1}}}
    result = one(judge(policy, side("candidate", {"s": 1.0}), side("baseline", {"s": 1.0}), examples=(ours, theirs)))
    assert (result.outcome, "have weights" in result.reason) == ("INCONCLUSIVE", True)
    of_seeds = {**policy, "seeds": {"min_runs": 2}}
    sides = side("candidate", {"s": [1.0, 1.0]}), side("baseline", {"s": [1.0, 1.0]})
    held = {"candidate0": ours, "candidate1": ours, "baseline0": theirs, "baseline1": theirs, "c" * 32: ours}
    result = one(judge(of_seeds, *sides, of_runs=held))
    assert (result.outcome, "have weights" in result.reason) == ("INCONCLUSIVE", True)


def test_seeds_on_weighted_examples() -> None:
    draw = np.random.default_rng(6)
    new, old = draw.normal(0.9, 0.1, (2, 4, 100))
    weights = draw.lognormal(0, 1, 100)
    plain, same = crossed(new, old, ALLOWED), crossed(new, old, ALLOWED, weights=np.full(100, 0.5))
    assert isinstance(plain, Interval) and isinstance(same, Interval)
    assert (plain.low, plain.high) == pytest.approx((same.low, same.high))
    found = crossed(new, old, ALLOWED, weights=weights)
    assert isinstance(found, Interval) and found.notes
    shares = weights / weights.sum()
    assert found.estimate == pytest.approx(float((new - old).mean(axis=0) @ shares))
    weights[0] = 1e6
    assert isinstance(crossed(new, old, ALLOWED, weights=weights), Undecided)


def test_the_mean_over_seeds_and_weighted_examples() -> None:
    seeds = np.array([[1.0, 3.0], [3.0, 5.0]])
    assert _mean_of(seeds, None) == 3
    assert _mean_of(seeds, np.array([1.0, 3.0])) == 3.5
