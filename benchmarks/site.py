"""What a site costs: the time to write it and its bytes, and how long its pages take in Chromium.

python benchmarks/site.py [--quick] [--output FILE]

`ciplug site` as a user types it, in a clone that has fetched the store before: into a new folder, again, and with one
segment of the store more. The page is opened as `file://` in a fresh browser: from its address to the first rows of the
table on the screen, and until all runs are there; then a letter is typed into the search field, and the time is that
until the table has the runs that were found. The median of several rounds, and the largest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from benchmarks.measuring import call  # noqa: E402
from benchmarks.places import Clones, Tools, scratch, server, tools  # noqa: E402

BEGIN, END = "<!-- site: written by benchmarks/site.py -->", "<!-- end of site -->"
FIRST_ROWS = """
new MutationObserver((_, watch) => {
  if (!window.firstRows && document.querySelector("#runs tbody tr")) {
    requestAnimationFrame(() => { window.firstRows = window.firstRows || performance.now(); });
    watch.disconnect();
  }
}).observe(document, { childList: true, subtree: true });
"""
SEARCH = """text => {
  const field = document.getElementById("search");
  const began = performance.now();
  field.value = text;
  field.dispatchEvent(new Event("input"));
  document.getElementById("runs").getBoundingClientRect();
  return performance.now() - began;
}"""
QUERIES = ("a", "ab", "octocat", "accuracy>0.92", "branch:main depth=6", "")


def measure(programs: Tools, sizes: Sequence[int], rounds: int) -> Iterator[str]:
    yield "| runs | new | again | one segment more | bytes | of the pages' data | first rows | all runs | search |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for runs in sizes:
        with scratch() as folder, server(folder, runs) as git:
            clone = Clones(folder / "clones", git).fresh()
            command = [*programs.ciplug, "site", "--output", "out"]
            call([*programs.ciplug, "runs", "list"], clone, programs.env)
            site = clone / "out"
            new = _timed(command, clone, programs)
            again = _timed(command, clone, programs)
            more = _timed(command, clone, programs) if _one_segment_less(clone, site) else None
            files = [file.stat().st_size for file in site.rglob("*") if file.is_file()]
            pieces = [file.stat().st_size for file in (site / "data" / "runs").iterdir()]
            shown = _browsed(site, rounds)
            cells = [
                f"{runs:,}",
                f"{new:.1f} s",
                f"{again:.1f} s",
                "–" if more is None else f"{more:.1f} s",
                f"{sum(files) / 1e6:,.1f} MB",
                f"{sum(pieces) / 1e6:,.1f} MB in {len(pieces)}",
                *(f"{statistics.median(times):,.0f} ms ({min(times):,.0f}–{max(times):,.0f})" for times in shown),
            ]
            yield f"| {' | '.join(cells)} |"


def _timed(command: Sequence[str], clone: Path, programs: Tools) -> float:
    began = time.perf_counter()
    call(command, clone, programs.env)
    return time.perf_counter() - began


def _one_segment_less(clone: Path, site: Path) -> bool:
    """Take the last segment out of the catalog and of the site, as if it were new; whether there is one."""
    (catalog,) = (clone / ".git" / "ciplug" / "catalog").glob("*.sqlite")
    with sqlite3.connect(catalog) as db:
        (last,) = db.execute("SELECT max(name) FROM segments").fetchone()
        for table, column in (("columns", "segment"), ("amendments", "segment"), ("segments", "name")):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (last,))
    db.close()
    pieces = [file for file in (site / "data" / "runs").iterdir() if file.name != "loose.js"]
    if last is None or not pieces:
        return False
    max(pieces, key=lambda file: file.stat().st_mtime_ns).unlink()
    return True


def _browsed(site: Path, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds until the first rows, until all runs, and of searches."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    first, whole, searches = [], [], []
    with sync_playwright() as driver:
        for _ in range(rounds):
            browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
            try:
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.add_init_script(FIRST_ROWS)
                page.goto(f"{site.as_uri()}/runs.html", wait_until="commit")
                page.wait_for_selector("html[data-ready]", timeout=120_000)
                whole.append(page.evaluate("performance.now()"))
                first.append(page.evaluate("window.firstRows"))
                searches += [page.evaluate(SEARCH, text) for text in QUERIES]
            finally:
                browser.close()
    return first, whole, searches


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Write sites of 100 and of 100,000 runs, and open them in Chromium.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that all of it works, not to measure")
    parser.add_argument("--output", metavar="FILE", type=Path, default=ROOT / "docs" / "site.md")
    args = parser.parse_args(argv)
    text = args.output.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"the markers are missing: {BEGIN} … {END}")
    sizes, rounds = ((100, 1100), 1) if args.quick else ((100, 100_000), 5)
    load = f", {os.getloadavg()[0]:.0f} processes in its queue" if hasattr(os, "getloadavg") else ""
    lines = [f"On a machine with {os.cpu_count()} cores{load}:", ""]
    for line in measure(tools(quick=True), sizes, rounds):
        print(line, file=sys.stderr, flush=True)
        lines.append(line)
    args.output.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
