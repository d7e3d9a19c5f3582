"""The comment and the HTML report in a real browser: no script of a stranger runs, and nothing overflows.

`picture(path)` draws the picture of a comment for the README:
`python -c "from tests.e2e.test_comment_screenshot import picture; picture('docs/images/comment.png')"`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ciplug.reports import html, markdown
from ciplug.reports.report import Report
from tests import report_samples as samples

pytestmark = pytest.mark.e2e

# How a forge lays a comment out, as far as it matters for width: tables scroll inside of their own box.
STYLE = """
body { margin: 0; background: #fff; }
.comment { box-sizing: border-box; max-width: 900px; margin: 0 auto; padding: 16px; color: #1f2328;
  font: 14px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif, "Noto Color Emoji";
  overflow-wrap: break-word; }
.comment h2 { font-size: 21px; border-bottom: 1px solid #d1d9e0b3; padding-bottom: .3em; margin: 0 0 16px; }
.comment h3 { font-size: 17.5px; margin: 24px 0 16px; }
.comment p, .comment table, .comment ul, .comment details, .comment blockquote { margin: 0 0 16px; }
.comment ul { padding-left: 2em; }
.comment blockquote { padding: 0 1em; color: #59636e; border-left: .25em solid #d1d9e0; }
.comment a { color: #0969da; text-decoration: none; }
.comment code { font: 85% ui-monospace, "DejaVu Sans Mono", monospace; padding: .2em .4em; background: #818b981f;
  border-radius: 6px; white-space: break-spaces; }
.comment table { display: block; width: max-content; max-width: 100%; overflow: auto; border-spacing: 0;
  border-collapse: collapse; font-variant: tabular-nums; }
.comment th, .comment td { padding: 6px 13px; border: 1px solid #d1d9e0; }
.comment th { font-weight: 600; }
.comment tr { border-top: 1px solid #d1d9e0b3; }
.comment tbody tr:nth-child(2n) { background: #f6f8fa; }
.comment sub { font-size: 75%; }
"""


def comment_page(report: Report) -> str:
    """The comment as a forge shows it, but without a forge's sanitizer: raw HTML would be alive."""
    cmarkgfm = pytest.importorskip("cmarkgfm", reason="cmarkgfm is not installed")
    from cmarkgfm.cmark import Options

    body = markdown.render(report, marker=samples.MARKER, limit=samples.LIMIT)
    drawn = cmarkgfm.github_flavored_markdown_to_html(body, options=Options.CMARK_OPT_UNSAFE)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
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
    "hostile": samples.hostile,
}


@pytest.mark.parametrize("width", [900, 390])
@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("kind", ["comment", "page"])
def test_nothing_runs_and_nothing_overflows(chromium: Any, kind: str, name: str, width: int) -> None:
    report = REPORTS[name]()
    page, asked = show(chromium, comment_page(report) if kind == "comment" else html.render(report), width)
    try:
        assert page.evaluate("window.hacked") is None
        assert asked == []
        assert page.locator("script, iframe, object, form, img, style:not(head style)").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        dead = page.evaluate(
            "[...document.links].map(a => a.href).filter(h => !/^https?:\\/\\/ci\\.example\\//.test(h))"
        )
        assert [h for h in dead if not h.startswith("#")] == []
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
