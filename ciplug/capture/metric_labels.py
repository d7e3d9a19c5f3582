"""Columns that keep apart the rows of a step: a row for the training data and one for the validation. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from ciplug.capture.tables.table import Row


def labels_of(
    rows: Sequence[Row],
    step: str,
    names: Sequence[str],
    known: Collection[str],
    is_label: Callable[[str, Any], bool],
) -> list[str]:
    """Return the columns whose values stand before the names of metrics; none where no metric has a step twice.

    Args:
        known: columns in lower case whose meaning is that of a label; another one must keep all rows apart.
        is_label: whether a value of a column may be a part of a name.
    """
    if len({str(row.values.get(step)) for row in rows}) == len(rows):
        return []
    taken: list[str] = []
    left = _collisions(rows, step, taken)
    for name in sorted(names, key=lambda name: name.lower() not in known):
        if not left:
            break
        values = [row.values.get(name) for row in rows]
        if name == step or not all(is_label(name, value) for value in values) or len(set(map(str, values))) < 2:
            continue
        now = _collisions(rows, step, [*taken, name])
        if now < left if name.lower() in known else now == 0:
            taken.append(name)
            left = now
    return taken if left == 0 or all(name.lower() in known for name in taken) else []


def _collisions(rows: Sequence[Row], step: str, labels: Collection[str]) -> int:
    """How many values have the step and the labels of another value of their name."""
    seen = set()
    count = 0
    for row in rows:
        at = tuple(str(row.values.get(name)) for name in (step, *labels))
        for name, value in row.values.items():
            if value is None or name == step or name in labels or isinstance(value, str):
                continue
            count += (at, name) in seen
            seen.add((at, name))
    return count
