"""Scores over labels and predictions that are not a mean over examples. Needs numpy: import it where it is used.

Ours, vectorised over resamples: `f1`, `precision`, `recall` (of the class 1 or true; or with `_macro`, `_weighted`
over all classes), `balanced_accuracy`, `auc` (also `roc_auc`). Any other name is a function of sklearn.metrics,
`r2` as well as `r2_score`, called for each resample.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ciplug.errors import counted
from ciplug.records.examples import Examples
from ciplug.stats import influence
from ciplug.stats.intervals import Interval, Rule, Undecided, Unit
from ciplug.stats.mean_tests import effective_size
from ciplug.stats.paired_examples import Paired
from ciplug.stats.resampling import Floats, Score, bootstrap_score, draw_cells, draw_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indices = NDArray[np.int64]

CELL_RESAMPLES = 10_000
ROW_RESAMPLES = 2_000
SKLEARN_RESAMPLES = 1_000
POSITIVE = ("1", "true")
NEGATIVE = ("0", "false")
AVERAGES = ("macro", "weighted")
_NUMBERS = "score"
"""The column of probabilities; without it, predictions are read as numbers."""


def compare(
    pair: Paired, metric: str, rule: Rule, *, resample: bool = False
) -> tuple[float, float, Interval | Undecided]:
    """The score of candidate and baseline (NaN where undefined), and the test of their difference.

    `resample`: by the bootstrap, also where the influence of each example is known.
    """
    if not resample and _is_smooth(metric):
        return _by_influence(pair, metric, rule, None)
    if weights_of(pair.candidate) is not None:
        other = "use test: t" if _is_smooth(metric) else "use a mean, F1, precision, balanced accuracy or AUC"
        return float("nan"), float("nan"), Undecided(f"the bootstrap takes no weights of examples: {other}")
    name, _, average = metric.rpartition("_")
    if metric in ("auc", "roc_auc"):
        prepared = _auc(pair)
    elif metric == "balanced_accuracy" or metric in _OF_A_CLASS:
        prepared = _of_cells(pair, metric, None)
    elif name in _OF_A_CLASS and average in AVERAGES:
        prepared = _of_cells(pair, name, average)
    else:
        prepared = _sklearn(pair, metric)
    if isinstance(prepared, Undecided):
        return float("nan"), float("nan"), prepared
    new, old, result = prepared(rule)
    if isinstance(result, Interval) and (few := _too_few_of_a_class(pair)):
        result = few
    return new, old, result


def beside(pair: Paired, metric: str, limit: float, rule: Rule) -> tuple[float, float, Interval | Undecided]:
    """The score of the candidate, twice, and the test of it beside a bound. A score of sklearn has none."""
    if _is_smooth(metric):
        return _by_influence(pair, metric, rule, limit)
    new, old, result = compare(pair, metric, rule)
    if isinstance(result, Interval) or math.isfinite(new):
        return new, new, Undecided(f"the interval of '{metric}' alone is not known", no_interval=True)
    return new, old, result


def _is_smooth(metric: str) -> bool:
    name, _, average = metric.rpartition("_")
    return metric in ("auc", "roc_auc", "balanced_accuracy", *_OF_A_CLASS) or (
        name in _OF_A_CLASS and average in AVERAGES
    )


def _by_influence(
    pair: Paired, metric: str, rule: Rule, limit: float | None
) -> tuple[float, float, Interval | Undecided]:
    """A score by the influence of each example; `limit`: beside a bound, in the place of the baseline."""
    nan = float("nan")
    influences = _influence_auc(pair) if metric in ("auc", "roc_auc") else _influence_of_classes(pair, metric)
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
    if not _is_smooth(metric):
        return None
    influences = _influence_auc(pair) if metric in ("auc", "roc_auc") else _influence_of_classes(pair, metric)
    if isinstance(influences, Undecided):
        return None
    new, old = influences[0].each, influences[1].each
    return rule.sign * (new if limit is not None else new - rule.scale * old)


_NAMES = {"auc": "AUC", "roc_auc": "AUC", "f1": "F1"}


def _called(metric: str) -> str:
    return _NAMES.get(metric, metric.replace("_", " ").replace("f1", "F1"))


def _influence_auc(pair: Paired) -> tuple[influence.Influence, influence.Influence, Floats, int] | Undecided:
    labels = _binary_labels(pair)
    if isinstance(labels, Undecided):
        return labels
    new, old = _numbers(pair.candidate, "the candidate"), _numbers(pair.baseline, "the baseline")
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
    if metric in _OF_A_CLASS:
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


def positive_class(metric: str, *columns: Any) -> str | Undecided:
    """The class that a score of one class is about, 1 or true; or why there is none."""
    classes = np.unique(np.concatenate(columns))
    positive = [str(name) for name in classes if name in POSITIVE]
    if not set(classes) <= {*POSITIVE, *NEGATIVE} or len(positive) != 1:
        return Undecided(
            f"'{metric}' needs two classes, 0 and 1 or false and true: for more classes use '{metric}_macro'"
        )
    return positive[0]


def is_score(metric: str) -> bool:
    """Whether it is a score over labels and predictions: ours or, where it is installed, one of sklearn's."""
    name, _, average = metric.rpartition("_")
    if metric in ("accuracy", "auc", "roc_auc", "balanced_accuracy") or metric in _OF_A_CLASS:
        return True
    if name in _OF_A_CLASS and average in AVERAGES:
        return True
    try:
        return _sklearn_function(metric) is not None
    except ModuleNotFoundError:
        return False


Prepared = Callable[[Rule], tuple[float, float, Interval | Undecided]]


def seed_of(ids: Sequence[str]) -> int:
    """The seed of an evaluation set: the same for every run on it, so that a better candidate meets the same draws."""
    seed = 0
    for name in ids:
        seed = zlib.crc32(name.encode(), seed)
    return seed


def weights_of(side: Examples, rows: Indices | None = None) -> Floats | None:
    """The weight of each of these rows; None where all are alike."""
    if side.weights is None:
        return None
    weights = np.asarray(side.weights, np.float64)
    weights = weights if rows is None else weights[rows]
    return weights if len(weights) and np.ptp(weights) > 1e-12 * weights.max() else None


def cluster_index(side: Examples) -> Indices | None:
    """The number of each row's cluster, counted from 0; None without clusters."""
    return None if side.clusters is None else np.unique(np.asarray(side.clusters), return_inverse=True)[1]


# --- Scores of a table of counts ---------------------------------------------------------------------------------


def _f1(true: Floats, labelled: Floats, predicted: Floats) -> Floats:
    return 2 * true / (labelled + predicted)


def _precision(true: Floats, labelled: Floats, predicted: Floats) -> Floats:
    return true / predicted


def _recall(true: Floats, labelled: Floats, predicted: Floats) -> Floats:
    return true / labelled


_OF_A_CLASS = {"f1": _f1, "precision": _precision, "recall": _recall}


def _of_cells(pair: Paired, metric: str, average: str | None) -> Prepared | Undecided:
    """Rows with the same label and predictions make a cell, and a resample is how many of each cell were drawn."""
    columns = labels_and_predictions(pair)
    if isinstance(columns, Undecided):
        return columns
    classes, coded = np.unique(np.concatenate(columns), return_inverse=True)
    table = coded.reshape(3, -1).T
    cells, cell_of = np.unique(table, axis=0, return_inverse=True)
    cell_of = cell_of.reshape(-1)
    if metric in _OF_A_CLASS and average is None:
        named = positive_class(metric, *columns)
        if isinstance(named, Undecided):
            return named
        positive = [i for i, name in enumerate(classes) if name == named]
    else:
        positive = list(range(len(classes)))
    rate = _OF_A_CLASS.get(metric, _recall)

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
    labels = _binary_labels(pair)
    if isinstance(labels, Undecided):
        return labels
    sides = []
    for side, whose in ((pair.candidate, "the candidate"), (pair.baseline, "the baseline")):
        numbers = _numbers(side, whose)
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


def _sklearn(pair: Paired, metric: str) -> Prepared | Undecided:
    function = _sklearn_function(metric)
    if function is None:
        return Undecided(
            f"'{metric}' is neither a column of numbers in the files nor a score of ciplug or sklearn.metrics"
        )
    import inspect

    wants_numbers = list(inspect.signature(function).parameters)[1] in _NUMERIC_ARGUMENTS
    columns = labels_and_predictions(pair) if not wants_numbers else _labels_and_numbers(pair)
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


def _sklearn_function(metric: str) -> Callable[..., float] | None:
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


# --- Columns -----------------------------------------------------------------------------------------------------


def _texts(column: Sequence[str | None] | None, what: str, ids: Sequence[str]) -> NDArray[Any] | Undecided:
    """A column that has a value in every row."""
    if column is None:
        return Undecided(f"there is no {what} column")
    missing = [name for name, value in zip(ids, column, strict=True) if value is None]
    if missing:
        return Undecided(f"{len(missing):,} of {len(ids):,} examples have no {what}, the first is {missing[0][:40]!r}")
    return np.asarray(column)


def labels_and_predictions(pair: Paired) -> tuple[Any, Any, Any] | Undecided:
    """Labels, the candidate's predictions and the baseline's, of each row."""
    ids = pair.candidate.ids
    labels = _texts(pair.baseline.labels, "label", ids)
    new = _texts(pair.candidate.predictions, "prediction (candidate)", ids)
    old = _texts(pair.baseline.predictions, "prediction (baseline)", ids)
    for column in (labels, new, old):
        if isinstance(column, Undecided):
            return column
    return labels, new, old


def _labels_and_numbers(pair: Paired) -> tuple[Any, Any, Any] | Undecided:
    labels = _texts(pair.baseline.labels, "label", pair.candidate.ids)
    new, old = _numbers(pair.candidate, "the candidate"), _numbers(pair.baseline, "the baseline")
    for column in (labels, new, old):
        if isinstance(column, Undecided):
            return column
    return labels, new, old


def _numbers(side: Examples, whose: str) -> Floats | Undecided:
    if _NUMBERS in side.scores:
        numbers = np.asarray(side.scores[_NUMBERS], np.float64)
    else:
        predicted = _texts(side.predictions, "prediction", side.ids)
        if isinstance(predicted, Undecided):
            return predicted
        try:
            numbers = predicted.astype(np.float64)
        except ValueError:
            return Undecided(f"{whose} has no column '{_NUMBERS}', and its predictions are not numbers")
    if not np.isfinite(numbers).all():
        return Undecided(f"{whose} has a score that is not a finite number")
    return numbers


def _binary_labels(pair: Paired) -> Floats | Undecided:
    labels = _texts(pair.baseline.labels, "label", pair.candidate.ids)
    if isinstance(labels, Undecided):
        return labels
    if not set(labels) <= {*POSITIVE, *NEGATIVE}:
        return Undecided("this score needs two classes: labels 0 and 1, or false and true")
    return np.isin(labels, POSITIVE).astype(np.float64)


def _as_sklearn_takes_it(column: Any) -> Any:
    """Texts that are all numbers as numbers; as integers where all are whole."""
    try:
        numbers = column.astype(np.float64)
    except ValueError:
        return column
    return numbers.astype(np.int64) if (numbers == np.rint(numbers)).all() else numbers
