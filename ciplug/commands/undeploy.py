"""End what a target serves, and say so in the log."""

from __future__ import annotations

import argparse

from ciplug.commands import options
from ciplug.commands.output import tell_ended
from ciplug.steps.deployment.undeploy import undeploy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model that is served")
    parser.add_argument(
        "--from", dest="target", metavar="TARGET", required=True, help="a target of ciplug.yaml on the default branch"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit trail")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    tell_ended(undeploy(session, args.model, args.target, reason=args.reason))
    return 0
