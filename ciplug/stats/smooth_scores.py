"""Scores whose error follows from the influence of each example: F1, precision, recall, balanced accuracy, AUC.

Needs numpy: import it where it is used. Nothing is drawn; `resampled_scores` has the bootstrap.
"""

from __future__ import annotations

import numpy as np

from ciplug.stats import influence
from ciplug.stats.intervals import Interval, Rule, Undecided
from ciplug.stats.joined_examples import Paired
from ciplug.stats.mean_tests import effective_size
from ciplug.stats.resampling import Floats
from ciplug.stats.score_columns import (
    binary_labels,
    cluster_index,
    labels_and_predictions,
    numbers_of,
    positive_class,
    weights_of,
)

AUC = ("auc", "roc_auc")
OF_A_CLASS = ("f1", "precision", "recall")
AVERAGES = ("macro", "weighted")


def is_smooth(metric: str) -> bool:
    name, _, average = metric.rpartition("_")
    return metric in (*AUC, "balanced_accuracy", *OF_A_CLASS) or (name in OF_A_CLASS and average in AVERAGES)


def by_influence(
    pair: Paired, metric: str, rule: Rule, limit: float | None
) -> tuple[float, float, Interval | Undecided]:
    """A score by the influence of each example; `limit`: beside a bound, in the place of the baseline."""
    nan = float("nan")
    influences = _influence_auc(pair) if metric in AUC else _influence_of_classes(pair, metric)
    if isinstance(influences, Undecided):
        return nan, nan, influences
    new, old, classes, differing = influences
    if limit is not None:
        differing = int((new.each != np.median(new.each)).sum())
    result = influence.compare(
        new,
        old if limit is None else limit,
        rule,
        classes=classes,
        differing=differing,
        clusters=cluster_index(pair.candidate),
        method=f"{_called(metric)} by the influence of each example",
    )
    return new.value, old.value, result


def influence_of(pair: Paired, metric: str, rule: Rule, limit: float | None) -> Floats | None:
    """What each example adds to the score that a rule is about; None where that is not known."""
    if not is_smooth(metric):
        return None
    influences = _influence_auc(pair) if metric in AUC else _influence_of_classes(pair, metric)
    if isinstance(influences, Undecided):
        return None
    new, old = influences[0].each, influences[1].each
    return rule.sign * (new if limit is not None else new - rule.scale * old)


_NAMES = {"auc": "AUC", "roc_auc": "AUC", "f1": "F1"}


def _called(metric: str) -> str:
    return _NAMES.get(metric, metric.replace("_", " ").replace("f1", "F1"))


def _influence_auc(pair: Paired) -> tuple[influence.Influence, influence.Influence, Floats, int] | Undecided:
    labels = binary_labels(pair)
    if isinstance(labels, Undecided):
        return labels
    new, old = numbers_of(pair.candidate, "the candidate"), numbers_of(pair.baseline, "the baseline")
    if isinstance(new, Undecided):
        return new
    if isinstance(old, Undecided):
        return old
    weights = _each_weighs(pair)
    classes = np.array([_size(weights[labels == 1]), _size(weights[labels == 0])])
    if not classes.all():
        return Undecided("the score is undefined on these examples: all are of one class")
    ours, theirs = influence.of_auc(labels, new, weights), influence.of_auc(labels, old, weights)
    # What a placement adds is the same where the example is ranked alike.
    sums = np.where(labels == 1, weights[labels == 1].sum(), weights[labels == 0].sum()) / weights
    placed = [one.each + one.value / sums for one in (ours, theirs)]
    differing = int((np.abs(placed[0] - placed[1]) > 1e-12).sum())
    return ours, theirs, classes, differing


def _influence_of_classes(
    pair: Paired, metric: str
) -> tuple[influence.Influence, influence.Influence, Floats, int] | Undecided:
    columns = labels_and_predictions(pair)
    if isinstance(columns, Undecided):
        return columns
    labels, new, old = columns
    weights = _each_weighs(pair)
    name, _, average = metric.rpartition("_")
    if metric in OF_A_CLASS:
        positive = positive_class(metric, *columns)
        if isinstance(positive, Undecided):
            return positive
        sides = [
            influence.of_class(metric, labels == positive, predicted == positive, weights) for predicted in (new, old)
        ]
        about = (labels == positive) | (new == positive) | (old == positive)
        classes = np.array([_size(weights[labels == positive])])
        if metric == "precision":
            classes = np.array([min(_size(weights[new == positive]), _size(weights[old == positive]))])
    else:
        name, average = ("recall", "balanced") if metric == "balanced_accuracy" else (name, average)
        sides = [influence.of_classes(name, average, labels, predicted, weights) for predicted in (new, old)]
        about = np.ones(len(labels), bool)
        classes = np.array([_size(weights)])
        if average != "weighted":
            classes = np.array([_size(weights[labels == one]) for one in np.unique(labels)])
    if not classes.all():
        return Undecided("the score is undefined on these examples: are all of one class?")
    return sides[0], sides[1], classes, int((about & (new != old)).sum())


def _each_weighs(pair: Paired) -> Floats:
    weights = weights_of(pair.candidate)
    return np.ones(len(pair)) if weights is None else weights


def _size(weights: Floats) -> float:
    """The number of examples of equal weight that say as much."""
    return effective_size(weights) if len(weights) else 0.0
