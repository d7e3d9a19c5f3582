"""Compare the run of a commit with that of its baseline: by default the merge base with the target branch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import show_report, tell_problems
from ciplug.errors import UsageError
from ciplug.records.canonical import dumps, plain
from ciplug.reports.report import Report
from ciplug.steps.all_runs import all_runs
from ciplug.steps.compare import compare_runs
from ciplug.steps.select import chosen_runs, resolve_base
from ciplug.steps.unverified_runs import unverified_runs

if TYPE_CHECKING:
    from ciplug.records.comparison import Comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", nargs="?", help="commit, branch or tag (default: the merge base)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("head", metavar="HEAD", nargs="?", help="commit, branch or tag (default: this commit)")
    which.add_argument("--run", metavar="ID", help="compare this run, whether or not it counts for its commit")
    parser.add_argument("--model", metavar="M", help="one model only")
    parser.add_argument("--format", choices=("table", "markdown", "json", "csv"), default="table")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    runs = all_runs(session)
    chosen = chosen_runs(session, runs, run=args.run, commit=args.head, model=args.model)
    if args.format == "csv" and len(chosen) > 1:
        raise UsageError(
            f"this commit has runs of {len(chosen)} models, and CSV holds one table",
            hint=f"choose one: --model {chosen[0].model}",
        )
    sections = compare_runs(session, runs, chosen, resolve_base(session, args.base))
    tell_problems(runs)
    unverified = None if args.run else unverified_runs(session, runs, chosen[0].commit, sections, args.model)
    comparisons = [section.comparison for section in sections]
    if args.base:
        _need_baselines(comparisons)
    if args.format == "json":
        console.out(dumps({"schema": 1, "comparisons": [plain(c) for c in comparisons]}))
    elif args.format == "table":
        show_report(Report(sections=tuple(sections), context=session.context, unverified=unverified))
    else:
        _print_tables(comparisons, args.format)
        if unverified:
            console.say(f"{unverified.title}. {unverified.words}")
    return 0


def _need_baselines(comparisons: Sequence[Comparison]) -> None:
    """Raises UsageError where the commit that was named has no run."""
    for comparison in comparisons:
        if comparison.baseline.run is None:
            raise UsageError(comparison.baseline.how, hint="record one there, or name another commit")


def _print_tables(comparisons: Sequence[Comparison], form: str) -> None:
    from ciplug.reports.terminal import comparison_table

    for comparison in comparisons:
        if len(comparisons) > 1:
            console.out(f"### {comparison.model}\n")
        console.out(comparison_table(comparison, "csv" if form == "csv" else "markdown"))
    for comparison in comparisons:
        console.say(f"{comparison.model}: baseline: {comparison.baseline.how}")
        for notice in comparison.notices:
            console.say(f"{comparison.model}: {notice.line}")
