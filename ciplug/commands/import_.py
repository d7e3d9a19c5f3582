"""Import the runs of another system: each once, with its id, its times and its files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.commands import options
from ciplug.errors import StoreError, counted, listed
from ciplug.interop.import_runs import Choice, Failure, Imported
from ciplug.interop.import_systems import SYSTEMS, import_from, sources_in
from ciplug.reports.untrusted import clean
from ciplug.steps.interruption import resumed_by

if TYPE_CHECKING:
    from ciplug.interop.mlflow_registry import ImportedModels

_SHOWN = 10
_MLFLOW = "./mlruns, sqlite:///mlflow.db, or the address of a server"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    systems = parser.add_subparsers(dest="system", metavar="SYSTEM")
    mlflow = systems.add_parser("mlflow", help="a store of MLflow, read by MLflow's own client")
    mlflow.add_argument("source", metavar="SOURCE", help=_MLFLOW)
    mlflow.add_argument(
        "--experiment", metavar="NAME", action="append", default=[], help="only this one; may be repeated"
    )
    _shared(mlflow, "the experiment's name")
    for name, system in SYSTEMS.items():
        other = systems.add_parser(name, help=system.what)
        other.add_argument("source", metavar="SOURCE", help=system.source)
        if system.part:
            option, words = system.part
            metavar = option.strip("-").upper()
            other.add_argument(option, metavar=metavar, action="append", default=[], dest="part", help=words)
        _shared(other, "the source's name for it")


def _shared(parser: argparse.ArgumentParser, default: str) -> None:
    words = f"the model of the runs (default: that of ciplug.yaml, or {default})"
    parser.add_argument("--model", metavar="M", help=words)
    parser.add_argument("--no-artifacts", action="store_true", help="copy no file: keep the values alone")
    parser.add_argument("--unfinished", action="store_true", help="take runs that go on in the other system, too")


def run(args: argparse.Namespace) -> int:
    if args.system is None:
        _show_systems(Path.cwd())
        return 0
    choice = Choice(args.model, not args.no_artifacts, args.unfinished)
    with resumed_by("import the same again; what is done is not repeated"), console.count("runs read", "run") as tell:
        session = options.session_of(args)
        if args.system == "mlflow":
            from ciplug.interop.mlflow_import import import_mlflow

            done, models = import_mlflow(session, args.source, choice, tell, args.experiment)
        else:
            done, models = import_from(args.system, session, args.source, choice, tell, getattr(args, "part", ())), None
    _show(args.system, done, models)
    return StoreError.exit_code if models is not None and models.failed else done.exit_code


def _show_systems(folder: Path) -> None:
    """What can be imported, and what of it is in this folder."""
    from tabulate import tabulate

    rows = [("mlflow", _MLFLOW), *((name, system.source) for name, system in SYSTEMS.items())]
    console.out(tabulate(rows, ["SYSTEM", "SOURCE"], tablefmt="simple", disable_numparse=True))
    for name, place in sources_in(folder):
        console.out(f"here: ciplug import {name} {clean(place, 200)}")


def _show(system: str, done: Imported, models: ImportedModels | None) -> None:
    of_these = f" ({done.deleted:,} of them deleted)" if done.deleted else ""
    console.out(f"{counted(done.new, 'new run')}{of_these}, {done.known:,} known, {counted(done.files, 'file')} sent")
    if models is not None:
        _show_models(models)
    if done.without_commit:
        console.say(
            f"{done.without_commit:,} of the new runs name no commit: they are in the lists, and count for none"
        )
    if done.unfinished:
        going_on = "still RUNNING in MLflow" if models is not None else "written in the last 10 minutes, or not ended"
        console.complain(
            f"{counted(len(done.unfinished), 'run')} {going_on}, not imported: {_names(done.unfinished)}",
            "import again when they have ended, or take them as they are: --unfinished",
        )
    if done.changed:
        went_on = f"{counted(len(done.changed), 'run')} went on since the import"
        hint = "another run with the id of one that is known needs an id of its own" if system == "json" else None
        console.complain(f"{went_on}, and stay as imported: {_names(done.changed)}", hint)
    _complain("imported without a part", done.damaged)
    _complain("not imported", done.failed)
    if done.failed:
        what = counted(len(done.failed), "run") if models is not None else f"{len(done.failed):,} of them"
        hint = "where the artifacts are gone: --no-artifacts" if models is not None else None
        console.complain(f"{what} not imported: the next import tries again", hint)


def _show_models(models: ImportedModels) -> None:
    if models.versions or models.known:
        console.out(f"{counted(models.versions, 'new version')} of registered models, {models.known:,} known")
    for words in models.judged[:_SHOWN]:
        console.complain(f"not taken over, since the policy judges it: {clean(words, 400)}")
    if len(models.judged) > _SHOWN:
        console.complain(f"and {len(models.judged) - _SHOWN} more: ciplug registry show MODEL")
    for words in models.failed[:_SHOWN]:
        console.complain(f"not imported: {clean(words, 400)}")


def _complain(what: str, failures: Sequence[Failure]) -> None:
    for one in failures[:_SHOWN]:
        console.complain(f"{what}: {clean(one.words, 400)}", clean(one.hint, 200) if one.hint else None)
    if len(failures) > _SHOWN:
        console.complain(f"and {len(failures) - _SHOWN} more {what}")


def _names(names: Sequence[str]) -> str:
    return clean(listed(names), 400)
