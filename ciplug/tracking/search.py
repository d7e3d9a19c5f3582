"""MLflow's language of search, over columns: `metrics.accuracy > 0.9 AND params.depth = '6'`. Pure.

A condition holds for a run that has the value and for which the comparison is true: a run without the value
satisfies none, not even `!=`, and neither does NaN. Conditions are joined by AND, as in MLflow. Beyond MLflow,
parameters are compared as numbers where a number is given, and times as dates.
"""

from __future__ import annotations

import heapq
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple

from ciplug.errors import UsageError, nearest
from ciplug.records import moment
from ciplug.records.columns import ATTRIBUTES

Kind = Literal["metric", "param", "tag", "attribute"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("metrics", "metric"), "metric"),
    **dict.fromkeys(("params", "param", "parameters", "parameter"), "param"),
    **dict.fromkeys(("tags", "tag"), "tag"),
    **dict.fromkeys(("attributes", "attribute", "attr", "run"), "attribute"),
}
_ATTRIBUTES = {
    "run_id": "id",
    "run_name": "name",
    "start_time": "started",
    "end_time": "ended",
    "user_id": "actor",
    **{name: name for name in ATTRIBUTES},
}
"""MLflow's names, and those of the record → the record's."""
_STATUS = ("finished", "failed", "killed", "running", "scheduled")
"""Ours and MLflow's: an unknown word is a slip, not an empty answer."""

_NUMERIC: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXTUAL = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
_QUOTES = "\"'`"


class Key(NamedTuple):
    """What a run may have: metrics.accuracy, params.depth, tags.team, attributes.commit."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        plain = re.fullmatch(r"\w([./@-]?\w)*", self.name)
        return f"{self.kind}s.{self.name if plain else self.name.join(_quotes_for(self.name))}"


STARTED, ENDED, RUN_ID, STATUS = (Key("attribute", name) for name in ("started", "ended", "id", "status"))


class Comparison(NamedTuple):
    """One condition."""

    key: Key
    comparator: str
    value: float | str | tuple[str, ...]


class Order(NamedTuple):
    key: Key
    descending: bool = False


class Column(NamedTuple):
    """The values of a key, and the rows that they stand in, which rise."""

    rows: Sequence[int]
    values: Sequence[Any]


Columns = Callable[[Key], Column]


class Selection(NamedTuple):
    rows: Sequence[int]
    undefined: int
    """Runs that are left out only because a number that decides is NaN."""


# Reading expressions


def parse(expression: str) -> tuple[Comparison, ...]:
    """The conditions of an expression. Raises UsageError naming the place, and what could stand there."""
    reader = _Reader(expression)
    found = [reader.comparison()]
    while reader.more():
        reader.conjunction()
        found.append(reader.comparison())
    return tuple(found)


def parse_order(text: str) -> Order:
    """`metrics.accuracy DESC`: ascending where it is not said. Raises UsageError."""
    reader = _Reader(text)
    key = reader.key()
    word = reader.word("ASC", "DESC") if reader.more() else "ASC"
    reader.end()
    return Order(key, word == "DESC")


def parse_keys(text: str) -> tuple[Key, ...]:
    """`metrics.accuracy, params.depth`. Raises UsageError."""
    reader = _Reader(text)
    found = [reader.key()]
    while reader.more():
        reader.word(",")
        found.append(reader.key())
    return tuple(found)


class _Token(NamedTuple):
    sort: str
    """Last part of the lexer's type: Comparison, Single, Symbol, Integer, Float, …"""
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class _Reader:
    """Reads tokens from first to last."""

    def __init__(self, source: str) -> None:
        from sqlparse.lexer import tokenize

        self._source = source
        self._next = 0
        self._tokens: list[_Token] = []
        start = 0
        for sort, text in tokenize(source):  # type: ignore[no-untyped-call]
            token = _Token(str(sort).rpartition(".")[2], text, start)
            start = token.end
            if "Comment" in str(sort):
                raise self._error("a comment has no place here", token)
            if token.sort == "Error" and text in _QUOTES:
                raise self._error("this quote is not closed", token)
            if not text.isspace():
                self._tokens.append(token)

    def more(self) -> bool:
        return self._next < len(self._tokens)

    def end(self) -> None:
        if self.more():
            raise self._error("nothing more is expected", self._tokens[self._next])

    def _take(self, expected: str) -> _Token:
        if not self.more():
            raise self._error(f"{expected} is expected", _Token("", "", len(self._source)))
        self._next += 1
        return self._tokens[self._next - 1]

    def _error(self, words: str, token: _Token, hint: str | None = None) -> UsageError:
        text = token.text[:40] if token.sort in ("Single", "Symbol") else f"'{token.text[:40]}'"
        place = f"at character {token.start + 1}, {text}" if token.text else "at its end"
        return UsageError(f"in the expression {self._source[:200]!r}, {place}: {words}", hint=hint)

    def _with_what_touches(self, first: _Token) -> _Token:
        """A token together with those that follow without a space, up to a comparison, a comma or a bracket."""
        last = first
        while self.more():
            token = self._tokens[self._next]
            if token.start != last.end or token.sort == "Comparison" or token.text in "(),":
                break
            self._next, last = self._next + 1, token
        return first._replace(text=self._source[first.start : last.end])

    def word(self, *words: str) -> str:
        token = self._take(" or ".join(words))
        if token.text.upper() not in words:
            raise self._error(f"{' or '.join(words)} is expected", token)
        return token.text.upper()

    def conjunction(self) -> None:
        token = self._take("AND")
        if token.text.upper() != "AND":
            raise self._error("AND is expected", token, "conditions are joined by AND only, as in MLflow")

    def key(self) -> Key:
        first = self._take("a key, like metrics.accuracy,")
        # A name may have /, - or @ in it: there is no arithmetic.
        whole = self._with_what_touches(first)
        raw = whole.text
        prefix, dot, name = raw.partition(".")
        kind = _KINDS.get(prefix.strip("`").lower()) if dot else "attribute"
        if first.sort in ("Single", "Comparison", "Integer", "Float") or kind is None:
            known = ["metrics", "params", "tags", "attributes"]
            raise self._error("a key is expected, like metrics.accuracy", whole, nearest(prefix, known))
        name = _unquoted(name if dot else raw)
        if not name:
            raise self._error("a name is expected after the point", whole)
        if kind != "attribute":
            return Key(kind, name)
        if name.lower() not in _ATTRIBUTES:
            hint = nearest(name, list(_ATTRIBUTES))
            if not dot and not hint.startswith("did you mean"):
                hint = f"write metrics.{name}, params.{name} or tags.{name}"
            raise self._error(f"'{name}' is no attribute of a run", whole, hint)
        return Key(kind, _ATTRIBUTES[name.lower()])

    def comparison(self) -> Comparison:
        key = self.key()
        comparator = self._comparator(key)
        if comparator.text in ("IN", "NOT IN"):
            return Comparison(key, comparator.text, self._list(key))
        value, token = self._value(key)
        if key in (STARTED, ENDED):
            return Comparison(key, comparator.text, self._moment(value, token))
        if key.kind == "metric" and isinstance(value, str):
            raise self._error(f"{key} is a number: compare it with one, without quotes", token)
        if key.kind in ("tag", "attribute") and not isinstance(value, str):
            raise self._error(f"{key} is text: put the value in quotes", token)
        # A parameter is either.
        known = list(_TEXTUAL if isinstance(value, str) else _NUMERIC)
        if comparator.text not in known:
            what = "text, as in quotes," if isinstance(value, str) else "a number"
            raise self._error(f"{what} is not compared by it", comparator, f"one of: {', '.join(known)}")
        if key == STATUS and isinstance(value, str) and "LIKE" not in comparator.text:
            value = self._status(value, token)
        return Comparison(key, comparator.text, value)

    def _comparator(self, key: Key) -> _Token:
        token = self._take("a comparator, like =,")
        text = " ".join(token.text.upper().split())
        if text == "NOT" and self.more() and self._tokens[self._next].text.upper() == "IN":
            self._next, text = self._next + 1, "NOT IN"
        numeric = key.kind == "metric" or key in (STARTED, ENDED)
        known = list(_NUMERIC) if numeric or key.kind == "param" else []
        known += [] if numeric else [c for c in _TEXTUAL if c not in known]
        if text not in known:
            meant = {"==": "=", "<>": "!=", "~": "LIKE"}.get(text)
            hint = f"did you mean '{meant}'?" if meant in known else nearest(text, known)
            raise self._error(f"{key} is not compared by '{text}'", token, hint)
        return token._replace(text=text)

    def _value(self, key: Key) -> tuple[float | str, _Token]:
        token = self._take("a value")
        if token.sort not in ("Single", "Symbol"):
            token = self._with_what_touches(token)  # the lexer makes two of 1e+16
        if _NUMBER.fullmatch(token.text):
            try:
                return int(token.text), token
            except ValueError:  # no whole number, or one of more digits than Python takes
                return float(token.text), token
        if token.sort not in ("Single", "Symbol"):
            wanted = {"metric": "a number", "param": "a value in quotes, or a number,"}
            raise self._error(f"{wanted.get(key.kind, 'a value in quotes')} is expected", token)
        return _unquoted(token.text), token

    def _list(self, key: Key) -> tuple[str, ...]:
        self.word("(")
        values = []
        while True:
            token = self._take("a value in quotes")
            if token.sort not in ("Single", "Symbol"):
                raise self._error("a value in quotes is expected", token)
            value = _unquoted(token.text)
            values.append(self._status(value, token) if key == STATUS else value)
            if self.word(",", ")") == ")":
                return tuple(values)

    def _status(self, value: str, token: _Token) -> str:
        if value.lower() not in _STATUS:
            raise self._error("there is no such status", token, nearest(value.lower(), _STATUS))
        return value.lower()

    def _moment(self, value: float | str, token: _Token) -> str:
        """A time as the columns have it, from a date in text or from MLflow's milliseconds since 1970, in UTC."""
        try:
            if isinstance(value, str):
                when = moment.parse(value)
                when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
            else:
                when = datetime.fromtimestamp(value / 1000, timezone.utc)
            return _comparable_time(when.astimezone(timezone.utc).replace(tzinfo=None).isoformat())
        except (ValueError, OverflowError, OSError):
            raise self._error(
                "a time is expected", token, "like '2026-11-23', '2026-11-23T19:24:00Z', or milliseconds since 1970"
            ) from None


def _quotes_for(name: str) -> str:
    return '""' if '"' not in name else "``"


def _unquoted(text: str) -> str:
    quote = text[:1]
    if quote and quote in _QUOTES and len(text) > 1 and text.endswith(quote):
        return text[1:-1].replace(quote * 2, quote)
    return text


# Answering


def select(where: Iterable[Comparison], count: int, columns: Columns) -> Selection:
    """The rows among `count` for which every condition holds, rising."""
    matched: set[int] | None = None
    possible: set[int] | None = None
    for comparison in where:
        rows, values = _operands(comparison, columns(comparison.key))
        holds = _test(comparison)
        hits = {row for row, value in zip(rows, values, strict=True) if holds(value)}
        maybe = hits
        if not isinstance(comparison.value, (str, tuple)):
            undefined = {row for row, value in zip(rows, values, strict=True) if value != value}
            maybe = hits | undefined if undefined else hits
        matched = hits if matched is None else matched & hits
        possible = maybe if possible is None else possible & maybe
    if matched is None or possible is None:
        return Selection(range(count), 0)
    return Selection(sorted(matched), len(possible) - len(matched))


def _operands(comparison: Comparison, column: Column) -> Column:
    """The values as what they are compared as."""
    if comparison.key.kind == "param" and not isinstance(comparison.value, (str, tuple)):
        return _numbers(column)
    if comparison.key in (STARTED, ENDED):
        return Column(column.rows, [_comparable_time(value) for value in column.values])
    return column


def _numbers(column: Column) -> Column:
    """Those of the values that are numbers, or text that says one."""
    found = [
        (row, number)
        for row, value in zip(column.rows, column.values, strict=True)
        if (number := _number(value)) is not None
    ]
    return Column([row for row, _ in found], [number for _, number in found])


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)):
        return None if isinstance(value, bool) else value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _comparable_time(value: str) -> str:
    """ISO 8601 in UTC to the millisecond, always as long, so that its order is that of the text."""
    return (value.rstrip("Z") + ".000")[:23]


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
        pattern = _like(str(wanted), re.IGNORECASE if comparator == "ILIKE" else 0)
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


def _like(pattern: str, flags: int) -> re.Pattern[str]:
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
    """All rows that may be among the first `limit`, so that not all need be sorted."""
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
