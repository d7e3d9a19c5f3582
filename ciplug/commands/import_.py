"""Import the runs of another system: each once, with its id, its times and its files."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.errors import StoreError, counted, listed
from ciplug.interop.mlflow_import import Choice, Imported, import_runs
from ciplug.reports.untrusted import clean

_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    systems = parser.add_subparsers(dest="system", required=True, metavar="SYSTEM")
    mlflow = systems.add_parser("mlflow", help="a store of MLflow, read by MLflow's own client")
    mlflow.add_argument("source", metavar="SOURCE", help="./mlruns, sqlite:///mlflow.db, or the address of a server")
    mlflow.add_argument(
        "--experiment", metavar="NAME", action="append", default=[], help="only this one; may be repeated"
    )
    mlflow.add_argument(
        "--model", metavar="M", help="the model of the runs (default: that of ciplug.yaml, or the experiment's name)"
    )
    mlflow.add_argument("--no-artifacts", action="store_true", help="copy no file: keep the address of the artifacts")
    mlflow.add_argument("--unfinished", action="store_true", help="take runs that are RUNNING in MLflow, too")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    choice = Choice(tuple(args.experiment), args.model, not args.no_artifacts, args.unfinished)
    with console.count("runs read", "run") as tell:
        done = import_runs(session, args.source, choice, tell)
    _show(done)
    return StoreError.exit_code if done.failed or done.models.failed else 0


def _show(done: Imported) -> None:
    of_these = f" ({done.deleted:,} of them deleted)" if done.deleted else ""
    console.out(f"{counted(done.new, 'new run')}{of_these}, {done.known:,} known, {counted(done.files, 'file')} sent")
    models = done.models
    if models.versions or models.known:
        console.out(f"{counted(models.versions, 'new version')} of registered models, {models.known:,} known")
    for words in models.judged[:_SHOWN]:
        console.complain(f"not taken over, since the policy judges it: {clean(words, 400)}")
    if len(models.judged) > _SHOWN:
        console.complain(f"and {len(models.judged) - _SHOWN} more: ciplug registry show MODEL")
    for words in models.failed[:_SHOWN]:
        console.complain(f"not imported: {clean(words, 400)}")
    if done.unfinished:
        names = listed([id_[:12] for id_ in done.unfinished])
        console.complain(
            f"{counted(len(done.unfinished), 'run')} still RUNNING in MLflow, not imported: {names}",
            "import again when they have ended, or take them as they are: --unfinished",
        )
    for words in done.failed[:_SHOWN]:
        console.complain(f"not imported: {clean(words, 400)}")
    if done.failed:
        console.complain(
            f"{counted(len(done.failed), 'run')} not imported: the next import tries again",
            "where the artifacts are gone: --no-artifacts",
        )
