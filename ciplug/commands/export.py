"""Export the runs of this store to another system: each once."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.errors import StoreError, counted, listed
from ciplug.interop.mlflow_export import Exported, export_runs
from ciplug.reports.untrusted import clean

_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    systems = parser.add_subparsers(dest="system", required=True, metavar="SYSTEM")
    mlflow = systems.add_parser("mlflow", help="a store of MLflow, written by MLflow's own client")
    mlflow.add_argument("uri", metavar="URI", help="the address of a server, sqlite:///mlflow.db, or ./mlruns")
    mlflow.add_argument(
        "--experiment", metavar="NAME", action="append", default=[], help="only this one; may be repeated"
    )


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    with console.count("runs written", "run") as tell:
        done = export_runs(session, args.uri, args.experiment, tell)
    _show(done)
    return StoreError.exit_code if done.failed else 0


def _show(done: Exported) -> None:
    console.out(f"{counted(done.new, 'new run')}, {done.known:,} known")
    if done.versions or done.known_versions:
        console.out(f"{counted(done.versions, 'new version')} of registered models, {done.known_versions:,} known")
    if done.left_out:
        names = clean(listed(done.left_out), 400)
        console.complain(f"warning: MLflow does not take these names, and they are left out: {names}")
    for words in done.failed[:_SHOWN]:
        console.complain(f"not exported: {clean(words, 400)}")
    if done.failed:
        console.complain(f"{len(done.failed)} of them not exported: the next export tries again")
