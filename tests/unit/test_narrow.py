"""Tables on a terminal: long texts lose their middle, and nothing else changes."""

from __future__ import annotations

import pytest

from ciplug.reports.narrow import LEAST, narrowed
from ciplug.reports.untrusted import shortened

LONG = "validation/accuracy/of the class with a long name"


def width_of(table: list[list[str]]) -> int:
    return sum(max(map(len, column)) for column in zip(*table, strict=True)) + 2 * (len(table[0]) - 1)


@pytest.mark.parametrize(
    "text, limit, shown",
    [("abcdefghij", 10, "abcdefghij"), ("abcdefghijk", 10, "abcde…hijk"), ("abcdefghijk", 5, "ab…jk"), ("ab", 1, "…")],
)
def test_the_middle_is_left_out(text: str, limit: int, shown: str) -> None:
    assert shortened(text, limit) == shown and len(shown) <= limit


def test_a_table_that_fits_is_as_it_was() -> None:
    headers, rows = ["run", LONG], [["0123456789ab", "0.5"], ["1123456789ab", "0.25"]]
    assert narrowed(headers, rows, 200) == narrowed(headers, rows, 12 + 2 + len(LONG) + 2) == [headers, *rows]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_longest_texts_are_shortened_first(width: int) -> None:
    table = narrowed(["run", "branch", LONG], [["0123456789ab", "feature/" + "x" * 60, "0.5"]], width)
    assert width_of(table) <= width and table[1][0] == "0123456789ab" and table[1][2] == "0.5"
    assert table[0][2].startswith("valida") and table[0][2].endswith("name") and "…" in table[0][2]


def test_numbers_stay_whole_and_so_do_headers_that_would_be_the_same() -> None:
    headers = [f"metrics/{'x' * 30}{number}{'y' * 30}" for number in (1, 2)]
    assert narrowed(headers, [["0.12345678901234567", "1e-300"]], 10) == [headers, ["0.12345678901234567", "1e-300"]]
    assert narrowed(["a", "b"], [["x" * 40, "1"]], 1) == [["a", "b"], [shortened("x" * 40, LEAST), "1"]]


def test_a_table_without_rows() -> None:
    assert narrowed(["run", "model"], [], 5) == [["run", "model"]]
