"""Examples joined by id, and the tests on them: which is chosen, what it answers, what it refuses."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ciplug.records.examples import Examples
from ciplug.stats import resampling
from ciplug.stats.holm import holm
from ciplug.stats.intervals import Interval, Rule, Undecided, decide
from ciplug.stats.joined_examples import Paired, join, slices, take, vanished
from ciplug.stats.paired_questions import Answer, Question, Test
from ciplug.stats.paired_tests import answer
from tests import generated

UP = Rule(higher_is_better=True)


def examples(source: str = "c.jsonl", n: int = 4, **columns: Any) -> Examples:
    return Examples(source=source, ids=columns.pop("ids", [f"e{i:04}" for i in range(n)]), **columns)


def pair(new: Sequence[float], old: Sequence[float], **columns: Any) -> Paired:
    n = len(new)
    joined = join(
        examples("c.jsonl", n, scores={"s": array("d", new)}, **columns),
        examples("b.jsonl", n, scores={"s": array("d", old)}, **columns),
    )
    assert isinstance(joined, Paired)
    return joined


def ask(joined: Paired, metric: str = "s", rule: Rule = UP, test: Test = "auto") -> Answer:
    return answer(joined, [Question(metric=metric, rule=rule, test=test)])[0]


def interval(result: Answer) -> Interval:
    assert isinstance(result.result, Interval), result
    return result.result


def reason(result: Answer | Paired | Undecided) -> str:
    undecided = result.result if isinstance(result, Answer) else result
    assert isinstance(undecided, Undecided), undecided
    return undecided.reason


# --- Joining -----------------------------------------------------------------------------------------------------


def test_joined_by_id_in_whatever_order() -> None:
    here = examples(ids=["b", "a"], labels=["1", "0"], scores={"s": array("d", [2, 1])}, slices={"c": ["x", "y"]})
    there = examples(ids=["a", "b"], labels=["0", "1"], scores={"s": array("d", [3, 4])}, slices={"c": ["y", "x"]})
    joined = join(here, there)
    assert isinstance(joined, Paired)
    assert list(joined.candidate.scores["s"]) == [1, 2] and list(joined.baseline.scores["s"]) == [3, 4]


def test_taken_rows_have_all_their_columns() -> None:
    whole = examples(
        ids=["a", "b", "c"],
        labels=["1", None, "3"],
        predictions=["4", "5", None],
        clusters=["u", "v", "w"],
        scores={"s": array("d", [1, 2, 3])},
        slices={"c": ["x", "y", "z"]},
    )
    part = take(whole, [2, 0])
    assert (part.source, part.ids, part.labels, part.predictions) == (whole.source, ["c", "a"], ["3", "1"], [None, "4"])
    assert (part.clusters, part.scores, part.slices) == (["w", "u"], {"s": [3, 1]}, {"c": ["z", "x"]})
    bare = take(examples(ids=["a", "b"], labels=None), [1])
    assert (bare.ids, bare.labels, bare.predictions, bare.clusters) == (["b"], None, None, None)


@pytest.mark.parametrize(
    ("candidate", "baseline", "words"),
    [
        ({"ids": ["a", "a"]}, {"ids": ["a"]}, "1 id of the candidate appears more than once (c)"),
        ({"ids": ["a", "b"]}, {"ids": ["c", "d"]}, "none of 4 ids is in both"),
        ({"ids": []}, {"ids": ["a"]}, "the candidate has no example"),
        ({"ids": ["a"], "labels": ["0"]}, {"ids": ["a"], "labels": ["1"]}, "1 id with another label: 'a'"),
        ({"ids": ["a"], "slices": {"c": ["x"]}}, {"ids": ["a"], "slices": {"c": ["y"]}}, "another 'c'"),
        ({"ids": ["a"], "clusters": ["x"]}, {"ids": ["a"], "clusters": ["y"]}, "another cluster"),
    ],
)
def test_sets_that_differ_are_named(candidate: dict[str, Any], baseline: dict[str, Any], words: str) -> None:
    assert words in reason(join(examples("c", **candidate), examples("b", **baseline)))


def test_slices_and_those_that_vanished() -> None:
    here = examples(n=3, slices={"c": ["x", "y", "x"]})
    assert slices(here, ["c"]) == {("c", "x"): [0, 2], ("c", "y"): [1]}
    assert vanished(take(here, [0, 2]), here, ["c"]) == [("c", "y")]


# --- Which test --------------------------------------------------------------------------------------------------


def test_which_test_is_chosen() -> None:
    binary = pair([0, 1] * 20, [1, 1] * 20)
    some = Rule(higher_is_better=True, allowed=0.01)
    assert interval(ask(binary)).method == "exact McNemar test"
    share = Rule(higher_is_better=True, allowed=0.05, scale=0.95)
    assert interval(ask(binary, rule=some)).method == "Tango's score interval for paired proportions"
    assert interval(ask(binary, rule=some, test="bootstrap")).method == "paired bootstrap of the mean"
    assert interval(ask(binary, rule=some, test="newcombe")).method == "Newcombe's interval for paired proportions"
    assert interval(ask(binary, rule=share)).method == "Newcombe's interval for paired proportions"
    halves = pair([0.5, 1] * 20, [1, 1] * 20)
    assert interval(ask(halves)).method == "Student's t with Hall's correction for skewness"
    assert interval(ask(halves, test="sign-flip")).method == "sign-flip permutation"
    assert interval(ask(pair([0.5, 1, 2] * 3, [1, 1, 1] * 3), test="sign-flip")).method == "exact sign-flip permutation"
    clustered = pair([0, 1] * 20, [1, 1] * 20, clusters=[str(i // 4) for i in range(40)])
    assert interval(ask(clustered)).method == "Student's t with Hall's correction for skewness of clusters"
    assert interval(ask(clustered, test="sign-flip")).method == "exact sign-flip permutation of clusters"


@pytest.mark.parametrize(
    ("test", "rule", "words"),
    [
        ("mcnemar", UP, "needs scores of 0 and 1"),
        ("newcombe", UP, "needs scores of 0 and 1"),
    ],
)
def test_a_test_that_does_not_fit_is_refused(test: Test, rule: Rule, words: str) -> None:
    assert words in reason(ask(pair([0.5, 1] * 20, [1, 1] * 20), test=test, rule=rule))


def test_more_refusals() -> None:
    allowing = Rule(higher_is_better=True, allowed=0.1)
    assert "no allowance" in reason(ask(pair([0, 1], [1, 1]), rule=allowing, test="mcnemar"))
    clustered = pair([0.5, 1, 1], [1, 1, 1], clusters=["a", "b", "b"])
    assert "sign-flip" in reason(ask(clustered, test="bootstrap"))
    assert "2 clusters: too few" in reason(ask(clustered))
    assert "no column 's'" in reason(ask(Paired(examples(), examples(scores={"s": array("d", [1] * 4)}))))
    assert "nor a score of ciplug" in reason(ask(pair([0, 1], [1, 1]), metric="nonsense"))
    assert "no label column" in reason(ask(pair([0, 1], [1, 1]), metric="accuracy"))


def test_scores_that_some_examples_do_not_have() -> None:
    nan, inf = math.nan, math.inf
    both = ask(pair([0, 1, nan, 1], [1, 1, nan, 1]))
    assert both.candidate == pytest.approx(2 / 3)
    assert "3 of 4 examples have 's'" in interval(both).notes[0]
    assert "'s' is not a number in 1 of 4 examples of the candidate, the first is 'e0002'" in reason(
        ask(pair([0, 1, nan, 1], [1, 1, 0, 1]))
    )
    assert "of the baseline" in reason(ask(pair([0, 1, 0, 1], [1, 1, inf, 1])))
    assert "no example has 's'" in reason(ask(pair([nan, nan], [nan, nan])))


finite = st.floats(-100, 100).map(lambda v: round(v, 3))


@settings(deadline=None, max_examples=generated.examples(50))
@given(
    st.lists(st.tuples(finite, finite), min_size=2, max_size=12),
    st.integers(0, 11),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1.7e308]),
    st.sampled_from(["auto", "bootstrap", "sign-flip"]),
)
def test_nothing_makes_a_nan_pass(rows: list[tuple[float, float]], at: int, bad: float, test: Test) -> None:
    new, old = (list(side) for side in zip(*rows, strict=True))
    new[at % len(new)] = bad
    assert isinstance(ask(pair(new, old), test=test, rule=Rule(higher_is_better=True, allowed=1e6)).result, Undecided)


@settings(deadline=None, max_examples=generated.examples(50))
@given(
    st.lists(st.tuples(finite, finite), min_size=5, max_size=40),
    st.integers(0, 39),
    st.floats(0.001, 50),
    st.sampled_from(["bootstrap", "sign-flip"]),
)
def test_a_better_candidate_never_turns_pass_into_fail(
    rows: list[tuple[float, float]], at: int, gain: float, test: Test
) -> None:
    new, old = (list(side) for side in zip(*rows, strict=True))
    better = list(new)
    better[at % len(new)] += gain
    before, after = interval(ask(pair(new, old), test=test)), interval(ask(pair(better, old), test=test))
    assert (decide(before), decide(after)) != ("PASS", "FAIL")
    if test == "sign-flip":  # the subsets are those of the ids, so each of their means can only rise
        assert after.low >= before.low - 1e-9 and after.high >= before.high - 1e-9


@settings(deadline=None, max_examples=generated.examples(50))
@given(st.lists(st.tuples(finite, finite), min_size=5, max_size=40), st.sampled_from(["bootstrap", "sign-flip"]))
def test_the_other_direction_is_the_mirror(rows: list[tuple[float, float]], test: Test) -> None:
    new, old = zip(*rows, strict=True)
    here = interval(ask(pair(new, old), test=test))
    down = Rule(higher_is_better=False)
    there = interval(ask(pair([-v for v in new], [-v for v in old]), test=test, rule=down))
    assert (here.low, here.high, here.p) == (there.low, there.high, there.p)


def test_the_same_files_get_the_same_verdict() -> None:
    generator = np.random.default_rng(0)
    new, old = generator.normal(size=(2, 300))
    assert ask(pair(new, old)) == ask(pair(new, old))
    labels = [str(i % 2) for i in range(300)]
    columns = {"labels": labels, "predictions": [str(int(v > 0)) for v in new]}
    for metric in ("f1", "auc", "balanced_accuracy"):
        assert ask(pair(new, old, **columns), metric) == ask(pair(new, old, **columns), metric)


# --- Resampling beside scipy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["three values", "normal", "skewed", "ratings"])
def test_bootstrap_of_a_mean_is_scipys_with_all_resamples(kind: str) -> None:
    from scipy import stats

    generator = np.random.default_rng(5)
    n = 400
    differences = {
        "three values": generator.choice([-1.0, 0.0, 1.0], n, p=[0.06, 0.9, 0.04]),
        "normal": generator.normal(0.1, 1, n),
        "skewed": generator.lognormal(0, 1, n) - 1.5,
        "ratings": generator.integers(1, 6, n) - generator.integers(1, 6, n) + 0.0,
    }[kind]
    ours = resampling.bootstrap_mean(differences, UP)
    assert isinstance(ours, Interval)
    theirs = stats.bootstrap(
        (differences,), np.mean, confidence_level=0.9, method="percentile", n_resamples=50_000, batch=500, rng=1
    )
    error = 0.03 * theirs.standard_error + (1 / n if kind in ("three values", "ratings") else 0)
    assert abs(ours.low - theirs.confidence_interval.low) < error
    assert abs(ours.high - theirs.confidence_interval.high) < error


@pytest.mark.slow
@settings(deadline=None, max_examples=generated.examples(30))
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=6), st.integers(-2, 2))
@example([-1, -1, -1, -1, -2], 0)
def test_bootstrap_of_a_few_is_counted_out(values: list[int], bound: int) -> None:
    """All nⁿ resamples, one by one."""
    import itertools

    assume(len(set(values)) > 1)
    ours = resampling.bootstrap_mean(np.array(values, float), Rule(higher_is_better=True, allowed=abs(bound)))
    if len(values) < 5:
        assert isinstance(ours, Undecided)
        return
    assert isinstance(ours, Interval)
    means = np.array(list(itertools.product(values, repeat=len(values)))).mean(axis=1)
    from ciplug.stats.distributions import normal_isf, t_sf

    n = len(values)
    # Where none is beyond the bound, the rarest resample is what is known.
    share = max(float((means >= -abs(bound) - 1e-9).mean()), float(n) ** -n)
    expected = 1.0 if share == 1 else t_sf(normal_isf(share) * math.sqrt((n - 1) / n), n - 1)
    assert ours.p == pytest.approx(expected, abs=1e-6)


def test_exact_sign_flip_is_scipys_permutation_test() -> None:
    from scipy import stats

    differences = np.array([0.3, -0.2, 0.9, -1.1, 0.05, -0.4, -0.6, 0.2, -0.8])
    (ours,) = resampling.sign_flip(differences[:, None], np.ones(9), [UP], seed=0, unit="example")
    theirs = stats.permutation_test(
        (differences,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", alternative="less"
    )
    assert isinstance(ours, Interval)
    assert ours.p == pytest.approx(theirs.pvalue)


def test_the_interval_and_the_p_value_of_sign_flips_agree() -> None:
    generator = np.random.default_rng(2)
    differences = generator.normal(-0.2, 1, 60)[:, None]
    for allowed in np.linspace(0, 0.6, 40):
        rule = Rule(higher_is_better=True, allowed=float(allowed))
        (ours,) = resampling.sign_flip(differences, np.ones(60), [rule], seed=0, unit="example")
        assert isinstance(ours, Interval)
        assert (decide(ours) == "FAIL") == (ours.p <= rule.alpha)


@pytest.mark.parametrize("metric", ["s", "f1", "auc"])
def test_a_clear_loss_fails_among_thousands_of_slices(metric: str) -> None:
    """Holm over 5,000 tests asks for p ≤ 0.00001, which 10,000 resamples alone never show."""
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 2, 400)
    sides = []
    for noise, loss in ((2.0, 0.8), (0.3, 0.0)):
        score = labels + generator.normal(0, noise, 400)
        said = [str(int(v > 0.5)) for v in score]
        values = array("d", generator.normal(-loss, 1, 400))
        texts = [str(v) for v in labels]
        sides.append(examples(n=400, labels=texts, predictions=said, scores={"s": values, "score": array("d", score)}))
    result = interval(ask(Paired(*sides), metric))
    assert result.p < 1e-6
    assert decide(result, adjusted_p=holm({0: result.p, **dict.fromkeys(range(1, 5000), 0.5)})[0]) == "FAIL"


# --- Scores that are no mean -------------------------------------------------------------------------------------


def classified(n: int = 300, classes: int = 2, **columns: Any) -> Paired:
    generator = np.random.default_rng(9)
    labels = generator.integers(0, classes, n)

    def side(source: str) -> Examples:
        wrong = generator.random(n) < 0.2
        said = np.where(wrong, generator.integers(0, classes, n), labels)
        score = labels + generator.normal(0, 1, n).round(1)
        return examples(
            source,
            n,
            labels=[str(v) for v in labels],
            predictions=[str(v) for v in said],
            scores={"score": array("d", score)},
            **columns,
        )

    joined = join(side("c"), side("b"))
    assert isinstance(joined, Paired)
    return joined


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    ("metric", "function", "arguments"),
    [
        ("f1", "f1_score", {}),
        ("precision", "precision_score", {}),
        ("recall", "recall_score", {}),
        ("f1_macro", "f1_score", {"average": "macro"}),
        ("precision_weighted", "precision_score", {"average": "weighted"}),
        ("recall_macro", "recall_score", {"average": "macro"}),
        ("balanced_accuracy", "balanced_accuracy_score", {}),
        ("accuracy", "accuracy_score", {}),
        ("zero_one_loss", "zero_one_loss", {}),
    ],
)
def test_scores_are_sklearns(classes: int, metric: str, function: str, arguments: dict[str, str]) -> None:
    from sklearn import metrics

    joined = classified(60, classes)
    result = ask(joined, metric, Rule(higher_is_better=True, allowed=0.01))
    if classes > 2 and metric in ("f1", "precision", "recall"):
        assert f"'{metric}_macro'" in reason(result)
        return
    labels = [int(v or 0) for v in joined.baseline.labels or ()]
    for ours, side in ((result.candidate, joined.candidate), (result.baseline, joined.baseline)):
        said = [int(v or 0) for v in side.predictions or ()]
        assert ours == pytest.approx(getattr(metrics, function)(labels, said, **arguments), abs=1e-12)


def test_auc_is_sklearns_with_ties_and_in_each_resample() -> None:
    from sklearn.metrics import roc_auc_score

    joined = classified(80)
    result = ask(joined, "auc")
    labels = [int(v or 0) for v in joined.baseline.labels or ()]
    assert result.candidate == pytest.approx(roc_auc_score(labels, joined.candidate.scores["score"]), abs=1e-12)
    assert interval(result).low < interval(result).estimate < interval(result).high


def test_examples_that_differ_are_counted() -> None:
    labels = ["1", "0"] * 150
    old = ["0" if i % 10 == 0 else label for i, label in enumerate(labels)]
    new = [label if i in (10, 20) else before for i, (label, before) in enumerate(zip(labels, old, strict=True))]
    joined = join(
        examples("c.jsonl", 300, labels=labels, predictions=new),
        examples("b.jsonl", 300, labels=labels, predictions=old),
    )
    assert isinstance(joined, Paired)
    for metric in ("f1", "recall_macro"):
        assert interval(ask(joined, metric)).notes[-1] == "2 examples differ: too few to go by the score alone"


@pytest.mark.parametrize("scale", [0.9, 0.0])
@pytest.mark.parametrize("test", ["t", "bootstrap"])
def test_a_percentage_is_of_each_example_of_the_baseline(test: Test, scale: float) -> None:
    """The margin is tested, of which the noise is smaller; the difference is what the report states."""
    draw = np.random.default_rng(8)
    old = draw.uniform(1, 9, 80)
    new = scale * old + draw.normal(0, 0.1, 80)
    rule = Rule(higher_is_better=True, allowed=(1 - scale) * float(old.mean()), scale=scale)
    result = interval(ask(pair(new.tolist(), old.tolist()), rule=rule, test=test))
    assert result.estimate == pytest.approx(new.mean() - old.mean())
    assert result.high - result.low < 0.1


def test_clusters_widen_the_interval_of_a_score() -> None:
    """Each example ten times over is worth no more than once."""
    clusters = [str(i // 10) for i in range(300)]
    alone = interval(ask(classified(300), "f1"))
    together = interval(ask(classified(300, clusters=clusters), "f1"))
    assert (together.unit, together.n) == ("cluster", 30)
    assert (alone.unit, alone.n) == ("rare example", 170), "those of the class that F1 is about"
    assert together.error and alone.error and together.error > alone.error


@pytest.mark.parametrize(
    ("n", "allowed", "due"),
    [(1, 0.01, "INCONCLUSIVE"), (20, 0.01, "INCONCLUSIVE"), (1000, 0.01, "PASS"), (1000, 0.0, "INCONCLUSIVE")],
)
def test_agreement_on_every_example_is_as_good_as_their_number(n: int, allowed: float, due: str) -> None:
    """Of 20 examples that all agree, none need be among the one in a hundred that was lost."""
    same = [float(i % 2) for i in range(n)]
    result = interval(ask(pair(same, same), rule=Rule(higher_is_better=True, allowed=allowed)))
    assert (decide(result), result.notes) == (due, ("the candidate and the baseline agree on every example",))
    if n == 1000:
        ratings = [float(i % 5) for i in range(n)]
        more = interval(ask(pair(ratings, ratings), rule=Rule(higher_is_better=True, allowed=4 * allowed)))
        assert decide(more) == due and more.low == pytest.approx(4 * (0.05 ** (1 / n) - 1))


def test_the_same_numbers_are_the_same_model() -> None:
    """A change to the README alone passes where each example has a number that no other model gives."""
    numbers = [1 / (3 + i) for i in range(20)]
    columns = {"labels": ["1"] * 20, "predictions": ["1", "0"] * 10}
    same = pair(numbers, numbers, **columns)
    for metric in ("s", "accuracy"):
        result = interval(ask(same, metric))
        assert (decide(result), result.method) == ("PASS", "the same answers")
    other = pair([*numbers[:-1], 0.5], numbers, **columns)
    assert decide(interval(ask(other, "accuracy", Rule(higher_is_better=True, allowed=0.01)))) == "INCONCLUSIVE"


@pytest.mark.parametrize("test", ["bootstrap", "sign-flip"])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_handful_decides_nothing(n: int, test: Test) -> None:
    for new in ([0.0] * n, [float(i) for i in range(n)]):
        assert "too few" in reason(ask(pair(new, [9.0] * n), test=test))


def test_degenerate_scores_are_named() -> None:
    same = examples(labels=["1"] * 4, predictions=["1"] * 4, scores={"score": array("d", [1, 2, 3, 4])})
    assert "all are of one class" in reason(ask(Paired(same, same), "auc"))
    rare = examples(n=30, labels=["1", *["0"] * 29], predictions=["1", *["0"] * 29])
    assert decide(interval(ask(Paired(rare, rare), "recall"))) == "INCONCLUSIVE"
    assert "1 example of the smallest class: too few" in reason(ask(Paired(rare, rare), "f1"))
    assert "too few examples of a class" in reason(ask(Paired(rare, rare), "f1", test="bootstrap"))
    words = examples(labels=["cat", "dog"] * 2, predictions=["cat"] * 4)
    assert "labels 0 and 1" in reason(ask(Paired(words, words), "auc"))
    unlabelled = examples(labels=["1", None] * 2, predictions=["1", "0", "0", "0"])
    assert "2 of 4 examples have no label" in reason(ask(Paired(unlabelled, unlabelled), "f1"))


def test_many_questions_on_slices_are_answered_in_order() -> None:
    generator = np.random.default_rng(1)
    new, old = generator.normal(size=(2, 400))
    joined = pair(new, old, slices={"c": [str(i % 3) for i in range(400)]})
    parts = slices(joined.candidate, ["c"])
    questions = [Question(metric="s", rule=UP), *(Question(metric="s", rule=UP, rows=rows) for rows in parts.values())]
    answers = answer(joined, questions)
    assert [interval(a).n for a in answers] == [400, 134, 133, 133]
    for question, one in zip(questions, answers, strict=True):
        assert answer(joined, [question]) == [one]
    empty = answer(joined, [Question(metric="s", rule=UP, rows=[])])
    assert "no example" in reason(empty[0])
