"""Write the runs, the histories and the registry as a site of static pages."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_problems
from ciplug.errors import UsageError, counted, listed
from ciplug.reports import number_format
from ciplug.steps.all_runs import all_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Open index.html in a browser, or publish the folder: it needs no server of its own."
    parser.add_argument(
        "--output", metavar="DIR", default="ciplug-site", help="the folder of the site (default: ciplug-site)"
    )
    parser.add_argument("--branch", metavar="B", help="the branch of the histories (default: the target branch)")
    parser.add_argument(
        "--limit", metavar="N", type=int, default=100, help="commits of a history (default: 100; 0: all)"
    )
    parser.add_argument(
        "--details", metavar="N", type=int, default=200, help="steps and images of the last N runs (default: 200)"
    )


def run(args: argparse.Namespace) -> int:
    from ciplug.steps.site.build import build_site

    if args.limit < 0 or args.details < 0:
        raise UsageError("--limit and --details take a number from 0 up")
    session = options.session_of(args)
    runs = all_runs(session)
    built = build_site(session, runs, Path(args.output), branch=args.branch, details=args.details, limit=args.limit)
    runs.problems.update(runs.catalog.problems)
    tell_problems(runs)
    for note in built.notes:
        console.complain(note)
    if built.others:
        console.complain(f"not of the site, and left in {built.folder}: {listed(built.others, most=5)}")
    console.say(
        f"{counted(built.runs, 'run')} in {counted(built.pieces, 'piece')}, {built.new_pieces} new; "
        f"{counted(built.written, 'file')} written, {number_format.size(built.bytes)}"
    )
    console.say(f"site written: {built.folder / 'index.html'}")
    return 0
