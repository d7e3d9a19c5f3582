"""Two evaluations of the same examples, joined by id. Pure.

Every example of the baseline is a row: one that the candidate lacks has no answer there, and `completed` gives it the
worst and the best that it could be. Examples that the candidate alone has are counted, and left out. What makes another
evaluation is named, and not compared: duplicates, another label or slice under the same id, no id in common.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PureWindowsPath
from typing import TypeVar

from ciplug.errors import counted
from ciplug.records.examples import Examples
from ciplug.stats.intervals import Undecided

T = TypeVar("T")


@dataclass(frozen=True)
class Paired:
    """Both sides row by row: the same ids in the same order, that of the sorted ids."""

    candidate: Examples
    baseline: Examples
    lost: tuple[int, ...] = ()
    """Rows that the candidate lacks: there it has the label, slices and cluster of the baseline, and no answer."""
    added: int = 0
    """Examples that the candidate alone has."""

    def __len__(self) -> int:
        return len(self.candidate)


_SAME_WEIGHTS = "give the examples of both sides the same weights"


def join(candidate: Examples, baseline: Examples) -> Paired | Undecided:
    """Both sides, ordered by id; or why they cannot be compared, with the coverage and the first ids."""
    for side, whose in ((candidate, "the candidate"), (baseline, "the baseline")):
        if not len(side):
            return Undecided(f"{whose} has no example ({_file(side)})")
        if twice := [name for name, count in Counter(side.ids).items() if count > 1]:
            appear = "appears" if len(twice) == 1 else "appear"
            reason = f"{_count(twice, 'id')} of {whose} {appear} more than once ({_file(side)}): {_some(twice)}"
            return Undecided(reason, advice="give each example an id of its own")
    ours, theirs = set(candidate.ids), set(baseline.ids)
    both = ours & theirs
    if not both:
        return Undecided(
            f"the evaluation sets differ: none of {len(ours | theirs):,} ids is in both, the candidate has "
            f"{_some(sorted(ours))}, the baseline {_some(sorted(theirs))}",
            differs=True,
        )
    if (candidate.weights is None) != (baseline.weights is None):
        has, lacks = ("candidate", "baseline") if baseline.weights is None else ("baseline", "candidate")
        reason = f"the examples of the {has} have weights, and those of the {lacks} have none"
        return Undecided(reason, differs=True, advice=_SAME_WEIGHTS)
    old = _sorted(baseline)
    new = _sorted(candidate) if ours == theirs else _as_rows_of(candidate, old)
    lost = tuple(row for row, name in enumerate(old.ids) if name not in ours) if both != theirs else ()
    pair = Paired(new, old, lost, len(ours - theirs))
    columns = {"label": (pair.candidate.labels, pair.baseline.labels)}
    for name in pair.candidate.slices.keys() & pair.baseline.slices.keys():
        columns[f"'{name}'"] = (pair.candidate.slices[name], pair.baseline.slices[name])
    columns["cluster"] = (pair.candidate.clusters, pair.baseline.clusters)
    for name, (ours_of, theirs_of) in columns.items():
        if ours_of is None or theirs_of is None:
            continue
        if other := [name for name, a, b in zip(pair.candidate.ids, ours_of, theirs_of, strict=True) if a != b]:
            reason = f"the evaluation sets differ: {_count(other, 'id')} with another {name}: {_some(other)}"
            return Undecided(reason, differs=True)
    return _with_one_weight(pair)


def _with_one_weight(pair: Paired) -> Paired | Undecided:
    """The weights of the baseline on both sides, if they are those of the candidate but for a factor."""
    ours, theirs = pair.candidate.weights, pair.baseline.weights
    if ours is None or theirs is None:
        return pair
    lost = set(pair.lost)
    ratios = sorted(a / b for row, (a, b) in enumerate(zip(ours, theirs, strict=True)) if row not in lost)
    usual = ratios[len(ratios) // 2]
    if not math.isclose(ratios[0], ratios[-1], rel_tol=1e-9):
        other = [
            name
            for row, name in enumerate(pair.candidate.ids)
            if row not in lost and not math.isclose(ours[row], usual * theirs[row], rel_tol=1e-9)
        ]
        reason = f"the evaluation sets differ: {_count(other, 'id')} with another weight: {_some(other)}"
        return Undecided(reason, differs=True, advice=_SAME_WEIGHTS)
    return replace(pair, candidate=replace(pair.candidate, weights=theirs))


def _as_rows_of(side: Examples, other: Examples) -> Examples:
    """A side with the ids of another one, in its order; where it lacks one, with what the other knows of it."""
    row_of = {name: row for row, name in enumerate(side.ids)}
    rows = [row_of.get(name) for name in other.ids]

    def filled(column: Sequence[T] | None, instead: Sequence[T] | None, none: T) -> list[T] | None:
        if column is None:
            return None
        return [column[row] if row is not None else instead[at] if instead else none for at, row in enumerate(rows)]

    return replace(
        side,
        ids=other.ids,
        labels=filled(side.labels, other.labels, None),
        predictions=filled(side.predictions, None, None),
        scores={name: filled(column, None, math.nan) or [] for name, column in side.scores.items()},
        slices={name: filled(column, other.slices.get(name), "") or [] for name, column in side.slices.items()},
        clusters=filled(side.clusters, other.clusters, ""),
        weights=filled(side.weights, other.weights, 1.0),
    )


def present(pair: Paired) -> Paired:
    """The rows that both sides have."""
    lost = set(pair.lost)
    rows = [row for row in range(len(pair)) if row not in lost]
    return Paired(take(pair.candidate, rows), take(pair.baseline, rows), (), pair.added)


def completed(pair: Paired, metric: str, *, best: bool) -> Paired | Undecided:
    """The pair with the highest metric that the lost rows could give the candidate (`best`), or the lowest.

    Bounds of what is not known, by C. F. Manski (1989). A numeric column ends where the numbers of both sides end; at 0
    and 1 where all are within.
    """
    side, lost = pair.candidate, set(pair.lost)
    if metric in side.scores:
        finite = [v for v in (*side.scores[metric], *pair.baseline.scores.get(metric, ())) if math.isfinite(v)]
        within = finite and min(finite) >= 0 and max(finite) <= 1
        ends = (0.0, 1.0) if within else (min(finite), max(finite)) if finite else (math.nan, math.nan)
        column = [ends[best] if row in lost else value for row, value in enumerate(side.scores[metric])]
        return replace(pair, candidate=replace(side, scores={**side.scores, metric: column}), lost=())
    labels = pair.baseline.labels
    if labels is None:
        return Undecided("the candidate lacks examples, and there is no label column")
    classes = [name for name, _ in Counter(labels).most_common(2)]
    if metric in ("auc", "roc_auc") and "score" in side.scores:
        finite = [v for v in side.scores["score"] if math.isfinite(v)] or [0.0]
        ends = (min(finite) - 1, max(finite) + 1)
        column = [
            ends[(labels[row] in ("1", "true")) == best] if row in lost else value
            for row, value in enumerate(side.scores["score"])
        ]
        return replace(pair, candidate=replace(side, scores={**side.scores, "score": column}), lost=())
    stem = metric.rpartition("_")[0] if metric.endswith(("_macro", "_weighted")) else metric
    if stem not in ("accuracy", "balanced_accuracy", "f1", "precision", "recall") or side.predictions is None:
        return Undecided(
            f"the candidate lacks {_count(pair.lost, 'example')} of the baseline, and how bad '{metric}' could be with "
            f"{'it' if len(pair.lost) == 1 else 'them'} is not known: {_some([side.ids[r] for r in pair.lost])}",
            differs=True,
        )

    def other(label: str | None) -> str | None:
        return next((name for name in classes if name != label), "")

    predictions = [
        (labels[row] if best else other(labels[row])) if row in lost else value
        for row, value in enumerate(side.predictions)
    ]
    return replace(pair, candidate=replace(side, predictions=predictions), lost=())


def slices(examples: Examples, columns: Iterable[str]) -> dict[tuple[str, str], list[int]]:
    """(column, value) → row numbers, the largest slice first. Raises KeyError on a missing column."""
    rows_of: dict[tuple[str, str], list[int]] = {}
    for column in columns:
        for row, value in enumerate(examples.slices[column]):
            rows_of.setdefault((column, value), []).append(row)
    return dict(sorted(rows_of.items(), key=lambda item: (-len(item[1]), item[0])))


def vanished(candidate: Examples, baseline: Examples, columns: Iterable[str]) -> list[tuple[str, str]]:
    """Slices that the baseline had and the candidate lacks, as (column, value)."""
    lost = []
    for column in columns:
        had = set(baseline.slices.get(column, ()))
        lost += [(column, value) for value in sorted(had - set(candidate.slices.get(column, ())))]
    return lost


def _sorted(side: Examples) -> Examples:
    order = sorted(range(len(side)), key=side.ids.__getitem__)
    return side if order == list(range(len(side))) else take(side, order)


def take(side: Examples, rows: Sequence[int]) -> Examples:
    """These rows, in this order."""

    def pick(column: Sequence[T]) -> Sequence[T]:
        return [column[row] for row in rows]

    def pick_each(columns: Mapping[str, Sequence[T]]) -> dict[str, Sequence[T]]:
        return {name: pick(column) for name, column in columns.items()}

    return replace(
        side,
        ids=pick(side.ids),
        labels=None if side.labels is None else pick(side.labels),
        predictions=None if side.predictions is None else pick(side.predictions),
        scores=pick_each(side.scores),
        slices=pick_each(side.slices),
        clusters=None if side.clusters is None else pick(side.clusters),
        weights=None if side.weights is None else pick(side.weights),
    )


def _file(side: Examples) -> str:
    """The name of its file: the folder is that of the machine that recorded it."""
    return PureWindowsPath(side.source).name or side.source


def _count(names: Sequence[object], noun: str) -> str:
    return counted(len(names), noun)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:3])
    return f"{shown}, …" if len(names) > 3 else shown
