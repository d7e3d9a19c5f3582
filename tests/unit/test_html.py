"""The HTML report: self-contained, structured, and deaf to what names try to do."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug.records.comparison import ParamDelta
from ciplug.records.series import Series
from ciplug.reports import charts, html
from ciplug.reports.charts import Chart
from ciplug.reports.report import Report
from ciplug.reports.sparkline import sparkline
from tests import generated
from tests import report_samples as samples
from tests.work import calls

VOID = {"meta", "line", "circle", "polyline"}
FORBIDDEN = {"script", "iframe", "object", "embed", "form", "img", "link", "base", "image", "use", "foreignobject"}


class Page(HTMLParser):
    """Tags, attributes and text; fails on a tag that does not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value or "" for _, attribute, value in self.attributes if attribute == name]


def check(page: str) -> Page:
    page.encode()
    parsed = Page(page)
    assert not FORBIDDEN & set(parsed.tags)
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on") or name in ("src", "style", "srcdoc")]
    ids = parsed.values("id")
    assert all(re.match("https?://", href) or href[1:] in ids for href in parsed.values("href"))
    assert len(ids) == len(set(ids))
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in parsed.values("content")
    assert parsed.tags.count("style") == 1
    return parsed


@pytest.mark.parametrize("name", ["passing", "failing", "first_run", "several", "hostile"])
def test_it_is_sound(name: str) -> None:
    check(html.render(getattr(samples, name)()))


def test_the_version_of_a_run_that_is_missing_is_named_once() -> None:
    section = samples.failing().sections[0]
    production = section.comparison.production
    lost = replace(production, run=None, commit=None, how="its run cannot be read")
    for side, count in ((production, 1), (replace(production, how="version 12, 3 runs"), 1), (lost, 1)):
        compared = replace(section.comparison, production=side)
        page = html.render(replace(samples.failing(), sections=(replace(section, comparison=compared),)))
        assert page.count("version 12") == count


def test_it_says_everything() -> None:
    page = check(html.render(samples.failing()))
    for words in (
        "wine-quality",
        "failed",
        "merge base with main, 3 days older",
        "0.8873 is 0.0158 worse than 0.9031",
        "−0.0158 (−1.7%)",
        "▼ worse",
        "ciplug.yaml of main",
        "max_depth",
        "data/train.parquet",
        "python train.py --depth 8",
        "3 min 12 s",
        "AMD EPYC 7763",
        "scikit-learn",
        "uv.lock",
    ):
        assert words in page.text
    # Four metrics have a history, two have steps; each chart has its words for those who cannot see it.
    assert page.tags.count("svg") == page.tags.count("desc") == 6
    assert "f1_macro of 7 runs, oldest first, from 0.8700 to 0.9031" in page.text


@pytest.mark.parametrize(("value", "words"), [(None, "this run: missing"), (math.nan, "this run: NaN")])
def test_a_run_without_the_metric_has_no_place_in_its_history(value: float | None, words: str) -> None:
    """The last number is the baseline's: a dot there would say that the run has it."""
    section = samples.failing().sections[0]
    first, *others = (m for m in section.comparison.metrics if m.history)
    values = {role: one for role, one in first.values.items() if role != "candidate"}
    lacking = replace(first, values=values if value is None else {**values, "candidate": value}, trend="missing")
    compared = replace(section.comparison, metrics=(lacking, *others))
    page = html.render(replace(samples.failing(), sections=(replace(section, comparison=compared),)))
    check(page)
    charted = [one.split("</svg>")[0] for one in page.split('<svg class="chart"')[1:]]
    assert [words in one for one in charted].count(True) == 1
    own = next(one for one in charted if words in one)
    assert 'class="dot"' not in own and f"{len(lacking.history)} runs before" in own
    assert any(">this run<" in one for one in charted)
    assert all('class="dot"' in one for one in charted if ">this run<" in one)
    assert f"{sparkline([*lacking.history, math.nan])}</td>" in page


def test_what_passed_or_stayed_is_folded_as_in_the_comment() -> None:
    section = replace(samples.large(1, 40).sections[0], show=())
    many = tuple(ParamDelta(name=f"p{n}", before=1, after=2) for n in range(301))
    section = replace(section, comparison=replace(section.comparison, params=many))
    page = html.render(Report(sections=(section,)))
    shown = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert "= unchanged" not in shown and ">pass<" not in shown and "<code>p7</code>" not in shown
    for words in ("20 unchanged metrics", "8 more metrics", "39 passed checks", "301 parameters"):
        assert f"<summary>{words}</summary>" in page, words
    assert ">fail<" in shown and shown.count("▼ worse") == 12


def test_nothing_judged_and_nothing_recorded() -> None:
    section = replace(samples.failing().sections[0], verdict=None)
    page = check(html.render(Report(sections=(section,))))
    assert "compared, no gates set" in page.text
    assert "No gates are set for this model" in page.text
    assert "No model was recorded." in check(html.render(Report(sections=()))).text


def test_it_links_and_orders_as_the_comment_does() -> None:
    page = check(html.render(samples.failing()))
    found = set(page.values("href"))
    assert samples.LINKS - found == {f"{samples.WEB}/actions/runs/981#artifacts"}, "all but that of the page itself"
    assert found - samples.LINKS == {
        f"{samples.WEB}/tree/ciplug/registry/wine-quality",
        f"{samples.WEB}/commit/{samples.PRODUCTION}",
    }
    several = check(html.render(samples.several()))
    assert re.findall("churn|wine-quality|fraud", several.text)[-3:] == ["churn", "wine-quality", "fraud"]
    assert "evil" not in html.render(samples.untrusted())
    assert "Not judged: ciplug.yaml: no gate matches" in check(html.render(samples.mistaken())).text


@settings(max_examples=generated.examples(40), deadline=None)
@given(st.lists(st.text(max_size=20) | st.sampled_from(samples.HOSTILE), min_size=2, max_size=4))
def test_no_name_or_value_breaks_out(texts: list[str]) -> None:
    check(html.render(samples.hostile(tuple(texts))))


def test_what_is_not_drawn_is_said() -> None:
    section = samples.large(1).sections[0]
    page = check(html.render(Report(sections=(section,))))
    assert page.tags.count("svg") == html.MAX_CHARTS
    assert f"{500 - html.MAX_CHARTS} more not drawn." in page.text


@pytest.mark.slow
def test_the_work_grows_with_the_metrics_and_no_faster() -> None:
    small, large = samples.large(metrics=100), samples.large(metrics=500)
    html.render(large)  # fills what is computed once
    assert calls(lambda: html.render(large)) < 6 * calls(lambda: html.render(small))


# --- charts


def lines(svg: str) -> list[int]:
    """Number of points of each stretch."""
    return [len(points.split()) for points in re.findall(r'points="([^"]*)"', svg)]


def chart(values: list[float], **more: object) -> str:
    points = [(float(i), v) for i, v in enumerate(values)]
    return charts.svg(Chart(title="<t>", description="d & d", points=points, **more), "x")  # type: ignore[arg-type]


def test_a_chart_has_gaps_where_there_is_no_number() -> None:
    drawn = chart([1, 2, math.nan, 4, 5, 6, math.inf, 8])
    assert lines(drawn) == [2, 3]
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert '<title id="x-t">&lt;t&gt;</title>' in drawn


def test_a_chart_of_nothing_is_nothing() -> None:
    assert chart([]) == ""
    assert chart([math.nan, math.inf]) == ""


@given(st.lists(st.floats(), max_size=30), st.floats() | st.none())
def test_a_chart_takes_any_numbers(values: list[float], reference: float | None) -> None:
    drawn = chart(values, reference=reference)
    assert not re.search(r'"(nan|-?inf|[^"]*,nan)', drawn)
    for kind, limit in (("x|x1|x2|cx", charts.WIDTH), ("y|y1|y2|cy", charts.HEIGHT)):
        for place in re.findall(rf' (?:{kind})="([^"]*)"', drawn):
            assert -4 <= float(place) <= limit + 4


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_ticks_are_few_and_cover_the_values(a: float, b: float) -> None:
    low, high = sorted((a, b))
    found = charts.ticks(low, high)
    assert 1 <= len(found) <= 8
    slack = 1e-6 * (high - low) + 1e-9 * abs(low)
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert len(charts.tick_labels(found)) == len(found)


def test_ticks_are_round() -> None:
    assert charts.ticks(0.87, 0.8931) == pytest.approx([0.87, 0.88, 0.89, 0.9])
    assert charts.tick_labels(charts.ticks(0.87, 0.8931)) == ["0.87", "0.88", "0.89", "0.90"]
    assert charts.ticks(3, 3) == [3]
    assert charts.tick_labels([5.0172572e-9, 5.0172573e-9]) == ["5.0172572e-09", "5.0172573e-09"]
    assert charts.tick_labels([0.0, 5e-324]) == ["0", "4.94e-324"]


def test_a_long_series_keeps_its_peaks_and_gaps() -> None:
    values = [0.0] * 100_000
    values[77_777] = 9.0
    values[33_333] = math.nan
    drawn = chart(values)
    assert sum(lines(drawn)) <= charts.MAX_POINTS + 10
    assert len(lines(drawn)) == 2
    assert f",{charts.HEIGHT}" not in drawn
    assert len(set(re.findall(r",(\d+\.\d)", drawn))) == 2


def test_steps_become_a_chart() -> None:
    section = replace(
        samples.failing().sections[0], series={"loss": Series((5, 6), (0.5, 0.25)), "dead": Series((1,), (math.nan,))}
    )
    page = check(html.render(Report(sections=(section,))))
    assert "loss over 2 steps, from 0.25 to 0.50" in page.text
    assert "dead over" not in page.text
