"""Compare the run of a commit with that of its baseline: by default the merge base with the target branch."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.commands.runs import tell_problems
from ciplug.errors import UsageError
from ciplug.records.canonical import dumps, plain
from ciplug.steps.judge import candidates, evaluate, resolve_base, resolve_commit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", nargs="?", help="commit, branch or tag (default: the merge base)")
    parser.add_argument("head", metavar="HEAD", nargs="?", help="commit, branch or tag (default: this commit)")
    parser.add_argument("--model", metavar="M", help="one model only")
    parser.add_argument("--format", choices=("table", "markdown", "json", "csv"), default="table")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    runs = options.runs_of(session)
    found = candidates(session, runs, resolve_commit(session, args.head), args.model)
    if args.format == "csv" and len(found) > 1:
        raise UsageError(
            f"this commit has runs of {len(found)} models, and CSV holds one table",
            hint=f"choose one: --model {found[0].model}",
        )
    evaluations = evaluate(session, runs, found, base=resolve_base(session, args.base), gate=False)
    tell_problems(runs)
    if args.base:
        for evaluation in evaluations:
            if evaluation.comparison.baseline.run is None:
                raise UsageError(evaluation.comparison.baseline.how, hint="record one there, or name another commit")
    comparisons = [e.comparison for e in evaluations]
    if args.format == "json":
        console.out(dumps({"schema": 1, "comparisons": [plain(c) for c in comparisons]}))
    elif args.format == "table":
        from ciplug.reports import terminal
        from ciplug.reports.report import Report

        report = Report(sections=tuple(e.section() for e in evaluations), context=session.context)
        console.out(terminal.render(report, colour=console.use_colour(), width=console.width()).rstrip("\n"))
    else:
        from ciplug.reports.terminal import comparison_table

        for comparison in comparisons:
            if len(comparisons) > 1:
                console.out(f"### {comparison.model}\n")
            console.out(comparison_table(comparison, args.format))
        for comparison in comparisons:
            console.say(f"{comparison.model}: baseline: {comparison.baseline.how}")
    return 0
