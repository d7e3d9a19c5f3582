"""Bring back the version that held a stage before: no gate is asked, only its bytes must verify."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_move
from ciplug.errors import counted
from ciplug.steps.promotion.after import follow_up, followers_of
from ciplug.steps.promotion.rollback import roll_back
from ciplug.steps.promotion.stage_change import StageChange


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model to roll back")
    parser.add_argument("--to", metavar="STAGE", required=True, help="the stage that gets an earlier version back")
    parser.add_argument(
        "--version",
        metavar="N",
        type=options.version_number,
        help="a version that was promoted to the stage before (default: the one that held it before)",
    )
    options.add_deployment(parser)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    followers = followers_of(session, deployment=args.deployment)
    done = roll_back(session, args.model, args.to, args.reason, args.version)
    for note in done.notes:
        console.complain(f"warning: {note}")
    if payload := done.written.payload:
        console.say(f"{counted(payload.files, 'file')} of version {payload.version} verified")
        tell_move(args.model, payload.version, payload.stage, done.written.event, payload.replaces)
        change = StageChange(
            kind="rolled_back",
            model=args.model,
            version=payload.version,
            stage=payload.stage,
            event=done.written.event,
            run=payload.run,
            commit=payload.commit,
            replaced=payload.replaces,
        )
        follow_up(session, change, followers)
    return 0
