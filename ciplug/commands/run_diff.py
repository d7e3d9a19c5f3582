"""`ciplug runs diff`: runs side by side."""

from __future__ import annotations

import argparse
from collections import Counter

from ciplug import console
from ciplug.commands.output import tell_problems
from ciplug.errors import UsageError
from ciplug.records.canonical import dumps
from ciplug.steps.all_runs import all_runs
from ciplug.steps.named_run import HELP, find_run
from ciplug.steps.run_diff import diff_runs
from ciplug.steps.session import Session

FORMATS = ("table", "markdown", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="RUN", nargs="+", help=f"two or more runs: {HELP}")
    parser.add_argument("--model", metavar="M", help="which model's run of a commit (default: that of ciplug.yaml)")
    parser.add_argument("--all", action="store_true", help="show what is alike in all of them, too")
    parser.add_argument("--format", choices=FORMATS, default="table")


def show_diff(args: argparse.Namespace, session: Session) -> int:
    """Print what differs between the runs that are named."""
    from ciplug.reports import run_diff

    if len(args.names) < 2:
        raise UsageError("two runs are needed", hint=f"like: ciplug runs diff {args.names[0]} last")
    runs = all_runs(session)
    found = [(name, find_run(session, runs, name, args.model, any_run=True)) for name in args.names]
    for note in dict.fromkeys(note for _, one in found for note in one.notes):
        console.complain(note)
    twice = next((run for run, count in Counter(one.run.id for _, one in found).items() if count > 1), None)
    if twice:
        names = " and ".join(f"'{name}'" for name, one in found if one.run.id == twice)
        raise UsageError(f"{names} are the same run, {twice[:12]}", hint="name another: ciplug runs list")
    differences = diff_runs(session, runs, [(name, one.run) for name, one in found], all=args.all)
    tell_problems(runs)
    if args.format == "json":
        console.out(dumps(run_diff.as_json(differences)))
    elif args.format == "markdown":
        console.out(run_diff.as_markdown(differences))
    else:
        console.out(run_diff.as_text(differences, console.width()))
    return 0
