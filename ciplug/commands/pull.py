"""Fetch the artifacts of a run or a version, each verified by its digest."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from ciplug import console
from ciplug.commands import options
from ciplug.errors import UsageError
from ciplug.registry.resolve import parse_version_name
from ciplug.reports import untrusted
from ciplug.steps import placing
from ciplug.steps.all_runs import all_runs
from ciplug.steps.evidence.offline import offline
from ciplug.steps.fetch import Fetched, fetch
from ciplug.steps.named_run import HELP, find_run
from ciplug.steps.pull import LOCK, pull
from ciplug.steps.record_places import check_named_place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        help=f"{HELP}, MODEL@ALIAS, or models:/MODEL/VERSION",
    )
    parser.add_argument("path", metavar="PATH", nargs="*", help="artifacts, or files in them (default: all)")
    parser.add_argument("--model", metavar="M", help="which model's run of a commit (default: that of ciplug.yaml)")
    parser.add_argument("--to", metavar="DIR", default=".", help="the folder to write into (default: this one)")
    parser.add_argument("--force", action="store_true", help="overwrite files that differ")
    parser.add_argument(
        "--locked", action="store_true", help="fetch the version that the lock file names, and refuse any other"
    )
    parser.add_argument(
        "--lock",
        metavar="FILE",
        default=LOCK,
        help="where the fetched versions are written down (default: %(default)s)",
    )
    parser.add_argument(
        "--artifact-store",
        metavar="URI",
        help="a place of files to trust, if only the record of the run names its host",
    )
    parser.add_argument(
        "--offline", action="store_true", help="read the store as this clone read it last, without the network"
    )


def run(args: argparse.Namespace) -> int:
    if args.artifact_store:
        check_named_place(args.artifact_store)
    session = options.session_of(args)
    if args.offline:
        session = offline(session)
    folder = Path(args.to)
    placing.check_folder(folder)
    progress = partial(console.transfer, "files fetched")
    name = parse_version_name(args.run)
    if name is None:
        if args.locked:
            raise UsageError(f"--locked: '{args.run}' is not the name of a version", hint="like wine@production")
        named = find_run(session, all_runs(session), args.run, args.model)
        for note in named.notes:
            console.complain(note)
        fetched = fetch(session, named.run, folder, args.path, force=args.force, progress=progress)
    else:
        pulled = pull(
            session,
            name,
            folder,
            args.path,
            lock=Path(args.lock),
            locked=args.locked,
            force=args.force,
            progress=progress,
        )
        if args.model and pulled.run.model != args.model:
            raise UsageError(f"'{args.run}' is of the model '{untrusted.clean(pulled.run.model, 120)}'")
        for note in pulled.notes:
            console.complain(note)
        fetched = pulled.fetched
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
