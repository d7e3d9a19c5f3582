"""Fold the pending writes of the store, and drop the runs that `keep:` in ciplug.yaml does not keep."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.config import Keep
from ciplug.steps import compact
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
        folded = compact.fold(session)
        console.say(f"folded {folded} pending writes" if folded else "nothing to fold")
    if session.config.keep:
        _retain(session, session.config.keep, dry_run=args.dry_run)
    for note in session.store.notes:
        console.complain(f"warning: {note}")
    return 0


def _retain(session: Session, keep: Keep, *, dry_run: bool) -> None:
    selection = compact.select(session, keep)
    _show(selection, keep, "would drop" if dry_run else "drops")
    if selection.dropped and not dry_run:
        objects = compact.drop(session, selection.dropped, keep)
        console.say(f"dropped {len(selection.dropped)} runs ({objects} objects); the rule is keep: {keep}")


def _show(selection: compact.Selection, keep: Keep, verb: str) -> None:
    dropped = selection.dropped
    if selection.protected:
        console.say(f"{selection.protected} older runs are kept: versions, baselines, or what counts for a commit")
    if not dropped:
        console.say(f"nothing to drop ({keep})")
    for run in dropped[:_SHOWN]:
        console.say(f"{verb} {run.id[:12]} ({run.model}) of {run.started[:10]}")
    if len(dropped) > _SHOWN:
        console.say(f"and {len(dropped) - _SHOWN} more")
