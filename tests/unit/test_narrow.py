"""Tables on a terminal: long texts lose their middle, and nothing else changes."""

from __future__ import annotations

import pytest

from ciplug.reports.narrow_table import LEAST, Pairs, in_parts, narrowed, table_width, without
from ciplug.reports.untrusted import csv_cell, shortened

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


HEADERS = ["run", "model", "commit", "branch", "status", "started (UTC)", "by", "metrics"]
ROWS: list[list[str]] = [
    [f"{number}123456789ab", "wine", "8ad80f2f", "main", status, "2026-11-30 16:34", "local/ann@example.com", numbers]
    for number, (status, numbers) in enumerate(
        [
            ("finished", Pairs(["accuracy=0.9861", "latency_ms=4.5", "f1=0.9879", "val/loss=0.07356"])),
            ("finished, +8 children", Pairs(["accuracy=0.875", "latency_ms=4.5"])),
            ("failed, withdrawn", Pairs(["validation/accuracy/of-the-class=0.4631", "train/loss=0.487"])),
            ("killed", Pairs([])),
        ]
    )
]


@pytest.mark.parametrize("width", [40, 50, 60, 80, 100, 120, 140])
def test_a_name_never_stands_beside_the_number_of_another_one(width: int) -> None:
    """A list of runs fits: columns go, then the ends of ids, then whole numbers, and last the middle of a name."""
    whole, spared = ("run", "commit", "status", "started (UTC)"), ("by", "branch", "model", "started (UTC)", "commit")
    titles, *body = without(HEADERS, ROWS, width, spared, whole)
    titles, *body = narrowed(titles, body, width, whole, {"run": 8})
    assert table_width([titles, *body]) <= width
    assert titles[0] == "run" and titles[-1] == "metrics"
    for row, shown in zip(ROWS, body, strict=True):
        assert row[0].startswith(shown[0]) and len(shown[0]) >= 8
        known = {pair.rpartition("=")[2]: pair.rpartition("=")[0] for pair in row[-1].parts}
        assert bool(known) == bool(shown[-1])
        for pair in shown[-1].removesuffix(" …").split():
            name, _, number = pair.rpartition("=")
            start, _, end = name.partition("…")
            assert known[number].startswith(start) and known[number].endswith(end)


def test_columns_in_which_all_rows_are_alike_go_before_a_metric_does() -> None:
    """A wider terminal never shows fewer metrics."""
    whole, spared = ("run", "commit", "status", "started (UTC)"), ("by", "branch", "model", "started (UTC)", "commit")
    counts = []
    for width in (80, 100, 120, 140, 200):
        titles, *body = without(HEADERS, ROWS, width, spared, whole)
        counts.append(sum(row[-1].count("=") for row in narrowed(titles, body, width, whole, {"run": 8})[1:]))
    assert counts == sorted(counts) and counts[-1] == counts[2] == 8
    assert without(HEADERS, ROWS, 200, spared, whole)[0] == HEADERS, "nothing goes where all has room"


def test_runs_that_have_no_room_side_by_side_stand_below_each_other() -> None:
    headers = ["metrics", *(f"{number}123456789ab" for number in range(5))]
    rows = [["accuracy", "0.9", "0.8", "0.7", "0.6", "0.5"]]
    tables = list(in_parts(headers, rows, 60))
    assert len(tables) > 1 and all(table_width(table) <= 60 for table in tables)
    assert [name for names, _ in tables for name in names[1:]] == headers[1:]
    assert all(table[1][0] == "accuracy" for table in tables)
    assert list(in_parts(headers, rows, 200)) == [[headers, *rows]]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd()", "'=cmd()"),
        (" \n@sum", " \n'@sum"),
        ("\uff1dcmd()", "'\uff1dcmd()"),
        ("a;=cmd()", "a;'=cmd()"),
        ("a\t+1-2;-3;b", "a\t'+1-2;-3;b"),
        ("-1.5e-3", "-1.5e-3"),
        ("a=b; c", "a=b; c"),
    ],
)
def test_no_cell_of_csv_is_a_formula(text: str, cell: str) -> None:
    assert csv_cell(text) == cell
