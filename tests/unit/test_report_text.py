"""Numbers, words and escapes that all renderings share."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciplug.records.comparison import MetricDelta
from ciplug.records.provenance import Context
from ciplug.records.verdict import GateResult
from ciplug.reports import comment, html, number_format, report, row_order, terminal, text, untrusted
from ciplug.reports.report import Report
from ciplug.reports.sparkline import sparkline
from tests import report_samples as samples
from tests.report_samples import metric

finite = st.floats(-1e300, 1e300)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.9999, "0.9999"),
        (0.99999, "0.99999"),
        (0.999999999, "0.999999999"),
        (1.0, "1"),
        (0.0, "0"),
        (-0.25, "-0.25"),
        (0.12345678, "0.1235"),
        (123456.7, "123456.7"),
        (120_000.0, "120000"),
        (12345678901.0, "12345678901"),
        (0.00001234, "1.234e-05"),
        (1e300, "1e+300"),
        (math.nan, "NaN"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_number(value: float, shown: str) -> None:
    assert number_format.number(value) == shown


@given(finite)
def test_a_number_is_never_shown_as_a_whole_one_that_it_is_not(value: float) -> None:
    shown = float(number_format.number(value))
    assert math.isclose(shown, value, rel_tol=1e-3, abs_tol=1e-300)
    if 1e-4 <= abs(value) < 1e15 and value != int(value):
        assert shown != int(shown)


@given(st.lists(finite, min_size=1, max_size=4))
def test_values_that_differ_are_shown_different(values: list[float]) -> None:
    shown = number_format.numbers(values)
    assert len({float(s) for s in shown}) == len(set(values))


def test_a_row_of_numbers_has_common_decimals() -> None:
    assert number_format.numbers([0.9142, 0.91, None]) == ["0.9142", "0.9100", "–"]
    assert number_format.numbers([0.12345678, 0.12345679]) == ["0.12345678", "0.12345679"]
    assert number_format.numbers([41.8, 46.0]) == ["41.8", "46.0"]
    assert number_format.numbers([math.nan, 0.5]) == ["NaN", "0.5"]
    assert number_format.numbers([]) == []


@pytest.mark.parametrize(
    ("delta", "change", "judgement"),
    [
        (metric("a", 0.9142, 0.91, better=True), "+0.0042 (+0.46%)", "▲ better"),
        (metric("a", 0.9142, 0.91, better=False), "+0.0042 (+0.46%)", "▲ worse"),
        (metric("a", 40.0, 50.0, better=False), "−10 (−20%)", "▼ better"),
        (metric("a", 40.0, 50.0), "−10 (−20%)", "▼"),
        (metric("a", 0.5, 0.0, better=True), "+0.5", "▲ better"),
        (metric("a", 0.5, 0.5, better=True), "0", "= unchanged"),
        (metric("a", 0.5), "new", ""),
        (metric("a", None, 0.5), "missing", ""),
        (metric("a", math.nan, 0.5, better=True), "n/a", "not a number"),
        (metric("a", 100_000.0, 100.0, better=True), "+99900 (+99900%)", "▲ better"),
        (metric("a", 1.000001, 1.0, better=True), "+0.000001 (≈0%)", "▲ better"),
    ],
)
def test_change_and_judgement(delta: report.MetricDelta, change: str, judgement: str) -> None:
    assert number_format.change(delta) == change
    assert number_format.judgement(delta) == judgement


def test_sparkline() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([1.0, math.nan, 3.0, math.inf]) == "▁·█·"
    assert sparkline([2.0, 2.0, 2.0]) == "▄▄▄"
    assert sparkline([-1e308, 1e308]) == "▁█"
    assert sparkline([0.0, 5e-324]) == "▁█"
    assert sparkline([1e-9, 5e-9, 1e-9]) == "▁█▁"
    assert sparkline([math.nan, math.nan]) == ""
    assert sparkline([1.0]) == ""
    assert sparkline([]) == ""
    assert len(sparkline(list(range(100)))) == 20


@given(st.lists(st.floats()))
def test_a_sparkline_takes_any_values(values: list[float]) -> None:
    assert len(sparkline(values)) in (0, min(20, len(values)))


def test_a_method_is_shown_unless_the_reason_of_a_point_states_it() -> None:
    failed = GateResult(
        gate="a", metric="one number per run", rule="", outcome="FAIL", reason="1 is below 2", method="1"
    )
    assert text.footnotes(failed) == ["1"]
    assert text.footnotes(replace(failed, point=True)) == []


def test_words() -> None:
    times = ("20T08:00:00Z", "22T11:00:00Z", "23T04:00:00Z", "23T09:46:00Z", "23T09:59:00Z", "23T12:00:00Z", "x", "24")
    assert [text.older(f"2026-11-{a}", "2026-11-23T10:00:00Z") for a in times] == [
        "3 days older", "23 hours older", "6 hours older", "14 minutes older", "", "2 hours newer", "", "",
    ]  # fmt: skip
    assert text.older(None, None) == ""
    assert [number_format.duration(s) for s in (None, 4.21, 192.4, 3725)] == [None, "4.2 s", "3 min 12 s", "1 h 02 min"]
    assert [number_format.size(b) for b in (None, 12, 2048, 3 * 2**30)] == [None, "12 B", "2.0 KiB", "3.0 GiB"]
    assert [text.scalar(v) for v in (None, "", True, 1e-05, 3, "x")] == ["–", '""', "true", "1e-05", "3", "x"]
    assert text.tally(samples.verdict()) == "1 failed, 3 passed"
    assert text.headline(None, None) == ("📊", "compared, no gates set")
    assert text.headline("ERROR", None) == ("⛔", "not judged")
    assert text.headline("FAIL", samples.verdict(dry_run=True)) == ("❌", "failed (dry run)")


@given(st.text())
def test_clean_text_is_one_visible_line(raw: str) -> None:
    shown = untrusted.clean(raw)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in shown)
    assert len(shown) <= untrusted.PROSE_LIMIT
    shown.encode()


def test_a_name_is_shown_whole_up_to_its_limit() -> None:
    assert untrusted.clean_name("a" * 250) == "a" * 250
    assert untrusted.clean_name("a" * 251) == "a" * 249 + "…"


def test_what_cannot_be_seen_is_made_visible() -> None:
    assert untrusted.clean("a\u202eb\x1b[1m\nc\td\ud800") == "a�b�[1m c d�"


def test_markdown_escape_keeps_ordinary_names_readable() -> None:
    assert untrusted.escape_markdown("latency_p95_ms") == "latency_p95_ms"
    assert untrusted.escape_markdown("0.91 is at least 0.85; 10% better") == "0.91 is at least 0.85; 10% better"
    assert untrusted.escape_markdown("_a*b|c") == "\\_a\\*b&#124;c"
    assert untrusted.escape_markdown("1. first") == "1\\. first"
    assert untrusted.escape_markdown("1.2345678e-05 of 10000000") == "1.2345678e-05 of 10000000"
    assert untrusted.escape_markdown("merge base 88aa77bb") == "merge base `88aa77bb`"
    assert untrusted.code_markdown("recall@5 #1") == "`recall@5 #1`"
    assert untrusted.code_markdown("a|b") is untrusted.code_markdown("") is None


def test_a_log_line_is_not_a_workflow_command() -> None:
    lines = untrusted.defuse("::error::x\n##[error]y ##vso[task.complete] ::: ###")
    assert "::" not in lines
    assert "##" not in lines


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://ci.example/a/b?c=d&e=f#g", "https://ci.example/a/b?c=d&e=f#g"),
        ("https://ci.example/a b)<é>\n|", "https://ci.example/a%20b%29%3C%C3%A9%3E%0A%7C"),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("//ci.example", None),
        ("https://", None),
        ("", None),
    ],
)
def test_only_web_addresses_become_links(url: str, safe: str | None) -> None:
    assert untrusted.safe_url(url) == safe


# --- the model


def test_a_run_in_two_roles_has_one_column() -> None:
    assert report.columns(samples.comparison()) == (
        ("this commit", "candidate"),
        ("merge base = main", "baseline"),
        ("production (v12)", "production"),
    )
    first = samples.first_run().sections[0].comparison
    assert report.columns(first) == (("this commit", "candidate"),)
    assert [s.label for s in report.absent(first)] == ["merge base", "main", "production"]


def test_what_is_wrong_comes_first() -> None:
    rows = (
        metric("same", 1.0, 1.0),
        metric("new", 1.0),
        metric("better", 2.0, 1.0, better=True),
        metric("worse", 1.0, 2.0, better=True),
        metric("lost", None, 1.0),
        metric("nan", math.nan, 1.0),
    )
    changed, unchanged = row_order.by_attention(samples.comparison(metrics=rows))
    assert [m.metric for m in changed] == ["nan", "lost", "worse", "better", "new"]
    assert [m.metric for m in unchanged] == ["same"]


def arranged(*rows: MetricDelta, **settings: object) -> list[list[str]]:
    """The metrics of gates, the others that are shown, those that are folded; and how many are hidden."""
    comparison = samples.comparison(metrics=rows)
    section = replace(samples.section(comparison, None), **settings)  # type: ignore[arg-type]
    found = row_order.arranged(section)
    return [[m.metric for m in part] for part in (found.gated, found.shown, found.folded)] + [[str(found.hidden)]]


MANY = (
    *(metric(f"class {n}/recall", 0.5, 0.6, better=True) for n in range(40)),
    metric("macro avg/recall", 0.5, 0.5),
    metric("same", 1.0, 1.0),
    metric("better", 2.0, 1.0, better=True),
    metric("lost", None, 1.0),
    metric("gated", 1.0, 1.0),
)


def test_of_many_metrics_those_of_gates_come_first_and_classes_last() -> None:
    gated, shown, folded, hidden = arranged(*MANY, gated=("gated",))
    assert gated == ["gated"]
    assert shown[:5] == ["lost", "better", "macro avg/recall", "same", "class 0/recall"]
    assert len(gated) + len(shown) == row_order.FEW
    assert len(folded) == len(MANY) - row_order.FEW
    assert hidden == ["0"]


def test_of_many_that_are_missing_a_screen_is_shown() -> None:
    lost = [metric(f"lost {n:02}", None, 1.0) for n in range(57)]
    gated, shown, folded, _ = arranged(*lost, gated=("lost 30", "lost 40"))
    assert (len(gated), len(shown), len(folded)) == (2, row_order.WRONG_MOST - 2, 42)
    crashed = replace(samples.section(samples.comparison(metrics=lost), None).run, status="failed")
    gated, shown, folded, _ = arranged(*lost, gated=("lost 30", "lost 40"), run=crashed)
    assert (len(gated), len(shown), len(folded)) == (2, 4, 51)


def test_show_and_hide_choose() -> None:
    found = arranged(*MANY, gated=("gated",), show=("macro*", "class [1]/recall"), hide=("class*", "gated"))
    assert found == [["gated"], ["lost", "macro avg/recall"], ["better", "same"], ["40"]]
    names = (metric("mAP[50]", 1.0, 1.0), metric("mAP5", 1.0, 1.0))
    assert arranged(*names, show=("mAP[50]",))[1] == ["mAP[50]", "mAP5"]
    assert arranged(*names, show=("mAP[[]50]",))[1] == ["mAP[50]"]


def test_every_rendering_counts_what_it_does_not_show() -> None:
    section = samples.section(samples.comparison(metrics=MANY), None, hide=("same",))
    shown = Report(sections=(section,))
    said = "1 metric hidden by ciplug.yaml: ciplug compare --format markdown lists all"
    for page in (comment.render(shown), html.render(shown), terminal.render(shown, colour=False, width=None)):
        assert said in page
        assert "more metrics" in page
    assert "class 39/recall" in html.render(shown)
    assert "`same`" not in comment.render(shown)


def test_a_comment_compares_no_metric_with_every_other(monkeypatch: pytest.MonkeyPatch) -> None:
    section = samples.section(samples.comparison(metrics=MANY), None)

    def refuse(one: MetricDelta, other: object) -> bool:
        raise AssertionError("the cost would grow with the square of the metrics")

    monkeypatch.setattr(MetricDelta, "__eq__", refuse)
    assert "lost" in comment.render(Report(sections=(section,)))


def test_the_worst_verdict_counts() -> None:
    assert samples.several().outcome == "ERROR"
    assert samples.passing().outcome == "PASS"
    assert samples.mistaken().outcome == "ERROR"
    assert samples.without_gates().outcome is None
    assert Report(sections=(), context=Context()).outcome is None


def test_json_is_canonical_and_says_nan() -> None:
    import json

    data = report.as_json(samples.several())
    assert data == report.as_json(samples.several())
    read = json.loads(data)
    assert read["schema"] == 1
    assert read["sections"][1]["comparison"]["metrics"][1]["values"]["candidate"] == "NaN"
