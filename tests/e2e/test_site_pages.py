"""The site in a real browser, from a disk: what it shows, that no script of a stranger runs, and that all can use it.

The files are opened as `file://`, where a page may fetch nothing. Everything that a page asks for is in the folder.
"""

from __future__ import annotations

import json
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
        page.get_by_label("child runs, too").check()
        badges = "all => all.map(row => [...row.querySelectorAll('span.badge')].map(one => one.innerText).join(', '))"
        own = page.locator("#runs tbody tr").evaluate_all(badges)
        shown = dict(zip((run.split()[0] for run in cells(page, 2)), own, strict=True))
        assert shown == marks(project)


def test_search_and_order(chromium: Any, project: SiteProject) -> None:
    with opened(chromium, project, "runs") as page:
        count = page.locator("#runs tbody tr").count()
        every = (*project.runs, *project.marked.values(), project.sweep, *project.trials)
        listed = [run for run in every if run != project.marked["deleted"]]
        assert count == len([run for run in listed if run.parent is None])
        assert "and 4 child runs of them" in page.locator("#status").inner_text()
        shown = f"{project.runs[2].metrics['accuracy']:.3f}"
        for query, found, advice in (
            ("accuracy>0.919", sum(run.metrics.get("accuracy", 0) > 0.919 for run in listed), ""),
            ("is:withdrawn", 1, ""),
            ("status:failed", 1, ""),
            ("status:failed OR is:withdrawn", 2, ""),
            ("depth = 3 lr<0.2", sum(run.params.get("depth") == 3 for run in listed), ""),
            (f"accuracy={shown}", sum(f"{run.metrics.get('accuracy', 0):.3f}" == shown for run in listed), ""),
            (f"commit:{project.runs[2].commit[:9] if project.runs[2].commit else ''}", 1, ""),
            (f"parent:{project.sweep.id[:8]}", 3, ""),
            ("params.depth=7", sum(run.params.get("depth") == 7 for run in listed), ""),
            ('"no such words"', 0, "No run has ‘no such words’."),
            ("NOT depth=3", 0, "NOT is not supported: write NAME!=VALUE, for example status!=failed."),
            ("-branch:main", 0, "A condition cannot begin with -: write branch!=main."),
            ("-failed", 0, "‘-failed’ was looked for as it is written: words cannot be left out, but NAME!=VALUE can."),
            ("failed or withdrawn", 0, "‘or’ was looked for as a word: did you mean ‘OR’?"),
            ("(depth=3)", 0, "No metric, parameter or tag is named ‘(depth’: did you mean ‘depth’?"),
            ("(failed", 0, "‘(failed’ was looked for as it is written: brackets and wildcards are not supported."),
            ('"', count, 'A quote (") is not closed.'),
            ('depth="3', sum(run.params.get("depth") == 3 for run in listed), 'A quote (") is not closed.'),
            ("parent:zzz", 0, "No id of a run begins with ‘zzz’."),
            (f"parent:{project.runs[2].id}", 0, f"Run ‘{project.runs[2].id}’ has no child runs."),
            ("run:zzz", 0, "No id of a run begins with ‘zzz’."),
            ("depth=3)", 0, "No run has depth=3)."),
            ("branch=mian", 0, "No run has the branch ‘mian’: did you mean ‘main’?"),
            ("is:deleted", 0, "Found in 1 deleted run: tick ‘deleted ones, too’."),
            ("by:local/ann@example.com", sum(run.provenance.context.actor == "ann@example.com" for run in listed), ""),
            ("acuracy>0.9", 0, "No metric, parameter or tag is named ‘acuracy’: did you mean ‘accuracy’?"),
            ("accuracy>", count, "Behind accuracy> a value is missing."),
            ("accuracy>high", 0, "> compares numbers, and ‘high’ is none."),
            ("brunch:x", 0, "‘brunch:’ is no column, so ‘brunch:x’ was looked for as a word: did you mean ‘branch:’?"),
            ("branch:mian", 0, "No run has the branch ‘mian’: did you mean ‘main’?"),
            ("is:drity", 0, "No run is marked ‘drity’: did you mean ‘dirty’?"),
            ("OR depth=3", sum(run.params.get("depth") == 3 for run in listed), "OR stands between two conditions."),
            ("", count, ""),
        ):  # fmt: skip
            page.get_by_label("Search").fill(query)
            assert page.locator("#runs tbody tr").count() == found, query
            assert page.locator("#advice").inner_text().strip() == advice, query
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
        for _ in range(6):
            page.locator("#runs input:not(:checked)").first.click()
        words = page.locator("#status").inner_text()
        assert part.locator("h2").inner_text() == "8 runs side by side" and "is no longer chosen" in words
        part.get_by_role("button", name="Clear the choice").press("Enter")
        assert not part.is_visible()


def test_parallel_coordinates_and_scatter(chromium: Any, project: SiteProject) -> None:
    with opened(chromium, project, "runs", "#model=wine") as page:
        page.locator("#parallel summary").press("Enter")
        page.wait_for_selector("#parallel path.run")
        assert page.locator("#parallel path.run").count() == page.locator("#runs tbody tr").count()
        assert page.locator("#parallel .axis").count() == 6
        page.locator("#scatter summary").press("Enter")
        page.wait_for_selector("#scatter canvas")
        page.get_by_label("Across").select_option(label="depth")
        page.wait_for_selector("#scatter canvas[aria-label='accuracy over depth of 25 runs']")
        # A point tells which run it is, and a click chooses it.
        over = page.locator("#scatter .u-over")
        over.scroll_into_view_if_needed()
        box = over.bounding_box()
        x = box["x"] + box["width"] * 0.03 / 1.06  # the lowest depth
        for y in range(int(box["y"]), int(box["y"] + box["height"]), 6):
            page.mouse.move(x, y)
            page.wait_for_timeout(30)
            if page.locator("#scatter .tip").is_visible():
                break
        words = page.locator("#scatter .tip").inner_text()
        assert "accuracy" in words and "depth" in words
        page.mouse.click(x, y)
        assert page.locator("#chosen h2").inner_text() == words.split(":")[0]
        line = "one => getComputedStyle(one).stroke"
        page.wait_for_selector("#parallel path.run.chosen")
        colour = page.locator("#parallel path.run.chosen").evaluate(line)
        assert colour == page.locator("#chosen .swatch line").evaluate(line)


def test_a_sweep_is_one_table_with_its_best_run(chromium: Any, project: SiteProject) -> None:
    """As `ciplug runs sweep`: parameters that differ, metrics, the best marked, and which run counts for the commit."""
    with opened(chromium, project, "runs") as page:
        page.get_by_role("link", name="+3 children").press("Enter")
        page.wait_for_selector("#parallel path.run")
        assert page.get_by_label("Search").evaluate("one => one === document.activeElement"), "the link is gone"
        heads = page.locator("#runs th button").all_inner_texts()
        assert heads == ["run", "status", "depth", "↓ accuracy", "loss"]
        assert [text.split()[-1] for text in cells(page, 2)] == ["1", "0", "2"]
        assert [text.split()[0] for text in cells(page, 3)] == ["best", "finished", "finished"]
        assert cells(page, 5)[-1] == "–" and page.locator("#runs td.number", has_text="–").count() == 1
        words = page.locator("#sweep").inner_text()
        best = json.loads(project.ciplug("runs", "sweep", project.sweep.id, "--format", "json").stdout)["best"]
        assert f"the best is {best[:12]}" in words and "the run that started them counts" in words
        # Axes: depth, accuracy, loss. The last run has no accuracy: its line has a gap there.
        drawn = page.locator("#parallel path.run").evaluate_all("all => all.map(one => one.getAttribute('d'))")
        assert sorted(path.count("M") for path in drawn) == [1, 1, 2]
        page.get_by_label("Search").fill("")
        assert page.locator("#runs th button").first.inner_text() == "run" and not page.locator("#sweep").is_visible()
        assert page.locator("#runs th[aria-sort]").inner_text() == "↓ started (UTC)"


@pytest.mark.parametrize(("width", "media"), [(500, "screen"), (718, "print")])
def test_what_pages_say_is_on_the_page(chromium: Any, project: SiteProject, width: int, media: str) -> None:
    """On a narrow screen and on paper nothing of a table is beside the page, and no word is broken letter by letter."""
    for name in ("index", "runs", "registry", "gates", "history"):
        with opened(chromium, project, name, "#model=wine" if name == "runs" else "", width=width) as page:
            page.emulate_media(media=media)
            right = "all => Math.max(0, ...all.map(one => one.getBoundingClientRect().right))"
            assert page.locator("table.stack td").evaluate_all(right) <= width, name
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            if name == "runs":
                assert page.locator("#runs th:visible").evaluate_all(right) <= width
                first = page.locator("#runs tbody tr").first
                assert first.locator("td.value").count() == 3 and first.locator("td.value").first.is_visible()
            if media == "print":
                assert not page.locator("nav").is_visible() and page.locator(".tools:visible").count() == 0
                if name == "history":
                    # A sheet narrower than the window: the chart shrinks, and is whole.
                    page.evaluate("document.querySelector('main').style.width = '400px'")
                    box = page.locator("#chart canvas").bounding_box()
                    assert 300 < box["width"] <= 400 and box["height"] > 100


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
