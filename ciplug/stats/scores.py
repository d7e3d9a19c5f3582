"""Scores over labels and predictions that are not a mean over examples. Needs numpy: import it where it is used.

Ours, vectorised over resamples: `f1`, `precision`, `recall` (of the class 1 or true; or with `_macro`, `_weighted`
over all classes), `balanced_accuracy`, `auc` (also `roc_auc`). Any other name is a function of sklearn.metrics,
`r2` as well as `r2_score`, called for each resample.
"""

from __future__ import annotations

import math

import numpy as np

from ciplug.errors import counted
from ciplug.records.examples import Examples
from ciplug.stats import influence, joined_examples, resampled_scores
from ciplug.stats.intervals import Interval, Rule, Undecided
from ciplug.stats.joined_examples import Paired
from ciplug.stats.score_columns import weights_of
from ciplug.stats.smooth_scores import by_influence, is_smooth


def compare(
    pair: Paired, metric: str, rule: Rule, *, resample: bool = False
) -> tuple[float, float, Interval | Undecided]:
    """The score of candidate and baseline (NaN where undefined), and the test of their difference.

    `resample`: by the bootstrap, also where the influence of each example is known.
    """
    if not resample and is_smooth(metric):
        return by_influence(pair, metric, rule, None)
    if weights_of(pair.candidate) is not None:
        other = "use test: t" if is_smooth(metric) else "use a mean, F1, precision, balanced accuracy or AUC"
        return float("nan"), float("nan"), Undecided(f"the bootstrap takes no weights of examples: {other}")
    prepared = resampled_scores.prepare(pair, metric)
    if isinstance(prepared, Undecided):
        return float("nan"), float("nan"), prepared
    new, old, result = prepared(rule)
    if isinstance(result, Interval) and (few := _too_few_of_a_class(pair)):
        result = few
    return new, old, result


def beside(pair: Paired, metric: str, limit: float, rule: Rule) -> tuple[float, float, Interval | Undecided]:
    """The score of the candidate, twice, and the test of it beside a bound. A score of sklearn has none."""
    if is_smooth(metric):
        return by_influence(pair, metric, rule, limit)
    new, old, result = compare(pair, metric, rule)
    if isinstance(result, Interval) or math.isfinite(new):
        return new, new, Undecided(f"the interval of '{metric}' alone is not known", no_interval=True)
    return new, old, result


def _too_few_of_a_class(pair: Paired) -> Undecided | None:
    """The reason where a class has too few examples for a bootstrap to know them."""
    labels = pair.baseline.labels
    if labels is None:
        return None
    counts = np.unique(np.asarray([str(label) for label in labels]), return_counts=True)[1]
    if len(counts) > max(2, len(labels) // 10) or counts.min() >= influence.FEWEST:
        return None
    least = counted(int(counts.min()), "example")
    return Undecided(f"{least} of the smallest class: too few to decide on, {influence.FEWEST} are needed")


def is_score(metric: str) -> bool:
    """Whether it is a score over labels and predictions: ours or, where it is installed, one of sklearn's."""
    if metric == "accuracy" or is_smooth(metric):
        return True
    try:
        return resampled_scores.sklearn_function(metric) is not None
    except ModuleNotFoundError:
        return False


def value_of(examples: Examples, metric: str) -> float | Undecided:
    """The score of one evaluation, or why there is none."""
    own = joined_examples.join(examples, examples)
    if isinstance(own, Undecided):
        return own
    new, _, result = beside(own, metric, 0.0, Rule(higher_is_better=True))
    if math.isfinite(new):
        return new
    return result if isinstance(result, Undecided) else Undecided(f"'{metric}' is not defined on these examples")
