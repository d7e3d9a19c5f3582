"""The comment and the HTML report in a real browser: no script of a stranger runs, and nothing overflows.

`picture(path)` draws the picture of a comment for the README, where an emoji font is installed:
`python -c "from tests.e2e.test_comment_screenshot import picture; picture('docs/images/comment.png')"`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.records.run import File
from ciplug.reports import comment, history_page, html
from ciplug.reports.history_page import HistoryChange, HistoryPage, HistoryRow
from ciplug.reports.report import Report
from tests import report_samples as samples

pytestmark = pytest.mark.e2e

# How a forge lays a comment out, as far as it matters for width: tables scroll inside of their own box.
STYLE = """
:root { --page: #fff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --stripe: #f6f8fa; --link: #0969da; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0d1117; --ink: #f0f6fc; --soft: #9198a1; --line: #3d444d; --stripe: #151b23; --link: #4493f8; }
}
body { margin: 0; background: var(--page); }
.comment { box-sizing: border-box; max-width: 900px; margin: 0 auto; padding: 16px; color: var(--ink);
  font: 14px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif;
  overflow-wrap: break-word; }
.comment h2 { font-size: 21px; border-bottom: 1px solid var(--line); padding-bottom: .3em; margin: 0 0 16px; }
.comment h3 { font-size: 17.5px; margin: 24px 0 16px; }
.comment p, .comment table, .comment ul, .comment details, .comment blockquote { margin: 0 0 16px; }
.comment ul { padding-left: 2em; }
.comment blockquote { padding: 0 1em; color: var(--soft); border-left: .25em solid var(--line); }
.comment a { color: var(--link); text-decoration: none; }
.comment code { font: 85% ui-monospace, "DejaVu Sans Mono", monospace; padding: .2em .4em; background: #818b981f;
  border-radius: 6px; white-space: break-spaces; }
.comment table { display: block; width: max-content; max-width: 100%; overflow: auto; border-spacing: 0;
  border-collapse: collapse; font-variant: tabular-nums; }
.comment th, .comment td { padding: 6px 13px; border: 1px solid var(--line); }
.comment th { font-weight: 600; }
.comment tbody tr:nth-child(2n) { background: var(--stripe); }
.comment sub { font-size: 75%; line-height: 0; position: relative; vertical-align: baseline; bottom: -.25em; }
"""


def comment_page(report: Report, html: bool = True, style: str = STYLE) -> str:
    """The comment as a forge shows it, but without a forge's sanitizer: raw HTML would be alive."""
    cmarkgfm = pytest.importorskip("cmarkgfm", reason="cmarkgfm is not installed")
    from cmarkgfm.cmark import Options

    body = comment.render(report, samples.LIMIT, html=html)
    drawn = cmarkgfm.github_flavored_markdown_to_html(body, options=Options.CMARK_OPT_UNSAFE)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{style}</style>'
    return f'<!doctype html><html><head>{head}</head><body><div class="comment">{drawn}</div></body></html>'


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium as Debian and the CI images install it; skips where it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        pytest.skip("no chromium on PATH")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--headless", "--disable-gpu"]
        )
        try:
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


def show(running: Any, content: str, width: int, *, dark: bool = False, scale: int = 1) -> tuple[Any, list[str]]:
    """An open page, and the addresses that it asked for."""
    page = running.new_page(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        device_scale_factor=scale,
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/*", lambda route: route.abort())
    page.set_content(content)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    return page, asked


def picture(path: str, report: Report | None = None, width: int = 900) -> None:
    """Write the picture of a comment (PNG, two device pixels for one)."""
    with browser() as running:
        page, _ = show(running, comment_page(report or samples.failing()), width, scale=2)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        page.locator(".comment").screenshot(path=path)


REPORTS: dict[str, Callable[[], Report]] = {
    "failing": samples.failing,
    "first-run": samples.first_run,
    "several": samples.several,
    "sixteen": samples.sixteen,
    "untrusted": samples.untrusted,
    "hostile": samples.hostile,
    "crashed": samples.crashed,
}
HISTORY = HistoryPage(
    metric="accuracy",
    model="wine",
    branch="main",
    higher_is_better=True,
    rows=[
        HistoryRow(
            at=at, commit=f"{at:040x}", run=f"{at:032x}", value=0.9 - 0.03 * (at > 5), runs=1, date="2026-11-30",
            author="Ann", subject=samples.HOSTILE if at == 3 else "Change", versions=["v1 Production"] * (at == 4),
        )
        for at in range(9)
    ],
    changes=[HistoryChange(at=6, words="got worse from 0.9 to 0.87", is_worse=True)],
    bounds=[(0.8, "min")],
    notes=["this clone is shallow"],
)  # fmt: skip
PAGES: dict[str, Callable[[Report], str]] = {
    "comment": comment_page,
    "plain": lambda report: comment_page(report, html=False),
    "page": html.render,
}
OURS = ("https://github.com/acme/wine/", "https://ci.example/")
TEXTS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode())
    if (!walker.currentNode.parentElement.closest("code, pre, tt, a, style")) found.push(walker.currentNode.data);
  return found;
}"""
"""The texts in which forges look for mentions and references, as their filters choose them."""
REFERENCE = re.compile(
    r"(?<![\w@])@[\w-]+|[#!~%&$]\d+|\bGH-\d|\b[A-Z][A-Z]+-\d|\b[0-9a-f]{7,40}\b|://|\bwww\.|:[a-z_]+:", re.ASCII
)


@pytest.mark.parametrize("width", [900, 360])
@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("kind", PAGES)
def test_nothing_runs_and_nothing_overflows(chromium: Any, kind: str, name: str, width: int) -> None:
    page, asked = show(chromium, PAGES[kind](REPORTS[name]()), width)
    try:
        assert page.evaluate("window.hacked") is None
        assert asked == []
        assert page.locator("script, iframe, object, form, img, style:not(head style)").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        links = page.evaluate("[...document.links].map(a => a.getAttribute('href'))")
        assert [h for h in links if not h.startswith((*OURS, "#model-"))] == []
        if kind != "page":
            assert [text for text in page.evaluate(TEXTS) if REFERENCE.search(text)] == []
    finally:
        page.close()


@pytest.mark.parametrize("width", [900, 360])
def test_what_matters_is_seen_before_anything_is_opened_or_moved(chromium: Any, width: int) -> None:
    """The verdict, the overview's verdicts and the reasons lie in the view, however narrow."""
    page, _ = show(chromium, comment_page(samples.sixteen()), width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
    reach = """selector => Math.max(...[...document.querySelectorAll(selector)].filter(e => e.offsetParent)
        .map(e => e.getBoundingClientRect().right))"""
    try:
        assert page.locator("h2").inner_text() == "❌ 16 models: 2 failed, 1 inconclusive, 1 warned, 12 passed"
        assert page.evaluate(reach, "table:first-of-type td:nth-child(2)") <= width
        assert page.evaluate(reach, "h3 ~ table:has(td:nth-child(2):last-child) td") <= width
        assert page.locator("h3:visible").count() == 4
    finally:
        page.close()


@pytest.mark.parametrize(("width", "media"), [(500, "screen"), (718, "print")])
def test_nothing_of_a_report_is_beside_the_page(chromium: Any, width: int, media: str) -> None:
    """The reasons of gates, changes and histories, on a narrow screen and on paper, whatever a metric is named."""
    section = samples.failing().sections[0]
    long = "validation/" + "x" * 240
    steps = {**section.series, long: next(iter(section.series.values()))}
    section = replace(section, series=steps, compared_series=steps)
    page, _ = show(chromium, html.render(Report(sections=(section,))), width)
    right = "all => all.map(one => one.getBoundingClientRect().right)"
    try:
        page.emulate_media(media=media)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for cells in ("td", "figure", ".key", "th:visible"):
            assert max(page.locator(cells).evaluate_all(right)) <= width, cells
        if media == "screen":
            labels = page.locator("td[data-label]").evaluate_all("all => all.map(one => one.dataset.label)")
            assert {"this commit", "change", "history"} <= set(labels)
    finally:
        page.close()


def test_the_page_is_readable_in_the_dark(chromium: Any) -> None:
    page, _ = show(chromium, html.render(samples.failing()), 900, dark=True)
    light = "getComputedStyle(document.body)"
    colours = [
        page.evaluate(f"{light}.{what}.match(/\\d+/g).slice(0, 3).map(Number)") for what in ("color", "backgroundColor")
    ]
    page.close()
    ink, ground = (sum(colour) for colour in colours)
    assert ink > 600
    assert ground < 100


@pytest.mark.parametrize("name", ["failing", "several", "untrusted", "crashed", "history"])
def test_axe_finds_no_barrier(chromium: Any, name: str) -> None:
    """Contrast, headings, labels, the keyboard: in light and dark, on a wide page and a telephone."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    content = history_page.render(HISTORY) if name == "history" else html.render(REPORTS[name]())
    for width in (1100, 400):
        for scheme in ("light", "dark"):
            context = chromium.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
            )
            try:
                page = context.new_page()
                page.set_content(content)
                found = axe.Axe().run(page).response["violations"]
                assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == [], (width, scheme)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            finally:
                context.close()


FORGES = {
    # The least that a window of a desktop leaves for the text of a comment, and what a telephone of 390 pixels does.
    "github": (STYLE, (730, 358)),
    "gitlab": (
        STYLE
        + ".comment { max-width: 780px; padding: 12px 16px; } .comment th, .comment td { padding: 10px 16px; }"
        + ".comment sub { line-height: 1.2; } .comment h2 { font-size: 20px; border: 0; }",
        (780, 311),
    ),
}


def with_57_metrics() -> Report:
    """Two gates, and 55 other metrics, of which 14 changed; two images, and a page of the report."""
    page = "https://ci.example/acme/wine/-/jobs/7/artifacts/file/ciplug-report/report.html"
    recalls = [0.8 + number / 1000 for number in range(55)]
    others = tuple(
        samples.metric(f"slice_{n:02}/recall_at_precision_90", now, now - (n < 14) / 500, better=True)
        for n, now in enumerate(recalls)
    )
    compared = samples.comparison(metrics=(*samples.comparison().metrics[:2], *others))
    images = tuple(File(path=f"plots/{name}.png", digest="sha256:" + "5" * 64, size=9) for name in ("roc", "confusion"))
    origin = replace(samples.run().provenance, context=samples.context(report_url=page))
    run = samples.run(artifacts=images, provenance=origin)
    return replace(samples.failing(), sections=(samples.section(compared, samples.verdict(), run),))


@pytest.mark.parametrize("place", ["wide", "narrow"])
@pytest.mark.parametrize("forge", FORGES)
def test_57_metrics_in_the_room_that_a_forge_has(chromium: Any, forge: str, place: str) -> None:
    style, widths = FORGES[forge]
    width = widths[place == "narrow"]
    page, asked = show(chromium, comment_page(with_57_metrics(), style=style), width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = false)")
    try:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert asked == []
        # The verdict and the checks come first, then the gated metrics, then those that changed; the rest is folded.
        metrics = page.locator("table:visible", has=page.locator("th:text-is('metric')"))
        names = metrics.locator("td:first-child").all_inner_texts()
        assert names[:2] == ["f1_macro", "accuracy"] or names[:2] == ["accuracy", "f1_macro"]
        assert len(names) <= 15
        tops = [page.locator(one).first.bounding_box()["y"] for one in ("h2", "table:visible")]
        assert tops == sorted(tops)
        assert metrics.bounding_box()["y"] > tops[1]
        folds = page.locator("summary:visible").all_inner_texts()
        assert sum(int(one.split()[0]) for one in folds if "metric" in one) == 57 - len(names)
        # On a wide window everything up to the change is in view; what is beyond is reached by scrolling the table.
        changes = metrics.locator("td:nth-child(5)").first.bounding_box()
        assert place == "narrow" or changes["x"] + changes["width"] <= width
        line = page.locator("p", has_text="2 images")
        links = line.locator("a").evaluate_all("all => all.map(a => [a.innerText, a.href])")
        assert [name for name, _ in links][1:] == ["plots/confusion.png", "plots/roc.png"]
        assert all(href.startswith("https://ci.example/") and "#image-" in href for _, href in links[1:])
    finally:
        page.close()
