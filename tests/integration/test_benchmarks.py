"""The benchmarks run through, and their table lands between its markers. What they measure is no test's matter."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """`python benchmarks/run.py`, as docs/performance.md has it."""
    argv = [sys.executable, "benchmarks/run.py", *args]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_quick_benchmarks_write_the_table(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    done = run("--quick", "--output", str(page))
    assert done.returncode == 0, done.stderr
    written = page.read_text(encoding="utf-8")
    for command in ("--version", "record", "compare"):
        assert re.search(rf"^\| `ciplug {command}`.*\| \*\*\d+\.\d\d\*\* \(", written, re.MULTILINE), written
    # Everything around the table stands as it was.
    prose, begin, table = text.partition("<!-- results")
    assert begin and written.startswith(prose)
    assert written.endswith(table.partition("<!-- end of results -->")[2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "row"),
    [("calibration.py", ["--pulls", "4"], "| 5 seeds a side |"), ("gating.py", ["--quick"], "| binary |")],
)
def test_the_tables_of_the_statistics(script: str, arguments: list[str], row: str, tmp_path: Path) -> None:
    page = tmp_path / "statistics.md"
    page.write_bytes((ROOT / "docs" / "statistics.md").read_bytes())
    argv = [sys.executable, f"benchmarks/{script}", *arguments, "--output", str(page)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    table = (
        page.read_text(encoding="utf-8").partition(f"written by benchmarks/{script} -->")[2].partition("<!-- end")[0]
    )
    assert row in table


def test_the_comparison_with_mlflow(tmp_path: Path) -> None:
    """With MLflow 3.18 it writes its table; without, it says what is missing."""
    page = tmp_path / "statistics.md"
    page.write_bytes((ROOT / "docs" / "statistics.md").read_bytes())
    argv = [sys.executable, "benchmarks/mlflow_comparison.py", "--pulls", "2", "--output", str(page)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300)
    if done.returncode:
        assert "pip install 'mlflow>=3.18' scipy" in done.stderr
    else:
        assert "| 100 tasks tried 5 times | 0 |" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n")
    done = run("--quick", "--only", "version", "--output", str(page))
    assert done.returncode != 0
    assert "markers are missing" in done.stderr
    assert page.read_text() == "# A page\n"
