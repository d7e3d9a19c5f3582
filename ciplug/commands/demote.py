"""Take a model version out of its stage."""

from __future__ import annotations

import argparse

from ciplug.commands import options
from ciplug.commands.output import tell_move, tell_still_served
from ciplug.steps.promotion.after import follow_up, followers_of
from ciplug.steps.promotion.moves import demote
from ciplug.steps.promotion.stage_change import StageChange


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--from", metavar="STAGE", dest="start", help="demote the version that is in this stage")
    which.add_argument("--version", metavar="N", type=options.version_number, help="demote this version")
    parser.add_argument(
        "--to",
        metavar="STAGE",
        help="a lower stage that it was promoted to before, 'none' or 'archived' (default: the stage below)",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    followers = followers_of(session)
    done = demote(session, args.model, version=args.version, start=args.start, to=args.to, reason=args.reason)
    if payload := done.payload:
        tell_move(args.model, payload.version, payload.stage, done.event)
        tell_still_served(done.model, payload.version)
        version = done.model.by_number[payload.version]
        change = StageChange(
            kind="demoted",
            model=args.model,
            version=payload.version,
            stage=payload.stage,
            event=done.event,
            run=version.run,
            commit=version.commit,
            from_stage=payload.from_stage,
        )
        follow_up(session, change, followers)
    return 0
