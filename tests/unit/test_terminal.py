"""The report as lines of text, and the tables of `ciplug compare`."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug.reports import terminal
from ciplug.reports.report import Report
from tests import generated
from tests import report_samples as samples


def test_it_says_verdict_baseline_metrics_and_reasons() -> None:
    shown = terminal.render(samples.failing(), colour=False, width=None)
    assert shown.startswith("wine-quality  FAIL  1 failed, 3 passed\n")
    assert "4be21f09 against merge base 9f8e7d6c (merge base with main, 3 days older)" in shown
    assert re.search(r"f1_macro +0.8873 +0.9031 +0.8810 +−0.0158 \(−1.7%\) +▼ worse +▁", shown)
    assert "FAIL         f1 (f1_macro): at most 0.005 worse" in shown
    assert shown.index("FAIL         f1") < shown.index("PASS         accuracy")
    assert re.search(r"early_stopping +– +true", shown)
    assert "\x1b" not in shown


def test_a_first_run_says_why_there_is_nothing_beside_it() -> None:
    shown = terminal.render(samples.first_run(), colour=False, width=80)
    assert "is compared with nothing: no run of 'wine-quality' to compare with on" in shown
    assert "production: no version of 'wine-quality' is in production" in shown
    assert "! This clone is shallow" in shown


def test_a_gate_with_a_baseline_of_its_own_is_named_where_there_is_no_other() -> None:
    (section,) = samples.first_run().sections
    own = samples.gate("tip", "PASS", "at most 0.05 worse", "x", baseline=0.9, baseline_label="production (v3)")
    assert section.verdict is not None
    section = replace(section, verdict=replace(section.verdict, gates=(*section.verdict.gates, own)))
    said = "is compared only by gates with a baseline of their own ('tip' with production (v3)): no run of"
    assert said in terminal.render(Report(sections=(section,)), colour=False, width=None)


def test_colours_only_when_asked_for() -> None:
    plain = terminal.render(samples.several(), colour=False, width=100)
    coloured = terminal.render(samples.several(), colour=True, width=100)
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


@pytest.mark.parametrize("width", [60, 72, 80, 100, 140])
def test_a_narrow_terminal_loses_columns_and_says_so(width: int) -> None:
    shown = terminal.render(samples.failing(), colour=False, width=width)
    table = [line for line in shown.split("\n") if line.startswith(("metric ", "f1_macro "))]
    assert len(table) == 2
    if width >= 80:
        assert all(len(line) <= width for line in table)
    assert ("too narrow for: history" in shown) == (width < 140)


def test_names_are_shortened_unless_they_become_the_same() -> None:
    def names(*metrics: str) -> str:
        rows = tuple(samples.metric(name, 0.5, 0.4, better=True) for name in metrics)
        section = replace(samples.failing().sections[0], comparison=samples.comparison(metrics=rows))
        return terminal.render(Report(sections=(section,)), colour=False, width=80)

    assert re.search(r"(?m)^y{8,20}…y{8,20} ", names("accuracy", "y" * 70))
    assert re.search(r"(?m)^x+…x+2 ", names("x" * 70 + "1", "x" * 70 + "2"))
    alike = names("x" * 35 + "1" + "x" * 35, "x" * 35 + "2" + "x" * 35)
    assert "x" * 35 + "1" + "x" * 35 in alike


def test_no_model_and_no_metric() -> None:
    assert "no model was recorded" in terminal.render(Report(sections=()), colour=True, width=80)
    empty = samples.comparison(metrics=())
    assert terminal.comparison_table(empty, "table").startswith("metric")
    assert terminal.comparison_table(empty, "csv").count("\n") == 1
    section = samples.failing().sections[0]
    report = Report(sections=(type(section)(model="m", comparison=empty, verdict=None, run=section.run),))
    assert "this run has no metrics" in terminal.render(report, colour=False, width=None)


@settings(max_examples=generated.examples(60), deadline=None)
@given(st.lists(st.text(max_size=20), min_size=2, max_size=4), st.sampled_from([None, 40, 80]))
def test_no_text_reaches_the_terminal_raw(texts: list[str], width: int | None) -> None:
    shown = terminal.render(samples.hostile((*texts, "::error::x ##[group]")), colour=False, width=width)
    shown.encode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert not re.search(r"::|##", shown)


def test_a_hostile_report() -> None:
    shown = terminal.render(samples.hostile(), colour=False, width=80)
    assert "\x1b" not in shown
    assert "javascript" not in shown.rsplit("\n\n", 1)[-1]


# --- ciplug compare


ODD = samples.comparison(
    metrics=(
        samples.metric("a|b", 0.1 + 0.2, 0.3, better=True),
        samples.metric('q"uo,te', math.nan, 1.0, better=True),
        samples.metric("gone", None, 2.0),
    )
)


def test_csv_is_exact() -> None:
    rows = list(csv.DictReader(io.StringIO(terminal.comparison_table(ODD, "csv"))))
    by_name = {row["metric"]: row for row in rows}
    assert float(by_name["a|b"]["candidate"]) == 0.1 + 0.2
    assert by_name["a|b"]["higher_is_better"] == "True"
    assert by_name['q"uo,te']["candidate"] == "NaN"
    assert by_name["gone"]["candidate"] == ""
    assert by_name["gone"]["trend"] == "missing"


def test_json_is_the_comparison() -> None:
    read = json.loads(terminal.comparison_table(ODD, "json"))
    assert read["metrics"][0]["values"]["candidate"] == 0.1 + 0.2
    assert read["metrics"][1]["values"]["candidate"] == "NaN"


def test_tables_for_the_eye() -> None:
    table = terminal.comparison_table(ODD, "table").split("\n")
    assert table[0].split() == [
        "metric",
        "this",
        "commit",
        "merge",
        "base",
        "=",
        "main",
        "production",
        "(v12)",
        "change",
    ]
    assert table[2].startswith('q"uo,te')
    body = terminal.comparison_table(ODD, "markdown")
    assert "a&#124;b" in body
    assert {line.count("|") for line in body.strip().split("\n")} == {7}


def test_a_failure_says_how_it_was_found_and_what_to_do() -> None:
    shown = terminal.render(samples.failing(), colour=False, width=None)
    assert "against merge base 9f8e7d6c, run bbbbbbbb, paired bootstrap of examples, n = 2,400, p = 0.0004\n" in shown
    assert "→ look at what changed beside it, or ask for a waiver of this commit\n" in shown
