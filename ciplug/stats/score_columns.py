"""The columns of per-example files as scores take them: labels, predictions, numbers, weights. Needs numpy."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ciplug.records.examples import Examples
from ciplug.stats.intervals import Undecided
from ciplug.stats.joined_examples import Paired

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ciplug.stats.resampling import Floats

    Indices = NDArray[np.int64]

POSITIVE = ("1", "true")
NEGATIVE = ("0", "false")
_NUMBERS = "score"
"""The column of probabilities; without it, predictions are read as numbers."""


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


def labels_and_numbers(pair: Paired) -> tuple[Any, Any, Any] | Undecided:
    labels = _texts(pair.baseline.labels, "label", pair.candidate.ids)
    new, old = numbers_of(pair.candidate, "the candidate"), numbers_of(pair.baseline, "the baseline")
    for column in (labels, new, old):
        if isinstance(column, Undecided):
            return column
    return labels, new, old


def numbers_of(side: Examples, whose: str) -> Floats | Undecided:
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


def binary_labels(pair: Paired) -> Floats | Undecided:
    labels = _texts(pair.baseline.labels, "label", pair.candidate.ids)
    if isinstance(labels, Undecided):
        return labels
    if not set(labels) <= {*POSITIVE, *NEGATIVE}:
        return Undecided("this score needs two classes: labels 0 and 1, or false and true")
    return np.isin(labels, POSITIVE).astype(np.float64)


def positive_class(metric: str, *columns: Any) -> str | Undecided:
    """The class that a score of one class is about, 1 or true; or why there is none."""
    classes = np.unique(np.concatenate(columns))
    positive = [str(name) for name in classes if name in POSITIVE]
    if not set(classes) <= {*POSITIVE, *NEGATIVE} or len(positive) != 1:
        return Undecided(
            f"'{metric}' needs two classes, 0 and 1 or false and true: for more classes use '{metric}_macro'"
        )
    return positive[0]
