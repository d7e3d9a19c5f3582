"""End what a target serves, and say so in the log."""

from __future__ import annotations

import argparse
import shlex

from ciplug import console
from ciplug.commands import options
from ciplug.commands.output import tell_ended
from ciplug.steps.deployment.undeploy import record_end, undeploy
from ciplug.steps.interruption import resumed_by


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model that is served")
    parser.add_argument(
        "--from", dest="target", metavar="TARGET", required=True, help="a target of ciplug.yaml on the default branch"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit trail")
    parser.add_argument(
        "--record-only",
        action="store_true",
        help="touch no target: only say in the log that it serves nothing, for a target that ciplug.yaml names no more",
    )


def run(args: argparse.Namespace) -> int:
    words = ["--record-only"] if args.record_only else []
    words += ["--reason", args.reason] if args.reason else []
    with resumed_by(shlex.join(["ciplug", "undeploy", args.model, "--from", args.target, *words])):
        session = options.session_of(args)
        if args.record_only:
            ended = record_end(session, args.model, args.target, args.reason or "")
            tell_ended(ended)
            if ended.event:
                console.say(f"this is what the log says: '{args.target}' was neither asked nor changed")
        else:
            tell_ended(undeploy(session, args.model, args.target, reason=args.reason))
    return 0
