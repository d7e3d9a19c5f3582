"""The bootstrap of scores over labels and predictions. Needs numpy: import it where it is used.

Ours are vectorised over resamples; one of sklearn is called for each resample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ciplug.stats.intervals import Interval, Rule, Undecided, Unit
from ciplug.stats.joined_examples import Paired
from ciplug.stats.resampling import Floats, Score, bootstrap_score, draw_cells, draw_units
from ciplug.stats.score_columns import (
    binary_labels,
    cluster_index,
    labels_and_numbers,
    labels_and_predictions,
    numbers_of,
    positive_class,
    seed_of,
)
from ciplug.stats.smooth_scores import AUC, AVERAGES, OF_A_CLASS

if TYPE_CHECKING:
    from ciplug.stats.score_columns import Indices

CELL_RESAMPLES = 10_000
ROW_RESAMPLES = 2_000
SKLEARN_RESAMPLES = 1_000
Prepared = Callable[[Rule], tuple[float, float, Interval | Undecided]]


def prepare(pair: Paired, metric: str) -> Prepared | Undecided:
    """Return the test of a score by the bootstrap; why there is none, where a column is missing or unfit."""
    name, _, average = metric.rpartition("_")
    if metric in AUC:
        return _auc(pair)
    if metric == "balanced_accuracy" or metric in OF_A_CLASS:
        return _of_cells(pair, metric, None)
    if name in OF_A_CLASS and average in AVERAGES:
        return _of_cells(pair, name, average)
    return _of_sklearn(pair, metric)


# --- Scores of a table of counts ---------------------------------------------------------------------------------


def _f1(true: Floats, labelled: Floats, predicted: Floats) -> Floats:
    return 2 * true / (labelled + predicted)


def _precision(true: Floats, labelled: Floats, predicted: Floats) -> Floats:
    return true / predicted


def _recall(true: Floats, labelled: Floats, predicted: Floats) -> Floats:
    return true / labelled


_RATES = {"f1": _f1, "precision": _precision, "recall": _recall}


def _of_cells(pair: Paired, metric: str, average: str | None) -> Prepared | Undecided:
    """Rows with the same label and predictions make a cell, and a resample is how many of each cell were drawn."""
    columns = labels_and_predictions(pair)
    if isinstance(columns, Undecided):
        return columns
    classes, coded = np.unique(np.concatenate(columns), return_inverse=True)
    table = coded.reshape(3, -1).T
    cells, cell_of = np.unique(table, axis=0, return_inverse=True)
    cell_of = cell_of.reshape(-1)
    if metric in _RATES and average is None:
        named = positive_class(metric, *columns)
        if isinstance(named, Undecided):
            return named
        positive = [i for i, name in enumerate(classes) if name == named]
    else:
        positive = list(range(len(classes)))
    rate = _RATES.get(metric, _recall)

    def side(weights: Floats, prediction_column: int) -> Floats:
        total = np.zeros(len(weights))
        shares = np.zeros(len(weights))
        for c in positive:
            is_label, is_predicted = cells[:, 0] == c, cells[:, prediction_column] == c
            labelled, predicted = weights @ is_label, weights @ is_predicted
            with np.errstate(divide="ignore", invalid="ignore"):
                value = rate(weights @ (is_label & is_predicted), labelled, predicted)
            if average is None and metric != "balanced_accuracy":
                return value
            # As in sklearn: a class that is neither a label nor predicted does not count; a rate of 0/0 is 0.
            present = labelled > 0 if metric == "balanced_accuracy" else (labelled + predicted) > 0
            share = labelled if average == "weighted" else present.astype(np.float64)
            total += share * np.where(present, np.nan_to_num(value), 0)
            shares += share
        with np.errstate(divide="ignore", invalid="ignore"):
            return total / shares

    def score(weights: Floats) -> tuple[Floats, Floats]:
        return side(weights, 1), side(weights, 2)

    counts = np.bincount(cell_of, minlength=len(cells)).astype(np.float64)
    clusters = cluster_index(pair.candidate)

    def test(rule: Rule) -> tuple[float, float, Interval | Undecided]:
        seed = seed_of(pair.candidate.ids)
        unit: Unit
        if clusters is None:
            draws = draw_cells(counts, CELL_RESAMPLES, seed)
            n, unit = len(pair), "example"
        else:
            n, unit = int(clusters.max()) + 1, "cluster"
            of_cluster = np.zeros((n, len(cells)))
            np.add.at(of_cluster, (clusters, cell_of), 1)
            draws = (block @ of_cluster for block in draw_units([n], CELL_RESAMPLES, seed))
        return _answer(score, counts[None, :], draws, rule, n, unit)

    return test


# --- The area under the ROC curve --------------------------------------------------------------------------------


def _auc(pair: Paired) -> Prepared | Undecided:
    """Each class is resampled by itself, so that none is ever empty; with clusters, whole clusters are."""
    labels = binary_labels(pair)
    if isinstance(labels, Undecided):
        return labels
    sides = []
    for side, whose in ((pair.candidate, "the candidate"), (pair.baseline, "the baseline")):
        numbers = numbers_of(side, whose)
        if isinstance(numbers, Undecided):
            return numbers
        sides.append(numbers)
    clusters = cluster_index(pair.candidate)
    if clusters is None:
        order = np.argsort(-labels, kind="stable")
        strata = [int(labels.sum()), int(len(labels) - labels.sum())]
        units = np.arange(len(labels))
    else:
        order, strata, units = np.arange(len(labels)), [int(clusters.max()) + 1], clusters
    if not all(strata):
        return Undecided("the score is undefined on these examples: all are of one class")
    labels = labels[order]
    ranked = []
    for numbers in sides:
        rank = np.argsort(numbers[order], kind="stable")
        ascending = numbers[order][rank]
        starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
        ranked.append((rank, starts))

    def score(weights: Floats) -> tuple[Floats, Floats]:
        rows = weights[:, units]
        new, old = (_weighted_auc(rows[:, rank], labels[rank], starts) for rank, starts in ranked)
        return new, old

    def test(rule: Rule) -> tuple[float, float, Interval | Undecided]:
        draws = draw_units(strata, ROW_RESAMPLES, seed_of(pair.candidate.ids))
        whole = np.ones((1, sum(strata)))
        if clusters is None:
            return _answer(score, whole, draws, rule, sum(strata), "example", ", each class by itself")
        return _answer(score, whole, draws, rule, strata[0], "cluster")

    return test


def _weighted_auc(weights: Floats, labels: Floats, starts: Indices) -> Floats:
    """P(a positive scores higher than a negative) + half of the ties, of rows in ascending order of their score."""
    positive = np.add.reduceat(weights * labels, starts, axis=1)
    negative = np.add.reduceat(weights * (1 - labels), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.einsum("ij,ij->i", positive, below) / pairs)


# --- Scores of sklearn --------------------------------------------------------------------------------------------


_NUMERIC_ARGUMENTS = ("y_score", "y_prob", "y_proba", "pred_decision")
"""Names of the second argument of sklearn's functions where it is not a class."""


def _of_sklearn(pair: Paired, metric: str) -> Prepared | Undecided:
    function = sklearn_function(metric)
    if function is None:
        return Undecided(
            f"'{metric}' is neither a column of numbers in the files nor a score of ciplug or sklearn.metrics"
        )
    import inspect

    wants_numbers = list(inspect.signature(function).parameters)[1] in _NUMERIC_ARGUMENTS
    columns = labels_and_predictions(pair) if not wants_numbers else labels_and_numbers(pair)
    if isinstance(columns, Undecided):
        return columns
    labels, new, old = (_as_sklearn_takes_it(column) for column in columns)
    clusters = cluster_index(pair.candidate)
    units = np.arange(len(pair)) if clusters is None else clusters
    n = int(units.max()) + 1

    try:
        function(labels, new), function(labels, old)
    except (ValueError, TypeError) as error:
        return Undecided(f"sklearn cannot compute '{metric}' here: {error}")

    def value(predicted: Any, rows: Indices) -> float:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return float(function(labels[rows], predicted[rows]))
            except ValueError:  # a class is missing in this resample
                return float("nan")

    def score(weights: Floats) -> tuple[Floats, Floats]:
        drawn = [np.repeat(np.arange(len(pair)), row[units].astype(np.int64)) for row in weights]
        return np.array([value(new, rows) for rows in drawn]), np.array([value(old, rows) for rows in drawn])

    def test(rule: Rule) -> tuple[float, float, Interval | Undecided]:
        draws = draw_units([n], SKLEARN_RESAMPLES, seed_of(pair.candidate.ids))
        return _answer(score, np.ones((1, n)), draws, rule, n, "example" if clusters is None else "cluster")

    return test


def sklearn_function(metric: str) -> Callable[..., float] | None:
    """Raises ModuleNotFoundError without sklearn."""
    import functools
    import importlib

    metrics = importlib.import_module("sklearn.metrics")
    name, _, average = metric.rpartition("_")
    if average in (*AVERAGES, "micro") and (function := getattr(metrics, f"{name}_score", None)):
        return functools.partial(function, average=average)
    for candidate in (metric, f"{metric}_score"):
        if candidate in metrics.__all__ and candidate.islower():
            function_of: Callable[..., float] = getattr(metrics, candidate)
            return function_of
    return None


def _answer(
    score: Score, whole: Floats, draws: Any, rule: Rule, n: int, unit: Unit, how: str = ""
) -> tuple[float, float, Interval | Undecided]:
    new, old = score(whole)
    method = f"paired bootstrap of {unit}s{how}"
    return float(new[0]), float(old[0]), bootstrap_score(score, whole, draws, rule, n=n, unit=unit, method=method)


def _as_sklearn_takes_it(column: Any) -> Any:
    """Texts that are all numbers as numbers; as integers where all are whole."""
    try:
        numbers = column.astype(np.float64)
    except ValueError:
        return column
    return numbers.astype(np.int64) if (numbers == np.rint(numbers)).all() else numbers
