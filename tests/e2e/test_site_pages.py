"""The site in a real browser, from a disk: what it shows, that no script of a stranger runs, and that all can use it.

The files are opened as `file://`, where a page may fetch nothing. Everything that a page asks for is in the folder.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ciplug.steps.site.serve import serve
from tests.e2e.conftest import ROOT
from tests.e2e.test_comment_screenshot import browser
from tests.site_samples import SiteProject, run_of, site_project

pytestmark = pytest.mark.e2e

PAGES = ("index", "runs", "history", "registry", "gates")
DATA = ("runs", "history")
"""Pages that load data."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> SiteProject:
    made = site_project(tmp_path_factory.mktemp("site"))
    made.ciplug("site", "--output", "out")
    return made


@contextmanager
def opened(
    running: Any,
    project: SiteProject,
    name: str,
    fragment: str = "",
    *,
    width: int = 1280,
    dark: bool = False,
    **more: Any,
) -> Iterator[Any]:
    """A page whose data has arrived. Whatever the browser complains about fails the test."""
    context = running.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", **more
    )
    site = (project.folder / "out").as_uri()
    asked: list[str] = []
    complaints: list[str] = []
    try:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{site}/{name}.html{fragment}")
        if name in DATA:
            page.wait_for_selector("html[data-ready]")
        yield page
        assert complaints == []
        assert [url for url in asked if not url.startswith((f"{site}/", "data:image/"))] == []
        assert page.evaluate("window.hacked") is None
    finally:
        context.close()


def chosen(*numbers: int) -> str:
    return f"#chosen={','.join(run_of(number, None).id for number in numbers)}"


def cells(page: Any, column: int) -> list[str]:
    return list(page.locator(f"#runs tbody tr td:nth-child({column})").all_inner_texts())


def marks(project: SiteProject) -> dict[str, str]:
    """Run → its status as `ciplug runs list` has it."""
    lines = project.ciplug("runs", "list", "--all", "--children", "--format", "markdown", "--limit", "0").stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines.splitlines()[2:]]
    return {row[0].strip("`"): row[4] for row in rows}


def test_runs_are_marked_as_the_list_marks_them(chromium: Any, project: SiteProject) -> None:
    with opened(chromium, project, "runs") as page:
        hidden = project.marked["deleted"].id[:12]
        assert hidden not in " ".join(cells(page, 2))
        page.get_by_label("deleted ones, too").check()
        shown = {run.split()[0]: ", ".join(status.split(" ") if "files" not in status else [status])
                 for run, status in zip(cells(page, 2), cells(page, 6), strict=True)}  # fmt: skip
        assert shown == marks(project)


def test_search_and_order(chromium: Any, project: SiteProject) -> None:
    with opened(chromium, project, "runs") as page:
        count = page.locator("#runs tbody tr").count()
        listed = [run for run in (*project.runs, *project.marked.values()) if run != project.marked["deleted"]]
        for query, found in (
            ("accuracy>0.919", sum(run.metrics.get("accuracy", 0) > 0.919 for run in listed)),
            ("is:withdrawn", 1),
            ("status:failed", 1),
            ("depth=3 optimizer=sgd", sum(run.params.get("depth") == 3 for run in listed)),
            (f"commit:{project.runs[2].commit[:9] if project.runs[2].commit else ''}", 1),
            ('"no such words"', 0),
            ("", count),
        ):
            page.get_by_label("Search").fill(query)
            assert page.locator("#runs tbody tr").count() == found, query
        page.get_by_label("Model").select_option("wine")
        heads = page.locator("#runs th button").all_inner_texts()
        at = heads.index("accuracy") + 2
        press = page.locator("#runs th button", has_text="accuracy")
        press.focus()
        page.keyboard.press("Enter")
        values = [float(value) for value in cells(page, at)]
        assert values == sorted(values, reverse=True)
        assert page.locator("#runs th[aria-sort=descending]").inner_text() == "↓ accuracy"
        page.keyboard.press("Enter")
        values = [float(value) for value in cells(page, at)]
        assert values == sorted(values)


def test_chosen_runs_stand_side_by_side(chromium: Any, project: SiteProject) -> None:
    with opened(chromium, project, "runs", chosen(19, 18, 2)) as page:
        part = page.locator("#chosen")
        assert part.locator("h2").inner_text() == "3 runs side by side"
        row = part.locator("tr", has=page.locator("th", has_text="accuracy")).first.locator("td").all_inner_texts()
        assert row == ["0.889", "0.892", "0.918"]
        assert part.locator("figure canvas").count() == 2
        assert part.locator(".u-legend .u-series").count() == 8
        images = part.locator(".pictures img")
        page.wait_for_function("document.querySelectorAll('#chosen img').length === 2")
        sizes = images.evaluate_all("all => all.map(one => [one.complete, one.naturalWidth])")
        assert sizes == [[True, 120], [True, 120]]
        page.keyboard.press("Tab")
        part.get_by_role("button", name="Clear the choice").press("Enter")
        assert not part.is_visible()


def test_parallel_coordinates_and_scatter(chromium: Any, project: SiteProject) -> None:
    with opened(chromium, project, "runs", "#model=wine") as page:
        page.locator("#parallel summary").press("Enter")
        page.wait_for_selector("#parallel polyline")
        assert page.locator("#parallel polyline").count() == page.locator("#runs tbody tr").count()
        assert page.locator("#parallel .axis").count() == 6
        page.locator("#scatter summary").press("Enter")
        page.wait_for_selector("#scatter canvas")
        page.get_by_label("Across").select_option(label="depth")
        page.wait_for_selector("#scatter canvas[aria-label='accuracy over depth of 25 runs']")


def test_the_history_shows_the_change(chromium: Any, project: SiteProject) -> None:
    with opened(chromium, project, "history", "#model=wine&metric=accuracy") as page:
        words = page.locator("#changes li").inner_text()
        assert words.startswith("got worse from 0.92 to 0.89 at")
        assert '"Change number 15"' in words
        assert page.locator("#chart canvas").count() == 1
        page.get_by_label("Metric").select_option("loss")
        assert page.locator("#commits tbody tr").count() == 20


@pytest.mark.parametrize("width", [1280, 500])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_nothing_overflows_and_axe_finds_no_barrier(
    chromium: Any, project: SiteProject, name: str, width: int
) -> None:
    """The data has names that would run as scripts, as markup, or as JavaScript's own keys."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    for dark in (False, True):
        fragment = chosen(30, 19) if name == "runs" else ""
        with opened(chromium, project, name, fragment, width=width, dark=dark) as page:
            if name == "runs":
                page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
                page.wait_for_selector("#scatter canvas")
                page.wait_for_selector("#columns fieldset")
            if name == "history":
                page.get_by_label("Model").select_option(index=1)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("img[src='x']").count() == 0
        with opened(chromium, project, name, fragment, width=width, dark=dark, bypass_csp=True) as page:
            found = axe.Axe().run(page, options={"preload": False}).response["violations"]
            assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == [], (width, dark)


def test_a_site_without_runs(chromium: Any, tmp_path: Path) -> None:
    empty = SiteProject.create(tmp_path / "work")
    empty.ciplug("site", "--output", "out")
    with opened(chromium, empty, "runs") as page:
        assert page.locator("#status").inner_text() == "0 runs."
    with opened(chromium, empty, "index") as page:
        assert "No run is recorded." in page.locator("main").inner_text()


@pytest.mark.slow
def test_the_quick_benchmark_writes_its_table(tmp_path: Path) -> None:
    page = tmp_path / "site.md"
    page.write_bytes((ROOT / "docs" / "site.md").read_bytes())
    argv = [sys.executable, "benchmarks/site.py", "--quick", "--output", str(page)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    table = page.read_text(encoding="utf-8").partition("written by benchmarks/site.py -->")[2]
    assert "| 100 | " in table.partition("<!-- end of site -->")[0]


def test_the_pages_work_over_http(chromium: Any, project: SiteProject) -> None:
    """As on GitHub Pages or GitLab Pages: by the server of `ciplug ui --static`."""
    with serve(project.folder / "out", "127.0.0.1", 0) as server:
        threading.Thread(target=server.run, daemon=True).start()
        page = chromium.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        try:
            page.goto(f"{server.address.replace('index', 'runs')}{chosen(19, 18)}")
            page.wait_for_selector("html[data-ready]")
            page.wait_for_function("document.querySelectorAll('#chosen img').length === 2")
            assert page.locator("#runs tbody tr").count() == 26
            assert [one for one in complaints if "favicon" not in one] == []
        finally:
            page.close()
