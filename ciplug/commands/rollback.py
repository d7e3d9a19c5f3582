"""Bring back the version that held a stage before: no gate is asked, only its bytes must verify."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_move
from ciplug.errors import counted
from ciplug.steps.promotion.rollback import roll_back


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model to roll back")
    parser.add_argument("--to", metavar="STAGE", required=True, help="the stage that gets an earlier version back")
    parser.add_argument(
        "--version",
        metavar="N",
        type=options.version_number,
        help="a version that was promoted to the stage before (default: the one that held it before)",
    )
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    done = roll_back(session, args.model, args.to, args.reason, args.version)
    for note in done.notes:
        console.complain(f"warning: {note}")
    if payload := done.written.payload:
        console.say(f"{counted(payload.files, 'file')} of version {payload.version} verified")
        tell_move(args.model, payload.version, payload.stage, done.written.event, payload.replaces)
    return 0
