"""The comment: what it says (golden files), and what no name or value can make it say (GitHub's own parser)."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug.reports import markdown, text
from ciplug.reports.report import Report
from tests import report_samples as samples

GOLDEN = Path(__file__).parent / "golden"
TAGS = {
    "h2", "h3", "p", "strong", "blockquote", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code", "a",
    "details", "summary", "sub", "br",
}  # fmt: skip


class Parsed(HTMLParser):
    """The comment as a browser reads it: tags, texts, links, and cells row by row."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.closed: list[str] = []
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        # Raw HTML stays alive here, which a forge's sanitizer would not allow.
        self.feed(cmarkgfm.github_flavored_markdown_to_html(body, options=Options.CMARK_OPT_UNSAFE))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "br":
            self.closed.append(tag)
        if tag == "a":
            self.links.append(dict(attrs).get("href") or "")
            assert len(attrs) == 1
        else:
            assert all(name == "align" for name, _ in attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.closed.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.tags and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def render(report: Report, limit: int = samples.LIMIT, html: bool = True) -> str:
    return markdown.render(report, marker=samples.MARKER, limit=limit, html=html)


def check(body: str, links: set[str]) -> Parsed:
    """Everything that must hold of every comment, whoever chose the names in it."""
    body.encode()
    parsed = Parsed(body)
    assert set(parsed.tags) <= TAGS
    assert sorted(parsed.tags) == sorted(parsed.closed)
    assert set(parsed.links) <= links
    assert not re.search(r"[@#!~%&$^]\w|://|www\.|\bG[HL]-\d", parsed.text)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]", parsed.text)
    assert not re.search(r"(?m)^\s*/", body)
    # A row has as many bars as the heading above it; a bar that is not ours would be one more.
    heading = 0
    for line in body.split("\n"):
        if not line.startswith("|"):
            heading = 0
        elif not heading:
            heading = line.count("|")
        assert not heading or line.count("|") == heading
        assert not heading or line.endswith("|")
    tables = len(re.findall(r"(?m)^\|:?-", body))
    assert parsed.tags.count("table") == tables
    assert parsed.tags.count("tr") == len(re.findall(r"(?m)^\|", body)) - tables
    return parsed


OURS = set(samples.LINKS.values())


@pytest.mark.parametrize("name", ["passing", "failing", "first_run", "several"])
def test_golden(name: str) -> None:
    body = render(getattr(samples, name)())
    check(body, OURS)
    path = GOLDEN / f"comment_{name}.md"
    # To accept a change: UPDATE_GOLDEN=1, and look at the difference.
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(body, encoding="utf-8")
    assert body == path.read_text(encoding="utf-8")


def test_the_marker_is_the_first_line_and_the_verdict_the_first_words() -> None:
    lines = render(samples.failing()).split("\n")
    assert lines[0] == samples.MARKER
    assert lines[2] == "## ❌ wine-quality: failed"


def test_absent_sides_have_a_reason() -> None:
    body = render(samples.first_run())
    assert "is compared with nothing: no run is recorded on main yet." in body
    assert "not shown: main: no run is recorded on main yet · production: nothing holds production yet" in body
    assert "merge base |" not in body


def test_what_was_not_judged_does_not_look_passed() -> None:
    section = replace(samples.failing().sections[0], verdict=None)
    body = render(replace(samples.failing(), sections=(section,)))
    assert "## 📊 wine-quality: compared, not judged" in body
    assert "✅" not in body
    assert "✅" not in render(Report(sections=()))


def test_without_html() -> None:
    """For a forge that shows tags as text."""
    body = markdown.render(samples.several(), marker="[ciplug]: # (report)", limit=samples.LIMIT, html=False)
    assert "<" not in body
    check(body, OURS)


@pytest.mark.parametrize("html", [True, False])
def test_a_hostile_report(html: bool) -> None:
    body = render(samples.hostile(), html=html)
    parsed = check(body, {text.safe_url(u) or "" for u in samples.hostile().links.values()})
    assert "<script>window.hacked=1</script>" in parsed.text.replace("\u200b", "")


PIECES = st.sampled_from(
    [
        *"|\\`<>&[]()!*_~#@$:/-+=.{}\"'^% x7\n\r\t\u2028\x00\x1b\u202e\u200b\ud800",
        *("<b>", "</td>", "<!--", "-->", "]]>", "&lt;", "&#64;", "~~~", "```", "| - |", "\\|", "---", "==="),
        *("@octocat", "#123", "a@b.co", "http://", "www.", "GH-1", "1. ", "- [ ] ", "[^1]", "mailto:", "[a](b)"),
    ]
)
HOSTILE = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30)


@settings(max_examples=150, deadline=None)
@given(st.lists(HOSTILE, min_size=3, max_size=5), st.booleans())
def test_no_name_or_value_breaks_out(texts: list[str], html: bool) -> None:
    report = samples.hostile(tuple(texts))
    check(render(report, html=html), {text.safe_url(u) or "" for u in report.links.values()})


@settings(max_examples=300, deadline=None)
@given(HOSTILE)
def test_a_name_is_read_back_as_it_was(name: str) -> None:
    escaped = text.escape_markdown(name, 10_000)
    parsed = Parsed(f"| a | b |\n|---|---|\n| <code>{escaped}</code> | x{escaped}x |")
    expected = text.clean(name, 10_000)
    cells = [cell.replace("\u200b", "").strip() for cell in parsed.rows[1]]
    assert cells == [expected, f"x{expected}x"]
    assert set(parsed.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}


@pytest.mark.parametrize("name", ["failing", "several", "hostile"])
def test_every_limit_holds(name: str) -> None:
    report = getattr(samples, name)()
    links = {text.safe_url(u) or "" for u in report.links.values()}
    whole = len(render(report, 10**9).encode())
    least = len(samples.MARKER)
    for limit in [*range(least, least + 60, 7), *range(least + 60, whole, max(1, whole // 60)), whole - 1, whole]:
        body = render(report, limit)
        assert len(body.encode()) <= limit
        assert body.split("\n")[0] == samples.MARKER
        check(body, links)
        if least + 200 < limit < whole:
            assert "see the" in body
    with pytest.raises(ValueError, match="no room"):
        render(report, least - 1)


def test_what_matters_is_cut_last() -> None:
    body = render(samples.large(), 20_000)
    check(body, OURS)
    assert 15_000 < len(body.encode()) <= 20_000
    for number in range(3):
        assert f"### ❌ model-{number}: failed" in body
    # All ten failures of each model; then metrics, of each model about as many.
    assert body.count("❌\u00a0fail") == 30
    hidden = [int(n) for n in re.findall(r"(\d+) more metrics, see the \[full report\]", body)]
    assert len(hidden) == 3
    assert max(hidden) - min(hidden) < 5
    assert "passed checks" not in body
    assert body.rstrip().endswith("Parts are left out for length, see the [full report](" + OURS_FULL + ").")


OURS_FULL = samples.LINKS["full report"]


def test_three_models_of_500_metrics_are_quick() -> None:
    report = samples.large()
    render(samples.failing())
    start = time.perf_counter()
    body = render(report)
    assert time.perf_counter() - start < 1.0
    assert len(body.encode()) <= samples.LIMIT
