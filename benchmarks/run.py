"""Measure ciplug by its peers and floors, and write the table of docs/performance.md.

python benchmarks/run.py [--quick] [--only NAME] [--output FILE]
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# In place of this folder, whose names are not for everybody.
sys.path[0] = str(ROOT)

from benchmarks.measuring import Fact, Result, Skipped, call  # noqa: E402
from benchmarks.places import OUT, Tools, tools  # noqa: E402
from ciplug.capture.environment import hardware, operating_system  # noqa: E402

MEASUREMENTS = {
    "version": "startup",
    "action": "action",
    "mlflow": "tracking",
    "mlflow-store": "mlflow_store",
    "record": "recording",
    "at-once": "concurrency",
    "compare": "peers",
    "read": "reading",
    "query": "querying",
    "amendments": "amending",
    "analytics": "analytics",
    "registry": "registry",
    "fsck": "checking",
    "gates": "many_gates",
    "pull-request": "pull_request",
}
"""Name on the command line → module with a function `measure`."""
BEGIN, END = "<!-- results: written by benchmarks/run.py -->", "<!-- end of results -->"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Measure ciplug by its peers and floors.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that all of it works, not to measure")
    parser.add_argument("--only", metavar="NAME", action="append", choices=list(MEASUREMENTS), help="may be repeated")
    parser.add_argument("--pairs", metavar="N", type=int, help="pairs of a ratio (default: 9; with --quick: 1)")
    parser.add_argument("--output", metavar="FILE", type=Path, default=ROOT / "docs" / "performance.md")
    args = parser.parse_args(argv)
    text = args.output.read_text(encoding="utf-8") if args.output.exists() else f"{BEGIN}\n{END}\n"
    _replaced(text, "")  # before minutes are spent
    OUT.mkdir(exist_ok=True)
    programs = tools(quick=args.quick)
    pairs = args.pairs or (1 if args.quick else 9)
    results: list[Result | Fact | Skipped] = []
    for name in args.only or MEASUREMENTS:
        module = import_module(f"benchmarks.{MEASUREMENTS[name]}")
        for result in module.measure(programs, pairs=pairs, quick=args.quick):
            print(_row(result), file=sys.stderr, flush=True)
            results.append(result)
    args.output.write_text(_replaced(text, _table(results, _machine(programs, pairs, args.quick))), encoding="utf-8")
    return 0


def _table(results: Sequence[Result | Fact | Skipped], machine: str) -> str:
    head = ["what", "ratio", "aim", "ciplug", "compared with", "takes", "also"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *map(_row, results)]
    return "\n".join([machine, "", *lines])


def _row(result: Result | Fact | Skipped) -> str:
    if isinstance(result, Skipped):
        cells = [result.name, "–", "", "", "", "", f"not measured: {result.reason}"]
    elif isinstance(result, Fact):
        cells = [result.name, "", "", result.value, "", "", result.notes]
    else:
        ratios = result.ratios
        cells = [
            result.name,
            f"**{result.ratio:.2f}** ({min(ratios):.2f}–{max(ratios):.2f})",
            "" if result.aim is None else f"≤ {result.aim}" + ("" if result.ratio <= result.aim else ", missed"),
            str(result.ours),
            result.floor_name,
            str(result.floor),
            result.notes,
        ]
    return f"| {' | '.join(cells)} |"


def _machine(programs: Tools, pairs: int, quick: bool) -> str:
    machine = hardware()
    versions = [call(["git", "--version"], ROOT), call([*programs.ciplug, "--version"], ROOT, programs.env)]
    if programs.dvc:
        versions.append(b"dvc " + call([programs.dvc, "--version"], ROOT))
    if programs.mlflow:
        versions.append(b"mlflow " + call([programs.mlflow, "-c", "import mlflow; print(mlflow.__version__)"], ROOT))
    words = [
        f"{datetime.now(timezone.utc):%Y-%m-%d}",
        f"{machine.cores} cores of {machine.cpu}",
        f"{(machine.memory_bytes or 0) / 2**30:.0f} GiB",
        operating_system(),
        f"Python {platform.python_version()}",
        *(version.decode().strip() for version in versions),
    ]
    sizes = " Tiny sizes: this is no measurement." if quick else ""
    return f"{', '.join(words)}. Medians of {pairs} pairs or more (smallest–largest).{sizes}"


def _replaced(text: str, table: str) -> str:
    """The text with the table between its markers. Raises SystemExit when they are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"the markers are missing: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
