"""Columns that keep apart the rows of a step: a row for the training data and one for the validation. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from ciplug.capture.tables.table import Row


def labels_of(
    rows: Sequence[Row],
    step: str,
    names: Sequence[str],
    parts: Collection[str],
    known: Collection[str],
    is_label: Callable[[str, Any], bool],
) -> list[str]:
    """Return the columns whose values stand before the names of metrics.

    None where no metric has a step twice, and none is of several parts of the data.

    Args:
        parts: columns in lower case that say which part of the data a row is of.
        known: columns in lower case whose meaning is that of a label; another one must keep all rows apart.
        is_label: whether a value of a column may be a part of a name.
    """
    taken = [name for name in names if name.lower() in parts and _is_of_parts(rows, step, name)][:1]
    if len({str(row.values.get(step)) for row in rows}) == len(rows):
        return taken
    left = _collisions(rows, step, taken)
    for name in sorted(names, key=lambda name: name.lower() not in known):
        if not left:
            break
        values = [row.values.get(name) for row in rows]
        if (
            name == step
            or name in taken
            or not all(is_label(name, value) for value in values)
            or len(set(map(str, values))) < 2
        ):
            continue
        now = _collisions(rows, step, [*taken, name])
        if now < left if name.lower() in known else now == 0:
            taken.append(name)
            left = now
    return taken if left == 0 or all(name.lower() in known for name in taken) else []


def _is_of_parts(rows: Sequence[Row], step: str, column: str) -> bool:
    """Whether a column has texts in all rows, and at least half of the metrics have values with several of them."""
    texts: dict[str, set[str]] = {}
    for row in rows:
        text = row.values.get(column)
        if not isinstance(text, str) or not text:
            return False
        for name, value in row.values.items():
            if name not in (step, column) and value is not None and not isinstance(value, str):
                texts.setdefault(name, set()).add(text)
    shared = sum(len(found) > 1 for found in texts.values())
    return shared > 0 and 2 * shared >= len(texts)


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
