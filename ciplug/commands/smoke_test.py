"""Ask what a target serves for a recorded sample, and compare its answers with the recorded predictions."""

from __future__ import annotations

import argparse

from ciplug.commands import options
from ciplug.commands.smoke_test_output import finish
from ciplug.steps.deployment.smoke_test import smoke_test


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="VERSION", help="the version that is served, as for `ciplug deploy`")
    parser.add_argument("--to", metavar="TARGET", required=True, help="a target of ciplug.yaml on the default branch")
    options.add_roll_back(parser)
    parser.add_argument("--json", action="store_true", help="as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    tested = smoke_test(session, args.version, args.to)
    return finish(session, tested, roll_back=args.roll_back, as_json=args.json)
