"""The comment: what it says (golden files), and what no name or value can make it say (GitHub's own parser)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug.records import forge_pages
from ciplug.reports import comment, untrusted
from ciplug.reports import report as model
from ciplug.reports.report import Report
from tests import generated
from tests import report_samples as samples
from tests.work import calls

GOLDEN = Path(__file__).parent / "golden"
TAGS = {
    "h2", "h3", "b", "p", "strong", "blockquote", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code", "a",
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
        """All that is shown, without what is in <code>: there, forges look for no mention and no reference."""
        self.shown = ""
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
        if tag not in ("code", "strong", "b", "a", "sub"):
            self.text += "\n"

    def handle_endtag(self, tag: str) -> None:
        self.closed.append(tag)

    def handle_data(self, data: str) -> None:
        self.shown += data
        if self.tags.count("code") == self.closed.count("code"):
            self.text += data
        else:
            # What follows is not glued to what stands before.
            self.text += " "
        if self.tags and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def render(report: Report, limit: int = samples.LIMIT, html: bool = True) -> str:
    return comment.render(report, limit, html=html)


REFERENCES = re.compile(
    # @user #1 !1 ~label %milestone &epic $snippet ^alert [^1] *iteration: and addresses
    r"[@#!~%&$^][\w\"']|\[\^?\w+:|\*iteration:|://|www\.|\bmailto:\S*@\w"
    # GH-1, and the keys of Jira
    r"|\b[Gg][HhLl]-\d|\b[A-Z][A-Z\d]*-\d|:[\w+-]+:"
    # the id of a commit
    r"|(?<!\w)(?<!\d\.)(?=\d*[a-fA-F])[\da-fA-F]{7,64}(?!\w)|\{[+-]"
)


def check(body: str, links: set[str]) -> Parsed:
    """Everything that must hold of every comment, whoever chose the names in it."""
    body.encode()
    parsed = Parsed(body)
    assert set(parsed.tags) <= TAGS
    assert sorted(parsed.tags) == sorted(parsed.closed)
    assert set(parsed.links) <= links
    assert not (found := REFERENCES.search(parsed.text)), found
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]", parsed.shown)
    # Nothing begins a line but what is ours: no quick action, no fence, no comment, no math.
    assert not re.search(r"(?m)^\s*(/|```|~~~|\$\$|<!--)", body.removeprefix(samples.MARKER))
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


def ours(report: Report) -> set[str]:
    """The addresses that may be in the comment: those of trusted jobs, and of the registry."""
    found = set(samples.LINKS)
    for section in report.sections:
        contexts = [c for c in (section.run.provenance.context, *section.origins.values()) if c.trusted]
        addresses = [section.registry_url, *(url for c in contexts for url in (c.run_url, c.report_url))]
        found |= {untrusted.safe_url(url) or "" for url in addresses if url}
        found |= {forge_pages.commit_page(c, side.commit) or "" for c in contexts for side in section.comparison.sides}
    return found - {""}


GOLDENS: dict[str, tuple[Callable[[], Report], int, bool]] = {
    "passing": (samples.passing, samples.LIMIT, True),
    "failing": (samples.failing, samples.LIMIT, True),
    "first_run": (samples.first_run, samples.LIMIT, True),
    "several": (samples.several, samples.LIMIT, True),
    "sixteen": (samples.sixteen, samples.LIMIT, True),
    "truncated": (samples.sixteen, 4_500, True),
    "inconclusive": (samples.inconclusive, samples.LIMIT, True),
    "waived": (samples.waived, samples.LIMIT, True),
    "untrusted": (samples.untrusted, samples.LIMIT, True),
    "without_gates": (samples.without_gates, samples.LIMIT, True),
    "mistaken": (samples.mistaken, samples.LIMIT, True),
    "bitbucket": (samples.several, 32_200, False),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name: str) -> None:
    make, limit, html = GOLDENS[name]
    body = render(make(), limit, html)
    check(body, ours(make()))
    path = GOLDEN / f"comment_{name}.md"
    # To accept a change: UPDATE_GOLDEN=1, and look at the difference.
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(body, encoding="utf-8")
    assert body == path.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {f"comment_{name}.md" for name in GOLDENS}


def test_the_marker_is_the_first_line_and_the_verdict_the_first_words() -> None:
    lines = render(samples.failing()).split("\n")
    assert lines[0] == samples.MARKER
    assert lines[2] == "## ❌ wine-quality: failed"


def test_absent_sides_have_a_reason() -> None:
    body = render(samples.first_run())
    assert (
        "is compared with nothing: no run of 'wine-quality' to compare with on the merge base → the first run" in body
    )
    assert (
        "not shown: main: no run of 'wine-quality' on main · production: no version of 'wine-quality' is in production"
        in body
    )
    assert "| merge base |" not in body


def test_what_was_not_judged_does_not_look_passed() -> None:
    body = render(samples.without_gates())
    assert "## 📊 wine-quality: compared, no gates set" in body
    assert "No gates are set for this model: it is compared, and not judged." in body
    assert "✅" not in body
    assert "✅" not in render(Report(sections=()))
    assert "## ⛔ wine-quality: not judged" in render(samples.mistaken())


def test_long_names_leave_room_for_the_numbers_and_stay_apart() -> None:
    long, twin = "validation/" + "x" * 239, ["y" * 60 + middle + "y" * 60 for middle in "ab"]
    metrics = tuple(samples.metric(name, 0.9, 0.8) for name in (long, *twin))
    body = render(Report(sections=(samples.section(samples.comparison(metrics=metrics), None),)))
    rows = [row for row in body.splitlines() if row.startswith("| `")]
    assert any(row.startswith("| `validation/xxx") and "x…x" in row and len(row) < 120 for row in rows)
    assert all(any(f"`{name}`" in row for row in rows) for name in twin), "these would look the same"


def test_without_html() -> None:
    """For a forge that shows tags as text."""
    body = render(samples.several(), html=False)
    assert "<" not in body
    check(body, ours(samples.several()))


@pytest.mark.parametrize("html", [True, False])
def test_a_hostile_report(html: bool) -> None:
    body = render(samples.hostile(), html=html)
    parsed = check(body, ours(samples.hostile()))
    assert "<script>window.hacked=1</script>" in parsed.shown.replace("\u200b", "")


# --- whoever posts it, whenever


def test_nothing_of_the_job_that_posts_is_in_it() -> None:
    """Jobs that race write the same: the comment is made of what the store holds."""
    report = samples.several()
    other = replace(report, context=samples.context(555, job="gpu"), notes=("disk full",))
    assert render(other) == render(report)
    # Nor the order in which the store lists its runs, nor when and by which version the gates were asked again.
    sections = [
        replace(s, verdict=s.verdict and replace(s.verdict, created="2027-01-01T00:00:00Z", ciplug="9"))
        for s in reversed(report.sections)
    ]
    assert render(replace(report, sections=tuple(sections))) == render(report)


def test_the_age_of_a_baseline_is_by_the_records_alone() -> None:
    section = samples.failing().sections[0]
    aged = replace(section.comparison.baseline, age_days=400.0)
    later = replace(section, comparison=replace(section.comparison, baseline=aged))
    assert render(Report(sections=(later,))) == render(Report(sections=(section,)))


# --- links


def links_of(report: Report) -> list[str]:
    return Parsed(render(report)).links


def test_the_baseline_is_stated_with_its_commit_and_its_run() -> None:
    body = render(samples.failing())
    commit = f"[`9f8e7d6c`]({samples.WEB}/commit/{samples.BASE})"
    assert (
        f"against **merge base with main** {commit} (3 days older, [its run]({samples.WEB}/actions/runs/977))" in body
    )


def test_the_name_of_a_branch_decides_nothing_about_how_a_baseline_is_stated() -> None:
    section = samples.failing().sections[0]
    tip = replace(section.comparison.baseline, label="tip", how="tip of tip", at_merge_base=False)
    body = render(
        replace(samples.failing(), sections=(replace(section, comparison=replace(section.comparison, baseline=tip)),))
    )
    assert "against **tip** " in body and "(tip of tip, 3 days older" in body


def test_a_fork_s_record_makes_no_links_but_to_a_run_of_this_repository() -> None:
    (section,) = samples.untrusted().sections
    assert "evil" not in render(samples.untrusted())
    assert f"{samples.WEB}/actions/runs/981" in links_of(samples.untrusted())
    for url in (
        "https://evil.example/actions/runs/1",
        f"{samples.WEB}/issues/new?title=x",
        f"{samples.WEB}/../evil/actions/runs/1",
        f"{samples.WEB}.evil.example/actions/runs/1",
        "javascript:window.hacked=1",
    ):
        fork = samples.context(trusted=False, run_url=url, server_url="https://evil.example", repository="x/y")
        run = replace(section.run, provenance=replace(section.run.provenance, context=fork))
        found = links_of(Report(sections=(replace(section, run=run),)))
        assert url not in found
        assert not any("evil" in link for link in found)
        # And nothing at all where no trusted job says where the repository is.
        alone = replace(section, run=run, origins={}, registry_url=None)
        assert links_of(Report(sections=(alone,))) == []


@pytest.mark.parametrize("url", ["javascript:window.hacked=1", "data:text/html,x", "//x", "ftp://x/y", " ", "https://"])
def test_what_is_not_a_web_address_is_not_a_link(url: str) -> None:
    section = samples.failing().sections[0]
    bad = samples.context(run_url=url, report_url=url, server_url=url)
    run = replace(section.run, provenance=replace(section.run.provenance, context=bad))
    report = Report(sections=(replace(section, run=run, origins={"b" * 32: bad}, registry_url=url),))
    assert links_of(report) == []


def test_without_a_page_the_registry_s_command_is_named() -> None:
    section = replace(samples.failing().sections[0], model="it's & one", registry_url=None)
    assert """registry: `ciplug registry history 'it'"'"'s & one'`""" in render(Report(sections=(section,)))
    assert "registry" not in render(Report(sections=(replace(section, versions=0),)))


PIECES = st.sampled_from(
    [
        *"|\\`<>&[]()!*_~#@$:/-+=.{}\"'^% x7\n\r\t\u2028\x00\x1b\u202e\u200b\ud800",
        *("<b>", "</td>", "<!--", "-->", "]]>", "&lt;", "&#64;", "~~~", "```", "| - |", "\\|", "---", "==="),
        *("@octocat", "#123", "a@b.co", "http://", "www.", "GH-1", "1. ", "- [ ] ", "[^1]", "mailto:", "[a](b)"),
        *("!1", "~bug", "%3", "$4", "&5", "/close", "[issue:1]", "JIRA-1", ":tada:", "deadbeef", "a/b@deadbeef", "$$"),
    ]
)
HOSTILE = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30)


@pytest.mark.slow
@settings(max_examples=generated.examples(80), deadline=None)
@given(st.lists(HOSTILE, min_size=3, max_size=5), st.booleans())
def test_no_name_or_value_breaks_out(texts: list[str], html: bool) -> None:
    report = samples.hostile(tuple(texts))
    check(render(report, html=html), ours(report))


@settings(max_examples=generated.examples(200), deadline=None)
@given(HOSTILE)
def test_a_name_is_read_back_as_it_was(name: str) -> None:
    escaped = untrusted.escape_markdown(name, 10_000)
    parsed = Parsed(f"| a | b |\n|---|---|\n| <code>{escaped}</code> | x{escaped}x |")
    expected = untrusted.clean(name, 10_000)
    cells = [cell.replace("\u200b", "").strip() for cell in parsed.rows[1]]
    assert cells == [expected, f"x{expected}x"]
    assert set(parsed.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["failing", "several", "sixteen", "hostile"])
def test_every_limit_holds(name: str) -> None:
    report = getattr(samples, name)()
    links = ours(report)
    whole = len(render(report, 10**9).encode())
    least = len(samples.MARKER)
    for limit in [*range(least, least + 60, 11), *range(least + 60, whole, max(1, whole // 12)), whole - 1, whole]:
        body = render(report, limit)
        assert len(body.encode()) <= limit
        assert body.split("\n")[0] == samples.MARKER
        check(body, links)
        if least + 200 < limit < whole:
            assert "Parts are left out for length" in body
    with pytest.raises(ValueError, match="no room"):
        render(report, least - 1)


def test_what_matters_is_cut_last() -> None:
    report = samples.large()
    body = render(report, 20_000)
    check(body, ours(report))
    assert 15_000 < len(body.encode()) <= 20_000
    for number in range(3):
        assert f"### ❌ model-{number}: failed" in body
    # All ten failures of each model; then metrics, of each model about as many.
    assert body.count("**Failed:**") == 30
    hidden = [int(n) for n in re.findall(r"(\d+) more metrics, see the \[full report\]", body)]
    assert len(hidden) == 3
    assert max(hidden) - min(hidden) < 5
    assert "passed checks" not in body
    assert body.rstrip().endswith("Parts are left out for length: `ciplug report` writes all of it.")


def test_the_overview_stays_and_those_that_passed_go_first() -> None:
    report = samples.sixteen()
    whole = render(report)
    for limit in range(len(whole.encode()), 2_500, -1_300):
        body = render(report, limit)
        assert [row[0].replace("\u2060", "").strip() for row in Parsed(body).rows[1:17]] == [
            s.model for s in model.by_verdict(report)
        ]
        if "### ✅" in body:
            assert body.count("### ❌") == 2


def test_the_work_grows_with_the_metrics_and_no_faster() -> None:
    small, large = samples.large(metrics=100), samples.large(metrics=500)
    assert len(render(large).encode()) <= samples.LIMIT
    assert calls(lambda: render(large)) < 8 * calls(lambda: render(small))
