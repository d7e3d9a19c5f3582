"""Fetch the artifacts of a run, each verified by its digest."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from ciplug import console
from ciplug.commands import options
from ciplug.errors import UsageError
from ciplug.reports import untrusted
from ciplug.steps import placing
from ciplug.steps.all_runs import all_runs
from ciplug.steps.fetch import Fetched, fetch
from ciplug.steps.named_run import find_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run's id or its beginning, a commit, MODEL@STAGE, MODEL@vN, or models:/MODEL/VERSION",
    )
    parser.add_argument("path", metavar="PATH", nargs="*", help="artifacts, or files in them (default: all)")
    parser.add_argument("--model", metavar="M", help="which model's run of a commit (default: that of ciplug.yaml)")
    parser.add_argument("--to", metavar="DIR", default=".", help="the folder to write into (default: this one)")
    parser.add_argument("--force", action="store_true", help="overwrite files that differ")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    folder = Path(args.to)
    placing.check_folder(folder)
    named = find_run(session, all_runs(session), args.run, args.model)
    for note in named.notes:
        console.complain(note)
    progress = partial(console.transfer, "files fetched")
    fetched = fetch(session, named.run, folder, args.path, force=args.force, progress=progress)
    _show(fetched)
    return UsageError.exit_code if fetched.digest_only else 0


def _show(fetched: Fetched) -> None:
    for artifact in fetched.digest_only:
        console.complain(f"{untrusted.clean(artifact.path, 200)}: only its digest was recorded: {artifact.digest}")
    for file in fetched.files:
        console.out(str(file))
    unchanged = len(fetched.files) - fetched.written
    if unchanged:
        console.say(f"{unchanged} of {len(fetched.files)} files were already there")
