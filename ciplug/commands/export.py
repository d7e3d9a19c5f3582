"""Export the runs of this store to another system: each once."""

from __future__ import annotations

import argparse
from pathlib import Path

from ciplug import console
from ciplug.attestation.model_card import TASK
from ciplug.commands import options
from ciplug.errors import StoreError, UsageError, counted
from ciplug.interop.export_systems import SYSTEMS, TRACKERS, Request, export_all, export_runs
from ciplug.interop.huggingface import export_card
from ciplug.interop.mlflow_export import Exported
from ciplug.interop.runs_table import export_table
from ciplug.reports.untrusted import clean
from ciplug.steps.interruption import resumed_by
from ciplug.steps.session import Session

_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    systems = parser.add_subparsers(dest="system", metavar="SYSTEM")
    for name, words in SYSTEMS.items():
        system = systems.add_parser(name, help=words.help)
        system.add_argument("target", metavar="TARGET", nargs="?" if words.of_checkout else None, help=words.target)
        if name in TRACKERS:
            only = system.add_mutually_exclusive_group()
            only.add_argument(
                "--experiment", metavar="NAME", action="append", default=[], help="only this one; may be repeated"
            )
            only.add_argument("--run", metavar="ID", action="append", default=[], help="only this run; may be repeated")
            if words.has_bucket:
                system.add_argument(
                    "--artifacts",
                    metavar="URI",
                    help="the bucket in which the server keeps files, like s3://bucket: they are written there",
                )
        elif name == "huggingface":
            system.add_argument(
                "--version",
                metavar="VERSION",
                help="MODEL, MODEL@STAGE or MODEL@vN (default: the model of ciplug.yaml)",
            )
            system.add_argument(
                "--task", metavar="TYPE", default=TASK, help=f"such as text-classification (default: {TASK})"
            )
        else:
            system.add_argument("--where", metavar="QUERY", help="only these runs, like 'metrics.accuracy > 0.9'")


def run(args: argparse.Namespace) -> int:
    if args.system is None:
        console.out("\n".join(f"ciplug export {name:<12} {words.help}" for name, words in SYSTEMS.items()))
        return 0
    with resumed_by("export the same again; what is done is not repeated"):
        return _export(args, options.session_of(args))


def _export(args: argparse.Namespace, session: Session) -> int:
    if args.system in TRACKERS:
        return _to_tracker(args, session)
    if args.system == "huggingface":
        version = args.version or session.config.model
        if version is None:
            raise UsageError("no model is named", hint="name it: --version MODEL, or MODEL@STAGE")
        console.out(str(export_card(session, version, Path(args.target), args.task)))
        return 0
    with console.count("written", "run") as tell:
        count = export_table(session, args.system, Path(args.target), args.where, tell)
    console.out(f"{counted(count, 'run')} in {args.target}")
    return 0


def _to_tracker(args: argparse.Namespace, session: Session) -> int:
    request = Request(args.system, args.target, args.artifacts if SYSTEMS[args.system].has_bucket else None)
    with console.count("written", "run") as tell:
        if args.run:
            ids = [session.runs().key_of(one).id for one in args.run]
            done = export_runs(session, request, ids, tell)
        else:
            done = export_all(session, request, args.experiment, tell)
    _show(done)
    return StoreError.exit_code if done.failed else 0


def _show(done: Exported) -> None:
    console.out(f"{counted(done.new, 'new run')}, {done.known:,} known")
    if done.versions or done.known_versions:
        console.out(f"{counted(done.versions, 'new version')} of registered models, {done.known_versions:,} known")
    if done.deleted:
        console.say(f"{counted(done.deleted, 'deleted run')} not copied: there, what is deleted is gone")
    for words, count in done.left_out.most_common(_SHOWN):
        console.complain(f"warning: left out {count:,}: {clean(words, 400)}")
    if len(done.left_out) > _SHOWN:
        console.complain(f"warning: left out for {len(done.left_out) - _SHOWN:,} other reasons, too")
    for words in done.failed[:_SHOWN]:
        console.complain(f"not exported: {clean(words, 400)}")
    if done.failed:
        console.complain(f"{len(done.failed)} of them not exported: the next export tries again")
