"""Conditions and orders over columns: which runs match, and in which order. Pure.

A condition holds for a run that has the value and for which the comparison is true: a run without the value satisfies
none, not even `!=`, and neither does NaN.
"""

from __future__ import annotations

import heapq
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ciplug.tracking.query import (
    ENDED,
    RUN_ID,
    STARTED,
    AnyOf,
    Column,
    Columns,
    Comparison,
    Condition,
    MatchedRows,
    Order,
    comparable_time,
)

_NUMERIC: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def select(where: Iterable[Condition], count: int, columns: Columns) -> MatchedRows:
    """The rows among `count` for which every condition holds, rising."""
    found = _all_of(where, columns)
    if found is None:
        return MatchedRows(range(count), 0)
    return MatchedRows(sorted(found.matched), len(found.possible) - len(found.matched))


class _Hits(NamedTuple):
    matched: set[int]
    possible: set[int]
    """These, and the rows for which the answer would be another one if a NaN were a number."""


def _all_of(where: Iterable[Condition], columns: Columns) -> _Hits | None:
    """The rows for which every condition holds; None where there is no condition."""
    found: _Hits | None = None
    for condition in where:
        hits = _hits(condition, columns) if isinstance(condition, Comparison) else _any_of(condition, columns)
        found = _Hits(found.matched & hits.matched, found.possible & hits.possible) if found else hits
    return found


def _any_of(condition: AnyOf, columns: Columns) -> _Hits:
    found = _Hits(set(), set())
    for alternative in condition.alternatives:
        if hits := _all_of(alternative, columns):
            found = _Hits(found.matched | hits.matched, found.possible | hits.possible)
    return found


def _hits(comparison: Comparison, columns: Columns) -> _Hits:
    rows, values = _operands(comparison, columns(comparison.key))
    holds = _test(comparison)
    hits = {row for row, value in zip(rows, values, strict=True) if holds(value)}
    if isinstance(comparison.value, (str, tuple)):
        return _Hits(hits, hits)
    undefined = {row for row, value in zip(rows, values, strict=True) if value != value}
    return _Hits(hits, hits | undefined if undefined else hits)


def _operands(comparison: Comparison, column: Column) -> Column:
    """The values as what they are compared as."""
    if comparison.key.kind == "param" and not isinstance(comparison.value, (str, tuple)):
        return _numbers(column)
    if comparison.key in (STARTED, ENDED):
        return Column(column.rows, [comparable_time(value) for value in column.values])
    return column


def _numbers(column: Column) -> Column:
    """Return the values that are numbers, or text in the form of a number."""
    numbers = [
        (row, number)
        for row, value in zip(column.rows, column.values, strict=True)
        if (number := _number(value)) is not None
    ]
    return Column([row for row, _ in numbers], [number for _, number in numbers])


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)):
        return None if isinstance(value, bool) else value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _test(comparison: Comparison) -> Callable[[Any], bool]:
    """Whether a value passes. NaN is told apart by the caller, except that it passes nothing."""
    comparator, wanted = comparison.comparator, comparison.value
    if not isinstance(wanted, (str, tuple)) or comparison.key in (STARTED, ENDED):
        compare = _NUMERIC[comparator]
        return lambda value: compare(value, wanted) and value == value
    if isinstance(wanted, tuple):
        among = frozenset(wanted)
        passes: Callable[[str], bool] = lambda text: text in among  # noqa: E731
    elif comparator in ("LIKE", "ILIKE"):
        pattern = like(str(wanted), re.IGNORECASE if comparator == "ILIKE" else 0)
        passes = lambda text: pattern.fullmatch(text) is not None  # noqa: E731
    else:
        passes = lambda text: text == wanted  # noqa: E731
    negated = comparator in ("!=", "NOT IN")
    if comparison.key.kind != "param":
        return (lambda text: not passes(text)) if negated else passes

    def test(value: Any) -> bool:
        # As Python and as JSON spell it.
        spelt = (str(value), str(value).lower()) if isinstance(value, bool) else (str(value),)
        return any(map(passes, spelt)) != negated

    return test


def like(pattern: str, flags: int) -> re.Pattern[str]:
    """SQL's pattern: % is any text, _ any character."""
    first, *rest = ("".join("." if c == "_" else re.escape(c) for c in part) for part in re.split("%+", pattern))
    if rest:
        *middle, last = rest
        # A part is taken where it first fits, and not tried further on: no value takes more than linear time.
        first += "".join(f"(?=(?P<p{n}>.*?{part}))(?P=p{n})" for n, part in enumerate(middle)) + ".*" + last
    return re.compile(first, re.DOTALL | flags)


class Ordered(NamedTuple):
    rows: list[int]
    undefined: int
    """Rows whose first key is NaN: they come after all numbers, in both directions."""
    absent: int
    """Rows without the first key: they come last."""


def arrange(rows: Sequence[int], by: Sequence[Order], columns: Columns, limit: int | None = None) -> Ordered:
    """The first `limit` rows in order; of equals, the run that started last comes first."""
    undefined = absent = 0
    if by:
        get = _getter(by[0], columns)
        values = [get(row) for row in rows]
        undefined = sum(value != value for value in values)
        absent = sum(value is None for value in values)
    keys = [*by, Order(STARTED, True), Order(RUN_ID, True)]
    arranged = _near_the_top(rows, keys[0], columns, limit)
    for order in reversed(keys):
        arranged = _sorted(arranged, order, columns)
    return Ordered(arranged[:limit], undefined, absent)


def _near_the_top(rows: Sequence[int], order: Order, columns: Columns, limit: int | None) -> list[int]:
    """Return all rows that may be among the first `limit`, so that not all need be sorted."""
    if not limit or len(rows) <= limit or order.key.kind == "param":  # parameters are of several types
        return list(rows)
    get = _getter(order, columns)
    valued = [(row, value) for row in rows if (value := get(row)) is not None and value == value]
    if len(valued) < limit:
        return list(rows)
    pick = heapq.nlargest if order.descending else heapq.nsmallest
    edge = pick(limit, [value for _, value in valued])[-1]
    return [row for row, value in valued if (value >= edge if order.descending else value <= edge)]


def _getter(order: Order, columns: Columns) -> Callable[[int], Any]:
    """Row → value, None where there is none."""
    rows, values = columns(order.key)
    if rows == range(len(values)):
        return lambda row: values[row] if row < len(values) else None
    return dict(zip(rows, values, strict=True)).get


def _sorted(rows: Sequence[int], order: Order, columns: Columns) -> list[int]:
    get = _getter(order, columns)
    figures: list[tuple[float, int]] = []
    texts: list[tuple[str, int]] = []
    undefined: list[int] = []
    absent: list[int] = []
    for row in rows:
        value = get(row)
        number = _number(value) if order.key.kind in ("metric", "param") else None
        if value is None:
            absent.append(row)
        elif number is None:
            texts.append((str(value), row))
        elif number != number:
            undefined.append(row)
        else:
            figures.append((number, row))
    figures.sort(key=operator.itemgetter(0), reverse=order.descending)
    texts.sort(key=operator.itemgetter(0), reverse=order.descending)
    first, second = (texts, figures) if order.descending else (figures, texts)
    return [*(row for _, row in (*first, *second)), *undefined, *absent]
