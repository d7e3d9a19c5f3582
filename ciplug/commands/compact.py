"""Fold the pending writes of the store, and drop the runs that `keep:` in ciplug.yaml does not keep."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.config import Keep
from ciplug.errors import counted
from ciplug.records.keys import RunKey
from ciplug.records.run import NO_TIME_TEXT
from ciplug.steps.drop_old_files import FilesToDrop, drop_files, files_to_drop
from ciplug.steps.drop_old_runs import RunsToDrop, drop_runs, runs_to_drop
from ciplug.steps.fold import fold
from ciplug.steps.session import Session
from ciplug.steps.trust import need_trusted

_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dry-run", action="store_true", help="fold nothing and delete nothing: only print what would be deleted"
    )


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    need_trusted(session, hint="compact in the pipeline of a trusted branch")
    if not args.dry_run:
        folded = fold(session)
        console.say(f"folded {folded} pending writes" if folded else "nothing to fold")
    if session.config.keep:
        _retain(session, session.config.keep, dry_run=args.dry_run)
    for note in session.store.notes:
        console.complain(f"warning: {note}")
    return 0


def _retain(session: Session, keep: Keep, *, dry_run: bool) -> None:
    old = runs_to_drop(session, keep)
    _show(old, keep, "would drop" if dry_run else "drops")
    files = files_to_drop(session, [RunKey(run.commit, run.id) for run in old.runs])
    if dry_run:
        if files and files.count:
            console.say(f"would set {counted(files.count, 'file')} aside that only these runs name")
        return
    # Before the runs: without their records nobody knows what their files were.
    if files:
        _drop_files(files)
    if old.runs:
        objects = drop_runs(session, old.runs, keep)
        console.say(f"dropped {len(old.runs)} runs ({objects} objects); the rule is keep: {keep}")


def _drop_files(files: FilesToDrop) -> None:
    if files.unknown:
        console.complain(f"warning: no file is dropped: {files.unknown}")
        return
    done = drop_files(files)
    if done.set_aside:
        console.say(
            f"set {counted(done.set_aside, 'file')} aside that only these runs name: "
            "the next `ciplug compact` drops them, from tomorrow on"
        )
    if done.dropped:
        console.say(f"dropped {counted(done.dropped, 'file')} that no run names")
    if done.in_history:
        console.complain("warning: the dropped files stay in the history of their ref: the host refuses a new one")


def _show(old: RunsToDrop, keep: Keep, verb: str) -> None:
    if old.protected:
        console.say(f"{old.protected} older runs are kept: versions, baselines, or what counts for a commit")
    if not old.runs:
        console.say(f"nothing to drop ({keep})")
    for run in old.runs[:_SHOWN]:
        console.say(f"{verb} {run.id[:12]} ({run.model}) of {run.started[:10] or NO_TIME_TEXT}")
    if len(old.runs) > _SHOWN:
        console.say(f"and {len(old.runs) - _SHOWN} more")
