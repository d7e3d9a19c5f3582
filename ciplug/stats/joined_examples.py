"""Two evaluations of the same examples, joined by id. Pure.

Every example of the baseline is a row. Its answer may not be known on a side: the candidate lacks the example, or has
it with another label, slice or weight; its id appears twice; or there is no prediction or number. `completed` gives
such an answer the worst and the best that it could be, so that one row switches no gate off. Examples that the
candidate alone has are counted, and left out. Sets without a known answer in common are not compared.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PureWindowsPath
from typing import Any, TypeVar

from ciplug.errors import counted
from ciplug.records.examples import Examples
from ciplug.stats.intervals import Undecided, is_measured

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
    unclear: frozenset[int] = frozenset()
    """Other rows whose answer is not known: the prediction is None there, and a number is infinite."""
    why: tuple[str, ...] = ()
    """Why they are unclear: an id that appears twice, another label."""

    def __len__(self) -> int:
        return len(self.candidate)


_SAME_WEIGHTS = "give the examples of both sides the same weights"


@dataclass(frozen=True)
class _Unclear:
    """Rows that both sides have, and whose answer is not known."""

    ids: frozenset[str]
    reason: str
    differs: bool
    advice: str | None = None

    @property
    def undecided(self) -> Undecided:
        lead = "the evaluation sets differ: " if self.differs else ""
        return Undecided(lead + self.reason, differs=self.differs, advice=self.advice)


def join(candidate: Examples, baseline: Examples) -> Paired | Undecided:
    """Both sides, ordered by id; or why they cannot be compared, with the coverage and the first ids."""
    for side, whose in ((candidate, "the candidate"), (baseline, "the baseline")):
        if not len(side):
            return Undecided(f"{whose} has no example ({_file(side)})")
    alone = candidate is baseline
    candidate, *unclear = _once(candidate, "the candidate")
    if alone:
        baseline = candidate
    else:
        baseline, *more = _once(baseline, "the baseline")
        unclear += more
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
    new = old if alone else _sorted(candidate) if ours == theirs else _as_rows_of(candidate, old)
    lost = tuple(row for row, name in enumerate(old.ids) if name not in ours) if both != theirs else ()
    different = [] if alone else list(_different(new, old, set(lost)))
    unclear += different
    if not unclear:
        pair = Paired(new, old, lost, len(ours - theirs))
        return pair if new.weights is old.weights else replace(pair, candidate=replace(new, weights=old.weights))
    names = _ids_of(unclear)
    if both <= names:
        return unclear[0].undecided
    return Paired(
        _as_asked(_unanswered(new, _ids_of(different)), old),
        old,
        lost,
        len(ours - theirs),
        frozenset(row for row, name in enumerate(old.ids) if name in names and name in ours),
        tuple(one.reason for one in unclear),
    )


def _ids_of(unclear: Iterable[_Unclear]) -> frozenset[str]:
    return frozenset().union(*(one.ids for one in unclear))


def _once(side: Examples, whose: str) -> tuple[Examples] | tuple[Examples, _Unclear]:
    """The side with each id once; one that appears several times has no answer."""
    row_of = {name: row for row, name in reversed(list(enumerate(side.ids)))}
    if len(row_of) == len(side):
        return (side,)
    twice = [name for name, count in Counter(side.ids).items() if count > 1]
    appear = "appears" if len(twice) == 1 else "appear"
    reason = f"{_count(twice, 'id')} of {whose} {appear} more than once ({_file(side)}): {_some(twice)}"
    unclear = _Unclear(frozenset(twice), reason, differs=False, advice="give each example an id of its own")
    return _unanswered(take(side, sorted(row_of.values())), unclear.ids), unclear


def _different(new: Examples, old: Examples, lost: Collection[int]) -> Iterator[_Unclear]:
    """Examples that one side has with another label, slice, cluster or weight than the other."""
    columns = {"label": (new.labels, old.labels)}
    for name in new.slices.keys() & old.slices.keys():
        columns[f"'{name}'"] = (new.slices[name], old.slices[name])
    columns["cluster"] = (new.clusters, old.clusters)
    for name, (ours, theirs) in columns.items():
        if ours is None or theirs is None:
            continue
        if other := [name for name, a, b in zip(new.ids, ours, theirs, strict=True) if a != b]:
            yield _Unclear(frozenset(other), f"{_count(other, 'id')} with another {name}: {_some(other)}", differs=True)
    if new.weights is None or old.weights is None:
        return
    # The weights of one side may be those of the other, but for a factor.
    ratio_of = {row: a / b for row, (a, b) in enumerate(zip(new.weights, old.weights, strict=True)) if row not in lost}
    ratios = sorted(ratio_of.values())
    usual = ratios[len(ratios) // 2]
    if not math.isclose(ratios[0], ratios[-1], rel_tol=1e-9):
        other = [new.ids[row] for row, one in ratio_of.items() if not math.isclose(one, usual, rel_tol=1e-9)]
        reason = f"{_count(other, 'id')} with another weight: {_some(other)}"
        yield _Unclear(frozenset(other), reason, differs=True, advice=_SAME_WEIGHTS)


def _unanswered(side: Examples, ids: Collection[str]) -> Examples:
    """The side without its answers to these examples."""
    rows = {row for row, name in enumerate(side.ids) if name in ids}

    def unknown(column: Sequence[float]) -> Sequence[float]:
        return [math.inf if row in rows and value == value else value for row, value in enumerate(column)]

    predictions = side.predictions
    if predictions is not None:
        predictions = [None if row in rows else value for row, value in enumerate(predictions)]
    return replace(
        side, predictions=predictions, scores={name: unknown(column) for name, column in side.scores.items()}
    )


def _as_asked(side: Examples, other: Examples) -> Examples:
    """The side with the labels, slices, clusters and weights of another one, as far as it has such columns."""
    return replace(
        side,
        labels=side.labels and (other.labels or side.labels),
        slices={name: other.slices.get(name, column) for name, column in side.slices.items()},
        clusters=side.clusters and (other.clusters or side.clusters),
        weights=other.weights,
    )


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


def without(pair: Paired, rows: Collection[int]) -> Paired:
    """The other rows."""
    kept = [row for row in range(len(pair)) if row not in rows]
    return Paired(take(pair.candidate, kept), take(pair.baseline, kept), (), pair.added)


def completed(pair: Paired, metric: str, rows: Collection[int], *, best: bool) -> Paired | Undecided:
    """The pair with the best change of the metric that unknown answers in these rows could make (`best`), or the worst.

    Bounds of what is not known, by C. F. Manski (1989). A numeric column ends where the numbers of both sides end; at 0
    and 1 where all are within.
    """
    name = "score" if metric in ("auc", "roc_auc") else metric
    new, old = pair.candidate.scores.get(name), pair.baseline.scores.get(name)
    labels = pair.baseline.labels
    if name in pair.candidate.scores or name in pair.baseline.scores:
        finite = [value for value in (*(new or ()), *(old or ())) if is_measured(value)]
        within = finite and min(finite) >= 0 and max(finite) <= 1
        ends = (0.0, 1.0) if within else (min(finite), max(finite)) if finite else (math.nan, math.nan)
        if metric != name:
            ends = (ends[0] - 1, ends[1] + 1)

        def filled(column: Sequence[float], high: bool) -> list[float]:
            return [
                ends[high if metric == name or not labels else (labels[row] in ("1", "true")) == high]
                if row in rows and not is_measured(value)
                else value
                for row, value in enumerate(column)
            ]

        return _with(
            pair,
            scores=[
                side.scores if column is None else {**side.scores, name: filled(column, high)}
                for side, column, high in ((pair.candidate, new, best), (pair.baseline, old, not best))
            ],
        )
    if labels is None:
        return Undecided("answers of the candidate are not known, and there is no label column")
    stem = metric.rpartition("_")[0] if metric.endswith(("_macro", "_weighted")) else metric
    known = stem in ("accuracy", "balanced_accuracy", "f1", "precision", "recall")
    if not known or pair.candidate.predictions is None or pair.baseline.predictions is None:
        return Undecided(
            f"the answers to {counted(len(rows), 'example')} are not known on both sides, and how bad '{metric}' could "
            f"be with them is not known: {_some([pair.baseline.ids[row] for row in sorted(rows)])}",
            differs=True,
        )
    classes = [name for name, _ in Counter(labels).most_common(2)]

    def answered(predictions: Sequence[str | None], right: bool) -> list[str | None]:
        return [
            (labels[row] if right else next((name for name in classes if name != labels[row]), ""))
            if row in rows and value is None
            else value
            for row, value in enumerate(predictions)
        ]

    return _with(
        pair,
        predictions=[answered(pair.candidate.predictions, best), answered(pair.baseline.predictions, not best)],
    )


def _with(pair: Paired, **columns: Sequence[Any]) -> Paired:
    """The pair with these columns of the candidate, and of the baseline."""
    new, old = ({name: sides[at] for name, sides in columns.items()} for at in (0, 1))
    return replace(pair, candidate=replace(pair.candidate, **new), baseline=replace(pair.baseline, **old), lost=())


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
