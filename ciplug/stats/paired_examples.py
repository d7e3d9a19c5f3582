"""Two evaluations of the same examples, joined by id. Pure.

If they are not the same examples, the reason is named, and no part of them is compared silently: duplicates, ids of one
side only, another label or slice under the same id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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

    def __len__(self) -> int:
        return len(self.candidate)


def join(candidate: Examples, baseline: Examples) -> Paired | Undecided:
    """Both sides, ordered by id; or why they cannot be compared, with the coverage and the first ids."""
    for side, whose in ((candidate, "the candidate"), (baseline, "the baseline")):
        if not len(side):
            return Undecided(f"{whose} has no example ({side.source})")
        if twice := [name for name, count in Counter(side.ids).items() if count > 1]:
            return Undecided(f"{_count(twice, 'id')} of {whose} appear more than once ({side.source}): {_some(twice)}")
    ours, theirs = set(candidate.ids), set(baseline.ids)
    if ours != theirs:
        missing, extra = sorted(theirs - ours), sorted(ours - theirs)
        parts = [f"the candidate lacks {_count(missing, 'id')} of the baseline: {_some(missing)}"] if missing else []
        parts += [f"it has {_count(extra, 'id')} that the baseline lacks: {_some(extra)}"] if extra else []
        return Undecided(
            f"the evaluation sets differ: {len(ours & theirs):,} of {len(ours | theirs):,} ids are in both; "
            + "; ".join(parts),
            differs=True,
        )
    pair = Paired(_sorted(candidate), _sorted(baseline))
    columns = {"label": (pair.candidate.labels, pair.baseline.labels)}
    for name in pair.candidate.slices.keys() & pair.baseline.slices.keys():
        columns[f"'{name}'"] = (pair.candidate.slices[name], pair.baseline.slices[name])
    columns["cluster"] = (pair.candidate.clusters, pair.baseline.clusters)
    for name, (new, old) in columns.items():
        if new is None or old is None:
            continue
        if other := [name for name, a, b in zip(pair.candidate.ids, new, old, strict=True) if a != b]:
            reason = f"the evaluation sets differ: {_count(other, 'id')} with another {name}: {_some(other)}"
            return Undecided(reason, differs=True)
    return pair


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
    )


def _count(names: Sequence[object], noun: str) -> str:
    return counted(len(names), noun)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:3])
    return f"{shown}, …" if len(names) > 3 else shown
