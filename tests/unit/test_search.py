"""The language of search: MLflow's, told from what it means by a second, plain evaluator."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug.errors import UsageError
from ciplug.tracking.query import LIFECYCLE, RUN_ID, STARTED, Column, Columns, Comparison, Key, Order
from ciplug.tracking.query_language import parse, parse_keys, parse_order
from ciplug.tracking.query_tokens import QUOTES, NotUnderstood, tokens, unquoted
from ciplug.tracking.search import arrange, select
from tests import generated

ACCURACY = Key("metric", "accuracy")


def table(*rows: dict[Key, Any]) -> Columns:
    """Rows as columns."""

    def column(key: Key) -> Column:
        have = [number for number, row in enumerate(rows) if key in row]
        return Column(range(len(rows)) if len(have) == len(rows) else have, [rows[number][key] for number in have])

    return column


def rows_of(where: str, *rows: dict[Key, Any]) -> list[int]:
    return list(select(parse(where), len(rows), table(*rows)).rows)


@pytest.mark.parametrize(
    ("text", "key", "comparator", "value"),
    [
        ("metrics.accuracy > 0.9", ACCURACY, ">", 0.9),
        ("metric.accuracy>=-.5", ACCURACY, ">=", -0.5),
        ("metrics.accuracy<1e-3", ACCURACY, "<", 0.001),
        ("metrics.accuracy < 1.5e+16", ACCURACY, "<", 1.5e16),
        ('metrics."a b" != 3', Key("metric", "a b"), "!=", 3),
        ("metrics.`a b` = 3", Key("metric", "a b"), "=", 3),
        ("metrics.loss/validation < 1", Key("metric", "loss/validation"), "<", 1),
        ("metrics.top-5@k>1", Key("metric", "top-5@k"), ">", 1),
        ("metrics.select = 1", Key("metric", "select"), "=", 1),
        ("metrics.größe = 1", Key("metric", "größe"), "=", 1),
        ("params.depth = '6'", Key("param", "depth"), "=", "6"),
        ('parameters.depth = "6"', Key("param", "depth"), "=", "6"),
        ("params.depth > 4", Key("param", "depth"), ">", 4),
        ("tags.mlflow.source.name LIKE '%x%'", Key("tag", "mlflow.source.name"), "LIKE", "%x%"),
        ("tag.a ilike 'X_'", Key("tag", "a"), "ILIKE", "X_"),
        ("tags.a = 'it''s'", Key("tag", "a"), "=", "it's"),
        ("run_id IN ('a','b')", Key("attribute", "id"), "IN", ("a", "b")),
        ("attributes.run_id not  in ('a')", Key("attribute", "id"), "NOT IN", ("a",)),
        ("attr.status = 'FINISHED'", Key("attribute", "status"), "=", "finished"),
        ("lifecycle_stage = 'Withdrawn'", LIFECYCLE, "=", "withdrawn"),
        ("status LIKE 'Fin%'", Key("attribute", "status"), "LIKE", "Fin%"),
        ("attribute.`run_name` = 'x'", Key("attribute", "name"), "=", "x"),
        ("start_time >= '2026-11-23'", Key("attribute", "started"), ">=", "2026-11-23T00:00:00.000"),
        ("started < '2026-11-23T19:24:00.5+01:00'", Key("attribute", "started"), "<", "2026-11-23T18:24:00.500"),
        ("start_time > 1664067852747", Key("attribute", "started"), ">", "2022-09-25T01:04:12.747"),
    ],
)
def test_what_is_understood(text: str, key: Key, comparator: str, value: object) -> None:
    assert parse(text) == (Comparison(key, comparator, value),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("", "at its end", ""),
        ("metrics.accuracy", "at its end: a comparator", ""),
        ("metrics.accuracy >", "at its end: a value", ""),
        ("metrics.accuracy > 'x'", "character 20, 'x':", ""),
        ("metrics.accuracy == 1", "character 18, '=='", "did you mean '='?"),
        ("metrics.accuracy <> 1", "character 18, '<>'", "did you mean '!='?"),
        ("metrics.accuracy LIKE '1'", "character 18", "one of: =, !=, <"),
        ("metrics.accuracy IN (1)", "character 18", "one of: =, !=, <"),
        ("metrics.accuracy > 1 or", "at its end", ""),
        ("(metrics.accuracy > 1 or metrics.b < 1", "at its end: AND, OR or )", ""),
        ("(metrics.a > 1 metrics.b > 1)", "character 16, 'metrics': AND, OR or )", ""),
        ("metrics.a > 1)", "character 14, ')'", ""),
        ("()", "character 2, ')'", ""),
        ("(" * 21 + "metrics.a > 1" + ")" * 21, "character 21, '(': too many", ""),
        ("metrics.accuracy > 1 and", "at its end", ""),
        ("metrics.accuracy > 1 metrics.b > 1", "character 22", "joined by AND or OR"),
        ("metrcis.accuracy > 1", "character 1, 'metrcis.accuracy'", "did you mean 'metrics'?"),
        ("accuracy > 1", "unknown attribute 'accuracy'", "write metrics.accuracy"),
        ("run_idd = 'x'", "unknown attribute 'run_idd'", "did you mean 'run_id'?"),
        ("attributes.comit = 'x'", "unknown attribute 'comit'", "did you mean 'commit'?"),
        ("metrics. > 1", "a name is expected", ""),
        ("tags.team = 5", "character 13, '5'", ""),
        ("tags.team > 'a'", "character 11, '>'", "one of: =, !=, LIKE"),
        ("params.depth > '4'", "character 14, '>'", ""),
        ("params.depth LIKE 4", "character 14, 'LIKE'", "one of: =, !=, <"),
        ("params.depth IN (1)", "character 18, '1'", ""),
        ("params.depth IN ('1'", "at its end", ""),
        ("params.depth IS NULL", "character 14, 'IS'", ""),
        ("tags.team = 'wine", "character 13, ''': this quote is not closed", ""),
        ("tags.team = 'x' -- y", "comments are not supported", ""),
        ("tags.team = 'x'; DROP TABLE runs", "character 16, ';'", ""),
        ("status = 'finishd'", "unknown value", "did you mean 'finished'?"),
        ("lifecycle IN ('withdrawed')", "unknown value", "did you mean 'withdrawn'?"),
        ("tags.a = 'x' /* y */", "comments are not supported", ""),
        ("tags.a = 'it\\'s'", "this quote is not closed", ""),
        ("status IN ('finishd')", "unknown value", "did you mean 'finished'?"),
        ("start_time > 'yesterday'", "a time is expected", "2026-11-23"),
        ("start_time > 1e99", "a time is expected", "2026-11-23"),
        ("start_time LIKE '2026%'", "character 12, 'LIKE'", "one of"),
        ("1 = 1", "character 1, '1'", ""),
        ("'a' = 'a'", "character 1", ""),
    ],
)
def test_what_is_not_understood_is_named_with_its_place(text: str, place: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert place in caught.value.message
    assert hint in (caught.value.hint or "")


def test_orders_and_keys() -> None:
    assert parse_order("metrics.accuracy") == Order(ACCURACY, descending=False)
    assert parse_order("metrics.accuracy DESC") == Order(ACCURACY, descending=True)
    assert parse_order("`start_time` asc") == Order(STARTED, descending=False)
    assert parse_keys('metrics.accuracy,params."a,b", run_id') == (ACCURACY, Key("param", "a,b"), RUN_ID)
    for wrong in ("", "metrics.accuracy DOWN", "metrics.accuracy DESC DESC"):
        with pytest.raises(UsageError):
            parse_order(wrong)
    with pytest.raises(UsageError):
        parse_keys("metrics.a metrics.b")


def test_a_run_without_the_value_satisfies_nothing() -> None:
    assert rows_of("metrics.accuracy != 1", {}, {ACCURACY: 2.0}) == [1]
    assert rows_of("tags.a != 'x'", {}, {Key("tag", "a"): "y"}) == [1]
    assert rows_of("tags.a NOT IN ('x')", {}, {Key("tag", "a"): "y"}) == [1]


@pytest.mark.parametrize("comparator", ["=", "!=", "<", "<=", ">", ">="])
def test_nan_satisfies_nothing_and_is_counted(comparator: str) -> None:
    runs = [{ACCURACY: math.nan, Key("tag", "a"): "x"}, {ACCURACY: math.nan, Key("tag", "a"): "y"}]
    where = parse(f"metrics.accuracy {comparator} 1 AND tags.a = 'x'")
    assert select(where, 2, table(*runs)) == ([], 1)


def test_parameters_are_numbers_and_text() -> None:
    depth = Key("param", "depth")
    runs = [{depth: value} for value in (6, 6.0, "6", "six", True, "nan", 10**400)]
    assert rows_of("params.depth = '6'", *runs) == [0, 2]
    assert rows_of("params.depth = 6", *runs) == [0, 1, 2]
    assert rows_of("params.depth > 5", *runs) == [0, 1, 2, 6]
    assert rows_of("params.depth = 'true'", *runs) == rows_of("params.depth = 'True'", *runs) == [4]
    assert rows_of("params.depth != 'true'", *runs) == [0, 1, 2, 3, 5, 6]
    assert rows_of("params.depth IN ('true', 'six')", *runs) == [3, 4]


def test_times_are_compared_as_times() -> None:
    runs = [{STARTED: text} for text in ("2026-11-23T19:24:00Z", "2026-11-23T19:24:00.250Z", "2026-11-24T00:00:00Z")]
    assert rows_of("start_time > '2026-11-23T19:24:00'", *runs) == [1, 2]
    assert rows_of("start_time < '2026-11-24'", *runs) == [0, 1]
    assert rows_of("start_time = '2026-11-23T20:24:00+01:00'", *runs) == [0]


def test_like_takes_linear_time() -> None:
    tag = Key("tag", "a")
    value = "a" * 20_000
    assert rows_of("tags.a LIKE '%a%a%a%a%a%a%b'", {tag: value}) == []
    assert rows_of("tags.a LIKE '%a%a%_%'", {tag: value}) == [0]


def test_order_puts_nan_and_absent_last_in_both_directions() -> None:
    runs = [{ACCURACY: value} for value in (math.nan, 0.5, math.inf, -math.inf, 0.7)] + [{}]
    up = arrange(range(6), [Order(ACCURACY)], table(*runs))
    down = arrange(range(6), [Order(ACCURACY, descending=True)], table(*runs))
    assert up == ([3, 1, 4, 2, 0, 5], 1, 1)
    assert down == ([2, 4, 1, 3, 0, 5], 1, 1)
    assert arrange(range(6), [Order(ACCURACY)], table(*runs), 2) == ([3, 1], 1, 1)


def test_of_equals_the_latest_comes_first() -> None:
    runs = [{ACCURACY: 1.0, STARTED: f"2026-11-0{day}", RUN_ID: str(day)} for day in (2, 3, 1)]
    assert arrange(range(3), [Order(ACCURACY)], table(*runs)).rows == [1, 0, 2]
    assert arrange(range(3), [], table(*runs), 2).rows == [1, 0]


# Against a plain evaluator

PIECES = ["metrics", ".", "a", ">", "1", "and", "'", '"', "`", "(", ",", ")", "IN", "tags", "--", ";", "\n"]
names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\"), min_size=1, max_size=8)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\"), max_size=6) | st.sampled_from(
    ["'; DROP TABLE runs; --", '"', "''", "%", "a%b", "_", "é", "' OR 1=1"]
)
figures = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-3, 3)
keys = st.sampled_from(
    [Key(kind, name) for kind in ("metric", "param", "tag") for name in ("a", "b c", "d'\"e`", "ü/x")]
)


@st.composite
def conditions(draw: st.DrawFn) -> Comparison:
    key = draw(keys)
    if key.kind == "metric" or (key.kind == "param" and draw(st.booleans())):
        return Comparison(key, draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="])), draw(figures))
    comparator = draw(st.sampled_from(["=", "!=", "LIKE", "ILIKE", "IN", "NOT IN"]))
    if "IN" in comparator.split():
        return Comparison(key, comparator, tuple(draw(st.lists(texts, min_size=1, max_size=3))))
    return Comparison(key, comparator, draw(texts))


def run_values() -> st.SearchStrategy[dict[Key, Any]]:
    values: dict[str, st.SearchStrategy[Any]] = {
        "metric": st.floats(width=32),
        "param": texts | figures | st.booleans() | st.sampled_from(["1", "-2", "0.5"]),
        "tag": texts,
    }
    pairs = keys.flatmap(lambda key: st.tuples(st.just(key), values[key.kind]))
    return st.lists(pairs, max_size=12).map(dict)


def written(condition: Comparison) -> str:
    def quoted(text: str, quote: str = "'") -> str:
        return quote + text.replace(quote, quote * 2) + quote

    value = condition.value
    shown = (
        f"({', '.join(map(quoted, value))})"
        if isinstance(value, tuple)
        else quoted(value)
        if isinstance(value, str)
        else repr(value)
    )
    return f"{condition.key.kind}s.{quoted(condition.key.name, '`')} {condition.comparator} {shown}"


def plainly(condition: Comparison, run: dict[Key, Any]) -> bool:
    """Whether a run satisfies a condition, thought through once more."""
    if condition.key not in run:
        return False
    value, wanted = run[condition.key], condition.value
    if isinstance(wanted, (int, float)):
        if isinstance(value, bool):
            return False
        try:
            value = float(value)
        except ValueError:
            return False
        if math.isnan(value):
            return False
        return {
            "=": value == wanted,
            "!=": value != wanted,
            "<": value < wanted,
            "<=": value <= wanted,
            ">": value > wanted,
            ">=": value >= wanted,
        }[condition.comparator]
    spelt = {str(value), str(value).lower()} if isinstance(value, bool) else {str(value)}
    if isinstance(wanted, tuple):
        return bool(spelt & set(wanted)) == (condition.comparator == "IN")
    if condition.comparator in ("=", "!="):
        return (wanted in spelt) == (condition.comparator == "=")
    pattern = "".join({"%": "(?s:.*)", "_": "(?s:.)"}.get(c) or re.escape(c) for c in wanted)
    flags = re.IGNORECASE if condition.comparator == "ILIKE" else 0
    return any(re.fullmatch(pattern, text, flags) for text in spelt)


@settings(max_examples=generated.examples(100), deadline=None, derandomize=True)
@given(st.lists(conditions(), min_size=1, max_size=3), st.lists(run_values(), max_size=8))
def test_expressions_mean_what_they_say(where: list[Comparison], runs: list[dict[Key, Any]]) -> None:
    text = " and ".join(map(written, where))
    assert list(parse(text)) == where
    selected = select(parse(text), len(runs), table(*runs)).rows
    assert list(selected) == [n for n, run in enumerate(runs) if all(plainly(c, run) for c in where)]


@settings(max_examples=generated.examples(100), deadline=None, derandomize=True)
@given(st.lists(conditions(), min_size=4, max_size=4), st.lists(run_values(), max_size=8))
def test_and_binds_more_closely_than_or(four: list[Comparison], runs: list[dict[Key, Any]]) -> None:
    a, b, c, d = map(written, four)

    def rows(text: str) -> list[int]:
        return list(select(parse(text), len(runs), table(*runs)).rows)

    def those(holds: Callable[[bool, bool, bool, bool], bool]) -> list[int]:
        return [n for n, run in enumerate(runs) if holds(*(plainly(one, run) for one in four))]

    assert rows(f"{a} AND {b} or {c} AND {d}") == those(lambda a, b, c, d: (a and b) or (c and d))
    assert rows(f"({a} OR {b}) AND (({c}) OR {d})") == those(lambda a, b, c, d: (a or b) and (c or d))
    assert rows(f"{a} AND ({b} OR {c} AND {d})") == those(lambda a, b, c, d: a and (b or (c and d)))


def test_nan_in_one_alternative_is_counted_where_no_other_holds() -> None:
    rows = ({ACCURACY: math.nan}, {ACCURACY: math.nan, Key("tag", "a"): "x"}, {ACCURACY: 0.9})
    found = select(parse("metrics.accuracy > 0.5 OR tags.a = 'x'"), 3, table(*rows))
    assert (list(found.rows), found.undefined) == ([1, 2], 1)


@settings(max_examples=generated.examples(100), deadline=None, derandomize=True)
@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES)).map(" ".join))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        parse(text)
    except UsageError as problem:
        assert "in the expression" in problem.message


@settings(max_examples=generated.examples(60), deadline=None, derandomize=True)
@given(st.lists(run_values(), max_size=12), keys, st.booleans(), st.integers(1, 5))
def test_a_limit_gives_the_beginning(runs: list[dict[Key, Any]], key: Key, descending: bool, limit: int) -> None:
    order = [Order(key, descending)]
    whole = arrange(range(len(runs)), order, table(*runs))
    assert sorted(whole.rows) == list(range(len(runs)))
    assert arrange(range(len(runs)), order, table(*runs), limit) == whole._replace(rows=whole.rows[:limit])


@given(names)
@settings(max_examples=generated.examples(60), deadline=None, derandomize=True)
def test_a_key_is_written_as_it_is_read(name: str) -> None:
    key = Key("tag", name)
    assert parse_keys(str(key)) == (key,)


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES)).map("".join))
@settings(max_examples=generated.examples(200), deadline=None, derandomize=True)
def test_tokens_stand_where_they_say_and_leave_out_blanks_only(text: str) -> None:
    try:
        found = list(tokens(text))
    except NotUnderstood as problem:
        assert text.startswith(problem.token.text, problem.token.start)
        return
    at = 0
    for token in found:
        assert text.startswith(token.text, token.start)
        assert not text[at : token.start].strip()
        at = token.end
    assert not text[at:].strip()


@given(names)
def test_text_in_quotes_is_read_back(text: str) -> None:
    for quote in QUOTES:
        quoted = quote + text.replace(quote, quote * 2) + quote
        (token,) = tokens(quoted)
        assert unquoted(token.text) == text
