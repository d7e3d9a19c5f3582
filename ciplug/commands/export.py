"""Export the runs of this store to another system: each once."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.errors import StoreError, counted
from ciplug.interop.export_systems import SYSTEMS, export_all
from ciplug.interop.mlflow_export import Exported
from ciplug.reports.untrusted import clean

_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    systems = parser.add_subparsers(dest="system", metavar="SYSTEM")
    for name, words in SYSTEMS.items():
        system = systems.add_parser(name, help=words.help)
        nargs = "?" if words.of_checkout else None
        system.add_argument("target", metavar="TARGET", nargs=nargs, help=words.target)
        system.add_argument(
            "--experiment", metavar="NAME", action="append", default=[], help="only this one; may be repeated"
        )


def run(args: argparse.Namespace) -> int:
    if args.system is None:
        console.out("\n".join(f"ciplug export {name:<12} {words.help}" for name, words in SYSTEMS.items()))
        return 0
    session = options.session_of(args)
    with console.count("written", "run") as tell:
        done = export_all(session, args.system, args.target, args.experiment, tell)
    _show(done)
    return StoreError.exit_code if done.failed else 0


def _show(done: Exported) -> None:
    console.out(f"{counted(done.new, 'new run')}, {done.known:,} known")
    if done.versions or done.known_versions:
        console.out(f"{counted(done.versions, 'new version')} of registered models, {done.known_versions:,} known")
    if done.deleted:
        console.say(f"{counted(done.deleted, 'deleted run')} not copied: there, what is deleted is gone")
    for words, count in sorted(done.left_out.items())[:_SHOWN]:
        console.complain(f"warning: left out {count:,}: {clean(words, 400)}")
    for words in done.failed[:_SHOWN]:
        console.complain(f"not exported: {clean(words, 400)}")
    if done.failed:
        console.complain(f"{len(done.failed)} of them not exported: the next export tries again")
