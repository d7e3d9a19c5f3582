"""When an answer of a server is the recorded prediction, and the bodies of requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ciplug.comparison.served_answers import differences, nothing_to_compare, same
from ciplug.errors import ConfigError
from ciplug.targets.invocations import FORMS, VARIABLE, request_body, token_for


@pytest.mark.parametrize(
    ("recorded", "answered", "expected"),
    [
        ("red", "red", True),
        ("red", "Red", False),
        ("1", 1, True),
        ("1", 1.0, True),
        (1, 2, False),
        (1000000, 1000001, False),
        (True, 1, False),
        (True, True, True),
        (0.1, 0.1 + 1e-9, True),
        (0.1, 0.1 + 1e-4, False),
        (1e9 + 0.5, 1e9, True),
        (2**53, 2**53 + 1, False),
        (2**53 + 1, float(2**53), False),
        (str(2**60 + 1), 2**60 + 1, True),
        (str(2**60 + 1), 2**60, False),
        (10**400, 0.5, False),
        (None, None, False),
        (None, 0, False),
        (float("nan"), float("nan"), False),
        (float("inf"), float("inf"), False),
        (1.5, float("inf"), False),
        (float("inf"), 1.5, False),
        ("inf", 1.5, False),
        ("1_0", 10, False),
        ([0.5, None], [0.5, None], False),
        (0.5, [0.5], True),
        ([0.2, 0.8], [0.2, 0.8 + 1e-9], True),
        ([0.2, 0.8], [0.2], False),
        ({"a": 1.5}, {"a": 1.5}, True),
        ({"a": 1.5}, {"b": 1.5}, False),
        ({"a": 1.5}, 1.5, False),
        ("0.1", "0.10", False),
    ],
)
def test_labels_are_equal_and_numbers_are_near(recorded: Any, answered: Any, expected: bool) -> None:
    assert same(recorded, answered, 1e-6) is expected
    assert [one.row for one in differences(["x", recorded], ["x", answered], 1e-6)] == ([] if expected else [1])


def test_rows_without_a_value_cannot_be_compared() -> None:
    deep: Any = 0.5
    for _ in range(3000):
        deep = [deep]
    recorded = [1, None, "red", float("nan"), [0.5, float("-inf")], {"a": None}, "", "NaN", [], {}, deep, [1, 2], 0]
    assert nothing_to_compare(recorded) == [1, 3, 4, 5, 6, 7, 8, 9, 10]
    assert not same(0.5, deep, 1e-6) and not same(deep, deep, 1e-6)


def test_the_forms_of_a_request() -> None:
    rows = [{"a": 1, "b": "x"}, {"a": 2}]
    values = [json.loads(request_body(rows, form))[form] for form in FORMS]
    columns = {"a": [1, 2], "b": ["x", None]}
    assert values == [{"columns": ["a", "b"], "data": [[1, "x"], [2, None]]}, rows, rows, columns]


@pytest.mark.parametrize(
    ("url", "token", "words"),
    [
        ("http://wine.example.com/invocations", "hunter2hunter2", "without TLS"),
        ("https://wine.example.com/invocations", "hunter2\nhunter2", "line break"),
        ("https://wine.example.com/invocations", "hunter2 hunter2", "a blank"),
        ("https://wine.example.com/invocations", "hunter2é", "character"),
        ("https://[wine/invocations", "", "not an address"),
        ("https://wine.example.com:99999/", "", "not an address"),
        ("https://wine.exämple.com/", "", "not an address"),
    ],
)
def test_a_token_is_not_sent_where_it_should_not_go(url: str, token: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        token_for(url, {VARIABLE: token})
    assert caught.value.hint and "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_a_token_is_sent_by_tls_and_to_this_machine() -> None:
    assert token_for("https://wine.example.com/", {VARIABLE: " hunter2\n"}) == "hunter2"
    assert token_for("http://127.0.0.1:5001/", {VARIABLE: "hunter2"}) == "hunter2"
    assert token_for("http://wine.example.com/", {}) is None
