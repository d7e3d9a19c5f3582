"""When an answer of a server is the recorded prediction, and the bodies of requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ciplug.comparison.served_answers import differences, same
from ciplug.errors import ConfigError
from ciplug.targets.invocations import FORMS, VARIABLE, ask, request_body


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
        (None, None, True),
        (None, 0, False),
        (float("nan"), float("nan"), True),
        (float("inf"), float("inf"), True),
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


def test_the_forms_of_a_request() -> None:
    rows = [{"a": 1, "b": "x"}, {"a": 2}]
    values = [json.loads(request_body(rows, form))[form] for form in FORMS]
    columns = {"a": [1, 2], "b": ["x", None]}
    assert values == [{"columns": ["a", "b"], "data": [[1, "x"], [2, None]]}, rows, rows, columns]


def test_a_token_is_not_sent_without_tls() -> None:
    with pytest.raises(ConfigError, match="without TLS"):
        ask("http://wine.example.com/invocations", b"{}", {VARIABLE: "hunter2"}, timeout=1)
