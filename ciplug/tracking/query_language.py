"""MLflow's language of search, read into conditions: `metrics.accuracy > 0.9 AND params.depth = '6'`. Pure.

Conditions are joined by AND, as in MLflow. Beyond MLflow, they are also joined by OR, and parameters are compared as
numbers where a number is given, and times as dates.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

from ciplug.errors import UsageError, closest, nearest
from ciplug.records import moment
from ciplug.records.columns import ATTRIBUTES, DATASETS, FLAGS
from ciplug.records.run import metric_name
from ciplug.tracking.query import (
    ENDED,
    HOST,
    KIND,
    LIFECYCLE,
    SEED,
    STARTED,
    STATUS,
    AnyOf,
    Comparison,
    Condition,
    Key,
    Kind,
    Order,
    comparable_time,
)
from ciplug.tracking.query_tokens import NotUnderstood, Token, tokens, unquoted

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("metrics", "metric"), "metric"),
    **dict.fromkeys(("params", "param", "parameters", "parameter"), "param"),
    **dict.fromkeys(("tags", "tag"), "tag"),
    **dict.fromkeys(("attributes", "attribute", "attr", "run"), "attribute"),
    **dict.fromkeys(("datasets", "dataset"), "dataset"),
}
_ATTRIBUTES = {
    "run_id": "id",
    "run_name": "name",
    "start_time": "started",
    "end_time": "ended",
    "user_id": "actor",
    "lifecycle_stage": "lifecycle",
    "lifecycle": "lifecycle",
    **{name: name for name in ATTRIBUTES},
}
"""MLflow's names, and those of the record → the record's."""
_WORDS = {
    STATUS: ("finished", "failed", "killed", "unknown", "running", "scheduled"),
    LIFECYCLE: ("active", "withdrawn", "deleted"),
    KIND: ("training", "monitor"),
    **{Key("attribute", name): ("true", "false") for name in FLAGS},
}
"""Values of these attributes, in MLflow's words: any other word is a mistake, not an empty answer."""

_HOSTS = {"github": "github_actions", "gitlab": "gitlab_ci"}
"""Short names of CI hosts, as tables show them."""
_NUMERIC = ("=", "!=", "<", "<=", ">", ">=")
_TEXTUAL = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)


_DEPTH_MOST = 20
"""Parentheses within one another."""


def parse(expression: str) -> tuple[Condition, ...]:
    """The conditions of an expression, all of which must hold. AND binds more closely than OR, as in SQL.

    Raises UsageError naming the place, and what could stand there.
    """
    reader = _Reader(expression)
    conditions = reader.alternatives()
    reader.end("AND or OR is expected", "conditions are joined by AND or OR")
    return conditions


def parse_order(text: str) -> Order:
    """Parse `metrics.accuracy DESC`; the default is ascending. Raises UsageError."""
    reader = _Reader(text)
    key = reader.single()
    word = reader.word("ASC", "DESC") if reader.more() else "ASC"
    reader.end()
    return Order(key, word == "DESC")


def parse_keys(text: str) -> tuple[Key, ...]:
    """`metrics.accuracy, params.depth`. Raises UsageError."""
    reader = _Reader(text)
    keys = [reader.single()]
    while reader.more():
        reader.word(",")
        keys.append(reader.single())
    return tuple(keys)


class _Reader:
    """Reads tokens from first to last."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._next = 0
        try:
            self._tokens = list(tokens(source))
        except NotUnderstood as problem:
            raise self._error(problem.why, problem.token) from None

    def more(self) -> bool:
        return self._next < len(self._tokens)

    def end(self, words: str = "nothing more is expected", hint: str | None = None) -> None:
        if self.more():
            raise self._error(words, self._tokens[self._next], hint)

    def _take(self, expected: str) -> Token:
        if not self.more():
            raise self._error(f"{expected} is expected", Token("sign", "", len(self._source)))
        self._next += 1
        return self._tokens[self._next - 1]

    def _error(self, words: str, token: Token, hint: str | None = None) -> UsageError:
        text = token.text[:40] if token.sort == "text" else f"'{token.text[:40]}'"
        place = f"at character {token.start + 1}, {text}" if token.text else "at its end"
        return UsageError(f"in the expression {self._source[:200]!r}, {place}: {words}", hint=hint)

    def _with_what_touches(self, first: Token) -> Token:
        """A token together with those that follow without a space, up to a comparison, a comma or a bracket."""
        last = first
        while self.more():
            token = self._tokens[self._next]
            if token.start != last.end or token.sort == "comparison" or token.text in "(),":
                break
            self._next, last = self._next + 1, token
        return first._replace(text=self._source[first.start : last.end])

    def word(self, *words: str) -> str:
        token = self._take(" or ".join(words))
        if token.text.upper() not in words:
            raise self._error(f"{' or '.join(words)} is expected", token)
        return token.text.upper()

    def alternatives(self, depth: int = 0) -> tuple[Condition, ...]:
        """Conditions that are joined by OR, of which each may be several that are joined by AND."""
        found = [self._together(depth)]
        while self._takes("OR"):
            found.append(self._together(depth))
        return found[0] if len(found) == 1 else (AnyOf(tuple(found)),)

    def _together(self, depth: int) -> tuple[Condition, ...]:
        found = [*self._condition(depth)]
        while self._takes("AND"):
            found += self._condition(depth)
        return tuple(found)

    def _condition(self, depth: int) -> tuple[Condition, ...]:
        if not self.more() or self._tokens[self._next].text != "(":
            return (self.comparison(),)
        if depth == _DEPTH_MOST:
            raise self._error("too many parentheses", self._tokens[self._next])
        self._next += 1
        inner = self.alternatives(depth + 1)
        token = self._take("AND, OR or )")
        if token.text != ")":
            raise self._error("AND, OR or ) is expected", token)
        return inner

    def _takes(self, word: str) -> bool:
        """Whether this word is next; it is read then."""
        found = self.more() and self._tokens[self._next].text.upper() == word
        self._next += found
        return found

    def key(self) -> Key:
        first = self._take("a key, like metrics.accuracy,")
        # A name may have /, - or @ in it: there is no arithmetic.
        whole = self._with_what_touches(first)
        raw = whole.text
        prefix, dot, name = raw.partition(".")
        kind = _KINDS.get(prefix.strip("`").lower()) if dot else "attribute"
        if first.sort in ("text", "comparison", "number") or kind is None:
            kinds = ["metrics", "params", "tags", "attributes", "datasets"]
            raise self._error("a key is expected, like metrics.accuracy", whole, nearest(prefix, kinds))
        name = unquoted(name if dot else raw)
        if not name:
            raise self._error("a name is expected after the point", whole)
        if kind == "dataset" and name not in DATASETS:
            raise self._error(f"unknown field '{name}' of a dataset", whole, nearest(name, list(DATASETS)))
        if kind != "attribute":
            return Key(kind, metric_name(name) if kind == "metric" else name)
        if name.lower() not in _ATTRIBUTES:
            hint = nearest(name, list(_ATTRIBUTES))
            if not dot and closest(name, list(_ATTRIBUTES)) is None:
                hint = f"write metrics.{name}, params.{name} or tags.{name}"
            raise self._error(f"unknown attribute '{name}'", whole, hint)
        return Key(kind, _ATTRIBUTES[name.lower()])

    def single(self) -> Key:
        """A key of which a run has one value."""
        at = self._next
        key = self.key()
        if key.kind == "dataset":
            raise self._error("a run may have several datasets: they are for --where only", self._tokens[at])
        return key

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
        if key.kind in ("tag", "attribute", "dataset") and not isinstance(value, str):
            raise self._error(f"{key} is text: put the value in quotes", token)
        # A parameter is either.
        comparators = list(_TEXTUAL if isinstance(value, str) else _NUMERIC)
        if comparator.text not in comparators:
            what = "text, as in quotes," if isinstance(value, str) else "a number"
            raise self._error(f"{what} is not compared by it", comparator, f"one of: {', '.join(comparators)}")
        if key in _WORDS and isinstance(value, str) and "LIKE" not in comparator.text:
            value = self._one_of(_WORDS[key], value, token)
        value = _HOSTS.get(value, value) if key == HOST and isinstance(value, str) else value
        return Comparison(key, comparator.text, value)

    def _comparator(self, key: Key) -> Token:
        token = self._take("a comparator, like =,")
        text = " ".join(token.text.upper().split())
        if text == "NOT" and self.more() and self._tokens[self._next].text.upper() == "IN":
            self._next, text = self._next + 1, "NOT IN"
        numeric = key.kind == "metric" or key in (STARTED, ENDED)
        comparators = list(_NUMERIC) if numeric or key.kind == "param" else []
        comparators += [] if numeric else [c for c in _TEXTUAL if c not in comparators]
        if text not in comparators:
            meant = {"==": "=", "<>": "!=", "~": "LIKE"}.get(text)
            hint = f"did you mean '{meant}'?" if meant in comparators else nearest(text, comparators)
            raise self._error(f"{key} is not compared by '{text}'", token, hint)
        return token._replace(text=text)

    def _value(self, key: Key) -> tuple[float | str, Token]:
        token = self._take("a value")
        if token.sort != "text":
            token = self._with_what_touches(token)  # 1e+16 is three tokens
        if _needs_no_quotes(key, token):
            return token.text, token
        if _NUMBER.fullmatch(token.text):
            try:
                return int(token.text), token
            except ValueError:  # no whole number, or one of more digits than Python takes
                return float(token.text), token
        if token.sort != "text":
            wanted = {"metric": "a number", "param": "a value in quotes, or a number,"}
            raise self._error(f"{wanted.get(key.kind, 'a value in quotes')} is expected", token)
        return unquoted(token.text), token

    def _list(self, key: Key) -> tuple[str, ...]:
        self.word("(")
        values = []
        while True:
            token = self._take("a value in quotes")
            if token.sort != "text" and not _needs_no_quotes(key, token):
                raise self._error("a value in quotes is expected", token)
            value = unquoted(token.text) if token.sort == "text" else token.text
            value = self._one_of(_WORDS[key], value, token) if key in _WORDS else value
            values.append(_HOSTS.get(value, value) if key == HOST else value)
            if self.word(",", ")") == ")":
                return tuple(values)

    def _one_of(self, words: tuple[str, ...], value: str, token: Token) -> str:
        if value.lower() not in words:
            raise self._error("unknown value", token, nearest(value.lower(), words))
        return value.lower()

    def _moment(self, value: float | str, token: Token) -> str:
        """A time as the columns have it, from a date in text or from MLflow's milliseconds since 1970, in UTC."""
        try:
            if isinstance(value, str):
                when = moment.parse(value)
                when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
            else:
                when = datetime.fromtimestamp(value / 1000, timezone.utc)
            return comparable_time(when.astimezone(timezone.utc).replace(tzinfo=None).isoformat())
        except (ValueError, OverflowError, OSError):
            raise self._error(
                "a time is expected", token, "like '2026-11-23', '2026-11-23T19:24:00Z', or milliseconds since 1970"
            ) from None


def _needs_no_quotes(key: Key, token: Token) -> bool:
    """Whether a word is the value of an attribute that is true or false, or a whole number that is a seed."""
    if key == SEED:
        return re.fullmatch(r"-?\d+", token.text, re.ASCII) is not None
    return key.kind == "attribute" and key.name in FLAGS and token.text.lower() in _WORDS[key]
